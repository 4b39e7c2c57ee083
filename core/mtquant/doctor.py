"""What is wrong on this machine, with this configuration: looked at, never changed."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from pathlib import Path

import anyio

from mtquant.assemble import check_common, connector, locate
from mtquant.clock import SECOND, Clock
from mtquant.config import Config, load_config
from mtquant.contract import Broker, Endpoint
from mtquant.errors import ConfigError, MtquantError
from mtquant.machine import Look, State, in_use, look_around
from mtquant.making import make_strategies
from mtquant.plugins import Catalogue
from mtquant.symbols import SymbolMap

_SKEW_WARNING_S, _SKEW_PROBLEM_S = 1.0, 10.0
ANSWER_S = 20.0
"""How long a broker's server may take to start and answer."""


async def examine(
    path: Path, catalogue: Catalogue, clock: Clock, *, limit_s: float = ANSWER_S
) -> AsyncIterator[Look]:
    """Yield one look after the other; none stops the others, and nothing is left running."""
    for look in (_python(), *_plugins(catalogue)):
        yield look
    try:
        config = load_config(path)
    except ConfigError as error:
        state = State.WARNING if error.problem == "no such file" else State.PROBLEM
        yield Look("configuration", state, f"{error.where}: {error.problem}", error.remedy)
        return
    yield Look("configuration", State.OK, str(path))
    for look in (*look_around(config, path), *_settings(config, catalogue)):
        yield look
    listed: dict[str, SymbolMap] = {}
    for name in config.brokers:
        async for look in _broker(config, catalogue, name, clock, listed, limit_s):
            yield look
    for look in _strategies(config, catalogue, listed):
        yield look


def local(config: Config, path: Path, catalogue: Catalogue) -> Iterator[Look]:
    """Yield what can be looked at without asking a broker."""
    yield from _plugins(catalogue)
    yield from look_around(config, path)


def _python() -> Look:
    found = f"Python {platform.python_version()} on {platform.system()}, mtquant "
    found += f"{version('mtquant')}, mcp {version('mcp')}"
    return Look("python", State.OK, found)  # an older Python doesn't come as far as this


def _plugins(catalogue: Catalogue) -> Iterator[Look]:
    broken = [each for each in catalogue.listings if each.problem]
    for each in broken:
        remedy = f"Mend or uninstall {each.distribution}."
        yield Look(f"plugin {each.kind} {each.name}", State.PROBLEM, each.problem, remedy)
    working = len(catalogue.listings) - len(broken)
    yield Look("plugins", State.OK, f"{working} work, {len(broken)} in quarantine")


def _settings(config: Config, catalogue: Catalogue) -> Iterator[Look]:
    """Look whether the gate, the stores and the notifiers can be made."""
    try:
        check_common(config, catalogue)
    except MtquantError as error:
        yield Look("settings", State.PROBLEM, str(error), "Correct the setting.")


async def _broker(
    config: Config,
    catalogue: Catalogue,
    name: str,
    clock: Clock,
    listed: dict[str, SymbolMap],
    limit_s: float,
) -> AsyncIterator[Look]:
    """Start each server before an account, ask it how it is, and end it."""
    what = f"broker {name}"
    try:
        endpoints, spelling = locate(config, catalogue, name)
    except MtquantError as error:
        yield Look(what, State.PROBLEM, str(error), "Correct the setting.")
        return
    folder = Path(config.engine.state_dir)
    if in_use(folder):
        seen = "is looked after by the running engine"
        yield Look(what, State.OK, seen, "mtquant status tells how its connections are.")
        return
    for index, endpoint in enumerate(endpoints):
        title = what if len(endpoints) == 1 else f"{what} #{index + 1}"
        looks: list[Look] = []
        try:
            with anyio.fail_after(limit_s):
                async with _opened(config, endpoint, name) as broker:
                    looks = await _ask(title, broker, clock, config, name)
                    found = await broker.search_instruments("", limit=1000)
                    listed[name] = SymbolMap(name, spelling, found.instruments)
                    count = len(found.instruments)
                    looks.append(Look(f"{title}: symbols", State.OK, f"{count} instruments"))
        except TimeoutError:
            seen, remedy = f"no answer within {limit_s:g} s", f"Its log: {folder / name}.log"
            looks.append(Look(title, State.PROBLEM, seen, remedy))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's server does is told
            text = str(_first(error)) or type(error).__name__
            looks.append(Look(title, State.PROBLEM, text, f"Its log: {folder / name}.log"))
        for look in looks:
            yield look


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _opened(config: Config, endpoint: Endpoint, name: str) -> AbstractAsyncContextManager[Broker]:
    log = Path(config.engine.state_dir) / f"{name}.log"
    return connector(endpoint, config.engine.call_timeout_s, log)()


async def _ask(title: str, broker: Broker, clock: Clock, config: Config, name: str) -> list[Look]:
    offered = await broker.get_capabilities()
    account = await broker.get_account()
    before = clock.now()
    started = anyio.current_time()
    health = await broker.get_health()
    took = anyio.current_time() - started
    text = f"{offered.environment} account {account.account_id}, {account.currency}, "
    text += f"{offered.position_mode}, {took * 1000:.1f} ms a call"
    looks = [Look(title, State.OK, text)]
    if not health.connected or not health.trading_allowed:
        why = health.reason or "the broker doesn't allow trading now"
        looks.append(Look(f"{title}: trading", State.WARNING, why, "Wait, or ask the broker."))
    if "place_order" not in offered.tools:
        remedy = _read_only(config, name)
        looks.append(Look(f"{title}: trading", State.WARNING, "it is served read-only", remedy))
    if offered.clock == "real":
        skew = (health.time - before) / SECOND - took / 2
        looks.append(_skew(title, skew))
    return looks


def _read_only(config: Config, name: str) -> str:
    if config.brokers[name].live_account is None:
        return "A real account is, until its server is told its number."
    return "Tell its server the account's number, too."


def _skew(title: str, skew_s: float) -> Look:
    off = abs(skew_s)
    state = (
        State.PROBLEM
        if off > _SKEW_PROBLEM_S
        else State.WARNING
        if off > _SKEW_WARNING_S
        else State.OK
    )
    remedy = "Set this machine's clock (NTP)." if state is not State.OK else ""
    return Look(f"{title}: clock", state, f"{skew_s:+.3f} s from ours", remedy)


def _strategies(
    config: Config, catalogue: Catalogue, listed: dict[str, SymbolMap]
) -> Iterator[Look]:
    """Look whether somebody lists what the strategies trade."""
    for name, table in config.strategies.items():
        try:
            make_strategies(config, catalogue, name)
        except MtquantError as error:
            yield Look(f"strategy {name}", State.PROBLEM, str(error), "Correct the setting.")
            continue
        lacking = [
            symbol
            for symbol in table.symbols
            if listed
            and not any(
                symbol in listed[broker].instruments
                for broker in config.preference(symbol)
                if broker in listed
            )
        ]
        if lacking:
            seen = f"no broker of its route lists {', '.join(lacking)}"
            yield Look(f"strategy {name}", State.PROBLEM, seen, "mtquant symbols list")
        else:
            seen = f"{table.plugin} on {', '.join(table.symbols)}"
            yield Look(f"strategy {name}", State.OK, seen)
