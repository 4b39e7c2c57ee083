"""Modes, suggestions, orders of persons, several strategies: all through the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from mtquant import Settings
from mtquant.book import Book, Leaving
from mtquant.clock import SECOND, Ids, ManualClock, seeded
from mtquant.combine import CombineRules
from mtquant.contract import Check, Finding, Level, Proposal, Sizer, Strategy
from mtquant.decide import (
    AccountSeen,
    Answered,
    BarClosed,
    Close,
    CloseOrdered,
    Decider,
    Effect,
    Event,
    FeedChanged,
    Filled,
    HaltSet,
    ModeSet,
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
)
from mtquant.decide.persons import ApprovalRules
from mtquant.exchange import Terms, instrument
from mtquant.model import (
    Account,
    Bar,
    CloseRequest,
    Environment,
    Fill,
    Mode,
    OrderRequest,
    OrderStatus,
    OrderType,
    PositionMode,
    Quote,
    Side,
    Signal,
    Timeframe,
)
from mtquant.risk import BreakerRules, Gate

D = Decimal
SYMBOL = "EUR/USD"
LONG, SHORT, FLAT, BROKEN, NONSENSE = 1.0, 2.0, 3.0, 4.0, 5.0
NUMBERS = count(1)


class Puppet(Strategy[Settings]):
    """Says what the bar's close tells it to."""

    name = "puppet"

    def on_bar(self, bar: Bar) -> Signal | None:
        if bar.close == BROKEN:
            raise RuntimeError("no idea")
        if bar.close == NONSENSE:
            return self.long("told so", confidence=7.0)
        says = {LONG: self.long, SHORT: self.short, FLAT: self.flat}.get(bar.close)
        return says("told so") if says else None


class Listener(Strategy[Settings]):
    """Counts what it hears, in its state, and buys on the third fill and the second quote."""

    name = "listener"

    def on_start(self) -> None:
        self.state = {"fills": 0, "quotes": 0, "bars": 0}

    def on_bar(self, bar: Bar) -> None:  # noqa: ARG002
        self.state["bars"] += 1

    def on_quote(self, quote: Quote) -> Signal | None:  # noqa: ARG002
        self.state["quotes"] += 1
        return self.long("a second price") if self.state["quotes"] == 2 else None

    def on_fill(self, fill: Fill) -> None:  # noqa: ARG002
        self.state["fills"] += 1


class Thousand(Sizer[Settings]):
    name = "thousand"

    def size(self, signal: Signal, state: Any, price: Decimal) -> Decimal:  # noqa: ANN401, ARG002
        return D(1000)


class AtMost(Check[Settings]):
    """Lets 5,000 pass, and nothing at all on a Sunday of the test's making."""

    name = "at_most"
    sunday = False

    def review(self, proposal: Proposal, state: Any) -> Finding:  # noqa: ANN401, ARG002
        if type(self).sunday:
            return self.veto("sunday", "it is Sunday")
        if proposal.quantity > 5000:
            return self.reduce("at_most", D(5000), "too much", limit=5000, observed=0)
        return self.approve(proposal)


def strategy(kind: type[Strategy[Any]] = Puppet, name: str = "p") -> Strategy[Any]:
    return kind(
        Settings(),
        strategy_id=name,
        instruments=(SYMBOL,),
        timeframe=Timeframe.M1,
        indicators=lambda *_: None,  # type: ignore[arg-type]
    )


class Scene:
    """A decider before one account, and what it did."""

    def __init__(self, *strategies: Strategy[Any], book: Book | None = None, **rules: Any) -> None:  # noqa: ANN401
        AtMost.sunday = False
        gate = Gate(Thousand(Settings()), [AtMost(Settings())], BreakerRules())
        self.decider = Decider(
            strategies or (strategy(),),
            gate,
            Ids(ManualClock(), seeded(1)),
            book=book,
            rules=Rules(**rules),
        )
        self.book = self.decider.book
        self.time = 1_700_000_000 * SECOND
        self.ask = D("1.1001")
        self.effects: list[Effect] = []
        self.send(
            RoutesChanged(
                time=self.time,
                tradable=frozenset({"a"}),
                instruments={"a": {SYMBOL: instrument(SYMBOL, Terms())}},
                routes={SYMBOL: "a"},
            )
        )
        self.send(Opened(time=self.time, name="a", account=self.account(), positions=()))
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
            balance=D(100_000),
            equity=D(100_000),
            margin_used=D(0),
            margin_available=D(100_000),
            time=self.time,
        )

    def quote(self) -> Quote:
        return Quote(instrument=SYMBOL, bid=self.ask - D("0.0001"), ask=self.ask, time=self.time)

    def see(self) -> list[Effect]:
        return self.send(
            AccountSeen(time=self.time, name="a", account=self.account(), quotes=(self.quote(),))
        )

    def bar(self, says: float, *, trade: bool = True) -> list[Effect]:
        self.time += 60 * SECOND
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
        return self.send(BarClosed(time=self.time, bar=bar, trade=trade))

    def order(self, side: Side, quantity: int, **more: Any) -> list[Effect]:  # noqa: ANN401
        order = OrderRequest(
            client_order_id=f"person-{next(NUMBERS)}",
            instrument=SYMBOL,
            side=side,
            order_type=more.pop("order_type", OrderType.MARKET),
            quantity=D(quantity),
            **more,
        )
        return self.send(Ordered(time=self.time, by="ann", account="a", order=order))

    def fill(self, effect: Submit | Close) -> list[Effect]:
        request = effect.order if isinstance(effect, Submit) else effect.close
        side = effect.order.side if isinstance(effect, Submit) else effect.side
        number = next(NUMBERS)
        fill = Fill(
            execution_id=f"E{number}",
            order_id=f"O{number}",
            client_order_id=request.client_order_id,
            instrument=SYMBOL,
            side=side,
            quantity=request.quantity or D(0),
            price=D("1.1"),
            time=self.time,
        )
        found = self.send(Filled(time=self.time, name="a", fill=fill))
        moved = OrderMoved(
            time=self.time,
            name="a",
            client_order_id=request.client_order_id,
            status=OrderStatus.FILLED,
        )
        return found + self.send(moved)

    def answer(self, number: int = 1, *, approved: bool = True, digest: str = "") -> list[Effect]:
        return self.send(
            Answered(
                time=self.time,
                number=number,
                approved=approved,
                by="ann",
                why="" if approved else "no",
                digest=digest,
            )
        )


def orders(effects: Sequence[Effect]) -> list[Submit | Close]:
    return [each for each in effects if isinstance(each, Submit | Close)]


def told(effects: Sequence[Effect]) -> str:
    return " ".join(each.message for each in effects if isinstance(each, Tell))


def entries(effects: Sequence[Effect], kind: str) -> list[dict[str, Any]]:
    return [each.body for each in effects if isinstance(each, Record) and each.kind == kind]


SEMI: dict[str, Any] = {"modes": {"p": Mode.SEMI}}


# --- suggestions ---------------------------------------------------------------------------------


def test_in_semi_mode_an_order_waits_until_it_is_approved_and_then_goes_once() -> None:
    scene = Scene(**SEMI)
    suggested = scene.bar(LONG)
    assert orders(suggested) == []
    (body,) = entries(suggested, "suggestion")
    assert body["order"]["quantity"] == "1000"
    assert "suggestion 1" in told(suggested)

    (sent,) = orders(scene.answer())

    assert isinstance(sent, Submit)
    assert sent.order.quantity == D(1000)
    assert sent.order.client_order_id != body["order"]["client_order_id"]
    assert scene.book.suggestions == {}
    assert orders(scene.answer()) == [], "an approval is good once"
    assert scene.book.outcomes[1] == "approved by ann"


def test_a_rejected_suggestion_is_not_made_again_until_the_strategy_says_so_again() -> None:
    scene = Scene(**SEMI)
    scene.bar(LONG)
    assert orders(scene.answer(approved=False)) == []
    assert scene.book.outcomes[1] == "rejected by ann: no"

    scene.bar(LONG)
    assert not scene.book.suggestions, "he has just said no to it"
    scene.time += 300 * SECOND
    scene.bar(LONG)
    assert list(scene.book.suggestions) == [2]


def test_a_strategy_that_says_so_at_every_bar_asks_once() -> None:
    scene = Scene(**SEMI)
    for _ in range(3):
        scene.bar(LONG)

    assert list(scene.book.suggestions) == [1]


def test_after_a_no_the_other_direction_may_be_asked_for_at_once() -> None:
    scene = Scene(**SEMI)
    scene.bar(LONG)
    scene.answer(approved=False)
    scene.bar(SHORT)
    scene.answer(2, approved=False)
    scene.bar(LONG)

    assert list(scene.book.suggestions) == [3]


def test_what_nobody_answers_expires_and_a_late_approval_is_told_so() -> None:
    scene = Scene(approval=ApprovalRules(expires_s=30), **SEMI)
    scene.bar(LONG)
    scene.time += 31 * SECOND

    late = scene.answer()

    assert orders(late) == []
    assert "expired at" in scene.book.outcomes[1]
    scene.bar(SHORT)
    scene.time += 31 * SECOND
    assert "nobody answered" in told(scene.send(Ticked(time=scene.time)))


def test_a_suggestion_is_withdrawn_when_its_strategy_changes_its_mind() -> None:
    scene = Scene(**SEMI)
    scene.bar(LONG)

    changed = scene.bar(SHORT)

    assert "withdrawn" in scene.book.outcomes[1]
    assert scene.book.suggestions[2].order.side is Side.SELL
    assert "suggestion 2" in told(changed)


def test_an_approval_is_not_sent_where_the_price_has_moved() -> None:
    scene = Scene(approval=ApprovalRules(max_drift=D("0.001")), **SEMI)
    scene.bar(LONG)
    scene.ask = D("1.1013")
    scene.see()

    assert orders(scene.answer()) == []
    assert "the price moved from 1.1001 to 1.1013, more than 0.1 %" in scene.book.outcomes[1]


def test_an_approval_within_the_drift_goes() -> None:
    scene = Scene(approval=ApprovalRules(max_drift=D("0.001")), **SEMI)
    scene.bar(LONG)
    scene.ask = D("1.1011")
    scene.see()

    assert len(orders(scene.answer())) == 1


def test_the_gate_looks_again_at_approval() -> None:
    scene = Scene(**SEMI)
    scene.bar(LONG)
    AtMost.sunday = True

    assert orders(scene.answer()) == []
    assert "it is Sunday" in scene.book.outcomes[1]


def test_an_approval_of_something_else_than_was_shown_is_refused() -> None:
    scene = Scene(**SEMI)
    scene.bar(LONG)
    digest = scene.book.suggestions[1].digest

    assert orders(scene.answer(digest="0" * 16)) == []
    assert "not what is suggested" in scene.book.outcomes[1]
    scene.time += 300 * SECOND
    scene.bar(LONG)
    assert scene.book.suggestions[2].digest == digest, "the same order has the same digest"
    assert len(orders(scene.answer(2, digest=digest))) == 1


def test_what_closes_does_not_wait_in_semi_mode() -> None:
    scene = Scene(**SEMI)
    scene.bar(LONG)
    (sent,) = orders(scene.answer())
    scene.fill(sent)

    (closed,) = orders(scene.bar(FLAT))

    assert isinstance(closed, Close)


def test_in_manual_mode_nothing_is_sent_and_a_person_is_told() -> None:
    scene = Scene(modes={"p": Mode.MANUAL})
    wanted = scene.bar(LONG)

    assert orders(wanted) == []
    assert "p says hold long: told so; the mode is manual" in told(wanted)


def test_a_mode_is_changed_while_running_with_who_and_why() -> None:
    scene = Scene()
    event = ModeSet(time=scene.time, strategy_id="p", mode=Mode.SEMI, by="ann", why="news")
    (body,) = entries(scene.send(event), "mode")

    assert body == {
        "strategy_id": "p",
        "mode": "semi",
        "configured": "auto",
        "by": "ann",
        "why": "news",
    }
    assert orders(scene.bar(LONG)) == []
    scene.send(replace(event, mode=Mode.AUTO, time=scene.time))
    assert len(orders(scene.bar(LONG))) == 1


def test_a_change_of_mode_stands_until_the_configured_mode_is_another() -> None:
    book = Book(modes={"p": (Mode.MANUAL, Mode.AUTO)})
    assert orders(Scene(book=book).bar(LONG)) == []

    again = Book(modes={"p": (Mode.AUTO, Mode.AUTO)})
    assert orders(Scene(book=again, **SEMI).bar(LONG)) == [], "the file says semi now"


# --- several strategies --------------------------------------------------------------------------


class Second(Puppet):
    """Says what the bar's open tells it to."""

    def on_bar(self, bar: Bar) -> Signal | None:
        return super().on_bar(bar._replace(close=bar.open))


def two(scene: Scene, first: float, second: float) -> list[Effect]:
    scene.time += 60 * SECOND
    scene.see()
    bar = Bar(
        instrument=SYMBOL,
        timeframe=Timeframe.M1,
        time=scene.time - 60 * SECOND,
        open=second,
        high=1.0,
        low=1.0,
        close=first,
    )
    return scene.send(BarClosed(time=scene.time, bar=bar))


def duo(**rules: Any) -> Scene:  # noqa: ANN401
    return Scene(strategy(Puppet, "p"), strategy(Second, "q"), **rules)


def test_two_strategies_make_one_wish_with_both_reasons() -> None:
    scene = duo(weights={"p": 2.0, "q": 1.0})

    effects = two(scene, LONG, SHORT)

    (sent,) = orders(effects)
    assert isinstance(sent, Submit)
    assert sent.order.side is Side.BUY
    body = entries(effects, "target")[-1]
    assert "p (weight 2) long" in body["reason"]
    assert "q (weight 1) short" in body["reason"]


def test_a_conflict_can_come_to_nothing() -> None:
    scene = duo(combine=CombineRules(rule="unanimous"))

    assert [each for each in orders(two(scene, LONG, SHORT)) if isinstance(each, Submit)] == []


def test_the_most_careful_mode_of_those_that_agree_counts() -> None:
    agreed = duo(modes={"p": Mode.AUTO, "q": Mode.SEMI}, weights={"p": 5.0})
    assert orders(two(agreed, LONG, LONG)) == []
    assert agreed.book.suggestions

    against = duo(modes={"p": Mode.AUTO, "q": Mode.SEMI}, weights={"p": 5.0})
    assert orders(two(against, LONG, SHORT)), "who doesn't agree isn't asked"


def test_a_voice_that_changes_nothing_does_not_reopen_what_was_stopped_out() -> None:
    scene = duo(weights={"p": 5.0})
    (sent,) = orders(two(scene, LONG, LONG))
    scene.fill(sent)
    stop = Fill(
        execution_id="S1",
        order_id="S1",
        client_order_id=None,
        instrument=SYMBOL,
        side=Side.SELL,
        quantity=D(1000),
        price=D(1),
        time=scene.time,
    )
    assert orders(scene.send(Filled(time=scene.time, name="a", fill=stop))) == []

    assert orders(two(scene, 0.0, SHORT)) == [], "q's change leaves the sum long, and spent"
    assert len(orders(two(scene, LONG, 0.0))) == 1, "p asks for it again"


# --- what strategies hear ------------------------------------------------------------------------


def test_a_strategy_that_fails_is_heard_no_more_and_stops_nobody() -> None:
    scene = Scene(strategy(Puppet, "p"), strategy(Second, "q"))
    failed = two(scene, BROKEN, LONG)

    assert "strategy p:EUR/USD failed and is heard no more: RuntimeError: no idea" in told(failed)
    assert len(orders(failed)) == 1, "the other one trades"
    assert entries(two(scene, BROKEN, LONG), "strategy_failed") == []


def test_a_signal_that_makes_no_sense_is_ignored_visibly() -> None:
    scene = Scene()
    effects = scene.bar(NONSENSE)

    assert orders(effects) == []
    assert "a confidence of 7.0 is not in 0 to 1" in told(effects)
    assert entries(effects, "signal_refused")


def test_it_hears_quotes_and_fills_and_its_state_is_journaled_when_it_changes() -> None:
    scene = Scene(strategy(Listener, "l"))
    scene.bar(0.0)
    for _ in range(2):
        scene.send(QuotesSeen(time=scene.time, name="a", quotes=(scene.quote(),)))

    assert len(orders(scene.effects)) == 1, "on_quote may signal"
    states = entries(scene.effects, "state")
    assert states[-1]["strategy"] == "l:EUR/USD"
    assert states[-1]["state"]["quotes"] >= 2
    (sent,) = orders(scene.effects)
    scene.fill(sent)
    assert entries(scene.effects, "state")[-1]["state"]["fills"] == 1


def test_a_price_that_only_holds_on_is_no_news_to_a_strategy() -> None:
    scene = Scene(strategy(Listener, "l"))
    scene.bar(0.0)
    scene.send(QuotesSeen(time=scene.time, name="a", quotes=(scene.quote(),)))
    heard = entries(scene.effects, "state")[-1]["state"]["quotes"]
    for second in (1, 2):
        held = replace(scene.quote(), confirmed=scene.time + second)
        scene.send(QuotesSeen(time=scene.time, name="a", quotes=(held,)))
    assert entries(scene.effects, "state")[-1]["state"]["quotes"] == heard
    assert scene.decider.book.account("a").quotes[held.instrument] == held


def test_the_state_is_there_again_after_a_restart_and_warming_up_does_not_change_it() -> None:
    kept = {"fills": 7, "quotes": 40, "bars": 9}
    again = strategy(Listener, "l")
    scene = Scene(again, book=Book(states={"l:EUR/USD": dict(kept)}))
    scene.bar(0.0, trade=False)
    assert again.state["bars"] == 9
    scene.bar(0.0)

    assert again.state["bars"] == 10
    assert again.state["fills"] == 7


def test_a_fresh_strategy_begins_with_what_it_set_not_with_what_history_did() -> None:
    fresh = strategy(Listener, "l")
    scene = Scene(fresh)
    for _ in range(5):
        scene.bar(0.0, trade=False)
    scene.bar(0.0)

    assert fresh.state["bars"] == 1


def test_a_symbol_whose_prices_stop_takes_no_new_exposure_until_they_come_again() -> None:
    scene = Scene()
    paused = scene.send(FeedChanged(time=scene.time, symbol=SYMBOL, why="the last price is old"))
    assert "EUR/USD pauses: the last price is old" in told(paused)

    waiting = scene.bar(LONG)
    assert orders(waiting) == []
    assert "waiting: EUR/USD: the last price is old" in told(waiting)

    resumed = scene.send(FeedChanged(time=scene.time, symbol=SYMBOL, why=""))
    assert "goes on" in told(resumed)
    assert len(orders(resumed)) == 1


# --- orders of persons ---------------------------------------------------------------------------


def test_a_persons_order_goes_through_the_gate_as_it_is() -> None:
    scene = Scene()
    effects = scene.order(Side.BUY, 3000)

    (sent,) = orders(effects)
    assert isinstance(sent, Submit)
    assert (sent.person, sent.order.quantity) == ("ann", D(3000))
    (verdict,) = entries(effects, "verdict")
    assert verdict["approved"]
    assert verdict["signal"]["strategy_id"] == "ann"


@pytest.mark.parametrize(
    ("order", "code", "message"),
    [
        ({"quantity": 6000}, "at_most", "the most that passes is 5,000: order that"),
        ({"quantity": 1500}, "off_step", "order 1,000 or 2,000"),
        ({"quantity": 1000, "stop_loss": D("1.2")}, "invalid_stop", "stop loss at 1.2"),
        ({"quantity": 1000, "take_profit": D("1.05")}, "invalid_stop", "take profit at 1.05"),
        ({"quantity": 1000, "stop_loss": D("1.0500001")}, "off_step", "not in steps of 0.00001"),
    ],
)
def test_a_persons_order_is_never_trimmed(order: dict[str, Any], code: str, message: str) -> None:
    scene = Scene()
    effects = scene.order(Side.BUY, **order)

    assert orders(effects) == []
    (verdict,) = entries(effects, "verdict")
    assert verdict["code"] == code
    assert message in verdict["message"]


def test_a_persons_limit_order_may_stand_far_from_the_market() -> None:
    scene = Scene()
    stop = {"stop_loss": D("0.89")}

    (sent,) = orders(
        scene.order(Side.BUY, 1000, order_type=OrderType.LIMIT, limit_price=D("0.9"), **stop)
    )

    assert isinstance(sent, Submit)


def test_what_a_person_holds_is_beside_the_strategies_and_they_leave_it_alone() -> None:
    scene = Scene()
    (sent,) = orders(scene.order(Side.BUY, 2000))
    scene.fill(sent)
    assert scene.book.account("a").ours(SYMBOL) == 0
    assert scene.book.account("a").external[SYMBOL] == D(2000)

    wanted = scene.bar(SHORT)

    assert orders(wanted) == []
    assert "holds 2000 that isn't ours" in told(wanted)


def close(scene: Scene, quantity: int) -> list[Effect]:
    request = CloseRequest(
        client_order_id=f"person-{next(NUMBERS)}", instrument=SYMBOL, quantity=D(quantity)
    )
    return scene.send(
        CloseOrdered(
            time=scene.time, by="ann", account="a", symbol=SYMBOL, side=Side.SELL, close=request
        )
    )


def test_a_person_closes_what_the_strategies_hold_and_they_do_not_open_it_again() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)

    (closed,) = orders(close(scene, 1000))
    scene.fill(closed)

    book = scene.book.account("a")
    assert (book.ours(SYMBOL), book.external.get(SYMBOL, D(0))) == (D(0), D(0))
    assert orders(scene.bar(0.0)) == []
    assert len(orders(scene.bar(LONG))) == 1, "until the strategy says so again"


def test_closing_takes_a_persons_part_first() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    (also,) = orders(scene.order(Side.BUY, 2000))
    scene.fill(also)

    (closed,) = orders(close(scene, 2500))
    scene.fill(closed)

    book = scene.book.account("a")
    assert (book.ours(SYMBOL), book.external[SYMBOL]) == (D(500), D(0))


def test_in_manual_mode_not_even_a_close_is_sent() -> None:
    scene = Scene()
    (sent,) = orders(scene.bar(LONG))
    scene.fill(sent)
    scene.send(ModeSet(time=scene.time, strategy_id="p", mode=Mode.MANUAL, by="ann"))

    wanted = scene.bar(FLAT)

    assert orders(wanted) == []
    assert "p says hold nothing: told so; the mode is manual" in told(wanted)


# --- the emergency stop --------------------------------------------------------------------------


def halt(scene: Scene, *, on: bool = True) -> list[Effect]:
    return scene.send(HaltSet(time=scene.time, on=on, by="ann", why="prices make no sense"))


def test_a_halt_opens_nothing_for_anybody_and_says_so() -> None:
    scene = Scene()
    assert "HALTED by ann: prices make no sense" in told(halt(scene))

    assert orders(scene.bar(LONG)) == []
    assert orders(scene.order(Side.BUY, 1000)) == []
    assert entries(scene.effects, "verdict")[-1]["code"] == "trading_halted"
    assert halt(scene) == [], "said again it changes nothing"


def test_a_halt_lets_close_and_an_approval_is_refused() -> None:
    scene = Scene(**SEMI)
    scene.bar(LONG)
    halt(scene)
    assert orders(scene.answer()) == []

    free = Scene()
    (bought,) = orders(free.bar(LONG))
    free.fill(bought)
    halt(free)
    (closed,) = orders(free.bar(FLAT))
    assert isinstance(closed, Close)
    assert len(orders(close(free, 1000))) == 1


def test_after_a_halt_trading_goes_on_when_a_person_says_so() -> None:
    scene = Scene()
    halt(scene)
    scene.bar(LONG)

    assert "trading goes on, by ann" in told(halt(scene, on=False))
    assert len(orders(scene.bar(LONG))) == 1


def test_a_new_halt_takes_nothing_away_from_what_the_breaker_has_begun() -> None:
    scene = Scene()
    book = scene.book.account("a")
    book.leaving = Leaving(
        account="a",
        share=D(1),
        cancel=False,
        cause="breaker",
        by="loss breaker",
        why="HALTED",
        stay={"P1": D(0)},
    )

    found = halt(scene)

    assert book.leaving is not None
    assert (book.leaving.share, book.leaving.cancel, book.leaving.cause) == (D(1), True, "breaker")
    assert [each["share"] for each in entries(found, "leaving")] == ["1"]
    assert entries(found, "leaving_stay") == [{"account": "a", "stay": {"P1": "0"}}]
    halt(scene, on=False)
    assert book.leaving is not None, "resuming calls a halt off, not the breaker"


def test_a_halt_that_flattens_goes_on_cancelling_what_was_to_be_cancelled() -> None:
    scene = Scene()
    halt(scene)
    book = scene.book.account("a")
    assert book.leaving is not None
    assert (book.leaving.share, book.leaving.cancel) == (D(0), True)
    scene.send(HaltSet(time=scene.time, on=True, by="bob", why="all of it", flatten=True))
    assert (book.leaving.share, book.leaving.cancel, book.leaving.by) == (D(1), True, "bob")


# --- a person's orders beside the strategies' -----------------------------------------------------


def resting(scene: Scene) -> Submit:
    (effect,) = orders(
        scene.order(Side.BUY, 1000, order_type=OrderType.LIMIT, limit_price=D("1.05"))
    )
    assert isinstance(effect, Submit)
    return effect


def acknowledge(scene: Scene, effect: Submit, status: OrderStatus) -> list[Effect]:
    cid = effect.order.client_order_id
    return scene.send(OrderMoved(time=scene.time, name="a", client_order_id=cid, status=status))


def test_a_persons_resting_order_holds_up_no_strategy() -> None:
    scene = Scene()
    acknowledge(scene, resting(scene), OrderStatus.NEW)

    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    (closed,) = orders(scene.bar(FLAT))

    assert isinstance(closed, Close)


@pytest.mark.parametrize("status", [None, OrderStatus.IN_DOUBT])
def test_while_a_persons_order_is_not_known_a_strategy_closes_and_does_not_open(
    status: OrderStatus | None,
) -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    unsure = resting(scene)
    if status is not None:
        acknowledge(scene, unsure, status)

    (closed,) = orders(scene.bar(SHORT))
    assert isinstance(closed, Close)
    assert orders(scene.fill(closed)) == [], "the other direction waits"

    acknowledge(scene, unsure, OrderStatus.CANCELED)
    (sold,) = orders(scene.bar(0.0))
    assert isinstance(sold, Submit)


# --- too many vetoes ------------------------------------------------------------------------------


def test_a_burst_of_vetoes_is_told_once() -> None:
    scene = Scene()
    AtMost.sunday = True
    alarms = []
    for _ in range(25):
        scene.time += SECOND
        scene.see()
        found = scene.order(Side.BUY, 1000)
        alarms += [each for each in found if isinstance(each, Tell) and "vetoed in" in each.message]
    (alarm,) = alarms
    assert alarm.level is Level.ALARM
    assert alarm.message == "10 orders were vetoed in the last 60 s; the last was of ann (sunday)"


def test_vetoes_now_and_then_are_no_burst() -> None:
    scene = Scene()
    AtMost.sunday = True
    for _ in range(40):
        scene.time += 7 * SECOND
        scene.see()
        assert "vetoed in" not in told(scene.order(Side.BUY, 1000))
    scene.time += 3600 * SECOND
    scene.see()
    for _ in range(9):
        assert "vetoed in" not in told(scene.order(Side.BUY, 1000))
    assert "10 orders were vetoed" in told(scene.order(Side.BUY, 1000))
