"""Quotes without polling: one book of the newest, read by every watcher at its own pace.

Nothing is queued: a watcher that is slow finds, when it comes back, the newest quote of each
instrument that has changed meanwhile. Batches go out as the progress of one long request, which
every MCP client can read; or one by one, as a long poll.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio

from mtquant.clock import Clock
from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import Quote, QuoteBatch, Quotes

INTERVAL_S = 0.025
"""How often a watcher looks: at most 40 batches a second."""
HEARTBEAT_S = 5.0
"""A stream without news says so this often, so that silence means that it is dead."""


class QuoteBook:
    """The newest quotes of ``ask``, numbered in the order in which they changed."""

    def __init__(self, ask: Callable[[tuple[str, ...]], Awaitable[Quotes]], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._epoch = format(clock.now(), "x")
        self._seq = 0
        self._newest: dict[str, tuple[int, Quote]] = {}
        self._asked: dict[tuple[str, ...], float] = {}

    async def watch(
        self, instruments: tuple[str, ...], since: str | None, wait_s: float
    ) -> QuoteBatch:
        """Return what changed after ``since``, waiting up to ``wait_s`` seconds for it."""
        after = self._after(since)
        deadline = anyio.current_time() + wait_s
        while True:
            await self._refresh(instruments)
            changed = self._changed(instruments, after)
            if changed or anyio.current_time() >= deadline:
                return self._batch(1, changed)
            await anyio.sleep(INTERVAL_S)

    async def stream(
        self,
        instruments: tuple[str, ...],
        since: str | None,
        for_s: float,
        send: Callable[[QuoteBatch], Awaitable[None]],
    ) -> QuoteBatch:
        """Send a batch for each change, at most 40 a second, and return the last, empty one.

        While ``send`` waits for a slow client, changes are not kept but overwritten.
        """
        after, sent = self._after(since), 0
        deadline = anyio.current_time() + for_s
        quiet_since = -HEARTBEAT_S
        while (now := anyio.current_time()) < deadline:
            await self._refresh(instruments)
            changed = self._changed(instruments, after)
            if changed or now - quiet_since >= HEARTBEAT_S:
                sent += 1
                after, quiet_since = self._seq, now
                await send(self._batch(sent, changed))
            await anyio.sleep(INTERVAL_S)
        return self._batch(sent, ())

    async def _refresh(self, instruments: tuple[str, ...]) -> None:
        """Ask the broker, unless another watcher of the same instruments has just done so."""
        now = anyio.current_time()
        if now - self._asked.get(instruments, -INTERVAL_S) < INTERVAL_S / 2:
            return
        self._asked[instruments] = now
        for quote in (await self._ask(instruments)).quotes:
            known = self._newest.get(quote.instrument)
            if known is None or known[1] != quote:
                self._seq += 1
                self._newest[quote.instrument] = (self._seq, quote)

    def _changed(self, instruments: Sequence[str], after: int) -> tuple[Quote, ...]:
        found = sorted(self._newest[each] for each in instruments if each in self._newest)
        return tuple(quote for seq, quote in found if seq > after)

    def _batch(self, seq: int, quotes: tuple[Quote, ...]) -> QuoteBatch:
        cursor = f"{self._epoch}.{self._seq}"
        return QuoteBatch(seq=seq, cursor=cursor, time=self._clock.now(), quotes=quotes)

    def _after(self, since: str | None) -> int:
        """Read a cursor; one of an earlier life of the server has seen none of these numbers."""
        if since is None:
            return 0
        epoch, _, seq = since.partition(".")
        if not (seq.isascii() and seq.isdigit()):
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                "since: not a cursor that this server has given",
                outcome=Outcome.NOT_SENT,
                retry=Retry.AFTER_FIX,
                field="since",
            )
        return int(seq) if epoch == self._epoch else 0
