"""The local channel to a running engine: loopback, one JSON object a line, a token in each.

The engine listens on a port of the loopback that the system chooses, and writes it, with a token
made for this run, into ``control.json`` in its state folder, readable by its owner alone. Whoever
can read that file may trade; nobody else is answered.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets  # noqa: TID251 - a token must not be guessable from any seed
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from mtquant.control.commands import Commands
from mtquant.errors import MtquantError

FILE = "control.json"
_LINE_LIMIT = 65_536
_ANSWER_LIMIT = 8 * 1024 * 1024
_CONNECT_S = 2.0
_IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Channel:
    """Where an engine listens, and what it asks for; ``token`` never appears in text."""

    port: int
    token: str
    process_id: int

    def __repr__(self) -> str:
        return f"Channel(port={self.port}, process_id={self.process_id})"


class Reached(MtquantError):
    """A running engine answered with an error; the message is its own."""


async def serve_channel(
    commands: Commands,
    folder: Path,
    *,
    task_status: TaskStatus[Channel] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled; the file is gone afterwards."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    address = anyio.abc.SocketAttribute.local_port
    port = int(listener.extra(address))  # noqa: S610 - a socket's, not a query's
    channel = Channel(port, secrets.token_urlsafe(32), os.getpid())
    path = folder / FILE
    _write(path, channel)
    try:
        async with listener:
            task_status.started(channel)
            await listener.serve(lambda stream: _serve(stream, commands, channel.token))
    finally:
        path.unlink(missing_ok=True)


def _write(path: Path, channel: Channel) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(
            {"port": channel.port, "token": channel.token, "process_id": channel.process_id}, file
        )
    fresh.replace(path)


async def _serve(stream: SocketStream, commands: Commands, token: str) -> None:
    """Answer one client's requests, one after the other."""
    async with stream:
        lines = BufferedByteReceiveStream(stream)
        while True:
            try:
                with anyio.fail_after(_IDLE_S):
                    line = await lines.receive_until(b"\n", _LINE_LIMIT)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound):
                return
            except (anyio.BrokenResourceError, TimeoutError):
                return
            answer = await _answer(line, commands, token)
            try:
                await stream.send(json.dumps(answer).encode() + b"\n")
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            if "token" in answer.get("refused", ""):
                return


async def _answer(line: bytes, commands: Commands, token: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        return {"error": "a request is one JSON object a line"}
    given = request.get("token")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), token.encode()):
        return {"error": "not authorized", "refused": "token"}
    arguments = request.get("arguments", {})
    if not isinstance(arguments, dict):
        return {"error": "arguments are a JSON object"}
    answer: dict[str, Any] = {}
    # The command goes on to its end even where whoever asked hangs up in the middle.
    with anyio.CancelScope(shield=True):
        try:
            answer = {"result": await commands.run(str(request.get("command")), arguments)}
        except MtquantError as error:
            answer = {"error": str(error)}
    return answer


def find(folder: Path) -> Channel | None:
    """Return where the engine of ``folder`` says it listens, None where none does."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Channel(int(found["port"]), str(found["token"]), int(found["process_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def reach(folder: Path, command: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a running engine's answer to ``command``; None where no engine runs there.

    Raises Reached with the engine's own words where it refuses.
    """
    channel = find(folder)
    if channel is None:
        return None
    try:
        with anyio.fail_after(_CONNECT_S):
            stream = await anyio.connect_tcp("127.0.0.1", channel.port)
    except (OSError, TimeoutError):
        return None  # the file of an engine that died
    request = {"token": channel.token, "command": command, "arguments": dict(arguments)}
    async with stream:
        await stream.send(json.dumps(request).encode() + b"\n")
        try:
            line = await BufferedByteReceiveStream(stream).receive_until(b"\n", _ANSWER_LIMIT)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            raise Reached(
                f"the engine (process {channel.process_id}) hung up before it answered; whether "
                f"{command} was done is not known: look at `mtquant orders` and `positions`"
            ) from None
    answer = json.loads(line)
    if "error" in answer:
        raise Reached(str(answer["error"]))
    result: dict[str, Any] = answer["result"]
    return result
