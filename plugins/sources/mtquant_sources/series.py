"""Series made of others: mids of bids and asks, bars of ticks."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from mtquant.clock import SECOND
from mtquant.model import Bars, Ticks, Timeframe


def middle(bid: Bars, ask: Bars) -> Bars:
    """Return bars halfway between those of bid and ask, which have the same times.

    The middle of two highs is no price that was ever quoted: it serves indicators, while orders
    meet the two sides.
    """

    def between(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        return tuple((low + high) / 2 for low, high in zip(one, other, strict=True))

    return replace(
        bid,
        open=between(bid.open, ask.open),
        high=between(bid.high, ask.high),
        low=between(bid.low, ask.low),
        close=between(bid.close, ask.close),
    )


def bars_of(ticks: Ticks, timeframe: Timeframe) -> Bars:
    """Return the mid bars of ``ticks``; the volume is the number of ticks, and no bar is empty."""
    length = timeframe.seconds * SECOND
    mids = [(bid + ask) / 2 for bid, ask in zip(ticks.bid, ticks.ask, strict=True)]
    rows = []
    for start, group in groupby(range(len(mids)), key=lambda index: ticks.time[index] // length):
        inside = [mids[index] for index in group]
        rows.append((start * length, inside[0], max(inside), min(inside), inside[-1], len(inside)))
    time, opened, high, low, close, volume = zip(*rows, strict=True)
    return Bars(
        instrument=ticks.instrument,
        timeframe=timeframe,
        time=time,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=tuple(float(each) for each in volume),
    )
