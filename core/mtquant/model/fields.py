"""The types of fields: how numbers, times and ids are read and written."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    WithJsonSchema,
)

from mtquant.clock import format_time, parse_time

TEXT_LIMIT = 64
SAID_LIMIT = 500
"""The longest free text of a broker that is handed on, in characters."""
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


def _visible(text: str) -> str:
    if len(text) > TEXT_LIMIT or not text.isprintable():
        msg = f"not a line of at most {TEXT_LIMIT} visible characters"
        raise ValueError(msg)
    return text


def _array(value: object) -> object:
    """Read a JSON string as the array it holds: some MCP clients send arrays so."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


class Unchanged(Enum):
    """The value of a field that a change leaves as it is; None clears it."""

    UNCHANGED = "unchanged"


UNCHANGED: Literal[Unchanged.UNCHANGED] = Unchanged.UNCHANGED


def _change(value: object) -> object:
    return value if value is None or value is UNCHANGED else _decimal(value)


def said(text: str) -> str:
    """Return a broker's free text as bounded data: one line, without control characters.

    Format characters (zero-width, bidirectional overrides) go too: they hide text from a reader.
    """
    shown = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text)
    line = " ".join(shown.split())
    return line if len(line) <= SAID_LIMIT else line[: SAID_LIMIT - 1] + "…"


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


Text = Annotated[
    str,
    AfterValidator(_visible),
    WithJsonSchema({"type": "string", "maxLength": TEXT_LIMIT}),
]
"""A short line without control characters, or those that hide or turn text: a symbol or an id."""


Said = Annotated[
    str,
    BeforeValidator(lambda value: said(value) if isinstance(value, str) else value),
    PlainSerializer(said, return_type=str, when_used="json"),
]
"""Free text of a broker: data, never an instruction; see :func:`said`."""


Changed = Annotated[
    Annotated[Decimal, Field(gt=0)] | InstanceOf[Unchanged] | None,
    BeforeValidator(_change),
    PlainSerializer(
        lambda value: plain(value) if isinstance(value, Decimal) else None, when_used="json"
    ),
    WithJsonSchema({"type": ["string", "number", "null"]}),
]
"""A price or distance to change to: a value sets it, null clears it, absent leaves it."""


Names = Annotated[tuple[Text, ...], Field(max_length=50), BeforeValidator(_array)]
"""Up to 50 symbols."""


def to_json(value: Any) -> str:  # noqa: ANN401 - any JSON-ready value
    """Return ``value`` as canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
