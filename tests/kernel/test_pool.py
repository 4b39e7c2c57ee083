"""Connections on trio's virtual clock: back-off, health, and no second sending."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from mtquant.clock import seeded
from mtquant.contract import Broker
from mtquant.errors import ErrorCode, Outcome, OutcomeUnknown, Refused
from mtquant.model import (
    Account,
    Capabilities,
    Environment,
    Health,
    PositionMode,
    Stream,
    StreamHealth,
)
from mtquant.pins import Pin
from mtquant.pool import ConnectionState, Session, Watch, first_able

WATCH = Watch(health_interval_s=30, recheck_s=1, backoff_s=0.5, backoff_limit_s=8)
WELL = Health(
    connected=True,
    trading_allowed=True,
    reason="",
    time=0,
    unknown_orders=0,
    version="1",
    process_id=7,
)


class Venue(Broker):
    """A broker whose health and fate a test sets."""

    def __init__(self) -> None:
        self.health = WELL
        self.refuses = 0
        self.opened: list[float] = []
        self.gone = False
        self.answers: Exception | None = None
        self.offered = "digest"

    def connect(self) -> AbstractAsyncContextManager[Broker]:
        @asynccontextmanager
        async def connected() -> AsyncIterator[Broker]:
            self.opened.append(trio.current_time())
            if self.refuses:
                self.refuses -= 1
                raise Refused(ErrorCode.NOT_CONNECTED, "no answer", outcome=Outcome.NOT_SENT)
            self.closed = False
            yield self

        return connected()

    async def get_health(self) -> Health:
        return self.health

    async def list_offered(self) -> str:
        return self.offered

    async def get_capabilities(self) -> Capabilities:
        return Capabilities(
            broker="test",
            environment=Environment.PAPER,
            order_types=(),
            time_in_force=(),
            position_mode=PositionMode.NETTING,
            clock="real",
            settling_window_s=0,
        )

    async def get_account(self, account_id: str | None = None) -> Account:  # noqa: ARG002 - the port's
        raise self.answers or Refused(ErrorCode.NOT_FOUND, "none")


def session(venue: Venue) -> Session:
    return Session("a", venue.connect, WATCH, seeded(1))


def on_virtual_time(test: Callable[[], Awaitable[None]]) -> None:
    trio.run(test, clock=MockClock(autojump_threshold=0))


async def nothing() -> None:
    pass


def ignore(_: str) -> None:
    pass


def test_failed_connections_are_retried_with_growing_pauses_up_to_the_limit() -> None:
    async def test() -> None:
        venue = Venue()
        venue.refuses = 8
        subject = session(venue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.run, nothing, lambda: None, ignore)
            await trio.sleep(60)
            assert subject.state is ConnectionState.HEALTHY
            nursery.cancel_scope.cancel()
        pauses = [
            after - before for before, after in zip(venue.opened, venue.opened[1:], strict=False)
        ]
        for number, pause in enumerate(pauses):
            full = min(8, 0.5 * 2**number)
            assert full / 2 <= pause <= full
        assert subject.statistics.restarts == 8

    on_virtual_time(test)


def test_bad_health_makes_it_suspect_then_down_and_it_comes_back() -> None:
    async def test() -> None:
        venue = Venue()
        subject = session(venue)
        seen: list[ConnectionState] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.run, nothing, lambda: seen.append(subject.state), ignore)
            await trio.sleep(1)
            venue.health = replace(WELL, connected=False, reason="terminal lost its broker")
            await trio.sleep(29.5)
            assert [subject.state] == [ConnectionState.SUSPECT]
            assert subject.problem == "terminal lost its broker"
            await trio.sleep(5)
            assert [subject.state] == [ConnectionState.DOWN]
            venue.health = WELL
            await trio.sleep(60)
            assert [subject.state] == [ConnectionState.HEALTHY]
            nursery.cancel_scope.cancel()
        order = [ConnectionState.HEALTHY, ConnectionState.SUSPECT, ConnectionState.DOWN]
        assert [state for state in seen if state in order][:2] == order[:2]
        assert ConnectionState.DOWN in seen

    on_virtual_time(test)


def test_a_fault_is_told_at_once_and_a_dead_connection_is_replaced_without_waiting() -> None:
    async def test() -> None:
        venue = Venue()
        subject = session(venue)
        told: list[ConnectionState] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.run, nothing, lambda: told.append(subject.state), ignore)
            await trio.sleep(1)
            venue.answers = OutcomeUnknown("the connection failed")
            venue.closed = True
            with pytest.raises(OutcomeUnknown):
                await subject.call(lambda it: it.get_account())
            assert told[-1] is ConnectionState.SUSPECT
            await trio.sleep(2)
            assert len(venue.opened) == 2
            assert subject.state is ConnectionState.HEALTHY
            assert subject.statistics.calls == subject.statistics.errors == 1
            nursery.cancel_scope.cancel()

    on_virtual_time(test)


def test_a_plain_refusal_is_no_fault() -> None:
    async def test() -> None:
        subject = session(Venue())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.run, nothing, lambda: None, ignore)
            await trio.sleep(1)
            with pytest.raises(Refused):
                await subject.call(lambda it: it.get_account())
            assert subject.state is ConnectionState.HEALTHY
            assert subject.statistics.errors == 0
            nursery.cancel_scope.cancel()

    on_virtual_time(test)


def test_what_reconciles_runs_before_the_connection_is_trusted() -> None:
    async def test() -> None:
        subject = session(Venue())
        during: list[ConnectionState] = []

        async def reconcile() -> None:
            during.append(subject.state)
            await subject.call(lambda it: it.get_health())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.run, reconcile, lambda: None, ignore)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert during == [ConnectionState.SUSPECT]

    on_virtual_time(test)


@pytest.mark.parametrize(
    ("answer", "moves_on"),
    [
        (Refused(ErrorCode.NOT_CONNECTED, "refused", outcome=Outcome.NOT_SENT), True),
        (OutcomeUnknown("timed out"), False),
        (Refused(ErrorCode.BROKER_REJECTED, "no"), False),
        (Refused(ErrorCode.NOT_CONNECTED, "venue is gone", outcome=Outcome.REJECTED), False),
    ],
)
def test_a_second_server_is_asked_only_where_the_first_was_not_reached(
    answer: Exception, *, moves_on: bool
) -> None:
    async def test() -> None:
        first, second = Venue(), Venue()
        first.answers, second.answers = answer, Refused(ErrorCode.NOT_FOUND, "asked the second")
        sessions = [session(first), session(second)]
        async with trio.open_nursery() as nursery:
            for each in sessions:
                nursery.start_soon(each.run, nothing, lambda: None, ignore)
            await trio.sleep(1)
            with pytest.raises((Refused, OutcomeUnknown)) as caught:
                await first_able(sessions, lambda it: it.get_account())
            assert ("second" in str(caught.value)) == moves_on
            nursery.cancel_scope.cancel()

    on_virtual_time(test)


def test_tools_are_shown_at_each_look_and_what_is_said_of_them_is_kept() -> None:
    async def test() -> None:
        venue, seen = Venue(), list[Pin]()
        subject = session(venue)

        def trusted(server: str, pin: Pin) -> str:
            assert server == "a"
            seen.append(pin)
            return "changed" if pin.tools == "another" else ""

        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.run, nothing, lambda: None, ignore, trusted)
            await trio.sleep(100)
            assert {each.tools for each in seen} == {"digest"}
            assert (seen[0].version, seen[0].environment) == ("1", Environment.PAPER)
            said = [subject.untrusted]
            venue.offered = "another"
            await trio.sleep(100)
            assert [*said, subject.untrusted] == ["", "changed"]
            nursery.cancel_scope.cancel()

    on_virtual_time(test)


def test_a_stream_that_dies_while_health_is_well_raises_one_alarm() -> None:
    async def test() -> None:
        venue, alarms = Venue(), list[str]()
        subject = session(venue)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(subject.run, nothing, lambda: None, alarms.append)
            venue.health = replace(WELL, streams=(StreamHealth(stream=Stream.PRICES, age_s=1),))
            await trio.sleep(100)
            assert not alarms
            venue.health = replace(WELL, streams=(StreamHealth(stream=Stream.PRICES, age_s=500),))
            await trio.sleep(100)
            assert subject.state is ConnectionState.HEALTHY
            assert alarms == ["a: the stream of prices has been silent for 500 s"]
            venue.health = replace(venue.health, trading_allowed=False)
            await trio.sleep(100)
            assert len(alarms) == 1
            nursery.cancel_scope.cancel()

    on_virtual_time(test)
