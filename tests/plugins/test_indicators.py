"""The indicators: stepped equals batch, restarted equals never stopped, and pandas agrees."""

from __future__ import annotations

import csv
import gzip
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from talib.abstract import Function  # type: ignore[attr-defined]  # the stub leaves it out

from mtquant import Indicator
from mtquant.model import Bar, Timeframe
from mtquant.model.arrays import BarArrays
from mtquant_indicators import indicators
from mtquant_indicators.base import TaLibIndicator
from mtquant_sources import sources

DATA = Path(__file__).parents[3] / "shared" / "data"
INDICATORS = {each.name: each for each in indicators()}
SOURCES = {each.name: each for each in sources()}
NAMES = sorted(INDICATORS)
PERIODIC = sorted(name for name in NAMES if "period" in INDICATORS[name].Settings.model_fields)
INPUTS: dict[str, tuple[str, ...]] = {
    name: getattr(each, "inputs", ()) for name, each in INDICATORS.items()
}
FILES = {
    "gbpusd-m1-bid-2012": Timeframe.M1,
    "eurusd-d1": Timeframe.D1,
    "usdjpy-h1": Timeframe.H1,
}
SERIES = [*FILES, "walk", "ecb"]
FIELDS = ("time", "open", "high", "low", "close", "volume")
OTHER_SETTINGS: list[tuple[str, dict[str, float]]] = [
    ("macd", {"fast": 2, "slow": 3, "signal": 2}),
    ("macd", {"fast": 5, "slow": 80, "signal": 40}),
    ("stochastic", {"k": 2, "smooth": 2, "d": 2}),
    ("stochastic", {"k": 5, "smooth": 20, "d": 3}),
    ("keltner", {"period": 2, "atr_period": 2, "multiple": 0.5}),
    ("keltner", {"period": 5, "atr_period": 50, "multiple": 3}),
    ("keltner", {"period": 50, "atr_period": 5, "multiple": 1.7}),
    ("keltner", {"period": 21, "atr_period": 20}),
    ("bollinger", {"period": 7, "deviations": 2.5}),
    *[("hull", {"period": float(period)}) for period in (3, 8, 9, 15, 16, 17)],
]
Floats = NDArray[np.float64]
LONGEST = 20_000
"""How many bars of a real series are stepped through."""


def volumes(count: int) -> Floats:
    """Whole volumes, some of them none: the real files have no volume of foreign exchange."""
    found = np.random.default_rng(1).integers(0, 60, count).astype(float)
    found[found < 10] = 0
    return found


@cache
def series(name: str) -> BarArrays:
    """Return a real series as it was published, or one of ours."""
    if name in SOURCES:
        source = SOURCES[name]
        bars = BarArrays.of(source(source.Settings()).bars("USD/JPY"))
        return replace(bars, volume=volumes(len(bars)))
    path = DATA / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path}: real market data isn't part of the repository")
    with gzip.open(path, "rt", newline="") as stream:
        _, *rows = csv.reader(stream)
    rows = rows[:LONGEST]
    opened, high, low, close = (
        np.array([float(row[place]) for row in rows]) for place in range(1, 5)
    )
    length = FILES[name].seconds * 10**9
    return BarArrays(
        instrument=name,
        timeframe=FILES[name],
        time=np.arange(len(rows)) * length,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volumes(len(rows)),
    )


def make(name: str, **settings: object) -> Indicator[Any]:
    kind = INDICATORS[name]
    return kind(kind.Settings.model_validate(settings))


def stepped(indicator: Indicator[Any], bars: BarArrays, start: int = 0) -> dict[str, Floats]:
    rows: dict[str, list[float]] = {name: [] for name in indicator.lines}
    for at in range(start, len(bars)):
        indicator.update(bars.bar(at))
        for name, values in rows.items():
            values.append(indicator.line(name)[0])
    return {name: np.array(values) for name, values in rows.items()}


def cut(bars: BarArrays, start: int, end: int) -> BarArrays:
    return replace(bars, **{each: getattr(bars, each)[start:end] for each in FIELDS})


def with_bad(bars: BarArrays, field: str, at: int, bad: float) -> BarArrays:
    column = getattr(bars, field).copy()
    column[at] = bad
    return replace(bars, **dict[str, Any]({field: column}))


def same(left: Mapping[str, Floats], right: Mapping[str, Floats]) -> bool:
    """Whether all lines are equal to the bit, where NaN equals NaN."""
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name], equal_nan=True) for name in left
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", SERIES)
def test_stepping_gives_the_bits_of_batch(data: str, name: str) -> None:
    bars = series(data)
    indicator = make(name)
    batch = indicator.batch(bars)

    assert same(stepped(indicator, bars), batch)
    for line in batch.values():
        assert line.dtype == np.float64
        assert line.shape == (len(bars),)
        assert np.isnan(line[: indicator.warmup - 1]).all()
        known = np.isfinite(line[indicator.warmup - 1 :])
        assert known.all() or name == "vwap"


@pytest.mark.parametrize("period", [2, 200])
@pytest.mark.parametrize("name", PERIODIC)
def test_stepping_gives_the_bits_of_batch_at_any_length(name: str, period: int) -> None:
    bars = cut(series("walk"), 0, 1500)
    indicator = make(name, period=period)

    assert same(stepped(indicator, bars), indicator.batch(bars))


@pytest.mark.parametrize(("name", "settings"), OTHER_SETTINGS)
def test_stepping_gives_the_bits_of_batch_at_other_settings(
    name: str, settings: dict[str, float]
) -> None:
    bars = cut(series("walk"), 0, 400)
    indicator = make(name, **settings)
    batch = indicator.batch(bars)

    assert same(stepped(indicator, bars), batch)
    for line in batch.values():
        assert np.isnan(line[: indicator.warmup - 1]).all()
        assert np.isfinite(line[indicator.warmup - 1 :]).all()


@pytest.mark.parametrize("name", NAMES)
def test_ta_lib_knows_the_same_lookbacks(name: str) -> None:
    several = [{}, *(settings for kind, settings in OTHER_SETTINGS if kind == name)]
    if name in PERIODIC:
        several += [{"period": period} for period in (2, 3, 50, 5000)]
    for settings in several:
        indicator = make(name, **settings)
        assert isinstance(indicator, TaLibIndicator)
        for call in indicator.calls():
            known = Function(call.function, **call.parameters)
            assert call.lookback == known.lookback, (call.function, settings)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", SERIES)
def test_restarted_from_the_same_first_bar_is_never_stopped(data: str, name: str) -> None:
    bars = cut(series(data), 0, 3000)
    stop = len(bars) // 2
    never_stopped = make(name).batch(bars)

    restarted = make(name)
    stepped(restarted, cut(bars, 0, stop))

    rest = stepped(restarted, bars, stop)
    assert same(rest, {each: never_stopped[each][stop:] for each in rest})


@pytest.mark.parametrize("name", ["atr", "ema", "rsi"])
def test_restarted_from_a_later_bar_is_another_series_that_comes_close(name: str) -> None:
    bars = series("walk")
    never_stopped = make(name, period=14).batch(bars)["value"]

    windowed = make(name, period=14).batch(cut(bars, 1000, len(bars)))["value"]

    assert not np.array_equal(windowed[15:100], never_stopped[1015:1100])
    assert np.allclose(windowed[600:], never_stopped[1600:], rtol=1e-9, atol=0)


# --- by their formulas, without TA-Lib -----------------------------------------------------------


def from_bar(start: int, tail: object) -> Floats:
    """``tail`` with NaN before bar ``start``."""
    return np.concatenate([np.full(start, np.nan), np.asarray(tail, np.float64)])


def seeded(values: Floats, period: int, weight: float) -> Floats:
    """An exponential average that starts with the mean of the first ``period`` values."""
    start = pd.Series(values[period - 1 :])
    start.iloc[0] = values[:period].mean()
    return from_bar(period - 1, start.ewm(alpha=weight, adjust=False).mean())


def wilder(values: Floats, period: int) -> Floats:
    return seeded(values, period, 1 / period)


def weighted(close: pd.Series, period: int) -> pd.Series:
    weights = np.arange(1, period + 1) / (period * (period + 1) / 2)
    return close.rolling(period).apply(lambda window: float(window @ weights), raw=True)


def true_range(bars: BarArrays) -> Floats:
    last = bars.close[:-1]
    high, low = bars.high[1:], bars.low[1:]
    return np.maximum(high, last) - np.minimum(low, last)


def by_sma(bars: BarArrays) -> dict[str, Floats]:
    return {"value": pd.Series(bars.close).rolling(20).mean().to_numpy()}


def by_ema(bars: BarArrays) -> dict[str, Floats]:
    return {"value": seeded(bars.close, 20, 2 / 21)}


def by_wma(bars: BarArrays) -> dict[str, Floats]:
    return {"value": weighted(pd.Series(bars.close), 20).to_numpy()}


def by_hull(bars: BarArrays) -> dict[str, Floats]:
    close = pd.Series(bars.close)
    difference = 2 * weighted(close, 10) - weighted(close, 20)
    return {"value": weighted(difference, 4).to_numpy()}


def by_rsi(bars: BarArrays) -> dict[str, Floats]:
    change = np.diff(bars.close)
    gain, loss = wilder(np.maximum(change, 0), 14), wilder(np.maximum(-change, 0), 14)
    return {"value": from_bar(1, 100 * gain / (gain + loss))}


def by_macd(bars: BarArrays, fast: int = 12, slow: int = 26, signal: int = 9) -> dict[str, Floats]:
    # Both averages have their first value at the slow one's first bar.
    later = slow - fast
    quick = from_bar(later, seeded(bars.close[later:], fast, 2 / (fast + 1)))
    macd = quick - seeded(bars.close, slow, 2 / (slow + 1))
    smooth = from_bar(slow - 1, seeded(macd[slow - 1 :], signal, 2 / (signal + 1)))
    macd = np.where(np.isnan(smooth), np.nan, macd)
    return {"macd": macd, "signal": smooth, "histogram": macd - smooth}


def by_stochastic(bars: BarArrays, k: int = 14, smooth: int = 3, d: int = 3) -> dict[str, Floats]:
    high, low = pd.Series(bars.high).rolling(k).max(), pd.Series(bars.low).rolling(k).min()
    wide = high - low
    raw = (100 * (pd.Series(bars.close) - low) / wide).mask(wide == 0, 0.0)
    slow = raw.rolling(smooth).mean()
    signal = slow.rolling(d).mean()
    return {"k": slow.mask(signal.isna()).to_numpy(), "d": signal.to_numpy()}


def by_cci(bars: BarArrays) -> dict[str, Floats]:
    typical = pd.Series((bars.high + bars.low + bars.close) / 3)
    rolled = typical.rolling(20)
    spread = rolled.apply(lambda window: float(np.abs(window - window.mean()).mean()), raw=True)
    return {"value": ((typical - rolled.mean()) / (0.015 * spread)).to_numpy()}


def by_roc(bars: BarArrays) -> dict[str, Floats]:
    return {"value": 100 * pd.Series(bars.close).pct_change(10).to_numpy()}


def by_atr(bars: BarArrays) -> dict[str, Floats]:
    return {"value": from_bar(1, wilder(true_range(bars), 14))}


def by_adx(bars: BarArrays) -> dict[str, Floats]:
    """Wilder's sums: the first is of 13 movements, then sum - sum / 14 + newest."""
    up, down = np.diff(bars.high), -np.diff(bars.low)
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)

    def summed(values: Floats) -> Floats:
        total, found = values[:13].sum(), []
        for each in values[13:]:
            total = total - total / 14 + each
            found.append(total)
        return np.array(found)

    moved, wide = (summed(plus), summed(minus)), summed(true_range(bars))
    plus_di, minus_di = (100 * each / wide for each in moved)
    index = 100 * np.abs(plus_di - minus_di) / (plus_di + minus_di)
    adx = from_bar(14, wilder(index, 14))
    lines = (from_bar(14, plus_di), from_bar(14, minus_di))
    plus_line, minus_line = (np.where(np.isnan(adx), np.nan, each) for each in lines)
    return {"adx": adx, "plus_di": plus_line, "minus_di": minus_line}


def by_stddev(bars: BarArrays) -> dict[str, Floats]:
    return {"value": pd.Series(bars.close).rolling(20).std(ddof=0).to_numpy()}


def by_highest(bars: BarArrays) -> dict[str, Floats]:
    return {"value": pd.Series(bars.high).rolling(20).max().to_numpy()}


def by_lowest(bars: BarArrays) -> dict[str, Floats]:
    return {"value": pd.Series(bars.low).rolling(20).min().to_numpy()}


def by_bollinger(bars: BarArrays, period: int = 20, deviations: float = 2) -> dict[str, Floats]:
    rolled = pd.Series(bars.close).rolling(period)
    middle, off = rolled.mean(), deviations * rolled.std(ddof=0)
    lines = {"upper": middle + off, "middle": middle, "lower": middle - off}
    return {name: line.to_numpy() for name, line in lines.items()}


def by_donchian(bars: BarArrays) -> dict[str, Floats]:
    high, low = by_highest(bars)["value"], by_lowest(bars)["value"]
    return {"upper": high, "middle": (high + low) / 2, "lower": low}


def by_keltner(
    bars: BarArrays, period: int = 20, atr_period: int = 10, multiple: float = 2
) -> dict[str, Floats]:
    typical = (bars.high + bars.low + bars.close) / 3
    # Both start at the later one's first bar with the mean of the bars up to there.
    start = max(period - 1, atr_period)
    middle = from_bar(
        start - period + 1, seeded(typical[start - period + 1 :], period, 2 / (period + 1))
    )
    skipped = start - atr_period
    off = multiple * from_bar(skipped + 1, wilder(true_range(bars)[skipped:], atr_period))
    return {"upper": middle + off, "middle": middle, "lower": middle - off}


def by_heikin_ashi(bars: BarArrays) -> dict[str, Floats]:
    close = (bars.open + bars.high + bars.low + bars.close) / 4
    opened = [(bars.open[0] + bars.close[0]) / 2]
    for at in range(1, len(bars)):
        opened.append((opened[-1] + close[at - 1]) / 2)
    start = np.array(opened)
    return {
        "open": start,
        "high": np.maximum.reduce([bars.high, start, close]),
        "low": np.minimum.reduce([bars.low, start, close]),
        "close": close,
    }


def by_obv(bars: BarArrays) -> dict[str, Floats]:
    signs = np.concatenate([[1.0], np.sign(np.diff(bars.close))])
    return {"value": np.cumsum(signs * bars.volume)}


def by_vwap(bars: BarArrays) -> dict[str, Floats]:
    days = bars.time // (86_400 * 10**9)
    typical = (bars.high + bars.low + bars.close) / 3
    table = pd.DataFrame({"day": days, "money": typical * bars.volume, "volume": bars.volume})
    summed = table.groupby("day")[["money", "volume"]].cumsum()
    return {"value": (summed["money"] / summed["volume"].replace(0, np.nan)).to_numpy()}


FORMULAS: dict[str, Callable[..., dict[str, Floats]]] = {
    name.removeprefix("by_"): formula
    for name, formula in list(globals().items())
    if name.startswith("by_")
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", SERIES)
def test_pandas_agrees(data: str, name: str) -> None:
    bars = cut(series(data), 0, 4000)

    agree(name, make(name).batch(bars), FORMULAS[name](bars), bars)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bollinger", {"period": 7, "deviations": 2.5}),
        ("keltner", {"period": 5, "atr_period": 50, "multiple": 3}),
        ("keltner", {"period": 50, "atr_period": 5, "multiple": 1.7}),
        ("macd", {"fast": 5, "slow": 40, "signal": 12}),
        ("stochastic", {"k": 9, "smooth": 4, "d": 7}),
    ],
)
def test_pandas_agrees_at_other_settings(name: str, settings: dict[str, float]) -> None:
    bars = cut(series("walk"), 0, 2000)

    agree(name, make(name, **settings).batch(bars), FORMULAS[name](bars, **settings), bars)


def agree(
    name: str, ours: Mapping[str, Floats], theirs: Mapping[str, Floats], bars: BarArrays
) -> None:
    assert ours.keys() == theirs.keys()
    for line, values in ours.items():
        # Differences of prices and variances lose digits where hardly anything moves.
        still = 1e-7 * float(np.abs(bars.close).max()) if name in {"stddev", "bollinger"} else 1e-9
        loose = 1e-6 if name in {"cci", "stddev"} else 1e-8
        assert np.allclose(values, theirs[line], rtol=loose, atol=still, equal_nan=True), line


# --- edges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_it_is_ready_after_its_warmup(name: str) -> None:
    bars = replace(series("walk"), volume=np.ones(len(series("walk"))))
    indicator = make(name)

    states = []
    for at in range(indicator.warmup):
        indicator.update(bars.bar(at))
        states.append(indicator.ready)

    assert states == [False] * (indicator.warmup - 1) + [True]


@pytest.mark.parametrize(
    ("name", "warmup"),
    [("sma", 10), ("ema", 10), ("rsi", 11), ("atr", 11), ("adx", 20), ("hull", 12)],
)
def test_the_warmup_follows_from_the_period(name: str, warmup: int) -> None:
    assert make(name, period=10).warmup == warmup


@pytest.mark.parametrize("name", NAMES)
def test_the_last_values_are_kept(name: str) -> None:
    bars, indicator = cut(series("walk"), 0, 300), make(name)
    assert math.isnan(indicator.value)

    values = stepped(indicator, bars)

    for line in indicator.lines:
        kept = np.array([indicator.line(line)[back] for back in range(64)])
        assert np.array_equal(kept, values[line][::-1][:64], equal_nan=True)
    main = indicator.main or indicator.lines[0]
    assert indicator[3] == values[main][-4]


@pytest.mark.parametrize("back", [-1, 64])
def test_neither_the_future_nor_forgotten_values_can_be_read(back: int) -> None:
    indicator = make("bollinger")
    stepped(indicator, cut(series("walk"), 0, 100))

    with pytest.raises(IndexError, match=r"bollinger\.upper"):
        indicator.upper[back]


def test_a_line_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no 'top'; lines: upper, middle, lower"):
        make("donchian").line("top")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [3, 24, 100])
@pytest.mark.parametrize("name", NAMES)
def test_a_bar_that_is_not_finite_is_refused_and_forgotten(name: str, at: int, bad: float) -> None:
    bars, indicator = cut(series("walk"), 0, 200), make(name)
    # 24 opens a day, and each bar has another of the fields that it reads be bad.
    reads = INPUTS[name][at % len(INPUTS[name])]
    broken = with_bad(bars, reads, at, bad)
    place = f"{name}: the H1 bar of USD/JPY at 2024-01-0{1 + at // 24}T0{at % 24}:00:00Z"

    with pytest.raises(ValueError, match=place):
        indicator.batch(broken)
    values: dict[str, list[float]] = {line: [] for line in indicator.lines}
    for index in range(200):
        if index == at:
            with pytest.raises(ValueError, match=place):
                indicator.update(broken.bar(index))
        indicator.update(bars.bar(index))
        for line, kept in values.items():
            kept.append(indicator.line(line)[0])

    assert same({line: np.array(kept) for line, kept in values.items()}, indicator.batch(bars))


@pytest.mark.parametrize(("name", "field"), [(name, each) for name in NAMES for each in FIELDS[1:]])
def test_what_it_reads_must_be_finite_and_nothing_else(name: str, field: str) -> None:
    broken = with_bad(cut(series("walk"), 0, 60), field, 40, math.nan)
    indicator = make(name)
    stepped(indicator, cut(broken, 0, 40))
    before = [indicator.line(line)[0] for line in indicator.lines]

    if field not in INPUTS[name]:
        indicator.batch(broken)
        indicator.update(broken.bar(40))
        return
    for refused in (lambda: indicator.batch(broken), lambda: indicator.update(broken.bar(40))):
        with pytest.raises(ValueError, match=f"{field} nan"):
            refused()
    after = [indicator.line(line)[0] for line in indicator.lines]
    assert np.array_equal(before, after, equal_nan=True)


# The handle of TA-Lib's KC refuses a typical price that is too large; its function gives infinity.
@pytest.mark.parametrize("name", sorted({*NAMES} - {"keltner"}))
def test_prices_whose_sum_is_too_large_are_finite(name: str) -> None:
    bars, indicator = cut(series("walk"), 0, 60), make(name)
    large: dict[str, Any] = {each: np.full(60, 1.7e308) for each in FIELDS[1:5]}
    bars = replace(bars, **large)

    with np.errstate(over="ignore"):
        batch = indicator.batch(bars)

    assert same(stepped(indicator, bars), batch)


@pytest.mark.parametrize("name", NAMES)
def test_one_bar_and_none_are_series_too(name: str) -> None:
    for count in (0, 1):
        bars, indicator = cut(series("walk"), 0, count), make(name)
        batch = indicator.batch(bars)
        assert same(stepped(indicator, bars), batch)
        assert {line.shape for line in batch.values()} == {(count,)}


@pytest.mark.parametrize("count", [0, 1, 14])
@pytest.mark.parametrize("name", PERIODIC)
def test_a_series_shorter_than_the_warmup_has_no_value(name: str, count: int) -> None:
    for values in make(name, period=15).batch(cut(series("walk"), 0, count)).values():
        assert values.shape == (count,)
        assert np.isnan(values).all()


@pytest.mark.parametrize("bad", [1, 0, -3, 5001, 2.5, "many"])
@pytest.mark.parametrize("name", PERIODIC)
def test_a_period_out_of_bounds_is_refused(name: str, bad: object) -> None:
    with pytest.raises(ValidationError, match="period"):
        make(name, period=bad)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_its_settings_has_bounds(name: str) -> None:
    for key, field in INDICATORS[name].Settings.model_fields.items():
        if field.annotation in {int, float}:
            for bad in (10**9, 0, -1, math.nan, math.inf):
                with pytest.raises(ValidationError, match=key):
                    make(name, **{key: bad})


def test_a_session_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ValidationError, match="'day' or 'none'"):
        make("vwap", session="week")


def test_the_fast_average_of_macd_must_be_faster() -> None:
    with pytest.raises(ValidationError, match=r"fast \(30\) must be less than slow \(26\)"):
        make("macd", fast=30)


def test_a_market_that_never_moves_has_no_range_and_an_index_of_zero() -> None:
    bar = Bar(
        instrument="X", timeframe=Timeframe.M1, time=0, open=1.1, high=1.1, low=1.1, close=1.1
    )
    rsi, atr = make("rsi", period=3), make("atr", period=3)
    for _ in range(10):
        rsi.update(bar)
        atr.update(bar)

    assert (rsi.value, atr.value) == (0, 0)


def test_the_average_price_starts_anew_with_each_day_unless_told_otherwise() -> None:
    bars = cut(series("walk"), 0, 60)
    bars = replace(bars, volume=np.ones(60))
    daily, running = make("vwap").batch(bars)["value"], make("vwap", session="none").batch(bars)
    typical = (bars.high + bars.low + bars.close) / 3

    assert daily[24] == pytest.approx(typical[24], rel=1e-12)
    assert running["value"][24] == pytest.approx(typical[:25].mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("session", "unknown"), [("day", [0, 1, 2, 24, 25, 48]), ("none", [0, 1, 2])]
)
def test_the_average_price_is_unknown_until_there_is_volume(
    session: str, unknown: list[int]
) -> None:
    volume = np.ones(60)
    volume[[0, 1, 2, 5, 24, 25, 30, 48]] = 0
    bars, indicator = (
        replace(cut(series("walk"), 0, 60), volume=volume),
        make("vwap", session=session),
    )
    batch = indicator.batch(bars)

    assert np.flatnonzero(np.isnan(batch["value"])).tolist() == unknown
    assert same(stepped(indicator, bars), batch)


@pytest.mark.parametrize("session", ["day", "none"])
@pytest.mark.parametrize("volume", [0.0, -1.0])
def test_without_any_volume_there_is_no_average_price(session: str, volume: float) -> None:
    bars = replace(cut(series("walk"), 0, 60), volume=np.full(60, volume))
    indicator = make("vwap", session=session)

    assert np.isnan(indicator.batch(bars)["value"]).all()
    assert np.isnan(stepped(indicator, bars)["value"]).all()
    assert not indicator.ready


def test_a_refused_bar_of_the_next_day_opens_no_session() -> None:
    bars, indicator = cut(series("walk"), 0, 20), make("vwap")
    tomorrow = bars.bar(10)._replace(time=bars.bar(10).time + 86_400 * 10**9, close=math.nan)
    stepped(indicator, cut(bars, 0, 10))

    with pytest.raises(ValueError, match="close nan"):
        indicator.update(tomorrow)

    rest = stepped(indicator, bars, 10)["value"]
    assert np.array_equal(rest, indicator.batch(bars)["value"][10:])


@pytest.mark.parametrize("seconds", [60, 14_400, 86_400])
def test_sessions_of_any_number_of_bars_step_as_batch(seconds: int) -> None:
    bars = cut(series("walk"), 0, 3000)
    bars = replace(bars, time=np.arange(3000) * seconds * 10**9, volume=volumes(3000))

    assert same(stepped(make("vwap"), bars), make("vwap").batch(bars))


@pytest.mark.parametrize("name", NAMES)
def test_a_market_that_never_moves_has_values(name: str) -> None:
    bars = cut(series("walk"), 0, 60)
    still: dict[str, Any] = {each: np.full(60, 1.5) for each in FIELDS[1:]}
    bars, indicator = replace(bars, **still), make(name)
    batch = indicator.batch(bars)

    assert same(stepped(indicator, bars), batch)
    for line in batch.values():
        assert np.isfinite(line[indicator.warmup - 1 :]).all()
    if name in {"adx", "cci", "roc", "rsi", "atr", "stddev", "stochastic"}:
        assert {line[-1] for line in batch.values()} == {0}


@pytest.mark.parametrize("name", NAMES)
def test_prices_may_be_whole_numbers(name: str) -> None:
    indicator, floats = make(name), make(name)
    for at in range(60):
        bar = Bar(
            instrument="X",
            timeframe=Timeframe.H1,
            time=at * 3600 * 10**9,
            open=100 + at % 7,
            high=110 + at % 5,
            low=90,
            close=100 + at % 3,
            volume=1,
        )
        indicator.update(bar)
        prices = (bar.open, bar.high, bar.low, bar.close)
        opened, high, low, close = map(float, prices)
        floats.update(bar._replace(open=opened, high=high, low=low, close=close, volume=1.0))

    assert indicator.value == floats.value


def test_listing_them_loads_neither_ta_lib_nor_pandas() -> None:
    code = (
        "import sys, mtquant_indicators; mtquant_indicators.indicators(); "
        "print(*{'talib', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
