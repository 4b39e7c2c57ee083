"""A check of what one strategy, person or agent may do, whatever the account could bear."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from mtquant.clock import SECOND
from mtquant.contract import Check, Finding, Proposal, RiskState, Settings, Worst
from mtquant.model import Number, Positive, plain
from mtquant.risk import figure
from mtquant_risk.account import ZERO, money, notional_of_one
from mtquant_risk.limits import sent_since

_DAY_S = 86_400
Share = Annotated[Number, Field(gt=0, le=1)]


class Budget(Settings):
    """What one of them may do; what isn't set isn't limited here.

    ``symbols``: the only ones it may open. ``max_quantity``: the most of one order, in base units.
    ``max_order`` and ``max_gross``: the notional value of one order, and of all that its orders
    have opened and may open, as multiples of equity. ``per_minute`` and ``per_day``: how many
    orders it may send to one account. ``max_loss``: how much the trades that it closed in the last
    day may have lost after costs, as a part of equity.
    """

    symbols: tuple[str, ...] = ()
    max_quantity: Positive | None = None
    max_order: Positive | None = None
    max_gross: Positive | None = None
    per_minute: Annotated[int, Field(ge=0, le=100_000)] | None = None
    per_day: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    max_loss: Share | None = None


class BudgetsSettings(Settings):
    """``of``: budgets by the name of a strategy, person or agent; ``others``: everybody else's."""

    of: dict[str, Budget] = Field(default_factory=dict)
    others: Budget = Budget()


class Budgets(Check[BudgetsSettings]):
    """Vetoes an order that is more than its own source may do.

    A position belongs to whoever opened it: positions are netted by symbol.
    """

    name = "budgets"

    def passes(self, worst: Worst) -> bool:
        """Agree where the source's budget is without limits."""
        return self.settings.of.get(worst.strategy_id, self.settings.others) == _UNLIMITED

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Compare the order with the budget of who wants it."""
        name = proposal.signal.strategy_id
        budget = self.settings.of.get(name, self.settings.others)
        if budget == _UNLIMITED:
            return self.approve(proposal)
        return (
            self._order(proposal, state, budget, name)
            or self._gross(proposal, state, budget, name)
            or self._pace(proposal, state, budget, name)
            or self._loss(state, budget, name)
            or self.approve(proposal)
        )

    def _order(
        self, proposal: Proposal, state: RiskState, budget: Budget, name: str
    ) -> Finding | None:
        symbol, quantity = proposal.signal.instrument, proposal.quantity
        if budget.symbols and symbol not in budget.symbols:
            allowed = ", ".join(budget.symbols)
            message = f"{name} may open {allowed}, not {symbol}"
            return self.veto("budget_symbol", message, limit=allowed, observed=symbol)
        if budget.max_quantity is not None and quantity > budget.max_quantity:
            message = (
                f"{name} may order {figure(budget.max_quantity)} at once, not "
                f"{figure(quantity)} {symbol}"
            )
            return self.veto(
                "budget_quantity", message, limit=plain(budget.max_quantity), observed=quantity
            )
        if budget.max_order is None:
            return None
        value = notional_of_one(proposal, state) * quantity
        return self._over("budget_order", "in one order", value, budget.max_order, state, name)

    def _gross(
        self, proposal: Proposal, state: RiskState, budget: Budget, name: str
    ) -> Finding | None:
        if budget.max_gross is None:
            return None
        value = notional_of_one(proposal, state) * proposal.quantity
        for each in state.exposures:
            if state.opened_by.get(each.instrument) == name and each.size:
                value += each.size * each.notional_rate
        if not value.is_finite():
            message = f"what {name} has opened can't be valued now"
            return self.veto("unvalued_exposure", message)
        return self._over("budget_gross", "in all", value, budget.max_gross, state, name)

    def _over(
        self, code: str, what: str, value: Decimal, most: Decimal, state: RiskState, name: str
    ) -> Finding | None:
        account = state.account
        limit = most * account.equity
        if value <= limit:
            return None
        message = (
            f"{name} may hold {money(limit, account.currency)} {what}, {figure(most)} times the "
            f"equity, not {money(value, account.currency)}"
        )
        return self.veto(code, message, limit=plain(limit), observed=plain(value))

    def _pace(
        self, proposal: Proposal, state: RiskState, budget: Budget, name: str
    ) -> Finding | None:
        windows = (("minute", 60, budget.per_minute), ("day", _DAY_S, budget.per_day))
        for title, seconds, most in windows:
            if most is None:
                continue
            since = state.time - seconds * SECOND
            found = sum(each.strategy_id == name for each in sent_since(state, since))
            if found >= most:
                message = (
                    f"{name} sent {found} orders to {proposal.account} in the last {title}; {most} "
                    "is the most allowed"
                )
                return self.veto(f"budget_{title}", message, limit=most, observed=found)
        return None

    def _loss(self, state: RiskState, budget: Budget, name: str) -> Finding | None:
        if budget.max_loss is None:
            return None
        account, since = state.account, state.time - _DAY_S * SECOND
        lost = -sum(
            (
                each.profit
                for each in state.closed
                if each.strategy_id == name and each.time > since
            ),
            ZERO,
        )
        most = budget.max_loss * account.equity
        if lost < most:
            return None
        message = (
            f"{name} lost {money(lost, account.currency)} in the last day; "
            f"{figure(budget.max_loss * 100)} % of equity, {money(most, account.currency)}, is the "
            "most"
        )
        return self.veto("budget_loss", message, limit=plain(most), observed=plain(lost))


_UNLIMITED = Budget()
