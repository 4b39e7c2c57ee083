"""STR: news that comes without being asked for again and again."""

from __future__ import annotations

import anyio

from mtquant.clock import SECOND
from mtquant.errors import ErrorCode
from mtquant.model import QuoteBatch, Stream
from mtquant.testing.bench import Bench, expect
from mtquant.testing.case import Skipped, case

_WATCH = "tool:watch_quotes"


@case("STR-001", "The first look at watched quotes brings them all", _WATCH)
async def first(bench: Bench) -> None:
    """Let get_quotes answer without waiting for the next tick."""
    name = bench.instrument.instrument
    batch = await bench.remote.watch_quotes((name,), wait_s=5)
    expect([each.instrument for each in batch.quotes] == [name], name, batch.quotes)
    newest = await bench.quote()
    expect(batch.quotes[0].time <= newest.time, "a quote of the past or now", batch.quotes[0])


@case("STR-002", "A look after the last brings only what has changed", _WATCH)
async def second(bench: Bench) -> None:
    """Stamp a quote with the time at which it last moved."""
    name = bench.instrument.instrument
    batch = await bench.remote.watch_quotes((name,), wait_s=0)
    again = await bench.remote.watch_quotes((name,), since=batch.cursor, wait_s=0)
    expect(again.quotes != batch.quotes or not batch.quotes, "what changed", again.quotes)


@case("STR-003", "A stream numbers its batches from one, without a gap", _WATCH)
async def numbered(bench: Bench) -> None:
    """Number the batches of each stream from 1, and lose none."""
    seen: list[QuoteBatch] = []
    name = bench.instrument.instrument
    await bench.remote.stream_quotes((name,), seen.append, for_s=1)
    numbers = sorted(each.seq for each in seen)
    expect(numbers == list(range(1, len(numbers) + 1)), "1, 2, 3 …", numbers)
    expect(numbers, "at least one batch", "none")


@case("STR-004", "A stream ends when its reader leaves", _WATCH)
async def left(bench: Bench) -> None:
    """End the stream when its request is cancelled, and go on serving."""
    name = bench.instrument.instrument
    with anyio.move_on_after(0.5):
        await bench.remote.stream_quotes((name,), lambda _: None, for_s=3600)
    await bench.remote.get_health()  # the connection lives, and answers


@case("STR-005", "A cursor of quotes from elsewhere is refused", _WATCH)
async def strange(bench: Bench) -> None:
    """Refuse a cursor that this server has not given."""
    await bench.refused(
        bench.remote.watch_quotes((bench.instrument.instrument,), since="nonsense"),
        ErrorCode.INVALID_ARGUMENT,
    )


@case("STR-006", "The age of prices is told, and is that of the newest quote")
async def age(bench: Bench) -> None:
    """Measure the age from the last message of the price stream, not from a heartbeat."""
    health = await bench.remote.get_health()
    told = health.age(Stream.PRICES)
    if told is None:
        raise Skipped("health declares no stream of prices")
    newest = max(
        each.time
        for each in (
            await bench.remote.get_quotes(tuple(one.instrument for one in bench.instruments[:50]))
        ).quotes
    )
    now = (await bench.remote.get_health()).time
    oldest = (now - newest) / SECOND
    expect(
        told <= oldest + 5,
        f"at most about {oldest:.0f} s",
        told,
        "A stale price must not be stamped as new.",
    )
