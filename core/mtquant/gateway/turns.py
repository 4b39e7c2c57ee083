"""How many calls of one agent may be under way at once, so that none takes the turns of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mtquant.agents.refusal import AgentRefused
from mtquant.gateway.refusals import Refusals

CALLS = 8
"""At most so many calls of one agent at once; what cancels, closes or halts is not counted."""


class Turns:
    """The calls under way, by agent."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def take(self, agent: str) -> Iterator[None]:
        """Hold a turn of ``agent``. Raises AgentRefused where it has none left."""
        if self._under_way[agent] >= CALLS:
            self._refusals.note(agent, "call", f"more than {CALLS} at once")
            raise AgentRefused(
                "rate_limited",
                f"{CALLS} calls of this agent are under way already",
                "Wait for one of their answers, then call again. What cancels, closes or halts"
                " goes through at any time.",
            )
        self._under_way[agent] += 1
        try:
            yield
        finally:
            self._under_way[agent] -= 1
            if not self._under_way[agent]:
                del self._under_way[agent]
