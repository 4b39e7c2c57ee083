"""Bars from smaller bars, and bars from quotes.

A bar's edges are the multiples of its length since 1970-01-01 UTC, so a daily bar is a UTC day.
A bar ends with the smaller bar that ends where it does; after a gap, with the first smaller bar
beyond it. What never traded gives no bar.
"""

from __future__ import annotations

from collections.abc import Iterable

from mtquant.clock import SECOND
from mtquant.model import Bar, Quote, Timeframe


class Resampler:
    """Makes bars of ``timeframe`` from the smaller bars of one instrument."""

    def __init__(self, timeframe: Timeframe) -> None:
        self._timeframe = timeframe
        self._length = timeframe.seconds * SECOND
        self._parts: list[Bar] = []

    def take(self, bar: Bar) -> list[Bar]:
        """Take the next smaller bar and return the bars that are closed by it, oldest first."""
        closed = []
        if self._parts and self._start(bar.time) > self._start(self._parts[0].time):
            closed.append(self._close())
        self._parts.append(bar)
        if bar.time + bar.timeframe.seconds * SECOND >= self._start(bar.time) + self._length:
            closed.append(self._close())
        return closed

    def _start(self, time: int) -> int:
        return time - time % self._length

    def _close(self) -> Bar:
        parts, self._parts = self._parts, []
        return Bar(
            instrument=parts[0].instrument,
            timeframe=self._timeframe,
            time=self._start(parts[0].time),
            open=parts[0].open,
            high=max(each.high for each in parts),
            low=min(each.low for each in parts),
            close=parts[-1].close,
            volume=sum(each.volume for each in parts),
        )


class QuoteBars:
    """Makes bars of ``timeframe`` from the quotes of one instrument: mid prices.

    ``volume`` counts the quotes. A quote older than the open bar is left out, and so is one that
    only confirms the last.
    """

    def __init__(self, instrument: str, timeframe: Timeframe) -> None:
        self._instrument = instrument
        self._timeframe = timeframe
        self._length = timeframe.seconds * SECOND
        self._start = 0
        self._mids: list[float] = []
        self._last: Quote | None = None

    def take(self, quote: Quote) -> list[Bar]:
        """Take the next quote and return the bar that ended before it, if one did."""
        if quote.confirms(self._last):
            return []
        self._last = quote
        closed = self.until(quote.time)
        start = quote.time - quote.time % self._length
        if start >= self._start:
            self._start = start
            self._mids.append(float(quote.mid))
        return closed

    def until(self, time: int) -> list[Bar]:
        """Return the bar that has ended by ``time``, if one has."""
        if not self._mids or time < self._start + self._length:
            return []
        mids, self._mids = self._mids, []
        bar = Bar(
            instrument=self._instrument,
            timeframe=self._timeframe,
            time=self._start,
            open=mids[0],
            high=max(mids),
            low=min(mids),
            close=mids[-1],
            volume=float(len(mids)),
        )
        self._start += self._length
        return [bar]


def check_divides(base: Timeframe, larger: Iterable[Timeframe]) -> str:
    """Return what is wrong where a timeframe can't be built from ``base``; empty where none is."""
    for each in larger:
        if each.seconds % base.seconds:
            return f"{each} bars can't be built from {base} bars"
    return ""
