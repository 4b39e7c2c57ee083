"""The strategies: their signals are the crosses that pandas finds, and know no future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mtquant import Strategy
from mtquant.errors import ConfigError
from mtquant.model import Bar, Bars, Signal, Timeframe
from mtquant.testing import make_strategy, signals
from mtquant_sources.ecb import Ecb, EcbSettings
from mtquant_strategies import strategies

STRATEGIES = {each.name: each for each in strategies()}
DAY = 86400 * 10**9
SYMBOL = "EUR/USD"
SYMBOLS = ["EUR/USD", "GBP/USD", "USD/JPY"]
ALONE = sorted(set(STRATEGIES) - {"pairs"})
STOPPED = sorted(set(ALONE) - {"donchian", "buy_and_hold"})


def each_of(bars: Bars) -> list[Bar]:
    return [bars.bar(index)._replace(instrument=SYMBOL) for index in range(len(bars))]


@cache
def fixings(symbol: str) -> Bars:
    return Ecb(EcbSettings()).bars(symbol)


def make(strategy: str, **settings: object) -> Strategy[Any]:
    kind = STRATEGIES[strategy]
    made: Strategy[Any] = make_strategy(kind, (SYMBOL,), Timeframe.D1, strategy_id="s1", **settings)
    return made


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


@pytest.mark.parametrize("strategy", STOPPED)
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
@pytest.mark.parametrize("strategy", ALONE)
def test_another_future_changes_no_past_signal(strategy: str, cut: int) -> None:
    bars = each_of(fixings("GBP/USD"))
    whole = signals(make(strategy), bars)
    other = [bar._replace(high=9.0, close=9.0 if at % 7 else 0.5) for at, bar in enumerate(bars)]

    past = [each for each in whole if each.time <= bars[cut].time]
    assert signals(make(strategy), bars[:cut]) == past
    mixed = signals(make(strategy), bars[:cut] + other[cut:])
    assert mixed[: len(past)] == past


@pytest.mark.parametrize("strategy", ALONE)
def test_two_runs_over_the_same_bars_are_the_same(strategy: str) -> None:
    bars = each_of(fixings("EUR/USD"))

    assert signals(make(strategy), bars) == signals(make(strategy), bars)


@pytest.mark.parametrize("strategy", ALONE)
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
    with pytest.raises(ConfigError, match=message):
        make(strategy, **settings)


def test_a_configuration_is_told_what_is_wrong_with_both_lengths() -> None:
    settings = STRATEGIES["sma_cross"].Settings

    with pytest.raises(
        ConfigError, match=r"^strategies\.trend: .*fast \(50\) must be less than slow"
    ):
        settings.read({"fast": 50, "slow": 20}, "strategies.trend")


# --- those that came with the larger port --------------------------------------------------------


def ema(values: pd.Series, span: int) -> pd.Series:
    """An exponential average that starts with the mean of the first ``span`` values."""
    start = values.iloc[span - 1 :].copy()
    start.iloc[0] = values.iloc[:span].mean()
    return start.ewm(span=span, adjust=False).mean().reindex(values.index)


def sides_of(gap: pd.Series, first: int) -> list[tuple[int, int]]:
    """Where ``gap`` changes its sign from bar ``first`` on, as index and sign."""
    signs = np.sign(gap.iloc[first:]).replace(0, np.nan).ffill().dropna()
    changed = signs[signs.diff().fillna(0) != 0]
    return [(int(at), int(side)) for at, side in changed.items()]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_ema_cross_signals_where_pandas_sees_a_cross(symbol: str) -> None:
    bars = fixings(symbol)
    close = pd.Series(bars.close)

    found = moves(signals(make("ema_cross", fast=12, slow=26), each_of(bars)))

    expected = sides_of((ema(close, 12) - ema(close, 26)).round(12), 25)
    assert len(expected) > 100
    assert found == [(bars.time[at] + DAY, side) for at, side in expected]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_macd_signals_where_pandas_sees_the_histogram_change_its_sign(symbol: str) -> None:
    bars = fixings(symbol)
    close = pd.Series(bars.close)
    # Both averages have their first value at the slow one's first bar.
    fast = ema(close.iloc[14:], 12).reindex(close.index)
    macd = fast - ema(close, 26)
    signal = ema(macd.iloc[25:], 9).reindex(close.index)

    found = moves(signals(make("macd"), each_of(bars)))

    expected = sides_of((macd - signal).round(13), 33)
    assert len(expected) > 300
    assert found == [(bars.time[at] + DAY, side) for at, side in expected]


@pytest.mark.parametrize("direction", ["long_short", "long_only"])
def test_bollinger_breakout_goes_with_a_close_beyond_a_band(direction: str) -> None:
    bars = fixings("USD/JPY")
    close = pd.Series(bars.close)
    middle = close.rolling(20).mean()
    off = 2 * close.rolling(20).std(ddof=0)
    side, expected = 0, []
    for at in range(19, len(bars)):
        price, before = close[at], side
        if price > middle[at] + off[at] and side <= 0:
            side = 1
        elif (
            price < middle[at] - off[at]
            and side >= 0
            and not (direction == "long_only" and side == 0)
        ):
            side = -1 if direction == "long_short" else 0
        elif side * (price - middle[at]) < 0:
            side = 0
        if side != before:
            expected.append((bars.time[at] + DAY, side))

    found = moves(signals(make("bollinger_breakout", direction=direction), each_of(bars)))

    assert len(expected) > 200
    assert found == expected


def turtle(closes: Sequence[float], **settings: object) -> list[tuple[int, int, str]]:
    running = make("donchian", entry=4, exit=2, failsafe=6, range=2, stop_n=2, **settings)
    return [
        (each.time // DAY - 1, each.direction, each.reason)
        for each in signals(running, prices(closes))
    ]


def test_donchian_enters_at_a_breakout_and_leaves_at_the_shorter_channel() -> None:
    closes = [10, 10.1, 10, 10.1, 10, 10.1, 10.2, 10.4, 10.7, 11, 10.8, 10.6, 10.5]

    # N is the average range of 2 bars: at bar 6 it is 0.1, so the stop stands 0.2 off 10.2.
    assert turtle(closes) == [
        (6, 1, "close 10.2 above the 4-bar channel 10.1"),
        (11, 0, "close 10.6 beyond the 2-bar channel"),
    ]


def test_donchian_skips_the_breakout_after_one_that_won_unless_it_is_a_large_one() -> None:
    won = [10, 10.1, 10, 10.1, 10, 10.1, 10.2, 10.4, 10.7, 11, 10.8, 10.6]
    small, large = [*won, 10.5, 10.4, 10.9], [*won, 10.5, 10.4, 11.1]

    def entries(closes: Sequence[float], *, skip: bool) -> list[int]:
        found = turtle(closes, skip_after_win=skip, direction="long_only")
        return [at for at, side, _ in found if side]

    assert entries(small, skip=True) == [6]
    assert entries(small, skip=False) == [6, 14]
    assert entries(large, skip=True) == [6, 14]


def test_donchian_counts_a_breakout_that_came_to_its_stop_as_lost_and_takes_the_next() -> None:
    closes = [10, 10.1, 10, 10.1, 10, 10.1, 10.2, 9.95, 10, 10.1, 10.05, 10.1, 10.3]

    assert turtle(closes) == [
        (6, 1, "close 10.2 above the 4-bar channel 10.1"),
        (7, 0, "the stop at 10 was reached"),
        (12, 1, "close 10.3 above the 4-bar channel 10.1"),
    ]


def test_buy_and_hold_buys_once_however_long_it_warmed_up() -> None:
    found = signals(make("buy_and_hold"), each_of(fixings("EUR/USD"))[:200])

    assert [each.direction for each in found] == [1]
    assert found[0].stop_distance is not None


def legs(first: Sequence[float], second: Sequence[float]) -> list[Bar]:
    """Two instruments' bars as they come: both of a day, one after the other."""
    pairs = zip(prices(first), prices(second), strict=True)
    return [
        bar
        for one, other in pairs
        for bar in (one._replace(instrument="A/USD"), other._replace(instrument="B/USD"))
    ]


def test_pairs_sells_the_dear_one_buys_the_cheap_one_and_leaves_both_together() -> None:
    kind = STRATEGIES["pairs"]
    running = make_strategy(kind, ("A/USD", "B/USD"), Timeframe.D1, period=20, entry=2.0, exit=0.5)
    rng = np.random.default_rng(3)
    common = np.exp(rng.normal(0, 0.01, 120).cumsum())
    wobble = 0.002 * np.sin(np.arange(120))
    wobble[60:64] += 0.02
    first, second = (common * np.exp(wobble)).tolist(), common.tolist()

    found = signals(running, legs(first, second))

    assert [(each.instrument, each.direction) for each in found[:4]] == [
        ("A/USD", -1),
        ("B/USD", 1),
        ("A/USD", 0),
        ("B/USD", 0),
    ]
    assert found[0].time == found[1].time == 61 * DAY
    assert all(each.stop_distance for each in found[:2])


def test_pairs_is_of_two() -> None:
    with pytest.raises(ValueError, match="two symbols, not 1"):
        make_strategy(STRATEGIES["pairs"], ("A/USD",))
