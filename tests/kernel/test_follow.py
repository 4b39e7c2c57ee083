"""The client's side of watched quotes: gaps, silence, servers that can't stream."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anyio
import pytest
from tests.kernel.fake_broker import FakeBroker
from trio.testing import MockClock

from mtquant.errors import ErrorCode, Refused
from mtquant.model import Quote, QuoteBatch, Quotes
from mtquant.wire import Remote, serve
from mtquant.wire.follow import LEG_S, POLL_S, SILENCE_S, follow_quotes
from mtquant.wire.quotes import HEARTBEAT_S

pytestmark = pytest.mark.anyio
D = Decimal


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Ticking(FakeBroker):
    """Its price is the time; it hangs from ``hangs_at`` on."""

    hangs_at = float("inf")

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        now = anyio.current_time()
        if now >= self.hangs_at:
            await anyio.sleep_forever()
        price = D(int(now) + 1)
        return Quotes(quotes=tuple(quote(each, price, int(now)) for each in instruments))


def quote(instrument: str, price: Decimal, time: int) -> Quote:
    return Quote(instrument=instrument, bid=price, ask=price, time=time)


async def test_each_change_comes_once_and_in_order() -> None:
    seen: list[Decimal] = []
    async with Remote(serve(Ticking())) as remote:
        with anyio.move_on_after(20):
            await follow_quotes(remote, ("A",), lambda new: seen.append(new[-1].bid))
    assert len(seen) >= 19
    assert seen == sorted(set(seen))


async def test_a_stream_outlives_its_request() -> None:
    seen: list[Decimal] = []
    async with Remote(serve(Ticking())) as remote:
        with anyio.move_on_after(LEG_S + 100):
            await follow_quotes(remote, ("A",), lambda new: seen.append(new[-1].bid))
    assert len(seen) >= LEG_S + 98
    assert seen == sorted(set(seen))


async def test_silence_is_a_lost_connection() -> None:
    broker = Ticking()
    broker.hangs_at = anyio.current_time() + 10
    async with Remote(serve(broker)) as remote:
        started = anyio.current_time()
        with pytest.raises(Refused) as refused:
            await follow_quotes(remote, ("A",), lambda _: None)
        assert refused.value.code is ErrorCode.NOT_CONNECTED
        assert 10 <= anyio.current_time() - started <= 12 + SILENCE_S + HEARTBEAT_S


class Scripted(Remote):
    """Streams the batches that a test writes down."""

    def __init__(self, batches: list[QuoteBatch]) -> None:
        super().__init__(serve(FakeBroker()))
        self.batches = batches
        self.polled = 0
        self.since: list[str | None] = []

    async def stream_quotes(
        self,
        instruments: tuple[str, ...],  # noqa: ARG002 - as the remote's
        on_batch: Callable[[QuoteBatch], None],
        *,
        since: str | None = None,
        for_s: float = 0,
    ) -> QuoteBatch:
        self.since.append(since)
        for each in self.batches:
            on_batch(each)
            await anyio.sleep(0.1)
        await anyio.sleep(for_s)
        return QuoteBatch(seq=0, cursor="end", time=0, quotes=())

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        self.polled += 1
        return Quotes(quotes=tuple(quote(each, D(99), 99) for each in instruments))


def batch(seq: int, *quotes: Quote) -> QuoteBatch:
    return QuoteBatch(seq=seq, cursor=f"e.{seq}", time=0, quotes=quotes)


async def follow(remote: Remote, for_s: float) -> list[tuple[Quote, ...]]:
    seen: list[tuple[Quote, ...]] = []
    with anyio.move_on_after(for_s):
        await follow_quotes(remote, ("A", "B"), seen.append)
    return seen


async def test_a_gap_is_closed_by_asking_for_the_newest() -> None:
    first, third = batch(1, quote("A", D(1), 1)), batch(3, quote("A", D(3), 3))
    remote = Scripted([first, third])
    async with remote:
        seen = await follow(remote, 5)
    assert remote.polled == 1
    assert [each[0].bid for each in seen] == [1, 3, 99]
    assert {each.instrument for each in seen[-1]} == {"A", "B"}


async def test_without_a_gap_nothing_is_asked() -> None:
    remote = Scripted([batch(1, quote("A", D(1), 1)), batch(2), batch(3, quote("A", D(3), 3))])
    async with remote:
        seen = await follow(remote, 5)
    assert remote.polled == 0
    assert len(seen) == 2


async def test_an_older_quote_never_replaces_a_newer() -> None:
    remote = Scripted([batch(1, quote("A", D(5), 5)), batch(2, quote("A", D(4), 4))])
    async with remote:
        seen = await follow(remote, 5)
    assert [each[0].bid for each in seen] == [5]


async def test_where_batches_do_not_get_through_it_polls() -> None:
    class Mute(Scripted):
        async def watch_quotes(
            self,
            instruments: tuple[str, ...],  # noqa: ARG002 - as the remote's
            since: str | None = None,
            wait_s: float = 25,
            for_s: float = 0,  # noqa: ARG002
        ) -> QuoteBatch:
            self.since.append(since)
            await anyio.sleep(wait_s)
            return batch(1, quote("A", D(len(self.since)), len(self.since)))

    remote = Mute([])
    async with remote:
        seen = await follow(remote, SILENCE_S + 80)
    assert [each[0].bid for each in seen] == [2, 3, 4]
    assert remote.since == [None, None, "e.1", "e.1", "e.1"]


async def test_a_broker_that_cannot_be_watched_is_asked() -> None:
    class Plain(FakeBroker):
        """No remote at all."""

    seen: list[tuple[Quote, ...]] = []
    with anyio.move_on_after(10 * POLL_S - 0.1):
        await follow_quotes(Plain(), ("A",), seen.append)
    assert len(seen) == 10


async def test_a_failing_call_ends_it() -> None:
    broker = Ticking()
    async with Remote(serve(broker)) as remote:
        with pytest.raises(Refused):
            await follow_quotes(remote, ("x" * 65,), lambda _: None)
