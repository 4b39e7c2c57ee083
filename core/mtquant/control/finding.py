"""What stands at the brokers, for commands that act on it."""

from __future__ import annotations

from mtquant.engine import Engine
from mtquant.errors import ConfigError
from mtquant.link import Link
from mtquant.model import OrderReport, Position


def links(engine: Engine, broker: str | None) -> list[Link]:
    """Return the links of the named account, or of all.

    Raises ConfigError where there is none of that name.
    """
    found = engine.wiring.links
    if broker is None:
        return list(found.values())
    if broker not in found:
        raise ConfigError("broker", f"no broker {broker!r}", f"Brokers: {', '.join(found)}.")
    return [found[broker]]


async def open_positions(engine: Engine, broker: str | None) -> list[tuple[Link, Position]]:
    """Return every open position at the connected accounts, or at one."""
    found = []
    for link in links(engine, broker):
        if link.connected:
            found += [(link, each) for each in await link.positions()]
    return found


async def working_orders(engine: Engine, broker: str | None) -> list[tuple[Link, OrderReport]]:
    """Return every working order at the connected accounts, or at one."""
    found = []
    for link in links(engine, broker):
        if link.connected:
            found += [(link, each) for each in await link.working_orders()]
    return found


async def refresh(engine: Engine, account: str, symbol: str) -> None:
    """Take in the account's money, and the prices that an order in ``symbol`` is judged by."""
    link = engine.wiring.links[account]
    listed = link.symbols.instruments
    link.symbols.instrument(symbol)
    money = await link.account()
    book = engine.book.account(account)
    valued = {symbol, *book.holdings, *(each.instrument for each in book.working.values())}
    pairs = [{listed[name].quote, money.currency} for name in valued if name in listed]
    rates = {name for name, each in listed.items() if {each.base, each.quote} in pairs}
    quotes = await link.quotes(tuple(sorted((valued & listed.keys()) | rates)))
    await engine.desk.see(link, money, quotes)


def require_one(order: str, found: list[Link]) -> None:
    """Refuse an id under which several brokers have an order: each numbers its own."""
    if len(found) > 1:
        where = " and ".join(link.name for link in found)
        raise ConfigError("order", f"{order!r} is an order at {where}", "Name one with --broker.")
