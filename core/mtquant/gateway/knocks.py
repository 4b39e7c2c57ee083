"""Attempts to come in without a token that is anybody's."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

TRIES = 10
"""So many failed attempts of one address within a minute are answered; more are turned away."""
WITHIN_S = 60.0
ADDRESSES = 1024
"""The addresses that are remembered; the one that failed longest ago is forgotten first."""


class Knocks:
    """The failed attempts of the last minute, by address; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str) -> float:
        """Count a failed attempt; return for how many seconds there may be no more, 0 for none.

        Who has a token is never held up by it: many agents come from one address, the loopback.
        """
        now = self._clock()
        times = self._failed.setdefault(address, deque(maxlen=TRIES))
        self._failed.move_to_end(address)
        while len(self._failed) > ADDRESSES:
            self._failed.popitem(last=False)
        if len(times) == TRIES and now - times[0] < WITHIN_S:
            return WITHIN_S - (now - times[0])
        times.append(now)
        return 0.0
