"""Reads an order as a client sends it into the fields of OANDA's transactions.

What can't be read at all (a word for a number) is answered 400 without a transaction; what can be
read and isn't allowed is left to :mod:`mtquant_simulators.oanda.checks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mtquant_simulators.oanda.answers import MISSING, Problem, invalid
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import Moment, read_decimal, read_moment

ENTRIES = ("MARKET", "LIMIT", "STOP", "MARKET_IF_TOUCHED")
DEPENDENTS = ("TAKE_PROFIT", "STOP_LOSS", "TRAILING_STOP_LOSS")
TIMES = frozenset({"GTC", "GTD", "GFD", "FOK", "IOC"})
FILLS = frozenset({"OPEN_ONLY", "REDUCE_FIRST", "REDUCE_ONLY", "DEFAULT"})
TRIGGERS = frozenset({"DEFAULT", "INVERSE", "BID", "ASK", "MID"})
_ON_FILL = ("takeProfitOnFill", "stopLossOnFill", "trailingStopLossOnFill")
_ENTRY = ("instrument", "units", "timeInForce", "positionFill", "clientExtensions")
_WAITING = ("price", "gtdTime", "triggerCondition")
_MORE = (*_ON_FILL, "tradeClientExtensions")
_DEPENDENT = ("tradeID", "clientTradeID", "timeInForce", "gtdTime", "triggerCondition")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "MARKET": (*_ENTRY, "priceBound", *_MORE),
    "LIMIT": (*_ENTRY, *_WAITING, *_MORE),
    "STOP": (*_ENTRY, *_WAITING, "priceBound", *_MORE),
    "MARKET_IF_TOUCHED": (*_ENTRY, *_WAITING, "priceBound", *_MORE),
    "TAKE_PROFIT": (*_DEPENDENT, "price", "clientExtensions"),
    "STOP_LOSS": (*_DEPENDENT, "price", "distance", "guaranteed", "clientExtensions"),
    "TRAILING_STOP_LOSS": (*_DEPENDENT, "distance", "clientExtensions"),
}
"""The fields of each order type, as it is sent and as its transaction keeps it."""
_DETAILS = {
    "takeProfitOnFill": ("price", "timeInForce", "gtdTime", "clientExtensions"),
    "stopLossOnFill": (
        "price",
        "distance",
        "timeInForce",
        "gtdTime",
        "clientExtensions",
        "guaranteed",
    ),
    "trailingStopLossOnFill": ("distance", "timeInForce", "gtdTime", "clientExtensions"),
}


def order(body: Mapping[str, Any]) -> tuple[str, Json]:
    """Return the type of the ``order`` in a body, and its fields with OANDA's defaults."""
    sent = body.get("order")
    if sent is None:
        raise Problem(400, MISSING)
    if not isinstance(sent, dict):
        raise invalid("order")
    kind = sent.get("type", "MARKET")
    if kind not in FIELDS:
        raise invalid("order.type")
    fields = read(sent, FIELDS[kind], "order")
    fields.setdefault("timeInForce", "FOK" if kind == "MARKET" else "GTC")
    if kind in ENTRIES:
        fields.setdefault("positionFill", "DEFAULT")
    if kind != "MARKET":
        fields.setdefault("triggerCondition", "DEFAULT")
    if kind == "STOP_LOSS":
        fields.setdefault("guaranteed", False)
    return str(kind), fields


def details(sent: object, name: str, where: str) -> Json:
    """Return what protects a trade, as ``name`` (such as ``stopLossOnFill``) has it."""
    if not isinstance(sent, dict):
        raise invalid(where)
    fields = read(sent, _DETAILS[name], where)
    fields.setdefault("timeInForce", "GTC")
    if name == "stopLossOnFill":
        fields.setdefault("guaranteed", False)
    return fields


def read(sent: Mapping[str, Any], names: tuple[str, ...], where: str) -> Json:
    """Return the ``names`` of ``sent``, read; what is null is left out."""
    return {
        name: _READERS[name](sent[name], f"{where}.{name}")
        for name in names
        if sent.get(name) is not None
    }


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise invalid(where)
    return value


def _fitting(pattern: str) -> Callable[[object, str], str]:
    def reading(value: object, where: str) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value, re.ASCII) is None:
            raise invalid(where)
        return value

    return reading


def _number(value: object, where: str) -> str:
    # JSON numbers are taken as OANDA takes them; true and false are ints in Python alone.
    written = (
        str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    )
    if read_decimal(written) is None:
        raise invalid(where)
    return str(written)


def _one_of(known: frozenset[str]) -> Callable[[object, str], str]:
    def reading(value: object, where: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise invalid(where)
        return value

    return reading


def _time(value: object, where: str) -> Moment:
    try:
        return Moment(read_moment(_string(value, where)))
    except ValueError:
        raise invalid(where) from None


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(where)
    return value


def extensions(value: object, where: str) -> Json:
    """Return client extensions: texts that OANDA keeps and gives back."""
    if not isinstance(value, dict):
        raise invalid(where)
    names = ("id", "tag", "comment")
    return {
        name: _string(value[name], f"{where}.{name}")
        for name in names
        if value.get(name) is not None
    }


def _on_fill(name: str) -> Callable[[object, str], Json]:
    def reading(value: object, where: str) -> Json:
        return details(value, name, where)

    return reading


_READERS: Mapping[str, Callable[[object, str], Any]] = {
    "instrument": _fitting(r"[A-Z0-9]+_[A-Z0-9]+"),
    "tradeID": _fitting(r"[1-9]\d{0,17}"),
    "clientTradeID": _string,
    "units": _number,
    "price": _number,
    "priceBound": _number,
    "distance": _number,
    "timeInForce": _one_of(TIMES),
    "positionFill": _one_of(FILLS),
    "triggerCondition": _one_of(TRIGGERS),
    "gtdTime": _time,
    "guaranteed": _flag,
    "clientExtensions": extensions,
    "tradeClientExtensions": extensions,
    **{name: _on_fill(name) for name in _ON_FILL},
}
