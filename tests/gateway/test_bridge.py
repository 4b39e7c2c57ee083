"""The desk of an engine in another process: the same answers, and honest where it is gone."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from anyio.abc import SocketStream

from mtquant.agents.answer import Answer, Ask
from mtquant.agents.reached import KEPT, ReachedDesk
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.serving import desk_commands
from mtquant.agents.tool import AgentTool
from mtquant.control.channel import serve_channel
from mtquant.control.commands import Command, Commands
from mtquant.errors import ConfigError, JournalError

pytestmark = pytest.mark.anyio

TOOLS = cast(
    "Mapping[str, AgentTool]",
    {
        "get_quotes": SimpleNamespace(mark=SimpleNamespace(changes=False)),
        "place_order": SimpleNamespace(mark=SimpleNamespace(changes=True)),
    },
)


class FakeDesk:
    """Says what it was asked; refuses whom it doesn't know."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.slow = anyio.Event()
        self.under_way = 0

    def _note(self, *asked: Any) -> None:  # noqa: ANN401 - whatever is asked
        self.asked.append(asked)
        if asked[1] == "nobody":
            raise AgentRefused("unknown_agent", "nobody is none", "Stop.", field="agent")

    async def offered(self, agent: str) -> Sequence[str]:
        self._note("offered", agent)
        return ("get_quotes", "place_order")

    async def call(
        self, agent: str, tool: str, arguments: Mapping[str, Any], *, dry_run: bool
    ) -> Answer:
        self._note("call", agent, tool, dict(arguments), dry_run)
        if tool == "slow":
            self.under_way += 1
            await self.slow.wait()
        ask = Ask(number=3, digest="d", shown="buy") if tool == "place_order" else None
        return Answer.of({"summary": tool, "arguments": dict(arguments)}, ask)

    async def answer(
        self, agent: str, number: int, digest: str, *, approve: bool, code: str
    ) -> Answer:
        self._note("answer", agent, number, digest, approve, code)
        return Answer.refused({"code": "wrong_code"})

    async def read(self, agent: str, name: str) -> Mapping[str, Any]:
        self._note("read", agent, name)
        return {"name": name}

    async def marks(self, agent: str) -> Mapping[str, str]:
        self._note("marks", agent)
        return {"quotes": "7"}

    async def refuse(self, agent: str, what: str, why: str) -> None:
        self._note("refuse", agent, what, why)


def commands_over(desk: FakeDesk) -> Commands:
    """Return the commands of an engine that has no other part than a journal."""
    journal = SimpleNamespace(flush=lambda: None)
    commands = Commands(cast("Any", SimpleNamespace(wiring=SimpleNamespace(journal=journal))))
    commands.add(desk_commands(desk))
    return commands


@asynccontextmanager
async def bridge(folder: Path) -> AsyncIterator[tuple[FakeDesk, ReachedDesk]]:
    desk = FakeDesk()
    async with anyio.create_task_group() as group:
        await group.start(serve_channel, commands_over(desk), folder)
        async with ReachedDesk(folder, TOOLS) as reached:
            yield desk, reached
        group.cancel_scope.cancel()


async def test_every_method_reaches_the_desk_and_comes_back_as_it_was_said(tmp_path: Path) -> None:
    arguments = {"symbol": "EUR/USD", "n": 1.5, "deep": {"é": [None, True]}}
    async with bridge(tmp_path) as (desk, reached):
        here, there = FakeDesk(), reached
        for each in (here, there):
            assert list(await each.offered("a")) == ["get_quotes", "place_order"]
            assert await each.read("a", "risk") == {"name": "risk"}
            assert await each.marks("a") == {"quotes": "7"}
            await each.refuse("", "call", "why")
        for tool, dry_run in (("get_quotes", False), ("place_order", True)):
            same = [
                await each.call("a", tool, arguments, dry_run=dry_run) for each in (here, there)
            ]
            assert same[0] == same[1]
        said = [await each.answer("a", 3, "d", approve=True, code="X") for each in (here, there)]
        assert said[0] == said[1]
        assert here.asked == desk.asked


async def test_a_refusal_of_the_engines_is_raised_again_word_for_word(tmp_path: Path) -> None:
    async with bridge(tmp_path) as (_, reached):
        with pytest.raises(AgentRefused) as caught:
            await reached.offered("nobody")
    expected = AgentRefused("unknown_agent", "nobody is none", "Stop.", field="agent")
    assert caught.value.payload() == expected.payload()


async def test_where_no_engine_runs_it_says_what_the_person_is_to_do(tmp_path: Path) -> None:
    async with ReachedDesk(tmp_path, TOOLS) as reached:
        with pytest.raises(AgentRefused, match="nothing was done") as caught:
            await reached.call("a", "place_order", {}, dry_run=False)
    assert caught.value.code == "engine_stopped"
    assert "mtquant run" in caught.value.next_step
    assert caught.value.payload()["outcome"] == "not_done"


async def test_an_engine_that_is_started_again_is_found(tmp_path: Path) -> None:
    async with ReachedDesk(tmp_path, TOOLS) as reached:
        for _ in range(2):
            async with bridge(tmp_path) as (desk, _):
                await reached.offered("a")
                assert desk.asked == [("offered", "a")]
            with pytest.raises(AgentRefused, match="stopped"):
                await reached.offered("a")


async def test_calls_one_after_the_other_share_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    connect = anyio.connect_tcp

    async def counted(host: str, port: int) -> SocketStream:
        nonlocal made
        made += 1
        return await connect(host, port)

    monkeypatch.setattr(anyio, "connect_tcp", counted)
    async with bridge(tmp_path) as (desk, reached):
        for _ in range(20):
            await reached.marks("a")
        assert (made, len(desk.asked)) == (1, 20)


async def test_a_slow_call_holds_up_no_other_and_few_connections_are_kept(tmp_path: Path) -> None:
    async with bridge(tmp_path) as (desk, reached):
        async with anyio.create_task_group() as group:
            for _ in range(KEPT + 4):
                group.start_soon(lambda: reached.call("a", "slow", {}, dry_run=False))
            while desk.under_way < KEPT + 4:
                await anyio.lowlevel.checkpoint()
            answer = await reached.call("a", "halt_trading", {}, dry_run=False)
            assert answer.value is not None
            desk.slow.set()
        assert len(reached._idle) == KEPT


async def test_the_answer_of_a_call_given_up_is_not_read_as_anothers(tmp_path: Path) -> None:
    async with bridge(tmp_path) as (desk, reached):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: reached.call("a", "slow", {}, dry_run=False))
            while not desk.under_way:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        desk.slow.set()
        answer = await reached.call("a", "get_quotes", {}, dry_run=False)
        assert answer.value is not None
        assert answer.value["summary"] == "get_quotes"


async def test_arguments_too_long_for_the_channel_are_refused_here(tmp_path: Path) -> None:
    async with bridge(tmp_path) as (desk, reached):
        with pytest.raises(AgentRefused) as caught:
            await reached.call("a", "place_order", {"why": "é" * 20_000}, dry_run=False)
        assert caught.value.code == "too_large"
        assert desk.asked == []
        await reached.marks("a")


@asynccontextmanager
async def mute(folder: Path, reply: bytes) -> AsyncIterator[None]:
    """Serve what takes one request, answers ``reply`` and hangs up."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            if reply:
                await stream.send(reply + b"\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - a socket's
    about = {"port": port, "token": "t", "process_id": os.getpid()}
    (folder / "control.json").write_text(json.dumps(about))

    async def listen() -> None:
        async with listener:
            await listener.serve(serve)

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        yield
        group.cancel_scope.cancel()


NOT_OURS = b'{"error": "not authorized", "refused": "token"}'
FULL = b'{"error": "the journal is full"}'


@pytest.mark.parametrize(
    ("reply", "call", "code"),
    [
        (b"", "place_order", "outcome_unknown"),
        (b"", "place_order dry", "engine_stopped"),
        (b"", "get_quotes", "engine_stopped"),
        (NOT_OURS, "place_order", "engine_stopped"),
        (FULL, "place_order", "outcome_unknown"),
        (FULL, "get_quotes", "failed"),
    ],
)
async def test_what_isnt_known_is_said_to_be_so(
    tmp_path: Path, reply: bytes, call: str, code: str
) -> None:
    tool, _, dry = call.partition(" ")
    async with mute(tmp_path, reply), ReachedDesk(tmp_path, TOOLS) as reached:
        with pytest.raises(AgentRefused) as caught:
            await reached.call("a", tool, {}, dry_run=bool(dry))
    payload = caught.value.payload()
    assert payload["code"] == code
    assert payload["outcome"] == ("unknown" if code == "outcome_unknown" else "not_done")


async def test_a_file_of_an_engine_that_died_is_none(tmp_path: Path) -> None:
    async with mute(tmp_path, b""):
        pass
    async with ReachedDesk(tmp_path, TOOLS) as reached:
        with pytest.raises(AgentRefused) as caught:
            await reached.call("a", "place_order", {}, dry_run=False)
        assert caught.value.code == "engine_stopped"


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "approve", "agent": "a"},
        {"method": "call"},
        {"method": "call", "agent": "a", "fields": {"tool": "x"}},
        {"method": "offered", "agent": "a", "fields": {"as": "b"}},
        {"method": "answer", "agent": "a", "fields": {"number": "one"}},
    ],
)
async def test_a_request_that_makes_no_sense_reaches_no_desk(arguments: dict[str, Any]) -> None:
    desk = FakeDesk()
    with pytest.raises(ConfigError, match="agent-desk"):
        await commands_over(desk).run("agent-desk", arguments)
    assert desk.asked == []


async def test_a_desk_whose_journal_fails_is_not_silent(tmp_path: Path) -> None:
    async def fail(_: Any) -> dict[str, Any]:  # noqa: ANN401 - as a command's
        raise JournalError("the journal can't be written: disk full")

    commands = commands_over(FakeDesk())
    known = commands.table["agent-desk"]
    commands.table["agent-desk"] = Command(known.arguments, fail)
    async with anyio.create_task_group() as group:
        await group.start(serve_channel, commands, tmp_path)
        async with ReachedDesk(tmp_path, TOOLS) as reached:
            with pytest.raises(AgentRefused, match="disk full") as caught:
                await reached.call("a", "place_order", {}, dry_run=False)
            assert caught.value.code == "outcome_unknown"
        group.cancel_scope.cancel()
