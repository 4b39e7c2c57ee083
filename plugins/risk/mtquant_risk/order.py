"""Checks of one order by itself: the age of its price, its prices, its size."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from mtquant.clock import SECOND
from mtquant.contract import Check, Finding, Proposal, RiskState, Settings, Worst
from mtquant.model import AssetClass, Number, Positive, Quote, Side, plain
from mtquant.risk import figure


class StalePriceSettings(Settings):
    """``max_age_s``: how old a price may be, in seconds. A replay of daily prices needs days."""

    max_age_s: Positive = Decimal(5)


class StalePrice(Check[StalePriceSettings]):
    """Vetoes on a price that is missing, zero, crossed, too old, or as far in the future."""

    name = "stale_price"

    def passes(self, worst: Worst) -> bool:  # noqa: ARG002 - the port's
        """Agree: the price is of the moment."""
        return True

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Look at the quote's time and sides."""
        quote = state.quote
        if quote is None or quote.bid <= 0 or quote.ask < quote.bid:
            shown = "none" if quote is None else f"{plain(quote.bid)} / {plain(quote.ask)}"
            return self.veto(
                "no_price",
                f"{proposal.signal.instrument} has no valid bid and ask: {shown}",
                observed=shown,
            )
        age = Decimal(state.time - quote.known_at) / SECOND
        limit = self.settings.max_age_s
        # A price from the future means that two clocks disagree, so its age isn't known.
        if abs(age) > limit:
            return self.veto(
                "stale_price",
                f"the price of {proposal.signal.instrument} is {figure(age)} s old; "
                f"{figure(limit)} s is allowed",
                limit=plain(limit),
                observed=plain(age),
            )
        return self.approve(proposal)


Fraction = Annotated[Number, Field(gt=0, lt=1)]
_BY_CLASS = {
    AssetClass.METAL: Decimal("0.02"),
    AssetClass.INDEX: Decimal("0.02"),
    AssetClass.COMMODITY: Decimal("0.03"),
    AssetClass.EQUITY: Decimal("0.05"),
    AssetClass.CRYPTO: Decimal("0.05"),
}


class PriceCollarSettings(Settings):
    """How far from the quote's middle an order may fill: the larger of the two.

    ``fraction`` of the price, or ``spreads`` times the spread (order-safety, control 3).
    ``by_class``: other fractions, by asset class.
    """

    fraction: Fraction = Decimal("0.01")
    spreads: Positive = Decimal(10)
    by_class: dict[AssetClass, Fraction] = Field(default_factory=lambda: dict(_BY_CLASS))


class PriceCollar(Check[PriceCollarSettings]):
    """Vetoes on a price too far from the market, and on a protective price it is already past.

    An order that waits for the market to come to its price is as far from it as it likes.
    """

    name = "price_collar"

    def passes(self, worst: Worst) -> bool:
        """Tell whether half the widest spread is within the collar."""
        wanted = self.settings
        fraction = wanted.by_class.get(worst.instrument.asset_class, wanted.fraction)
        return wanted.spreads * 2 >= 1 or worst.spread <= 2 * fraction

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Compare the order's prices with the quote."""
        quote = state.quote
        if quote is None:
            return self.veto("no_price", f"{proposal.signal.instrument} has no price")
        wanted = self.settings
        fraction = wanted.by_class.get(state.instrument.asset_class, wanted.fraction)
        limit = max(fraction * quote.mid, wanted.spreads * quote.spread)
        distance = abs(proposal.reference_price - quote.mid)
        if distance > limit and not proposal.rests:
            return self.veto(
                "price_collar",
                f"a fill at {plain(proposal.reference_price)} would be {figure(distance)} from "
                f"the middle of the market, {plain(quote.mid)}; {figure(limit)} is allowed",
                limit=plain(limit),
                observed=plain(distance),
            )
        return self._protection(proposal, quote)

    def _protection(self, proposal: Proposal, quote: Quote) -> Finding:
        """A position is closed at the other side of the quote, so that is what triggers both.

        For an order that rests that is at its own price, when the market is there.
        """
        sign = proposal.side.sign
        closing = quote.bid if proposal.side is Side.BUY else quote.ask
        if proposal.rests:
            closing = proposal.reference_price
        for title, price, direction in (
            ("stop loss", proposal.stop_loss, -sign),
            ("take profit", proposal.take_profit, sign),
        ):
            if price is not None and (price - closing) * direction <= 0:
                return self.veto(
                    "wrong_side",
                    f"the {title} at {plain(price)} of a {proposal.side} is on the wrong side of "
                    f"the market at {plain(closing)}",
                    limit=plain(closing),
                    observed=plain(price),
                )
        return self.approve(proposal)


class OrderSizeSettings(Settings):
    """``max_quantity``: the most that one order may be, in base units (10 standard lots)."""

    max_quantity: Positive = Decimal(1_000_000)


class OrderSize(Check[OrderSizeSettings]):
    """Vetoes an order that is too large.

    It never trims one: an order above what its owner thought possible is a mistake, and a
    smaller mistake isn't what anybody wanted.
    """

    name = "order_size"

    def passes(self, worst: Worst) -> bool:
        """Compare the largest order with the limit."""
        return worst.quantity <= self.settings.max_quantity

    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002 - the port's
        """Compare the order's quantity with the limit."""
        limit = self.settings.max_quantity
        if proposal.quantity > limit:
            return self.veto(
                "order_size",
                f"an order of {figure(proposal.quantity)} base units of "
                f"{proposal.signal.instrument} is above the limit of {figure(limit)}",
                limit=plain(limit),
                observed=plain(proposal.quantity),
            )
        return self.approve(proposal)
