"""An agent's budget, as the gate holds every order of it that opens exposure to it."""

from __future__ import annotations

from decimal import Decimal

from mtquant.contract import (
    AgentScope,
    AgentStanding,
    Finding,
    Proposal,
    RiskState,
    Verdict,
    agent_of,
)
from mtquant.model import plain
from mtquant.risk.decision import figure

NAME = "agent_budget"
_ZERO = Decimal(0)


def review_agent(proposal: Proposal, state: RiskState) -> Finding:
    """Approve, reduce or veto an agent's order, by what its budget still leaves.

    A pure function, as every check. Who isn't enrolled, or no more, may open nothing; a figure that
    isn't known is a veto.
    """
    standing = state.agent
    name = agent_of(proposal.signal.strategy_id) or ""
    if standing is None or standing.agent.name != name:
        return _veto("agent_unknown", f"no agent {name!r} is enrolled")
    return (
        _scope(standing)
        or _instrument(standing, proposal)
        or _beside(standing, proposal)
        or _orders(standing)
        or _loss(standing)
        or _notional(standing, proposal, state)
    )


def _scope(standing: AgentStanding) -> Finding | None:
    scopes = standing.agent.scopes
    if AgentScope.TRADE in scopes or AgentScope.PROPOSE in scopes:
        return None
    message = f"{standing.agent.name} may neither trade nor propose"
    return _veto("agent_scope", message, "propose, trade", ", ".join(scopes))


def _instrument(standing: AgentStanding, proposal: Proposal) -> Finding | None:
    symbol, budget = proposal.signal.instrument, standing.agent.budget
    if budget.opens(symbol):
        return None
    allowed = ", ".join(budget.instruments) or "nothing"
    message = f"{standing.agent.name} may open {allowed}, not {symbol}"
    return _veto("agent_instrument", message, allowed, symbol)


def _beside(standing: AgentStanding, proposal: Proposal) -> Finding | None:
    if not standing.beside:
        return None
    message = (
        f"{standing.beside} holds {proposal.signal.instrument} at {proposal.account}, or has "
        "an order there: positions are netted, and an agent opens none into another's"
    )
    return _veto("agent_beside", message, "", standing.beside)


def _orders(standing: AgentStanding) -> Finding | None:
    most, sent = standing.agent.budget.orders, standing.orders
    if sent + 1 <= most:
        return None
    name = standing.agent.name
    message = f"{name} may send {most} opening orders in 24 hours, and has sent {sent}"
    return _veto("agent_orders", message, str(most), str(sent))


def _loss(standing: AgentStanding) -> Finding | None:
    budget, lost, name = standing.agent.budget, standing.lost, standing.agent.name
    if lost is not None and lost < budget.loss:
        return None
    message = f"what {name} has lost can't be known now"
    if lost is not None:
        message = (
            f"{name} has lost {figure(lost)} {budget.currency} in 24 hours, closed and open; it "
            f"may lose {figure(budget.loss)}"
        )
    return _veto("agent_loss", message, plain(budget.loss), "" if lost is None else plain(lost))


def _notional(standing: AgentStanding, proposal: Proposal, state: RiskState) -> Finding:
    """Let pass what the notional value still has room for: of the day, and of what is held."""
    budget, name = standing.agent.budget, standing.agent.name
    each = _of_one(standing, proposal, state)
    if each is None or standing.opened is None or standing.held is None:
        return _veto("agent_notional", f"what {name} has opened can't be valued now")
    used = max(standing.opened, standing.held)
    room = budget.notional - used
    wanted = each * proposal.quantity
    if wanted <= room:
        return Finding(NAME, Verdict.APPROVED, proposal.quantity)
    message = (
        f"{name} may open {figure(budget.notional)} {budget.currency} in 24 hours and hold no "
        f"more; {figure(used)} are used, and this order is worth {figure(wanted)}"
    )
    step = state.instrument.quantity_step
    if room < each * step:
        return _veto("agent_notional", message, plain(budget.notional), plain(used))
    return Finding(
        check=NAME,
        verdict=Verdict.REDUCED,
        quantity=room / each // step * step,
        code="agent_notional",
        limit=plain(budget.notional),
        observed=plain(used + wanted),
        message=message,
    )


def _of_one(standing: AgentStanding, proposal: Proposal, state: RiskState) -> Decimal | None:
    """Return what one base unit of the order is worth in the budget's currency."""
    if state.quote_rate is None or standing.rate is None:
        return None
    size = _dearest(proposal, state) * state.quote_rate * standing.rate
    return size if size.is_finite() and size > 0 else None


def _dearest(proposal: Proposal, state: RiskState) -> Decimal:
    """Return the highest price that an order may open at, as things stand.

    A sale with a limit far below the market fills at the market, and one that rests may be changed
    later on: what it says itself would let it open any amount.
    """
    price = proposal.reference_price
    return price if state.quote is None else max(price, state.quote.bid, state.quote.ask)


def notional_of(proposal: Proposal, state: RiskState) -> Decimal | None:
    """Return what an order may come to, in the account's currency; None where it isn't known.

    At its own price or the market's, whichever is dearer.
    """
    if state.quote_rate is None:
        return None
    return proposal.quantity * _dearest(proposal, state) * state.quote_rate


def _veto(code: str, message: str, limit: str = "", observed: str = "") -> Finding:
    return Finding(
        check=NAME,
        verdict=Verdict.VETOED,
        quantity=_ZERO,
        code=code,
        limit=limit,
        observed=observed,
        message=message,
    )
