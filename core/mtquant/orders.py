"""Orders: never sent twice, never lost.

    approved ─journal, fsync─▶ sent ─▶ acknowledged (new … filled | canceled | rejected | expired)
                                └─ timeout, disconnect, crash, unknown ─▶ in_doubt
    in_doubt ─ look up by client order id ─▶ acknowledged
             └ not there: fence it at its server ─▶ proven_absent (the wish is decided afresh)

A timed-out order is neither placed nor refused. It is looked up, at the account it went to, until
it is found or fenced: a fenced id can never act again, so only then may the wish be sent again,
under a new id and through the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from mtquant.book import ZERO, Book
from mtquant.clock import Clock
from mtquant.contract import Level
from mtquant.decide import AccountSeen, Close, Event, Filled, Opened, OrderMoved, Submit, Tell
from mtquant.errors import (
    ErrorCode,
    JournalError,
    Outcome,
    OutcomeUnknown,
    ReconciliationError,
    Refused,
)
from mtquant.journal import Journal
from mtquant.link import Link
from mtquant.model import (
    CloseRequest,
    Fill,
    OrderReport,
    OrderRequest,
    OrderStatus,
    Position,
    plain,
)

FILL = TypeAdapter(Fill)
POSITIONS = TypeAdapter(tuple[Position, ...])
_REQUEST: TypeAdapter[OrderRequest | CloseRequest] = TypeAdapter(OrderRequest | CloseRequest)

_COMPARISONS = 3


class Stage(StrEnum):
    """Where one of our orders stands, as we know it."""

    SENT = "sent"
    IN_DOUBT = "in_doubt"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    PROVEN_ABSENT = "proven_absent"


MOVES: dict[Stage, set[Stage]] = {
    Stage.SENT: {Stage.ACKNOWLEDGED, Stage.IN_DOUBT, Stage.REFUSED, Stage.PROVEN_ABSENT},
    Stage.IN_DOUBT: {Stage.ACKNOWLEDGED, Stage.PROVEN_ABSENT},
    Stage.ACKNOWLEDGED: {Stage.ACKNOWLEDGED},
    Stage.REFUSED: set(),
    Stage.PROVEN_ABSENT: set(),
}
"""The moves an order may make; a ticket comes into being as sent, when its intent is on disk."""


@dataclass(slots=True)
class Ticket:
    """One order of ours, from its intent on."""

    client_order_id: str
    account: str
    instrument: str
    opens: bool
    stage: Stage = Stage.SENT
    status: OrderStatus = OrderStatus.PENDING_NEW
    was_in_doubt: bool = False

    @property
    def settled(self) -> bool:
        """True once nothing more can come of it."""
        if self.stage is Stage.ACKNOWLEDGED:
            return self.status.terminal
        return self.stage in {Stage.REFUSED, Stage.PROVEN_ABSENT}

    def move(self, stage: Stage) -> None:
        """Go to ``stage``; a move that the table forbids is a fault of ours and raises."""
        if stage not in MOVES[self.stage]:
            raise JournalError(f"order {self.client_order_id} can't go {self.stage} -> {stage}")
        self.stage = stage


class OrderDesk:
    """Sends orders, follows them, and settles what is in doubt.

    ``emit`` takes each fact to the decider at once; ``tickets`` and ``cursors`` are what the
    journal remembered. ``adopt``: what an account holds at first sight is the strategies'.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        book: Book,
        emit: Callable[[Event], None],
        tell: Callable[[Tell], None],
        *,
        adopt: bool = False,
    ) -> None:
        self.tickets: dict[str, Ticket] = {}
        self.cursors: dict[str, str] = {}
        self._journal = journal
        self._clock = clock
        self._book = book
        self._emit = emit
        self._tell = tell
        self._adopt = adopt
        self._foreign: set[tuple[str, str]] = set()

    def in_doubt(self, account: str | None = None) -> list[Ticket]:
        """Return the tickets in doubt, of one account if it is named."""
        return [
            ticket
            for ticket in self.tickets.values()
            if ticket.stage is Stage.IN_DOUBT and account in {None, ticket.account}
        ]

    def register(self, effect: Submit | Close) -> Ticket:
        """Put an order's intent on disk. Only what this returns may be sent."""
        opens = isinstance(effect, Submit)
        request, symbol = (
            (effect.order, effect.order.instrument)
            if isinstance(effect, Submit)
            else (effect.close, effect.symbol)
        )
        body = {
            "client_order_id": request.client_order_id,
            "account": effect.account,
            "instrument": symbol,
            "side": (effect.order.side if isinstance(effect, Submit) else effect.side).value,
            "opens": opens,
            "cursor": self.cursors.get(effect.account),
            "person": effect.person,
            "request": _REQUEST.dump_python(request, mode="json", exclude_none=True),
        }
        self._journal.append("intent", body, durable=True)
        ticket = Ticket(
            request.client_order_id,
            effect.account,
            symbol,
            opens=opens,
        )
        self.tickets[ticket.client_order_id] = ticket
        return ticket

    async def send(self, link: Link, effect: Submit | Close, ticket: Ticket) -> None:
        """Send a registered order once and take in what is known of its fate."""
        try:
            if isinstance(effect, Submit):
                report = await link.place(effect.order)
            else:
                report = await link.close(effect.close)
        except OutcomeUnknown as error:
            self._doubt(ticket, str(error))
        except Refused as error:
            unsent = error.code is ErrorCode.NOT_CONNECTED and error.outcome is Outcome.NOT_SENT
            stage = Stage.PROVEN_ABSENT if unsent or error.fenced else Stage.REFUSED
            self._end(ticket, stage, f"{error.code}: {error}")
        else:
            await self._acknowledge(link, ticket, report)

    def _doubt(self, ticket: Ticket, why: str) -> None:
        ticket.move(Stage.IN_DOUBT)
        ticket.status, ticket.was_in_doubt = OrderStatus.IN_DOUBT, True
        self._note(ticket, why)
        self._emit(self._moved(ticket, why))
        self._tell(
            Tell(
                level=Level.ALARM,
                message=f"order {ticket.client_order_id} ({ticket.instrument}) at "
                f"{ticket.account} is in doubt: {why}",
            )
        )

    def _end(self, ticket: Ticket, stage: Stage, why: str) -> None:
        """Settle an order that did nothing: refused by the broker, or proven never to be there."""
        ticket.move(stage)
        ticket.status = OrderStatus.REJECTED
        self._note(ticket, why)
        self._emit(self._moved(ticket, why, absent=stage is Stage.PROVEN_ABSENT))
        self._tell(
            Tell(
                level=Level.WARNING,
                message=f"order {ticket.client_order_id} ({ticket.instrument}) at "
                f"{ticket.account}: {stage.value.replace('_', ' ')}: {why}",
            )
        )

    async def _acknowledge(self, link: Link, ticket: Ticket, report: OrderReport) -> None:
        """Take in a broker's report: first its executions, then its state.

        The order of the two matters. An order that is gone from the book before its executions
        are in it would look like a position never taken, and be sent again.
        """
        if report.client_order_id != ticket.client_order_id:
            raise ReconciliationError(
                f"{link.name} answered for order {report.client_order_id} when asked for "
                f"{ticket.client_order_id}"
            )
        fills = report.fills
        if sum(each.quantity for each in fills) != report.filled_quantity:
            fills = (await link.fills(order_id=report.order_id)).fills
        for fill in fills:
            self.take_fill(link.name, fill)
        if ticket.stage is Stage.ACKNOWLEDGED and ticket.status is report.status:
            return
        was_in_doubt = ticket.stage is Stage.IN_DOUBT
        ticket.move(Stage.ACKNOWLEDGED)
        ticket.status = report.status
        self._note(ticket, report.reason_text or str(report.reason or ""), report)
        self._emit(self._moved(ticket, report.reason_text or str(report.reason or "")))
        if was_in_doubt:
            message = (
                f"order {ticket.client_order_id} is no longer in doubt: {link.name} has it, "
                f"{report.status}"
            )
            self._tell(Tell(level=Level.INFO, message=message))

    def take_fill(self, account: str, fill: Fill) -> None:
        """Journal and emit an execution, once however often it is heard of."""
        if fill.execution_id in self._book.account(account).executions:
            return
        body = {"account": account, "fill": FILL.dump_python(fill, mode="json")}
        self._journal.append("fill", body)
        self._emit(Filled(time=self._clock.now(), name=account, fill=fill))

    async def catch_up(self, link: Link, wait_s: float = 0) -> None:
        """Take in everything that changed at an account since its cursor."""
        while True:
            found = await link.changes(self.cursors.get(link.name), wait_s)
            for fill in found.fills:
                self.take_fill(link.name, fill)
            for report in found.orders:
                await self._take_report(link, report)
            self._move_cursor(link.name, found.cursor)
            if not found.more:
                return
            wait_s = 0

    async def _take_report(self, link: Link, report: OrderReport) -> None:
        ticket = self.tickets.get(report.client_order_id or "")
        if ticket is not None and ticket.stage in {Stage.IN_DOUBT, Stage.ACKNOWLEDGED}:
            await self._acknowledge(link, ticket, report)
        key = (link.name, report.order_id)
        if ticket is None and report.client_order_id is not None and key not in self._foreign:
            self._foreign.add(key)
            body = {"account": link.name, "order_id": report.order_id, "id": report.client_order_id}
            self._journal.append("external_order", body)

    def _move_cursor(self, account: str, cursor: str) -> None:
        if self.cursors.get(account) != cursor:
            self.cursors[account] = cursor
            self._journal.append("cursor", {"account": account, "cursor": cursor})

    async def settle(self, link: Link) -> None:
        """Look up every order of the account that is in doubt; what stays unknown stays so."""
        for ticket in self.in_doubt(link.name):
            try:
                report = await link.order(ticket.client_order_id)
            except Refused as error:
                if error.code is ErrorCode.NOT_FOUND:
                    await self._prove_absent(link, ticket, fenced=error.fenced)
            except OutcomeUnknown:
                continue
            else:
                await self._acknowledge(link, ticket, report)

    async def _prove_absent(self, link: Link, ticket: Ticket, *, fenced: bool) -> None:
        """Make the id void at its server, so that a late copy of the order can't act."""
        try:
            if not fenced:
                await self._acknowledge(link, ticket, await link.fence(ticket.client_order_id))
                return
        except Refused as error:
            if not (error.code is ErrorCode.NOT_FOUND and error.fenced):
                return
        except OutcomeUnknown:
            return
        self._end(ticket, Stage.PROVEN_ABSENT, f"{link.name} never had it and never will")

    async def reconcile(self, link: Link) -> None:
        """Bring the book and the broker's record together; on every connect, before trading.

        Raises ReconciliationError where they still differ, BrokerError where the broker can't be
        asked.
        """
        if link.name not in self.cursors:
            await self._open(link)
        await self.settle(link)
        if link.stepped:
            moved = await link.advance(self._clock.now())
            self._emit(
                AccountSeen(
                    time=self._clock.now(),
                    name=link.name,
                    account=moved.account,
                    quotes=moved.quotes,
                )
            )
        await self.catch_up(link)
        for report in await link.working_orders():
            await self._take_report(link, report)
        differences: list[str] = []
        for attempt in range(_COMPARISONS):
            if attempt:
                # Something may have filled between two questions: hear of it, and look again.
                await self.catch_up(link)
            differences = await self._differences(link)
            if not differences:
                self._journal.append("reconciled", {"account": link.name}, durable=True)
                return
        body = {"account": link.name, "differences": differences}
        self._journal.append("mismatch", body, durable=True)
        raise ReconciliationError(f"{link.name}: {'; '.join(differences)}")

    async def _open(self, link: Link) -> None:
        """Note what an account holds at first sight: it isn't ours."""
        cursor: str | None = None
        more = True
        while more:
            found = await link.changes(cursor)
            cursor, more = found.cursor, found.more
        account, positions = await link.account(), await link.positions()
        body = {
            "account": link.name,
            "cursor": cursor,
            "currency": account.currency,
            "balance": plain(account.balance),
            "positions": POSITIONS.dump_python(positions, mode="json"),
            "adopt": self._adopt,
        }
        self._journal.append("opened", body, durable=True)
        self.cursors[link.name] = cursor or ""
        self._emit(
            Opened(
                time=self._clock.now(),
                name=link.name,
                account=account,
                positions=positions,
                adopt=self._adopt,
            )
        )

    async def _differences(self, link: Link) -> list[str]:
        """Return, in sentences, where the book and the broker's record differ."""
        book = self._book.account(link.name)
        theirs = {
            each.instrument: each.side.sign * each.quantity for each in await link.positions()
        }
        ours = {symbol: held.quantity for symbol, held in book.holdings.items()}
        differences = [
            f"{symbol}: we say {plain(ours.get(symbol, ZERO))}, "
            f"they say {plain(theirs.get(symbol, ZERO))}"
            for symbol in sorted({*ours, *theirs})
            if ours.get(symbol) != theirs.get(symbol)
        ]
        balance = (await link.account()).balance
        if balance != book.balance:
            differences.append(f"balance: we say {plain(book.balance)}, they say {plain(balance)}")
        return differences

    def _note(self, ticket: Ticket, why: str, report: OrderReport | None = None) -> None:
        body: dict[str, Any] = {
            "account": ticket.account,
            "client_order_id": ticket.client_order_id,
            "stage": ticket.stage.value,
            "status": ticket.status.value,
            "why": why,
        }
        if report is not None:
            body |= {
                "order_id": report.order_id,
                "filled": plain(report.filled_quantity),
                "average_price": report.average_price and plain(report.average_price),
            }
        self._journal.append("order", body)

    def _moved(self, ticket: Ticket, why: str, *, absent: bool = False) -> OrderMoved:
        return OrderMoved(
            time=self._clock.now(),
            name=ticket.account,
            client_order_id=ticket.client_order_id,
            status=ticket.status,
            reason=why,
            absent=absent,
        )


def unsettled(tickets: dict[str, Ticket]) -> list[Ticket]:
    """Return the tickets that something may still come of."""
    return [ticket for ticket in tickets.values() if not ticket.settled]
