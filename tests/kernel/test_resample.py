"""Larger bars from smaller ones and from quotes: as pandas resamples, and never of the future."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.model import Bar, Quote, Timeframe
from mtquant.resample import QuoteBars, Resampler, check_divides

D = Decimal
SECOND = 10**9
MINUTE = 60 * SECOND


def minute(index: int, price: float, volume: float = 1.0) -> Bar:
    return Bar(
        instrument="X",
        timeframe=Timeframe.M1,
        time=index * MINUTE,
        open=price,
        high=price + 0.5,
        low=price - 0.5,
        close=price + 0.1,
        volume=volume,
    )


@given(
    st.lists(st.integers(0, 600), min_size=1, max_size=200, unique=True).map(sorted),
    st.sampled_from([Timeframe.M5, Timeframe.M15, Timeframe.H1]),
)
def test_it_is_what_pandas_makes_of_it_gaps_and_all(at: list[int], larger: Timeframe) -> None:
    bars = [minute(index, 100 + index % 7) for index in at]
    made, resampler = [], Resampler(larger)
    for bar in bars:
        for closed in resampler.take(bar):
            # Known only once its last part, or what comes after it, has ended.
            assert closed.time + larger.seconds * SECOND <= bar.time + MINUTE or (
                bar.time >= closed.time + larger.seconds * SECOND
            )
            made.append(closed)
    table = pd.DataFrame(
        {name: [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close")},
        index=np.array([bar.time for bar in bars]) // (larger.seconds * SECOND),
    )
    grouped = table.groupby(level=0)
    expected = pd.DataFrame(
        {
            "open": grouped["open"].first(),
            "high": grouped["high"].max(),
            "low": grouped["low"].min(),
            "close": grouped["close"].last(),
        }
    )
    whole = expected.iloc[: len(made)]
    assert len(made) in {len(expected), len(expected) - 1}
    assert [bar.time for bar in made] == [key * larger.seconds * SECOND for key in whole.index]
    for name in expected:
        assert [getattr(bar, name) for bar in made] == whole[name].tolist()


def test_a_bar_that_ends_with_its_last_part_doesnt_wait_for_the_next() -> None:
    resampler = Resampler(Timeframe.M5)

    made = [resampler.take(minute(index, 1.0, 2.0)) for index in range(10)]

    assert [len(each) for each in made] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert made[4][0].volume == 10


def test_after_a_gap_the_unfinished_bar_comes_first() -> None:
    resampler = Resampler(Timeframe.M5)
    for index in range(3):
        assert resampler.take(minute(index, 1.0)) == []

    closed = resampler.take(minute(9, 2.0))

    assert [(bar.time, bar.close) for bar in closed] == [(0, 1.1), (5 * MINUTE, 2.1)]


def quote(second: float, price: str) -> Quote:
    half = D("0.1")
    return Quote(
        instrument="X", bid=D(price) - half, ask=D(price) + half, time=int(second * SECOND)
    )


def test_quotes_become_bars_of_their_mids_that_count_them() -> None:
    bars = QuoteBars("X", Timeframe.S5)
    made = [
        bar
        for each in [quote(0, "5"), quote(1, "7"), quote(4.9, "4"), quote(5, "6"), quote(12, "8")]
        for bar in bars.take(each)
    ]

    first, second = made
    assert (first.time, first.open, first.high, first.low, first.close) == (0, 5, 7, 4, 4)
    assert first.volume == 3
    assert (second.time, second.close, second.volume) == (5 * SECOND, 6, 1)


def test_a_quote_that_only_confirms_the_last_counts_for_nothing() -> None:
    bars, moved = QuoteBars("X", Timeframe.S5), quote(1, "7")
    # It moved and was confirmed before anybody looked: it is news all the same.
    first = replace(moved, confirmed=2 * SECOND)
    for each in (first, replace(moved, confirmed=3 * SECOND), replace(moved, confirmed=7 * SECOND)):
        assert bars.take(each) == []
    (bar,) = bars.take(quote(8, "9"))
    assert (bar.time, bar.open, bar.close, bar.volume) == (0, 7, 7, 1)


def test_a_bar_of_quotes_ends_with_time_though_no_quote_comes() -> None:
    bars = QuoteBars("X", Timeframe.S5)
    assert bars.take(quote(6, "5")) == []
    assert bars.until(9 * SECOND) == []

    (closed,) = bars.until(10 * SECOND)

    assert closed.time == 5 * SECOND
    assert bars.until(60 * SECOND) == []
    assert bars.take(quote(7, "9")) == [], "a quote of a bar that is closed is too late"
    assert bars.until(60 * SECOND) == []


@pytest.mark.parametrize(
    ("base", "larger", "wrong"),
    [("M1", "H4", ""), ("M5", "M5", ""), ("M15", "M5", "M5 bars can't be built from M15 bars")],
)
def test_what_cannot_be_built_is_told(base: str, larger: str, wrong: str) -> None:
    assert check_divides(Timeframe(base), [Timeframe(larger)]) == wrong
