"""Sizers: how much to trade."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from mtquant.contract import RiskState, Settings, Sizer
from mtquant.errors import Vetoed
from mtquant.model import Number, Positive, Signal


class FixedFractionSettings(Settings):
    """``fraction``: the part of equity that is lost if the stop is hit (0.01 is 1 %)."""

    fraction: Annotated[Number, Field(gt=0, le=1)] = Decimal("0.01")


class FixedFraction(Sizer[FixedFractionSettings]):
    """Risks the same fraction of equity on every trade (fixed fractional sizing, Vince 1990).

    quantity = fraction x equity / (stop distance x rate of the quote currency). Slippage past
    the stop, and the rate moving until then, come on top.
    """

    name = "fixed_fraction"

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:  # noqa: ARG002 - the port's
        """Return the quantity whose loss at the stop is the fraction of equity."""
        if signal.stop_distance is None:
            raise Vetoed(
                "no_stop",
                f"{self.name} sizes by the distance of the stop, and {signal.strategy_id} gave "
                "none: set a stop in the strategy, or use the sizer fixed_quantity",
            )
        if state.quote_rate is None:
            message = f"no rate from {state.instrument.quote} to {state.account.currency}"
            raise Vetoed("no_rate", message)
        risk = self.settings.fraction * max(state.account.equity, Decimal(0))
        return risk / (signal.stop_distance * state.quote_rate)


class FixedQuantitySettings(Settings):
    """``quantity``: base units of every order (a tenth of a standard lot)."""

    quantity: Positive = Decimal(10_000)


class FixedQuantity(Sizer[FixedQuantitySettings]):
    """The same quantity every time, whatever is at risk."""

    name = "fixed_quantity"

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:  # noqa: ARG002 - the port's
        """Return the configured quantity."""
        return self.settings.quantity
