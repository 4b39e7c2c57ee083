"""OANDA's limits, kept on this side: so many requests and so many new connections a second."""

from __future__ import annotations

from collections import deque

import anyio

from mtquant.clock import Clock
from mtquant.errors import ErrorCode, Outcome, Refused, Retry

_SECOND_S = 1.0


class Pace:
    """Lets at most ``rate`` acts pass in any second, and ``slack_s`` more; None is no limit.

    The slack is for ways of different length: what leaves a second apart may come closer together,
    by a quarter of a second on a machine that is busy with other things.
    Who comes early waits for its turn, in the order of coming; who would wait longer than
    ``patience_s`` is refused (rate_limited, not sent), so that no queue grows without end.
    """

    def __init__(
        self, rate: float | None, clock: Clock, *, slack_s: float = 0.25, patience_s: float = 5.0
    ) -> None:
        self._most = None if rate is None else max(1, int(rate))
        self._window_s = max(_SECOND_S, 1 / (rate or 1)) + slack_s
        self._patience_s = patience_s
        self._clock = clock
        self._turns: deque[float] = deque(maxlen=self._most)
        self._blocked_until = 0.0

    def left(self) -> int | None:
        """Return how many acts may pass at once, now; None where nothing limits them."""
        now = self._clock.monotonic()
        if now < self._blocked_until:
            return 0
        if self._most is None:
            return None
        return self._most - sum(turn > now - self._window_s for turn in self._turns)

    def block(self, seconds: float) -> None:
        """Let nothing pass for so long: the venue asked for it."""
        self._blocked_until = max(self._blocked_until, self._clock.monotonic() + seconds)

    async def unblocked(self) -> None:
        """Wait until the venue takes acts again; raises Refused where that is too far away."""
        await self._wait(self._clock.monotonic(), self._blocked_until)

    async def pass_one(self) -> None:
        """Wait for a turn and take it; raises Refused where it is too far away."""
        if self._most is None:
            await self.unblocked()
            return
        now = self._clock.monotonic()
        turn = max(now, self._blocked_until)
        if len(self._turns) == self._most:
            turn = max(turn, self._turns[0] + self._window_s)
        self._check(now, turn)
        self._turns.append(turn)
        await self._wait(now, turn)

    async def _wait(self, now: float, turn: float) -> None:
        self._check(now, turn)
        if turn > now:
            await anyio.sleep(turn - now)

    def _check(self, now: float, turn: float) -> None:
        if turn - now > self._patience_s:
            raise Refused(
                ErrorCode.RATE_LIMITED,
                f"OANDA takes no more than {self._most} of these a second, and asks to wait"
                if self._most
                else "OANDA asks to wait",
                outcome=Outcome.NOT_SENT,
                retry=Retry.SAFE,
                retry_after_s=turn - now,
            )
