"""What holds of every backtest's figures, however odd the run."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.backtest.statistics_scene import DAY, START, every, fill, rejection, result, trade

from mtquant.backtest.result import Costs, Trade
from mtquant.backtest.statistics import statistics
from mtquant.backtest.statistics.trades import longest_streak
from mtquant.model import Side, Timeframe

MONEY = st.decimals(min_value=-1000, max_value=1000, places=2)
LIVING = st.lists(st.integers(min_value=1, max_value=2_000_000), min_size=1, max_size=150)
ANY = st.lists(st.integers(min_value=-50_000, max_value=200_000), min_size=0, max_size=40)
TRADES = st.lists(
    st.builds(
        trade,
        MONEY,
        instrument=st.sampled_from(["EUR/USD", "USD/JPY", "AUD/NZD"]),
        strategy_id=st.sampled_from(["trend", "dips"]),
        side=st.sampled_from(Side),
        exit_reason=st.sampled_from(["signal", "stop_loss", "margin_close_out", "open"]),
        exit_time=st.integers(min_value=START, max_value=START + 9 * DAY),
        stop_distance=st.sampled_from([None, Decimal(0), Decimal("0.01")]),
        bars=st.integers(min_value=0, max_value=50),
        adverse=st.floats(min_value=0, max_value=1),
        favourable=st.floats(min_value=0, max_value=1),
    ),
    max_size=40,
)
FRAMES = st.sampled_from([Timeframe.M1, Timeframe.H1, Timeframe.H8, Timeframe.D1])


@settings(max_examples=70, deadline=None)
@given(ANY, TRADES, FRAMES, st.sampled_from([100.0, 0.0, -5.0]))
def test_nothing_is_nan_whatever_the_run(
    cents: list[int], trades: list[Trade], timeframe: Timeframe, start: float
) -> None:
    equity = np.array(cents, dtype=np.float64) / 100
    whole = result(
        equity,
        trades,
        timeframe,
        start,
        {"EUR/USD": np.linspace(1, 2, equity.size), "USD/JPY": np.full(equity.size, 110.0)},
        fills=(fill("5", "1.1"), fill("5", "110", "USD/JPY")),
        costs=Costs(spread=Decimal(3)),
        rejections=(rejection("a"),),
    )
    stats = statistics(whole)
    json.dumps(stats.to_dict(), allow_nan=False)
    for array in (stats.drawdown, stats.daily_returns):
        assert np.isfinite(array).all()
    for section in stats.rows():
        assert not any("nan" in row.value or "None" in row.value for row in section.rows)
        assert not any("nan" in row.hint or "None" in row.hint for row in section.rows)


@pytest.mark.parametrize("equity", [[], [100], [100] * 5, [100, 0], [0, 0], [-5, -6]])
def test_a_run_that_is_hardly_one_has_figures_all_the_same(equity: list[float]) -> None:
    stats = statistics(result(equity))
    json.dumps(stats.to_dict(), allow_nan=False)
    assert stats.returns.calmar is None
    assert stats.trades.win_rate is None
    assert stats.by_symbol == ()
    assert stats.period.steps == len(equity) == stats.drawdown.size


@settings(max_examples=50, deadline=None)
@given(TRADES)
def test_the_groups_hold_every_closed_trade_once(trades: list[Trade]) -> None:
    stats = statistics(result([100], trades))
    found = stats.trades
    closed = [each for each in trades if not each.open]
    exact = float(sum(each.profit for each in closed))
    assert found.profit == pytest.approx(exact, abs=1e-8)
    assert found.profit == pytest.approx(found.gross_profit + found.gross_loss, abs=1e-8)
    assert found.wins + found.losses + found.even == found.trades == len(closed)
    assert found.trades + found.open_trades == len(trades)
    for groups in (stats.by_symbol, stats.by_strategy, stats.by_exit_reason, stats.by_side):
        assert sum(each.profit for each in groups) == pytest.approx(exact, abs=1e-8)
        assert sum(each.trades for each in groups) == len(closed)
    if found.profit_factor is not None:
        assert found.gross_profit == pytest.approx(found.profit_factor * -found.gross_loss)
    if found.wins and found.losses and found.payoff_ratio is not None and found.profit_factor:
        odds = found.wins / found.losses
        assert found.profit_factor == pytest.approx(found.payoff_ratio * odds)


@settings(max_examples=60, deadline=None)
@given(LIVING, FRAMES)
def test_months_years_and_days_compound_to_the_total_return(
    cents: list[int], timeframe: Timeframe
) -> None:
    # A step in 37 bars, so that some months are empty.
    time = START + every(timeframe, len(cents), 0) * 37
    stats = statistics(result(np.array(cents) / 100, timeframe=timeframe, time=time))
    total = stats.returns.total_return
    assert total is not None
    months = [each for year in stats.monthly_returns for each in year.months if each is not None]
    years = [year.total for year in stats.monthly_returns if year.total is not None]
    for parts in (months, years, stats.daily_returns):
        assert math.prod(1 + each for each in parts) == pytest.approx(1 + total, rel=1e-9)
    assert stats.daily_returns.size == stats.trading_days.size == stats.period.trading_days
    assert len({year.year for year in stats.monthly_returns}) == len(stats.monthly_returns)


@settings(max_examples=80, deadline=None)
@given(LIVING)
def test_the_dates_of_drawdowns_are_those_of_the_curve(cents: list[int]) -> None:
    equity = np.array(cents) / 100
    stats = statistics(result(equity))
    value = dict(
        zip([START, *every(Timeframe.D1, equity.size).tolist()], [100, *equity], strict=True)
    )
    deepest, longest = stats.risk.max_drawdown, stats.risk.longest_drawdown
    if deepest is None or longest is None:
        assert deepest is longest is None
        assert np.all(np.diff([100, *equity]) >= 0)
        return
    assert deepest.fraction == pytest.approx(stats.drawdown.max())
    assert longest.days >= deepest.days
    for fall in (deepest, longest):
        end = stats.period.end if fall.recovered is None else fall.recovered
        assert START <= fall.peak < fall.trough <= end
        assert fall.days == (end - fall.peak) / DAY
        assert fall.money == pytest.approx(value[fall.peak] - value[fall.trough])
        assert fall.fraction == pytest.approx(fall.money / value[fall.peak])
        between = [each for at, each in value.items() if fall.peak < at <= end]
        if fall.recovered is not None:
            assert between.pop() >= value[fall.peak]
        assert max(between) < value[fall.peak]
        assert min(between) == value[fall.trough]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_a_streak_is_the_longest_run_of_hits(hits: list[bool]) -> None:
    text = "".join("x" if hit else " " for hit in hits)
    assert longest_streak(np.array(hits, dtype=bool)) == max(map(len, text.split()), default=0)
