"""Streams that die, beat without news, or lie: nothing is lost, nothing old served as new."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import anyio
import httpx2
import pytest
from tests.oanda.double import (
    TIME,
    TOKEN,
    Double,
    Json,
    Silence,
    desk,
    fill,
    limit,
    market,
    ok,
    price,
    settings,
    until,
)

from mtquant.clock import SECOND, ManualClock, SystemClock, parse_time, seeded
from mtquant.errors import BrokerError, ErrorCode
from mtquant.model import Stream
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.feeds import Pauses

LATER = "2026-11-20T12:00:05.000000000Z"


def run(scene: Callable[[], Awaitable[None]]) -> None:
    anyio.run(scene)


def test_prices_come_from_the_stream_once_it_is_open() -> None:
    async def scene() -> None:
        double = Double()
        double.price_streams = [Silence(price(bid="1.20000", ask="1.20010", time=LATER))]
        async with desk(double) as broker:
            await broker.get_quotes(("EUR_USD",))
            await until(lambda: broker.prices.age_s is not None)
            asked = len(double.sent("GET", "/pricing"))
            (quote,) = (await broker.get_quotes(("EUR_USD",))).quotes
            assert quote.bid == Decimal("1.2")
            assert len(double.sent("GET", "/pricing")) == asked, "asked though a stream vouches"

    run(scene)


def test_a_price_is_not_served_when_its_stream_has_fallen_silent_and_oanda_is_gone() -> None:
    async def scene() -> None:
        double, clock = Double(), ManualClock(parse_time(TIME))
        double.price_streams = [Silence(price())]
        async with desk(double, clock) as broker:
            await broker.get_quotes(("EUR_USD",))
            await until(lambda: broker.prices.age_s is not None)
            clock.set(clock.now() + 13 * SECOND)
            double.answers["GET", "/pricing"] = ok({}, 503)
            with pytest.raises(BrokerError) as caught:
                await broker.get_quotes(("EUR_USD",))
            assert caught.value.code is ErrorCode.NOT_CONNECTED

    run(scene)


def test_a_stream_that_beats_but_brings_no_prices_is_found_out_and_opened_anew() -> None:
    async def scene() -> None:
        double, clock = Double(), ManualClock(parse_time(TIME))
        beat = {"type": "HEARTBEAT", "time": TIME}
        double.price_streams = [Silence(price(), beat)]
        async with desk(double, clock, silence_s=600, quote_age_s=30) as broker:
            await broker.get_quotes(("EUR_USD",))
            await until(lambda: broker.prices.age_s is not None)
            streams = len(double.sent("GET", "/pricing/stream"))
            clock.set(clock.now() + 31 * SECOND)
            double.prices["EUR_USD"] = price(bid="1.30000", ask="1.30010", time=LATER)
            (quote,) = (await broker.get_quotes(("EUR_USD",))).quotes
            assert quote.bid == Decimal("1.3")
            await until(lambda: len(double.sent("GET", "/pricing/stream")) > streams)

    run(scene)


def test_a_price_that_oanda_says_again_is_confirmed_and_its_stream_stays() -> None:
    async def scene() -> None:
        double, clock = Double(), ManualClock(parse_time(TIME))
        double.price_streams = [Silence(price())]
        double.priced_at = TIME
        async with desk(double, clock, silence_s=600, quote_age_s=30) as broker:
            await broker.get_quotes(("EUR_USD",))
            await until(lambda: broker.prices.age_s is not None)
            streams = len(double.sent("GET", "/pricing/stream"))
            (first,) = (await broker.get_quotes(("EUR_USD",))).quotes
            clock.set(clock.now() + 31 * SECOND)
            double.priced_at = LATER
            (again,) = (await broker.get_quotes(("EUR_USD",))).quotes
            assert again.time == first.time, "a price that didn't move is stamped as it was"
            assert again.known_at == parse_time(LATER)
            broker.prices.put(price())  # as a stream that is opened anew brings it
            (held,) = (await broker.get_quotes(("EUR_USD",))).quotes
            assert held == again
            assert len(double.sent("GET", "/pricing/stream")) == streams

    run(scene)


def test_an_older_price_never_replaces_a_newer_one() -> None:
    async def scene() -> None:
        double = Double()
        late = price(bid="1.00000", ask="1.00010", time="2026-11-20T11:00:00Z")
        double.price_streams = [Silence(late)]
        async with desk(double) as broker:
            await broker.get_quotes(("EUR_USD",))
            await until(lambda: broker.prices.age_s is not None)
            (quote,) = (await broker.get_quotes(("EUR_USD",))).quotes
            assert quote.bid == Decimal("1.1")

    run(scene)


def test_what_happened_while_the_stream_was_away_is_asked_for() -> None:
    async def scene() -> None:
        double = Double()
        double.book = [market(1, "a"), fill(2, 1)]
        broken = Silence(ends=True)
        double.transaction_streams = [broken, Silence()]
        async with desk(double) as broker:
            cursor = (await broker.get_changes()).cursor
            assert cursor == "2"
            double.book += [market(3, "b"), fill(4, 3)]  # while no stream is open
            page = await broker.get_changes(since=cursor, wait_s=5)
            assert [each.execution_id for each in page.fills] == ["4"]
            assert page.cursor == "4"

    run(scene)


def test_those_who_wait_without_a_stream_ask_now_and_then_and_wake_nobody_for_nothing() -> None:
    async def scene() -> None:
        double = Double()

        def broken(request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("no", request=request)

        double.answers["GET", "/transactions/stream"] = broken
        async with desk(double) as broker:
            cursor = (await broker.get_changes()).cursor
            before = len(double.seen)
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(lambda: broker.get_changes(since=cursor, wait_s=1.5))
            # Five callers: each asks when it comes, after a second, and a stream that is tried.
            assert len(double.seen) - before < 30

    run(scene)


def test_a_heartbeat_that_tells_of_more_than_came_makes_it_ask() -> None:
    async def scene() -> None:
        double = Double()
        beat = {"type": "HEARTBEAT", "time": TIME, "lastTransactionID": "2"}
        async with desk(double) as broker:
            stream = Later(beat)
            double.transaction_streams = [stream]
            cursor = (await broker.get_changes()).cursor
            await until(lambda: broker.diary.alive)
            double.book = [market(1, "a"), fill(2, 1)]
            stream.go.set()
            page = await broker.get_changes(since=cursor, wait_s=5)
            assert {each.order_id for each in page.orders} == {"1"}

    run(scene)


class Later(Silence):
    """A stream whose lines come when it is told."""

    def __init__(self, *lines: Json) -> None:
        super().__init__(*lines)
        self.go = anyio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self.go.wait()
        async for each in super().__aiter__():
            yield each


def test_a_gap_in_the_stream_is_filled_before_what_follows_it() -> None:
    async def scene() -> None:
        double = Double()
        stream = Later(fill(4, 3))
        double.transaction_streams = [stream]
        async with desk(double) as broker:
            cursor = (await broker.get_changes()).cursor
            await until(lambda: broker.diary.alive)
            double.book = [market(1, "a"), fill(2, 1), market(3, "b"), fill(4, 3)]
            stream.go.set()
            await until(lambda: broker.diary.book.last == 4)
            page = await broker.get_changes(since=cursor)
            assert [each.execution_id for each in page.fills] == ["2", "4"]

    run(scene)


def test_pages_of_one_bring_everything_once() -> None:
    async def scene() -> None:
        double = Double()
        for number in range(1, 41, 2):
            double.book += [market(number, f"a{number}"), fill(number + 1, number)]
        async with desk(double) as broker:
            found: list[str] = []
            cursor, more = None, True
            while more:
                page = await broker.get_changes(since=cursor, limit=1)
                found += [each.execution_id for each in page.fills]
                cursor, more = page.cursor, page.more
            assert found == [str(number + 1) for number in range(1, 41, 2)]

    run(scene)


def test_a_cursor_from_before_the_book_reads_further_back() -> None:
    async def scene() -> None:
        double = Double()
        for number in range(1, 401, 2):
            double.book += [market(number, f"a{number}"), fill(number + 1, number)]
        async with desk(double, history=100) as broker:
            assert len((await broker.list_fills()).fills) == 50
            assert len((await broker.list_fills(since="200")).fills) == 100
            assert len((await broker.list_fills(since="0")).fills) == 200

    run(scene)


def test_a_cursor_from_ahead_is_refused() -> None:
    async def scene() -> None:
        double = Double()
        double.book = [market(1, "a")]
        async with desk(double) as broker:
            with pytest.raises(BrokerError) as caught:
                await broker.get_changes(since="2")
            assert caught.value.code is ErrorCode.INVALID_ARGUMENT

    run(scene)


def test_a_transaction_that_cant_be_read_is_told_and_stops_trading() -> None:
    async def scene() -> None:
        double = Double()
        double.book = [limit(1, "a"), fill(2, 1, price="a lot")]
        async with desk(double) as broker:
            health = await broker.get_health()
            assert health.connected
            assert not health.trading_allowed
            assert "can't be read" in health.reason

    run(scene)


def test_health_tells_that_oanda_is_not_reached_and_recovers() -> None:
    async def scene() -> None:
        double = Double()

        def broken(request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("no", request=request)

        double.answers["GET", ""] = broken
        async with desk(double) as broker:
            health = await broker.get_health()
            assert (health.connected, health.trading_allowed) == (False, False)
            double.answers.clear()
            health = await broker.get_health()
            assert (health.connected, health.trading_allowed) == (True, True)
            assert health.age(Stream.PRICES) is None

    run(scene)


def test_health_does_not_wait_for_an_oanda_that_hangs_and_the_reading_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mtquant_oanda_server.broker._HEALTH_S", 0.05)

    class Slow(Double):
        def __init__(self) -> None:
            super().__init__()
            self.go = anyio.Event()

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await self.go.wait()
            return await super().handle_async_request(request)

    async def scene() -> None:
        double = Slow()
        async with desk(double) as broker:
            for _ in range(3):
                health = await broker.get_health()
                assert (health.connected, health.trading_allowed) == (False, False)
                assert "within" in health.reason
            double.go.set()
            await broker.get_account()
            assert (await broker.get_health()).connected
            assert len(double.sent("GET", "/instruments")) == 1, "it began anew each time"

    run(scene)


def test_pauses_grow_to_half_a_minute_and_begin_anew() -> None:
    pauses = Pauses(seeded(3))
    found = [pauses.next() for _ in range(12)]
    assert 0.25 <= found[0] <= 0.5
    assert all(15 <= each <= 30 for each in found[-3:])
    pauses.reset()
    assert pauses.next() <= 0.5


def test_the_broker_ends_its_streams_when_it_is_left(tmp_path: Path) -> None:
    async def scene() -> None:
        double = Double()
        stream = Silence()
        double.transaction_streams = [stream]
        broker = OandaBroker(settings(), TOKEN, SystemClock(), tmp_path, transport=double)
        for _ in range(2):  # it is entered anew at each restart
            with anyio.fail_after(5):
                async with broker:
                    await broker.get_account()
                    await until(lambda: broker.diary.alive)
        assert stream.closed.is_set()

    run(scene)
