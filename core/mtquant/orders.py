"""Orders: never sent twice, never lost.

    approved ─journal, fsync─▶ sent ─▶ acknowledged (new … filled | canceled | rejected | expired)
                                └─ timeout, disconnect, crash, unknown ─▶ in_doubt
    in_doubt ─ look up by client order id ─▶ acknowledged
             ├ not there: fence it at its server ─▶ proven_absent (the wish is decided afresh)
             └ a person says that it isn't there ─▶ refused

A timed-out order is neither placed nor refused. It is looked up, at the account it went to, until
it is found or fenced: a fenced id can never act again, so only then may the wish be sent again,
under a new id and through the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from mtquant.book import ZERO, Book, Holding
from mtquant.clock import Clock
from mtquant.comparison import Compared, Comparison
from mtquant.contract import Level
from mtquant.decide import (
    AccountSeen,
    CashMoved,
    Close,
    Event,
    Filled,
    Opened,
    OrderMoved,
    Submit,
    Tell,
)
from mtquant.desk_ports import Entries, TradingLink
from mtquant.errors import (
    BrokerError,
    ErrorCode,
    JournalError,
    Outcome,
    OutcomeUnknown,
    ReconciliationError,
    Refused,
)
from mtquant.model import (
    Account,
    CashFlow,
    CloseRequest,
    Fill,
    OrderReport,
    OrderRequest,
    OrderStatus,
    Position,
    Quote,
    Side,
    plain,
)

FILL = TypeAdapter(Fill)
CASH_FLOW = TypeAdapter(CashFlow)
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
    Stage.IN_DOUBT: {Stage.ACKNOWLEDGED, Stage.PROVEN_ABSENT, Stage.REFUSED},
    Stage.ACKNOWLEDGED: {Stage.ACKNOWLEDGED},
    Stage.REFUSED: set(),
    Stage.PROVEN_ABSENT: set(),
}
"""The moves an order may make; a ticket comes into being as sent, when its intent is on disk."""


@dataclass(slots=True)
class Doubt:
    """Since when and why an order is in doubt; ``looks`` counts this engine's look-ups.

    ``last`` is why the newest of them settled nothing.
    """

    since: int
    why: str
    looks: int = 0
    last: str = ""


@dataclass(slots=True, kw_only=True)
class Ticket:
    """One order of ours, from its intent at ``time`` on.

    ``heard`` is what the account's changes told of it while its answer was awaited.
    """

    client_order_id: str
    account: str
    instrument: str
    side: Side
    quantity: Decimal
    opens: bool
    time: int
    stage: Stage = Stage.SENT
    status: OrderStatus = OrderStatus.PENDING_NEW
    was_in_doubt: bool = False
    doubt: Doubt | None = None
    heard: OrderReport | None = None

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
        self.doubt = None

    def come_into_doubt(self, since: int, why: str) -> None:
        """Note that it isn't known whether the order lives."""
        self.stage, self.status, self.was_in_doubt = Stage.IN_DOUBT, OrderStatus.IN_DOUBT, True
        self.doubt = Doubt(since, why)


class OrderDesk:
    """Sends orders, follows them, and settles what is in doubt.

    ``emit`` takes each fact to the decider at once, ``sending`` hears of each order whose intent is
    on disk and that goes out now; ``tickets`` and ``cursors`` are what the journal remembered.
    ``adopt``: what an account holds at first sight is the strategies'.
    """

    def __init__(  # noqa: PLR0913 - what sending takes
        self,
        journal: Entries,
        clock: Clock,
        book: Book,
        emit: Callable[[Event], None],
        tell: Callable[[Tell], None],
        *,
        sending: Callable[[Ticket], object] = lambda _ticket: None,
        adopt: bool = False,
    ) -> None:
        self.tickets: dict[str, Ticket] = {}
        self.cursors: dict[str, str] = {}
        self._journal = journal
        self._clock = clock
        self._book = book
        self._emit = emit
        self._tell = tell
        self._sending = sending
        self._adopt = adopt
        self._foreign: set[tuple[str, str]] = set()
        self._unanswered: dict[str, set[str]] = {}
        self._mismatches: dict[str, list[str]] = {}

    def in_doubt(self, account: str | None = None) -> list[Ticket]:
        """Return the tickets in doubt, of one account if it is named."""
        return [
            ticket
            for ticket in self.tickets.values()
            if ticket.stage is Stage.IN_DOUBT and account in {None, ticket.account}
        ]

    def register(self, effect: Submit | Close) -> Ticket:
        """Write down an order's intent. Only what this returns may be sent.

        It is put on disk when it is sent, so that orders that are made together cost one commit.
        """
        opens = isinstance(effect, Submit)
        request, symbol, side = (
            (effect.order, effect.order.instrument, effect.order.side)
            if isinstance(effect, Submit)
            else (effect.close, effect.symbol, effect.side)
        )
        body = {
            "client_order_id": request.client_order_id,
            "account": effect.account,
            "instrument": symbol,
            "side": side.value,
            "opens": opens,
            "cursor": self.cursors.get(effect.account),
            "person": effect.person,
            "request": _REQUEST.dump_python(request, mode="json", exclude_none=True),
        }
        if isinstance(effect, Submit) and effect.notional is not None:
            body["notional"] = plain(effect.notional)
        self._journal.append("intent", body)
        ticket = Ticket(
            client_order_id=request.client_order_id,
            account=effect.account,
            instrument=symbol,
            side=side,
            quantity=request.quantity or ZERO,
            opens=opens,
            time=self._clock.now(),
        )
        self.tickets[ticket.client_order_id] = ticket
        return ticket

    async def send(self, link: TradingLink, effect: Submit | Close, ticket: Ticket) -> None:
        """Send a registered order once and take in what is known of its fate.

        Raises JournalError where its intent can't be put on disk: then it isn't sent.
        """
        self._journal.flush()
        self._sending(ticket)
        try:
            if isinstance(effect, Submit):
                report = await link.place(effect.order)
            else:
                report = await link.close(effect.close)
        except OutcomeUnknown as error:
            self._unanswered.setdefault(link.name, set()).add(ticket.client_order_id)
            if ticket.heard is None:
                self._doubt(ticket, str(error))
        except Refused as error:
            await self._refused(link, ticket, error)
        else:
            await self._answered(link, ticket, report)
        if ticket.heard is not None:
            # The changes come in their order, so they are never older than the answer.
            heard, ticket.heard = ticket.heard, None
            await self._answered(link, ticket, heard)

    async def _answered(self, link: TradingLink, ticket: Ticket, report: OrderReport) -> None:
        try:
            await self._acknowledge(link, ticket, report)
        except (BrokerError, ReconciliationError) as error:
            # It lives, but its executions can't be had: it is looked up until they can.
            if ticket.stage is Stage.SENT:
                self._doubt(ticket, str(error))
            raise

    async def _refused(self, link: TradingLink, ticket: Ticket, error: Refused) -> None:
        """Settle an order that was turned away.

        Where a server answers that it sent nothing on, the id is free there, and a copy of the
        request that is still on the way could act: the id is made void first.
        """
        why = f"{error.code}: {error}"
        if error.outcome is Outcome.NOT_SENT and error.answered and not error.fenced:
            try:
                found = await self._fence(link, ticket)
            except BrokerError as failure:
                self._doubt(ticket, f"{why}; its id can't be made void: {failure}")
                return
            if found is not None:
                await self._answered(link, ticket, found)
                return
        unsent = error.code is ErrorCode.NOT_CONNECTED and error.outcome is Outcome.NOT_SENT
        stage = Stage.PROVEN_ABSENT if unsent or error.fenced else Stage.REFUSED
        self._end(ticket, stage, why)

    def _doubt(self, ticket: Ticket, why: str) -> None:
        ticket.move(Stage.IN_DOUBT)
        ticket.come_into_doubt(self._clock.now(), why)
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

    async def _acknowledge(self, link: TradingLink, ticket: Ticket, report: OrderReport) -> None:
        """Take in a broker's report: first its executions, then its state.

        The order of the two matters. An order that is gone from the book before its executions
        are in it would look like a position never taken, and be sent again.
        """
        if report.client_order_id != ticket.client_order_id:
            raise ReconciliationError(
                f"{link.name} answered for order {report.client_order_id} when asked for "
                f"{ticket.client_order_id}"
            )
        if report.instrument != ticket.instrument:
            raise ReconciliationError(
                f"{link.name} has order {ticket.client_order_id} in {report.instrument}, and it "
                f"was sent in {ticket.instrument}"
            )
        fills = report.fills
        if sum(each.quantity for each in fills) != report.filled_quantity:
            fills = (await link.fills(order_id=report.order_id)).fills
        for fill in fills:
            self.take_fill(link.name, fill)
        # What has ended stays so: of two reports that cross, the older may be heard last.
        if ticket.settled or (
            ticket.stage is Stage.ACKNOWLEDGED and ticket.status is report.status
        ):
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

    def _take_cash_flow(self, account: str, cash_flow: CashFlow) -> None:
        if cash_flow.cash_flow_id not in self._book.account(account).cash_flows:
            body = CASH_FLOW.dump_python(cash_flow, mode="json")
            self._journal.append("cash_moved", {"account": account, "cash_flow": body})
            self._emit(CashMoved(time=self._clock.now(), name=account, cash_flow=cash_flow))

    async def see(
        self, link: TradingLink, account: Account, quotes: tuple[Quote, ...] = ()
    ) -> None:
        """Take in what a broker says of an account's money; first, what has moved it.

        A deposit that was heard of after the equity that it made would be judged as a profit.
        Raises BrokerError or ReconciliationError as :meth:`catch_up` does.
        """
        if account.balance != self._book.account(link.name).balance:
            await self.catch_up(link)
        time = self._clock.now()
        self._emit(AccountSeen(time=time, name=link.name, account=account, quotes=quotes))

    async def catch_up(self, link: TradingLink, wait_s: float = 0) -> None:
        """Take in everything that changed at an account since its cursor."""
        while True:
            found = await link.changes(self.cursors.get(link.name), wait_s)
            for fill in found.fills:
                self.take_fill(link.name, fill)
            for cash_flow in found.cash_flows:
                self._take_cash_flow(link.name, cash_flow)
            for report in found.orders:
                await self._take_report(link, report)
            self._move_cursor(link.name, found.cursor)
            if not found.more:
                return
            wait_s = 0

    async def _take_report(self, link: TradingLink, report: OrderReport) -> None:
        ticket = self.tickets.get(report.client_order_id or "")
        if ticket is not None and ticket.stage is Stage.SENT:
            ticket.heard = report
        elif ticket is not None and ticket.stage in {Stage.IN_DOUBT, Stage.ACKNOWLEDGED}:
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

    def asks(self, account: str) -> bool:
        """Tell whether an order of ``account`` is to be looked up: see :meth:`settle`."""
        return bool(self.in_doubt(account) or self._unanswered.get(account))

    async def settle(self, link: TradingLink) -> None:
        """Look up every order of the account that is in doubt; what stays unknown stays so.

        One whose answer was lost is looked up even where its fate was heard otherwise: its server,
        which may have died between sending and writing down, learns it by being asked.
        """
        for ticket in self.in_doubt(link.name):
            await self._look_up(link, ticket)
        lost = self._unanswered.get(link.name, set())
        for client_order_id in sorted(lost):
            if self.tickets[client_order_id].stage is Stage.IN_DOUBT:
                continue
            try:
                await link.order(client_order_id)
            except BrokerError as error:
                if error.outcome is Outcome.UNKNOWN or error.code is ErrorCode.NOT_CONNECTED:
                    continue
            lost.discard(client_order_id)

    async def settle_by_person(self, link: TradingLink, ticket: Ticket, by: str, why: str) -> None:
        """Look an order in doubt up once more; if it stays so, a person's word is that it isn't.

        Should it act after all, its executions are booked as ours when they are heard of.
        """
        await self._look_up(link, ticket)
        if ticket.stage is not Stage.IN_DOUBT:
            return
        body = {"account": ticket.account, "client_order_id": ticket.client_order_id}
        last = ticket.doubt.last if ticket.doubt else ""
        body |= {"by": by, "why": why, "last_answer": last}
        self._journal.append("settled_by_person", body, durable=True)
        self._end(ticket, Stage.REFUSED, f"{by} says that it isn't there: {why}")
        self._journal.flush()

    async def _look_up(self, link: TradingLink, ticket: Ticket) -> None:
        if ticket.doubt is not None:
            ticket.doubt.looks += 1
        try:
            report = await link.order(ticket.client_order_id)
        except Refused as error:
            if error.code is ErrorCode.NOT_FOUND:
                await self._prove_absent(link, ticket, fenced=error.fenced)
            else:
                _unsettled(ticket, f"not looked up: {error}")
        except OutcomeUnknown as error:
            _unsettled(ticket, f"not looked up: {error}")
        else:
            await self._acknowledge(link, ticket, report)

    async def _prove_absent(self, link: TradingLink, ticket: Ticket, *, fenced: bool) -> None:
        """Settle an order that isn't found, once its id is void at its server."""
        if not fenced:
            try:
                found = await self._fence(link, ticket)
            except BrokerError as error:
                _unsettled(ticket, f"not found, and not fenced: {error}")
                return
            if found is not None:
                await self._acknowledge(link, ticket, found)
                return
        self._end(ticket, Stage.PROVEN_ABSENT, f"{link.name} never had it and never will")

    @staticmethod
    async def _fence(link: TradingLink, ticket: Ticket) -> OrderReport | None:
        """Make an id void at its server, so that no late copy of its order can act.

        Return the order where it lives after all: it has been cancelled, if it could be. Raises
        BrokerError where it isn't known to be void.
        """
        try:
            return await link.fence(ticket.client_order_id)
        except Refused as error:
            if error.code is ErrorCode.NOT_FOUND and error.fenced:
                return None
            raise

    async def reconcile(self, link: TradingLink) -> Comparison:
        """Bring the book and the broker's record together, and return how they compare.

        On every connect, before trading, and while they differ. Raises BrokerError where the
        broker can't be asked, ReconciliationError where his answer is of another order.
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
        found = await self.compare(link)
        for _ in range(_COMPARISONS - 1):
            if found.agrees:
                break
            # Something may have filled between two questions: hear of it, and look again.
            await self.catch_up(link)
            found = await self.compare(link)
        differences = found.sentences
        if not differences:
            self._journal.append("reconciled", {"account": link.name}, durable=True)
        elif self._mismatches.get(link.name) != differences:
            # It is compared again and again: what hasn't changed is in the journal already.
            body = {"account": link.name, "differences": differences}
            self._journal.append("mismatch", body, durable=True)
        self._mismatches[link.name] = differences
        return found

    async def _open(self, link: TradingLink) -> None:
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

    async def compare(self, link: TradingLink) -> Comparison:
        """Set the broker's record beside the book as it stands."""
        name = link.name
        theirs: dict[str, Holding] = {}
        for each in await link.positions():
            # Where several positions are open in an instrument, their net is what we keep.
            before = theirs.get(each.instrument, Holding(ZERO, ZERO))
            theirs[each.instrument] = before.after(each.side, each.quantity, each.average_price)
        account = await link.account()
        book = self._book.account(name)
        if book.expected is not None:
            # A deposit that was told of and came while nobody looked is no difference.
            self._emit(AccountSeen(time=self._clock.now(), name=name, account=account))
        positions = []
        for symbol in sorted({*book.holdings, *theirs}):
            held = book.holdings.get(symbol)
            their = theirs.get(symbol, Holding(ZERO, ZERO))
            compared = Compared(
                instrument=symbol,
                ours=held.quantity if held else ZERO,
                strategies=book.ours(symbol),
                theirs=their.quantity,
                average_price=their.average_price,
            )
            positions.append(compared)
        return Comparison(
            account=name,
            positions=tuple(positions),
            our_balance=book.balance,
            their_balance=account.balance,
        )

    async def compare_at_rest(self, link: TradingLink) -> Comparison:
        """Compare with nothing executed meanwhile: what was counted once isn't counted again.

        Raises ReconciliationError where the account doesn't come to rest.
        """
        book = self._book.account(link.name)
        for _ in range(_COMPARISONS):
            known = len(book.executions), len(book.cash_flows)
            found = await self.compare(link)
            await self.catch_up(link)
            if (len(book.executions), len(book.cash_flows)) == known:
                return found
        raise ReconciliationError(f"{link.name} trades while it is compared: say it again")

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


def _unsettled(ticket: Ticket, why: str) -> None:
    if ticket.doubt is not None:
        ticket.doubt.last = why


def unsettled(tickets: dict[str, Ticket]) -> list[Ticket]:
    """Return the tickets that something may still come of."""
    return [ticket for ticket in tickets.values() if not ticket.settled]
