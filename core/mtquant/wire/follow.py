"""Quotes as they come: the newest of each instrument, by whatever way the server has.

A stream of batches where the server sends one; else a long poll, else one call after another.
Whoever is told is told in the caller's task group and must not block: there is no queue, a batch
that comes before the last was looked at merely overwrites it.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio

from mtquant.contract import Broker
from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import Quote, QuoteBatch
from mtquant.wire.quotes import HEARTBEAT_S
from mtquant.wire.remote import Remote

SILENCE_S = 3 * HEARTBEAT_S
"""A stream that says nothing for so long is dead, whatever else of the server lives."""
POLL_S = 0.5
"""How often quotes are asked for where they can't be watched."""
LEG_S = 600.0
"""A stream is begun anew after so long, so that none goes on that nobody hears."""


class _Stream:
    """What one client knows of one stream."""

    def __init__(self, on_quotes: Callable[[tuple[Quote, ...]], None]) -> None:
        self._on_quotes = on_quotes
        self._times: dict[str, int] = {}
        self.cursor: str | None = None
        self.heard = anyio.Event()
        self.batches = 0
        self.gap = False
        self._newest = 0

    def on_batch(self, batch: QuoteBatch) -> None:
        """Take a batch in; a number that is missing, or comes late, is a gap."""
        self.gap = self.gap or batch.seq != self._newest + 1
        self._newest = max(self._newest, batch.seq)
        self.batches += 1
        self.take(batch.quotes)
        if not self.gap:  # what comes after a gap says nothing of what was in it
            self.cursor = batch.cursor
        self.heard.set()

    def take(self, quotes: tuple[Quote, ...]) -> None:
        """Hand on those of ``quotes`` that are no older than the last of their instrument."""
        fresh = tuple(each for each in quotes if each.time >= self._times.get(each.instrument, 0))
        self._times.update((each.instrument, each.time) for each in fresh)
        if fresh:
            self._on_quotes(fresh)

    def begin(self) -> None:
        """Start counting anew: a new request numbers its batches from 1."""
        self._newest, self.batches, self.gap = 0, 0, False


async def follow_quotes(
    broker: Broker,
    instruments: tuple[str, ...],
    on_quotes: Callable[[tuple[Quote, ...]], None],
) -> None:
    """Call ``on_quotes`` with quotes as they change, until a call fails.

    Raises Refused (not_connected) where the stream falls silent, and as the broker's own calls
    do. A gap in a stream is closed by asking for the newest of every instrument.
    """
    offers = isinstance(broker, Remote) and broker.offers("watch_quotes")
    stream = _Stream(on_quotes)
    while offers and isinstance(broker, Remote):
        stream.begin()
        await _leg(broker, instruments, stream)
        if not stream.batches:
            offers = False  # the batches don't get through here: poll
            while True:
                batch = await broker.watch_quotes(instruments, since=stream.cursor)
                stream.cursor = batch.cursor
                stream.take(batch.quotes)
    while True:
        stream.take((await broker.get_quotes(instruments)).quotes)
        await anyio.sleep(POLL_S)


async def _leg(broker: Remote, instruments: tuple[str, ...], stream: _Stream) -> None:
    """Hear one request's batches to its end; return earlier where none ever comes."""
    failures: list[Exception] = []

    async def listen(scope: anyio.CancelScope) -> None:
        try:
            await broker.stream_quotes(
                instruments, stream.on_batch, since=stream.cursor, for_s=LEG_S
            )
        except Exception as error:  # noqa: BLE001 - handed to the caller, out of the group
            failures.append(error)
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(listen, group.cancel_scope)
        while True:
            stream.heard = anyio.Event()
            with anyio.move_on_after(SILENCE_S) as waiting:
                await stream.heard.wait()
            if waiting.cancelled_caught:
                group.cancel_scope.cancel()
                if stream.batches:
                    failures.append(_silent())
                break
            if stream.gap:
                stream.take((await broker.get_quotes(instruments)).quotes)
                stream.gap = False
    if failures:
        raise failures[0]


def _silent() -> Refused:
    return Refused(
        ErrorCode.NOT_CONNECTED,
        f"the stream of prices said nothing for {SILENCE_S:g} s",
        outcome=Outcome.NOT_SENT,
        retry=Retry.SAFE,
    )
