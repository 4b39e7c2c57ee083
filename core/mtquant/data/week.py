"""When a market trades, as its own bars show, and which bars are missing then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtquant.clock import SECOND
from mtquant.data.fields import Integers
from mtquant.model.terms import Timeframe

HOUR = 3600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY
_MONDAY = 4 * DAY  # 1970-01-05, the first Monday of the epoch
_LEARNED_WEEKS = 4
_USUAL = 0.8
"""An hour of the week is one of trading where this share of the weeks has a bar in it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Week:
    """The hours of the week in which bars are to be expected; days, where bars are days.

    ``slot`` is the length of one, in nanoseconds, ``trades`` has one entry for each from Monday
    midnight on, by the clock that the bars are written in.
    """

    slot: int
    trades: NDArray[np.bool_]
    length: int

    @classmethod
    def of(cls, clock: Integers, timeframe: Timeframe) -> Week:
        """Learn from bars at ``clock``, in order.

        An hour trades where four in five weeks have a bar in it, so that neither a weekend nor a
        daily pause nor the hour that daylight saving moves counts as missing. With less than four
        weeks it is the currencies' week: Monday to Friday, and around the clock if there is a bar
        on a Saturday.
        """
        length = timeframe.seconds * SECOND
        slot = max(length, HOUR)
        count = WEEK // slot
        place = (clock - _MONDAY) // slot
        weeks = int((clock[-1] - clock[0]) // WEEK)
        if weeks < _LEARNED_WEEKS:
            days = np.arange(count) * slot // DAY
            saturday = bool(((clock - _MONDAY) // DAY % 7 == 5).any())  # noqa: PLR2004 - Monday is 0
            return cls(slot=slot, trades=(days < 5) | saturday, length=length)  # noqa: PLR2004 - likewise
        seen = np.bincount(np.unique(place) % count, minlength=count)
        return cls(slot=slot, trades=seen >= _USUAL * weeks, length=length)

    def expected(self, first: Integers, last: Integers) -> Integers:
        """Return how many bars begin from ``first`` until before ``last``, by the same clock."""
        return self._until(last) - self._until(first)

    def _until(self, clock: Integers) -> Integers:
        """Return how many bars begin before ``clock``, counted from the first Monday."""
        bars = self.slot // self.length
        before = np.concatenate([[0], np.cumsum(self.trades)]) * bars
        place, inside = np.divmod(clock - _MONDAY, self.slot)
        weeks, place = np.divmod(place, len(self.trades))
        begun = -(-inside // self.length)  # a bar that begins at the clock isn't before it
        found: Integers = weeks * before[-1] + before[place] + self.trades[place] * begun
        return found
