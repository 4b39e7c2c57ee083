"""How many calls are worked on at once, so that what gets an agent out is never behind many.

An engine does everything in turns, on one thread. With a hundred calls begun a cancel would take
its turns among a hundred; so ordinary calls wait at the door, in the order in which they came.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

CALLS, EACH = 4, 2
"""So many calls in all, and of one agent; what cancels, closes or halts doesn't wait for others."""
HELD_S = 0.25
"""A call that takes longer, because a broker or a backtest does, makes room for the next."""


class Room:
    """At most ``calls`` calls that were begun within :data:`HELD_S` and haven't ended."""

    def __init__(self, calls: int = CALLS) -> None:
        self._calls = calls
        self._door = anyio.Lock()
        self._begun: dict[object, float] = {}
        self._left = anyio.Event()

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for room, and take it."""
        call = object()
        async with self._door:
            while len(self._begun) >= self._calls:
                await self._wait()
            self._begun[call] = anyio.current_time()
        try:
            yield
        finally:
            if self._begun.pop(call, None) is not None:
                self._left.set()
                self._left = anyio.Event()

    async def _wait(self) -> None:
        """Wait until a call ends, or the oldest has been held for long enough."""
        oldest, begun = next(iter(self._begun.items()))
        with anyio.move_on_after(begun + HELD_S - anyio.current_time()):
            await self._left.wait()
            return
        self._begun.pop(oldest, None)


class Rooms:
    """One room for all agents, and a small one for each, so that none fills it alone."""

    def __init__(self) -> None:
        self._all = Room()
        self._of: dict[str, Room] = {}

    @asynccontextmanager
    async def enter(self, agent: str) -> AsyncIterator[None]:
        """Wait for room for a call of ``agent``, and take it."""
        own = self._of.setdefault(agent, Room(EACH))
        async with own.enter(), self._all.enter():
            yield
