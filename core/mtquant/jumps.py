"""Quotes that jump: a price that moves by a fifth at once is believed only once it has stayed.

A broken feed, or a broker that lies, may quote anything for a moment; an order that is sized or
stopped by it is wrong. Until the new price is believed the last one grows old, and the gate opens
nothing on an old price.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal

import anyio

from mtquant.model import Quote

JUMP = Decimal("0.2")
"""How far a price may move from one quote to the next, as a share of the smaller one."""
STAYS_S = 60.0
"""How long a price must have stayed where it jumped to, in seconds."""


class Believed:
    """What one account's quotes were, and which of them jumped; by the broker's symbol."""

    def __init__(self) -> None:
        self._middles: dict[str, Decimal] = {}
        self._jumped: dict[str, tuple[float, Decimal]] = {}

    def take(self, quotes: Iterable[Quote], asked: Collection[str]) -> tuple[Quote, ...]:
        """Return those of ``quotes`` that were asked for and are believed."""
        return tuple(each for each in quotes if each.instrument in asked and self._believes(each))

    def _believes(self, quote: Quote) -> bool:
        name, middle, now = quote.instrument, quote.mid, anyio.current_time()
        known = self._middles.get(name)
        if known is not None and not _near(known, middle):
            since, there = self._jumped.setdefault(name, (now, middle))
            if not _near(there, middle):
                since = now
                self._jumped[name] = (now, middle)
            if now - since < STAYS_S:
                return False
        self._middles[name] = middle
        self._jumped.pop(name, None)
        return True


def _near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= JUMP * min(one, other)
