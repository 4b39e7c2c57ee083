"""What the page holds in few bytes comes back as it was, read as the page's script reads it."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.backtest.scenes import instrument, walk

from mtquant.backtest.page.bars import Block, pack_bars, plan
from mtquant.backtest.page.pack import Pack, decimal_places
from mtquant.backtest.page.steps import MOST, chosen_steps
from mtquant.clock import SECOND
from mtquant.model import Timeframe

STEP = Decimal("0.00001")


def unpacked(text: str) -> tuple[dict[str, Any], bytes]:
    """Return the head and the columns of a packed text."""
    content = zlib.decompress(base64.b64decode(text))
    (length,) = struct.unpack_from("<I", content)
    return json.loads(content[4 : 4 + length]), content[4 + length :]


def column(content: bytes, how: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return a column, as decode.js does."""
    count, at = how["n"], how["at"]
    if how["kind"] == "float":
        return np.frombuffer(content, "<f8", count, at)
    planes = np.frombuffer(content, np.uint8, 4 * count, at).reshape(4, count).astype(np.int64)
    zigzag = (planes * (1 << 8 * np.arange(4))[:, None]).sum(axis=0)
    steps = np.where(zigzag % 2, -(zigzag + 1) // 2, zigzag // 2)
    if how["kind"] == "whole":
        return np.asarray(steps)
    return np.asarray((how["first"] + np.cumsum(steps)) / 10.0 ** how["places"])


def there_and_back(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    pack = Pack()
    pack.numbers(np.arange(3.0))
    how = pack.numbers(values)
    _, content = unpacked(pack.text({}))
    return column(content, how)


@settings(max_examples=40)
@given(arrays.arrays(np.float64, st.integers(0, 40), elements=st.floats(-1e9, 1e9)))
def test_any_numbers_come_back(values: np.ndarray[Any, Any]) -> None:
    np.testing.assert_allclose(there_and_back(values), values, rtol=1e-12, atol=1e-12)


@settings(max_examples=40)
@given(st.lists(st.integers(-(10**9), 10**9), max_size=50), st.integers(0, 8))
def test_decimals_come_back_to_the_last_bit(whole: list[int], places: int) -> None:
    values = np.array(whole, dtype=np.float64) / 10.0**places
    assert (there_and_back(values) == values).all()


def test_a_column_without_a_value_is_kept_as_floats() -> None:
    values = np.array([1.5, np.nan, np.inf])
    np.testing.assert_array_equal(there_and_back(values), values)
    assert decimal_places(values) is None


def test_what_is_too_large_for_a_step_is_kept_as_floats() -> None:
    values = np.array([0.0, 5e9, -5e9, 2.0**60])
    np.testing.assert_array_equal(there_and_back(values), values)
    with pytest.raises(ValueError, match="31 bits"):
        Pack().whole(np.array([2**31]))


def test_the_head_may_hold_any_text() -> None:
    said = "</script> \N{EURO SIGN} \" ' &"
    assert unpacked(Pack().text({"said": said}))[0] == {"said": said}


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(0, 2**31))
def test_bars_come_back(count: int, seed: int) -> None:
    bars = walk("EUR/USD", count, Timeframe.H1, seed)
    pack = Pack()
    told: Any = pack_bars(pack, bars, STEP, np.zeros(0, np.int64), 1_000)
    _, content = unpacked(pack.text({}))
    scale = 10.0 ** told["places"]
    close = column(content, told["close"])
    opened = column(content, told["open"]) + np.concatenate([close[:1], close[:-1]])
    high = column(content, told["up"]) + np.maximum(opened, close)
    low = np.minimum(opened, close) - column(content, told["down"])
    for found, wanted in ((opened, bars.open), (high, bars.high), (low, bars.low)):
        np.testing.assert_allclose(found / scale, wanted, atol=1e-9)
    np.testing.assert_allclose(close / scale, bars.close, atol=1e-9)
    np.testing.assert_array_equal(column(content, told["time"]) * SECOND, bars.time)
    assert told["whole"]


def test_an_overviews_candles_span_the_bars_they_stand_for() -> None:
    bars = walk("EUR/USD", 1_000, Timeframe.H1)
    pack = Pack()
    told: Any = pack_bars(pack, bars, STEP, np.zeros(0, np.int64), 60)
    _, content = unpacked(pack.text({}))
    assert told["blocks"] == [[0, 34, 30]]
    assert not told["whole"]
    close = column(content, told["close"])
    opened = column(content, told["open"]) + np.concatenate([close[:1], close[:-1]])
    high = (column(content, told["up"]) + np.maximum(opened, close)) / 10.0 ** told["places"]
    assert high.max() == pytest.approx(bars.high.max(), abs=1e-9)
    assert high[2] == pytest.approx(bars.high[68:102].max(), abs=1e-9)
    assert close[-1] / 10.0 ** told["places"] == pytest.approx(bars.close[-1], abs=1e-9)


@settings(max_examples=40)
@given(
    st.integers(0, 3_000_000),
    st.lists(st.integers(0, 2_999_999), max_size=30),
    st.integers(1, 1_000_000),
)
def test_a_plan_covers_all_bars_in_the_room_there_is(count: int, at: list[int], room: int) -> None:
    executed = np.array([each for each in at if each < count], dtype=np.int64)
    blocks = plan(count, executed, room)
    assert sum(block.count for block in blocks) <= max(room, 1)
    if not count:
        assert not blocks
        return
    whole = blocks[0]
    assert whole.first == 0
    assert whole.count * whole.step >= count > (whole.count - 1) * whole.step
    ends = [(block.first, block.first + block.count) for block in blocks[1:]]
    assert all(block.step == 1 for block in blocks[1:])
    assert all(0 <= first < last <= count for first, last in ends)
    assert all(left[1] <= right[0] for left, right in pairwise(ends))


def test_bars_around_executions_are_kept_where_not_all_fit() -> None:
    blocks = plan(2_000_000, np.array([5, 200, 900_000]), 1_000_000)
    assert blocks == [Block(0, 4, 500_000), Block(0, 1, 351), Block(899_850, 1, 301)]


def test_where_little_fits_less_is_kept_around_each_execution_rather_than_none() -> None:
    executed = np.array([1_000, 3_000, 5_000])
    blocks = plan(100_000, executed, 800)
    assert blocks[0] == Block(0, 250, 400)
    assert [(block.first, block.count) for block in blocks[1:]] == [
        (940, 121),
        (2_940, 121),
        (4_940, 121),
    ]
    assert plan(100_000, executed, 30) == [
        Block(0, 6_667, 15),
        Block(3_002, 1, 4),
        Block(4_995, 1, 11),
    ]


def test_mid_prices_between_two_steps_keep_their_half() -> None:
    bars = walk("EUR/USD", 10, Timeframe.H1)
    bars.close[:] += 0.000005
    pack = Pack()
    told: Any = pack_bars(pack, bars, instrument("EUR/USD").price_step, np.zeros(0, np.int64), 99)
    _, content = unpacked(pack.text({}))
    close = column(content, told["close"]) / 10.0 ** told["places"]
    np.testing.assert_allclose(close, bars.close, atol=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(MOST + 1, 5 * MOST))
def test_the_steps_drawn_hold_every_curves_extremes(seed: int, count: int) -> None:
    noise = np.random.default_rng(seed)
    curves = [noise.normal(size=count).cumsum() for _ in range(2)]
    chosen = chosen_steps(curves)
    assert (np.diff(chosen) > 0).all()
    assert {0, count - 1} <= set(chosen.tolist())
    assert len(chosen) <= MOST
    for curve in curves:
        assert curve[chosen].max() == curve.max()
        assert curve[chosen].min() == curve.min()


def test_a_short_curve_is_drawn_whole() -> None:
    assert len(chosen_steps([np.zeros(MOST)])) == MOST
