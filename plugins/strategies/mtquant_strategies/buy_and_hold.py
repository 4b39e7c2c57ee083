"""Buy once and hold: what every other strategy is to be measured against."""

from __future__ import annotations

from mtquant import Settings, Strategy
from mtquant.model import Bar, Signal
from mtquant_strategies.stops import Multiple, distance


class BuyAndHoldSettings(Settings):
    """``stop_atr``: how many average true ranges the protective stop stands off; none is none.

    Without a stop the sizer must not need one (``fixed_quantity``).
    """

    stop_atr: Multiple | None = 10.0


class BuyAndHold(Strategy[BuyAndHoldSettings]):
    """Long from the first bar on, once."""

    name = "buy_and_hold"

    def on_start(self) -> None:
        """Take the range that sizes the stop."""
        self.atr = self.indicator("atr", period=14)
        self.state = {"bought": False}

    def on_bar(self, bar: Bar) -> Signal | None:
        """Signal long, the first time that trading is on."""
        stop = distance(self.atr, self.settings.stop_atr, bar)
        if self.state["bought"] or (stop is None and self.settings.stop_atr is not None):
            return None
        self.state["bought"] = True
        return self.long("buy and hold", stop_distance=stop)
