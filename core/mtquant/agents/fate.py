"""What became of what an agent asked for, told from the book, the order desk and the broker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mtquant.agents.refusal import AgentRefused
from mtquant.agents.results import UNITS, Fate, OrderTold
from mtquant.agents.tool import Caller
from mtquant.book import AgentRequest, Suggestion
from mtquant.control.trading import Trading
from mtquant.engine import Engine
from mtquant.model import OrderStatus, Side, plain, to_json
from mtquant.orders import Stage, Ticket

WAITS = (
    "waits for a person, who approves it with `mtquant approve` or in your client with a code that "
    "only he is shown. Look again with get_order; there is nothing that you can do to approve it"
)


def digest_of(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return what names exactly what was asked: 16 hexadecimal digits of SHA-256."""
    text = to_json([tool, {name: each for name, each in arguments.items() if each is not None}])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Fates:
    """Finds out what became of requests."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._trading = Trading(engine)

    def request(self, caller: Caller, client_order_id: str) -> AgentRequest | None:
        """Return what the caller asked for under ``client_order_id``; None where nothing."""
        return self._engine.book.requests.get((caller.source, client_order_id))

    async def replay(self, caller: Caller, client_order_id: str, digest: str) -> OrderTold | None:
        """Return what became of an id that acted before; None where it is new.

        Raises AgentRefused where it was used for something else.
        """
        known = self.request(caller, client_order_id)
        if known is None:
            return None
        if known.digest != digest:
            raise AgentRefused(
                "duplicate_mismatch",
                "this client_order_id was used before, for something else",
                "Look the earlier one up with get_order. For another order make a new id.",
                field="client_order_id",
            )
        return await self.told(known, replayed=True)

    def own(self, caller: Caller) -> dict[str, AgentRequest]:
        """Return the caller's requests that were sent, by our client order id."""
        return {
            each.client_order_id: each
            for each in self._engine.book.requests.values()
            if each.source == caller.source and each.client_order_id
        }

    async def told(self, request: AgentRequest, *, replayed: bool = False) -> OrderTold:
        """Return what became of ``request``."""
        if not request.client_order_id:
            return self._suggested(request, replayed=replayed)
        ticket = self._engine.desk.tickets.get(request.client_order_id)
        if ticket is None:
            why = "it was never sent: the engine ended before. Ask again under a new id"
            return _told(request, Fate.NOT_SENT, why, replayed=replayed)
        return await self._sent(request, ticket, replayed=replayed)

    def _suggested(self, request: AgentRequest, *, replayed: bool) -> OrderTold:
        found = self._engine.book.suggestions.get(request.suggestion)
        if found is not None:
            return self.waiting(request, found, replayed=replayed)
        outcome = self._engine.book.outcomes.get(request.suggestion, "it waits no more")
        return _told(
            request,
            Fate.NOT_SENT,
            f"proposal {request.suggestion} is {outcome}",
            replayed=replayed,
            proposal=request.suggestion,
        )

    def waiting(
        self, request: AgentRequest, found: Suggestion, *, replayed: bool = False
    ) -> OrderTold:
        """Return the answer to what waits for a person."""
        order = found.order
        return OrderTold(
            summary=f"proposal {found.number}, {order.side} {plain(order.quantity)} "
            f"{order.instrument} at {found.account}, {WAITS}",
            units=UNITS,
            status=Fate.WAITING,
            client_order_id=request.request,
            account=found.account,
            symbol=order.instrument,
            side=order.side,
            quantity=order.quantity,
            filled_quantity=Decimal(0),
            stop_loss=order.stop_loss,
            take_profit=order.take_profit,
            verdict=found.verdict,
            proposal=found.number,
            expires=found.expires,
            replayed=replayed,
        )

    async def _sent(self, request: AgentRequest, ticket: Ticket, *, replayed: bool) -> OrderTold:
        link = self._engine.wiring.links.get(ticket.account)
        body = await self._trading.report(link, ticket) if link else {}
        status = _status(ticket, str(body.get("status", ticket.status.value)))
        price, why = body.get("average_price"), str(body.get("why") or body.get("problem") or "")
        filled = Decimal(str(body.get("filled_quantity", 0)))
        told = f"{ticket.side} {plain(ticket.quantity)} {ticket.instrument} at {ticket.account}: "
        told += status.value.replace("_", " ")
        if filled:
            told += f", {plain(filled)} at {price}"
        if status is Fate.IN_DOUBT:
            told += ". It is being looked up; never send it again under another id"
        return OrderTold(
            summary=told,
            units=UNITS,
            status=status,
            client_order_id=request.request,
            account=ticket.account,
            symbol=ticket.instrument,
            side=ticket.side,
            quantity=ticket.quantity,
            filled_quantity=filled,
            average_price=Decimal(str(price)) if price else None,
            reason=why,
            replayed=replayed,
        )


def _status(ticket: Ticket, status: str) -> Fate:
    if ticket.stage is Stage.IN_DOUBT:
        return Fate.IN_DOUBT
    if ticket.stage is Stage.REFUSED:
        return Fate.REJECTED
    if ticket.stage is Stage.PROVEN_ABSENT:
        return Fate.NOT_SENT
    return Fate(OrderStatus(status).value)


def _told(
    request: AgentRequest,
    status: Fate,
    why: str,
    *,
    replayed: bool,
    proposal: int | None = None,
) -> OrderTold:
    return OrderTold(
        summary=f"{request.instrument} at {request.account}: not sent; {why}",
        units=UNITS,
        status=status,
        client_order_id=request.request,
        account=request.account,
        symbol=request.instrument,
        reason=why,
        proposal=proposal,
        replayed=replayed,
    )


def vetoed(
    client_order_id: str, account: str, symbol: str, side: Side, code: str, why: str
) -> OrderTold:
    """Return the answer to what the gate refused: nothing was sent, and the id is free again."""
    return OrderTold(
        summary=f"VETOED ({code}): {why}",
        units=UNITS,
        status=Fate.VETOED,
        client_order_id=client_order_id,
        account=account,
        symbol=symbol,
        side=side,
        verdict=code,
        reason=why,
    )
