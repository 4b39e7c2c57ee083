"""After a run: is our own book what the brokers' records say? Nothing of ours is believed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from mtquant.engine import Engine
from mtquant.errors import BrokerError, ErrorCode, Refused
from mtquant.link import Link
from mtquant.model import Fill, OrderReport, plain
from mtquant.orders import Stage, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the brokers' own records say of a run.

    ``lost`` names orders whose fate nobody knows or that their broker doesn't know;
    ``duplicated`` names client order ids under which more than one order lived, at one account
    or at several; ``differences`` are sentences.
    """

    executions: int
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """True where nothing was lost or doubled and the books agree."""
        return not (self.lost or self.duplicated or self.differences)


@dataclass(slots=True)
class _Lives:
    """Under which client order ids orders live, and which of them did something or still may."""

    count: Counter[str] = field(default_factory=Counter)
    acted: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)


async def audit(engine: Engine) -> Audit:
    """Ask every account for every execution and every order of ours, and compare."""
    differences: list[str] = []
    lives = _Lives()
    executions = 0
    for link in engine.wiring.links.values():
        try:
            fills = await _all_fills(link)
            differences += await _compare(engine, link, fills)
        except BrokerError as error:
            differences.append(f"{link.name} can't be asked: {error}")
            continue
        executions += len(fills)
        await _look_up(engine, link, fills, lives)
    lost = lives.unknown
    for ticket in engine.desk.tickets.values():
        if ticket.stage in {Stage.SENT, Stage.IN_DOUBT}:
            lost.append(ticket.client_order_id)
        # What a broker keeps of an order that it refused says nothing: that it did something would.
        refused = ticket.stage in {Stage.REFUSED, Stage.PROVEN_ABSENT}
        if refused and ticket.client_order_id in lives.acted:
            differences.append(f"{ticket.client_order_id} lives, and we say {ticket.stage}")
    return Audit(
        executions=executions,
        lost=tuple(lost),
        duplicated=tuple(name for name, count in lives.count.items() if count > 1),
        differences=tuple(differences),
    )


async def _look_up(engine: Engine, link: Link, fills: list[Fill], lives: _Lives) -> None:
    """Look every order of ours up at one account, and note where it lives."""
    executed: dict[str, set[str]] = defaultdict(set)
    for fill in fills:
        if fill.client_order_id is not None:
            executed[fill.client_order_id].add(fill.order_id)
    lives.acted |= executed.keys()
    for ticket in list(engine.desk.tickets.values()):  # the engine may go on trading meanwhile
        orders = set(executed.get(ticket.client_order_id, ()))
        report = await _order_at(link, ticket)
        if report is not None:
            orders.add(report.order_id)
            if not report.status.terminal:
                lives.acted.add(ticket.client_order_id)
        lives.count[ticket.client_order_id] += len(orders)
        if ticket.account == link.name and not orders and ticket.stage is Stage.ACKNOWLEDGED:
            lives.unknown.append(ticket.client_order_id)


async def _all_fills(link: Link) -> list[Fill]:
    found: list[Fill] = []
    cursor: str | None = None
    while True:
        page = await link.fills(since=cursor)
        found.extend(page.fills)
        cursor = page.next_cursor
        if not page.more:
            return found


async def _order_at(link: Link, ticket: Ticket) -> OrderReport | None:
    """Return the order under ``ticket``'s id at this account, None where there is none."""
    try:
        return await link.order(ticket.client_order_id)
    except Refused as error:
        if error.code is ErrorCode.NOT_FOUND:
            return None
        raise


async def _compare(engine: Engine, link: Link, fills: list[Fill]) -> list[str]:
    """Fold the broker's executions from nothing and set them against our book."""
    book = engine.book.account(link.name)
    differences = []
    ids = [fill.execution_id for fill in fills]
    if len(set(ids)) != len(ids):
        differences.append(f"{link.name} lists an execution twice")
    if missing := set(ids) ^ book.executions:
        differences.append(f"{link.name}: {len(missing)} executions are in one record only")
    held: dict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        held[fill.instrument] += fill.side.sign * fill.quantity
    for symbol in sorted({*held, *book.holdings}):
        ours = book.holdings[symbol].quantity if symbol in book.holdings else Decimal(0)
        if ours != held[symbol]:
            differences.append(
                f"{link.name} {symbol}: we hold {plain(ours)}, executions say {plain(held[symbol])}"
            )
    balance = (await link.account()).balance
    if balance != book.balance:
        differences.append(
            f"{link.name} balance: we say {plain(book.balance)}, they say {plain(balance)}"
        )
    return differences
