"""Moving average convergence divergence: follow the histogram's sign."""

from __future__ import annotations

from pydantic import model_validator

from mtquant import Strategy
from mtquant.model import Bar, Signal
from mtquant_strategies.stops import Length, Protected

NOISE = 1e-9
"""A histogram smaller than this, as a share of the price, is rounding."""


class MacdSettings(Protected):
    """``fast``, ``slow`` and ``signal``: spans of the averages in bars."""

    fast: Length = 12
    slow: Length = 26
    signal: Length = 9

    @model_validator(mode="after")
    def _fast_is_faster(self) -> MacdSettings:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be less than slow ({self.slow})")
        return self


class Macd(Strategy[MacdSettings]):
    """Long when MACD crosses above its signal line, short or flat when below (Appel, 1979)."""

    name = "macd"

    def on_start(self) -> None:
        """Take MACD and the range that sizes the stop."""
        wanted = self.settings
        self.macd = self.indicator("macd", fast=wanted.fast, slow=wanted.slow, signal=wanted.signal)
        self.atr = self.indicator("atr", period=14)
        self.cross = self.crossing(self.macd.histogram, 0.0, noise=NOISE)

    def on_bar(self, bar: Bar) -> Signal | None:
        """Signal a change of the histogram's sign."""
        side = self.cross.side
        word = "above" if side > 0 else "below"
        reason = f"MACD {self.macd[0]:.5g} crossed {word} its signal {self.macd.signal[0]:.5g}"
        if side < 0 and self.settings.direction == "long_only":
            return self.flat(reason)
        hold = self.long if side > 0 else self.short
        return hold(reason, **self.settings.protection(self.atr, bar))
