"""The gateway's end of the bridge: the desk of an engine that runs in another process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from mtquant.agents.answer import Answer
from mtquant.agents.outside import outside
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.serving import COMMAND, Method
from mtquant.agents.tool import AgentTool
from mtquant.control.channel import LINE_LIMIT
from mtquant.control.reach import ANSWER_LIMIT, CONNECT_S, Channel, find

KEPT = 8
"""So many connections are kept open between calls."""
_FRESH_S = 30.0
"""One that was idle for longer isn't used again: the engine hangs up after twice that."""
_HUNG_UP = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.DelimiterNotFound,
)


@dataclass(slots=True)
class _Line:
    """One connection to the engine, which answers its requests one after the other."""

    channel: Channel
    stream: SocketStream
    lines: BufferedByteReceiveStream
    used: float


class ReachedDesk:
    """The desk of the engine that runs in the state folder ``folder``; it is a port.Desk.

    ``tools`` are those that may be called. Use it as a context manager: leaving it hangs up.
    An engine that stopped, or is started again, is told of or found at the next call.
    """

    def __init__(self, folder: Path, tools: Mapping[str, AgentTool]) -> None:
        self._folder = folder
        self._idle: list[_Line] = []
        self.tools = tools

    async def __aenter__(self) -> Self:
        """Connect at the first call, not before."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        while self._idle:
            await anyio.aclose_forcefully(self._idle.pop().stream)

    async def offered(self, agent: str) -> Sequence[str]:
        """Return the names of the tools within the agent's scopes."""
        names: list[str] = await self._ask("offered", agent)
        return names

    async def call(
        self, agent: str, tool: str, arguments: Mapping[str, Any], *, dry_run: bool
    ) -> Answer:
        """Call a tool and return its answer, or the error that it came to."""
        known = self.tools.get(tool)
        fields = {"tool": tool, "arguments": dict(arguments), "dry_run": dry_run}
        changes = known is not None and known.mark.changes and not dry_run
        return Answer.load(await self._ask("call", agent, fields, changes=changes))

    async def answer(
        self, agent: str, number: int, digest: str, *, approve: bool, code: str
    ) -> Answer:
        """Take in what a person answered in the agent's client, and return the order's answer."""
        fields = {"number": number, "digest": digest, "approve": approve, "code": code}
        return Answer.load(await self._ask("answer", agent, fields, changes=True))

    async def read(self, agent: str, name: str) -> Mapping[str, Any]:
        """Return a resource, JSON-ready."""
        found: dict[str, Any] = await self._ask("read", agent, {"name": name})
        return found

    async def marks(self, agent: str) -> Mapping[str, str]:
        """Return, by resource name, what changes whenever the resource does."""
        found: dict[str, str] = await self._ask("marks", agent)
        return found

    async def refuse(self, agent: str, what: str, why: str) -> None:
        """Put an attempt that the gateway itself refused into the trail."""
        await self._ask("refuse", agent, {"what": what, "why": why})

    async def _ask(
        self,
        method: Method,
        agent: str,
        fields: Mapping[str, Any] | None = None,
        *,
        changes: bool = False,
    ) -> Any:  # noqa: ANN401 - as the method answers
        """Return what the engine's desk answers.

        ``changes``: where the answer is lost, the agent is told that what it did isn't known.
        Raises AgentRefused.
        """
        channel = find(self._folder)
        if channel is None:
            _stopped()
        asked = {"method": method, "agent": agent, "fields": dict(fields or {})}
        request = {"token": channel.token, "command": COMMAND, "arguments": asked}
        body = json.dumps(request).encode() + b"\n"
        if len(body) > LINE_LIMIT:
            remedy = "Call again with shorter ones."
            raise AgentRefused("too_large", "the arguments are too long", remedy)
        reply = await self._exchange(await self._line(channel), body)
        if reply is None and not changes:
            _stopped()
        if reply is None:
            _unknown("the engine ended before it answered")
        if reply.get("refused") == "token":
            message = "the engine was started again meanwhile: nothing was done"
            raise AgentRefused("engine_stopped", message, "Call again.")
        if "error" in reply and changes:
            _unknown(f"the engine failed: {outside(reply['error'])}")
        if "error" in reply:
            remedy = "Tell the person: the engine's log says more."
            raise AgentRefused("failed", outside(reply["error"]), remedy)
        return _done(reply["result"])

    async def _exchange(self, line: _Line, body: bytes) -> dict[str, Any] | None:
        """Send one request and return its reply; None where the engine hangs up instead."""
        try:
            await line.stream.send(body)
            raw = await line.lines.receive_until(b"\n", ANSWER_LIMIT)
        except _HUNG_UP:
            await anyio.aclose_forcefully(line.stream)
            return None
        except BaseException:
            # Cancelled in the middle: its answer must not be read as another call's.
            await anyio.aclose_forcefully(line.stream)
            raise
        line.used = anyio.current_time()
        if len(self._idle) < KEPT:
            self._idle.append(line)
        else:
            await anyio.aclose_forcefully(line.stream)
        reply: dict[str, Any] = json.loads(raw)
        return reply

    async def _line(self, channel: Channel) -> _Line:
        """Return a connection that nobody uses; raises AgentRefused where the engine is gone."""
        while self._idle:
            line = self._idle.pop()
            if line.channel == channel and anyio.current_time() - line.used < _FRESH_S:
                return line
            await anyio.aclose_forcefully(line.stream)
        try:
            with anyio.fail_after(CONNECT_S):
                stream = await anyio.connect_tcp("127.0.0.1", channel.port)
        except (OSError, TimeoutError):
            _stopped()
        return _Line(channel, stream, BufferedByteReceiveStream(stream), anyio.current_time())


def _done(result: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as the method answers
    """Return what the desk answered; raises AgentRefused where it refused."""
    if "refused" in result:
        said = result["refused"]
        raise AgentRefused(said["code"], said["message"], said["next"], field=said["field"])
    return result["done"]


def _unknown(why: str) -> NoReturn:
    raise AgentRefused(
        "outcome_unknown",
        f"{why}; whether this was done is not known",
        "Look it up with get_order; never send it under another id.",
    )


def _stopped() -> NoReturn:
    message = "the engine has stopped: nothing was done"
    raise AgentRefused("engine_stopped", message, "Tell the person to start `mtquant run`.")
