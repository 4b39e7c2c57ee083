"""An agent's budget at its edges: what just passes, what just doesn't, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.kernel.test_risk import LONG, QUOTE, STATE

from mtquant.contract import (
    Agent,
    AgentBudget,
    AgentScope,
    AgentStanding,
    Finding,
    Proposal,
    Verdict,
)
from mtquant.model import Quote, Side
from mtquant.risk.agents import NAME, notional_of, review_agent

D = Decimal
BUDGET = AgentBudget(
    currency="EUR", instruments=("EUR/USD", "GBP/USD"), notional=D(10_000), orders=3, loss=D(100)
)
AGENT = Agent(name="ada", scopes=(AgentScope.TRADE,), budget=BUDGET)
STANDING = AgentStanding(agent=AGENT, orders=0, opened=D(0), held=D(0), lost=D(0), rate=D("0.5"))
# At 2.0 a base unit and half a euro a dollar, a base unit is worth a euro.
SCENE = replace(STATE, quote=replace(QUOTE, bid=D("1.9"), ask=D("2.0")))
PROPOSAL = Proposal(
    signal=replace(LONG, strategy_id="agent:ada"),
    account="desk",
    side=Side.BUY,
    quantity=D(2000),
    reference_price=D("2.0"),
    stop_loss=None,
    take_profit=None,
)


def asked(
    *,
    quantity: int = 2000,
    price: str = "2.0",
    quote: Quote | None = SCENE.quote,
    **standing: Any,  # noqa: ANN401
) -> Finding:
    agent = standing.pop("agent", AGENT)
    budget = standing.pop("budget", None)
    if budget is not None:
        agent = agent.model_copy(update={"budget": BUDGET.model_copy(update=budget)})
    proposal = replace(PROPOSAL, quantity=D(quantity), reference_price=D(price))
    state = replace(SCENE, quote=quote, agent=replace(STANDING, agent=agent, **standing))
    found = review_agent(proposal, state)
    assert found.check == NAME
    return found


def test_what_is_within_the_budget_passes_as_it_is() -> None:
    found = asked()
    assert (found.verdict, found.quantity, found.code) == (Verdict.APPROVED, D(2000), "")


@pytest.mark.parametrize("scope", [AgentScope.TRADE, AgentScope.PROPOSE])
def test_either_scope_is_enough(scope: AgentScope) -> None:
    assert asked(agent=AGENT.model_copy(update={"scopes": (scope,)})).verdict is Verdict.APPROVED


def test_no_scope_that_opens_is_told_with_what_there_is() -> None:
    agent = AGENT.model_copy(update={"scopes": (AgentScope.READ, AgentScope.ADMIN)})
    found = asked(agent=agent)
    assert (found.code, found.limit, found.observed) == (
        "agent_scope", "propose, trade", "read, admin",
    )  # fmt: skip


def test_who_is_not_the_one_that_is_enrolled_is_nobody() -> None:
    assert review_agent(PROPOSAL, SCENE).code == "agent_unknown"
    assert asked(agent=AGENT.model_copy(update={"name": "eve"})).code == "agent_unknown"


def test_an_instrument_is_told_with_those_it_may() -> None:
    found = asked(budget={"instruments": ("GBP/USD", "USD/JPY")})
    assert (found.code, found.limit, found.observed) == (
        "agent_instrument", "GBP/USD, USD/JPY", "EUR/USD",
    )  # fmt: skip
    assert asked(budget={"instruments": ()}).limit == "nothing"
    assert asked(budget={"instruments": ("*",)}).verdict is Verdict.APPROVED


def test_whoever_else_is_there_is_named() -> None:
    found = asked(beside="trend")
    assert (found.code, found.observed) == ("agent_beside", "trend")


def test_the_last_order_of_the_day_is_the_last() -> None:
    assert asked(orders=2).verdict is Verdict.APPROVED
    found = asked(orders=3)
    assert (found.code, found.limit, found.observed) == ("agent_orders", "3", "3")


def test_a_loss_just_under_the_limit_passes_and_the_limit_itself_does_not() -> None:
    assert asked(lost=D("99.99")).verdict is Verdict.APPROVED
    found = asked(lost=D(100))
    assert (found.code, found.limit, found.observed) == ("agent_loss", "100", "100")
    assert "has lost 100 EUR in 24 hours" in found.message


def test_a_loss_that_is_not_known_is_a_veto_that_says_so() -> None:
    found = asked(lost=None)
    assert (found.code, found.limit, found.observed) == ("agent_loss", "100", "")
    assert "can't be known" in found.message


def test_the_notional_value_may_come_to_the_limit_and_no_further() -> None:
    assert asked(opened=D(8000)).verdict is Verdict.APPROVED
    assert asked(held=D(8000)).verdict is Verdict.APPROVED
    found = asked(opened=D(8001))
    assert (found.verdict, found.code, found.quantity) == (
        Verdict.REDUCED, "agent_notional", D(1000),
    )  # fmt: skip
    assert (found.limit, found.observed) == ("10000", "10001")


def test_what_is_left_is_on_the_step_and_one_step_just_passes() -> None:
    assert asked(opened=D(9000)).quantity == D(1000)
    found = asked(opened=D("9000.01"))
    assert (found.verdict, found.quantity, found.observed) == (Verdict.VETOED, D(0), "9000.01")
    assert asked(quantity=9000, opened=D(3500)).quantity == D(6000)


def test_a_unit_is_worth_its_price_in_the_budgets_currency() -> None:
    found = asked(quantity=9000, rate=D("0.25"), opened=D(9000))
    assert found.quantity == D(2000), "half a euro each"
    state = replace(SCENE, quote_rate=D("0.1"), agent=STANDING)
    assert review_agent(replace(PROPOSAL, quantity=D(99_000)), state).verdict is Verdict.APPROVED
    assert notional_of(PROPOSAL, state) == D(400)
    assert notional_of(PROPOSAL, replace(state, quote_rate=None)) is None


def test_an_order_counts_at_the_market_where_that_is_dearer() -> None:
    assert asked(quantity=11_000, price="0.01").quantity == D(10_000)
    assert asked(quantity=11_000, price="4.0").quantity == D(5000)
    assert asked(quantity=11_000, price="4.0", quote=None).quantity == D(5000)
    assert asked(quantity=11_000, price="0.01", quote=None).verdict is Verdict.APPROVED


@pytest.mark.parametrize(
    "unknown",
    [{"opened": None}, {"held": None}, {"rate": None}, {"rate": D("NaN")}, {"rate": D(0)}],
)
def test_a_value_that_is_not_known_is_a_veto(unknown: dict[str, Any]) -> None:
    found = asked(**unknown)
    assert (found.verdict, found.code, found.quantity) == (Verdict.VETOED, "agent_notional", D(0))
