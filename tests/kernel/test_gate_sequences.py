"""The gate in its place: whatever persons, strategies and brokers do, in whatever order.

What can be promised. Prices and equity stand still here: an order is approved at the prices of
then, and nobody can promise that a limit holds at those of later. An order is valued at its own
price, what is held and works at the middle of the market, so limits in money hold up to that
difference (``HAIR``). What closes is never asked, so closing a hedge may leave more net exposure
in a currency than would have been let in: that limit is asserted of what each approved order
moves, and of the whole account until something is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from itertools import count
from typing import Any, get_type_hints

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mtquant.clock import SECOND, Ids, ManualClock, seeded
from mtquant.contract import (
    BreakerLevel,
    Check,
    Exposure,
    Finding,
    Proposal,
    RiskState,
    Sent,
    Settings,
    Sizer,
    Strategy,
    Totals,
    Verdict,
)
from mtquant.decide import (
    AccountSeen,
    Answered,
    BarClosed,
    Close,
    CloseOrdered,
    Decider,
    Effect,
    Event,
    Filled,
    HaltSet,
    Opened,
    Ordered,
    OrderMoved,
    QuotesSeen,
    Record,
    RoutesChanged,
    Rules,
    Submit,
    Tell,
    Ticked,
    decider,
)
from mtquant.exchange import Terms, instrument
from mtquant.model import (
    Account,
    Bar,
    CloseRequest,
    Environment,
    Fill,
    Instrument,
    Mode,
    OrderRequest,
    OrderStatus,
    OrderType,
    PositionMode,
    QuantityUnit,
    Quote,
    Side,
    Signal,
    Timeframe,
)
from mtquant.risk import BreakerRules, Gate
from mtquant_risk import checks

D = Decimal
ZERO = Decimal(0)
START = 1_768_219_200 * SECOND
EQUITY = Decimal(100_000)
PRICES = {"EUR/USD": D("1.1"), "USD/JPY": D(150), "GBP/JPY": D(200), "EUR/GBP": D("0.85")}
LISTED: Mapping[str, Instrument] = {each: instrument(each, Terms()) for each in PRICES}
AUTO, SEMI = "EUR/USD", "USD/JPY"
"""What the strategies trade: one by itself, one with a person's leave."""
DENIED = "EUR/CHF"
LONG, SHORT, FLAT = 1.0, 2.0, 3.0
SAYS = {1: LONG, -1: SHORT, 0: FLAT}

MOST = D(60_000)
GROSS, NET, LEVEL = D("1.5"), D("0.9"), D(25)
HAIR = D("1.001")
LIMITS: dict[str, dict[str, Any]] = {
    "position_limit": {"max_quantity": MOST},
    "notional": {"max_gross": GROSS},
    "currency_exposure": {"max_net": NET},
    "margin": {"min_level": LEVEL},
    "restricted": {"deny": (DENIED,)},
}
OURS = (
    "restricted", "stale_price", "spread", "price_collar", "stop_required", "order_size",
    "open_orders", "throttle", "position_limit", "notional", "currency_exposure", "margin",
    "regulatory", "duplicate",
)  # fmt: skip


def chain(**more: dict[str, Any]) -> list[Check[Any]]:
    """Return the 14 checks, with these settings on top of ``LIMITS``."""
    wanted = LIMITS | more
    return [
        each(each.Settings(**wanted.get(each.name, {}))) for each in checks() if each.name in OURS
    ]


class Puppet(Strategy[Settings]):
    """Says what the bar's close tells it to."""

    name = "puppet"

    def on_bar(self, bar: Bar) -> Signal | None:
        says = {LONG: self.long, SHORT: self.short, FLAT: self.flat}.get(bar.close)
        return says("told so") if says else None


class Asked(Sizer[Settings]):
    """Gives the quantity that it was set to."""

    name = "asked"

    def __init__(self) -> None:
        super().__init__(Settings())
        self.quantity = D(20_000)

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:  # noqa: ARG002
        return self.quantity


class Answering(Check[Settings]):
    """Does what it was made with."""

    name = "answering"

    def __init__(self, act: Callable[[Answering, Proposal], object]) -> None:
        super().__init__(Settings())
        self.act = act

    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002
        return self.act(self, proposal)  # type: ignore[return-value]


def refusing() -> Answering:
    return Answering(lambda check, _: check.veto("never", "not today"))


@dataclass(slots=True)
class Live:
    """An order at the broker; ``fills`` are its executions so far."""

    effect: Submit | Close
    left: Decimal
    fills: list[Fill] = field(default_factory=list)

    @property
    def opens(self) -> bool:
        return isinstance(self.effect, Submit)

    @property
    def symbol(self) -> str:
        effect = self.effect
        return effect.order.instrument if isinstance(effect, Submit) else effect.symbol

    @property
    def side(self) -> Side:
        return self.effect.order.side if isinstance(self.effect, Submit) else self.effect.side

    @property
    def cid(self) -> str:
        request = self.effect.order if isinstance(self.effect, Submit) else self.effect.close
        return request.client_order_id


class Desk:
    """A decider before one account, and a broker of a few lines with books of its own."""

    def __init__(self, *more: Check[Any], gate_checks: list[Check[Any]] | None = None) -> None:
        self.sizer = Asked()
        asked = chain() if gate_checks is None else gate_checks
        gate = Gate(self.sizer, [*asked, *more], BreakerRules())
        self.decider = Decider(
            [self.strategy(AUTO), self.strategy(SEMI)],
            gate,
            Ids(ManualClock(), seeded(1)),
            rules=Rules(modes={SEMI: Mode.SEMI}),
        )
        self.book = self.decider.book
        self.time = START
        self.equity, self.level = EQUITY, LEVEL
        self.seen = self.priced = START
        self.prices = dict(PRICES)
        self.held = dict.fromkeys(PRICES, ZERO)
        self.live: dict[str, Live] = {}
        self.numbers = count(1)
        self.sent: list[Submit | Close] = []
        self.closed = False
        self.send(
            RoutesChanged(
                time=self.time,
                tradable=frozenset({"a"}),
                instruments={"a": LISTED},
                routes=dict.fromkeys(LISTED, "a"),
            )
        )
        self.send(Opened(time=self.time, name="a", account=self.account(), positions=()))
        self.see()

    @staticmethod
    def strategy(symbol: str) -> Strategy[Any]:
        return Puppet(
            Settings(),
            strategy_id=symbol,
            instruments=(symbol,),
            timeframe=Timeframe.M1,
            indicators=lambda *_: None,  # type: ignore[arg-type]
        )

    # What the broker knows.

    def unit(self, symbol: str) -> Decimal:
        """Return what one base unit is worth, in dollars."""
        base = symbol.partition("/")[0]
        pairs = {"USD": D(1), "EUR": self.prices["EUR/USD"]}
        pairs["GBP"] = self.prices["GBP/JPY"] / self.prices["USD/JPY"]
        return {"EUR/GBP": self.prices["EUR/GBP"] * pairs["GBP"]}.get(symbol, pairs[base])

    def account(self) -> Account:
        used = sum(
            (
                abs(held) * self.unit(each) * LISTED[each].margin_rate
                for each, held in self.held.items()
            ),
            ZERO,
        )
        return Account(
            account_id="x",
            currency="USD",
            environment=Environment.PAPER,
            position_mode=PositionMode.NETTING,
            balance=self.equity,
            equity=self.equity,
            margin_used=used,
            margin_available=self.equity - used,
            time=self.time,
        )

    def quotes(self) -> tuple[Quote, ...]:
        return tuple(
            Quote(
                instrument=symbol,
                bid=price - LISTED[symbol].price_step,
                ask=price + LISTED[symbol].price_step,
                time=self.time,
            )
            for symbol, price in self.prices.items()
        )

    # What happens.

    def send(self, event: Event) -> list[Effect]:
        effects = list(self.decider.on(event))
        for each in effects:
            if isinstance(each, Submit | Close):
                self.take(each)
        return effects

    def take(self, effect: Submit | Close) -> None:
        request = effect.order if isinstance(effect, Submit) else effect.close
        assert request.quantity is not None
        self.sent.append(effect)
        self.live[request.client_order_id] = Live(effect, request.quantity)
        if isinstance(effect, Submit):
            assert not self.book.halted
            assert self.time - self.seen <= 10 * SECOND, "the equity was too old"
            assert self.time - self.priced <= 5 * SECOND, "the prices were too old"
            assert effect.order.instrument != DENIED
            self.require_currencies(effect.order)
        else:
            self.closed = True

    def see(self) -> list[Effect]:
        event = AccountSeen(time=self.time, name="a", account=self.account(), quotes=self.quotes())
        self.seen = self.priced = self.time
        return self.send(event)

    def bar(self, symbol: str, says: float) -> list[Effect]:
        bar = Bar(
            instrument=symbol,
            timeframe=Timeframe.M1,
            time=self.time - 60 * SECOND,
            open=1.0,
            high=1.0,
            low=1.0,
            close=says,
        )
        return self.send(BarClosed(time=self.time, bar=bar))

    def order(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        kind: str = "market",
        **more: Any,  # noqa: ANN401
    ) -> list[Effect]:
        """Let a person order: at the market, or by a limit or stop that rests near it."""
        step = LISTED[symbol].price_step * (3 if side is Side.BUY else -3)
        price = {"limit": self.prices[symbol] - step, "stop": self.prices[symbol] + step}
        order = OrderRequest(
            client_order_id=f"person-{next(self.numbers)}",
            instrument=symbol,
            side=side,
            order_type=OrderType(kind),
            quantity=quantity,
            **({f"{kind}_price": price[kind]} if kind in price else {}) | more,
        )
        return self.send(Ordered(time=self.time, by="ann", account="a", order=order))

    def close(self, symbol: str, quantity: Decimal) -> list[Effect]:
        return self.send(
            CloseOrdered(
                time=self.time,
                by="ann",
                account="a",
                symbol=symbol,
                side=Side.SELL if self.held[symbol] > 0 else Side.BUY,
                close=CloseRequest(
                    client_order_id=f"close-{next(self.numbers)}",
                    instrument=symbol,
                    quantity=quantity,
                ),
            )
        )

    def fill(self, live: Live, quantity: Decimal, *, seen: bool = True) -> Fill | None:
        """Execute some of an order. A close never opens: what there isn't isn't closed."""
        held = self.held[live.symbol]
        if not live.opens:
            quantity = min(quantity, max(-held * live.side.sign, ZERO))
        if not quantity:
            return None
        fill = Fill(
            execution_id=f"E{next(self.numbers)}",
            order_id=f"O-{live.cid}",
            client_order_id=live.cid,
            instrument=live.symbol,
            side=live.side,
            quantity=quantity,
            price=self.prices[live.symbol],
            time=self.time,
        )
        live.left -= quantity
        live.fills.append(fill)
        self.held[live.symbol] = held + live.side.sign * quantity
        self.send(Filled(time=self.time, name="a", fill=fill))
        if seen:
            self.see()
        return fill

    def move(self, live: Live, status: OrderStatus, *, absent: bool = False) -> list[Effect]:
        if status.terminal:
            del self.live[live.cid]
        return self.send(
            OrderMoved(
                time=self.time,
                name="a",
                client_order_id=live.cid,
                status=status,
                absent=absent,
            )
        )

    def finish(self, live: Live, *, seen: bool = True) -> None:
        whole = self.fill(live, live.left, seen=seen) is not None and not live.left
        self.move(live, OrderStatus.FILLED if whole else OrderStatus.CANCELED)

    # What must hold.

    def pending(self, symbol: str, side: Side) -> Decimal:
        """Return what approved orders may still do."""
        return sum(
            (
                each.left
                for each in self.live.values()
                if each.opens and (each.symbol, each.side) == (symbol, side)
            ),
            ZERO,
        )

    def stand(self, currency: str, way: int) -> Decimal:
        """Return what may come to stand on a currency, long (1) or short (-1)."""
        total = ZERO
        for symbol, held in self.held.items():
            base, _, quote = symbol.partition("/")
            sign = (base == currency) - (quote == currency)
            side = Side.BUY if sign * way > 0 else Side.SELL
            worst = held + side.sign * self.pending(symbol, side)
            total += sign * way * worst * self.unit(symbol)
        return total

    def require_currencies(self, order: OrderRequest) -> None:
        base, _, quote = order.instrument.partition("/")
        for currency, way in ((base, order.side.sign), (quote, -order.side.sign)):
            if currency != "USD":
                assert self.stand(currency, way) <= NET * EQUITY * HAIR

    def require_limits(self) -> None:
        """Whatever of the working orders fills, in any order, no limit is broken."""
        gross = margin = ZERO
        for symbol, held in self.held.items():
            buys, sells = self.pending(symbol, Side.BUY), self.pending(symbol, Side.SELL)
            assert held + buys <= MOST, symbol
            assert held - sells >= -MOST, symbol
            # All that fills on one side makes more than what fills on both.
            value = max(abs(held + buys), abs(held - sells), abs(held)) * self.unit(symbol)
            gross += value
            margin += value * LISTED[symbol].margin_rate
        assert gross <= GROSS * EQUITY * HAIR
        assert self.level * margin <= EQUITY * HAIR
        if not self.closed:
            for currency in ("EUR", "GBP", "JPY"):
                for way in (1, -1):
                    assert self.stand(currency, way) <= NET * EQUITY * HAIR, currency


QUANTITIES = st.sampled_from([D(1000), D(7000), D(20_000), D(30_000), D(60_000), D(61_000)])
SYMBOLS = st.sampled_from(list(PRICES))


class Markets(RuleBasedStateMachine):
    """Persons, strategies and a broker, in any order."""

    @initialize(level=st.sampled_from([LEVEL, D(10)]))
    def start(self, level: Decimal) -> None:
        self.desk = Desk(gate_checks=chain(margin={"min_level": level}))
        self.desk.level = level

    @rule(
        symbol=SYMBOLS,
        side=st.sampled_from(Side),
        quantity=QUANTITIES,
        kind=st.sampled_from(["market", "market", "limit", "stop"]),
    )
    def a_person_orders(self, symbol: str, side: Side, quantity: Decimal, kind: str) -> None:
        self.desk.order(symbol, side, quantity, kind)

    @rule(symbol=SYMBOLS, part=st.sampled_from([D("0.5"), D(1)]))
    def a_person_closes(self, symbol: str, part: Decimal) -> None:
        desk = self.desk
        held = desk.held[symbol]
        if not held or desk.pending(symbol, Side.SELL if held > 0 else Side.BUY):
            return
        effects = desk.close(symbol, abs(held) * part)
        assert any(isinstance(each, Close) for each in effects), "it is never refused"

    @rule(
        symbol=st.sampled_from([AUTO, SEMI]),
        says=st.sampled_from([LONG, SHORT, FLAT]),
        quantity=QUANTITIES,
    )
    def a_strategy_speaks(self, symbol: str, says: float, quantity: Decimal) -> None:
        self.desk.sizer.quantity = quantity
        self.desk.bar(symbol, says)

    @rule(approved=st.booleans())
    def a_person_answers(self, approved: bool) -> None:  # noqa: FBT001 - hypothesis gives it
        for number in list(self.desk.book.suggestions)[:1]:
            event = Answered(time=self.desk.time, number=number, approved=approved, by="ann")
            self.desk.send(event)

    @precondition(lambda self: self.desk.live)
    @rule(data=st.data(), part=st.sampled_from([D(1), D(1), D("0.5"), D("0.1")]))
    def the_broker_fills(self, data: st.DataObject, part: Decimal) -> None:
        live = self.pick(data)
        if part == 1:
            self.desk.finish(live)
        else:
            self.desk.fill(live, live.left * part)
            self.desk.move(live, OrderStatus.PARTIALLY_FILLED)

    @precondition(lambda self: self.desk.live)
    @rule(
        data=st.data(),
        status=st.sampled_from([OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.IN_DOUBT]),
    )
    def the_broker_moves_an_order(self, data: st.DataObject, status: OrderStatus) -> None:
        self.desk.move(self.pick(data), status)

    @precondition(lambda self: self.desk.live)
    @rule(data=st.data(), absent=st.booleans())
    def the_broker_rejects(self, data: st.DataObject, absent: bool) -> None:  # noqa: FBT001
        live = self.pick(data)
        if not live.fills:
            self.desk.move(live, OrderStatus.REJECTED, absent=absent)

    @precondition(lambda self: any(each.fills for each in self.desk.live.values()))
    @rule(data=st.data())
    def an_execution_is_told_again(self, data: st.DataObject) -> None:
        filled = [each for each in self.desk.live.values() if each.fills]
        fill = data.draw(st.sampled_from(filled)).fills[-1]
        self.desk.send(Filled(time=self.desk.time, name="a", fill=fill))

    @rule(seconds=st.integers(0, 61))
    def time_passes_and_all_is_seen(self, seconds: int) -> None:
        self.desk.time += seconds * SECOND
        self.desk.see()

    @rule(seconds=st.integers(6, 12))
    def time_passes_and_nothing_is_seen(self, seconds: int) -> None:
        """No order passes then: prices are too old, and soon the equity."""
        self.desk.time += seconds * SECOND
        self.desk.send(Ticked(time=self.desk.time))

    @rule()
    def prices_come(self) -> None:
        event = QuotesSeen(time=self.desk.time, name="a", quotes=self.desk.quotes())
        self.desk.priced = self.desk.time
        self.desk.send(event)

    @rule(on=st.sampled_from([True, False, False]))
    def a_person_halts_or_resumes(self, on: bool) -> None:  # noqa: FBT001
        self.desk.send(HaltSet(time=self.desk.time, on=on, by="ann", why="news"))

    def pick(self, data: st.DataObject) -> Live:
        return self.desk.live[data.draw(st.sampled_from(list(self.desk.live)))]

    @invariant()
    def no_limit_is_broken_whatever_fills(self) -> None:
        if hasattr(self, "desk"):
            self.desk.require_limits()

    @invariant()
    def the_book_knows_what_is_held_and_works(self) -> None:
        if not hasattr(self, "desk"):
            return
        desk, book = self.desk, self.desk.book.account("a")
        assert {s: h.quantity for s, h in book.holdings.items()} == {
            symbol: held for symbol, held in desk.held.items() if held
        }
        assert set(book.working) == set(desk.live)
        exposures = {each.instrument: each for each in book.exposures.all()}
        for symbol in PRICES:
            seen = exposures.get(symbol)
            for side in Side:
                least = desk.pending(symbol, side)
                known = ZERO
                if seen is not None:
                    known = seen.buying if side is Side.BUY else seen.selling
                assert known >= least, "what works is counted in full until it has ended"
        assert book.exposures.totals() == Totals.of(exposures.values())

    def teardown(self) -> None:
        """Fill all that is left, in the order it came."""
        if hasattr(self, "desk"):
            for live in list(self.desk.live.values()):
                self.desk.finish(live)
                self.desk.require_limits()


def test_no_limit_is_broken_under_any_interleaving() -> None:
    run_state_machine_as_test(
        Markets, settings=settings(max_examples=80, stateful_step_count=40, deadline=None)
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_limit_is_broken_under_many_more_interleavings() -> None:
    run_state_machine_as_test(
        Markets, settings=settings(max_examples=2000, stateful_step_count=60, deadline=None)
    )


# --- what closes is never asked --------------------------------------------------------------

LOSSES = {
    BreakerLevel.NORMAL: EQUITY,
    BreakerLevel.WARNED: D(94_000),
    BreakerLevel.REDUCING: D(89_000),
    BreakerLevel.HALTED: D(80_000),
}


def holding(side: Side, *, quoted: bool, level: BreakerLevel) -> Desk:
    """Return a desk that holds 20,000 of what a strategy trades, where every check refuses."""
    desk = Desk(gate_checks=[refusing(), *chain()])
    book = desk.book.account("a")
    if not quoted:
        book.quotes.clear()
    desk.equity = LOSSES[level]
    desk.held[AUTO] = 20_000 * D(side.sign)
    quotes = desk.quotes() if quoted else ()
    seen = AccountSeen(time=desk.time, name="a", account=desk.account(), quotes=quotes)
    desk.send(seen)
    fill = Fill(
        execution_id="E0",
        order_id="O0",
        client_order_id="before",
        instrument=AUTO,
        side=side,
        quantity=D(20_000),
        price=PRICES[AUTO],
        time=desk.time,
    )
    book.our_ids.add("before")
    desk.send(Filled(time=desk.time, name="a", fill=fill))
    assert book.breaker is not None
    assert book.breaker.level is level
    return desk


@pytest.mark.parametrize("level", list(BreakerLevel))
@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("halted", [True, False])
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("who", ["person", "person, a part", "strategy", "strategy turns"])
def test_what_closes_passes_at_any_level_without_a_price_and_against_every_check(
    level: BreakerLevel,
    quoted: bool,  # noqa: FBT001 - a parameter of the case
    halted: bool,  # noqa: FBT001 - likewise
    side: Side,
    who: str,
) -> None:
    desk = holding(side, quoted=quoted, level=level)
    if halted:
        desk.send(HaltSet(time=desk.time, on=True, by="ann", why="news"))
    desk.time += 3600 * SECOND  # the equity and any price are old, too
    part = D(7_000) if who == "person, a part" else D(20_000)
    if who.startswith("person"):
        effects = desk.close(AUTO, part)
    else:
        effects = desk.bar(AUTO, FLAT if who == "strategy" else SAYS[-side.sign])
    (closed,) = [each for each in effects if isinstance(each, Submit | Close)]
    assert isinstance(closed, Close)
    assert (closed.side, closed.close.quantity) == (side.opposite, part)
    (verdict,) = [e for e in effects if isinstance(e, Record) and e.kind == "verdict"]
    assert (verdict.body["approved"], verdict.body["code"]) == (True, "reducing")
    assert opened(desk) == []


def opened(desk: Desk) -> list[Submit]:
    return [each for each in desk.sent if isinstance(each, Submit)]


# --- what opens ------------------------------------------------------------------------------


def ask_all_ways(desk: Desk) -> list[Submit]:
    """Let a strategy, a person and a person who answers a suggestion open something."""
    desk.bar(AUTO, LONG)
    desk.order("EUR/GBP", Side.BUY, D(5000))
    desk.order("GBP/JPY", Side.SELL, D(5000), "limit")
    for number in list(desk.book.suggestions):
        desk.send(Answered(time=desk.time, number=number, approved=True, by="ann"))
    return opened(desk)


def test_all_ways_open_something_where_nothing_is_wrong() -> None:
    desk = Desk()
    desk.bar(SEMI, LONG)
    assert len(ask_all_ways(desk)) == 4


def test_while_a_person_has_halted_nothing_opens_and_no_suggestion_of_before() -> None:
    desk = Desk()
    desk.bar(SEMI, LONG)
    assert desk.book.suggestions
    desk.send(HaltSet(time=desk.time, on=True, by="ann", why="news"))
    assert ask_all_ways(desk) == []


@pytest.mark.parametrize("level", [BreakerLevel.REDUCING, BreakerLevel.HALTED])
def test_from_reducing_on_nothing_opens(level: BreakerLevel) -> None:
    desk = Desk()
    desk.bar(SEMI, LONG)
    desk.equity = LOSSES[level]
    desk.see()
    assert ask_all_ways(desk) == []


def test_with_an_equity_of_eleven_seconds_ago_nothing_opens() -> None:
    for seconds, found in ((10, 4), (11, 0)):
        desk = Desk()
        desk.bar(SEMI, LONG)
        desk.time += seconds * SECOND
        desk.priced = desk.time
        desk.send(QuotesSeen(time=desk.time, name="a", quotes=desk.quotes()))
        assert len(ask_all_ways(desk)) == found


def test_a_restricted_symbol_never_opens_and_the_others_do() -> None:
    desk = Desk(gate_checks=chain(restricted={"deny": (AUTO, SEMI, "EUR/GBP")}))
    desk.bar(SEMI, LONG)
    assert [each.order.instrument for each in ask_all_ways(desk)] == ["GBP/JPY"]


def finding(verdict: object, quantity: object) -> Finding:
    return Finding(check="answering", verdict=verdict, quantity=quantity)  # type: ignore[arg-type]


def raising(error: Exception) -> object:
    raise error


ANSWERS: dict[str, Callable[[Answering, Proposal], object]] = {
    "raises": lambda *_: raising(ValueError("no")),
    "recurses": lambda *_: raising(RecursionError()),
    "divides by zero": lambda _, asked: asked.quantity / ZERO,
    "says nothing": lambda *_: None,
    "says true": lambda *_: True,
    "says a number": lambda _, asked: asked.quantity,
    "says a word": lambda *_: "approved",
    "says the verdict alone": lambda *_: Verdict.APPROVED,
    "approves more": lambda _, asked: finding(Verdict.APPROVED, asked.quantity + 1000),
    "approves less": lambda _, asked: finding(Verdict.APPROVED, asked.quantity - 1000),
    "reduces to more": lambda _, asked: finding(Verdict.REDUCED, asked.quantity * 2),
    "approves true": lambda *_: finding(Verdict.APPROVED, True),
    "reduces to true": lambda *_: finding(Verdict.REDUCED, True),
    "approves none": lambda *_: finding(Verdict.APPROVED, None),
    "reduces to none": lambda *_: finding(Verdict.REDUCED, None),
    "reduces to a float": lambda *_: finding(Verdict.REDUCED, 1000.0),
    "approves a text": lambda _, asked: finding(Verdict.APPROVED, str(asked.quantity)),
    "reduces to less than nothing": lambda *_: finding(Verdict.REDUCED, D(-1000)),
    "a word for a verdict": lambda _, asked: finding("fine", asked.quantity),
    "true for a verdict": lambda _, asked: finding(True, asked.quantity),
    "no verdict": lambda _, asked: finding(None, asked.quantity),
    **{
        f"{verdict.value} of {number}": lambda *_, v=verdict, n=number: finding(v, D(n))
        for verdict in (Verdict.APPROVED, Verdict.REDUCED)
        for number in ("NaN", "sNaN", "Infinity", "-Infinity")
    },
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("place", [0, len(OURS)])
def test_a_check_that_answers_nonsense_lets_nothing_open(answer: str, place: int) -> None:
    desk = Desk()
    desk.bar(SEMI, LONG)
    before, after = chain()[:place], chain()[place:]
    asked: list[Check[Any]] = [*before, Answering(ANSWERS[answer]), *after]
    desk.decider.gate = Gate(desk.sizer, asked, BreakerRules())
    assert ask_all_ways(desk) == []


@pytest.mark.parametrize(("seconds", "passes"), [("0", True), ("1", True), ("1.001", False)])
@pytest.mark.parametrize("place", [0, len(OURS)])
def test_a_check_that_takes_more_than_a_second_lets_nothing_open(
    seconds: str,
    passes: bool,  # noqa: FBT001 - a parameter of the case
    place: int,
) -> None:
    time = [0.0]

    def wait(check: Answering, proposal: Proposal) -> Finding:
        time[0] += float(seconds)
        return check.approve(proposal)

    desk = Desk()
    desk.bar(SEMI, LONG)
    asked: list[Check[Any]] = [*chain()[:place], Answering(wait), *chain()[place:]]
    desk.decider.gate = Gate(desk.sizer, asked, BreakerRules(), lambda: time[0])
    assert bool(ask_all_ways(desk)) is passes
    decision = desk.decider.gate.review(scene()["signal"], "a", scene_state())
    assert decision.code == ("approved" if passes else "check_slow")
    if not passes:
        assert decision.message == "answering took more than 1 s: its answer is of the past"


def test_a_slow_sizer_lets_nothing_open_either() -> None:
    time = [0.0]

    class Slow(Asked):
        def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:
            time[0] += 2
            return super().size(signal, state, price)

    gate = Gate(Slow(), chain(), BreakerRules(), lambda: time[0])
    decision = gate.review(scene()["signal"], "a", scene_state())
    assert decision.code == "check_slow"
    assert decision.message.startswith("asked took more than 1 s")


@pytest.mark.parametrize("error", [ValueError("no"), ZeroDivisionError(), RecursionError()])
def test_a_loss_breaker_that_fails_halts_everything_and_closing_goes_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = holding(Side.BUY, quoted=True, level=BreakerLevel.NORMAL)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(decider, "step", fail)
    effects = [*desk.see(), *desk.see()]
    kind = type(error).__name__
    assert desk.book.halted == f"by loss breaker: it failed at a with {kind}"
    alarms = [each.message for each in effects if isinstance(each, Tell)]
    assert len(alarms) == 1, "said once"
    assert f"HALTED by loss breaker: it failed at a with {kind}" in alarms[0]
    assert [each.cancel for each in [desk.book.account("a").leaving] if each] == [True]
    assert ask_all_ways(desk) == []
    assert any(isinstance(each, Close) for each in desk.close(AUTO, D(20_000)))


# --- numbers that are none -------------------------------------------------------------------

WRONG = [D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity")]
PARTS: dict[str, type[Any]] = {
    "state": RiskState,
    "account": Account,
    "instrument": Instrument,
    "quote": Quote,
    "exposure": Exposure,
    "exposure elsewhere": Exposure,
    "totals": Totals,
    "sent": Sent,
    "order": OrderRequest,
    "signal": Signal,
}
IGNORED = {
    "account.balance": "equity is what counts",
    "account.margin_available": "it follows from equity and margin_used",
    "instrument.pip_size": "the gate reckons in prices",
    "instrument.contract_size": "the gate reckons in base units",
    "instrument.swap_long": "a cost of later",
    "instrument.swap_short": "a cost of later",
    "state.drawdown": "for sizers that ask for it; none here does",
    "sent.quantity": "what isn't a number is equal to none: it is no duplicate",
    "sent.notional": "an agent's budget alone looks at it",
    "order.trailing_stop": "the broker's to take or refuse",
    "order.max_slippage": "the broker's to take or refuse",
}
"""Fields of which no number leads to a veto, and why: whatever they are, the answer is the same."""
NO_BOUND = {
    ("instrument.quantity_min", "-Infinity"),
    ("instrument.quantity_max", "Infinity"),
    ("instrument.minimum_stop_distance", "-Infinity"),
}
"""A bound that bounds nothing; the checks' own limits still do."""
KNOWN = {("sent.quantity", "sNaN")}
"""Ignored, but a number that can't even be compared: on it all is vetoed."""


def decimals(kind: type[Any]) -> list[str]:
    hints = get_type_hints(kind)
    return [each.name for each in fields(kind) if hints[each.name] in (Decimal, Decimal | None)]


NUMBERS = [
    (part, name, wrong)
    for part, kind in PARTS.items()
    for name in decimals(kind)
    for wrong in WRONG
    if (f"{part}.{name}", str(wrong)) not in NO_BOUND | KNOWN
]


def exposure(symbol: str) -> Exposure:
    base, _, quote = symbol.partition("/")
    return Exposure(
        instrument=symbol,
        quantity=D(1000),
        working=D(1000),
        opposed=D(1000),
        notional_rate=D("1.1"),
        margin_rate=D("0.04"),
        closing=D(100),
        base=base,
        quote=quote,
    )


def scene() -> dict[str, Any]:
    """Return the parts of what the gate looks at; all of it passes."""
    symbol = "EUR/GBP"
    return {
        "account": Desk().account(),
        "instrument": replace(LISTED[symbol], minimum_stop_distance=D("0.0001")),
        "quote": Quote(instrument=symbol, bid=D("0.85"), ask=D("0.8501"), time=START),
        "exposure": exposure(symbol),
        "exposure elsewhere": exposure("EUR/USD"),
        "totals": Totals.of((exposure(symbol), exposure("EUR/USD"))),
        "sent": Sent(
            time=START - SECOND,
            client_order_id="c",
            strategy_id="s",
            instrument=symbol,
            side=Side.BUY,
            quantity=D(2000),
        ),
        "signal": Signal(
            strategy_id="s",
            instrument=symbol,
            time=START,
            direction=1,
            reason="",
            stop_distance=D("0.005"),
            take_profit_distance=D("0.01"),
        ),
        "order": OrderRequest(
            client_order_id="x",
            instrument=symbol,
            side=Side.BUY,
            order_type=OrderType.STOP_LIMIT,
            quantity=D(1000),
            stop_price=D("0.852"),
            limit_price=D("0.853"),
            stop_loss=D("0.84"),
            take_profit=D("0.86"),
        ),
    }


def scene_state() -> RiskState:
    parts = scene()
    return RiskState(
        time=START,
        account=parts["account"],
        instrument=parts["instrument"],
        quote=parts["quote"],
        exposures=(),
        breaker=BreakerLevel.NORMAL,
        quote_rate=D("1.3"),
    )


def answers(parts: dict[str, Any], *, summed: bool, **more: Any) -> Iterator[tuple[bool, object]]:  # noqa: ANN401
    """Give what the gate says to the signal and to the order."""
    state = RiskState(
        time=START,
        account=parts["account"],
        instrument=parts["instrument"],
        quote=parts["quote"],
        exposures=(parts["exposure"], parts["exposure elsewhere"]),
        breaker=BreakerLevel.NORMAL,
        sent=(parts["sent"],),
        summed=parts["totals"] if summed else None,
        **{"quote_rate": D("1.3")} | more,
    )
    sizer = Asked()
    sizer.quantity = D(1000)
    gate = Gate(sizer, chain(regulatory={"profile": "esma"}), BreakerRules())
    for decision in (
        gate.review(parts["signal"], "a", state),
        gate.review_order(parts["signal"], parts["order"], "a", state),
    ):
        passed = decision.proposal.quantity if decision.approved and decision.proposal else None
        yield decision.approved, passed


def answers_with(part: str, name: str, wrong: Decimal) -> list[tuple[bool, object]]:
    parts, more = scene(), {}
    if part == "state":
        more = {name: wrong}
    else:
        parts[part] = replace(parts[part], **{name: wrong})
    found = list(answers(parts, summed=part == "totals", **more))
    if part == "order":
        return found[1:]
    # A sized signal's own prices aren't the named order's.
    return found[:1] if part == "signal" else found


@pytest.mark.parametrize(("part", "name", "wrong"), NUMBERS)
def test_what_is_no_number_never_opens_anything_or_is_not_looked_at(
    part: str, name: str, wrong: Decimal
) -> None:
    said = answers_with(part, name, wrong)
    if f"{part}.{name}" in IGNORED:
        assert set(said) == {(True, D(1000))}
    else:
        assert set(said) == {(False, None)}


def test_the_scene_of_those_passes_and_each_ignored_field_exists() -> None:
    for summed in (True, False):
        assert set(answers(scene(), summed=summed)) == {(True, D(1000))}
    known = {f"{part}.{name}" for part, name, _ in NUMBERS}
    assert set(IGNORED) <= known


@pytest.mark.parametrize(("field_name", "wrong"), sorted(NO_BOUND))
def test_a_bound_of_the_broker_that_bounds_nothing_leaves_the_others(
    field_name: str, wrong: str
) -> None:
    part, _, name = field_name.partition(".")
    assert set(answers_with(part, name, D(wrong))) == {(True, D(1000))}


# --- what once was let pass ------------------------------------------------------------------


def test_an_endless_equity_opens_nothing() -> None:
    assert set(answers_with("account", "equity", D("Infinity"))) == {(False, None)}


@pytest.mark.parametrize("quantity", [1000.0, 1000])
def test_a_check_that_answers_another_kind_of_number_vetoes(quantity: object) -> None:
    desk = Desk(Answering(lambda *_: finding(Verdict.APPROVED, quantity)))
    desk.order(AUTO, Side.BUY, D(1000))
    assert opened(desk) == []


def test_an_order_that_reverses_counts_what_a_close_in_flight_takes_away() -> None:
    loose: dict[str, Any] = {"notional": {}, "currency_exposure": {}, "margin": {}}
    desk = Desk(gate_checks=chain(**loose))
    desk.order(AUTO, Side.BUY, D(50_000))
    desk.finish(next(iter(desk.live.values())))
    desk.time += 60 * SECOND
    desk.see()
    desk.close(AUTO, D(50_000))
    desk.order(AUTO, Side.SELL, D(110_000))
    for live in list(desk.live.values()):
        desk.finish(live)
    assert abs(desk.held[AUTO]) <= MOST


def test_what_has_filled_since_the_account_was_seen_counts_for_the_margin() -> None:
    desk = Desk(gate_checks=chain(notional={}, currency_exposure={}, position_limit={}))
    for symbol in (AUTO, "EUR/GBP", "GBP/JPY"):
        desk.order(symbol, Side.BUY, D(60_000))
        for live in list(desk.live.values()):
            desk.finish(live, seen=False)
    assert LEVEL * desk.account().margin_used <= EQUITY * HAIR


@pytest.mark.parametrize(
    ("side", "kind", "price"),
    [
        (Side.BUY, "stop", "0.001"),  # passed already: it fills at once, at the market
        (Side.BUY, "limit", "0.001"),
        (Side.SELL, "stop", "0.001"),
    ],
)
def test_an_order_that_rests_counts_for_no_less_than_the_book_will_count_it(
    side: Side, kind: str, price: str
) -> None:
    desk = Desk(gate_checks=chain(position_limit={}, margin={"min_level": D(1)}))
    desk.order(AUTO, side, D(900_000), kind, **{f"{kind}_price": D(price)})
    assert desk.book.account("a").exposures.totals().gross <= GROSS * EQUITY * HAIR


@pytest.mark.parametrize(
    "other", [{"instrument": "GBP/JPY"}, {"side": Side.SELL}, {"quantity_unit": QuantityUnit.LOTS}]
)
def test_a_named_order_that_is_not_what_the_state_and_the_signal_are_about_is_refused(
    other: dict[str, Any],
) -> None:
    parts = scene()
    parts["order"] = replace(parts["order"], stop_loss=None, take_profit=None, **other)
    (_, named) = answers(parts, summed=False)
    assert named == (False, None)


def test_what_works_elsewhere_counts_at_its_own_margin_rate() -> None:
    metal = replace(LISTED["EUR/GBP"], margin_rate=D("0.2"))
    listed = {**LISTED, "EUR/GBP": metal}
    desk = Desk(gate_checks=chain(notional={}, currency_exposure={}))
    event = RoutesChanged(
        time=desk.time,
        tradable=frozenset({"a"}),
        instruments={"a": listed},
        routes=dict.fromkeys(listed, "a"),
    )
    desk.send(event)
    desk.order("EUR/GBP", Side.BUY, D(15_000))
    desk.order(AUTO, Side.BUY, D(60_000))
    margin = sum(
        each.left * desk.unit(each.symbol) * listed[each.symbol].margin_rate
        for each in desk.live.values()
    )
    assert LEVEL * margin <= EQUITY * HAIR
