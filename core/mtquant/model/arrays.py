"""A series of closed bars as arrays, for whoever computes over all of it at once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mtquant.model.market import Bar, Bars
from mtquant.model.terms import Timeframe

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarArrays:
    """Closed bars of one instrument as columns, oldest first, each of shape (n,).

    ``time`` is int64 nanoseconds UTC of each bar's opening, the others are float64: prices in the
    quote currency. Made once by :meth:`of`, used by any number of indicators.
    """

    instrument: str
    timeframe: Timeframe
    time: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    _finite: set[str] = field(default_factory=set, init=False, repr=False)
    _digest: list[str] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def of(cls, bars: Bars) -> BarArrays:
        """Return the columns of ``bars``; whole numbers become floats."""
        count = len(bars)
        return cls(
            instrument=bars.instrument,
            timeframe=bars.timeframe,
            time=np.fromiter(bars.time, np.int64, count),
            open=np.fromiter(bars.open, np.float64, count),
            high=np.fromiter(bars.high, np.float64, count),
            low=np.fromiter(bars.low, np.float64, count),
            close=np.fromiter(bars.close, np.float64, count),
            volume=np.fromiter(bars.volume, np.float64, count),
        )

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.time)

    def digest(self) -> str:
        """Return the SHA-256 of the times, then the columns, little-endian; worked out once."""
        if not self._digest:
            found = hashlib.sha256(self.time.astype("<i8").tobytes())
            for column in (self.open, self.high, self.low, self.close, self.volume):
                found.update(column.astype("<f8").tobytes())
            self._digest.append(found.hexdigest())
        return self._digest[0]

    def bars(self) -> Bars:
        """Return the same as columns of Python numbers: what :meth:`of` takes."""
        return Bars(
            instrument=self.instrument,
            timeframe=self.timeframe,
            time=tuple(self.time.tolist()),
            open=tuple(self.open.tolist()),
            high=tuple(self.high.tolist()),
            low=tuple(self.low.tolist()),
            close=tuple(self.close.tolist()),
            volume=tuple(self.volume.tolist()),
        )

    def part(self, first: int, stop: int) -> BarArrays:
        """Return the bars from ``first`` up to but not including ``stop``."""
        return BarArrays(
            instrument=self.instrument,
            timeframe=self.timeframe,
            time=self.time[first:stop],
            open=self.open[first:stop],
            high=self.high[first:stop],
            low=self.low[first:stop],
            close=self.close[first:stop],
            volume=self.volume[first:stop],
        )

    def first_not_finite(self, names: Sequence[str]) -> int | None:
        """Return the first bar at which one of the named columns isn't finite; None where all are.

        A column is looked at once: arrays are not to be written to.
        """
        unknown = [name for name in names if name not in self._finite]
        # A sum is finite where all of its parts are (and not too large to tell), and costs a
        # fraction of looking at each.
        with np.errstate(over="ignore", invalid="ignore"):
            self._finite.update(
                name for name in unknown if math.isfinite(float(np.sum(getattr(self, name))))
            )
        unsure = [getattr(self, name) for name in unknown if name not in self._finite]
        if not unsure:
            return None
        finite = np.logical_and.reduce([np.isfinite(column) for column in unsure])
        return None if finite.all() else int(np.argmin(finite))

    def bar(self, index: int) -> Bar:
        """Return the bar at ``index``."""
        return Bar(
            instrument=self.instrument,
            timeframe=self.timeframe,
            time=int(self.time[index]),
            open=float(self.open[index]),
            high=float(self.high[index]),
            low=float(self.low[index]),
            close=float(self.close[index]),
            volume=float(self.volume[index]),
        )
