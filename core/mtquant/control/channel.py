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
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

from mtquant.control.commands import Commands
from mtquant.control.reach import FILE, Channel
from mtquant.errors import MtquantError

LINE_LIMIT = 65_536
"""A longer request, in bytes, is hung up on."""
_IDLE_S = 60.0


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
                    line = await lines.receive_until(b"\n", LINE_LIMIT)
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
