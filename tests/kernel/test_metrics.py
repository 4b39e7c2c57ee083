"""Equity curve statistics, against pandas and against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.clock import SECOND, parse_time
from mtquant.metrics import (
    Drawdown,
    daily_closes,
    drawdowns,
    max_drawdown,
    net_profit,
    returns,
    sharpe_ratio,
    total_return,
)

CURVES = st.lists(
    st.floats(min_value=1.0, max_value=1e7, allow_nan=False), min_size=3, max_size=200
)


@settings(max_examples=200, deadline=None)
@given(CURVES)
def test_every_figure_is_what_pandas_computes(curve: list[float]) -> None:
    series = pd.Series(curve)
    change = series.pct_change().dropna()
    below = 1 - series / series.cummax()
    np.testing.assert_allclose(returns(curve), change, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(drawdowns(curve), below, rtol=1e-9, atol=1e-12)
    sharpe = sharpe_ratio(curve)
    if sharpe is None:
        assert change.std() <= 1e-12
    else:
        expected = change.mean() / change.std() * math.sqrt(252)
        assert sharpe == pytest.approx(expected, rel=1e-9, abs=1e-9)
    deepest = max_drawdown(curve)
    if deepest is None:
        assert series.is_monotonic_increasing
        return
    assert deepest.fraction == pytest.approx(below.max(), rel=1e-9)
    assert curve[deepest.peak] == series[: deepest.trough + 1].max()
    assert deepest.peak < deepest.trough
    assert deepest.fraction == pytest.approx(1 - curve[deepest.trough] / curve[deepest.peak])


def test_a_curve_worked_out_by_hand() -> None:
    curve = [100.0, 120.0, 90.0, 130.0, 104.0]
    assert net_profit(curve) == 4
    assert total_return(curve) == pytest.approx(0.04)
    assert list(drawdowns(curve)) == pytest.approx([0, 0, 0.25, 0, 0.2])
    assert max_drawdown(curve) == Drawdown(fraction=0.25, peak=1, trough=2)


def test_the_sharpe_ratio_scales_with_the_root_of_the_frequency() -> None:
    curve = [100.0, 101.0, 103.0, 102.0]
    daily, weekly = sharpe_ratio(curve), sharpe_ratio(curve, 52)
    assert daily is not None
    assert weekly is not None
    assert daily / weekly == pytest.approx(math.sqrt(252 / 52))


@pytest.mark.parametrize(
    "curve", [[], [100.0], [100.0, 101.0], [100.0] * 5, [1.01**n for n in range(50)], [0, 1, 2, 3]]
)
def test_an_undefined_sharpe_ratio_is_none(curve: list[float]) -> None:
    assert sharpe_ratio(curve) is None


def test_curves_without_a_fall_or_a_start_have_no_figure_rather_than_nan() -> None:
    assert max_drawdown([]) is None
    assert max_drawdown([1.0, 2.0, 2.0]) is None
    assert max_drawdown([-1.0, -2.0]) is None
    assert total_return([]) is None
    assert total_return([0.0, 5.0]) is None
    assert net_profit([]) == 0
    assert list(drawdowns([])) == []
    assert max_drawdown([10.0, -5.0]) == Drawdown(fraction=1.5, peak=0, trough=1)


@pytest.mark.parametrize("curve", [[1.0, math.nan], [math.inf, 1.0], [[1.0], [2.0]]])
def test_what_is_no_curve_is_refused(curve: list[float]) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        net_profit(curve)


def test_daily_closes_are_the_last_of_each_utc_day() -> None:
    start = parse_time("2026-01-12T22:00:00Z")
    times = [start + hour * 3600 * SECOND for hour in (0, 1, 2, 3, 50)]
    assert list(daily_closes(times, [1.0, 2.0, 3.0, 4.0, 5.0])) == [2, 4, 5]
    assert list(daily_closes([], [])) == []
    with pytest.raises(ValueError, match="1 times and 2 equities"):
        daily_closes([0], [1.0, 2.0])
