"""What agents want opened: through the gate as everybody's, within a budget, once for each id."""

from __future__ import annotations

from dataclasses import replace

from mtquant.book import AgentRequest
from mtquant.clock import SECOND
from mtquant.contract import AgentScope, AgentStanding, Level, agent_of
from mtquant.decide.entries import agents_body
from mtquant.decide.events import AgentOrdered, AgentsEnrolled, CancelOrder
from mtquant.decide.flow import UNSURE, Flow, market_order
from mtquant.decide.persons import (
    Persons,
    next_number,
    note_request,
    refuse,
    review_named,
    send_of_agent,
)
from mtquant.decide.standing import standing
from mtquant.risk import Decision, figure

_AGAIN = 10 * SECOND


def _objection(found: AgentStanding | None, symbol: str) -> str:
    """Return why an agent may not open what an order of it still would, or nothing."""
    if found is None:
        return "it is revoked"
    budget, scopes = found.agent.budget, found.agent.scopes
    if AgentScope.TRADE not in scopes and AgentScope.PROPOSE not in scopes:
        return "it may neither trade nor propose any more"
    if not budget.opens(symbol):
        return f"it may not open {symbol} any more"
    if found.lost is not None and found.lost >= budget.loss:
        return f"it has lost {figure(found.lost)} {budget.currency}, all that it may"
    if found.opened is not None and found.opened > budget.notional:
        return f"it may open {figure(budget.notional)} {budget.currency}, and no more"
    return ""


class Agents:
    """Orders of agents; those that wait for a person are suggestions, as strategies' are."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons
        self._cancelled: dict[str, int] = {}

    def enrolled(self, flow: Flow, event: AgentsEnrolled) -> None:
        """Take in who the agents are; what waits of one that is no more is withdrawn."""
        before = flow.book.agents
        if event.agents == before:
            return
        flow.book.agents = dict(event.agents)
        flow.record("agents", {"agents": agents_body(event.agents)}, durable=True)
        for name in sorted({*before, *event.agents}):
            now = event.agents.get(name)
            if name not in before:
                flow.tell(Level.INFO, f"agent {name} is enrolled")
            elif now is None:
                flow.tell(Level.WARNING, f"agent {name} is revoked")
                self._persons.withdraw_all(flow, before[name].source, f"{name} is revoked")
            elif now != before[name]:
                flow.tell(Level.INFO, f"agent {name} has other scopes or another budget now")
        self.look(flow)

    def look(self, flow: Flow) -> None:
        """Cancel what works of agents and would open what they may open no more.

        A loss comes, a budget is cut, an agent is revoked, while an order rests: filled later it
        would open all the same. Said again after a while, until the order works no more.
        """
        for account in flow.book.accounts.values():
            for each in account.working.values():
                source = account.owner(each.client_order_id) if each.opens else ""
                if agent_of(source) is None or each.status in UNSURE:
                    continue
                why = _objection(standing(flow.book, source), each.instrument)
                said = self._cancelled.get(each.client_order_id)
                if not why or (said is not None and flow.book.time - said < _AGAIN):
                    continue
                self._cancelled[each.client_order_id] = flow.book.time
                flow.tell(
                    Level.WARNING,
                    f"{account.name}: order {each.client_order_id} of {source} is cancelled: {why}",
                )
                effect = CancelOrder(
                    account=account.name, client_order_id=each.client_order_id, why=why
                )
                flow.out.append(effect)

    def order(self, flow: Flow, event: AgentOrdered) -> None:
        """Take an agent's wish through the gate, and send it or put it before a person."""
        decision = self.decide(flow, event)
        if isinstance(decision, str):
            refuse(flow, event.signal, event.account, decision)
            return
        flow.verdict(decision)
        if not decision.approved or decision.proposal is None:
            return
        order = event.order or market_order(flow.ids.new(), decision.proposal)
        request = AgentRequest(
            source=event.signal.strategy_id,
            request=event.request,
            digest=event.digest,
            account=event.account,
            instrument=order.instrument,
            opens=True,
            time=flow.book.time,
        )
        if event.asks:
            note_request(flow, replace(request, suggestion=next_number(flow.book)))
            self._persons.suggest(flow, event.account, order, decision, event.request)
        else:
            flow.book.note_request(request)
            send_of_agent(flow, event.request, decision, order)

    def decide(self, flow: Flow, event: AgentOrdered) -> Decision | str:
        """Return the gate's decision, or why it isn't asked."""
        symbol = event.signal.instrument
        if why := flow.book.paused.get(symbol, ""):
            return f"{symbol} pauses: {why}"
        book = flow.book.account(event.account)
        if event.order is not None:
            return review_named(flow, book, event.order, event.signal)
        state = flow.state(book, symbol, source=event.signal.strategy_id)
        if state is None:
            return f"nothing is known of {symbol} at {book.name} yet"
        if not book.tradable:
            return f"{book.name} takes no orders now"
        return flow.gate.review(event.signal, book.name, state)
