"""Mistakes to be planted in the OANDA server that a run starts over HTTP: it must notice each.

Copied beside the strategy and run there: ``python -m chaos_mistakes NAME`` and the server's words.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from oandapyV20.endpoints.apirequest import APIRequest

from mtquant.errors import OutcomeUnknown, Refused
from mtquant.model import OrderReport
from mtquant.wire.guard import Guard
from mtquant_oanda_server import orders
from mtquant_oanda_server.__main__ import main
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.venue import Venue

_ask = Venue.ask


def no_extensions() -> None:
    """Orders carry no client extensions, though the settings say that they do."""
    patch.object(orders, "extensions", lambda *_: None).start()


def sent_again() -> None:
    """An order that OANDA didn't answer is sent once more, under an id of its own."""

    async def twice(self: Venue, request: APIRequest) -> dict[str, Any]:
        try:
            return await _ask(self, request)
        except OutcomeUnknown:
            for each in _carried(getattr(request, "data", None) or {}):
                each["id"] += "-2"
            return await _ask(self, request)

    patch.object(Venue, "ask", twice).start()


def _carried(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the client extensions in a request's body, each once."""
    found = {}
    for key, value in data.items():
        if key.endswith("ClientExtensions") or key == "clientExtensions":
            found[id(value)] = value
        elif isinstance(value, dict):
            yield from _carried(value)
    yield from found.values()


def absent_at_once() -> None:
    """An order in doubt isn't looked for, and its id is made void at once."""

    async def now(self: Guard) -> float:
        del self
        return 0.0

    async def nowhere(self: OandaBroker, client_order_id: str) -> OrderReport:
        del self
        raise Refused("not_found", f"nobody looked for {client_order_id}")

    patch.object(OandaBroker, "_by_name", nowhere).start()
    patch.object(Guard, "_settling", now).start()


MISTAKES: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (no_extensions, sent_again, absent_at_once)
}

if __name__ == "__main__":
    MISTAKES[sys.argv.pop(1)]()
    main()
