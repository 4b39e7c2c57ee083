"""A server that is a child process, spoken to over its stdin and stdout, a line a message.

The SDK's own client reads a line of any length: a server that never ends one would fill this
process's memory. Here such a server is killed, and its calls fail as of any that died; not on
Windows, where the SDK's own client stays.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TextIO

import anyio
from anyio.abc import Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import StdioServerParameters
from mcp.client.stdio import get_default_environment, stdio_client
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from mtquant.contract import Endpoint
from mtquant.errors import ConfigError

ANSWER_LIMIT = 8 << 20
"""A server that answers more bytes than this at once is broken, or means harm."""
FLUSH_S = 0.5
"""How long requests that were handed over may take to be written when the client leaves."""
EXIT_S = 2.0
"""How long the child may take to end by itself, and again after it was asked to."""
_LOOK_S = 0.01
_GONE = (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError)
_log = logging.getLogger(__name__)


class Child:
    """A server that is a child process; ``ended`` is true once it can answer no more."""

    def __init__(self, at: Endpoint, errlog: TextIO | None) -> None:
        if not at.command:
            raise ConfigError("endpoint", "it has neither a command nor a url", "Set one of them.")
        self._process: Any = _child(at, errlog or sys.stderr)
        if sys.platform == "win32":  # there the SDK knows how a tree of processes is ended
            parameters = StdioServerParameters(
                command=at.command[0], args=list(at.command[1:]), env=dict(at.environment)
            )
            self._process = stdio_client(parameters, errlog or sys.stderr)
        self._answers: Any = None

    @property
    def ended(self) -> bool:
        """True once the client has closed its end, as it does when the child's output ends."""
        return bool(self._answers and not self._answers.statistics().open_receive_streams)

    async def __aenter__(self) -> tuple[Any, Any]:
        self._answers, requests = await self._process.__aenter__()
        return self._answers, requests

    async def __aexit__(self, *error: Any) -> bool | None:  # noqa: ANN401, PYI036 - handed through
        suppressed: bool | None = await self._process.__aexit__(*error)
        return suppressed


@asynccontextmanager
async def _child(at: Endpoint, errlog: TextIO) -> AsyncIterator[tuple[Any, Any]]:
    process = await anyio.open_process(
        list(at.command),
        env=get_default_environment() | dict(at.environment),
        stderr=errlog,
        start_new_session=True,  # so that whatever it starts can be stopped with it
    )
    heard, answers = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    requests, asked = anyio.create_memory_object_stream[SessionMessage](0)
    written = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(_read, process, heard)
        group.start_soon(_write, process, asked, heard, written)
        try:
            yield answers, requests
        finally:
            with anyio.CancelScope(shield=True):
                answers.close()
                requests.close()
                with anyio.move_on_after(FLUSH_S):
                    await written.wait()
                await _stop(process)
            group.cancel_scope.cancel()


async def _read(
    process: Process, heard: MemoryObjectSendStream[SessionMessage | Exception]
) -> None:
    """Hand on what the child says, until it ends or says too much in one line."""
    stdout = process.stdout
    assert stdout is not None  # noqa: S101 - it was opened with a pipe
    line = bytearray()
    with heard, suppress(*_GONE):
        async for chunk in stdout:
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                await heard.send(_message(bytes(line) + end))
                line.clear()
            line += rest
            if len(line) > ANSWER_LIMIT:
                _log.warning("a server was stopped: it answered more than %d bytes", ANSWER_LIMIT)
                _signal(process, signal.SIGKILL)
                return
    with suppress(*_GONE):  # a child that can't write what it has to say can't end either
        async for _ in stdout:
            pass


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        _log.warning("a server said a line that is no message of the protocol")
        return error


async def _write(
    process: Process,
    asked: MemoryObjectReceiveStream[SessionMessage],
    heard: MemoryObjectSendStream[SessionMessage | Exception],
    written: anyio.Event,
) -> None:
    stdin = process.stdin
    assert stdin is not None  # noqa: S101 - as above
    try:
        with asked:
            async for each in asked:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                await stdin.send(text.encode() + b"\n")
    except _GONE:
        # It may be alive, and hears nothing: whoever waits for its answer must know.
        heard.close()
    finally:
        written.set()


async def _stop(process: Process) -> None:
    """Let the child end as the protocol says: its stdin ends, then it is asked, then killed."""
    if process.stdin is not None:
        with suppress(*_GONE):
            await process.stdin.aclose()
    if not await _becomes(EXIT_S, lambda: process.returncode is not None):
        _signal(process, signal.SIGTERM)
        if not await _becomes(EXIT_S, lambda: not _signal(process, 0)):
            _signal(process, signal.SIGKILL)
            await _becomes(EXIT_S, lambda: process.returncode is not None)
    with anyio.move_on_after(FLUSH_S):  # what it started may hold its pipes open
        await process.aclose()


def _signal(process: Process, number: int) -> bool:
    """Signal the child and all that it started; return True while any of them is there."""
    _ = process.returncode  # looking at it is what lets the system forget one that has ended
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _becomes(within_s: float, true: Callable[[], bool]) -> bool:
    # Not by process.wait(), which waits for the pipes too.
    for _ in range(int(within_s / _LOOK_S)):
        if true():
            return True
        await anyio.sleep(_LOOK_S)
    return true()
