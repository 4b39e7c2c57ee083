"""How often an agent may call: a token bucket, and another one for what gets it out."""

from __future__ import annotations

from collections import deque

from mtquant.agents.refusal import AgentRefused
from mtquant.agents.tool import Caller
from mtquant.clock import Clock

BURST = 4
"""A burst is so many times the calls of a second."""
REFUSED, PAUSE_S = 30, 60.0
"""Who was refused so often in so many seconds may only get out until they are over."""
PAUSED = "paused"
ALWAYS_PER_S = 20.0
"""What cancels, closes or halts: never held up by other calls, but no flood either."""


class Throttle:
    """Counts the calls of each agent on the time of ``clock``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[tuple[str, bool], tuple[float, float]] = {}
        self._refused: dict[str, deque[float]] = {}

    def admit(self, caller: Caller, *, always: bool) -> None:
        """Count a call; raises AgentRefused where there are too many, or too many in vain."""
        if not always:
            self._require_sense(caller.agent.name)
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

    def note_refused(self, name: str) -> None:
        """Take in that a call was refused or vetoed."""
        self._refused.setdefault(name, deque(maxlen=REFUSED)).append(self._clock.monotonic())

    def _require_sense(self, name: str) -> None:
        """Refuse for a while who was refused over and over: it is in a loop, or worse."""
        refused = self._refused.get(name, deque[float]())
        now = self._clock.monotonic()
        if len(refused) == REFUSED and now - refused[0] < PAUSE_S:
            raise AgentRefused(
                PAUSED,
                f"{REFUSED} calls of yours were refused within {PAUSE_S:g} s",
                f"Stop. Only what cancels, closes or halts is done in the next "
                f"{PAUSE_S - (now - refused[0]):.0f} s. Tell the person what you are trying.",
            )
