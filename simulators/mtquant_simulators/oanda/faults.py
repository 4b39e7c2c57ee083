"""Faults on demand: what OANDA, or the line to it, does on a bad day. Repeatable from a seed."""

from __future__ import annotations

from collections import deque

import anyio

from mtquant.clock import seeded
from mtquant_simulators.oanda.answers import Answer, Problem
from mtquant_simulators.oanda.settings import Faults

_KINDS = ("drop_after", "hold_after", "error_before", "error_after")


class FaultMaker:
    """Says what goes wrong with the next write or stream; ``settings`` may be replaced."""

    def __init__(self, settings: Faults) -> None:
        self.set(settings)

    def set(self, settings: Faults) -> None:
        """Continue with other faults, from their own seed."""
        self.settings = settings
        self._rng = seeded(settings.seed)
        self._next = deque(settings.next)

    async def slow(self) -> None:
        """Wait as long as an answer is to be late."""
        if self.settings.slow_s:
            await anyio.sleep(self.settings.slow_s)

    def draw(self) -> str:
        """Return what happens to this write, ``none`` where nothing does."""
        if self._next:
            return self._next.popleft()
        for kind in _KINDS:
            share = getattr(self.settings, kind)
            if share and self._rng.random() < share:
                return kind
        return "none"

    def error(self) -> Answer:
        """Return the answer of a server that has failed."""
        return Problem(self.settings.status, "Internal error (a fault on demand)").answer
