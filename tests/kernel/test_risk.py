"""The gate: order of its stages, rounding, failing closed, and what it puts on record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.risk_scene import account, eurusd

from mtquant.clock import parse_time
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
    Verdict,
)
from mtquant.errors import Vetoed
from mtquant.model import (
    Account,
    Instrument,
    Quote,
    Side,
    Signal,
)
from mtquant.risk import BreakerRules, Decision, Gate, figure
from mtquant_risk import checks, sizers

NOW = parse_time("2026-01-12T12:00:00.5Z")
D = Decimal
EURUSD = eurusd(10_000_000)
ACCOUNT = account("USD", NOW)
QUOTE = Quote(instrument="EUR/USD", bid=D("1.10000"), ask=D("1.10010"), time=NOW)
STATE = RiskState(
    time=NOW,
    account=ACCOUNT,
    instrument=EURUSD,
    quote=QUOTE,
    quote_rate=D(1),
    exposures=(),
    breaker=BreakerLevel.NORMAL,
)
LONG = Signal(
    strategy_id="cross",
    instrument="EUR/USD",
    time=NOW,
    direction=1,
    reason="10 over 30",
    stop_distance=D("0.0050"),
)
RULES = BreakerRules()


class Says(Sizer[Settings]):
    """Answers what it was made with, and remembers what it was asked."""

    name = "says"

    def __init__(self, answer: object) -> None:
        super().__init__(Settings())
        self.answer = answer
        self.asked: list[tuple[Signal, Decimal]] = []

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:  # noqa: ARG002
        self.asked.append((signal, price))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


class Does(Check[Settings]):
    """Does what it was made with, and remembers what it was shown."""

    name = "does"

    def __init__(self, act: Callable[[Does, Proposal], Any]) -> None:
        super().__init__(Settings())
        self.act = act
        self.shown: list[Decimal] = []

    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002
        self.shown.append(proposal.quantity)
        return self.act(self, proposal)  # type: ignore[no-any-return]


def approving() -> Does:
    return Does(lambda check, proposal: check.approve(proposal))


def reducing(to: Decimal) -> Does:
    return Does(
        lambda check, _: check.reduce("too_much", to, f"{to} fits", limit=to, observed="more")
    )


def raising(error: BaseException) -> Does:
    def act(*_: object) -> Finding:
        raise error

    return Does(act)


TEN_THOUSAND = D(10_000)


def decide(
    size: object = TEN_THOUSAND,
    checks: Sequence[Check[Any]] = (),
    signal: Signal = LONG,
    state: RiskState = STATE,
) -> Decision:
    return Gate(Says(size), checks, RULES).review(signal, "paper-a", state)


def quantity(decision: Decision) -> Decimal:
    assert decision.approved, decision.message
    assert decision.proposal is not None
    return decision.proposal.quantity


def test_it_approves_an_order_at_the_price_it_would_fill_at() -> None:
    decision = decide(D("12345.678"), [approving()])
    assert (decision.approved, decision.code) == (True, "approved")
    assert decision.message == "buy 12,000 EUR/USD at 1.1001, stop at 1.0951"
    assert decision.proposal == Proposal(
        signal=LONG,
        account="paper-a",
        side=Side.BUY,
        quantity=D(12_000),
        reference_price=D("1.10010"),
        stop_loss=D("1.09510"),
        take_profit=None,
    )
    assert [(each.check, each.quantity) for each in decision.findings] == [
        ("says", D(12_000)),
        ("does", D(12_000)),
    ]


@pytest.mark.parametrize(
    ("direction", "stop", "profit", "prices"),
    [
        (1, "0.005", "0.01", ("1.1001", "1.0951", "1.1101")),
        (-1, "0.005", "0.01", ("1.1", "1.105", "1.09")),
        # Off the grid both are rounded away from the reference: never tighter than asked.
        (1, "0.0050001", "0.0100001", ("1.1001", "1.09509", "1.11011")),
        (-1, "0.0050001", "0.0100001", ("1.1", "1.10501", "1.08999")),
    ],
)
def test_protective_prices_stand_at_the_asked_distance_or_further(
    direction: int, stop: str, profit: str, prices: tuple[str, str, str]
) -> None:
    signal = replace(
        LONG, direction=direction, stop_distance=D(stop), take_profit_distance=D(profit)
    )
    proposal = decide(signal=signal).proposal
    assert proposal is not None
    found = (proposal.reference_price, proposal.stop_loss, proposal.take_profit)
    assert found == tuple(D(each) for each in prices)


def test_the_sizer_is_asked_about_the_rounded_stop() -> None:
    sizer = Says(D(10_000))
    signal = replace(LONG, stop_distance=D("0.0050001"))
    Gate(sizer, (), RULES).review(signal, "paper-a", STATE)
    asked, price = sizer.asked[0]
    assert (asked.stop_distance, price) == (D("0.00501"), D("1.1001"))


def test_the_sizer_is_told_a_sells_distance_as_a_positive_number() -> None:
    sizer = Says(D(10_000))
    Gate(sizer, (), RULES).review(replace(LONG, direction=-1), "paper-a", STATE)
    assert sizer.asked[0][0].stop_distance == D("0.005")


@pytest.mark.parametrize("edge", [EURUSD.quantity_min, EURUSD.quantity_max])
def test_the_smallest_and_the_largest_quantity_pass(edge: Decimal) -> None:
    assert quantity(decide(edge)) == edge


@pytest.mark.parametrize("confidence", [0.0, 0.5, 1.0])
def test_any_confidence_from_0_to_1_passes(confidence: float) -> None:
    assert decide(signal=replace(LONG, confidence=confidence)).approved


def test_a_stop_at_the_brokers_minimum_distance_passes() -> None:
    near = replace(EURUSD, minimum_stop_distance=D("0.0009"))
    signal = replace(LONG, stop_distance=D("0.0010"))
    assert decide(signal=signal, state=replace(STATE, instrument=near)).approved


def test_a_stop_far_below_the_price_passes() -> None:
    proposal = decide(signal=replace(LONG, stop_distance=D("1.1"))).proposal
    assert proposal is not None
    assert proposal.stop_loss == D("0.0001")


def test_without_a_stop_there_is_none() -> None:
    decision = decide(signal=replace(LONG, stop_distance=None))
    assert decision.message == "buy 10,000 EUR/USD at 1.1001, without a stop"


@pytest.mark.parametrize(
    ("level", "code"),
    [(BreakerLevel.REDUCING, "reducing_only"), (BreakerLevel.HALTED, "trading_halted")],
)
def test_the_breaker_comes_first_and_vetoes_new_exposure(level: BreakerLevel, code: str) -> None:
    sizer, check = Says(D(10_000)), approving()
    state = replace(STATE, breaker=level, quote=None)
    decision = Gate(sizer, [check], RULES).review(LONG, "paper-a", state)
    assert (decision.approved, decision.code) == (False, code)
    assert decision.account == "paper-a"
    (finding,) = decision.findings
    assert (finding.check, finding.verdict, finding.code) == ("breaker", Verdict.VETOED, code)
    assert finding.message == decision.message
    assert finding.quantity == 0
    assert not sizer.asked
    assert not check.shown


def test_a_warned_breaker_halves_the_size_before_the_checks() -> None:
    check = approving()
    decision = decide(D(15_000), [check], state=replace(STATE, breaker=BreakerLevel.WARNED))
    assert quantity(decision) == 7_000
    assert check.shown == [7_000]
    warned = decision.findings[1]
    assert (warned.check, warned.verdict, warned.code) == ("breaker", Verdict.REDUCED, "warned")
    assert "50 %" in warned.message


def test_a_reduction_is_rounded_down_and_later_checks_see_it() -> None:
    first, second = reducing(D("7999.9")), approving()
    decision = decide(D(10_000), [first, second])
    assert quantity(decision) == 7_000
    assert [*first.shown, *second.shown] == [10_000, 7_000]


def test_a_reduction_to_less_than_the_minimum_is_that_checks_veto() -> None:
    later = approving()
    decision = decide(D(10_000), [reducing(D(999)), later])
    assert (decision.approved, decision.code) == (False, "too_much")
    assert "999 fits; 999 EUR/USD comes to 0 in steps of 1,000" in decision.message
    assert not later.shown


def test_a_reduction_to_nothing_is_that_checks_veto_and_one_to_the_same_passes() -> None:
    assert decide(checks=[reducing(D(0))]).code == "too_much"
    assert quantity(decide(D(10_000), [reducing(D(10_000))])) == 10_000


def test_a_checks_veto_ends_the_review_with_its_code() -> None:
    later = approving()
    veto = Does(lambda check, _: check.veto("too_late", "it is past noon", limit=12, observed=13))
    decision = decide(checks=[veto, later])
    assert (decision.approved, decision.code) == (False, "too_late")
    assert decision.message == "it is past noon"
    assert decision.findings[-1].limit == "12"
    assert [each.verdict for each in decision.findings] == [Verdict.APPROVED, Verdict.VETOED]
    assert not later.shown


@pytest.mark.parametrize(
    "error", [ValueError("secret-token"), KeyError("x"), RecursionError(), MemoryError()]
)
def test_a_check_that_raises_vetoes_and_only_the_errors_type_is_told(error: Exception) -> None:
    decision = decide(checks=[raising(error), approving()])
    assert (decision.approved, decision.code) == (False, "check_failed")
    assert decision.message == f"does failed: {type(error).__name__}"
    assert "secret-token" not in json.dumps(decision.payload())
    assert decision.findings[-1].check == "does"


def test_a_sizer_that_raises_vetoes() -> None:
    decision = decide(ZeroDivisionError("secret-token"))
    assert (decision.approved, decision.code) == (False, "check_failed")
    assert decision.message == "says failed: ZeroDivisionError"


@pytest.mark.parametrize("where", ["sizer", "check"])
def test_a_plugin_may_veto_by_raising_but_never_approve_so(where: str) -> None:
    veto = Vetoed("approved", "clever")
    decision = decide(veto) if where == "sizer" else decide(checks=[raising(veto)])
    assert not decision.approved
    assert decision.message == "clever"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (D("NaN"), "invalid_quantity"),
        (D("Infinity"), "invalid_quantity"),
        (D(-10_000), "invalid_quantity"),
        (D("-0.1"), "invalid_quantity"),
        (D(0), "quantity_below_minimum"),
        (D(999), "quantity_below_minimum"),
        (D(10_000_001), "quantity_above_maximum"),
        (D("1e60"), "quantity_above_maximum"),
        (10_000.0, "check_failed"),
        (10_000, "check_failed"),
        (True, "check_failed"),
        ("10000", "check_failed"),
        (None, "check_failed"),
    ],
)
def test_a_size_that_is_no_quantity_of_the_instrument_vetoes(answer: object, code: str) -> None:
    decision = decide(answer)
    assert (decision.approved, decision.code) == (False, code)


def test_a_size_below_the_minimum_tells_the_numbers() -> None:
    tiny = replace(EURUSD, quantity_min=D(5000))
    decision = decide(D("4321.5"), state=replace(STATE, instrument=tiny))
    assert decision.message == (
        "4,321.5 EUR/USD comes to 4,000 in steps of 1,000, "
        "below the broker's minimum of 5,000 base units"
    )


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "approved",
        Finding(check="does", verdict=Verdict.APPROVED, quantity=D(20_000)),
        Finding(check="does", verdict=Verdict.APPROVED, quantity=D(5_000)),
        Finding(check="does", verdict=Verdict.REDUCED, quantity=D(10_001)),
        Finding(check="does", verdict=Verdict.REDUCED, quantity=D("NaN")),
        Finding(check="does", verdict=Verdict.REDUCED, quantity=D(-1)),
        Finding(check="does", verdict=Verdict.REDUCED, quantity=5_000.0),  # type: ignore[arg-type]
        Finding(check="does", verdict="fine", quantity=D(10_000)),  # type: ignore[arg-type]
    ],
)
def test_a_check_that_enlarges_or_answers_nonsense_vetoes(answer: object) -> None:
    decision = decide(checks=[Does(lambda *_: answer)])
    assert (decision.approved, decision.code) == (False, "check_failed")
    assert decision.message.startswith("does ")
    json.dumps(decision.payload())


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (replace(STATE, quote=None), "no_price"),
        (replace(STATE, quote=replace(QUOTE, bid=D(0))), "no_price"),
        (replace(STATE, quote=replace(QUOTE, ask=D("NaN"))), "no_price"),
        (replace(STATE, quote=replace(QUOTE, instrument="GBP/USD")), "no_price"),
        (replace(STATE, quote_rate=None), "no_rate"),
        (replace(STATE, quote_rate=D(0)), "no_rate"),
        (replace(STATE, quote_rate=D("NaN")), "no_rate"),
        (replace(STATE, instrument=replace(EURUSD, tradable=False)), "market_closed"),
        (replace(STATE, instrument=replace(EURUSD, instrument="GBP/USD")), "invalid_signal"),
    ],
)
def test_a_state_that_lacks_something_vetoes_before_sizing(state: RiskState, code: str) -> None:
    sizer = Says(D(10_000))
    decision = Gate(sizer, (), RULES).review(LONG, "paper-a", state)
    assert (decision.approved, decision.code) == (False, code)
    assert not sizer.asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": 0},
        {"direction": 2},
        {"confidence": float("nan")},
        {"confidence": 1.01},
        {"stop_distance": D(0)},
        {"stop_distance": D(-1)},
        {"stop_distance": D("NaN")},
        {"take_profit_distance": D("Infinity")},
    ],
)
def test_a_malformed_signal_vetoes(wrong: dict[str, Any]) -> None:
    decision = decide(signal=replace(LONG, **wrong))
    assert (decision.approved, decision.code) == (False, "invalid_signal")
    json.loads(json.dumps(decision.payload(), allow_nan=False))


@pytest.mark.parametrize(
    ("signal", "minimum"),
    [
        (replace(LONG, stop_distance=D("0.0001")), "0"),  # at the bid: it would fill at once
        (replace(LONG, stop_distance=D("0.0010")), "0.00091"),  # 0.0009 under the bid
        (replace(LONG, stop_distance=D("1.2")), "0"),  # below zero
        (replace(LONG, direction=-1, take_profit_distance=D("1.2")), "0"),
        (replace(LONG, direction=-1, take_profit_distance=D("1.1")), "0"),  # at zero
    ],
)
def test_a_protective_price_that_cannot_stand_vetoes(signal: Signal, minimum: str) -> None:
    state = replace(STATE, instrument=replace(EURUSD, minimum_stop_distance=D(minimum)))
    assert decide(signal=signal, state=state).code == "invalid_stop"


def test_a_protective_price_below_zero_is_told_in_numbers() -> None:
    decision = decide(signal=replace(LONG, stop_distance=D("1.2")))
    assert decision.message == "1.2 away from 1.1001 there is no price"


REDUCTIONS = [
    replace(STATE, breaker=BreakerLevel.HALTED),
    replace(STATE, quote=None, quote_rate=None),
    replace(STATE, instrument=replace(EURUSD, tradable=False)),
    None,
]


@pytest.mark.parametrize("state", REDUCTIONS)
def test_a_reduction_is_always_approved_and_asks_no_check(state: RiskState | None) -> None:
    check = raising(AssertionError())
    gate = Gate(Says(D(0)), [check], RULES)
    flat = replace(LONG, direction=0, reason="loss breaker")
    decision = gate.review_reduction(flat, "paper-a", Side.SELL, D("123.4"), state)
    assert (decision.approved, decision.code) == (True, "reducing")
    assert decision.message == "sell 123.4 EUR/USD to reduce: loss breaker"
    proposal = decision.proposal
    assert proposal is not None
    assert (proposal.signal, proposal.account, proposal.side) == (flat, "paper-a", Side.SELL)
    assert proposal.quantity == D("123.4")
    assert (decision.signal, decision.account, decision.state) == (flat, "paper-a", state)
    (finding,) = decision.findings
    assert (finding.check, finding.verdict) == ("gate", Verdict.APPROVED)
    assert (finding.quantity, finding.code) == (D("123.4"), "reducing")
    assert not check.shown
    json.loads(json.dumps(decision.payload(), allow_nan=False))


def test_a_payload_holds_all_that_it_takes_to_decide_again() -> None:
    state = replace(
        STATE,
        exposures=(
            Exposure(
                instrument="EUR/USD",
                quantity=D(20_000),
                working=D(-5_000),
                notional_rate=D("1.1"),
                margin_rate=D("0.05"),
            ),
        ),
    )
    sizer = next(each(each.Settings()) for each in sizers() if each.name == "fixed_fraction")
    gate = Gate(sizer, [each(each.Settings()) for each in checks()], RULES)
    first = gate.review(replace(LONG, take_profit_distance=D("0.01")), "paper-a", state)
    assert quantity(first) == 200_000
    stored = json.loads(json.dumps(first.payload(), allow_nan=False))
    signal, again = restored(Signal, stored["signal"]), restored(RiskState, stored["state"])
    assert gate.review(signal, stored["account"], again).payload() == first.payload()
    assert stored["state"]["time"] == "2026-01-12T12:00:00.5Z"
    assert stored["proposal"]["stop_loss"] == "1.0951"


Made = TypeVar("Made")
NESTED: dict[str, Any] = {"account": Account, "instrument": Instrument, "quote": Quote}
KEPT_OTHERWISE = {
    "in_instrument",
    "summed",
    "agent",
    "portfolio",
    "records",
    "closed",
    "opened_by",
    "messages",
}
TEXTS = {
    *("strategy_id", "reason", "account_id", "currency", "base", "description"),
    *("environment", "position_mode", "asset_class"),
}


def restored(kind: type[Made], stored: dict[str, Any]) -> Made:
    """Build ``kind`` from its payload."""
    values: dict[str, Any] = {}
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name in KEPT_OTHERWISE:
            continue
        value = stored[each.name]
        if isinstance(value, dict):
            value = restored(NESTED[each.name], value)
        elif each.name == "exposures":
            value = tuple(restored(Exposure, one) for one in value)
        elif each.name == "time":
            value = parse_time(value)
        elif each.name == "breaker":
            value = BreakerLevel(value)
        elif each.name == "sent":
            value = tuple(restored(Sent, one) for one in value)
        elif (
            isinstance(value, str) and each.name not in TEXTS and value[:1] in tuple("-0123456789")
        ):
            value = Decimal(value)
        values[each.name] = value
    return kind(**values)


@pytest.mark.parametrize(
    ("number", "text"),
    [("1234567.50", "1,234,567.5"), ("1000", "1,000"), ("0.000000001", "0"), ("NaN", "NaN")],
)
def test_figures_read_well(number: str, text: str) -> None:
    assert figure(D(number)) == text


# --- properties -----------------------------------------------------------------------------


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=low, max_value=high, places=places)


INSTRUMENTS = st.builds(
    replace,
    st.just(EURUSD),
    quantity_step=st.sampled_from([D("0.001"), D("0.3"), D(1), D(1000)]),
    quantity_min=st.sampled_from([D("0.001"), D(1), D(1000)]),
    price_step=st.sampled_from([D("0.00001"), D("0.0005"), D("0.01")]),
)


@st.composite
def states(draw: st.DrawFn) -> RiskState:
    bid = draw(decimals("0.5", "150", 5))
    equity = draw(decimals("-100", "1000000", 2))
    held = st.builds(
        Exposure,
        instrument=st.sampled_from(["EUR/USD", "GBP/USD"]),
        quantity=decimals("-3000000", "3000000", 0),
        working=decimals("-300000", "300000", 0),
        notional_rate=st.one_of(decimals("0.1", "200", 3), st.just(D("NaN"))),
    )
    return RiskState(
        time=NOW,
        account=replace(ACCOUNT, equity=equity, margin_used=draw(decimals("0", "50000", 2))),
        instrument=draw(INSTRUMENTS),
        quote=draw(
            st.one_of(
                st.none(),
                st.builds(
                    Quote,
                    instrument=st.just("EUR/USD"),
                    bid=st.just(bid),
                    ask=decimals("-0.001", "0.01", 5).map(lambda spread: bid + spread),
                    time=st.sampled_from([NOW, NOW, NOW - 10**10]),
                ),
            )
        ),
        quote_rate=draw(st.one_of(st.none(), decimals("0.005", "2", 6))),
        exposures=tuple(draw(st.lists(held, max_size=3))),
        breaker=draw(st.sampled_from([*BreakerLevel, BreakerLevel.NORMAL])),
    )


SIGNALS = st.builds(
    replace,
    st.just(LONG),
    direction=st.sampled_from([1, -1]),
    stop_distance=st.one_of(st.none(), decimals("0.00001", "3", 6)),
    take_profit_distance=st.one_of(st.none(), decimals("0.00001", "3", 6)),
)
ALL_CHECKS = [each(each.Settings()) for each in checks()]
FRACTION = sizers()[0](sizers()[0].Settings())


@settings(max_examples=400, deadline=None)
@given(SIGNALS, states())
def test_whatever_is_approved_is_on_the_grid_allowed_by_all_and_within_the_risk(
    signal: Signal, state: RiskState
) -> None:
    decision = Gate(FRACTION, ALL_CHECKS, RULES).review(signal, "paper-a", state)
    json.dumps(decision.payload(), allow_nan=False)
    assert decision.message
    if not decision.approved:
        assert decision.findings[-1].verdict is Verdict.VETOED
        return
    proposal = decision.proposal
    assert proposal is not None
    assert proposal.stop_loss is not None
    assert state.quote_rate is not None
    assert signal.stop_distance is not None
    assert state.breaker < BreakerLevel.REDUCING
    assert proposal.quantity % state.instrument.quantity_step == 0
    assert state.instrument.quantity_min <= proposal.quantity <= state.instrument.quantity_max
    for check in ALL_CHECKS:
        assert check.review(proposal, state).verdict is Verdict.APPROVED
    distance = abs(proposal.reference_price - proposal.stop_loss)
    assert distance >= signal.stop_distance
    loss = proposal.quantity * distance * state.quote_rate
    share = D("0.005") if state.breaker is BreakerLevel.WARNED else D("0.01")
    assert loss <= state.account.equity * share * (1 + D("1e-20"))


@settings(max_examples=200, deadline=None)
@given(SIGNALS, states(), st.integers(min_value=0, max_value=len(ALL_CHECKS)))
def test_one_raising_check_anywhere_never_approves(
    signal: Signal, state: RiskState, place: int
) -> None:
    chain = [*ALL_CHECKS[:place], raising(OSError()), *ALL_CHECKS[place:]]
    assert not Gate(FRACTION, chain, RULES).review(signal, "paper-a", state).approved


@settings(max_examples=200, deadline=None)
@given(SIGNALS, states(), decimals("0.001", "10000000", 3))
def test_reductions_are_always_approved(signal: Signal, state: RiskState, amount: Decimal) -> None:
    gate = Gate(FRACTION, ALL_CHECKS, RULES)
    decision = gate.review_reduction(signal, "paper-a", Side.BUY, amount, state)
    assert decision.approved
    json.dumps(decision.payload(), allow_nan=False)


@settings(max_examples=300, deadline=None)
@given(
    decimals("0", "20000000", 4),
    st.lists(decimals("0", "20000000", 4), max_size=4),
    INSTRUMENTS,
)
def test_a_chain_of_reductions_ends_at_or_below_each(
    size: Decimal, cuts: list[Decimal], instrument: Instrument
) -> None:
    def cut(to: Decimal) -> Does:
        return Does(
            lambda check, proposal: (
                check.approve(proposal)
                if proposal.quantity <= to
                else check.reduce("cut", to, "cut", limit=to, observed=proposal.quantity)
            )
        )

    state = replace(STATE, instrument=instrument)
    decision = decide(size, [cut(each) for each in cuts], state=state)
    limit = min([size, *cuts])
    if size > instrument.quantity_max or limit < instrument.quantity_min:
        assert not decision.approved
    elif decision.approved:
        step = instrument.quantity_step
        assert limit - step * (len(cuts) + 1) < quantity(decision) <= limit
        assert quantity(decision) % step == 0
