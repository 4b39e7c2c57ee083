"""Series made of others: mids of bids and asks, bars of ticks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mtquant.clock import SECOND
from mtquant.model import Timeframe
from mtquant.model.arrays import BarArrays, Floats


def middle(bid: BarArrays, ask: BarArrays) -> BarArrays:
    """Return bars halfway between those of bid and ask, which have the same times.

    The middle of two highs is no price that was ever quoted: it serves indicators, while orders
    meet the two sides.
    """
    return replace(
        bid,
        open=(bid.open + ask.open) / 2,
        high=(bid.high + ask.high) / 2,
        low=(bid.low + ask.low) / 2,
        close=(bid.close + ask.close) / 2,
    )


def bars_of_quotes(
    symbol: str,
    timeframe: Timeframe,
    time: np.ndarray[tuple[int], np.dtype[np.int64]],
    mids: Floats,
) -> BarArrays:
    """Return the bars of quotes, at least one; the volume is their number, and no bar is empty.

    ``time`` is nanoseconds UTC, not falling, ``mids`` are halfway between bid and ask; both have
    the shape (n,).
    """
    length = timeframe.seconds * SECOND
    starts = time // length
    first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    after = np.append(first[1:], len(mids))
    return BarArrays(
        instrument=symbol,
        timeframe=timeframe,
        time=starts[first] * length,
        open=mids[first],
        high=np.maximum.reduceat(mids, first),
        low=np.minimum.reduceat(mids, first),
        close=mids[after - 1],
        volume=(after - first).astype(np.float64),
    )
