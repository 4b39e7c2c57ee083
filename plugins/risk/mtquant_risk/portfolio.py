"""Checks of how much an account's positions move together."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from mtquant.contract import Check, Finding, Proposal, RiskState, Settings, Worst
from mtquant.model import Number, Positive, plain
from mtquant.risk import figure
from mtquant_risk.account import money, notional_of_one

_MARGIN = 1e-9
"""More than floats are off by."""


class PortfolioRiskSettings(Settings):
    """Limits on how much all positions together may move.

    ``max_volatility``: one standard deviation a year of all that would be held, as a multiple of
    equity (1 is 100 % a year, about 6 % a day). ``max_cluster``: the notional value that moves the
    same way, as a multiple of equity; ``correlation``: from where on two positions count as
    moving the same way. ``required``: veto, too, while bars are too few to tell.
    """

    max_volatility: Positive = Decimal(1)
    max_cluster: Positive = Decimal(15)
    correlation: Annotated[Number, Field(gt=0, le=1)] = Decimal("0.7")
    required: bool = False


class PortfolioRisk(Check[PortfolioRiskSettings]):
    """Vetoes an order after which all positions would move too much together.

    Volatilities and correlations are those of the last bars, exponentially weighted (Markowitz
    1952; RiskMetrics Technical Document, 1996). They say how markets moved, not how they will: in
    a crisis everything moves together. An order that makes the portfolio calmer always passes.
    """

    name = "portfolio_risk"

    def passes(self, worst: Worst) -> bool:
        """Compare the largest order at the highest volatility with both limits."""
        wanted, value = self.settings, float(worst.notional) * (1 + _MARGIN)
        most, cluster = wanted.max_volatility * worst.equity, wanted.max_cluster * worst.equity
        return (
            not wanted.required
            and value * worst.volatility <= float(most)
            and worst.notional <= cluster
        )

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Compare the portfolio's volatility and the order's cluster with their limits."""
        portfolio, symbol = state.portfolio, proposal.signal.instrument
        value = notional_of_one(proposal, state) * proposal.quantity
        change = float(value) * proposal.side.sign
        before = after = cluster = None
        if portfolio is not None:
            before, after = portfolio.deviation(), portfolio.deviation(symbol, change)
            least = float(self.settings.correlation)
            cluster = portfolio.cluster(symbol, proposal.side, least)
        if before is None or after is None or cluster is None:
            return self._unknown(proposal)
        if after <= before:
            return self.approve(proposal)
        return (
            self._volatility(state, Decimal(after))
            or self._cluster(proposal, state, Decimal(cluster) + value)
            or self.approve(proposal)
        )

    def _unknown(self, proposal: Proposal) -> Finding:
        if not self.settings.required:
            return self.approve(proposal)
        message = (
            f"there are too few bars of {proposal.signal.instrument}, or of what is held, to know "
            "how they move: wait, or set risk.checks.portfolio_risk.required = false"
        )
        return self.veto("volatility_unknown", message)

    def _volatility(self, state: RiskState, after: Decimal) -> Finding | None:
        account = state.account
        most = self.settings.max_volatility * account.equity
        if after <= most:
            return None
        message = (
            f"one standard deviation a year of all positions would be "
            f"{money(after, account.currency)}; {figure(self.settings.max_volatility)} times the "
            f"equity, {money(most, account.currency)}, is allowed"
        )
        return self.veto(
            "portfolio_volatility", message, limit=plain(most), observed=plain(round(after, 2))
        )

    def _cluster(self, proposal: Proposal, state: RiskState, after: Decimal) -> Finding | None:
        account = state.account
        most = self.settings.max_cluster * account.equity
        if after <= most:
            return None
        message = (
            f"what moves with a {proposal.side} of {proposal.signal.instrument} (correlation of "
            f"{figure(self.settings.correlation)} or more) would be worth "
            f"{money(after, account.currency)}; {figure(self.settings.max_cluster)} times the "
            f"equity, {money(most, account.currency)}, is allowed"
        )
        return self.veto(
            "correlated_exposure", message, limit=plain(most), observed=plain(round(after, 2))
        )
