"""Two averages, and the side of the slow one that the fast one is on.

A market that stands still has averages that differ by rounding only; nearer than that they count
as touching, which is no signal, nor is the first side seen.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from mtquant import Strategy
from mtquant.model import Bar, Signal
from mtquant_strategies.stops import Length, Protected

NOISE = 1e-9
"""Averages nearer than this, as a share of the price, differ by rounding."""


class CrossSettings(Protected):
    """``fast`` and ``slow``: lengths of the two averages in bars; the fast one is shorter."""

    fast: Length = 10
    slow: Length = 30
    stop_atr: float = Field(2.0, gt=0, le=100)

    @model_validator(mode="after")
    def _fast_is_faster(self) -> CrossSettings:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be less than slow ({self.slow})")
        return self


class _Cross(Strategy[CrossSettings]):
    """Follow the trend: hold the side of the slow average that the fast one is on."""

    average: ClassVar[str]

    def on_start(self) -> None:
        """Take both averages and the range that sizes the stop."""
        self.fast = self.indicator(self.average, period=self.settings.fast)
        self.slow = self.indicator(self.average, period=self.settings.slow)
        self.atr = self.indicator("atr", period=14)
        self.cross = self.crossing(self.fast, self.slow, noise=NOISE)

    def on_bar(self, bar: Bar) -> Signal | None:
        """Signal a change of sides."""
        fast, slow, side = self.fast[0], self.slow[0], self.cross.side
        wanted, word = self.settings, "above" if side > 0 else "below"
        kind = self.average.upper()
        reason = f"{kind}({wanted.fast}) {fast:.7g} crossed {word} {kind}({wanted.slow}) {slow:.7g}"
        if side < 0 and wanted.direction == "long_only":
            return self.flat(reason)
        hold = self.long if side > 0 else self.short
        return hold(reason, **wanted.protection(self.atr, bar))


class SmaCross(_Cross):
    """Long when the fast simple average crosses above the slow one, short or flat when below."""

    name = "sma_cross"
    average = "sma"


class EmaCross(_Cross):
    """Long when the fast exponential average crosses above the slow one, else short or flat."""

    name = "ema_cross"
    average = "ema"
