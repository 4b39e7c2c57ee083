"""Indicators that weigh by volume.

The formulas are those of TA-Lib's C sources: ta_OBV.c, ta_VWAP.c. Volume is what the source gives:
base units, contracts, or, in foreign exchange, the number of quotes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mtquant import Settings
from mtquant.clock import SECOND
from mtquant.contract.indicator import Values
from mtquant.model import Bar
from mtquant.model.arrays import BarArrays
from mtquant_indicators.base import Call, TaLibIndicator

_DAY = 86_400 * SECOND


class ObvSettings(Settings):
    """It has none."""


class Obv(TaLibIndicator[ObvSettings]):
    """On-balance volume: volume summed, added where the close rose, taken off where it fell.

    Granville, 1963. It starts with the first bar's volume, at bar 1.
    """

    name = "obv"
    inputs: ClassVar[tuple[str, ...]] = ("close", "volume")

    def calls(self) -> Sequence[Call]:
        """One function."""
        return [Call(function="OBV", lookback=0)]


class VwapSettings(Settings):
    """``session``: ``day`` starts anew with each UTC day, ``none`` never does."""

    session: Literal["day", "none"] = "day"


class Vwap(TaLibIndicator[VwapSettings]):
    """Volume-weighted average price of the session, in the quote currency.

    sum((high + low + close) / 3 * volume) / sum(volume), from the session's first bar on. Until a
    bar of the session has had volume it is NaN, and :attr:`ready` False: also after the warm-up,
    at the start of any day. Its first value is at bar 1. A bar belongs to the day that it opens in.
    """

    name = "vwap"
    inputs: ClassVar[tuple[str, ...]] = ("high", "low", "close", "volume")

    def __init__(self, settings: VwapSettings) -> None:
        super().__init__(settings)
        self._daily = settings.session == "day"
        self._day: int | None = None
        self._weighed = False
        self._empty: Any = None

    def calls(self) -> Sequence[Call]:
        """One function, begun anew with each session."""
        return [Call(function="VWAP", lookback=0)]

    def compute(self, bar: Bar) -> Values:
        """Take one closed bar, in a new session where it opens one."""
        day = bar.time // _DAY if self._daily else 0
        if day == self._day:
            value = super().compute(bar)
        else:
            before, self._advance = self._advance, self._anew()
            try:
                value = super().compute(bar)
            except ValueError:
                self._advance = before
                raise
            self._day, self._weighed = day, False
        if not self._weighed:
            self._weighed = bar.volume > 0
            return value if self._weighed else math.nan
        return value

    def _anew(self) -> Callable[..., float]:
        """Return what steps a session that has seen no bar yet."""
        if self._empty is None:
            from talib import stream  # noqa: PLC0415 - as in the base

            # A bar of no price and no volume adds nothing. Copying its handle for each session
            # costs a third of opening one, which matters where a day has few bars.
            self._empty = stream.VWAP(*np.zeros((len(self.inputs), 1)))
        update: Callable[..., float] = self._empty.copy().update
        return update

    def batch(self, bars: BarArrays) -> Mapping[str, NDArray[np.float64]]:
        """Return the whole series, session by session."""
        import talib  # noqa: PLC0415 - as in the base

        columns = [getattr(bars, name) for name in self.inputs]
        self._require_finite(bars)
        days = bars.time // _DAY if self._daily else np.zeros(len(bars))
        edges = np.flatnonzero(np.diff(days)) + 1
        found = np.full(len(bars), math.nan)
        for start, end in zip((0, *edges), (*edges, len(bars)), strict=True):
            if start == end:
                continue
            parts = [column[start:end] for column in columns]
            found[start:end] = talib.VWAP(*parts)
            if parts[-1][0] <= 0:
                found[start:end][np.cumsum(parts[-1] > 0) == 0] = math.nan
        return {"value": found}
