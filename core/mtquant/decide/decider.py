"""The one place where the flow is written: events in, effects out.

``Decider.on`` holds no clock, does no input or output and rolls no dice: the same events give the
same effects, in a backtest, on paper and live. The shell around it feeds the events and performs
the effects.

    bar, quote, fill -> strategies -> signals -> combined -> target
    target -> mode -> gate [breaker > sizing > checks] -> order | suggestion
    fill, report -> book -> (target not yet met?) -> gate -> order
    person's order, person's approval -> gate -> order
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from mtquant.book import AccountBook, Book, ExpectedFlow, Leaving
from mtquant.clock import SECOND, Ids
from mtquant.combine import CombineRules
from mtquant.contract import AgentStanding, BreakerLevel, Level, Strategy
from mtquant.decide.agents import Agents
from mtquant.decide.entries import accepted_body, flow_body, stay_body, take_accepted
from mtquant.decide.events import (
    Accepted,
    AccountSeen,
    AgentOrdered,
    AgentsEnrolled,
    Answered,
    BarClosed,
    CashFlowExpected,
    CashMoved,
    CloseOrdered,
    Effect,
    Event,
    FeedChanged,
    Filled,
    HaltSet,
    Leave,
    Left,
    ModeSet,
    Opened,
    Ordered,
    OrderMoved,
    QuotesSeen,
    Record,
    RoutesChanged,
    Withdrawn,
)
from mtquant.decide.flow import Flow
from mtquant.decide.hearing import Hearing
from mtquant.decide.persons import ApprovalRules, Persons, wish
from mtquant.decide.pursuit import Pursuit
from mtquant.decide.standing import standing
from mtquant.model import CashFlowKind, Mode, OrderRequest, OrderStatus, Quote, plain
from mtquant.risk import BreakerState, Decision, Gate, step

BURST, BURST_S = 10, 60
"""How many vetoes in how many seconds people are alarmed of."""
_EQUITY_KEPT = Decimal("0.001")
"""How much an equity may rise before the journal is told again: a part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is configured of deciding: each strategy's mode and weight, and how wishes combine.

    ``passive``: what strategies want is not pursued; only what persons order is.
    """

    modes: Mapping[str, Mode] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    combine: CombineRules = field(default_factory=CombineRules)
    approval: ApprovalRules = field(default_factory=ApprovalRules)
    passive: bool = False


class Decider:
    """Strategies, the gate and the book, folded over events.

    Unless ``journaled``, nobody keeps the entries: a verdict's is left short, its decision is with
    it.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy[Any]],
        gate: Gate,
        ids: Ids,
        book: Book | None = None,
        rules: Rules | None = None,
        *,
        journaled: bool = True,
    ) -> None:
        self._journaled = journaled
        self.book = Book() if book is None else book
        self.gate = gate
        self.ids = ids
        self.rules = rules or Rules()
        self.hearing = Hearing(strategies, self.rules.weights, self.rules.combine)
        self.persons = Persons(self.rules.approval)
        self.agents = Agents(self.persons)
        self._handlers: Mapping[type[Event], Callable[[Flow, Any], None]] = {
            BarClosed: self._bar,
            Opened: self._opened,
            AccountSeen: self._account_seen,
            QuotesSeen: self._quotes_seen,
            Filled: self._filled,
            CashMoved: self._cash_moved,
            OrderMoved: self._order_moved,
            RoutesChanged: self._routes_changed,
            FeedChanged: self._feed_changed,
            ModeSet: self._mode_set,
            Ordered: self.persons.order,
            AgentsEnrolled: self.agents.enrolled,
            AgentOrdered: self.agents.order,
            Withdrawn: self.persons.withdraw,
            CloseOrdered: self.persons.close,
            Answered: self.persons.answer,
            HaltSet: self._halt_set,
            Left: self._left,
            CashFlowExpected: self._cash_flow_expected,
            Accepted: self._accepted,
        }
        self._kept: dict[str, BreakerState] = {}
        self._vetoes: list[int] = []
        self._burst_told = -BURST_S * SECOND
        self.pursuit = Pursuit(self.rules.modes, self.persons, passive=self.rules.passive)

    def on(self, event: Event) -> tuple[Effect, ...]:
        """Take one event in and return what is to be done about it, in order."""
        self.book.time = max(self.book.time, event.time)
        flow = Flow(self.book, self.gate, self.ids, self._journaled)
        if self.book.suggestions and not isinstance(event, Answered):
            # An answer that comes too late is told so; it doesn't find its suggestion gone.
            self.persons.expire(flow)
        if (handle := self._handlers.get(type(event))) is not None:
            handle(flow, event)
            self._look_at_vetoes(flow)
        return tuple(flow.out)

    def _look_at_vetoes(self, flow: Flow) -> None:
        """Alarm where vetoes come in a burst: somebody, or something, asks over and over."""
        vetoes = [
            each
            for each in flow.out
            if isinstance(each, Record) and each.kind == "verdict" and not each.body["approved"]
        ]
        if not vetoes:
            return
        now, since = self.book.time, self.book.time - BURST_S * SECOND
        self._vetoes = [*(each for each in self._vetoes if each > since), *([now] * len(vetoes))]
        if len(self._vetoes) < BURST or self._burst_told > since:
            return
        self._burst_told = now
        last = vetoes[-1]
        source, code = (
            (last.decision.signal.strategy_id, last.decision.code)
            if last.decision is not None
            else (last.body["signal"]["strategy_id"], last.body["code"])
        )
        flow.tell(
            Level.ALARM,
            f"{len(self._vetoes)} orders were vetoed in the last {BURST_S} s; the last was of "
            f"{source} ({code})",
        )

    def review_change(
        self, by: str, account: str, order: OrderRequest, *, instead_of: str
    ) -> Decision | None:
        """Return what the gate says of ``order`` in the place of a working one; nothing is sent.

        None where nothing is known of the account yet.
        """
        flow = Flow(self.book, self.gate, self.ids)
        state = flow.state(
            self.book.account(account), order.instrument, instead_of=instead_of, source=by
        )
        if state is None:
            return None
        signal = wish(by, order, self.book.time)
        return self.gate.review_order(signal, order, account, state)

    def preview(self, event: AgentOrdered) -> Decision | str:
        """Return what the gate says of an agent's wish now, or why it isn't asked."""
        return self.agents.decide(Flow(self.book, self.gate, self.ids), event)

    def agent_use(self, source: str) -> AgentStanding | None:
        """Return what an agent has used of its budget; None where no such agent is enrolled."""
        return standing(self.book, source)

    def _bar(self, flow: Flow, event: BarClosed) -> None:
        self.book.covariance.bar(event.bar)
        self.hearing.bar(flow, event.bar, trade=event.trade)
        if event.trade:
            self._pursue_after(flow, event.bar.instrument)

    def _pursue_after(self, flow: Flow, symbol: str) -> None:
        """Pursue ``symbol``, and every other one that a signal of this event was about."""
        for each in dict.fromkeys((symbol, *flow.signalled)):
            self.pursuit.pursue(flow, each)

    def _opened(self, flow: Flow, event: Opened) -> None:
        book = self.book.account(event.name)
        book.see(event.account)
        book.balance = event.account.balance
        for each in event.positions:
            book.adopt(each, ours=event.adopt)
            what = f"{event.name} already holds {each.side} {plain(each.quantity)} "
            flow.tell(
                Level.WARNING,
                f"{what}{each.instrument}: taken over as the strategies'"
                if event.adopt
                else f"{what}{each.instrument}: not ours, and no order is sent in it there until "
                "it is flat",
            )

    def _quotes_seen(self, flow: Flow, event: QuotesSeen) -> None:
        self._quotes(flow, event.name, event.quotes)

    def _quotes(self, flow: Flow, name: str, quotes: tuple[Quote, ...]) -> None:
        book = self.book.account(name)
        moved = [each for each in quotes if not each.confirms(book.quotes.get(each.instrument))]
        book.price(quotes)
        routed = [each for each in moved if self.book.routes.get(each.instrument) == name]
        self.hearing.quotes(flow, routed)
        for symbol in flow.signalled:
            self.pursuit.pursue(flow, symbol)

    def _account_seen(self, flow: Flow, event: AccountSeen) -> None:
        book = self.book.account(event.name)
        book.see(event.account)
        equity = event.account.equity
        before = book.breaker
        paid = book.flowed()
        if paid:
            arrived = {"account": event.name, "amount": plain(paid)}
            flow.record("cash_flow", arrived, durable=True)
            flow.tell(Level.INFO, f"{event.name}: {_paid(paid, event.account.currency)} has come")
        paid += self._count(flow, book)
        try:
            after = step(before, self.gate.rules, equity, event.time, cash_flow=paid)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, nothing is opened
            self._breaker_failed(flow, event.name, error)
            self._quotes(flow, event.name, event.quotes)
            return
        book.breaker = after
        level = before.level if before else BreakerLevel.NORMAL
        if self._worth_keeping(event.name, after):
            body = {"account": event.name, "state": after.to_dict()}
            flow.record("breaker", body, durable=after.level != level)
        if after.level != level:
            rising = after.level > level
            flow.tell(
                Level.ALARM if rising else Level.INFO,
                f"loss breaker of {event.name} {'rose' if rising else 'fell'} from {level.name} "
                f"to {after.level.name} at equity {equity:,.2f} {event.account.currency}",
            )
            if rising:
                self._act(flow, event.name, after.level)
        self._quotes(flow, event.name, event.quotes)
        if self.book.requests:
            self.agents.look(flow)

    def _breaker_failed(self, flow: Flow, name: str, error: Exception) -> None:
        """Halt everything: a breaker that doesn't work protects nobody."""
        if not self.book.halted:
            why = f"it failed at {name} with {type(error).__name__}"
            halt = HaltSet(time=self.book.time, on=True, by="loss breaker", why=why)
            self._halt_set(flow, halt)

    def _filled(self, flow: Flow, event: Filled) -> None:
        if self.book.account(event.name).fold(event.fill):
            self.hearing.fill(flow, event.fill)
            self._pursue_after(flow, event.fill.instrument)

    def _cash_moved(self, flow: Flow, event: CashMoved) -> None:
        book, moved = self.book.account(event.name), event.cash_flow
        if not book.move_cash(moved):
            return
        # An equity that holds it was judged already: a deposit has raised the peak by then, and
        # what a withdrawal has set off is for a person to end.
        self._count(flow, book)
        if moved.kind is not CashFlowKind.FINANCING:
            currency = book.account.currency if book.account else ""
            told = f"{moved.kind} of {moved.amount:+,.2f} {currency}".rstrip()
            flow.tell(Level.INFO, f"{event.name}: {told}, by the broker's word")

    @staticmethod
    def _count(flow: Flow, book: AccountBook) -> Decimal:
        """Return what was paid in or out by the broker's word and is in his balance now."""
        counted = book.counted()
        if counted:
            body = {"account": book.name, "amount": plain(counted)}
            flow.record("cash_flow_counted", body, durable=True)
        return counted

    def _order_moved(self, flow: Flow, event: OrderMoved) -> None:
        book = self.book.account(event.name)
        working = book.working.get(event.client_order_id)
        if working is None:
            return
        if not event.status.terminal:
            book.working[event.client_order_id] = replace(working, status=event.status)
            return
        book.done(event.client_order_id)
        if event.status is OrderStatus.REJECTED:
            book.forget_sent(event.client_order_id)
        target = self.book.targets.get(working.instrument)
        wished = event.client_order_id not in book.person_ids
        if event.absent and working.opens and wished and target is not None:
            # It never lived, so the wish still stands: the gate looks at it afresh, at the next
            # bar or when the account is back.
            target.spent = False
        if event.status is OrderStatus.FILLED:
            self.pursuit.pursue(flow, working.instrument)

    def _routes_changed(self, flow: Flow, event: RoutesChanged) -> None:
        for name, instruments in event.instruments.items():
            book = self.book.account(name)
            book.tradable = name in event.tradable
            book.list_instruments(instruments)
            book.differ(event.differing.get(name, {}))
        self.book.routes = dict(event.routes)
        for symbol in self.book.targets:
            self.pursuit.pursue(flow, symbol)

    def _feed_changed(self, flow: Flow, event: FeedChanged) -> None:
        """Pause a symbol's new exposure while its prices don't come, and say so once."""
        before = self.book.paused.get(event.symbol, "")
        if event.why:
            self.book.paused[event.symbol] = event.why
        else:
            self.book.paused.pop(event.symbol, None)
        if event.why and not before:
            flow.record("feed_paused", {"symbol": event.symbol, "why": event.why})
            flow.tell(Level.WARNING, f"{event.symbol} pauses: {event.why}")
        elif before and not event.why:
            flow.record("feed_resumed", {"symbol": event.symbol})
            flow.tell(Level.INFO, f"{event.symbol} goes on: its prices come again")
            self.pursuit.pursue(flow, event.symbol)

    def _worth_keeping(self, name: str, state: BreakerState) -> bool:
        """Tell whether the journal must know ``state``, or a restart would be less strict."""
        kept = self._kept.get(name)
        if kept is not None and _anchors(kept) == _anchors(state):
            # What opens a day that was missed is the last equity: an older, lower one is too low.
            risen = state.equity - kept.equity
            if risen <= _EQUITY_KEPT * abs(kept.equity):
                return False
        self._kept[name] = state
        return True

    def _act(self, flow: Flow, name: str, level: BreakerLevel) -> None:
        """Do what the rules say of a breaker that has risen to ``level``."""
        rules = self.gate.rules
        if level < BreakerLevel.REDUCING:
            return
        share = rules.close_share
        if level is BreakerLevel.HALTED:
            share = Decimal(1) if rules.flatten else share
        if share or rules.cancel_orders:
            self._leave(
                flow,
                Leaving(
                    account=name,
                    share=share,
                    cancel=rules.cancel_orders,
                    cause="breaker",
                    by="loss breaker",
                    why=f"the loss breaker is {level.name}",
                ),
            )

    def _leave(self, flow: Flow, wanted: Leaving) -> None:
        """Have an account left; what is under way already is done as well."""
        book = flow.book.account(wanted.account)
        known = book.leaving
        if known is not None:
            if known.share >= wanted.share and known.cancel >= wanted.cancel:
                return
            major = known if known.share > wanted.share else wanted
            wanted = replace(major, cancel=known.cancel or wanted.cancel)
        book.leaving = wanted
        body = {
            "account": wanted.account,
            "share": plain(wanted.share),
            "cancel": wanted.cancel,
            "cause": wanted.cause,
            "by": wanted.by,
            "why": wanted.why,
        }
        flow.record("leaving", body, durable=True)
        if wanted.stay is not None:
            flow.record("leaving_stay", stay_body(wanted), durable=True)
        flow.out.append(Leave(account=wanted.account))

    def _cash_flow_expected(self, flow: Flow, event: CashFlowExpected) -> None:
        book = flow.book.account(event.account)
        known, amount = book.expected, event.amount
        flow_told = ExpectedFlow(amount=amount, gap=book.gap(), by=event.by, why=event.why)
        book.expected = flow_told if amount else None
        flow.record("cash_flow_expected", flow_body(event.account, flow_told), durable=True)
        currency = book.account.currency if book.account else ""
        told = f"{_paid(amount, currency)} is expected, by {event.by}: {event.why}"
        if not amount:
            told = f"no cash flow is expected, by {event.by}: {event.why}"
        elif known is not None:
            told += f"; it takes the place of {_paid(known.amount, currency)}"
        flow.tell(Level.INFO, f"{event.account}: {told}")

    def _accepted(self, flow: Flow, event: Accepted) -> None:
        """Take the broker's record over into the book; nothing is pursued because of it."""
        name = event.comparison.account
        body = accepted_body(event.comparison, event.by, event.why)
        take_accepted(self.book.account(name), body)
        flow.record("accepted", body, durable=True)
        message = f"{name}: the broker's record is accepted by {event.by} ({event.why}): "
        flow.tell(Level.WARNING, message + str(event.comparison))

    def _left(self, flow: Flow, event: Left) -> None:
        book = flow.book.account(event.name)
        if (done := book.leaving) is None:
            return
        book.leaving = None
        flow.record("left", {"account": event.name})
        what = "no order works" if done.cancel else "done"
        if done.share:
            closed = "everything is" if done.share == 1 else f"{done.share * 100:f} % is"
            what = f"{closed} closed" + (", no order works" if done.cancel else "")
        flow.tell(Level.WARNING, f"{event.name}: {what} ({done.why})")

    def _halt_set(self, flow: Flow, event: HaltSet) -> None:
        """Stop all new exposure, or let it go on; said again it closes where it didn't before."""
        if event.on != bool(self.book.halted):
            self._set_halt(flow, event)
        if event.on:
            for name in self.book.accounts:
                why = f"halted by {event.by}: {event.why}"
                share = Decimal(1) if event.flatten else Decimal(0)
                wanted = Leaving(
                    account=name, share=share, cancel=True, cause="halt", by=event.by, why=why
                )
                self._leave(flow, wanted)

    def _set_halt(self, flow: Flow, event: HaltSet) -> None:
        self.book.halted = f"by {event.by}: {event.why}" if event.on else ""
        flow.record("halt", {"on": event.on, "by": event.by, "why": event.why}, durable=True)
        if event.on:
            message = (
                f"HALTED by {event.by}: {event.why}. Nothing is opened; `mtquant resume` ends it"
            )
            flow.tell(Level.ALARM, message)
            return
        flow.tell(Level.INFO, f"trading goes on, by {event.by}: {event.why}")
        for name, account in self.book.accounts.items():
            if account.leaving is not None and account.leaving.cause == "halt":
                account.leaving = None
                flow.record("left", {"account": name})
        for symbol in self.book.targets:
            self.pursuit.pursue(flow, symbol)

    def _mode_set(self, flow: Flow, event: ModeSet) -> None:
        configured = self.rules.modes.get(event.strategy_id, Mode.AUTO)
        self.book.modes[event.strategy_id] = (event.mode, configured)
        body = {
            "strategy_id": event.strategy_id,
            "mode": event.mode.value,
            "configured": configured.value,
            "by": event.by,
            "why": event.why,
        }
        flow.record("mode", body, durable=True)
        why = f": {event.why}" if event.why else ""
        flow.tell(Level.INFO, f"{event.strategy_id} is {event.mode} now, by {event.by}{why}")
        for symbol, target in self.book.targets.items():
            if event.strategy_id in target.strategies:
                self.pursuit.pursue(flow, symbol)


def _paid(amount: Decimal, currency: str) -> str:
    return f"a {'deposit' if amount > 0 else 'withdrawal'} of {abs(amount):,.2f} {currency}"


def _anchors(state: BreakerState) -> tuple[object, ...]:
    """Return what a restart must not forget."""
    return (
        state.level,
        state.peak,
        state.day,
        state.day_anchor,
        state.week_anchor,
        state.week_limited,
        state.below_since,
    )
