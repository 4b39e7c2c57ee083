"""Two instruments that move together: sell the dear one and buy the cheap one.

Source: Gatev, Goetzmann and Rouwenhorst, Pairs Trading (2006): open at two standard deviations of
the spread, close when it has come back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from mtquant import Settings, Strategy
from mtquant.model import Bar, Signal
from mtquant_strategies.stops import Length, Multiple, distance


class PairsSettings(Settings):
    """``period``: bars over which the spread is measured; ``entry`` and ``exit`` in deviations.

    ``stop_atr``: how many average true ranges of 14 bars each leg's stop stands off.
    """

    period: Length = 60
    entry: Annotated[float, Field(gt=0, le=10)] = 2.0
    exit: Annotated[float, Field(ge=0, le=10)] = 0.5
    stop_atr: Multiple = 4.0

    @model_validator(mode="after")
    def _exit_is_inside(self) -> PairsSettings:
        if self.exit >= self.entry:
            raise ValueError(f"exit ({self.exit:g}) must be less than entry ({self.entry:g})")
        return self


class Pairs(Strategy[PairsSettings]):
    """Trade the ratio of two instruments back to its mean: two symbols, one object.

    The spread is log(first) - log(second); its score is its distance from the mean of ``period``
    bars in standard deviations. Both legs are opened and closed together.
    """

    name = "pairs"
    together: ClassVar[bool] = True

    def on_start(self) -> None:
        """Take each leg's range; a pair is two."""
        if len(self.instruments) != 2:  # noqa: PLR2004 - a pair
            raise ValueError(f"pairs trades two symbols, not {len(self.instruments)}")
        self.ranges = [self.indicator("atr", instrument=each) for each in self.instruments]
        self.spreads: deque[float] = deque(maxlen=self.settings.period)
        self.side = 0

    def on_bar(self, bar: Bar) -> list[Signal] | None:  # noqa: ARG002 - both legs' are looked at
        """Signal where the spread is far off its mean, or back."""
        if not self.aligned:
            return None
        first, second = (self.latest(each) for each in self.instruments)
        self.spreads.append(math.log(first.close) - math.log(second.close))
        spread = pstdev(self.spreads) if len(self.spreads) == self.settings.period else 0.0
        if spread <= 1e-9:  # noqa: PLR2004 - nothing moves but rounding
            return None
        score = (self.spreads[-1] - fmean(self.spreads)) / spread
        text = f"the spread is {score:+.2f} deviations off its mean"
        if not self.side and abs(score) >= self.settings.entry:
            stops = [
                distance(atr, self.settings.stop_atr, leg)
                for atr, leg in zip(self.ranges, (first, second), strict=True)
            ]
            if None in stops:
                return None
            self.side = -1 if score > 0 else 1
            return self._legs(text, stops)
        if self.side and -self.side * score <= self.settings.exit:
            self.side = 0
            return [self.flat(text, instrument=each) for each in self.instruments]
        return None

    def _legs(self, text: str, stops: Sequence[object]) -> list[Signal]:
        """Return both legs: the first on our side of the spread, the second against it."""
        ways = (self.long, self.short) if self.side > 0 else (self.short, self.long)
        return [
            way(text, instrument=name, stop_distance=stop)
            for way, name, stop in zip(ways, self.instruments, stops, strict=True)
        ]
