"""The risk code at its limits and one step beside them, and what goes on record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from decimal import Decimal
from typing import Any

import pytest
from tests.risk_scene import account, eurusd

from mtquant.clock import SECOND, parse_time
from mtquant.contract import (
    BreakerLevel,
    Check,
    ClosedTrade,
    Exposure,
    Finding,
    Portfolio,
    Proposal,
    RiskState,
    Sent,
    Settings,
    Sizer,
    TradeRecord,
    Verdict,
)
from mtquant.model import (
    OrderRequest,
    OrderType,
    Quote,
    Side,
    Signal,
)
from mtquant.risk import BreakerRules, BreakerState, Decision, Gate, reset, step, trading_day

D = Decimal
NOW = parse_time("2026-01-12T12:00:00.5Z")
EURUSD = eurusd(10_000_000)
STATE = RiskState(
    time=NOW,
    account=account("USD", NOW),
    instrument=EURUSD,
    quote=Quote(instrument="EUR/USD", bid=D("1.10000"), ask=D("1.10010"), time=NOW),
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


class Fixed(Sizer[Settings]):
    """Always the same size."""

    name = "fixed"

    def __init__(self, quantity: Decimal) -> None:
        super().__init__(Settings())
        self.quantity = quantity

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:  # noqa: ARG002
        return self.quantity


class Answers(Check[Settings]):
    """Always the same finding."""

    name = "answers"

    def __init__(self, answer: Finding) -> None:
        super().__init__(Settings())
        self.answer = answer

    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002
        return self.answer


def decide(
    quantity: str = "10000",
    checks: Sequence[Check[Any]] = (),
    signal: Signal = LONG,
    state: RiskState = STATE,
    rules: BreakerRules | None = None,
) -> Decision:
    gate = Gate(Fixed(D(quantity)), checks, rules or BreakerRules())
    return gate.review(signal, "paper-a", state)


# --- the record of a decision ----------------------------------------------------------------


def record(decision: Decision) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(json.dumps(decision.payload(), allow_nan=False))
    return stored


def sent(seconds_ago: str, number: str = "1") -> Sent:
    return Sent(
        time=NOW - int(D(seconds_ago) * SECOND),
        client_order_id=number,
        strategy_id="cross",
        instrument="EUR/USD",
        side=Side.BUY,
        quantity=D(1000),
    )


class Calm(Portfolio):
    """Knows nothing but what it puts on record."""

    def volatility(self, symbol: str) -> float | None:
        del symbol
        return None

    def correlation(self, symbol: str, other: str) -> float | None:
        del symbol, other
        return None

    def deviation(self, symbol: str = "", change: float = 0.0) -> float | None:
        del symbol, change
        return None

    def covariance(self, symbol: str) -> float | None:
        del symbol
        return None

    def cluster(self, symbol: str, side: Side, least: float) -> float | None:
        del symbol, side, least
        return None

    def evidence(self, symbol: str) -> Mapping[str, object]:
        return {"about": symbol}


def test_the_record_says_each_thing_once_and_in_json_types() -> None:
    finding = Finding("answers", Verdict.REDUCED, D("5000.50"), "less", "5", "6", "five of six")
    stored = record(decide(checks=[Answers(finding)]))
    assert stored["approved"] is True
    assert stored["account"] == "paper-a"
    assert stored["signal"]["strategy_id"] == "cross"
    assert stored["signal"]["time"] == "2026-01-12T12:00:00.5Z"
    assert stored["proposal"] == {
        "side": "buy",
        "quantity": "5000",
        "reference_price": "1.1001",
        "stop_loss": "1.0951",
        "take_profit": None,
        "rests": False,
    }
    assert stored["findings"][1] == {
        "check": "answers",
        "verdict": "reduced",
        "quantity": "5000.5",
        "code": "less",
        "limit": "5",
        "observed": "6",
        "message": "five of six",
    }


def test_the_record_keeps_the_orders_of_the_last_minute_and_counts_the_older() -> None:
    orders = (sent("61", "d"), sent("60.000000001", "c"), sent("60", "b"), sent("0", "a"))
    state = record(decide(state=replace(STATE, sent=orders)))["state"]
    assert [each["client_order_id"] for each in state["sent"]] == ["b", "a"]
    assert state["sent"][0]["time"] == "2026-01-12T11:59:00.5Z"
    assert state["sent_before"] == 2


def test_the_record_keeps_what_is_the_strategys_own() -> None:
    state = replace(
        STATE,
        messages=(NOW - 2, NOW - 1),
        records={"cross": TradeRecord(wins=3, won=D("7.50")), "other": TradeRecord(wins=9)},
        closed=(
            ClosedTrade(time=NOW, strategy_id="other", profit=D(1)),
            ClosedTrade(time=NOW, strategy_id="cross", profit=D("-2.50")),
        ),
        opened_by={"EUR/USD": "cross", "GBP/USD": "other"},
        portfolio=Calm(),
    )
    stored = record(decide(state=state))["state"]
    assert stored["messages"] == 2
    assert stored["records"] == {"wins": 3, "losses": 0, "won": "7.5", "lost": "0"}
    mine = {"time": "2026-01-12T12:00:00.5Z", "strategy_id": "cross", "profit": "-2.5"}
    assert stored["closed"] == [mine]
    assert stored["opened_by"] == {"EUR/USD": "cross", "GBP/USD": "other"}
    assert stored["portfolio"] == {"about": "EUR/USD"}


def test_the_record_leaves_out_the_sums_and_keeps_each_exposure() -> None:
    def held(symbol: str, quantity: int) -> Exposure:
        return Exposure(
            instrument=symbol,
            quantity=D(quantity),
            working=D(0),
            notional_rate=D("1.10"),
            margin_rate=D("0.05"),
        )

    exposures = (held("GBP/USD", -2000), held("EUR/USD", 1000))
    state = record(decide(state=replace(STATE, exposures=exposures)))["state"]
    assert "summed" not in state
    by_symbol = {each["instrument"]: each["quantity"] for each in state["exposures"]}
    assert by_symbol == {"EUR/USD": "1000", "GBP/USD": "-2000"}


def test_a_record_without_a_state_has_none() -> None:
    gate = Gate(Fixed(D(1000)), (), BreakerRules())
    stored = record(gate.review_reduction(LONG, "paper-a", Side.SELL, D(5), None))
    assert stored["state"] is None
    assert stored["proposal"]["reference_price"] == "NaN"


@dataclass(frozen=True)
class Note:
    """What a plugin may put where a number is meant."""

    time: str
    counts: tuple[int, ...]
    share: float


def test_what_json_lacks_is_on_record_by_its_text_or_its_type() -> None:
    odd: Any = Note("noon", (1, 2), 0.5)
    strange: Any = object()
    first = Finding("answers", Verdict.VETOED, odd, "no")
    second = Finding("answers", Verdict.VETOED, strange, "no")
    stored = record(decide(checks=[Answers(first)]))["findings"][1]
    assert stored["quantity"] == {"time": "noon", "counts": [1, 2], "share": 0.5}
    assert record(decide(checks=[Answers(second)]))["findings"][1]["quantity"] == "object"
    wild = record(decide(signal=replace(LONG, confidence=float("inf"))))
    assert wild["signal"]["confidence"] == "inf"


# --- the breaker -----------------------------------------------------------------------------

MINUTE = 60 * SECOND
RULES = BreakerRules()
DEFAULTS = {
    "warn_at": "0.05",
    "reduce_at": "0.10",
    "halt_at": "0.15",
    "warn_clears_under": "0.04",
    "warn_clears_after_s": 900,
    "reduce_clears_under": "0.08",
    "warned_size": "0.5",
    "roll_zone": "America/New_York",
    "roll_time": "17:00:00",
    "day_loss_limit": None,
    "week_loss_limit": None,
    "max_drawdown": None,
    "close_share": "0",
    "flatten": False,
    "cancel_orders": True,
}


def test_rules_that_are_not_set_are_as_documented() -> None:
    stored = RULES.model_dump(mode="json")
    assert {**stored, "reduce_at": str(D(stored["reduce_at"]).quantize(D("0.01")))} == DEFAULTS


@pytest.mark.parametrize("share", ["0.000001", "0.999999"])
def test_any_fraction_between_0_and_1_is_a_share_and_a_limit(share: str) -> None:
    rules = BreakerRules.model_validate({"warned_size": share, "max_drawdown": share})
    assert (rules.warned_size, rules.max_drawdown) == (D(share), D(share))
    for wrong in ("0", "1"):
        for name in ("warned_size", "max_drawdown"):
            with pytest.raises(ValueError, match=name):
                BreakerRules.model_validate({name: wrong})


def test_a_warning_may_clear_at_once() -> None:
    rules = BreakerRules(warn_clears_after_s=0)
    state = step(step(None, rules, D(1000), NOW), rules, D(950), NOW + 1)
    assert state.level is BreakerLevel.WARNED
    assert step(state, rules, D(970), NOW + 2).level is BreakerLevel.NORMAL


def warned() -> BreakerState:
    """Return an account that is 5 % down."""
    state = step(step(None, RULES, D(1000), NOW), RULES, D(950), NOW + MINUTE)
    assert state.level is BreakerLevel.WARNED
    return state


def test_the_15_minutes_run_from_a_second_look_at_the_same_moment() -> None:
    state = step(warned(), RULES, D(970), NOW + MINUTE)
    assert step(state, RULES, D(970), NOW + 16 * MINUTE - 1).level is BreakerLevel.WARNED
    assert step(state, RULES, D(970), NOW + 16 * MINUTE).level is BreakerLevel.NORMAL


def test_a_loss_just_at_4_percent_is_a_relapse_whatever_the_clock_says() -> None:
    calm = step(warned(), RULES, D(970), NOW + 2 * MINUTE)
    assert calm.below_since == NOW + 2 * MINUTE
    assert step(calm, RULES, D(960), NOW).below_since is None
    assert step(calm, RULES, D("960.01"), NOW).below_since == NOW + 2 * MINUTE


def test_what_a_reset_left_behind_is_gone_when_the_account_is_normal_again() -> None:
    halted = step(step(None, RULES, D(1000), NOW), RULES, D(850), NOW + 1)
    state = reset(halted, "R. Ivanova", "looked into it", rebase_peak=True)
    assert state.probation_until is not None
    state = step(state, RULES, D(850), NOW + 2)
    state = step(state, RULES, D(850), state.probation_until or 0)
    assert (state.level, state.below_since) == (BreakerLevel.NORMAL, None)
    assert state.probation_until is None


@pytest.mark.parametrize(("equity", "flow"), [("0.9", "9"), ("9", "-8.1"), ("0.9", "-0.81")])
def test_a_flow_hides_no_loss_where_an_account_is_worth_less_than_one(
    equity: str, flow: str
) -> None:
    peak = D(equity) / D("0.9")
    state = step(step(None, RULES, peak, NOW), RULES, D(equity), NOW + 1)
    paid = step(state, RULES, D(equity) + D(flow), NOW + 2, cash_flow=D(flow))
    assert paid.loss == state.loss == D("0.1")
    assert paid.level is BreakerLevel.REDUCING


def test_a_day_that_starts_before_noon_is_named_for_its_own_date() -> None:
    rules = BreakerRules(roll_zone="UTC", roll_time=time(11, 59))
    for moment, day in (("11:58:59", 11), ("11:59:00", 12), ("23:59:59", 12)):
        assert trading_day(rules, parse_time(f"2026-01-12T{moment}Z")) == date(2026, 1, day)


# --- the gate --------------------------------------------------------------------------------

ORDER = OrderRequest(
    client_order_id="0b5c8a52-6d5c-4a3c-9d0e-6a2d1f2b7c11",
    instrument="EUR/USD",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=D(10_000),
)


def named(order: OrderRequest = ORDER, signal: Signal = LONG, state: RiskState = STATE) -> Decision:
    return Gate(Fixed(D(1)), (), BreakerRules()).review_order(signal, order, "paper-a", state)


def test_a_veto_of_the_gates_own_is_on_record_under_its_name() -> None:
    unknown = replace(STATE, account=replace(STATE.account, equity=D("NaN")))
    for state, code in ((replace(STATE, quote=None), "no_price"), (unknown, "no_equity")):
        decision = decide(state=state)
        assert decision.code == code
        assert [(each.check, each.code) for each in decision.findings] == [("gate", code)]


def test_a_named_quantity_is_on_record_as_such() -> None:
    decision = named()
    assert decision.approved
    (finding,) = decision.findings
    assert (finding.check, finding.verdict, finding.quantity) == (
        "gate",
        Verdict.APPROVED,
        D(10_000),
    )
    assert finding.message == "the quantity was named"


def test_a_named_order_that_its_wish_is_not_about_is_refused() -> None:
    for order in (replace(ORDER, side=Side.SELL), replace(ORDER, instrument="GBP/USD")):
        decision = named(order)
        assert (decision.approved, decision.code) == (False, "invalid_order")


@pytest.mark.parametrize(
    ("step_of", "quantity", "words"),
    [
        ("1000", "1500", "1,500 EUR/USD is not in steps of 1,000: order 1,000 or 2,000"),
        ("0.3", "1000", "1,000 EUR/USD is not in steps of 0.3: order 999.9 or 1,000.2"),
    ],
)
def test_a_named_quantity_off_the_step_is_told_what_to_order(
    step_of: str, quantity: str, words: str
) -> None:
    state = replace(STATE, instrument=replace(EURUSD, quantity_step=D(step_of)))
    decision = named(replace(ORDER, quantity=D(quantity)), state=state)
    assert (decision.code, decision.message) == ("off_step", words)
