"""Follow the trend: hold the side of the slow average that the fast one is on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mtquant import Settings, Strategy
from mtquant.model import Bar, Signal
from mtquant_strategies.stops import Multiple, distance

NOISE = 1e-9
"""Averages nearer than this, as a share of the price, differ by rounding: in a market that stands
still they would cross without end."""


class SmaCrossSettings(Settings):
    """``fast`` and ``slow`` in bars; stop and target as multiples of atr(14)."""

    fast: Annotated[int, Field(ge=2, le=5000)] = 10
    slow: Annotated[int, Field(ge=2, le=5000)] = 30
    direction: Literal["long_short", "long_only"] = "long_short"
    stop_atr: Multiple = 2.0
    take_profit_atr: Multiple | None = None

    @model_validator(mode="after")
    def _fast_is_faster(self) -> SmaCrossSettings:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be less than slow ({self.slow})")
        return self


class SmaCross(Strategy[SmaCrossSettings]):
    """Long when the fast average crosses above the slow one, short or flat when below."""

    name = "sma_cross"

    def on_start(self) -> None:
        """Take both averages and the range that sizes the stop."""
        self.fast = self.indicator("sma", period=self.settings.fast)
        self.slow = self.indicator("sma", period=self.settings.slow)
        self.atr = self.indicator("atr", period=14)
        self.side = 0

    def on_bar(self, bar: Bar) -> Signal | None:
        """Signal a change of sides; a mere touch is none, nor is the first side seen."""
        fast, slow, before = self.fast[0], self.slow[0], self.side
        if abs(fast - slow) <= NOISE * bar.close:
            return None
        self.side = 1 if fast > slow else -1
        if before in (0, self.side):
            return None
        wanted, word = self.settings, "above" if self.side > 0 else "below"
        reason = f"SMA({wanted.fast}) {fast:.7g} crossed {word} SMA({wanted.slow}) {slow:.7g}"
        if self.side < 0 and wanted.direction == "long_only":
            return self.flat(reason)
        stop = distance(self.atr, wanted.stop_atr, bar)
        target = distance(self.atr, wanted.take_profit_atr, bar)
        hold = self.long if self.side > 0 else self.short
        return hold(reason, stop_distance=stop, take_profit_distance=target)
