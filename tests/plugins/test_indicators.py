"""The indicators: stepped equals batch, restarted equals never stopped, and pandas agrees."""

from __future__ import annotations

import csv
import gzip
import math
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from mtquant import Indicator
from mtquant.model import Bar, Bars, Timeframe
from mtquant_indicators import indicators
from mtquant_sources import sources

DATA = Path(__file__).parents[3] / "shared" / "data"
INDICATORS = {each.name: each for each in indicators()}
SOURCES = {each.name: each for each in sources()}
NAMES = sorted(INDICATORS)
FILES = {
    "gbpusd-m1-bid-2012": Timeframe.M1,
    "eurusd-d1": Timeframe.D1,
    "usdjpy-h1": Timeframe.H1,
}
SERIES = [*FILES, "walk", "ecb"]


def each_of(bars: Bars) -> list[Bar]:
    return [bars.bar(index) for index in range(len(bars))]


@cache
def series(name: str) -> Bars:
    """Return a real series as it was published, or one of ours."""
    if name in SOURCES:
        source = SOURCES[name]
        return source(source.Settings()).bars("USD/JPY")
    path = DATA / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path}: real market data isn't part of the repository")
    with gzip.open(path, "rt", newline="") as stream:
        _, *rows = csv.reader(stream)
    opened, high, low, close = (tuple(float(row[place]) for row in rows) for place in range(1, 5))
    length = FILES[name].seconds * 10**9
    return Bars(
        instrument=name,
        timeframe=FILES[name],
        time=tuple(index * length for index in range(len(rows))),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=(0.0,) * len(rows),
    )


def make(name: str, **settings: object) -> Indicator[Any]:
    kind = INDICATORS[name]
    return kind(kind.Settings.model_validate(settings))


def stepped(indicator: Indicator[Any], bars: Bars, start: int = 0) -> NDArray[np.float64]:
    return np.array([indicator.update(bars.bar(at)) for at in range(start, len(bars))])


def first(bars: Bars, count: int) -> Bars:
    columns = ("time", "open", "high", "low", "close", "volume")
    return replace(bars, **{each: getattr(bars, each)[:count] for each in columns})


def same(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    """Whether both are equal to the bit, where NaN equals NaN."""
    return np.array_equal(left, right, equal_nan=True)


@pytest.mark.parametrize("period", [2, 14, 200])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", SERIES)
def test_stepping_gives_the_bits_of_batch(data: str, name: str, period: int) -> None:
    bars = series(data)
    indicator = make(name, period=period)
    batch = indicator.batch(bars)

    assert same(stepped(indicator, bars), batch)
    assert batch.dtype == np.float64
    assert batch.shape == (len(bars),)
    assert np.isnan(batch[: indicator.warmup - 1]).all()
    assert np.isfinite(batch[indicator.warmup - 1 :]).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", SERIES)
def test_restarted_from_the_same_first_bar_is_never_stopped(data: str, name: str) -> None:
    bars = series(data)
    stop = len(bars) // 2
    never_stopped = stepped(make(name), bars)

    restarted = make(name)
    for bar in each_of(first(bars, stop)):
        restarted.update(bar)

    assert restarted.value == never_stopped[stop - 1]
    assert same(stepped(restarted, bars, stop), never_stopped[stop:])


@pytest.mark.parametrize("name", ["atr", "ema", "rsi"])
def test_restarted_from_a_later_bar_is_another_series_that_comes_close(name: str) -> None:
    bars = series("walk")
    never_stopped = stepped(make(name, period=14), bars)

    windowed = stepped(make(name, period=14), bars, 1000)

    assert not same(windowed[15:100], never_stopped[1015:1100])
    assert np.allclose(windowed[600:], never_stopped[1600:], rtol=1e-9, atol=0)


def joined(head: list[float], tail: object) -> NDArray[np.float64]:
    return np.concatenate([head, np.asarray(tail, np.float64)])


def seeded_average(values: NDArray[np.float64], period: int, weight: float) -> NDArray[np.float64]:
    """An exponential average that starts with the mean of the first ``period`` values."""
    start = pd.Series(values[period - 1 :])
    start.iloc[0] = values[:period].mean()
    smooth = start.ewm(alpha=weight, adjust=False).mean().to_numpy()
    return joined([np.nan] * (period - 1), smooth)


def by_pandas(name: str, bars: Bars, period: int) -> NDArray[np.float64]:
    """Compute an indicator from its formula, without TA-Lib."""
    close, high, low = pd.Series(bars.close), pd.Series(bars.high), pd.Series(bars.low)
    change = close.diff().to_numpy()[1:]
    if name == "sma":
        return joined([], close.rolling(period).mean())
    if name == "ema":
        return seeded_average(close.to_numpy(), period, 2 / (period + 1))
    if name == "rsi":
        gain = seeded_average(np.maximum(change, 0), period, 1 / period)
        loss = seeded_average(np.maximum(-change, 0), period, 1 / period)
        return joined([np.nan], 100 * gain / (gain + loss))
    last = close.shift()
    true_range = pd.concat([high - low, (high - last).abs(), (low - last).abs()], axis=1).max(
        axis=1
    )
    return joined([np.nan], seeded_average(true_range.to_numpy()[1:], period, 1 / period))


@pytest.mark.parametrize("period", [5, 14, 50])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", SERIES)
def test_pandas_agrees(data: str, name: str, period: int) -> None:
    bars = series(data)
    ours, theirs = make(name, period=period).batch(bars), by_pandas(name, bars, period)

    assert np.allclose(ours, theirs, rtol=1e-8, atol=0, equal_nan=True)


@pytest.mark.parametrize(("name", "warmup"), [("sma", 10), ("ema", 10), ("rsi", 11), ("atr", 11)])
def test_it_is_ready_after_its_warmup(name: str, warmup: int) -> None:
    bars, indicator = series("walk"), make(name, period=10)
    assert indicator.warmup == warmup

    before = [(indicator.update(bars.bar(at)), indicator.ready) for at in range(warmup - 1)]

    assert all(math.isnan(value) and not ready for value, ready in before)
    assert math.isfinite(indicator.update(bars.bar(warmup - 1)))
    assert indicator.ready


@pytest.mark.parametrize("name", NAMES)
def test_the_last_values_are_kept(name: str) -> None:
    bars, indicator = series("walk"), make(name)
    assert math.isnan(indicator.value)

    values = stepped(indicator, first(bars, 300))

    assert indicator.value == values[-1]
    assert [indicator[back] for back in range(64)] == values[::-1][:64].tolist()


@pytest.mark.parametrize("back", [-1, 64])
def test_neither_the_future_nor_forgotten_values_can_be_read(back: int) -> None:
    bars, indicator = series("walk"), make("sma")
    stepped(indicator, first(bars, 100))

    with pytest.raises(IndexError):
        indicator[back]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [3, 100])
@pytest.mark.parametrize("name", NAMES)
def test_a_bar_that_is_not_finite_is_refused_and_forgotten(name: str, at: int, bad: float) -> None:
    bars, indicator = first(series("walk"), 200), make(name)
    broken = replace(bars, close=(*bars.close[:at], bad, *bars.close[at + 1 :]))
    place = f"{name}: the H1 bar of USD/JPY at 2024-01-0{1 + at // 24}T0{at % 24}:00:00Z"

    with pytest.raises(ValueError, match=place):
        indicator.batch(broken)
    values = []
    for index in range(200):
        if index == at:
            with pytest.raises(ValueError, match=place):
                indicator.update(broken.bar(index))
        values.append(indicator.update(bars.bar(index)))

    assert same(np.array(values), indicator.batch(bars))


@pytest.mark.parametrize("count", [0, 1, 14])
@pytest.mark.parametrize("name", NAMES)
def test_a_series_shorter_than_the_warmup_has_no_value(name: str, count: int) -> None:
    values = make(name, period=15).batch(first(series("walk"), count))

    assert values.shape == (count,)
    assert np.isnan(values).all()


@pytest.mark.parametrize("period", [1, 0, -3, 5001, 2.5, "many"])
@pytest.mark.parametrize("name", NAMES)
def test_a_period_out_of_bounds_is_refused(name: str, period: object) -> None:
    with pytest.raises(ValidationError, match="period"):
        make(name, period=period)


def test_a_market_that_never_moves_has_no_range_and_an_index_of_zero() -> None:
    bar = Bar(
        instrument="X", timeframe=Timeframe.M1, time=0, open=1.1, high=1.1, low=1.1, close=1.1
    )
    rsi, atr = make("rsi", period=3), make("atr", period=3)
    for _ in range(10):
        rsi.update(bar)
        atr.update(bar)

    assert (rsi.value, atr.value) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_prices_may_be_whole_numbers(name: str) -> None:
    whole = tuple(range(100, 140))
    bars = replace(first(series("walk"), 40), high=whole, low=whole, close=whole)
    floats = tuple(map(float, whole))

    values = stepped(make(name), bars)

    assert same(values, make(name).batch(replace(bars, high=floats, low=floats, close=floats)))


def test_listing_them_loads_neither_ta_lib_nor_pandas() -> None:
    code = (
        "import sys, mtquant_indicators; mtquant_indicators.indicators(); "
        "print(*{'talib', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
