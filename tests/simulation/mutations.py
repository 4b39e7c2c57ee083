"""Deliberate faults of the order path: what the simulation must notice, or it proves nothing.

Each is one plausible mistake, patched into the product's classes while a run lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from tests.simulation.faults import KINDS
from tests.simulation.world import simulate

import mtquant.engine
import mtquant.ledger
import mtquant.link
import mtquant.pool
import mtquant.recover
import mtquant.wire.remote
from mtquant.book import AccountBook, Book, Working
from mtquant.clock import SECOND
from mtquant.control.arguments import CancelArguments
from mtquant.control.trading import Trading
from mtquant.decide import Close
from mtquant.decide.flow import Flow
from mtquant.engine import Engine
from mtquant.errors import BrokerError, OutcomeUnknown, Refused
from mtquant.journal import Entry, Journal
from mtquant.ledger import Ledger, Row
from mtquant.link import Link
from mtquant.model import CloseRequest, Fill, OrderReport, OrderRequest, OrderStatus
from mtquant.orders import OrderDesk, Stage, Ticket
from mtquant.pool import Session, first_able
from mtquant.recover import Recovered, recover
from mtquant.wire.guard import Guard

Patch = Callable[[ExitStack], None]
MOST = 500


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mistake in words, what makes it, the faults it is met with, and at whose account."""

    what: str
    make: Patch
    kinds: tuple[str, ...]
    broker: str


MUTATIONS: dict[str, Mutation] = {}


def mutation(
    what: str, kinds: tuple[str, ...] = KINDS, broker: str = "paper"
) -> Callable[[Patch], Patch]:
    """Enter what it decorates among the mutations, under its name."""

    def register(make: Patch) -> Patch:
        MUTATIONS[make.__name__] = Mutation(what, make, kinds, broker)
        return make

    return register


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Make the mistake called ``name`` for a while."""
    with ExitStack() as stack:
        MUTATIONS[name].make(stack)
        yield


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many seeds a mutation took to be caught, None where it wasn't; and what caught it."""

    name: str
    seeds: int | None
    why: str


def hunt(name: str, most: int = MOST, first: int = 0) -> Verdict:
    """Run seeds until the mutation is noticed in one that is clean without it."""
    kinds, broker = MUTATIONS[name].kinds, MUTATIONS[name].broker
    for count in range(1, most + 1):
        seed = first + count - 1
        with mutated(name):
            found = simulate(seed, kinds, broker).failures
        if found and not simulate(seed, kinds, broker).failures:
            return Verdict(name, count, found[0])
    return Verdict(name, None, "")


def swap(stack: ExitStack, owner: object, name: str, what: object) -> None:
    """Let ``owner`` have something else under a name, for a while."""
    stack.enter_context(patch.object(owner, name, what))


@mutation("a timed-out order is sent again under a new id")
def resend_under_a_new_id(stack: ExitStack) -> None:
    place = Link.place

    async def twice(self: Link, order: OrderRequest) -> OrderReport:
        try:
            return await place(self, order)
        except OutcomeUnknown:
            cid = order.client_order_id
            again = replace(order, client_order_id=f"{cid[:-1]}{'0' if cid[-1] != '0' else '1'}")
            report = await place(self, again)
            return replace(report, client_order_id=cid)

    swap(stack, Link, "place", twice)


@mutation("an order in doubt is taken for absent at once, and its wish decided afresh")
def reroute_without_proof(stack: ExitStack) -> None:
    def absent(self: OrderDesk, ticket: Ticket, why: str) -> None:
        self._end(ticket, Stage.PROVEN_ABSENT, why)

    swap(stack, OrderDesk, "_doubt", absent)


@mutation("an order in doubt is taken for refused")
def timeout_is_a_refusal(stack: ExitStack) -> None:
    def refused(self: OrderDesk, ticket: Ticket, why: str) -> None:
        self._end(ticket, Stage.REFUSED, why)

    swap(stack, OrderDesk, "_doubt", refused)


@mutation("a server's outcome_unknown is read as a refusal")
def ignore_outcome_unknown(stack: ExitStack) -> None:
    read = mtquant.wire.remote.error_in

    def refusal(result: Any) -> BrokerError | None:  # noqa: ANN401 - the SDK's
        error = read(result)
        if isinstance(error, OutcomeUnknown):
            return Refused("broker_rejected", error.message)
        return error

    swap(stack, mtquant.wire.remote, "error_in", refusal)


@mutation("a restart forgets what was in doubt")
def forget_doubts_on_restart(stack: ExitStack) -> None:
    def forgetting(journal: Journal, book: Book, desk: OrderDesk) -> Recovered:
        found = recover(journal, book, desk)
        for ticket in [*desk.in_doubt()]:
            del desk.tickets[ticket.client_order_id]
            book.account(ticket.account).done(ticket.client_order_id)
        return found

    swap(stack, mtquant.engine, "recover", forgetting)


@mutation("a restart takes what was sent and not answered for refused")
def restart_takes_sent_for_refused(stack: ExitStack) -> None:
    def hasty(journal: Journal, book: Book, desk: OrderDesk) -> Recovered:
        found = recover(journal, book, desk)
        for ticket in desk.in_doubt():
            ticket.stage, ticket.status = Stage.REFUSED, OrderStatus.REJECTED
            book.account(ticket.account).done(ticket.client_order_id)
        return found

    swap(stack, mtquant.engine, "recover", hasty)


@mutation("an execution that is heard of twice is counted twice")
def count_a_fill_twice(stack: ExitStack) -> None:
    take, fold = OrderDesk.take_fill, AccountBook.fold

    def taken(self: OrderDesk, account: str, fill: Fill) -> None:
        self._book.account(account).executions.discard(fill.execution_id)
        take(self, account, fill)

    def folded(self: AccountBook, fill: Fill) -> bool:
        self.executions.discard(fill.execution_id)
        return fold(self, fill)

    swap(stack, OrderDesk, "take_fill", taken)
    swap(stack, AccountBook, "fold", folded)


@mutation("the cursor isn't read back from the journal")
def drop_the_cursor(stack: ExitStack) -> None:
    folds: Any = mtquant.recover._FOLDS
    stack.enter_context(patch.dict(folds, {"cursor": lambda *_: None}))


@mutation("the cursor moves on past executions that weren't taken in")
def skip_past_executions(stack: ExitStack) -> None:
    changes = Link.changes

    async def without_fills(self: Link, since: str | None, wait_s: float = 0) -> Any:  # noqa: ANN401 - the model's
        found = await changes(self, since, wait_s)
        return replace(found, fills=())

    swap(stack, Link, "changes", without_fills)


@mutation("not found is proof enough: no fence")
def settle_without_a_fence(stack: ExitStack) -> None:
    async def believed(self: OrderDesk, link: Link, ticket: Ticket, *, fenced: bool) -> None:
        del fenced
        self._end(ticket, Stage.PROVEN_ABSENT, f"{link.name} says it isn't there")

    swap(stack, OrderDesk, "_prove_absent", believed)


@mutation("the intent is written after the order was sent")
def journal_after_sending(stack: ExitStack) -> None:
    send, append = OrderDesk.send, Journal.append
    kept: dict[str, tuple[Journal, dict[str, Any]]] = {}

    def held_back(
        self: Journal, kind: str, body: dict[str, Any], *, durable: bool = False
    ) -> Entry:
        if kind == "intent":
            kept[body["client_order_id"]] = self, body
            return Entry(0, 0, kind, body)
        return append(self, kind, body, durable=durable)

    async def sent(self: OrderDesk, link: Link, effect: Any, ticket: Ticket) -> None:  # noqa: ANN401 - an effect
        try:
            await send(self, link, effect, ticket)
        finally:
            journal, body = kept.pop(ticket.client_order_id)
            if not getattr(journal, "dead", False):
                append(journal, "intent", body, durable=True)

    swap(stack, Journal, "append", held_back)
    swap(stack, OrderDesk, "send", sent)


@mutation("a durable entry isn't committed")
def no_commit(stack: ExitStack) -> None:
    append = Journal.append

    def lazy(self: Journal, kind: str, body: dict[str, Any], *, durable: bool = False) -> Entry:
        del durable
        return append(self, kind, body)

    def later(self: Journal) -> None:
        del self

    swap(stack, Journal, "append", lazy)
    swap(stack, Journal, "flush", later)


@mutation("a position is closed at the other account")
def close_at_the_wrong_account(stack: ExitStack) -> None:
    dispatch = Engine._dispatch

    def crossed(self: Engine, effect: Any) -> None:  # noqa: ANN401 - an effect
        if isinstance(effect, Close):
            names = [each for each in self.wiring.links if each != effect.account]
            effect = replace(effect, account=names[0])
        dispatch(self, effect)

    swap(stack, Engine, "_dispatch", crossed)


@mutation("an order in doubt holds up no other order in its instrument")
def trade_on_in_doubt(stack: ExitStack) -> None:
    def busy(self: Flow, symbol: str) -> bool:
        return any(
            each.instrument == symbol and each.status is not OrderStatus.IN_DOUBT
            for book in self.book.accounts.values()
            for each in book.working.values()
        )

    def unsure(self: Flow, symbol: str) -> bool:
        del self, symbol
        return False

    swap(stack, Flow, "busy", busy)
    swap(stack, Flow, "unsure", unsure)


@mutation("an order in doubt counts in no limit")
def doubt_does_not_count(stack: ExitStack) -> None:
    doubt = OrderDesk._doubt

    def uncounted(self: OrderDesk, ticket: Ticket, why: str) -> None:
        book = self._book.account(ticket.account)
        working: Working = book.working[ticket.client_order_id]
        take = book.exposures.work if working.opens else book.exposures.close
        take(working.instrument, working.side, -working.quantity)
        doubt(self, ticket, why)

    swap(stack, OrderDesk, "_doubt", uncounted)


@mutation("an order is done with before its executions are in the book")
def done_before_its_executions(stack: ExitStack) -> None:
    acknowledge = OrderDesk._acknowledge

    async def hasty(self: OrderDesk, link: Link, ticket: Ticket, report: OrderReport) -> None:
        nothing = replace(report, fills=(), filled_quantity=report.filled_quantity * 0)
        await acknowledge(self, link, ticket, nothing)

    swap(stack, OrderDesk, "_acknowledge", hasty)


@mutation("the server sends what it is given, however often: no ledger before the broker")
def no_ledger(stack: ExitStack) -> None:
    async def every_time(self: Guard, request: Any, send: Any) -> OrderReport:  # noqa: ANN401 - as the guard
        del self
        report: OrderReport = await send(request)
        return report

    swap(stack, Guard, "_once", every_time)


@mutation("the server's ledger is written after the broker was asked")
def ledger_after_sending(stack: ExitStack) -> None:
    begin, send = Ledger.begin, Guard._send

    def looked_up(self: Ledger, request: Any) -> Row | None:  # noqa: ANN401 - as the ledger
        return self.find(request.client_order_id)

    async def sent(self: Guard, request: Any, act: Any) -> OrderReport:  # noqa: ANN401 - as the guard
        async def then_written(order: OrderRequest | CloseRequest) -> OrderReport:
            try:
                report: OrderReport = await act(order)
            finally:
                if not getattr(self._ledger, "dead", False):
                    begin(self._ledger, order)
            return report

        return await send(self, request, then_written)

    swap(stack, Ledger, "begin", looked_up)
    swap(stack, Guard, "_send", sent)


@mutation("what a dead server was sending counts as never sent")
def a_crash_frees_the_id(stack: ExitStack) -> None:
    def freed(self: Ledger) -> None:
        for account, cid, owner in self._db.execute(
            "SELECT account, client_order_id, owner FROM orders WHERE state = 'pending'"
        ).fetchall():
            ours = owner == self._owner
            if not (cid in self._sending if ours else self._lives(owner)):
                self._db.execute(
                    "UPDATE orders SET state = 'void' WHERE account = ? AND client_order_id = ?",
                    (account, cid),
                )

    swap(stack, Ledger, "_forsake", freed)


@mutation("a venue's not found is believed at once, whatever its settling window")
def no_settling_window(stack: ExitStack) -> None:
    async def none(self: Guard) -> int:
        del self
        return -1

    swap(stack, Guard, "_settling", none)


@mutation("cancelling an unknown id says that it is fenced, and fences nothing")
def a_fence_of_paper(stack: ExitStack) -> None:
    def pretended(self: Ledger, client_order_id: str) -> Row:
        return self._row(client_order_id) or Row("", mtquant.ledger.State.VOID, "")

    swap(stack, Ledger, "fence", pretended)


@mutation("after an unknown outcome the next server of the account is tried")
def try_the_next_server_in_doubt(stack: ExitStack) -> None:
    async def eager(sessions: Any, use: Any, *, waits: bool = False) -> Any:  # noqa: ANN401 - as the pool
        try:
            return await first_able(sessions, use, waits=waits)
        except OutcomeUnknown:
            return await first_able(sessions[::-1], use, waits=waits)

    swap(stack, mtquant.link, "first_able", eager)


@mutation("a fault of a call changes nothing: only the health check is believed")
def trust_the_health_check(stack: ExitStack) -> None:
    def nothing(self: Session, problem: str) -> None:
        del self, problem

    swap(stack, Session, "_suspect", nothing)


@mutation("a server that is healthy and knows of no doubt is believed: the order isn't there")
def believe_a_healthy_server(stack: ExitStack) -> None:
    settle = OrderDesk.settle

    async def believed(self: OrderDesk, link: Link) -> None:
        healthy = [each.health for each in link.sessions if each.health]
        if healthy and not any(each.unknown_orders for each in healthy):
            for ticket in self.in_doubt(link.name):
                self._end(ticket, Stage.PROVEN_ABSENT, "the server is healthy")
        await settle(self, link)

    swap(stack, OrderDesk, "settle", believed)


@mutation("what is heard of an order before its answer comes is forgotten", ("answer_late",))
def forget_what_is_heard(stack: ExitStack) -> None:
    take = OrderDesk._take_report

    async def after_the_answer(self: OrderDesk, link: Link, report: OrderReport) -> None:
        ticket = self.tickets.get(report.client_order_id or "")
        if ticket is None or ticket.stage is not Stage.SENT:
            await take(self, link, report)

    swap(stack, OrderDesk, "_take_report", after_the_answer)


@mutation("what somebody else trades in the account is taken for ours")
def adopt_a_foreign_order(stack: ExitStack) -> None:
    def ours(self: AccountBook, fill: Fill) -> Any:  # noqa: ANN401 - a decimal
        del self
        return fill.quantity * 0

    swap(stack, AccountBook, "_foreign", ours)


@mutation("an order that was turned away as not sent is done with, its id free")
def leave_the_id_free(stack: ExitStack) -> None:
    async def ended(self: OrderDesk, link: Link, ticket: Ticket, error: Refused) -> None:  # noqa: ARG001 - as the desk
        self._end(ticket, Stage.REFUSED, str(error))

    swap(stack, OrderDesk, "_refused", ended)


@mutation("for how long an order's fate has been unknown is read off the wall clock")
def trust_the_wall_clock(stack: ExitStack) -> None:
    find = Ledger._row

    def by_the_wall(self: Ledger, client_order_id: str) -> Row | None:
        row = find(self, client_order_id)
        if row is None or row.state is not mtquant.ledger.State.UNKNOWN:
            return row
        query = "SELECT time FROM orders WHERE client_order_id = ?"
        (since,) = self._db.execute(query, (client_order_id,)).fetchone()
        return replace(row, unknown_s=(self.clock.now() - since) / SECOND)

    swap(stack, Ledger, "_row", by_the_wall)


@mutation("a change is made as often as it comes", ("request_twice", "request_late"))
def change_every_time(stack: ExitStack) -> None:
    async def made(self: Guard, change: Any, send: Any, seen: Any, kind: Any) -> Any:  # noqa: ANN401, ARG001 - as the guard
        return await send()

    swap(stack, Guard, "_change", made)


@mutation("a cancel is taken for done when it is sent")
def canceled_when_sent(stack: ExitStack) -> None:
    cancel = Trading.cancel

    async def done(self: Trading, asked: CancelArguments) -> dict[str, Any]:
        desk = self._engine.desk
        ticket = desk.tickets.get(asked.order or "")
        if ticket is not None and ticket.stage is Stage.ACKNOWLEDGED and not ticket.settled:
            ticket.status = OrderStatus.CANCELED
            desk._emit(desk._moved(ticket, "canceled"))
        return await cancel(self, asked)

    swap(stack, Trading, "cancel", done)
