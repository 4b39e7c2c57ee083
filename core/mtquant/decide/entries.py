"""How signals and suggestions stand in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from mtquant.book import AccountBook, AgentRequest, ExpectedFlow, Leaving, Suggestion
from mtquant.clock import format_time, parse_time
from mtquant.comparison import Comparison, strategies_part
from mtquant.contract import Agent
from mtquant.model import OrderRequest, Signal, plain

_ORDER = TypeAdapter(OrderRequest)
_REQUEST = TypeAdapter(AgentRequest)


def signal_body(signal: Signal) -> dict[str, Any]:
    """Return a signal as the journal keeps it."""
    return {
        "strategy_id": signal.strategy_id,
        "instrument": signal.instrument,
        "time": format_time(signal.time),
        "direction": signal.direction,
        "reason": signal.reason,
        "stop_distance": _text(signal.stop_distance),
        "take_profit_distance": _text(signal.take_profit_distance),
        "confidence": signal.confidence,
    }


def read_signal(body: dict[str, Any]) -> Signal:
    """Return the signal that :func:`signal_body` wrote."""
    return Signal(
        strategy_id=body["strategy_id"],
        instrument=body["instrument"],
        time=parse_time(body["time"]),
        direction=body["direction"],
        reason=body["reason"],
        stop_distance=_number(body["stop_distance"]),
        take_profit_distance=_number(body["take_profit_distance"]),
        confidence=body["confidence"],
    )


def suggestion_body(suggestion: Suggestion) -> dict[str, Any]:
    """Return a suggestion as the journal keeps it."""
    return {
        "number": suggestion.number,
        "account": suggestion.account,
        "order": _ORDER.dump_python(suggestion.order, mode="json", exclude_none=True),
        "signal": signal_body(suggestion.signal),
        "price": plain(suggestion.price),
        "created": format_time(suggestion.created),
        "expires": format_time(suggestion.expires),
        "digest": suggestion.digest,
        "verdict": suggestion.verdict,
        "request": suggestion.request,
    }


def read_suggestion(body: dict[str, Any]) -> Suggestion:
    """Return the suggestion that :func:`suggestion_body` wrote."""
    return Suggestion(
        number=body["number"],
        account=body["account"],
        order=_ORDER.validate_python(body["order"]),
        signal=read_signal(body["signal"]),
        price=Decimal(body["price"]),
        created=parse_time(body["created"]),
        expires=parse_time(body["expires"]),
        digest=body["digest"],
        verdict=body["verdict"],
        request=body.get("request", ""),
    )


def request_body(request: AgentRequest) -> dict[str, Any]:
    """Return what an agent asked for as the journal keeps it."""
    body: dict[str, Any] = _REQUEST.dump_python(request, mode="json")
    return body


def read_request(body: dict[str, Any]) -> AgentRequest:
    """Return what :func:`request_body` wrote."""
    return _REQUEST.validate_python(body)


def agents_body(agents: Mapping[str, Agent]) -> dict[str, Any]:
    """Return who the agents are as the journal keeps it; their tokens aren't known here."""
    return {name: each.model_dump(mode="json") for name, each in agents.items()}


def read_agents(body: Mapping[str, Any]) -> dict[str, Agent]:
    """Return the agents that :func:`agents_body` wrote."""
    return {name: Agent.model_validate(each) for name, each in body.items()}


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def stay_body(leaving: Leaving) -> dict[str, Any]:
    """Return what is to stay of each position, as the journal keeps it."""
    stay = leaving.stay or {}
    return {
        "account": leaving.account,
        "stay": {position: plain(quantity) for position, quantity in stay.items()},
    }


def flow_body(account: str, flow: ExpectedFlow) -> dict[str, Any]:
    """Return a deposit or withdrawal that is expected as the journal keeps it."""
    return {
        "account": account,
        "amount": plain(flow.amount),
        "gap": plain(flow.gap),
        "by": flow.by,
        "why": flow.why,
    }


def accepted_body(comparison: Comparison, by: str, why: str) -> dict[str, Any]:
    """Return what a person accepted of a broker's record: each difference, before and after."""
    positions = [
        {
            "instrument": each.instrument,
            "before": plain(each.ours),
            "after": plain(each.theirs),
            "average_price": plain(each.average_price),
            "strategies_before": plain(each.strategies),
            "strategies_after": plain(strategies_part(each.strategies, each.theirs)),
        }
        for each in comparison.differing
    ]
    before, after = plain(comparison.our_balance), plain(comparison.their_balance)
    return {
        "account": comparison.account,
        "by": by,
        "why": why,
        "positions": positions,
        "balance": {"before": before, "after": after} if comparison.balance_differs else None,
    }


def take_accepted(account: AccountBook, body: dict[str, Any]) -> None:
    """Fold what :func:`accepted_body` wrote: now, and again after a restart."""
    for each in body["positions"]:
        account.accept(
            each["instrument"],
            Decimal(each["after"]),
            Decimal(each["average_price"]),
            Decimal(each["strategies_after"]),
        )
    if body["balance"] is not None:
        account.accept_balance(Decimal(body["balance"]["after"]))
