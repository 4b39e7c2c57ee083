"""How often an agent may call: a token bucket, and another one for what gets it out."""

from __future__ import annotations

from mtquant.agents.refusal import AgentRefused
from mtquant.agents.tool import Caller
from mtquant.clock import Clock

BURST = 4
"""A burst is so many times the calls of a second."""
ALWAYS_PER_S = 20.0
"""What cancels, closes or halts: never held up by other calls, but no flood either."""


class Throttle:
    """Counts the calls of each agent on the time of ``clock``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[tuple[str, bool], tuple[float, float]] = {}

    def admit(self, caller: Caller, *, always: bool) -> None:
        """Count a call; raises AgentRefused (rate_limited) where there are too many."""
        rate = ALWAYS_PER_S if always else caller.agent.budget.calls_per_second
        most, now = max(BURST * rate, 1.0), self._clock.monotonic()
        key = caller.agent.name, always
        left, since = self._left.get(key, (most, now))
        left = min(most, left + (now - since) * rate)
        if left < 1:
            self._left[key] = (left, now)
            wait = (1 - left) / rate
            raise AgentRefused(
                "rate_limited",
                f"more than {rate:g} calls a second",
                f"Call again in {wait:.1f} s. You are calling in a loop: think before the next.",
            )
        self._left[key] = (left - 1, now)
