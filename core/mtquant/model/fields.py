"""The types of fields: how numbers, times and ids are read and written."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from mtquant.clock import format_time, parse_time

_DECIMAL = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?", re.ASCII)


def _decimal(value: object) -> Decimal:
    """Read a decimal string or a finite number; NaN, infinities, exponents and booleans fail."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        finite = isinstance(value, int) or math.isfinite(value)
        text = format(Decimal(repr(value)), "f") if finite else ""
        if _DECIMAL.fullmatch(text):
            return Decimal(text)
    msg = "not a decimal number of at most 18 digits before and after the point"
    raise ValueError(msg)


def _time(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        return parse_time(value)
    msg = "not an RFC 3339 time"
    raise ValueError(msg)


def _array(value: object) -> object:
    """Read a JSON string as the array it holds: some MCP clients send arrays so."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def plain(number: Decimal) -> str:
    """Return ``number`` without exponent or trailing zeros: 1.50 and 1.5 read alike."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


_WIRE_DECIMAL = PlainSerializer(plain, return_type=str, when_used="json")


_IN = WithJsonSchema({"type": ["string", "number"]}, mode="validation")


_OUT = WithJsonSchema({"type": "string"}, mode="serialization")


Number = Annotated[Decimal, BeforeValidator(_decimal), _WIRE_DECIMAL, _IN, _OUT]
"""Any finite decimal: money, a profit, a rate."""


Positive = Annotated[Decimal, Field(gt=0), BeforeValidator(_decimal), _WIRE_DECIMAL, _IN, _OUT]
"""A decimal above zero: a price or a quantity."""


Time = Annotated[
    int,
    BeforeValidator(_time),
    PlainSerializer(format_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Nanoseconds since the epoch, UTC; RFC 3339 on the wire."""


ClientOrderId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
"""FIX ClOrdID (11): made by us, once for each order, and kept at the broker."""


Text = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A short line without control characters: a symbol or an id."""


Names = Annotated[tuple[Text, ...], Field(max_length=50), BeforeValidator(_array)]
"""Up to 50 symbols."""


def to_json(value: Any) -> str:  # noqa: ANN401 - any JSON-ready value
    """Return ``value`` as canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
