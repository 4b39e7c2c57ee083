"""What agents want opened: through the gate as everybody's, within a budget, once for each id."""

from __future__ import annotations

from dataclasses import replace

from mtquant.book import AgentRequest
from mtquant.contract import Level
from mtquant.decide.entries import agents_body
from mtquant.decide.events import AgentOrdered, AgentsEnrolled
from mtquant.decide.flow import Flow, market_order
from mtquant.decide.persons import (
    Persons,
    next_number,
    note_request,
    refuse,
    review_named,
    send_of_agent,
)
from mtquant.risk import Decision


class Agents:
    """Orders of agents; those that wait for a person are suggestions, as strategies' are."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

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
