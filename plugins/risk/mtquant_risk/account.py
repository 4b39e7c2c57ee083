"""Checks of what the account would hold after the order.

Orders that are live or in doubt count as if they had filled, in the direction that is worse for
the limit (RTS 6, article 15(2)): one whose fate isn't known makes no room.
"""

from __future__ import annotations

from decimal import Decimal

from mtquant.contract import Check, Finding, Proposal, RiskState, Settings, Worst
from mtquant.errors import Vetoed
from mtquant.model import Positive, plain
from mtquant.risk import figure

ZERO = Decimal(0)


class PositionLimitSettings(Settings):
    """``max_quantity``: the largest position in one instrument, in base units (20 lots)."""

    max_quantity: Positive = Decimal(2_000_000)


class PositionLimit(Check[PositionLimitSettings]):
    """Reduces an order to what still fits under the largest position; vetoes if nothing does.

    A position the other way makes room, but for what is being closed of it, and not for an order
    that rests: what is held now may be gone when that fills.
    """

    name = "position_limit"

    def passes(self, worst: Worst) -> bool:
        """Compare the largest order, beside which nothing is held, with the limit."""
        return worst.quantity <= self.settings.max_quantity

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Compare the position after the fill with the limit."""
        sign, limit = proposal.side.sign, self.settings.max_quantity
        held = ZERO
        for each in state.here:
            if proposal.rests:
                held += max(sign * each.quantity, ZERO)
                held += each.buying if sign > 0 else each.selling
            else:
                held += each.highest if sign > 0 else -each.lowest
        room = limit - held
        if proposal.quantity <= room:
            return self.approve(proposal)
        message = (
            f"{proposal.side} {figure(proposal.quantity)} base units of "
            f"{proposal.signal.instrument} on top of {figure(held)} held or working that way would "
            f"exceed the largest position of {figure(limit)}"
        )
        if room <= 0:
            return self.veto("position_limit", message, limit=plain(limit), observed=plain(held))
        return self.reduce(
            "position_limit", room, message, limit=plain(limit), observed=plain(held)
        )


class NotionalSettings(Settings):
    """Limits on notional value as multiples of equity: of one order, and of all together."""

    max_order: Positive = Decimal(10)
    max_gross: Positive = Decimal(20)


class Notional(Check[NotionalSettings]):
    """Vetoes an order worth too much; reduces one that, with all held and working, would be.

    Longs and shorts add up: a hedge of one currency by another is no smaller bet on the broker.
    """

    name = "notional"

    def passes(self, worst: Worst) -> bool:
        """Compare the largest order with both limits on the least equity."""
        most = min(self.settings.max_order, self.settings.max_gross) * worst.equity
        return worst.equity > 0 and worst.notional <= most

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Value the order and the account's exposure in the account's currency."""
        currency, equity = state.account.currency, state.account.equity
        if equity <= 0:
            message = f"the equity is {figure(equity)} {currency}"
            return self.veto("no_equity", message, observed=plain(equity))
        unit = notional_of_one(proposal, state)
        value, most = unit * proposal.quantity, self.settings.max_order * equity
        if value > most:
            return self.veto(
                "order_notional",
                f"an order worth {money(value, currency)} is above "
                f"{figure(self.settings.max_order)} times the equity, {money(most, currency)}",
                limit=plain(most),
                observed=plain(value),
            )
        return self._fit(proposal, unit, state.totals.gross, state)

    def _fit(self, proposal: Proposal, unit: Decimal, gross: Decimal, state: RiskState) -> Finding:
        currency = state.account.currency
        most = self.settings.max_gross * state.account.equity
        if not gross.is_finite():
            message = "a position or working order of the account can't be valued now"
            return self.veto("unvalued_exposure", message, limit=plain(most))
        value = unit * proposal.quantity
        if gross + value <= most:
            return self.approve(proposal)
        message = (
            f"{money(value, currency)} on top of {money(gross, currency)} held and working would "
            f"exceed {figure(self.settings.max_gross)} times the equity, {money(most, currency)}"
        )
        if gross >= most:
            return self.veto("gross_notional", message, limit=plain(most), observed=plain(gross))
        room = (most - gross) / unit
        return self.reduce(
            "gross_notional", room, message, limit=plain(most), observed=plain(gross)
        )


class MarginSettings(Settings):
    """``min_level``: the least margin level after the order, equity over margin (2 is 200 %)."""

    min_level: Positive = Decimal(2)


class Margin(Check[MarginSettings]):
    """Vetoes an order after which equity would cover the margin too few times.

    A broker counts no margin for what it hasn't filled, so working orders are added, each at its
    own margin rate. What it says is used may be of before the last fills: our own reckoning of
    what is held counts where that is more.
    """

    name = "margin"

    def passes(self, worst: Worst) -> bool:
        """Compare the least equity with the margin of the largest order and of what was held."""
        order = worst.notional * worst.instrument.margin_rate
        return worst.equity >= self.settings.min_level * (worst.margin_used + order)

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Compare the margin level after the order with the least allowed."""
        account, rate = state.account, state.instrument.margin_rate
        order = notional_of_one(proposal, state) * proposal.quantity * rate
        totals, least = state.totals, self.settings.min_level
        parts = (account.margin_used, totals.held_margin, totals.working_margin, order)
        if not all(each.is_finite() for each in parts):
            message = "the margin of a position or order of the account isn't known now"
            return self.veto("unvalued_exposure", message)
        used = max(account.margin_used, totals.held_margin) + totals.working_margin + order
        if account.equity < least * used:
            level = account.equity / used * 100
            return self.veto(
                "margin",
                f"the margin level after the order would be {level:.1f} %: equity "
                f"{money(account.equity, account.currency)} over margin "
                f"{money(used, account.currency)}; {figure(least * 100)} % is the least allowed",
                limit=plain(least),
                observed=plain(level / 100),
            )
        return self.approve(proposal)


def notional_of_one(proposal: Proposal, state: RiskState) -> Decimal:
    """Return what one base unit of the order counts for, in the account's currency.

    It counts at its own price or at the middle of the market, whichever is more: at the latter
    it will count among the working orders, and a stop that the market has passed fills there.
    """
    if state.quote_rate is None:
        message = f"no rate from {state.instrument.quote} to {state.account.currency}"
        raise Vetoed("no_rate", message)
    price = proposal.reference_price
    if state.quote is not None:
        price = max(price, state.quote.mid)
    return price * state.quote_rate


def money(amount: Decimal, currency: str) -> str:
    """Return an amount of money for a sentence."""
    return f"{amount:,.2f} {currency}"
