"""Bollinger bands: go with a close beyond a band, out again at the middle."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mtquant import Strategy
from mtquant.model import Bar, Signal
from mtquant_strategies.stops import STILL, Length, Protected


class BollingerBreakoutSettings(Protected):
    """``period``: bars of the average; ``deviations``: how far off it the bands stand."""

    period: Length = 20
    deviations: Annotated[float, Field(gt=0, le=10)] = 2.0


class BollingerBreakout(Strategy[BollingerBreakoutSettings]):
    """Long on a close above the upper band, short below the lower one, flat at the middle.

    Bands that are nearer to each other than a millionth of the price are no bands.
    """

    name = "bollinger_breakout"

    def on_start(self) -> None:
        """Take the bands and the range that sizes the stop."""
        wanted = self.settings
        self.bands = self.indicator("bollinger", period=wanted.period, deviations=wanted.deviations)
        self.atr = self.indicator("atr", period=14)
        self.side = 0

    def on_bar(self, bar: Bar) -> Signal | None:
        """Signal a close beyond a band, or back at the middle."""
        upper, middle, lower = (self.bands.line(each)[0] for each in self.bands.lines)
        if upper - lower <= STILL * bar.close:
            return None
        close, before = bar.close, self.side
        if close > upper and before <= 0:
            self.side = 1
            reason = f"close {close:.7g} above the upper band {upper:.7g}"
            return self.long(reason, **self.settings.protection(self.atr, bar))
        short = self.settings.direction == "long_short"
        if close < lower and before >= 0 and (short or before > 0):
            self.side = -1 if short else 0
            reason = f"close {close:.7g} below the lower band {lower:.7g}"
            hold = self.settings.protection(self.atr, bar)
            return self.short(reason, **hold) if short else self.flat(reason)
        if before * (close - middle) < 0:
            self.side = 0
            return self.flat(f"close {close:.7g} back beyond the middle {middle:.7g}")
        return None
