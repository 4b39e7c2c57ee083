"""How OANDA writes what it sends: decimals as strings, times in the format a client asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from mtquant.clock import SECOND, parse_time
from mtquant.model import Instrument, plain

RFC3339, UNIX = "RFC3339", "UNIX"
_UNIX = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,20}(\.\d{1,15})?", re.ASCII)
_CENT = Decimal("0.0001")


class Moment(int):
    """Nanoseconds UTC inside an answer; :func:`rendered` writes it in the client's format."""


def rendered(value: Any, form: str) -> Any:  # noqa: ANN401 - any JSON
    """Return ``value``, a tree of JSON, with each :class:`Moment` as text: RFC 3339 or UNIX."""
    if isinstance(value, Moment):
        return moment(value, form)
    if isinstance(value, Mapping):
        return {key: rendered(each, form) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(each, form) for each in value]
    return value


def moment(time: int, form: str = RFC3339) -> str:
    """Return ``time`` (nanoseconds UTC) with the nine decimals that OANDA writes."""
    whole, fraction = divmod(time, SECOND)
    if form == UNIX:
        return f"{whole}.{fraction:09d}"
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}Z"


def read_moment(text: str) -> int:
    """Return the nanoseconds UTC that an RFC 3339 or UNIX ``text`` names; raises ValueError."""
    match = _UNIX.fullmatch(text)
    if match is not None:
        return int(match[1]) * SECOND + int((match[2] or "0").ljust(9, "0"))
    time = parse_time(text)
    if time < 0:
        msg = "a time before 1970"
        raise ValueError(msg)
    return time


def read_decimal(text: object) -> Decimal | None:
    """Return the number that ``text`` writes, None where it is no plain decimal string."""
    if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None:
        return None
    return Decimal(text)


def money(amount: Decimal) -> str:
    """Return an amount of the account's currency, to four decimals."""
    rounded = amount.quantize(_CENT, ROUND_HALF_EVEN)
    return f"{rounded or abs(rounded):f}"


def units(quantity: Decimal) -> str:
    """Return signed units, without an exponent or trailing zeros."""
    return plain(quantity)


def digits(instrument: Instrument) -> int:
    """Return how many decimals a price of ``instrument`` has."""
    exponent = instrument.price_step.normalize().as_tuple().exponent
    return max(0, -int(exponent))


def price(value: Decimal, instrument: Instrument) -> str:
    """Return a price with the instrument's decimals; an average keeps as many, half to even."""
    return f"{value.quantize(Decimal(1).scaleb(-digits(instrument)), ROUND_HALF_EVEN):f}"


def factor(rate: Decimal) -> str:
    """Return a conversion factor, to eight decimals."""
    return f"{rate.quantize(Decimal('0.00000001'), ROUND_HALF_EVEN):f}"


def symbol_of(name: str) -> str:
    """Return our ``EUR/USD`` of OANDA's ``EUR_USD``."""
    return name.replace("_", "/", 1)


def name_of(symbol: str) -> str:
    """Return OANDA's ``EUR_USD`` of our ``EUR/USD``."""
    return symbol.replace("/", "_", 1)
