"""What stands where: plugins, the pool of a running engine, breakers."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from inspect import getdoc
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mtquant.book import Book
from mtquant.clock import SystemClock
from mtquant.config import load_config
from mtquant.contract import parameters
from mtquant.decide import Event
from mtquant.errors import ConfigError, MtquantError
from mtquant.hooks import KINDS
from mtquant.journal import Journal
from mtquant.orders import OrderDesk
from mtquant.plugins import load_catalogue
from mtquant.recover import recover

_TEXT = {"Endpoint", "State"}


def show_plugin(kind: str, name: str, *, as_json: bool) -> None:
    """Print what one plugin is, and what can be set of it."""
    plugin = load_catalogue().get(kind, name)
    found = parameters(plugin.Settings)
    if as_json:
        rows = [asdict(each) | {"default": _plain(each.default)} for each in found]
        print(json.dumps({"kind": kind, "name": name, "parameters": rows}, default=str))  # noqa: T201 - for machines
        return
    out = Console()
    out.print(f"{kind} {name}: {getdoc(plugin) or ''}", highlight=False, markup=False)
    table = Table("Setting", "Type", "Default", "Bounds")
    for each in found:
        default = "required" if each.required else str(_plain(each.default))
        table.add_row(each.name, each.kind, default, each.bounds)
    out.print(table if found else "It has no settings.")
    out.print(getdoc(plugin.Settings) or "", highlight=False, markup=False)


def _plain(value: object) -> object:
    return "none" if value is None else value if isinstance(value, int | float) else str(value)


def show_plugins(kind: str | None = None, *, as_json: bool) -> None:
    """List every plugin, or those of one kind."""
    if kind is not None and kind not in KINDS:
        raise ConfigError("kind", f"{kind!r} is none", f"Kinds: {', '.join(KINDS)}.")
    listings = [each for each in load_catalogue().listings if kind in {None, each.kind}]
    out = Console()
    if as_json:
        print(json.dumps([asdict(each) | {"status": each.status} for each in listings]))  # noqa: T201 - for machines
        return
    table = Table()
    for head in ("Kind", "Name", "Distribution", "Version", "Status"):
        table.add_column(head)
    for each in listings:
        table.add_row(each.kind, each.name, each.distribution, each.version, each.status)
    out.print(table)
    for each in listings:
        if each.problem:
            line = f"{each.kind} {each.name} ({each.distribution}): {each.problem}"
            out.print(line, style="red", highlight=False, markup=False)


def show_status(path: Path, *, as_json: bool) -> None:
    """Show what the engine last wrote, and whether it still runs."""
    config = load_config(path)
    file = Path(config.engine.state_dir) / "status.json"
    if not file.exists():
        raise ConfigError(str(file), "no engine has run here", f"mtquant run --config {path}")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    found["running"] = not found["stopped"] and _alive(int(found["process_id"]))
    if as_json:
        print(json.dumps(found))  # noqa: T201 - for machines
        return
    _print_status(Console(), found)


def _print_status(out: Console, found: dict[str, Any]) -> None:
    state = f"running, process {found['process_id']}" if found["running"] else "not running"
    lines = [f"engine: {state}; as of {found['time']}"]
    lines += [
        f"{each['account']} takes no orders: {each['why']}"
        for each in found["accounts"]
        if each["why"]
    ]
    lines += [
        f"{each['account']}: the books differ: {sentence}; mtquant reconcile"
        for each in found["accounts"]
        for sentence in each["differs"]
    ]
    lines += [
        f"new exposure in {symbol} goes to {account or 'nowhere now'}"
        for symbol, account in found["routes"].items()
    ]
    lines += [
        f"{each['account']}: {each['quantity']} {each['instrument']} at {each['average_price']}"
        for each in found["positions"]
    ]
    lines += [
        f"open order {each['client_order_id']} {each['instrument']} at {each['account']}: "
        f"{each['stage']}"
        for each in found["open_orders"]
    ]
    out.print(_pool_table(found))
    for line in lines:
        out.print(line, highlight=False, markup=False)


def _pool_table(found: dict[str, Any]) -> Table:
    table = Table(title="Pool", title_justify="left")
    for head in ("Endpoint", "State", "Calls", "Errors", "p50 / p99 ms", "Restarts", "Up (s)"):
        table.add_column(head, no_wrap=True, justify="left" if head in _TEXT else "right")
    for account in found["accounts"]:
        for each in account["endpoints"]:
            latency = f"{each['p50_ms']} / {each['p99_ms']}" if each["p50_ms"] else "-"
            table.add_row(
                each["endpoint"],
                each["state"] if found["running"] else "stopped",
                str(each["calls"]),
                str(each["errors"]),
                latency,
                str(each["restarts"]),
                "-" if each["uptime_s"] is None else str(each["uptime_s"]),
            )
    return table


def _alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Whose breaker is reset, by whom and why; ``rebase_peak`` measures from the last equity on."""

    account: str
    by: str
    reason: str
    rebase_peak: bool


def show_breakers(path: Path, wanted: Reset | None, *, as_json: bool) -> None:
    """Show each account's breaker from the journal, or reset one with a name and a reason."""
    config = load_config(path)
    journal = Journal(Path(config.engine.state_dir), SystemClock())
    try:
        book = Book()
        recover(journal, book, OrderDesk(journal, SystemClock(), book, _deaf, _deaf))
        told = None if wanted is None else _reset(journal, book, wanted)
        states = {name: each.breaker for name, each in book.accounts.items() if each.breaker}
        if as_json:
            print(json.dumps({name: each.to_dict() for name, each in states.items()}))  # noqa: T201 - for machines
            return
        out = Console()
        for name, state in states.items():
            losses = ", ".join(f"{key} {value:.2%}" for key, value in state.losses.items())
            out.print(f"{name}: {state.level.name}; loss since {losses}", highlight=False)
        if told:
            out.print(told, highlight=False, markup=False)
    finally:
        journal.close()


def _reset(journal: Journal, book: Book, wanted: Reset) -> str:
    from mtquant.risk import reset  # noqa: PLC0415 - beside its only use

    account = book.accounts.get(wanted.account)
    if account is None or account.breaker is None:
        raise ConfigError("--reset", f"no breaker of {wanted.account!r}", "Name an account.")
    if not wanted.by or not wanted.reason:
        raise ConfigError("--by, --reason", "are missing", "Say who resets it, and why.")
    try:
        fresh = reset(
            account.breaker,
            wanted.by,
            wanted.reason,
            rebase_peak=wanted.rebase_peak,
            at=SystemClock().now(),
        )
    except ValueError as error:
        raise MtquantError(f"{wanted.account}: {error}") from None
    body = {
        "account": wanted.account,
        "state": fresh.to_dict(),
        "by": wanted.by,
        "why": wanted.reason,
    }
    journal.append("breaker", body, durable=True)
    account.breaker = fresh
    return f"{wanted.account}: reset to {fresh.level.name} by {wanted.by}: {wanted.reason}"


def _deaf(_: Event | object) -> None:
    """Recovery alone emits nothing."""
