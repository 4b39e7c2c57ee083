"""Sizers: worked examples from what they cite, conversion of currencies, and what never happens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from inspect import getdoc
from math import comb, sqrt
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.risk_scene import account, eurusd

from mtquant.clock import parse_time
from mtquant.contract import BreakerLevel, Portfolio, RiskState, Sizer, TradeRecord
from mtquant.errors import ConfigError, Vetoed
from mtquant.model import (
    Quote,
    Side,
    Signal,
)
from mtquant.risk import BreakerRules, Gate
from mtquant_risk import sizers
from mtquant_risk.sizing import (
    Adjustment,
    FixedQuantity,
    FixedQuantitySettings,
    Kelly,
    KellySettings,
    kelly_fraction,
    wilson_bound,
)

D = Decimal
NOW = parse_time("2026-01-12T12:00:00Z")
SIZERS: dict[str, type[Sizer[Any]]] = {each.name: each for each in sizers()}
CLOSE = D("1e-20")
INSTRUMENT = eurusd(50_000_000)
ACCOUNT = account("USD", NOW)
SIGNAL = Signal(
    strategy_id="cross",
    instrument="EUR/USD",
    time=NOW,
    direction=1,
    reason="10 over 30",
    stop_distance=D("0.0050"),
)
PRICE = D("1.25")


@dataclass(frozen=True)
class Moves(Portfolio):
    """A portfolio of signed values that are held, by volatilities and one correlation of all."""

    volatilities: Mapping[str, float | None] = field(default_factory=lambda: {"EUR/USD": 0.08})
    held: Mapping[str, float] = field(default_factory=dict)
    rho: float = 0.0

    def volatility(self, symbol: str) -> float | None:
        return self.volatilities.get(symbol)

    def correlation(self, symbol: str, other: str) -> float | None:
        return 1.0 if symbol == other else self.rho

    def deviation(self, symbol: str = "", change: float = 0.0) -> float | None:
        values = dict(self.held)
        if symbol:
            values[symbol] = values.get(symbol, 0.0) + change
        risks: dict[str, float] = {}
        for each, value in values.items():
            volatility = self.volatility(each)
            if volatility is None:
                return None
            risks[each] = value * volatility
        variance = math.fsum(
            one * two * (self.correlation(a, b) or 0.0)
            for a, one in risks.items()
            for b, two in risks.items()
        )
        return sqrt(max(variance, 0.0))

    def covariance(self, symbol: str) -> float | None:
        own = self.volatility(symbol)
        others = {each: self.volatility(each) for each in self.held}
        if own is None or None in others.values():
            return None
        return math.fsum(
            own * (volatility or 0.0) * self.held[each] * (self.correlation(symbol, each) or 0.0)
            for each, volatility in others.items()
        )

    def cluster(self, symbol: str, side: Side, least: float) -> float | None:
        raise NotImplementedError


STATE = RiskState(
    time=NOW,
    account=ACCOUNT,
    instrument=INSTRUMENT,
    quote=Quote(instrument="EUR/USD", bid=D("1.2499"), ask=PRICE, time=NOW),
    quote_rate=D(1),
    exposures=(),
    breaker=BreakerLevel.NORMAL,
    portfolio=Moves(),
)
GOOD = TradeRecord(wins=60, losses=40, won=D(60_000), lost=D(20_000))
"""60 % of 100 trades won, with a payoff of 2: f* is 40 % as measured."""


def sizer(name: str, **table: object) -> Sizer[Any]:
    kind = SIZERS[name]
    return kind(kind.Settings.read(table, "risk.sizer"))


def size(
    name: str,
    state: RiskState = STATE,
    signal: Signal = SIGNAL,
    price: Decimal = PRICE,
    **table: object,
) -> Decimal:
    return sizer(name, **table).size(signal, state, price)


def vetoed(
    name: str,
    state: RiskState = STATE,
    signal: Signal = SIGNAL,
    price: Decimal = PRICE,
    **table: object,
) -> Vetoed:
    with pytest.raises(Vetoed) as caught:
        size(name, state, signal, price, **table)
    return caught.value


def measured(record: TradeRecord, state: RiskState = STATE) -> RiskState:
    return replace(state, records={"cross": record})


def moving(
    volatilities: Mapping[str, float | None],
    held: Mapping[str, float] | None = None,
    rho: float = 0.0,
    state: RiskState = STATE,
) -> RiskState:
    return replace(state, portfolio=Moves(volatilities, held or {}, rho))


def quoted_in(currency: str, symbol: str, rate: Decimal) -> RiskState:
    base = symbol[:3]
    instrument = replace(INSTRUMENT, instrument=symbol, base=base, quote=currency)
    return replace(
        measured(GOOD), instrument=instrument, quote_rate=rate, portfolio=Moves({symbol: 0.10})
    )


# --- Kelly --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wins", "payoff", "best"),
    [
        # Thorp's paper "The Kelly Criterion in Blackjack, Sports Betting and the Stock Market" of
        # 2006 tosses a coin in its section 2: an even bet on it has f* = p - q.
        ("0.53", "1", "0.06"),
        ("0.51", "1", "0.02"),
        # The same paper's general bet, f* = (b p - q) / b.
        ("0.4", "2", "0.10"),
        ("0.6", "2", "0.40"),
        ("0.5", "1", "0"),
        ("0.25", "2", "-0.125"),
    ],
)
def test_the_kelly_fraction_is_that_of_the_papers(wins: str, payoff: str, best: str) -> None:
    assert kelly_fraction(D(wins), D(payoff)) == D(best)


@pytest.mark.parametrize(("wins", "payoff"), [("0.53", "1"), ("0.4", "2"), ("0.3", "3.5")])
def test_no_other_fraction_grows_faster_than_kellys(wins: str, payoff: str) -> None:
    p, b = float(wins), float(payoff)

    def growth(share: float) -> float:
        return p * math.log(1 + b * share) + (1 - p) * math.log(1 - share)

    best = float(kelly_fraction(D(wins), D(payoff)))
    assert all(growth(best) > growth(best + off) for off in (-0.05, -0.01, -0.001, 0.001, 0.01))


def test_the_wilson_interval_is_that_of_newcombes_table() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: the 95 % intervals, two-sided.
    # The upper bound of k in n is 1 less the lower bound of n - k in n.
    for wins, trades, lower, upper in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson_bound(wins, trades, 0.975) == pytest.approx(lower, abs=5e-5)
        assert 1 - wilson_bound(trades - wins, trades, 0.975) == pytest.approx(upper, abs=5e-5)


def test_at_a_confidence_of_a_half_the_share_is_the_measured_one() -> None:
    assert wilson_bound(53, 100, 0.5) == 0.53


def passing(trades: int, truth: float, confidence: float) -> float:
    """Return how often the bound is above 40 %, from the exact binomial distribution."""
    return math.fsum(
        comb(trades, wins) * truth**wins * (1 - truth) ** (trades - wins)
        for wins in range(trades + 1)
        if wilson_bound(wins, trades, confidence) > 0.4
    )


def test_the_bound_lets_as_many_strategies_pass_as_the_docstring_says() -> None:
    for trades in (30, 50, 100, 300):
        assert passing(trades, 0.4, 0.9) == pytest.approx(0.10, abs=0.01)
    assert [round(passing(n, 0.5, 0.9), 2) for n in (30, 100)] == [0.43, 0.76]
    assert [round(passing(n, 0.5, 0.95), 2) for n in (30, 100)] == [0.29, 0.62]


def test_kelly_risks_its_part_of_the_kelly_fraction_at_the_stop() -> None:
    # Thorp's coin, as a strategy: 53 of 100 won, and wins as large as losses.
    coin = TradeRecord(wins=53, losses=47, won=D(5300), lost=D(4700))
    wanted: dict[str, Any] = {"fraction": 1, "confidence": 0.5, "max_fraction": 1}
    assert size("kelly", measured(coin), **wanted) == D("0.06") * 100_000 / D("0.005")
    half: dict[str, Any] = {**wanted, "fraction": "0.5"}
    assert size("kelly", measured(coin), **half) == D("0.03") * 100_000 / D("0.005")


def test_the_payoff_is_mean_win_over_mean_loss() -> None:
    # 40 won 200 each, 60 lost 100 each: a payoff of 2, and f* = 0.10.
    record = TradeRecord(wins=40, losses=60, won=D(8000), lost=D(6000))
    kelly = Kelly(KellySettings(fraction=D(1), confidence=0.5, max_fraction=D(1)))
    assert abs(kelly.share(record, "cross") - D("0.10")) < CLOSE


def test_the_lower_bound_shrinks_and_more_trades_shrink_less() -> None:
    kelly = Kelly(KellySettings(fraction=D(1), max_fraction=D(1)))
    shares = [
        kelly.share(
            TradeRecord(wins=60 * n, losses=40 * n, won=D(2 * 60 * n), lost=D(40 * n)), "cross"
        )
        for n in (1, 10, 100)
    ]
    assert shares == sorted(shares)
    assert D("0.30") < shares[0] < D("0.31")
    assert D("0.39") < shares[2] < D("0.40")


def test_too_few_trades_use_the_start_fraction() -> None:
    few = TradeRecord(wins=29, losses=0, won=D(1000))
    kelly = Kelly(KellySettings())
    assert kelly.share(few, "cross") == D("0.005")
    assert kelly.share(TradeRecord(), "cross") == D("0.005")
    # Losers too: what hasn't been measured isn't judged.
    assert kelly.share(TradeRecord(losses=29, lost=D(9)), "cross") == D("0.005")
    assert kelly.share(replace(few, wins=30), "cross") == D("0.02")
    assert Kelly(KellySettings(max_fraction=D("0.001"))).share(few, "cross") == D("0.001")
    assert size("kelly") == D("0.005") * 100_000 / D("0.005")


def test_another_strategys_trades_are_no_record_of_this_one() -> None:
    state = replace(STATE, records={"other": GOOD})
    assert size("kelly", state) == D("0.005") * 100_000 / D("0.005")
    assert size("kelly", measured(GOOD)) == D("0.02") * 100_000 / D("0.005")


def test_no_edge_is_a_veto_that_says_the_figures_and_what_to_do() -> None:
    bad = TradeRecord(wins=39, losses=61, won=D(5850), lost=D(6100))
    veto = vetoed("kelly", measured(bad))
    assert veto.code == "no_edge"
    for part in (
        "the 100 closed trades of cross",
        "39 won, 39.0%",
        "a payoff of 1.50 needs more than 40.0%",
        "raise min_trades or use the sizer fixed_fraction",
    ):
        assert part in str(veto)


@pytest.mark.parametrize(
    "record",
    [
        TradeRecord(wins=0, losses=30, won=D(0), lost=D(100)),
        TradeRecord(wins=0, losses=30, won=D(0), lost=D(0)),
        TradeRecord(wins=30, losses=0, won=D(0), lost=D(0)),
        # Just at break-even, as measured: an f* of 0.
        TradeRecord(wins=15, losses=15, won=D(15), lost=D(15)),
    ],
)
def test_nothing_won_and_an_f_of_0_are_no_edge(record: TradeRecord) -> None:
    assert vetoed("kelly", measured(record), confidence=0.5).code == "no_edge"


def test_an_edge_that_may_be_luck_is_traded_small() -> None:
    # 40 % break even; 45 of 100 are more, but at least 38.8 % at a confidence of 0.9 are less.
    lucky = TradeRecord(wins=45, losses=55, won=D(6750), lost=D(5500))
    assert size("kelly", measured(lucky)) == D("0.005") * 100_000 / D("0.005")
    assert size("kelly", measured(lucky), confidence=0.5) > size("kelly", measured(lucky))


def test_wins_without_a_loss_are_capped_as_ever() -> None:
    all_won = TradeRecord(wins=40, losses=0, won=D(4000), lost=D(0))
    scratched = TradeRecord(wins=20, losses=20, won=D(4000), lost=D(0))
    for record in (all_won, scratched):
        assert size("kelly", measured(record)) == D("0.02") * 100_000 / D("0.005")
    # Without a cap f* is p, the limit as the payoff grows.
    kelly = Kelly(KellySettings(fraction=D(1), confidence=0.5, max_fraction=D(1)))
    assert abs(kelly.share(scratched, "cross") - D("0.5")) < CLOSE


@pytest.mark.parametrize(
    "record",
    [
        TradeRecord(wins=60, losses=40, won=D("NaN"), lost=D(1)),
        TradeRecord(wins=60, losses=40, won=D(1), lost=D("Infinity")),
        TradeRecord(wins=60, losses=40, won=D(1), lost=D(-1)),
        TradeRecord(wins=-1, losses=40, won=D(1), lost=D(1)),
    ],
)
def test_a_record_that_cannot_be_is_refused(record: TradeRecord) -> None:
    veto = vetoed("kelly", measured(record))
    assert veto.code == "invalid_record"
    assert "see to the journal" in str(veto)


# --- volatility target --------------------------------------------------------------------------


def test_a_position_has_the_targets_volatility() -> None:
    # 10 % of 100,000 is 10,000 a year; a unit moves by 8 % of 1.25, which is 0.10.
    quantity = size("volatility_target")
    assert quantity == 100_000
    assert quantity * PRICE * D("0.08") == D("0.10") * 100_000


def test_the_papers_target_is_40_percent_over_volatility() -> None:
    # Moskowitz, Ooi & Pedersen, Journal of Financial Economics 104 (2012), section 4.1, take
    # positions of 40 % over the volatility: 2.5 times the equity at 16 % a year.
    quantity = size("volatility_target", moving({"EUR/USD": 0.16}), target="0.4")
    assert quantity * PRICE == D("2.5") * 100_000


def test_calm_markets_end_at_the_leverage_cap() -> None:
    calm = moving({"EUR/USD": 1e-300})
    assert size("volatility_target", calm) * PRICE == 5 * 100_000
    assert size("volatility_target", calm, max_leverage=2) * PRICE == 2 * 100_000


@pytest.mark.parametrize("known", [None, 0.0, -0.1, math.nan, math.inf])
def test_a_volatility_that_is_not_known_is_a_veto(known: float | None) -> None:
    veto = vetoed("volatility_target", moving({"EUR/USD": known}))
    assert veto.code == "no_volatility"
    assert f"volatility of EUR/USD, which is {known}: wait for more bars" in str(veto)


def test_without_a_portfolio_there_is_no_volatility() -> None:
    assert vetoed("volatility_target", replace(STATE, portfolio=None)).code == "no_volatility"


# --- currencies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "price", "stop", "risked", "targeted"),
    [
        # USD/JPY in dollars: a stop of 0.58 yen is 0.004 dollars a unit, and a unit is worth 1.
        (quoted_in("JPY", "USD/JPY", D(1) / 145), "145", "0.58", 500_000, 100_000),
        # EUR/GBP in dollars: 0.004 pounds are 0.005 dollars, and a unit is worth 1.0625.
        (quoted_in("GBP", "EUR/GBP", D("1.25")), "0.85", "0.004", 400_000, "94117.6470588"),
    ],
)
def test_sizes_are_converted_to_the_accounts_currency(
    state: RiskState, price: str, stop: str, risked: int, targeted: object
) -> None:
    signal = replace(SIGNAL, instrument=state.instrument.instrument, stop_distance=D(stop))
    assert state.quote_rate is not None
    # 2 % at the stop, which for Kelly is its cap.
    for quantity in (
        size("kelly", state, signal, D(price)),
        size("fixed_fraction", state, signal, D(price), fraction="0.02"),
    ):
        assert abs(quantity - risked) < D("1e-15")
        assert abs(quantity * D(stop) * state.quote_rate - 2000) < D("1e-15")
    quantity = size("volatility_target", state, signal, D(price))
    assert abs(quantity - D(str(targeted))) < D("1e-6")
    # One deviation, 10 % of the price, is 10 % of the equity.
    assert abs(quantity * D(price) * state.quote_rate * D("0.1") - 10_000) < D("1e-15")


def test_correlation_is_measured_in_the_accounts_currency() -> None:
    state = quoted_in("JPY", "USD/JPY", D(1) / 145)
    signal = replace(SIGNAL, instrument="USD/JPY", stop_distance=D("0.58"))
    state = replace(state, portfolio=Moves({"USD/JPY": 0.1}, held={"USD/JPY": 500_000.0}))
    alone = size("kelly", state, signal, D(145))
    # As much again of the same: sqrt(2) - 1 of it doubles the variance.
    shrunk = size("kelly", state, signal, D(145), by_correlation=True)
    assert float(shrunk / alone) == pytest.approx(sqrt(2) - 1, rel=1e-9)


# --- adjustment ---------------------------------------------------------------------------------

ALL = ["fixed_fraction", "fixed_quantity", "kelly", "volatility_target"]


def test_these_are_all_the_sizers_and_each_can_be_adjusted() -> None:
    assert list(SIZERS) == ALL
    for each in SIZERS.values():
        assert issubclass(each.Settings, Adjustment)
        for name in each.Settings.model_fields:
            assert f"``{name}``" in (getdoc(each.Settings) or ""), (each.name, name)


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_adjusted_unless_it_is_asked_for(name: str) -> None:
    usual = size(name, measured(GOOD))
    state = replace(
        moving({"EUR/USD": 0.08}, {"EUR/USD": 1e6}, state=measured(GOOD)),
        drawdown=D("0.5"),
        breaker=BreakerLevel.WARNED,
    )
    assert size(name, state, replace(SIGNAL, confidence=0.1)) == usual > 0


@pytest.mark.parametrize("name", ALL)
def test_confidence_multiplies_the_size(name: str) -> None:
    usual = size(name, measured(GOOD))
    for confidence in (0.0, 0.25, 1.0):
        signal = replace(SIGNAL, confidence=confidence)
        quantity = size(name, measured(GOOD), signal, by_confidence=True)
        assert quantity == usual * D(str(confidence))


@pytest.mark.parametrize("confidence", [math.nan, math.inf, -0.1, 1.1])
def test_a_confidence_out_of_range_is_a_veto(confidence: float) -> None:
    veto = vetoed("fixed_quantity", signal=replace(SIGNAL, confidence=confidence), by_confidence=1)
    assert veto.code == "invalid_signal"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("drawdown", "share"),
    [("-0.1", 1), ("0", 1), ("0.05", 1), ("0.10", "0.7"), ("0.15", "0.4"), ("0.9", "0.4")],
)
def test_size_falls_along_a_line_in_a_drawdown(name: str, drawdown: str, share: object) -> None:
    usual = size(name, measured(GOOD))
    state = replace(measured(GOOD), drawdown=D(drawdown))
    table: dict[str, Any] = {
        "drawdown_from": "0.05",
        "drawdown_to": "0.15",
        "drawdown_least": "0.4",
    }
    assert abs(size(name, state, **table) - usual * D(str(share))) < D("1e-15")


def test_a_drawdown_that_is_no_number_is_a_veto_where_it_counts() -> None:
    state = replace(STATE, drawdown=D("NaN"))
    assert vetoed("fixed_quantity", state, drawdown_to="0.2").code == "no_drawdown"
    assert size("fixed_quantity", state) == 10_000


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ({"drawdown_from": "0.1"}, "set both"),
        ({"drawdown_from": "0.1", "drawdown_to": "0.1"}, "must be more than drawdown_from"),
        ({"drawdown_to": "nan"}, "drawdown_to"),
        ({"drawdown_least": "1.1", "drawdown_to": "0.1"}, "drawdown_least"),
        ({"confidence": math.nan}, "confidence"),
        ({"confidence": 0.4}, "confidence"),
    ],
)
def test_settings_that_make_no_sense_are_refused(table: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        sizer("kelly", **table)


def correlated(rho: float, held: float = 12_500.0, direction: int = 1) -> float:
    """Return the share left of 10,000 EUR/USD, worth 12,500, with ``held`` of a like risk."""
    moves = {"EUR/USD": 0.08, "GBP/USD": 0.08}
    state = moving(moves, held={"GBP/USD": held}, rho=rho)
    signal = replace(SIGNAL, direction=direction)
    return float(size("fixed_quantity", state, signal, by_correlation=True) / 10_000)


def test_an_order_that_moves_with_what_is_held_shrinks() -> None:
    assert correlated(0.0) == pytest.approx(1)
    assert correlated(1.0) == pytest.approx(sqrt(2) - 1)
    assert correlated(0.5) == pytest.approx(sqrt(1.25) - 0.5)
    assert correlated(1.0, held=1.25e6) == pytest.approx(sqrt(10_001) - 100)
    assert correlated(1.0, held=1.25e14) == pytest.approx(0.5e-10, rel=1e-3)
    assert correlated(0.9, held=0.0) == 1


def test_the_first_order_of_all_waits_for_no_volatility() -> None:
    assert size("fixed_quantity", moving({}), by_correlation=True) == 10_000


def test_an_order_against_what_is_held_keeps_its_size() -> None:
    assert correlated(-0.8) == 1
    assert correlated(0.8, direction=-1) == 1
    assert correlated(-0.8, direction=-1) < 1
    assert correlated(0.8, held=-12_500.0, direction=-1) < 1


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.95])
def test_what_is_left_adds_no_more_variance_than_the_whole_has_alone(rho: float) -> None:
    moves = Moves({"EUR/USD": 0.08, "GBP/USD": 0.12}, {"GBP/USD": 40_000.0}, rho)
    quantity = size("fixed_quantity", replace(STATE, portfolio=moves), by_correlation=True)
    before, after = moves.deviation(), moves.deviation("EUR/USD", float(quantity * PRICE))
    assert before is not None
    assert after is not None
    assert after**2 - before**2 == pytest.approx((12_500 * 0.08) ** 2)


@pytest.mark.parametrize(
    "portfolio",
    [
        None,
        Moves({"EUR/USD": 0.08}, {"GBP/USD": 1.0}),
        Moves({"EUR/USD": 0.08, "GBP/USD": math.nan}, {"GBP/USD": 1.0}),
        Moves({"EUR/USD": 0.08, "GBP/USD": math.inf}, {"GBP/USD": 1.0}),
        Moves({"EUR/USD": 1e-320, "GBP/USD": 1.0}, {"GBP/USD": 1.0}),
    ],
)
def test_a_deviation_that_is_not_known_is_a_veto(portfolio: Portfolio | None) -> None:
    veto = vetoed("fixed_quantity", replace(STATE, portfolio=portfolio), by_correlation=True)
    assert veto.code == "no_deviation"
    assert "leave out by_correlation" in str(veto)


@dataclass(frozen=True)
class Says(Moves):
    """Says a deviation of what is held, and a covariance with it."""

    said: tuple[float, float | None] = (1.0, 1.0)

    def deviation(self, symbol: str = "", change: float = 0.0) -> float | None:  # noqa: ARG002
        return self.said[0]

    def covariance(self, symbol: str) -> float | None:  # noqa: ARG002
        return self.said[1]


@pytest.mark.parametrize(
    ("said", "quantity"),
    [
        ((-1.0, 1.0), 10_000),
        ((math.nan, 1.0), 10_000),
        ((1.0, None), 10_000),
        ((1.0, math.nan), 10_000),
        ((1.0, math.inf), 10_000),
        # Of these the order's own variance comes to 0 and to infinity.
        ((1.0, 1.0), D("1e-322")),
        ((1.0, 1.0), D("1e322")),
    ],
)
def test_a_deviation_that_makes_no_sense_is_a_veto(
    said: tuple[float, float | None], quantity: Decimal
) -> None:
    state = replace(STATE, portfolio=Says({"EUR/USD": 0.0001}, said=said))
    wanted = FixedQuantitySettings(by_correlation=True, quantity=D(quantity))
    with pytest.raises(Vetoed) as caught:
        FixedQuantity(wanted).size(SIGNAL, state, PRICE)
    assert caught.value.code == "no_deviation"


def test_correlation_of_an_instrument_without_a_volatility_is_a_veto() -> None:
    state = moving({"GBP/USD": 0.1}, held={"GBP/USD": 1.0})
    assert vetoed("fixed_quantity", state, by_correlation=True).code == "no_volatility"


# --- what is missing ----------------------------------------------------------------------------

BAD = [D("NaN"), D("Infinity"), D(0), D(-1)]


@pytest.mark.parametrize("name", ["fixed_fraction", "kelly"])
def test_a_stop_is_needed_to_size_by_it(name: str) -> None:
    veto = vetoed(name, signal=replace(SIGNAL, stop_distance=None))
    assert veto.code == "no_stop"
    assert f"{name} sizes by the distance of the stop" in str(veto)
    for bad in BAD:
        assert vetoed(name, signal=replace(SIGNAL, stop_distance=bad)).code == "invalid_stop"


@pytest.mark.parametrize("name", ["fixed_fraction", "kelly", "volatility_target"])
def test_a_rate_and_an_equity_are_needed(name: str) -> None:
    for bad in (None, *BAD):
        veto = vetoed(name, replace(STATE, quote_rate=bad))
        assert (veto.code, str(veto)) == ("no_rate", "no rate from USD to USD")
    for equity in (D("NaN"), D("Infinity")):
        account = replace(ACCOUNT, equity=equity)
        assert vetoed(name, replace(STATE, account=account)).code == "no_equity"
    assert size(name, replace(STATE, account=replace(ACCOUNT, equity=D(-5)))) == 0


@pytest.mark.parametrize("bad", BAD)
def test_a_price_is_needed_to_size_by_value(bad: Decimal) -> None:
    assert vetoed("volatility_target", price=bad).code == "no_price"


# --- what never happens -------------------------------------------------------------------------


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(low), D(high), places=places, allow_nan=False, allow_infinity=False)


SHARES = decimals("0.0001", "1", 4)
STOPS = decimals("0.00001", "500", 5)
CONFIDENCES = st.floats(0, 1).map(lambda each: round(each, 6))
RECORDS = st.builds(
    TradeRecord,
    wins=st.integers(0, 500),
    losses=st.integers(0, 500),
    won=decimals("0", "1000000", 2),
    lost=decimals("0", "1000000", 2),
)


@st.composite
def states(draw: st.DrawFn) -> RiskState:
    held = st.floats(-1e7, 1e7)
    return replace(
        STATE,
        account=replace(ACCOUNT, equity=draw(decimals("-1000", "10000000", 2))),
        quote_rate=draw(decimals("0.00001", "1000", 5)),
        drawdown=draw(decimals("0", "1", 4)),
        records={"cross": draw(RECORDS)},
        portfolio=Moves(
            {"EUR/USD": draw(st.floats(0.001, 3)), "GBP/USD": draw(st.floats(0.001, 3))},
            {"EUR/USD": draw(held), "GBP/USD": draw(held)},
            draw(st.floats(-1, 1)),
        ),
    )


@st.composite
def adjustments(draw: st.DrawFn) -> dict[str, Any]:
    start, end = sorted(draw(st.tuples(decimals("0", "0.99", 2), decimals("0.01", "1", 2))))
    table: dict[str, Any] = {
        "by_confidence": draw(st.booleans()),
        "by_correlation": draw(st.booleans()),
        "drawdown_least": draw(decimals("0", "1", 2)),
    }
    if start < end and draw(st.booleans()):
        table |= {"drawdown_from": start, "drawdown_to": end}
    return table


def sound(quantity: Decimal) -> bool:
    return quantity.is_finite() and quantity >= 0


def tried(
    name: str, state: RiskState, signal: Signal, price: Decimal = PRICE, **table: object
) -> Decimal:
    """Return the size; an example without an edge is no example."""
    try:
        return size(name, state, signal, price, **table)
    except Vetoed as veto:
        assume(veto.code != "no_edge")
        raise


@settings(max_examples=150, deadline=None)
@given(states(), STOPS, CONFIDENCES, SHARES, adjustments())
def test_the_loss_at_the_stop_is_never_more_than_the_share_of_equity(
    state: RiskState, stop: Decimal, confidence: float, share: Decimal, table: dict[str, Any]
) -> None:
    signal = replace(SIGNAL, stop_distance=stop, confidence=confidence)
    assert state.quote_rate is not None
    most = share * max(state.account.equity, D(0)) * (1 + CLOSE)
    fixed = tried("fixed_fraction", state, signal, fraction=share, **table)
    assert sound(fixed)
    assert fixed * stop * state.quote_rate <= most
    kelly = tried("kelly", state, signal, max_fraction=share, **table)
    assert sound(kelly)
    assert kelly * stop * state.quote_rate <= most


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.floats(0.5, 0.999), SHARES)
def test_kelly_never_risks_more_than_what_was_measured_is_worth(
    record: TradeRecord, confidence: float, fraction: Decimal
) -> None:
    assume(record.wins + record.losses >= 30)
    kelly = Kelly(KellySettings(fraction=fraction, confidence=confidence))
    try:
        share = kelly.share(record, "cross")
    except Vetoed:
        return
    assert 0 < share <= D("0.02")
    wins = D(record.wins) / (record.wins + record.losses)
    assert share <= fraction * wins * (1 + D("1e-12"))


@settings(max_examples=150, deadline=None)
@given(
    states(),
    decimals("0.00001", "50000", 5),
    CONFIDENCES,
    decimals("0.01", "2", 2),
    decimals("0.1", "100", 1),
    adjustments(),
)
def test_neither_volatility_nor_value_is_ever_above_its_cap(
    state: RiskState,
    price: Decimal,
    confidence: float,
    target: Decimal,
    leverage: Decimal,
    table: dict[str, Any],
) -> None:
    signal = replace(SIGNAL, confidence=confidence)
    wanted = {**table, "target": target, "max_leverage": leverage}
    quantity = tried("volatility_target", state, signal, price, **wanted)
    assert sound(quantity)
    assert state.quote_rate is not None
    assert state.portfolio is not None
    equity = max(state.account.equity, D(0)) * (1 + CLOSE)
    value = quantity * price * state.quote_rate
    assert value <= leverage * equity
    volatility = state.portfolio.volatility("EUR/USD")
    assert value * D(str(volatility)) <= target * equity


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ALL), states(), adjustments(), decimals("0", "1", 4), decimals("0", "1", 4))
def test_more_drawdown_never_gives_a_larger_size(
    name: str, state: RiskState, table: dict[str, Any], one: Decimal, two: Decimal
) -> None:
    less, more = sorted((one, two))
    large = tried(name, replace(state, drawdown=less), SIGNAL, **table)
    small = tried(name, replace(state, drawdown=more), SIGNAL, **table)
    # The share by correlation is a float: two sizes may trade places in their last digits.
    assert small <= large * (1 + (D("1e-9") if table["by_correlation"] else 0))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ALL), states(), adjustments(), CONFIDENCES, CONFIDENCES)
def test_lower_confidence_never_gives_a_larger_size(
    name: str, state: RiskState, table: dict[str, Any], one: float, two: float
) -> None:
    low, high = sorted((one, two))
    small = tried(name, state, replace(SIGNAL, confidence=low), **table)
    large = tried(name, state, replace(SIGNAL, confidence=high), **table)
    assert small <= large * (1 + (D("1e-9") if table["by_correlation"] else 0))


@settings(max_examples=150, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1e7))
def test_more_correlation_never_gives_a_larger_size(one: float, two: float, held: float) -> None:
    low, high = sorted((one, two))
    assert 0 < correlated(high, held) <= correlated(low, held) * (1 + 1e-9) + 1e-9 <= 1 + 1e-8


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ALL), states(), adjustments())
def test_no_adjustment_ever_enlarges(name: str, state: RiskState, table: dict[str, Any]) -> None:
    signal = replace(SIGNAL, confidence=0.7)
    assert tried(name, state, signal, **table) <= tried(name, state, signal)


WILD = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 5e-324, 1.7e308, -1.0]),
    st.floats(),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ALL), adjustments(), st.lists(WILD, min_size=9, max_size=9))
def test_wild_numbers_end_in_a_size_or_in_a_veto(
    name: str, table: dict[str, Any], wild: list[float]
) -> None:
    equity, rate, stop, price, drawdown, won = (D(each) for each in wild[2:8])
    state = replace(
        STATE,
        account=replace(ACCOUNT, equity=equity),
        quote_rate=rate,
        drawdown=drawdown,
        records={"cross": replace(GOOD, won=won)},
        portfolio=Says({"EUR/USD": wild[8]}, said=(wild[0], wild[1])),
    )
    signal = replace(SIGNAL, stop_distance=stop, confidence=wild[0])
    try:
        quantity = size(name, state, signal, price, **table)
    except Vetoed:
        return
    assert sound(quantity)


# --- through the gate ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kelly", "volatility_target"])
def test_the_gate_rounds_the_size_down_and_the_breaker_comes_on_top(name: str) -> None:
    gate = Gate(sizer(name, by_confidence=True), (), BreakerRules())
    signal = replace(SIGNAL, confidence=0.333)
    state = measured(GOOD)
    decision = gate.review(signal, "paper-a", state)
    assert decision.approved, decision.message
    assert decision.proposal is not None
    wished = size(name, state, signal, by_confidence=True)
    assert decision.proposal.quantity == wished // 1000 * 1000 > 0
    warned = gate.review(signal, "paper-a", replace(state, breaker=BreakerLevel.WARNED))
    assert warned.proposal is not None
    assert warned.proposal.quantity == wished * BreakerRules().warned_size // 1000 * 1000


def test_the_gate_hands_on_the_sizers_veto() -> None:
    bad = TradeRecord(wins=10, losses=90, won=D(100), lost=D(900))
    decision = Gate(sizer("kelly"), (), BreakerRules()).review(SIGNAL, "paper-a", measured(bad))
    assert (decision.approved, decision.code) == (False, "no_edge")
    assert decision.findings[-1].check == "kelly"
