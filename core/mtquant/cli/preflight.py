"""What stands before trading begins: accounts, who holds what, and whether the books agree."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console
from rich.table import Table

from mtquant.book import AccountBook
from mtquant.engine import Engine
from mtquant.errors import BrokerError, ReconciliationError
from mtquant.link import Link
from mtquant.model import plain


async def preflight(engine: Engine, console: Console) -> None:
    """Print it.

    An account whose books differ, that is real money without leave, or that isn't reached, takes
    no orders; the others do, and the engine goes on trying.
    """
    for link in engine.wiring.links.values():
        await _look(engine, link)
    if engine.recovered.entries:
        console.print(f"recovered from {engine.recovered.entries:,} journal entries")
    table = Table(title="Preflight", title_justify="left")
    for head in ("Account", "At the broker", "Equity", "Holds", "Books", "Trades"):
        table.add_column(head, overflow="fold")
    for link in engine.wiring.links.values():
        table.add_row(*_row(link, engine.book.account(link.name)))
    console.print(table)
    for link in engine.wiring.links.values():
        state = link.state()
        if not state.tradable:
            text = f"{link.name}: not traded: {state.why}"
            console.print(text, style="yellow", highlight=False, markup=False)
    _modes(engine, console)
    if not any(link.state().tradable for link in engine.wiring.links.values()):
        remedy = "nothing can be traded yet: mtquant doctor tells what is wrong with each account"
        console.print(remedy, style="bold red")


async def _look(engine: Engine, link: Link) -> None:
    """Take in what the broker says of the account now."""
    with suppress(BrokerError, ReconciliationError):
        await engine.desk.see(link, await link.account())


def _row(link: Link, book: AccountBook) -> tuple[str, ...]:
    account = book.account
    where = f"{account.environment} {account.account_id}" if account else "-"
    equity = f"{account.equity:,.2f} {account.currency}" if account else "-"
    held = [
        f"{plain(holding.quantity)} {symbol}"
        + ("" if book.ours(symbol) == holding.quantity else " (not all ours)")
        for symbol, holding in book.holdings.items()
    ]
    differ = bool(link.differing) or "books differ" in link.blocked
    books = "differ" if differ else "agree" if account else "-"
    return (
        link.name,
        where,
        equity,
        ", ".join(held) or "flat",
        books,
        "yes" if link.state().tradable else "no",
    )


def _modes(engine: Engine, console: Console) -> None:
    """Say which strategies don't send their orders by themselves."""
    decider = engine.wiring.decider
    for name in decider.rules.modes:
        mode = decider.pursuit.mode(engine.book, (name,))
        if mode != "auto":
            console.print(f"{name}: {mode} mode", highlight=False)
    waiting = len(engine.book.suggestions)
    if waiting:
        console.print(f"{waiting} suggestions wait: mtquant suggestions", highlight=False)
