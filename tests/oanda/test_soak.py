"""An hour's ticks, fast: nothing is missed, and nothing piles up."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from decimal import Decimal

import anyio
import anyio.lowlevel
import pytest
from tests.oanda.double import Double, Json, Silence, desk, fill, market, price, until
from tests.oanda.soak import soak

TICKS, FILLS, CHUNK = 36_000, 1_000, 50
POOLED = 4
"""How many more connections may be kept open, because so many were busy at once; what leaks with
each request, tick or execution comes to hundreds in that time."""
GROWTH = 1_000_000
"""What an hour of prices may leave behind, in bytes: what it brought is twenty times as much."""


def tick(number: int) -> Json:
    bid = Decimal("1.1") + Decimal(number) / 100_000
    minute, second = number // 600 % 60, number // 10 % 60
    time = f"2026-11-20T12:{minute:02d}:{second:02d}.{number % 10}Z"
    return price(bid=f"{bid:.5f}", ask=f"{bid + Decimal('0.0001'):.5f}", time=time)


class Ticks(Silence):
    """A stream of an hour's ticks in chunks that end in the middle of a line."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = b""
        for number in range(TICKS):
            rest += json.dumps(tick(number)).encode() + b"\n"
            if number % CHUNK == 0:
                yield rest[:-7]
                rest = rest[-7:]
                self.sent = number
                await anyio.lowlevel.checkpoint()
        yield rest
        self.sent = TICKS
        await self.closed.wait()


@pytest.mark.slow
def test_an_hour_of_ticks_leaves_the_last_price_and_every_execution() -> None:
    async def scene() -> None:
        double, stream = Double(), Ticks()
        double.price_streams = [stream]
        async with desk(double, silence_s=60) as broker:
            seen: list[str] = []
            cursor: str | None = (await broker.get_changes()).cursor
            await broker.get_quotes(("EUR_USD",))
            await until(lambda: stream.sent > TICKS // 10)
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for number in range(1, 2 * FILLS, 2):
                double.book += [market(number, f"a{number}"), fill(number + 1, number)]
                await broker.diary.catch_up()
                page = await broker.get_changes(since=cursor, limit=3)
                seen += [each.execution_id for each in page.fills]
                cursor = page.cursor
            assert seen == [str(each) for each in range(2, 2 * FILLS + 1, 2)]
            with anyio.fail_after(90):
                while stream.sent < TICKS:
                    await anyio.lowlevel.checkpoint()
            last = price_of(TICKS - 1)
            await until(lambda: broker.prices.newest("EUR_USD") == last)
            broker.diary.book.records.clear()
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            fills = sum(len(json.dumps(each)) for each in double.book)
            assert after - before < GROWTH + 10 * fills

    anyio.run(scene)


def price_of(number: int) -> Decimal:
    return Decimal(str(tick(number)["bids"][0]["price"]))


@pytest.mark.slow
def test_an_hours_ticks_through_the_engine_miss_no_execution_and_leave_nothing_behind() -> None:
    found = anyio.run(soak)
    assert found.audited.clean, found.audited
    assert found.balance_differs == 0
    assert found.audited.executions > 50
    assert found.stopped_out > 5, "executions that nobody asked for came by the stream"
    (kilobytes, handles), (later_kilobytes, later_handles) = found.before, found.after
    assert later_kilobytes < kilobytes + 8_000, "in the middle half hour"
    assert later_handles <= handles + POOLED
