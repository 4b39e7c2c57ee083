"""The clocks of servers and venues; all of them move with the simulation's own."""

from __future__ import annotations

from collections.abc import Callable

from mtquant.clock import SECOND

_BEGIN_S = 100_000.0


class VirtualClock:
    """The servers' clock: it moves with the simulation's, but for the jumps of whoever sets it."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.jumped_s = 0.0

    def jump(self, seconds: float) -> None:
        """Set the wall clock, as a time server does; what measures durations goes on."""
        self.jumped_s += seconds

    def now(self) -> int:
        return round((self._seconds() + _BEGIN_S + self.jumped_s) * SECOND)

    def monotonic(self) -> float:
        return self._seconds()


class MarketClock:
    """A venue's: its market comes to where the replay is, and time passes in between."""

    def __init__(self, seconds: Callable[[], float], opens: int) -> None:
        self._seconds, self._time, self._since = seconds, opens, seconds()

    def come_to(self, time: int) -> None:
        """Move on; back it never goes, though a process of ours begins anew further back."""
        self._time, self._since = max(time, self.now()), self._seconds()

    def now(self) -> int:
        return self._time + round((self._seconds() - self._since) * SECOND)

    def monotonic(self) -> float:
        return self._seconds()


class ServerClock:
    """A server's before that venue: the market's time, but for the jumps of whoever sets it."""

    def __init__(self, market: MarketClock, wall: VirtualClock) -> None:
        self._market, self._wall = market, wall

    def now(self) -> int:
        return self._market.now() + round(self._wall.jumped_s * SECOND)

    def monotonic(self) -> float:
        return self._market.monotonic()
