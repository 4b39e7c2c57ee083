"""A request as the functions that answer it see it, and how its parameters are read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from mtquant_simulators.oanda.account import Account
from mtquant_simulators.oanda.answers import Problem, invalid
from mtquant_simulators.oanda.text import RFC3339, UNIX, read_moment
from mtquant_simulators.oanda.venue import Venue

_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the account it is for, its parameters, its body and its id."""

    venue: Venue
    account: Account
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    request_id: str
    url: str

    def specifier(self, name: str) -> str:
        """Return the id or ``@`` client id that the path names an order or a trade by."""
        text = self.path[name]
        if not text.startswith("@") and re.fullmatch(r"[1-9]\d{0,17}", text, re.ASCII) is None:
            raise invalid(f"{name}Specifier")
        return text

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Return the whole number ``name`` of the query; raises Problem out of its bounds."""
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
            raise invalid(name)
        value = int(text)
        if value > high:
            raise Problem(400, f"Maximum value for '{name}' exceeded")
        if value < low:
            raise invalid(name)
        return value

    def time(self, name: str) -> int | None:
        """Return the time ``name`` of the query in nanoseconds UTC, None where it isn't there."""
        text = self.query.get(name)
        if text is None:
            return None
        try:
            return read_moment(text)
        except ValueError:
            raise invalid(name) from None

    def flag(self, name: str, *, default: bool) -> bool:
        """Return the boolean ``name`` of the query."""
        text = self.query.get(name)
        if text is None:
            return default
        if text.lower() not in {"true", "false"}:
            raise invalid(name)
        return text.lower() == "true"

    def listed(self, name: str) -> list[str] | None:
        """Return the comma-separated values ``name`` of the query, None where it isn't there."""
        text = self.query.get(name)
        return None if text is None else [each for each in text.split(",") if each]

    def one_of(self, name: str, default: str, known: frozenset[str]) -> str:
        """Return the value ``name`` of the query, which is one of ``known``."""
        text = self.query.get(name, default)
        if text not in known:
            raise invalid(name)
        return text

    def symbol(self, name: str, parameter: str = "instrument") -> str:
        """Return our symbol of OANDA's ``name``; raises Problem where the venue has none."""
        if name not in self.venue.names:
            raise invalid(parameter)
        return self.venue.names[name]


def form_of(request: Request) -> str:
    """Return the format of times that the client wants."""
    return UNIX if request.headers.get("Accept-Datetime-Format") == UNIX else RFC3339


async def body_of(request: Request) -> dict[str, object]:
    """Return the JSON object that a request carries, empty where none; raises Problem."""
    if request.method == "GET":
        return {}
    text = await request.body()
    if not text:
        return {}
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise Problem(400, "Invalid JSON, ParseErrorCode: 3, Message: Invalid value.") from None
    if not isinstance(body, dict):
        raise Problem(400, "Invalid JSON body, must be an object")
    return body
