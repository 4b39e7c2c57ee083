"""The sessions of clients before 2026-07-28: bounded, each its opener's, and ended when idle."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx2
import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.fake_desk import TOOLS, FakeDesk

from mtquant.gateway import http, run_gateway_http, sessions
from mtquant.gateway.caller import caller_of
from mtquant.gateway.http import Gate
from mtquant.gateway.refusals import Refusals
from mtquant.gateway.server import Calls
from mtquant.gateway.sessions import EACH, IDLE_S, Sessions

VERSION = "2025-06-18"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": VERSION,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
CALL = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "get_portfolio", "arguments": {}},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn runs on nothing else


class Agent:
    """A client of one agent; its token is its name."""

    def __init__(self, name: str, url: str, client: httpx2.AsyncClient) -> None:
        self.name, self.url, self.client = name, url, client

    async def send(self, method: str, body: Any = None, key: str | None = None) -> httpx2.Response:  # noqa: ANN401 - JSON
        headers = {
            "authorization": f"Bearer {self.name}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
        }
        if key is not None:
            headers |= {"mcp-session-id": key, "mcp-protocol-version": VERSION}
        content = b"" if body is None else json.dumps(body).encode()
        return await self.client.request(method, self.url, content=content, headers=headers)

    async def open(self) -> httpx2.Response:
        return await self.send("POST", INITIALIZE)

    async def session(self) -> str:
        """Open one, and return its id."""
        return str((await self.open()).headers["mcp-session-id"])

    async def call(self, key: str) -> int:
        """Call a tool within ``key``, and return the status."""
        return (await self.send("POST", CALL, key)).status_code


def known(token: str) -> str | None:
    return token if token in {"momo", "other"} else None


@asynccontextmanager
async def serving(desk: FakeDesk) -> AsyncIterator[tuple[Agent, Agent]]:
    run = partial(run_gateway_http, desk, TOOLS, authenticate=known, port=0, signals=False)
    async with anyio.create_task_group() as group:
        url = f"http://127.0.0.1:{await group.start(run)}/mcp"
        async with httpx2.AsyncClient() as client:
            yield Agent("momo", url, client), Agent("other", url, client)
        group.cancel_scope.cancel()


def desk() -> FakeDesk:
    return FakeDesk(agents=dict.fromkeys(("momo", "other"), tuple(TOOLS)))


@pytest.mark.slow
@pytest.mark.anyio
async def test_an_agent_that_keeps_a_thousand_open_is_refused_and_others_are_not() -> None:
    told = desk()
    async with serving(told) as (momo, other):
        answers = [await momo.open() for _ in range(1000)]
        assert [each.status_code for each in answers] == [200] * EACH + [429] * (1000 - EACH)
        assert "DELETE" in answers[-1].json()["error"]["message"]
        mine = answers[0].headers["mcp-session-id"]
        assert await momo.call(mine) == 200  # what is open goes on
        assert await other.call(await other.session()) == 200
        assert (await momo.send("DELETE", key=mine)).status_code == 200
        assert await momo.call(await momo.session()) == 200  # there is room for one again
        assert (await momo.open()).status_code == 429
    refused = [each for each in told.refused if each[:2] == ("momo", "session")]
    assert refused
    assert len(refused) < 30  # a flood is few entries


@pytest.mark.anyio
async def test_a_session_is_its_openers_alone() -> None:
    told = desk()
    async with serving(told) as (momo, other):
        mine = await momo.session()
        assert await other.call(mine) == 404
        assert (await other.send("DELETE", key=mine)).status_code == 404
        assert not told.calls
        assert await momo.call(mine) == 200
        assert await momo.call("f" * 32) == 404


@pytest.mark.anyio
async def test_whose_session_it_is_does_not_let_him_in() -> None:
    told = desk()
    async with serving(told) as (momo, _):
        mine = await momo.session()
        stolen = Agent("nobody", momo.url, momo.client)
        assert await stolen.call(mine) == 401
    assert not told.calls


@pytest.mark.anyio
async def test_there_are_only_so_many_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SESSIONS", 2)
    async with serving(desk()) as (momo, other):
        mine = [await momo.session() for _ in range(2)]
        assert (await other.open()).status_code == 503
        await momo.send("DELETE", key=mine[0])
        assert (await other.open()).status_code == 200


@pytest.mark.anyio
async def test_what_opens_no_session_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "EACH", 1)
    async with serving(desk()) as (momo, _):
        for _ in range(3):
            assert (await momo.send("POST", CALL)).status_code == 400
            assert (await momo.send("GET")).status_code == 400
        assert (await momo.open()).status_code == 200


def test_idle_sessions_make_room_and_those_in_use_do_not() -> None:
    now = 0.0
    held = Sessions(lambda: now)
    for number in range(EACH):
        held.opening("momo")
        held.opened("momo", str(number))
    assert held.full("momo")
    assert not held.full("other")
    held.begin("momo", "0")
    now = IDLE_S + 1
    assert not held.full("momo")  # all but one were idle
    for _ in range(EACH - 1):
        held.opening("momo")
    assert held.full("momo")  # those that are being opened count
    held.end("other", "0", gone=True)  # not his
    assert held.full("momo")
    held.end("momo", "0", gone=False)
    assert held.full("momo")
    now += IDLE_S + 1
    assert not held.full("momo")


STEPS = st.tuples(st.sampled_from("ab"), st.sampled_from(["open", "fail", "end", "ask"]))


@given(st.lists(STEPS))
def test_whatever_happens_an_agent_has_no_more_than_it_may(story: list[tuple[str, str]]) -> None:
    held = Sessions(lambda: 0.0)
    mine: dict[str, list[str]] = {"a": [], "b": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "EACH", 2)
        for number, (agent, what) in enumerate(story):
            key = f"{agent}{number}"
            if what in {"open", "fail"} and not held.full(agent):
                held.opening(agent)
                held.opened(agent, key if what == "open" else None)
                mine[agent] += [key] if what == "open" else []
            elif what in {"end", "ask"} and mine[agent]:
                asked = mine[agent][0]
                held.begin(agent, asked)
                held.end(agent, asked, gone=what == "end")
                mine[agent] = mine[agent][1:] if what == "end" else mine[agent]
            assert held.full(agent) == (len(mine[agent]) == 2)


@asynccontextmanager
async def without_a_port() -> AsyncIterator[tuple[Gate, Agent]]:
    told = desk()
    calls = Calls(told, TOOLS, caller_of(None), Refusals(told), dry_run=False)
    gate = Gate(calls, known)
    send, receive = anyio.create_memory_object_stream[Any](8)
    started = anyio.Event()

    async def said(_: object) -> None:
        started.set()

    async with anyio.create_task_group() as group, send, receive:
        group.start_soon(gate, {"type": "lifespan"}, receive.receive, said)
        await send.send({"type": "lifespan.startup"})
        await started.wait()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(gate)) as client:
            yield gate, Agent("momo", "http://127.0.0.1:8000/mcp", client)
        await send.send({"type": "lifespan.shutdown"})


def in_virtual_time(story: Callable[[], Awaitable[None]]) -> None:
    trio.run(story, clock=trio.testing.MockClock(autojump_threshold=0))


def test_idle_sessions_are_ended() -> None:
    async def story() -> None:
        async with without_a_port() as (_, momo):
            used, idle = await momo.session(), await momo.session()
            await anyio.sleep(IDLE_S - 1)
            assert await momo.call(used) == 200
            await anyio.sleep(2)
            assert await momo.call(used) == 200
            assert await momo.call(idle) == 404

    in_virtual_time(story)


def test_a_client_that_goes_before_it_is_answered_leaves_no_session_behind() -> None:
    headers = [(b"host", b"127.0.0.1:8000"), (b"authorization", b"Bearer momo")]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers}

    async def nothing(*_: object) -> Any:  # noqa: ANN401 - ASGI
        await anyio.sleep_forever()

    async def story() -> None:
        async with without_a_port() as (gate, momo):
            for _ in range(EACH):
                with anyio.move_on_after(1):
                    await gate(dict(scope), nothing, nothing)
            assert (await momo.open()).status_code == 200

    in_virtual_time(story)
