"""A configuration -> a running engine: makes the plugins and wires the parts together."""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mtquant.anchor import Anchor
from mtquant.archive import archive, due
from mtquant.clock import Clock, Ids, ManualClock, Random, SystemClock
from mtquant.config import BrokerTable, Config, EndpointTable, secret
from mtquant.contract import Agent, Broker, Endpoint, Level, Source
from mtquant.decide import Decider
from mtquant.engine import Engine, Observer, Wiring
from mtquant.errors import ConfigError, JournalError
from mtquant.feed import Live, Replay
from mtquant.journal import Journal
from mtquant.link import Link
from mtquant.making import make_gate, make_rules, make_strategies
from mtquant.model import Bars
from mtquant.plugins import Catalogue
from mtquant.pool import Session, Watch
from mtquant.secrets import masked
from mtquant.symbols import Spelling
from mtquant.verifying import require_anchored

Connect = Callable[[], AbstractAsyncContextManager[Broker]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """An engine, the feed to run it on, and the recorded bars where it is a replay."""

    engine: Engine
    feed: Replay | Live
    bars: Mapping[str, Bars]


def assemble(  # noqa: PLR0913 - what makes an engine, and how it is run
    config: Config,
    catalogue: Catalogue,
    rng: Random,
    observer: Observer,
    replay: type[Replay] = Replay,
    *,
    live: bool = False,
    passive: bool = False,
    agents: Callable[[], Mapping[str, Agent]] = dict,
) -> Assembled:
    """Make everything that ``config`` names; ``live`` lets its named real accounts be traded.

    A ``passive`` engine has no strategies and pursues nothing: it serves commands of persons, and
    agents. ``agents`` returns who is enrolled, whenever it is asked.

    Raises ConfigError, PluginError or JournalError, each of which says what to do. ``rng`` makes
    client order ids and spreads reconnections; seed it to repeat a run.
    """
    state = Path(config.engine.state_dir)
    bars = _recorded(config, catalogue)
    clock: Clock = ManualClock() if bars else SystemClock()
    gate = make_gate(config, catalogue, clock)
    strategies = [
        strategy
        for name in (() if passive else config.strategies)
        for strategy in make_strategies(config, catalogue, name)
    ]
    links = {name: _link(config, catalogue, name, rng) for name in config.brokers}
    stores = [
        catalogue.make("store", name, {"folder": str(state)} | dict(table), where=f"stores.{name}")
        for name, table in config.stores.items()
    ]
    notifiers = [
        catalogue.make("notifier", name, table, where=f"notifiers.{name}")
        for name, table in config.notifiers.items()
    ]
    journal = Journal(state, clock)
    try:
        if isinstance(clock, ManualClock):
            clock.set(journal.newest_time() or min(each.time[0] for each in bars.values()))
        _look_after(journal, config, clock, passive=passive)
        anchor = _anchor(config, state)
    except JournalError:
        journal.close()
        raise
    feed = (
        replay(bars, clock, config.market.speed)
        if isinstance(clock, ManualClock)
        else Live(config.market)
    )
    wiring = Wiring(
        clock=clock,
        journal=journal,
        decider=Decider(
            strategies, gate, Ids(clock, rng), rules=make_rules(config, passive=passive)
        ),
        links=links,
        preference=config.preference,
        symbols=config.symbols(),
        stores=stores,
        notifiers=notifiers,
        observer=observer,
        status_file=state / "status.json",
        adopt=config.engine.foreign_positions == "adopt",
        live_accounts={
            name: each.live_account for name, each in config.brokers.items() if each.live_account
        }
        if live
        else {},
        anchor=anchor,
        about=_about(config, catalogue),
        agents=agents,
    )
    return Assembled(engine=Engine(wiring), feed=feed, bars=bars)


def _look_after(journal: Journal, config: Config, clock: Clock, *, passive: bool) -> None:
    """Hold the journal against its anchor, and archive it where it has grown long.

    Raises JournalError where it lost what was anchored, or is damaged. Archiving that fails is
    told of, and trading goes on: there is another start.
    """
    engine, problems = config.engine, []
    if engine.anchor is not None:
        key_file = journal.folder / "anchor.key"
        problems.append(require_anchored(journal, Path(engine.anchor), key_file))
    if due(journal, engine.archive_entries) and not passive:
        problems.append(archive(journal, clock, engine.retention_days).problem)
    for problem in filter(None, problems):
        body = {"level": Level.WARNING, "message": problem}
        journal.append("told", body, durable=True)


def _anchor(config: Config, state: Path) -> Anchor | None:
    """Return where the journal's head is written down besides, if anywhere."""
    if config.engine.anchor is None:
        return None
    return Anchor(Path(config.engine.anchor), state / "anchor.key")


def _about(config: Config, catalogue: Catalogue) -> dict[str, Any]:
    """Return what runs and how it is configured, without secrets, for the journal."""
    return {
        "mtquant": version("mtquant"),
        "python": platform.python_version(),
        "plugins": {
            f"{each.kind} {each.name}": f"{each.distribution} {each.version}"
            for each in catalogue.listings
        },
        "config": masked(config.model_dump(mode="json", exclude_none=True)),
    }


def check(config: Config, catalogue: Catalogue) -> None:
    """Make every plugin that ``config`` names, and throw it away again; nothing is opened.

    Raises ConfigError or PluginError where one can't be made.
    """
    check_common(config, catalogue)
    for name in config.strategies:
        make_strategies(config, catalogue, name)
    for name in config.brokers:
        locate(config, catalogue, name)


def check_common(config: Config, catalogue: Catalogue) -> None:
    """Make what belongs to no strategy and no broker: gate, stores, notifiers, market source.

    Raises ConfigError or PluginError where one can't be made.
    """
    make_gate(config, catalogue, ManualClock())
    for kind, tables in (("store", config.stores), ("notifier", config.notifiers)):
        for name, table in tables.items():
            extra = {"folder": config.engine.state_dir} if kind == "store" else {}
            settings = catalogue.get(kind, name).Settings
            settings.read(extra | dict(table), f"{kind}s.{name}")
    source = config.market.source
    if source is not None:
        catalogue.get("source", source.plugin).Settings.read(source.settings, "market.source")


def _recorded(config: Config, catalogue: Catalogue) -> dict[str, Bars]:
    """Return each traded symbol's recorded bars, none where the market is live."""
    table = config.market.source
    if config.market.feed == "live" or table is None:
        return {}
    source: Source[Any] = catalogue.make(
        "source", table.plugin, table.settings, where="market.source"
    )
    if source.timeframe() is not config.market.timeframe:
        raise ConfigError(
            "market.timeframe",
            f"{config.market.timeframe!r} is not that of source {table.plugin!r}",
            f"Set {source.timeframe()}.",
        )
    found = {symbol: source.bars(symbol) for symbol in config.symbols()}
    for symbol, bars in found.items():
        if not len(bars):
            raise ConfigError("market.source", f"has no bars of {symbol}", "Choose another range.")
    if not found:
        raise ConfigError("strategies", "none is configured", "A replay needs one.")
    return found


def _link(config: Config, catalogue: Catalogue, name: str, rng: Random) -> Link:
    endpoints, spelling = locate(config, catalogue, name)
    engine = config.engine
    watch = Watch(
        health_interval_s=engine.health_interval_s,
        backoff_s=engine.restart_backoff_s,
        backoff_limit_s=engine.restart_backoff_limit_s,
    )
    log = Path(engine.state_dir) / f"{name}.log"
    sessions = [
        Session(
            name if len(endpoints) == 1 else f"{name}#{index + 1}",
            connector(endpoint, engine.call_timeout_s, log),
            watch,
            rng,
        )
        for index, endpoint in enumerate(endpoints)
    ]
    return Link(name, sessions, spelling)


def locate(config: Config, catalogue: Catalogue, name: str) -> tuple[list[Endpoint], Spelling]:
    """Return the servers before account ``name``, and how its broker spells symbols."""
    table: BrokerTable = config.brokers[name]
    where = f"brokers.{name}"
    if table.plugin is None:
        tables = table.endpoints or (
            EndpointTable(command=table.command, server=table.server, token=table.token),
        )
        return [_endpoint(each, where) for each in tables], table.spelling or Spelling()
    settings = table.settings
    if table.spelling is not None:
        settings["spelling"] = table.spelling
    plugin = catalogue.make("broker", table.plugin, settings, where=where)
    endpoints = list(plugin.endpoints(name, config.engine.state_dir))
    return endpoints, Spelling.read(plugin.spelling(), f"{where}.spelling")


def _endpoint(table: EndpointTable, where: str) -> Endpoint:
    if bool(table.command) == bool(table.server):
        raise ConfigError(where, "says not exactly one of command and server", "Name one.")
    if table.server is None:
        return Endpoint(command=table.command)
    token = secret(table.token, f"{where}.token") if table.token else None
    return Endpoint(url=table.server, token=token)


def connector(endpoint: Endpoint, timeout_s: float, log: Path) -> Connect:
    """Return what opens a connection to ``endpoint``; a started server's stderr goes to ``log``.

    mcp is imported when the first connection is opened, not before.
    """

    @asynccontextmanager
    async def connect() -> AsyncIterator[Broker]:
        from mtquant.wire import Remote  # noqa: PLC0415 - heavy, and not needed to read a config

        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as handle:
            async with Remote(endpoint, timeout_s=timeout_s, errlog=handle) as broker:
                yield broker

    return connect
