"""What is known of orders in doubt, and what will be tried when."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mtquant.clock import format_time
from mtquant.engine import Engine
from mtquant.model import plain
from mtquant.orders import Ticket

_TRIES = (
    "look it up by its client order id; where the broker doesn't have it, fence the id "
    "(or end it on your word: mtquant reconcile --settle)"
)


def doubts(engine: Engine, accounts: Collection[str]) -> list[dict[str, Any]]:
    """Return every order in doubt at ``accounts``, JSON-ready."""
    return [_row(engine, each) for each in engine.desk.in_doubt() if each.account in accounts]


def _row(engine: Engine, ticket: Ticket) -> dict[str, Any]:
    doubt = ticket.doubt
    return {
        "account": ticket.account,
        "client_order_id": ticket.client_order_id,
        "instrument": ticket.instrument,
        "side": ticket.side.value,
        "quantity": plain(ticket.quantity),
        "opens": ticket.opens,
        "sent": format_time(ticket.time),
        "since": format_time(doubt.since) if doubt else None,
        "why": doubt.why if doubt else "",
        "looked_up": doubt.looks if doubt else 0,
        "last_answer": doubt.last if doubt else "",
        "next": _next(engine, ticket.account),
        "tries": _TRIES,
    }


def _next(engine: Engine, account: str) -> str:
    """Return when the account is asked next: a time, or what has to happen first."""
    if not engine.wiring.links[account].connected:
        return f"when {account} is connected again"
    known = engine.next_looks.get(account)
    return "now" if known is None else format_time(known)
