"""When a strategy wants to be asked: one definition, stepped live, run over arrays on history."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtquant.contract.indicator import Indicator, Line
from mtquant.model import Bar
from mtquant.model.arrays import Floats


class Crossing:
    """That one line crosses another: it holds at the bar at which the side has changed.

    ``side`` is 1 while the line is above, -1 while it is below; 0 before the first. Nearer than
    ``noise`` times the price they touch, which is no side: the last one stays. The first side seen
    is no crossing.
    """

    def __init__(
        self,
        one: Indicator[Any] | Line,
        other: Indicator[Any] | Line | float,
        noise: float = 0.0,
    ) -> None:
        self.one, self.other, self.noise = one, other, noise
        self.side = 0

    def step(self, bar: Bar) -> bool:
        """Take one closed bar, with which the lines have been updated; tell whether it holds."""
        other = self.other
        gap = self.one[0] - (other if isinstance(other, float) else other[0])
        if abs(gap) <= self.noise * bar.close:
            return False
        before, self.side = self.side, 1 if gap > 0 else -1
        return before not in {0, self.side}

    def batch(self, one: Floats, other: Floats | float, close: Floats) -> NDArray[np.int8]:
        """Return ``side`` at each bar, as stepping on from the present one would; shape (bars,)."""
        gap = one - other
        touching = np.abs(gap) <= self.noise * close
        newest = np.where(touching, -1, np.arange(len(gap)))
        newest = np.maximum.accumulate(newest) if len(gap) else newest
        sides = np.where(gap > 0, 1, -1).astype(np.int8)
        found: NDArray[np.int8] = np.where(newest >= 0, sides[newest], self.side).astype(np.int8)
        return found
