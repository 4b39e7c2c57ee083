"""Limits on what moves together, on what one source may do, and on orders over and over."""

from __future__ import annotations

from dataclasses import replace
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
    Verdict,
)
from mtquant.model import (
    AssetClass,
    Quote,
    Side,
    Signal,
)
from mtquant_risk import checks

D = Decimal
NOW = parse_time("2026-01-12T12:00:00Z")
CHECKS: dict[str, type[Check[Any]]] = {each.name: each for each in checks()}
STATE = RiskState(
    time=NOW,
    # An account in euros: one dollar is worth 0.9, so the rates can't be forgotten unnoticed.
    account=account("EUR", NOW),
    instrument=eurusd(50_000_000),
    quote=Quote(instrument="EUR/USD", bid=D("1.1"), ask=D("1.1"), time=NOW),
    quote_rate=D("0.9"),
    exposures=(),
    breaker=BreakerLevel.NORMAL,
)
ORDER = Proposal(
    signal=Signal(strategy_id="cross", instrument="EUR/USD", time=NOW, direction=1, reason=""),
    account="a",
    side=Side.BUY,
    quantity=D(100_000),  # worth 99,000 EUR
    reference_price=D("1.1"),
    stop_loss=None,
    take_profit=None,
)


class Says(Portfolio):
    """A portfolio that deviates by what it was told, and remembers what it was asked."""

    def __init__(
        self, before: float | None, after: float | None, cluster: float | None = 0
    ) -> None:
        self.before, self.after, self.found = before, after, cluster
        self.asked: list[tuple[object, ...]] = []

    def volatility(self, symbol: str) -> float | None:  # noqa: ARG002
        return None

    def correlation(self, symbol: str, other: str) -> float | None:  # noqa: ARG002
        return None

    def deviation(self, symbol: str = "", change: float = 0.0) -> float | None:
        self.asked.append((symbol, change))
        return self.after if symbol else self.before

    def covariance(self, symbol: str) -> float | None:  # noqa: ARG002
        return None

    def cluster(self, symbol: str, side: Side, least: float) -> float | None:
        self.asked.append((symbol, side, least))
        return self.found


def asked(name: str, state: RiskState, order: Proposal = ORDER, **settings: Any) -> Finding:  # noqa: ANN401
    kind = CHECKS[name]
    return kind(kind.Settings.read(settings, name)).review(order, state)


# --- portfolio_risk ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "cluster", "code"),
    [
        (0, 100_000, 0, ""),
        (0, 100_000.01, 0, "portfolio_volatility"),
        (300_000, 299_999, 9e9, ""),  # whatever it is, the order makes it calmer
        (300_000, 300_000, 9e9, ""),
        (0, 1, 1_401_000, ""),
        (0, 1, 1_401_000.01, "correlated_exposure"),
    ],
)
def test_what_moves_together_is_limited(
    before: float, after: float, cluster: float, code: str
) -> None:
    portfolio = Says(before, after, cluster)
    finding = asked("portfolio_risk", replace(STATE, portfolio=portfolio))
    assert finding.code == code
    assert (finding.verdict is Verdict.APPROVED) is not bool(code)
    assert ("EUR/USD", 99_000.0) in portfolio.asked
    assert ("EUR/USD", Side.BUY, 0.7) in portfolio.asked


def test_a_sale_changes_the_portfolio_the_other_way() -> None:
    portfolio = Says(0, 1)
    sale = replace(ORDER, side=Side.SELL)
    asked("portfolio_risk", replace(STATE, portfolio=portfolio), sale)
    assert ("EUR/USD", -99_000.0) in portfolio.asked


@pytest.mark.parametrize(
    "portfolio", [None, Says(None, 1), Says(0, None), Says(0, 1, None)], ids=range(4)
)
def test_what_is_not_known_yet_passes_unless_required(portfolio: Portfolio | None) -> None:
    state = replace(STATE, portfolio=portfolio)
    assert asked("portfolio_risk", state).verdict is Verdict.APPROVED
    finding = asked("portfolio_risk", state, required=True)
    assert finding.code == "volatility_unknown"
    assert "required = false" in finding.message


def test_the_limits_are_multiples_of_equity_and_told() -> None:
    finding = asked(
        "portfolio_risk", replace(STATE, portfolio=Says(0, 30_000)), max_volatility="0.2"
    )
    assert finding.message == (
        "one standard deviation a year of all positions would be 30,000.00 EUR; 0.2 times the "
        "equity, 20,000.00 EUR, is allowed"
    )
    assert (finding.limit, finding.observed) == ("20000", "30000")


# --- budgets -------------------------------------------------------------------------------------


def exposed(quantity: int, working: int = 0, opposed: int = 0, rate: str = "0.99") -> RiskState:
    each = Exposure(
        instrument="GBP/USD",
        quantity=D(quantity),
        working=D(working),
        opposed=D(opposed),
        notional_rate=D(rate),
        margin_rate=D("0.05"),
    )
    return replace(STATE, exposures=(each,), opened_by={"GBP/USD": "cross"})


@pytest.mark.parametrize(
    ("budget", "code"),
    [
        ({}, ""),
        ({"symbols": ["EUR/USD"]}, ""),
        ({"symbols": ["GBP/USD"]}, "budget_symbol"),
        ({"max_quantity": "100000"}, ""),
        ({"max_quantity": "99999"}, "budget_quantity"),
        ({"max_order": "0.99"}, ""),
        ({"max_order": "0.989"}, "budget_order"),
        ({"max_gross": "0.99"}, ""),
        ({"max_gross": "0.989"}, "budget_gross"),
        ({"per_day": 0}, "budget_day"),
    ],
)
@pytest.mark.parametrize("whose", ["of", "others"])
def test_a_budget_limits_an_order(budget: dict[str, Any], code: str, whose: str) -> None:
    settings = {"of": {"cross": budget}} if whose == "of" else {"others": budget}
    assert asked("budgets", STATE, **settings).code == code


def test_a_budget_of_its_own_takes_the_place_of_the_others() -> None:
    settings: dict[str, Any] = {
        "of": {"cross": {"max_order": "5"}},
        "others": {"symbols": ["GBP/USD"]},
    }
    assert asked("budgets", STATE, **settings).verdict is Verdict.APPROVED


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (exposed(-100_000), ""),
        (exposed(-101_000), "budget_gross"),
        (exposed(0, working=40_000, opposed=30_000), ""),
        (exposed(0, working=40_000, opposed=31_000), "budget_gross"),
        (exposed(1, rate="NaN"), "unvalued_exposure"),
        (replace(exposed(9_000_000), opened_by={"GBP/USD": "other"}), ""),
        (replace(exposed(9_000_000), opened_by={}), ""),
    ],
)
def test_all_that_its_orders_opened_counts(state: RiskState, code: str) -> None:
    assert asked("budgets", state, of={"cross": {"max_gross": "1.98"}}).code == code


def sent(*ages_s: int, strategy: str = "cross", side: Side = Side.BUY) -> RiskState:
    orders = [
        Sent(
            time=NOW - age * SECOND,
            client_order_id=str(age),
            strategy_id=strategy,
            instrument="EUR/USD",
            side=side,
            quantity=D(age + 1),
        )
        for age in ages_s
    ]
    return replace(STATE, sent=tuple(orders))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (sent(60, 59), ""),
        (sent(59, 1), "budget_minute"),
        (sent(59, 1, strategy="other"), ""),
        (sent(86_400, 7200, 3600), ""),
        (sent(86_399, 7200, 3600), "budget_day"),
    ],
)
def test_its_orders_are_counted(state: RiskState, code: str) -> None:
    assert asked("budgets", state, of={"cross": {"per_minute": 2, "per_day": 3}}).code == code


@pytest.mark.parametrize(
    ("profits", "code"),
    [
        ([("-1999", 5), ("-1", 5)], "budget_loss"),
        ([("-1999.99", 5)], ""),
        ([("-5000", 86_400)], ""),
        ([("-5000", 86_399)], "budget_loss"),
        ([("-5000", 5), ("3001", 5)], ""),
    ],
)
def test_what_its_trades_lost_in_a_day_ends_it(profits: list[tuple[str, int]], code: str) -> None:
    closed = tuple(
        ClosedTrade(time=NOW - age * SECOND, strategy_id="cross", profit=D(profit))
        for profit, age in profits
    )
    state = replace(STATE, closed=closed)
    assert asked("budgets", state, of={"cross": {"max_loss": "0.02"}}).code == code
    other = replace(ORDER, signal=replace(ORDER.signal, strategy_id="other"))
    assert asked("budgets", state, other, others={"max_loss": "0.02"}).code == ""


# --- repeated_order, throttle, collar ------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (sent(50, 40, 30), "repeated_order"),
        (sent(60, 40, 30), ""),
        (sent(50, 40, 30, strategy="other"), ""),
        (sent(50, 40, 30, side=Side.SELL), ""),
    ],
)
def test_the_same_side_again_and_again_is_stopped(state: RiskState, code: str) -> None:
    assert asked("repeated_order", state, count=3).code == code


@pytest.mark.parametrize(
    ("seconds", "code"), [((30, 20), "throttle_minute"), ((60, 20), ""), ((20,), "")]
)
def test_closes_and_changes_count_as_messages(seconds: tuple[int, ...], code: str) -> None:
    state = replace(sent(10), messages=tuple(NOW - each * SECOND for each in seconds))
    assert asked("throttle", state, per_minute=3).code == code


@pytest.mark.parametrize(
    ("kind", "price", "code"),
    [
        (AssetClass.FOREX, "1.111", ""),
        (AssetClass.FOREX, "1.11101", "price_collar"),
        (AssetClass.EQUITY, "1.155", ""),
        (AssetClass.EQUITY, "1.15501", "price_collar"),
        (AssetClass.METAL, "1.122", ""),
        (AssetClass.METAL, "1.12201", "price_collar"),
    ],
)
def test_each_asset_class_has_its_collar(kind: AssetClass, price: str, code: str) -> None:
    state = replace(STATE, instrument=replace(STATE.instrument, asset_class=kind))
    assert asked("price_collar", state, replace(ORDER, reference_price=D(price))).code == code
