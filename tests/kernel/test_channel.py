"""The local channel to an engine: only who holds the token is answered, and nothing breaks it."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from mtquant.cli import asking
from mtquant.cli.asking import ask_to_halt
from mtquant.control.channel import serve_channel
from mtquant.control.reach import Channel, NoAnswer, Reached, find, reach
from mtquant.errors import ConfigError

pytestmark = pytest.mark.anyio


class Echo:
    """Stands for the commands of an engine."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, dict[str, Any]]] = []

    async def run(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.ran.append((name, dict(arguments)))
        if name == "wrong":
            raise ConfigError("field", "'x' is wrong", "Write y.")
        return {"echo": dict(arguments)}


async def talk(port: int, *lines: bytes) -> list[dict[str, Any]]:
    """Send raw lines and return the answers, until the engine hangs up."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        for line in lines:
            await stream.send(line + b"\n")
        await stream.send_eof()
        received = b""
        try:
            while True:
                received += await stream.receive()
        except anyio.EndOfStream:
            pass
    return [json.loads(line) for line in received.splitlines()]


@dataclass
class Served:
    """A channel, and what was asked through it."""

    channel: Channel
    commands: Echo


@asynccontextmanager
async def served_in(folder: Path) -> AsyncIterator[Served]:
    commands = Echo()
    async with anyio.create_task_group() as group:
        channel = await group.start(serve_channel, commands, folder)
        yield Served(channel, commands)
        group.cancel_scope.cancel()


async def test_a_command_reaches_the_engine_and_its_answer_comes_back(tmp_path: Path) -> None:
    async with served_in(tmp_path) as served:
        assert await reach(tmp_path, "orders", {"broker": "a"}) == {"echo": {"broker": "a"}}
        assert served.commands.ran == [("orders", {"broker": "a"})]


async def test_an_engines_refusal_is_told_in_its_own_words(tmp_path: Path) -> None:
    async with served_in(tmp_path):
        with pytest.raises(Reached, match=r"field: 'x' is wrong\. Write y\."):
            await reach(tmp_path, "wrong", {})


async def test_the_file_is_its_owners_alone_and_gone_afterwards(tmp_path: Path) -> None:
    async with served_in(tmp_path):
        assert stat.S_IMODE((tmp_path / "control.json").stat().st_mode) == 0o600
    assert not (tmp_path / "control.json").exists()
    assert await reach(tmp_path, "orders", {}) is None


async def test_the_token_is_in_no_text_of_the_channel(tmp_path: Path) -> None:
    async with served_in(tmp_path) as served:
        assert len(served.channel.token) >= 32
        assert served.channel.token not in f"{served.channel!r} {served.channel}"


@pytest.mark.parametrize(
    "request_",
    [
        {"command": "orders"},
        {"command": "orders", "token": ""},
        {"command": "orders", "token": None},
        {"command": "orders", "token": "x" * 43},
        {"command": "orders", "token": ["t"]},
        {"command": "orders", "token": "é" * 20},
    ],
)
async def test_without_the_token_nothing_is_done(tmp_path: Path, request_: dict[str, Any]) -> None:
    async with served_in(tmp_path) as served:
        answers = await talk(served.channel.port, json.dumps(request_).encode())

        assert [each["error"] for each in answers] == ["not authorized"]
        assert served.commands.ran == []


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b"[" * 30_000, b"GET / HTTP/1.1"],
)
async def test_what_is_no_request_is_told_so_and_hurts_nobody(tmp_path: Path, line: bytes) -> None:
    async with served_in(tmp_path) as served:
        answers = await talk(served.channel.port, line)

        assert [each["error"] for each in answers] == ["a request is one JSON object a line"]
        assert await reach(tmp_path, "orders", {}) == {"echo": {}}


async def test_a_line_without_end_is_hung_up_on(tmp_path: Path) -> None:
    async with served_in(tmp_path) as served:
        try:
            answers = await talk(served.channel.port, b"x" * 200_000)
        except (anyio.BrokenResourceError, OSError):
            answers = []

        assert answers == []
        assert await reach(tmp_path, "orders", {}) == {"echo": {}}


async def test_several_requests_may_follow_each_other(tmp_path: Path) -> None:
    async with served_in(tmp_path) as served:
        lines = [
            json.dumps(
                {"token": served.channel.token, "command": "a", "arguments": {"n": number}}
            ).encode()
            for number in range(3)
        ]

        answers = await talk(served.channel.port, *lines)

        assert [each["result"]["echo"]["n"] for each in answers] == [0, 1, 2]


async def test_arguments_that_are_no_object_are_refused(tmp_path: Path) -> None:
    async with served_in(tmp_path) as served:
        line = json.dumps({"token": served.channel.token, "command": "a", "arguments": [1]})

        (answer,) = await talk(served.channel.port, line.encode())

        assert answer == {"error": "arguments are a JSON object"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"port": 1}', '{"port": "x", "token": "t"}'])
async def test_a_file_that_makes_no_sense_is_no_engine(tmp_path: Path, text: str) -> None:
    (tmp_path / "control.json").write_text(text)

    assert find(tmp_path) is None
    assert await reach(tmp_path, "orders", {}) is None


async def test_the_file_of_an_engine_that_died_is_no_engine(tmp_path: Path) -> None:
    async with served_in(tmp_path) as served:
        dead = {"port": served.channel.port, "token": "t" * 43, "process_id": 1}
    (tmp_path / "control.json").write_text(json.dumps(dead))

    assert await reach(tmp_path, "orders", {}) is None


class Hung(Echo):
    """Commands of an engine that hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.lives_again = anyio.Event()

    async def run(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        done = await super().run(name, arguments)
        await self.lives_again.wait()
        return done


@asynccontextmanager
async def hung_in(folder: Path) -> AsyncIterator[Hung]:
    commands = Hung()
    async with anyio.create_task_group() as group:
        await group.start(serve_channel, commands, folder)
        try:
            yield commands
        finally:
            commands.lives_again.set()
            group.cancel_scope.cancel()


async def test_an_engine_that_hangs_is_given_up_on_after_the_time_that_was_given(
    tmp_path: Path,
) -> None:
    async with hung_in(tmp_path) as commands:
        with pytest.raises(NoAnswer, match=r"process \d+\) doesn't answer for 0\.05 s"):
            await reach(tmp_path, "halt", {"why": "x"}, 0.05)
        assert commands.ran == [("halt", {"why": "x"})]


async def test_a_halt_that_a_hung_engine_does_not_hear_leaves_the_file_that_halts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    found = SimpleNamespace(engine=SimpleNamespace(state_dir=str(state)))
    monkeypatch.setattr(asking, "load_config", lambda _: found)
    monkeypatch.setattr(asking, "_HALT_LIMIT_S", 0.05)
    wanted = {"by": "ann", "why": "prices make no sense", "flatten": False}
    async with hung_in(state):
        with pytest.raises(NoAnswer, match=r"the file HALT lies in .*/state now"):
            await anyio.to_thread.run_sync(partial(ask_to_halt, tmp_path, wanted, live=False))
    assert (state / "HALT").read_text(encoding="utf-8") == "ann: prices make no sense\n"
