"""The strategies: their signals are the crosses that pandas finds, and know no future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from mtquant import Indicator, Strategy
from mtquant.errors import ConfigError
from mtquant.model import Bar, Bars, Signal, Timeframe
from mtquant_indicators import indicators
from mtquant_sources.ecb import Ecb, EcbSettings
from mtquant_strategies import strategies

INDICATORS = {each.name: each for each in indicators()}
STRATEGIES = {each.name: each for each in strategies()}
DAY = 86400 * 10**9
SYMBOLS = ["EUR/USD", "GBP/USD", "USD/JPY"]


def each_of(bars: Bars) -> list[Bar]:
    return [bars.bar(index) for index in range(len(bars))]


@cache
def fixings(symbol: str) -> Bars:
    return Ecb(EcbSettings()).bars(symbol)


def make(strategy: str, **settings: object) -> Strategy[Any]:
    def indicator(name: str, wanted: Mapping[str, Any]) -> Indicator[Any]:
        kind = INDICATORS[name]
        return kind(kind.Settings.model_validate(wanted))

    kind = STRATEGIES[strategy]
    return kind(
        kind.Settings.model_validate(settings),
        strategy_id="s1",
        instrument="EUR/USD",
        timeframe=Timeframe.D1,
        indicators=indicator,
    )


def signals(strategy: Strategy[Any], bars: Sequence[Bar]) -> list[Signal]:
    return [signal for bar in bars if (signal := strategy.step(bar)) is not None]


def moves(found: Sequence[Signal]) -> list[tuple[int, int]]:
    return [(signal.time, signal.direction) for signal in found]


def prices(closes: Sequence[float]) -> list[Bar]:
    return [
        Bar(
            instrument="EUR/USD",
            timeframe=Timeframe.D1,
            time=index * DAY,
            open=close,
            high=close,
            low=close,
            close=close,
        )
        for index, close in enumerate(closes)
    ]


def wilder(values: pd.Series, period: int) -> NDArray[np.float64]:
    """Wilder's average of ``values`` without the first, which has no predecessor."""
    known = values.iloc[1:]
    start = known.iloc[period - 1 :].copy()
    start.iloc[0] = known.iloc[:period].mean()
    smooth = start.ewm(alpha=1 / period, adjust=False).mean().to_numpy()
    return np.concatenate([np.full(period, np.nan), smooth])


def crosses(bars: Bars, fast: int, slow: int) -> list[tuple[int, int]]:
    """Where the averages change sides, once both and atr(14) are known."""
    close = pd.Series(bars.close)
    gap = (close.rolling(fast).mean() - close.rolling(slow).mean()).round(10)
    sides = np.sign(gap).replace(0, np.nan).ffill().iloc[max(slow, 15) - 1 :].dropna()
    changed = sides[sides.diff().fillna(0) != 0]
    return [(bars.time[at] + DAY, int(side)) for at, side in changed.items()]


@pytest.mark.parametrize(("fast", "slow"), [(10, 30), (2, 5), (50, 200)])
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_sma_cross_signals_where_pandas_sees_a_cross(symbol: str, fast: int, slow: int) -> None:
    bars = fixings(symbol)

    found = signals(make("sma_cross", fast=fast, slow=slow), each_of(bars))

    expected = crosses(bars, fast, slow)
    assert len(expected) > 30
    assert moves(found) == expected


def test_sma_cross_long_only_is_flat_where_it_would_be_short() -> None:
    bars = each_of(fixings("EUR/USD"))

    both = moves(signals(make("sma_cross"), bars))
    only = signals(make("sma_cross", direction="long_only"), bars)

    assert moves(only) == [(time, max(side, 0)) for time, side in both]
    assert all((each.stop_distance is None) == (each.direction == 0) for each in only)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_the_stop_is_a_multiple_of_wilders_average_range(strategy: str) -> None:
    bars = fixings("USD/JPY")
    atr = wilder(pd.Series(bars.close).diff().abs(), 14)
    at = {time + DAY: value for time, value in zip(bars.time, atr, strict=True)}

    found = signals(make(strategy, stop_atr=1.5), each_of(bars))

    opening = [each for each in found if each.direction]
    assert len(opening) > 50
    for each in opening:
        assert float(each.stop_distance or 0) == pytest.approx(1.5 * at[each.time], rel=6e-5)
        assert len((each.stop_distance or Decimal(0)).as_tuple().digits) <= 5
        assert each.take_profit_distance is None


def test_sma_cross_takes_profit_where_it_is_told_to() -> None:
    bars = each_of(fixings("EUR/USD"))

    found = signals(make("sma_cross", stop_atr=1, take_profit_atr=4), bars)

    ratios = [(each.take_profit_distance or 0) / (each.stop_distance or 1) for each in found]
    assert [float(ratio) for ratio in ratios] == pytest.approx([4] * len(found), rel=2e-4)


def test_reasons_are_sentences_with_numbers() -> None:
    cross = signals(make("sma_cross", fast=2, slow=14), prices([*[1.0] * 14, 1.1, 1.2, 0.9, 0.7]))
    revert = signals(make("rsi_reversion"), prices([10, 10.1] * 10 + [9, 8, 12]))

    assert [each.reason for each in cross] == ["SMA(2) 0.8 crossed below SMA(14) 0.9928571"]
    assert [(each.direction, each.reason) for each in revert] == [
        (1, "RSI(14) 28.78 crossed below oversold 30"),
        (0, "RSI(14) 65.67 crossed back over the exit level 50"),
    ]


def reversions(bars: Bars, oversold: float, overbought: float, middle: float) -> list[Any]:
    """Walk through pandas' RSI by the rules of the strategy's docstring."""
    change = pd.Series(bars.close).diff()
    gain, loss = wilder(change.clip(lower=0), 14), wilder(-change.clip(upper=0), 14)
    rsi = 100 * gain / (gain + loss)
    held, found = 0, []
    for at in range(15, len(bars)):
        want = held
        if held * (rsi[at] - middle) >= 0:
            want = 0
        if rsi[at] < oversold <= rsi[at - 1]:
            want = 1
        if rsi[at] > overbought >= rsi[at - 1]:
            want = -1
        if want != held:
            found.append((bars.time[at] + DAY, want))
        held = want
    return found


@pytest.mark.parametrize("levels", [(30, 70, 50), (20, 75, 60), (45, 55, 50)])
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_rsi_reversion_signals_where_pandas_sees_excess(
    symbol: str, levels: tuple[float, float, float]
) -> None:
    bars = fixings(symbol)
    oversold, overbought, middle = levels
    strategy = make("rsi_reversion", oversold=oversold, overbought=overbought, exit=middle)

    found = signals(strategy, each_of(bars))

    expected = reversions(bars, oversold, overbought, middle)
    assert {side for _, side in expected} == {-1, 0, 1}
    assert moves(found) == expected


@pytest.mark.parametrize("cut", [40, 333, 2500, 7000])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_another_future_changes_no_past_signal(strategy: str, cut: int) -> None:
    bars = each_of(fixings("GBP/USD"))
    whole = signals(make(strategy), bars)
    other = [replace(bar, high=9.0, close=9.0 if at % 7 else 0.5) for at, bar in enumerate(bars)]

    past = [each for each in whole if each.time <= bars[cut].time]
    assert signals(make(strategy), bars[:cut]) == past
    mixed = signals(make(strategy), bars[:cut] + other[cut:])
    assert mixed[: len(past)] == past


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_two_runs_over_the_same_bars_are_the_same(strategy: str) -> None:
    bars = each_of(fixings("EUR/USD"))

    assert signals(make(strategy), bars) == signals(make(strategy), bars)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("seed", range(5))
def test_a_market_that_stands_still_gives_no_signal(strategy: str, seed: int) -> None:
    moving = np.round(1.1 + np.random.default_rng(seed).normal(0, 1e-3, 200).cumsum(), 5)
    running = make(strategy)
    signals(running, prices([*moving.tolist(), *[float(moving[-1])] * 40]))

    assert signals(running, prices([float(moving[-1])] * 400)) == []


def test_a_stop_at_the_entry_is_no_stop() -> None:
    running = make("sma_cross", fast=2, slow=200)
    rise = [1.0 + index / 100 for index in range(200)]
    found = signals(running, prices([*rise, *[1.8] * 400, 1.8 - 1e-7, 1.8 - 1e-7]))

    assert [each.direction for each in found][-1:] == [-1]
    late = make("sma_cross", fast=2, slow=400)
    fall = [2.0 - index / 1000 for index in range(100)]
    found = signals(late, prices([*fall, *[1.9] * 600, 1.9 + 1e-7, 1.9 + 1e-7]))
    assert [(each.direction, each.stop_distance) for each in found] == [(1, None)]


@pytest.mark.parametrize(
    ("strategy", "settings", "message"),
    [
        ("sma_cross", {"fast": 30, "slow": 30}, r"fast \(30\) must be less than slow \(30\)"),
        ("sma_cross", {"fast": 1}, "fast"),
        ("sma_cross", {"slow": 5001}, "slow"),
        ("sma_cross", {"direction": "short_only"}, "direction"),
        ("sma_cross", {"stop_atr": 0}, "stop_atr"),
        ("sma_cross", {"stop_atr": float("nan")}, "stop_atr"),
        ("sma_cross", {"take_profit_atr": -1}, "take_profit_atr"),
        ("sma_cross", {"quick": 3}, "quick"),
        ("rsi_reversion", {"oversold": 60}, "must rise .*: oversold 60, exit 50, over"),
        ("rsi_reversion", {"overbought": 100}, "overbought"),
    ],
)
def test_wrong_settings_are_refused_by_name(
    strategy: str, settings: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make(strategy, **settings)


def test_a_configuration_is_told_what_is_wrong_with_both_lengths() -> None:
    settings = STRATEGIES["sma_cross"].Settings

    with pytest.raises(
        ConfigError, match=r"^strategies\.trend: .*fast \(50\) must be less than slow"
    ):
        settings.read({"fast": 50, "slow": 20}, "strategies.trend")
