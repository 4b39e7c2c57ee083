"""Bars for the price chart: all of them, or an overview and the stretches that were traded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.page.pack import Pack
from mtquant.clock import SECOND
from mtquant.model.arrays import BarArrays

BARS = 1_000_000
"""How many bars a page holds, all symbols and runs together."""
_AROUND = (150, 60, 20, 5)
"""How many bars before and after an execution are kept where not all fit: the most that do."""
_LARGEST = 2**30


@dataclass(frozen=True, slots=True)
class Block:
    """``count`` candles from bar ``first`` on, each of ``step`` bars."""

    first: int
    step: int
    count: int


def pack_bars(
    pack: Pack, bars: BarArrays, price_step: Decimal, executed: NDArray[np.int64], room: int
) -> dict[str, object]:
    """Put ``bars`` into ``pack`` and return what the page needs to read them.

    ``executed`` are the indices of bars with executions, ``room`` how many bars may be kept. A bar
    that was merged into an overview's candle is opened by its first, closed by its last, and
    spans all of them. Prices are rounded to a tenth of ``price_step`` (a mid price may lie between
    two steps).
    """
    count = len(bars)
    blocks = plan(count, executed, room)
    places = _places(bars, price_step)
    columns = [_candles(bars, block, places) for block in blocks] or [np.zeros((4, 0), np.int64)]
    opened, high, low, close = np.concatenate(columns, axis=1)
    before = np.concatenate([close[:1], close[:-1]])
    first = [block.first + np.arange(block.count) * block.step for block in blocks]
    starts = np.concatenate([*first, np.zeros(0, np.int64)]).astype(np.int64)
    return {
        "name": bars.instrument,
        "seconds": bars.timeframe.seconds,
        "timeframe": bars.timeframe.value,
        "count": count,
        "places": places,
        "digits": digits(price_step),
        "blocks": [[block.first, block.step, block.count] for block in blocks],
        "whole": blocks == [Block(0, 1, count)] or not count,
        "time": pack.numbers(bars.time[starts] / SECOND),
        "last": int(bars.time[-1]) / SECOND if count else 0,
        "close": pack.numbers(close),
        "open": pack.whole(opened - before),
        "up": pack.whole(high - np.maximum(opened, close)),
        "down": pack.whole(np.minimum(opened, close) - low),
    }


def plan(count: int, executed: NDArray[np.int64], room: int) -> list[Block]:
    """Return the blocks that show ``count`` bars in at most about ``room`` candles.

    One block of all bars where they fit. Otherwise an overview in half the room, then stretches of
    single bars around the executions, as long as fit around all of them; around the last where even
    short ones don't.
    """
    if not count:
        return []
    if count <= room:
        return [Block(0, 1, count)]
    merged = -(-count // max(1, room // 2))
    overview = Block(0, merged, -(-count // merged))
    left = room - overview.count
    stretches: Sequence[tuple[int, int]] = []
    for around in _AROUND:
        stretches = _stretches(executed, count, around)
        if sum(last - first for first, last in stretches) <= left:
            break
    blocks: list[Block] = []
    for first, last in reversed(stretches):
        length = min(last - first, left)
        if length <= 0:
            break
        blocks.append(Block(last - length, 1, length))
        left -= length
    return [overview, *reversed(blocks)]


def digits(price_step: Decimal) -> int:
    """Return how many decimal places a price in steps of ``price_step`` has."""
    exponent = price_step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _stretches(executed: NDArray[np.int64], count: int, around: int) -> Sequence[tuple[int, int]]:
    """Return [first, last) around each of ``executed``, those that touch as one, rising."""
    at = np.unique(executed)
    if not at.size:
        return []
    apart = np.flatnonzero(np.diff(at) > 2 * around)
    firsts = at[np.concatenate([[0], apart + 1])] - around
    lasts = at[np.concatenate([apart, [at.size - 1]])] + around + 1
    return [
        (max(0, int(first)), min(count, int(last)))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _candles(bars: BarArrays, block: Block, places: int) -> NDArray[np.int64]:
    """Return open, high, low and close of each candle, shape (4, n), in units of 10**-places."""
    inside = slice(block.first, block.first + block.count * block.step)
    starts = np.arange(0, len(bars.time[inside]), block.step)
    ends = np.append(starts[1:], len(bars.time[inside])) - 1
    shown = np.stack(
        [
            bars.open[inside][starts],
            np.maximum.reduceat(bars.high[inside], starts),
            np.minimum.reduceat(bars.low[inside], starts),
            bars.close[inside][ends],
        ]
    )
    whole: NDArray[np.int64] = np.rint(shown * 10.0**places).astype(np.int64)
    # A bar whose high lies below its open is the data's mistake: its candle spans what it names.
    whole[1] = whole.max(axis=0)
    whole[2] = whole.min(axis=0)
    return whole


def _places(bars: BarArrays, price_step: Decimal) -> int:
    """Return with how many places prices are kept: one more than the step has, if they fit."""
    places = digits(price_step) + 1
    highest = float(np.abs(bars.high).max(initial=1.0))
    while places > 0 and highest * 10.0**places >= _LARGEST:
        places -= 1
    return places
