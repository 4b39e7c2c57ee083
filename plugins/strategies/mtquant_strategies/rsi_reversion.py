"""Lean against excess: buy what fell too fast, sell what rose too fast, leave at the middle."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from mtquant import Settings, Strategy
from mtquant.model import Bar, Signal
from mtquant_strategies.stops import Multiple, distance

Level = Annotated[float, Field(gt=0, lt=100)]


class RsiReversionSettings(Settings):
    """``period`` in bars, levels of the RSI (0 to 100), the stop as a multiple of atr(14)."""

    period: Annotated[int, Field(ge=2, le=5000)] = 14
    oversold: Level = 30.0
    overbought: Level = 70.0
    exit: Level = 50.0
    stop_atr: Multiple = 2.0

    @model_validator(mode="after")
    def _in_order(self) -> RsiReversionSettings:
        levels = f"oversold {self.oversold:g}, exit {self.exit:g}, overbought {self.overbought:g}"
        if not self.oversold < self.exit < self.overbought:
            raise ValueError(f"these must rise from one to the next: {levels}")
        return self


class RsiReversion(Strategy[RsiReversionSettings]):
    """Long when the RSI crosses below oversold, short when above overbought, flat at exit."""

    name = "rsi_reversion"

    def on_start(self) -> None:
        """Take the RSI and the range that sizes the stop."""
        self.rsi = self.indicator("rsi", period=self.settings.period)
        self.atr = self.indicator("atr", period=14)
        self.side = 0

    def on_bar(self, bar: Bar) -> Signal | None:
        """Signal where the RSI crosses a level and what to hold changes by it."""
        now, before, levels, held = self.rsi[0], self.rsi[1], self.settings, self.side
        text = f"RSI({levels.period}) {now:.2f} crossed"
        stop = distance(self.atr, levels.stop_atr, bar)
        if before >= levels.oversold > now and held <= 0:
            self.side = 1
            return self.long(f"{text} below oversold {levels.oversold:g}", stop_distance=stop)
        if before <= levels.overbought < now and held >= 0:
            self.side = -1
            return self.short(f"{text} above overbought {levels.overbought:g}", stop_distance=stop)
        if (held > 0 and now >= levels.exit) or (held < 0 and now <= levels.exit):
            self.side = 0
            return self.flat(f"{text} back over the exit level {levels.exit:g}")
        return None
