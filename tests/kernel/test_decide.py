"""The flow: what follows from which event, without a clock, a socket or a file."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mtquant.clock import SECOND, Ids, ManualClock, seeded
from mtquant.contract import Settings, Sizer, Strategy
from mtquant.decide import (
    AccountSeen,
    BarClosed,
    Close,
    Decider,
    Effect,
    Event,
    Filled,
    Opened,
    OrderMoved,
    Record,
    RoutesChanged,
    Submit,
    Tell,
)
from mtquant.exchange import Terms, instrument
from mtquant.model import (
    Account,
    Bar,
    Environment,
    Fill,
    OrderStatus,
    Position,
    PositionMode,
    Quote,
    Side,
    Signal,
    Timeframe,
)
from mtquant.risk import BreakerRules, Gate

D = Decimal
SYMBOL = "EUR/USD"
LONG, SHORT, FLAT, SAME = 1.0, -1.0, 0.0, 9.0
NUMBERS = count(1)


class Puppet(Strategy[Settings]):
    """Wants what the bar's close says: 1 long, -1 short, 0 flat, else no change."""

    name = "puppet"

    def on_bar(self, bar: Bar) -> Signal | None:
        says = {LONG: self.long, SHORT: self.short, FLAT: self.flat}.get(bar.close)
        return says("told so") if says else None


class Thousand(Sizer[Settings]):
    name = "thousand"

    def size(self, signal: Signal, state: Any, price: Decimal) -> Decimal:  # noqa: ANN401, ARG002 - the port's
        return D(1000)


class Scene:
    """A decider with two accounts, and an exchange of a few lines behind them."""

    def __init__(self) -> None:
        puppet = Puppet(
            Settings(),
            strategy_id="p",
            instruments=(SYMBOL,),
            timeframe=Timeframe.M1,
            indicators=lambda *_: None,  # type: ignore[arg-type]
        )
        gate = Gate(Thousand(Settings()), [], BreakerRules())
        self.decider = Decider([puppet], gate, Ids(ManualClock(), seeded(1)))
        self.time = 1_700_000_000 * SECOND
        self.equity = D(100_000)
        self.effects: list[Effect] = []
        self.routes("a", "b")
        for name in ("a", "b"):
            self.send(Opened(time=self.time, name=name, account=self.account(), positions=()))
        self.see()

    def send(self, event: Event) -> list[Effect]:
        found = list(self.decider.on(event))
        self.effects += found
        return found

    def account(self) -> Account:
        return Account(
            account_id="x",
            currency="USD",
            environment=Environment.PAPER,
            position_mode=PositionMode.NETTING,
            balance=self.equity,
            equity=self.equity,
            margin_used=D(0),
            margin_available=self.equity,
            time=self.time,
        )

    def routes(self, *up: str) -> list[Effect]:
        listed = {SYMBOL: instrument(SYMBOL, Terms())}
        return self.send(
            RoutesChanged(
                time=self.time,
                tradable=frozenset(up),
                instruments={"a": listed, "b": listed},
                routes={SYMBOL: up[0] if up else None},
            )
        )

    def see(self) -> None:
        quote = Quote(instrument=SYMBOL, bid=D("1.1000"), ask=D("1.1001"), time=self.time)
        for name in ("a", "b"):
            self.send(
                AccountSeen(time=self.time, name=name, account=self.account(), quotes=(quote,))
            )

    def bar(self, says: float, *, fresh: bool = True) -> list[Effect]:
        self.time += 60 * SECOND
        if fresh:
            self.see()
        bar = Bar(
            instrument=SYMBOL,
            timeframe=Timeframe.M1,
            time=self.time - 60 * SECOND,
            open=1.0,
            high=1.0,
            low=1.0,
            close=says,
        )
        return self.send(BarClosed(time=self.time, bar=bar))

    def fill(self, effect: Submit | Close) -> list[Effect]:
        """Execute an order whole: first its fill, then its end."""
        request = effect.order if isinstance(effect, Submit) else effect.close
        side = effect.order.side if isinstance(effect, Submit) else effect.side
        number = next(NUMBERS)
        found = self.send(
            Filled(
                time=self.time,
                name=effect.account,
                fill=Fill(
                    execution_id=f"E{number}",
                    order_id=f"O{number}",
                    client_order_id=request.client_order_id,
                    instrument=SYMBOL,
                    side=side,
                    quantity=request.quantity or D(0),
                    price=D("1.1"),
                    time=self.time,
                ),
            )
        )
        return found + self.end(effect, OrderStatus.FILLED)

    def end(
        self, effect: Submit | Close, status: OrderStatus, *, absent: bool = False
    ) -> list[Effect]:
        request = effect.order if isinstance(effect, Submit) else effect.close
        return self.send(
            OrderMoved(
                time=self.time,
                name=effect.account,
                client_order_id=request.client_order_id,
                status=status,
                absent=absent,
            )
        )


def orders(effects: Sequence[Effect]) -> list[Submit | Close]:
    return [each for each in effects if isinstance(each, Submit | Close)]


def told(effects: Sequence[Effect]) -> str:
    return " ".join(each.message for each in effects if isinstance(each, Tell))


def test_a_flip_closes_first_and_opens_when_flat() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    assert isinstance(bought, Submit)
    assert bought.order.side is Side.BUY
    assert orders(scene.bar(SHORT)) == [], "one working order an instrument"
    (closed,) = orders(scene.fill(bought))
    assert isinstance(closed, Close)
    assert (closed.side, closed.close.quantity) == (Side.SELL, D(1000))
    (sold,) = orders(scene.fill(closed))
    assert isinstance(sold, Submit)
    assert sold.order.side is Side.SELL
    assert orders(scene.fill(sold)) == []


def test_no_signal_means_no_change() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    assert orders(scene.bar(SAME)) == []
    assert orders(scene.bar(LONG)) == []


def test_a_position_at_a_dead_account_waits_and_is_never_opposed_elsewhere() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    scene.routes("b")
    effects = scene.bar(SHORT)
    assert orders(effects) == []
    assert "the position is held at a, which is down" in told(effects)
    assert orders(scene.bar(SAME)) == []
    (closed,) = orders(scene.routes("a", "b"))
    assert (closed.account, type(closed)) == ("a", Close)


def test_new_exposure_goes_where_the_route_says() -> None:
    scene = Scene()
    scene.routes("b")
    (bought,) = orders(scene.bar(LONG))
    assert bought.account == "b"


def test_nowhere_to_go_is_told_once_and_the_wish_stands() -> None:
    scene = Scene()
    scene.routes()
    assert "no account takes new exposure now" in told(scene.bar(LONG))
    assert told(scene.bar(SAME)) == ""
    scene.see()
    (bought,) = orders(scene.routes("b"))
    assert bought.account == "b"


def test_an_order_in_doubt_stops_the_instrument_until_it_is_settled() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.end(bought, OrderStatus.IN_DOUBT)
    assert orders(scene.bar(SHORT)) == []
    assert orders(scene.routes("b", "a")) == []
    (closed,) = orders(scene.fill(bought))
    assert isinstance(closed, Close)


def test_what_was_proven_absent_is_decided_afresh_under_a_new_id() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.end(bought, OrderStatus.IN_DOUBT)
    assert orders(scene.end(bought, OrderStatus.REJECTED, absent=True)) == []
    (again,) = orders(scene.bar(SAME))
    assert isinstance(bought, Submit)
    assert isinstance(again, Submit)
    assert again.order.client_order_id != bought.order.client_order_id


def test_a_refused_opening_is_not_tried_again_and_a_refused_close_at_the_next_bar() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    assert orders(scene.end(bought, OrderStatus.REJECTED)) == []
    assert orders(scene.bar(SAME)) == []
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    (closed,) = orders(scene.bar(FLAT))
    assert orders(scene.end(closed, OrderStatus.REJECTED)) == [], "no tight loop"
    (again,) = orders(scene.bar(SAME))
    assert isinstance(again, Close)


def test_stale_equity_and_a_tripped_breaker_open_nothing_but_close() -> None:
    scene = Scene()
    assert orders(scene.bar(LONG, fresh=False)) == []
    scene.see()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    scene.equity = D(80_000)
    scene.see()
    (closed,) = orders(scene.bar(SHORT))
    assert isinstance(closed, Close)
    assert orders(scene.fill(closed)) == []
    assert "HALTED" in told(scene.effects)
    durable = [each for each in scene.effects if isinstance(each, Record) and each.durable]
    assert [each.kind for each in durable] == ["breaker", "leaving"] * 2


def test_what_others_hold_blocks_the_instrument() -> None:
    scene = Scene()
    position = Position(
        position_id="x",
        instrument=SYMBOL,
        side=Side.SELL,
        quantity=D(5000),
        average_price=D("1.1"),
        unrealized_profit=D(0),
        opened_at=0,
    )
    scene.send(Opened(time=scene.time, name="a", account=scene.account(), positions=(position,)))
    effects = scene.bar(LONG)
    assert orders(effects) == []
    assert "isn't ours" in told(effects)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["bar", "fill", "doubt", "absent", "refuse", "up", "down", "none"]),
        st.sampled_from([LONG, SHORT, FLAT, SAME]),
    ),
    max_size=40,
)


def play(acts: list[tuple[str, float]]) -> tuple[Scene, list[Effect]]:  # noqa: C901 - a story
    """Run a random story and check on the way what must never happen."""
    scene = Scene()
    working: list[Submit | Close] = []
    held = {"a": D(0), "b": D(0)}

    def note(effects: list[Effect]) -> None:
        verdicts = 0
        for each in effects:
            if isinstance(each, Record) and each.kind == "verdict":
                verdicts += bool(each.body["approved"])
            if isinstance(each, Submit | Close):
                verdicts -= 1
                assert verdicts >= 0, "every order has an approved verdict before it"
                working.append(each)
                if isinstance(each, Close):
                    assert abs(held[each.account]) == each.close.quantity
                    assert held[each.account] * each.side.sign < 0
                else:
                    assert held == {"a": 0, "b": 0}, "nothing is opened beside a position"
        assert len(working) <= 1, "one working order an instrument"

    for act, says in acts:
        if act == "bar":
            note(scene.bar(says))
        elif act in {"up", "down", "none"}:
            scene.see()
            note(scene.routes(*{"up": ("a", "b"), "down": ("b",), "none": ()}[act]))
        elif working and act == "doubt":
            note(scene.end(working[0], OrderStatus.IN_DOUBT))
        elif working and act == "fill":
            order = working.pop()
            side = order.order.side if isinstance(order, Submit) else order.side
            quantity = (order.order if isinstance(order, Submit) else order.close).quantity
            held[order.account] += side.sign * (quantity or D(0))
            note(scene.fill(order))
        elif working and act in {"absent", "refuse"}:
            note(scene.end(working.pop(), OrderStatus.REJECTED, absent=act == "absent"))
    return scene, scene.effects


@given(ACTS)
def test_whatever_happens(acts: list[tuple[str, float]]) -> None:
    play(acts)


@given(ACTS)
def test_the_same_events_have_the_same_effects(acts: list[tuple[str, float]]) -> None:
    assert _without_numbers(play(acts)[1]) == _without_numbers(play(acts)[1])


def _without_numbers(effects: list[Effect]) -> list[str]:
    return [repr(each) for each in effects]


def foreign(scene: Scene, account: str, side: Side, quantity: int) -> None:
    """Let somebody else trade in the account."""
    number = next(NUMBERS)
    fill = Fill(
        execution_id=f"E{number}",
        order_id=f"X{number}",
        client_order_id=None,
        instrument=SYMBOL,
        side=side,
        quantity=D(quantity),
        price=D("1.1"),
        time=scene.time,
    )
    scene.send(Filled(time=scene.time, name=account, fill=fill))


def test_a_close_never_names_more_than_the_account_still_holds() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    foreign(scene, "a", Side.SELL, 400)
    (closed,) = orders(scene.bar(FLAT))
    assert isinstance(closed, Close)
    assert closed.close.quantity == D(600)


def test_where_trades_of_others_outweigh_ours_nothing_is_closed() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    foreign(scene, "a", Side.SELL, 1500)
    assert orders(scene.bar(FLAT)) == []
