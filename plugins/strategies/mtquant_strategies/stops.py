"""Distances of protective orders, as multiples of the average true range."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from mtquant import Indicator, Settings
from mtquant.model import Bar

STILL = 1e-6

Multiple = Annotated[float, Field(gt=0, le=100)]
"""How many average true ranges."""
Length = Annotated[int, Field(ge=2, le=5000)]
"""A length in bars."""


class Protected(Settings):
    """Base of settings of a strategy with a stop.

    ``direction``: whether it sells short. ``stop_atr`` and ``take_profit_atr``: how many average
    true ranges of 14 bars the protective stop and the target stand off the entry.
    """

    direction: Literal["long_short", "long_only"] = "long_short"
    stop_atr: Multiple = 2.0
    take_profit_atr: Multiple | None = None

    def protection(self, atr: Indicator[Any], bar: Bar) -> dict[str, Any]:
        """Return the two distances, as a signal takes them."""
        return {
            "stop_distance": distance(atr, self.stop_atr, bar),
            "take_profit_distance": distance(atr, self.take_profit_atr, bar),
        }


def distance(atr: Indicator[Any], multiple: float | None, bar: Bar) -> Decimal | None:
    """Return ``multiple`` times ``atr``'s newest value, in the quote currency.

    Rounded to five significant digits, half to even: a strategy doesn't know its broker's price
    step, which whoever makes the order rounds to, and a range isn't known better than that.

    None where there is no multiple, and where the range is less than a millionth of the price,
    below any price step: the market stands still, and a stop at the entry itself is no stop, yet
    would make a sizer buy the world.
    """
    if multiple is None or atr[0] < STILL * bar.close:
        return None
    return Decimal(f"{multiple * atr[0]:.5g}")
