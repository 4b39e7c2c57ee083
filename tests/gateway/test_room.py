"""How many calls are worked on at once, and how a flood is slowed down; on a clock that jumps."""

from __future__ import annotations

from functools import partial
from itertools import cycle

import anyio
import pytest
from mcp import Client
from tests.gateway.fake_desk import TOOLS, FakeDesk
from trio.testing import MockClock

from mtquant.agents.answer import Answer
from mtquant.gateway import gateway, server
from mtquant.gateway.refusals import Refusals
from mtquant.gateway.room import CALLS, EACH, HELD_S, Room, Rooms

pytestmark = pytest.mark.anyio
NAMES = [f"agent-{number}" for number in range(2 * CALLS)]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, MockClock]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Calls:
    """Calls that take ``seconds``, and who has begun when."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun: list[tuple[str, float]] = []
        self._start = anyio.current_time()

    async def make(self, rooms: Rooms, name: str) -> None:
        async with rooms.enter(name):
            self.begun.append((name, round(anyio.current_time() - self._start, 3)))
            await anyio.sleep(self.seconds)

    async def all_of(self, names: list[str]) -> None:
        rooms = Rooms()
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(self.make, rooms, name)
                await anyio.sleep(0.001)


async def test_calls_beyond_the_room_wait_in_the_order_in_which_they_came() -> None:
    calls = Calls(0.1)
    await calls.all_of(NAMES)
    assert [name for name, _ in calls.begun] == NAMES
    waited = [at for _, at in calls.begun]
    assert all(at < 0.1 for at in waited[:CALLS])
    assert all(0.1 <= at < HELD_S for at in waited[CALLS:])


async def test_a_call_that_takes_long_makes_room() -> None:
    calls = Calls(60.0)
    await calls.all_of(NAMES)
    waited = [at for _, at in calls.begun]
    assert all(HELD_S <= at < HELD_S + 0.1 for at in waited[CALLS:])


async def test_one_agent_alone_fills_no_room() -> None:
    calls = Calls(0.1)
    await calls.all_of(["greedy"] * CALLS + ["other"])
    before = [name for name, at in calls.begun if at < 0.1]
    assert before == ["greedy"] * EACH + ["other"]


async def test_who_leaves_the_door_takes_no_room() -> None:
    room = Room(1)
    async with room.enter():
        with anyio.move_on_after(HELD_S / 2):
            async with room.enter():
                pytest.fail("there is no room")
    with anyio.fail_after(HELD_S / 2):
        async with room.enter():
            pass


async def test_a_cancel_goes_while_many_calls_wait() -> None:
    desk = FakeDesk(agents={name: tuple(TOOLS) for name in NAMES})
    coming = cycle(NAMES)
    refusals = Refusals(desk)
    calls = server.Calls(desk, TOOLS, lambda: next(coming), refusals, dry_run=False)
    async with Client(server.over(calls)) as client, anyio.create_task_group() as group:
        call = partial(client.session.call_tool, "get_portfolio", {"account": "WAIT"})
        for _ in NAMES:
            group.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        assert desk.under_way == CALLS
        began = anyio.current_time()
        assert not (await client.session.call_tool("cancel_order", {})).is_error
        assert anyio.current_time() == began
        desk.go.set()


async def test_who_calls_too_often_is_told_a_while_later(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = FakeDesk()
    async with Client(gateway(desk, TOOLS, agent="momo")) as client:
        for code, waits in (("rate_limited", True), ("paused", True), ("not_found", False)):
            refused = Answer.refused({"code": code})

            async def refuse(*_: object, answer: Answer = refused, **__: object) -> Answer:
                return answer

            monkeypatch.setattr(desk, "call", refuse)
            began = anyio.current_time()
            assert (await client.session.call_tool("get_portfolio", {})).is_error
            assert (anyio.current_time() - began >= server.PAUSE_S) is waits
