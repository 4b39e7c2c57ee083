"""The figures of an equity curve against empyrical-reloaded, which others maintain."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.backtest.statistics_scene import result

from mtquant.backtest.statistics import Statistics, statistics
from mtquant.model.arrays import Floats

DATA = Path(__file__).parents[3] / "shared" / "data" / "eurusd-d1.csv.gz"
RETURNS = st.lists(st.floats(min_value=-0.3, max_value=0.3), min_size=2, max_size=120)


@pytest.fixture(scope="module")
def empyrical() -> Any:  # noqa: ANN401 - a module without types
    return pytest.importorskip("empyrical", reason="empyrical-reloaded is not installed")


def check(stats: Statistics, empyrical: Any) -> None:  # noqa: ANN401 - a module
    """Assert that every figure is what empyrical makes of the same daily returns."""
    each = stats.daily_returns
    # Its years are counts of returns: so many of them a year make them those of the calendar.
    a_year = each.size / (stats.period.days / 365.25)
    same = pytest.approx
    earned, risk = stats.returns, stats.risk
    assert earned.total_return == same(empyrical.cum_returns_final(each), rel=1e-9, abs=1e-12)
    assert earned.annual_return == same(empyrical.cagr(each, annualization=a_year), rel=1e-7)
    assert earned.annual_volatility == same(empyrical.annual_volatility(each), rel=1e-9)
    assert earned.sharpe == same(empyrical.sharpe_ratio(each), rel=1e-7, abs=1e-9)
    if earned.sortino is None:
        assert (each >= -1e-12).all()
    else:
        assert earned.sortino == same(empyrical.sortino_ratio(each), rel=1e-7, abs=1e-9)
    if risk.max_drawdown is None:
        assert earned.calmar is None
    else:
        assert risk.max_drawdown.fraction == same(-empyrical.max_drawdown(each), rel=1e-9)
        calmar = empyrical.calmar_ratio(each, annualization=a_year)
        assert earned.calmar == same(calmar, rel=1e-7)
    assert risk.value_at_risk == same(-empyrical.value_at_risk(each), rel=1e-9, abs=1e-12)
    shortfall = -empyrical.conditional_value_at_risk(each)
    assert risk.expected_shortfall == same(shortfall, rel=1e-9, abs=1e-12)
    months = empyrical.aggregate_returns(_dated(stats), "monthly")
    ours = [month for year in stats.monthly_returns for month in year.months if month is not None]
    assert ours == same(months.to_list(), rel=1e-9, abs=1e-12)
    years = empyrical.aggregate_returns(_dated(stats), "yearly")
    assert [year.total for year in stats.monthly_returns] == same(
        years.to_list(), rel=1e-9, abs=1e-12
    )


def _dated(stats: Statistics) -> Any:  # noqa: ANN401 - a pandas series
    import pandas as pd  # noqa: PLC0415 - empyrical brings it

    days = pd.to_datetime(stats.trading_days, unit="D")
    return pd.Series(stats.daily_returns, index=days)


@settings(max_examples=40, deadline=None)
@given(returns=RETURNS)
def test_every_figure_is_what_empyrical_computes(empyrical: Any, returns: list[float]) -> None:  # noqa: ANN401 - a module
    each = np.round(np.array(returns), 6)
    assume(float(np.std(each)) > 1e-5)
    # A D1 bar a day: the drawdown of every step is that of daily closes.
    check(statistics(result(1e5 * np.cumprod(1 + each), start_balance=1e5)), empyrical)


def test_real_prices_held_are_what_empyrical_computes(empyrical: Any) -> None:  # noqa: ANN401 - a module
    if not DATA.exists():
        pytest.skip("shared/data is absent")
    closes = _closes(DATA)
    whole = result(1e5 * closes / closes[0], start_balance=1e5, prices={"EUR/USD": closes})
    stats = statistics(whole)
    check(stats, empyrical)
    held = stats.buy_and_hold
    assert held is not None
    each = np.diff(np.concatenate(([1.0], closes))) / np.concatenate(([1.0], closes[:-1]))
    assert held.sharpe == pytest.approx(empyrical.sharpe_ratio(each), rel=1e-9)
    assert held.max_drawdown == pytest.approx(-empyrical.max_drawdown(each), rel=1e-9)
    assert held.total_return == pytest.approx(empyrical.cum_returns_final(each), rel=1e-9)


def _closes(path: Path) -> Floats:
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()[1:]
    return np.array([float(line.split(",")[4]) * 1e-5 for line in lines])
