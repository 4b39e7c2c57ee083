"""A recorded run played again: its strategies, its prices, and what persons did, at its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from mtquant.backtest.run import Prepared
from mtquant.backtest.shell import Shell
from mtquant.backtest.venue import Venue
from mtquant.clock import Ids, ManualClock, seeded
from mtquant.contract import BreakerLevel
from mtquant.decide import (
    AccountSeen,
    Answered,
    CashMoved,
    Close,
    CloseOrdered,
    Decider,
    Effect,
    Event,
    Filled,
    HaltSet,
    ModeSet,
    Ordered,
    OrderMoved,
    Record,
    Submit,
    Tell,
)
from mtquant.drift.recorded import Act, Recorded
from mtquant.drift.result import ZERO
from mtquant.drift.story import Story
from mtquant.making import make_gate, make_rules, make_strategies
from mtquant.model import (
    Advanced,
    CashFlow,
    CloseRequest,
    Mode,
    OrderRequest,
    OrderStatus,
    Quote,
    Side,
)
from mtquant.risk import BreakerState, Decision

_ORDER = TypeAdapter(OrderRequest)
_CLOSE = TypeAdapter(CloseRequest)
_FLOW = TypeAdapter(CashFlow)
_UNREPLAYED = {"change": "changed an order", "cancel_ordered": "cancelled an order"}
Quotes = Mapping[tuple[str, int], tuple[Decimal, Decimal]]
"""Bid and ask by symbol and time."""


@dataclass(slots=True)
class Replayed:
    """What came of a replay, told as the journal tells it.

    ``rates`` is what one unit of each symbol's quote currency is worth in the account's,
    ``marks`` its mid price, both at the end. ``swap`` is in the account's currency. ``steps`` are
    the times of the market's steps that were traded. ``unreplayed`` are persons' acts that can't
    be made again.
    """

    story: Story = field(default_factory=Story)
    rates: dict[str, Decimal] = field(default_factory=dict)
    marks: dict[str, Decimal] = field(default_factory=dict)
    pips: dict[str, Decimal] = field(default_factory=dict)
    swap: Decimal = ZERO
    currency: str = ""
    steps: list[int] = field(default_factory=list)
    unreplayed: list[str] = field(default_factory=list)
    unheard: set[str] = field(default_factory=set)


class _Telling(Decider):
    """The decider, which tells what it hears and does as a journal would."""

    story: Story

    def on(self, event: Event) -> tuple[Effect, ...]:
        """Take one event in; executions and orders' states are told before what follows."""
        if isinstance(event, Filled):
            self.story.fill(0, event.name, event.fill)
        elif isinstance(event, OrderMoved):
            self.story.report(_report(event))
        effects = super().on(event)
        for effect in effects:
            if isinstance(effect, Record) and effect.kind == "signal":
                self.story.signal(0, effect.body)
            elif isinstance(effect, Record) and effect.kind == "verdict":
                self.story.verdict(self.book.time, effect.body)
            elif isinstance(effect, Submit | Close):
                self.story.intent(self.book.time, 0, _intent(effect))
        return effects


def _report(event: OrderMoved) -> dict[str, Any]:
    refused = event.status is OrderStatus.REJECTED
    return {
        "client_order_id": event.client_order_id,
        "stage": "refused" if refused else "acknowledged",
        "status": event.status.value,
        "why": event.reason,
    }


def _intent(effect: Submit | Close) -> dict[str, Any]:
    if isinstance(effect, Submit):
        request = _ORDER.dump_python(effect.order, mode="json", exclude_none=True)
        symbol, side = effect.order.instrument, effect.order.side
    else:
        request = _CLOSE.dump_python(effect.close, mode="json", exclude_none=True)
        symbol, side = effect.symbol, effect.side
    return {
        "client_order_id": request["client_order_id"],
        "account": effect.account,
        "instrument": symbol,
        "side": side.value,
        "opens": isinstance(effect, Submit),
        "person": effect.person,
        "request": request,
    }


class _Nobody:
    """A witness of a replay: the decider tells it all."""

    time = 0

    def on_event(self, event: Event) -> None:
        """Pass over it."""

    def on_signal(self, body: Mapping[str, Any]) -> None:
        """Pass over it."""

    def on_decision(self, decision: Decision) -> None:
        """Pass over it."""

    def on_intent(self, effect: Submit | Close) -> None:
        """Pass over it."""

    def on_tell(self, told: Tell) -> None:
        """Pass over it."""


class _Quoted(Venue):
    """A simulated account that takes bid and ask from what was recorded, where there is some."""

    quotes: Quotes = {}  # noqa: RUF012 - replaced as a whole, never written to

    def move(self, to: int) -> Advanced:
        """Come to ``to``; a price that was recorded then takes the place of the bar's."""
        moved = super().move(to)
        found = False
        for symbol in self.instruments:
            if (sides := self.quotes.get((symbol, to))) is not None:
                bid, ask = sides
                quote = Quote(instrument=symbol, bid=bid, ask=ask, time=to)
                self.exchange.quotes[symbol] = quote
                found = True
        if not found:
            return moved
        quotes = tuple(self.exchange.quotes.values())
        return replace(moved, account=self.exchange.account(to), quotes=quotes)

    def _require_open(self) -> None:
        """Take orders after the last bar as well, as a live account does."""


class _Desk(Shell):
    """The shell of a backtest that also does what persons did."""

    def person(self, act: Act, found: Recorded) -> str:
        """Do what a person did; return in words what can't be done again, empty otherwise."""
        match act.kind:
            case "halt":
                self._halt(act)
            case "mode":
                self._mode(act)
            case "intent":
                self._order(act)
            case "suggestion_ended":
                self._answer(act, found)
            case "cash_moved":
                self._cash(act)
            case "breaker":
                self._reset(act)
            case _:
                return f"{act.body.get('by', 'somebody')} {_UNREPLAYED[act.kind]}"
        self._go_on_leaving()
        self._send_all()
        return ""

    def _refresh(self, time: int) -> None:
        """See the account as it is now, as an engine does before a person's order."""
        moved = self.venue.move(time)
        self.clock.set(time)
        seen = AccountSeen(
            time=time, name=self.venue.name, account=moved.account, quotes=moved.quotes
        )
        self.emit(seen)

    def _halt(self, act: Act) -> None:
        body = act.body
        halt = HaltSet(
            time=act.time,
            on=body["on"],
            by=body["by"],
            why=body["why"],
            flatten=bool(body.get("flatten")),
        )
        if body["by"] != "loss breaker":  # that halts the replay by itself
            self.emit(halt)

    def _mode(self, act: Act) -> None:
        body = act.body
        mode = Mode(body["mode"])
        self.emit(
            ModeSet(
                time=act.time,
                strategy_id=body["strategy_id"],
                mode=mode,
                by=body["by"],
                why=body["why"],
            )
        )

    def _order(self, act: Act) -> None:
        body, name = act.body, self.venue.name
        self._refresh(act.time)
        if body["opens"]:
            order = _ORDER.validate_python(body["request"])
            self.emit(Ordered(time=act.time, by=body["person"], account=name, order=order))
            return
        close = _CLOSE.validate_python(body["request"])
        self.emit(
            CloseOrdered(
                time=act.time,
                by=body["person"],
                account=name,
                symbol=body["instrument"],
                side=Side(body["side"]),
                close=replace(close, instrument=body["instrument"], position_id=None),
            )
        )

    def _answer(self, act: Act, found: Recorded) -> None:
        """Answer the suggestion that stands where the recorded one stood."""
        asked = found.suggestions.get(int(act.body["number"]))
        by = act.body["by"]
        if asked is None or not by or act.body["outcome"] not in {"approved", "rejected"}:
            return  # the replay ends it by itself
        symbol, side = asked["order"]["instrument"], Side(asked["order"]["side"])
        for each in list(self.book.suggestions.values()):
            if each.order.instrument == symbol and each.order.side is side:
                self._refresh(act.time)
                answer = Answered(
                    time=act.time,
                    number=each.number,
                    approved=act.body["outcome"] == "approved",
                    by=by,
                    why=act.body["why"],
                    digest=each.digest,
                )
                self.emit(answer)

    def _cash(self, act: Act) -> None:
        flow = _FLOW.validate_python(act.body["cash_flow"])
        self.venue.exchange.balance += flow.amount
        self.emit(CashMoved(time=act.time, name=self.venue.name, cash_flow=flow))

    def _reset(self, act: Act) -> None:
        account = self.book.account(self.venue.name)
        account.breaker = BreakerState.from_dict(act.body["state"])
        lower = account.breaker.level < BreakerLevel.REDUCING
        if account.leaving is not None and account.leaving.cause == "breaker" and lower:
            account.leaving = None


def play(prepared: Prepared, found: Recorded, quotes: Quotes) -> Replayed:
    """Play a prepared run again until where the recorded one ended.

    A live run's bars that were traded, or came late after that, are all traded here: what was
    lost by that is to be seen. ``quotes`` are taken where there are some.
    """
    config = prepared.config
    clock = ManualClock(min(int(each.time[0]) for each in prepared.bars.values()))
    strategies = [
        each
        for name in config.strategies
        for each in make_strategies(config, prepared.catalogue, name)
    ]
    gate = make_gate(config, prepared.catalogue, clock)
    rules = make_rules(config, passive=False)
    decider = _Telling(strategies, gate, Ids(clock, seeded(0)), rules=rules)
    kind = _Quoted if found.live else Venue
    venue = kind(prepared.account, prepared.settings, prepared.market)
    if isinstance(venue, _Quoted):
        venue.quotes = quotes
    done = Replayed(currency=prepared.settings.currency)
    decider.story = done.story
    done.unheard = {each.strategy_id for each in strategies if each.hears_quotes}
    desk = _Desk(decider, venue, clock, config.preference, _Nobody())
    _steps(desk, prepared, found, done)
    exchange = venue.exchange
    for symbol, each in venue.instruments.items():
        done.rates[symbol] = exchange.rate(each.quote)
        done.marks[symbol] = exchange.quotes[symbol].mid
        done.pips[symbol] = each.pip_size
    moved = sum(
        (
            Decimal(act.body["cash_flow"]["amount"])
            for act in found.acts
            if act.kind == "cash_moved"
        ),
        ZERO,
    )
    booked = sum((fill.realized_profit - fill.commission for _, fill in done.story.fills), ZERO)
    done.swap = exchange.balance - prepared.settings.balance - booked - moved
    return done


def _steps(desk: _Desk, prepared: Prepared, found: Recorded, done: Replayed) -> None:
    """Play the steps that the run came to, and each person's act after the step it came after."""
    heard = _heard(found)
    first = _begin(prepared, found, heard)
    last = max(heard) if found.live else found.step
    acts = deque(found.acts)
    begun = False
    for time, bars in prepared.steps:
        if time > last:
            break
        if time < first:
            desk.warm_up(time, bars)
            desk.venue.quiet(time)
            desk.clock.set(time)
            continue
        if not begun:
            desk.start(prepared.config.symbols())
            begun = True
        _persons(desk, acts, heard.get(time, time) - 1, found, done)
        desk.step(time, bars)
        done.steps.append(time)
    _persons(desk, acts, None, found, done)


def _persons(
    desk: _Desk, acts: deque[Act], until: int | None, found: Recorded, done: Replayed
) -> None:
    while acts and (until is None or acts[0].time <= until):
        act = acts.popleft()
        if problem := desk.person(act, found):
            done.unreplayed.append(problem)


def _begin(prepared: Prepared, found: Recorded, heard: Mapping[int, int]) -> int:
    """Return the time of the first step that was traded, or could have been."""
    steps = prepared.steps
    if not found.live:
        return steps[0][0]
    length = prepared.market.length
    traded = [
        told.bar.time + length
        for known in found.first_bars.values()
        for told in known.values()
        if told.traded
    ]
    return min(traded, default=max(heard) + 1)


def _heard(found: Recorded) -> dict[int, int]:
    """Return when a live feed handed on the bars that ended at each time."""
    heard: dict[int, int] = {}
    for known in found.first_bars.values():
        for told in known.values():
            ended = told.bar.time + told.bar.timeframe.seconds * 1_000_000_000
            heard[ended] = max(ended, min(told.time, heard.get(ended, told.time)))
    return heard
