"""OANDA's codes in the contract's words: one table, ``codes.toml``, and how it is read."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mtquant.errors import BrokerError, ErrorCode, Outcome, Refused, Retry
from mtquant.model import OrderType, Reason

_FIXABLE = frozenset(
    {
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.INVALID_QUANTITY,
        ErrorCode.INVALID_PRICE,
        ErrorCode.UNKNOWN_INSTRUMENT,
        ErrorCode.UNSUPPORTED,
    }
)
PRICE = "price"
"""Stands in the table for the price of the order's own type."""


class Ended(NamedTuple):
    """Why an order ended: our reason, our code where that is a refusal, the argument it is about.

    ``code`` is None where the order's report, canceled with its reason, is the honest answer.
    """

    reason: Reason
    code: ErrorCode | None
    field: str | None


@cache
def table() -> dict[str, dict[str, list[str]]]:
    """Return the table: ``http``, ``error``, ``reject`` and ``cancel``."""
    return tomllib.loads((Path(__file__).parent / "codes.toml").read_text(encoding="utf-8"))


def of_reject(reason: str) -> tuple[ErrorCode, str | None]:
    """Return our code of a reject reason and its argument; one that is new is broker_rejected."""
    code, field = table()["reject"].get(reason) or table()["error"].get(
        reason, [ErrorCode.BROKER_REJECTED, ""]
    )
    return ErrorCode(code), field or None


def of_cancel(reason: str) -> Ended:
    """Return why an order ended; a reason that is new is the venue's own."""
    ours, code, field = table()["cancel"].get(
        reason, [Reason.CANCELED_BY_VENUE, ErrorCode.BROKER_REJECTED, ""]
    )
    return Ended(Reason(ours), ErrorCode(code) if code else None, field or None)


def refusal(code: ErrorCode, reason: str, text: str, field: str | None = None) -> Refused:
    """Return the refusal of what OANDA has rejected for ``reason``, in its own ``text``."""
    said = f": {text}" if text else ""
    return Refused(
        code,
        f"OANDA refused this ({reason}){said}",
        retry=Retry.AFTER_FIX if code in _FIXABLE else Retry.NEVER,
        field=field,
        broker_code=reason,
        broker_text=text or None,
    )


def of_answer(
    status: int, body: dict[str, Any], order_type: OrderType | None = None
) -> BrokerError:
    """Return what an answer means that says that nothing was done."""
    text = str(body.get("errorMessage") or "")
    for key, value in body.items():
        if key.endswith("RejectTransaction") and isinstance(value, dict):
            reason = str(value.get("rejectReason") or body.get("errorCode") or status)
            return _rejected(reason, text, order_type or _type_of(value))
    named = str(body.get("errorCode") or "")
    if named and (named in table()["reject"] or named in table()["error"]):
        return _rejected(named, text, order_type)
    code, outcome = table()["http"].get(str(status), [ErrorCode.BROKER_REJECTED, Outcome.REJECTED])
    if "instrument" in text.lower() and code in {ErrorCode.INVALID_ARGUMENT, ErrorCode.NOT_FOUND}:
        code = ErrorCode.UNKNOWN_INSTRUMENT
    found = refusal(ErrorCode(code), named or str(status), text)
    found.outcome = Outcome(outcome)
    return found


def _rejected(reason: str, text: str, order_type: OrderType | None) -> Refused:
    code, field = of_reject(reason)
    if field == PRICE:
        field = "limit_price" if order_type is OrderType.LIMIT else "stop_price"
    return refusal(code, reason, text, field)


def _type_of(transaction: dict[str, Any]) -> OrderType | None:
    return OrderType.LIMIT if str(transaction.get("type", "")).startswith("LIMIT") else None
