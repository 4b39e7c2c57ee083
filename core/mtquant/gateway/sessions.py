"""The sessions that agents keep open; clients of 2026-07-28 and later have none.

The SDK binds each to the agent that opened it, ends idle ones and bounds how many there are. What
it lacks is a bound for each agent: one could open them all, and leave none to the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

SESSIONS = 512
"""At most so many sessions in all."""
EACH = 64
"""At most so many sessions of one agent."""
IDLE_S = 1800.0
"""A session without a request for so long is ended."""


@dataclass(slots=True)
class _Session:
    agent: str
    requests: int
    since: float


class Sessions:
    """The open sessions by their ids, as the answers tell them; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._open: dict[str, _Session] = {}
        self._opening: Counter[str] = Counter()

    def full(self, agent: str) -> bool:
        """Tell whether ``agent`` has as many as it may, with those that are being opened."""
        now = self._clock()
        for key, each in list(self._open.items()):
            if not each.requests and now - each.since > IDLE_S:
                del self._open[key]
        mine = sum(each.agent == agent for each in self._open.values())
        return mine + self._opening[agent] >= EACH

    def opening(self, agent: str) -> None:
        """Count a session that ``agent`` asks for, until it is :meth:`opened`."""
        self._opening[agent] += 1

    def opened(self, agent: str, key: str | None) -> None:
        """Take in the session that was asked for; ``key`` is None where it came to nothing."""
        self._opening[agent] -= 1
        if not self._opening[agent]:
            del self._opening[agent]
        if key is not None:
            self._open[key] = _Session(agent, 0, self._clock())

    def begin(self, agent: str, key: str) -> None:
        """Count a request of ``agent`` within his session ``key``."""
        found = self._of(agent, key)
        if found is not None:
            found.requests += 1

    def end(self, agent: str, key: str, *, gone: bool) -> None:
        """Count the end of a request within ``key``; ``gone`` where the session is no more."""
        found = self._of(agent, key)
        if found is not None and gone:
            del self._open[key]
        elif found is not None:
            found.requests -= 1
            found.since = self._clock()

    def _of(self, agent: str, key: str) -> _Session | None:
        found = self._open.get(key)
        return found if found is not None and found.agent == agent else None
