"""What stands before every request: the token, the limits, the faults, and its id."""

from __future__ import annotations

import hmac
from collections import OrderedDict, deque
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mtquant.clock import Clock
from mtquant_simulators.oanda.answers import UNAUTHORIZED, Answer, Problem
from mtquant_simulators.oanda.faults import FaultMaker
from mtquant_simulators.oanda.settings import Limits, OandaSettings
from mtquant_simulators.oanda.text import RFC3339

_WRITES = {"POST", "PUT", "PATCH"}
_FIRST_REQUEST = 24_000_000_000_000_000
_REMEMBERED = 4096


class Guard:
    """The application behind its token, limits and faults; numbers the requests."""

    def __init__(
        self, app: ASGIApp, settings: OandaSettings, clock: Clock, faults: FaultMaker
    ) -> None:
        self._app, self._settings, self._faults = app, settings, faults
        # Limits are of a second of the venue's time, and in stepped time none passes.
        self._limiter = None if settings.stepped else Limiter(settings.limits, clock)
        self._expected = f"Bearer {settings.token}".encode()
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._requests += 1
        request_id = str(_FIRST_REQUEST + self._requests)
        scope.setdefault("state", {})["request_id"] = request_id
        headers = dict(scope["headers"])
        send = _signed(send, request_id, headers.get(b"clientrequestid"))
        await self._faults.slow()
        limited = None if self._limiter is None else self._limiter.problem(scope)
        problem = limited or self._unknown(headers)
        if problem is not None:
            await _answer(problem, scope, receive, send)
        elif scope["method"] in _WRITES and scope["path"].startswith("/v3/"):
            await self._write(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _unknown(self, headers: dict[bytes, bytes]) -> Answer | None:
        given = headers.get(b"authorization", b"")
        known = hmac.compare_digest(given, self._expected)
        return None if known else Problem(401, UNAUTHORIZED).answer

    async def _write(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request act, and do to it and its answer what the faults say."""
        fault = self._faults.draw()
        if fault == "none":
            await self._app(scope, receive, send)
            return
        if fault != "error_before":

            async def nowhere(message: Message) -> None:
                del message

            await self._app(scope, receive, nowhere)
        if fault == "drop_after":
            await _drop(receive, send)
        elif fault == "hold_after":
            await _gone(receive)
        else:
            await _answer(self._faults.error(), scope, receive, send)


class Limiter:
    """Counts requests, connections and streams of each client address in sliding seconds."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits, self._clock = limits, clock
        self._requests: dict[str, deque[float]] = {}
        self._opened: dict[str, deque[float]] = {}
        self._connections: OrderedDict[tuple[str, int], None] = OrderedDict()

    def problem(self, scope: Scope) -> Answer | None:
        """Return what a request is refused with, None where it is within the limits."""
        client = scope.get("client")
        if not self._limits.on or client is None:
            return None
        host, limits = client[0], self._limits
        connection = (host, client[1])
        fresh = connection not in self._connections
        self._connections[connection] = None
        self._connections.move_to_end(connection)
        if len(self._connections) > _REMEMBERED:
            self._connections.popitem(last=False)
        if fresh and self._exceeds(self._opened, host, limits.connections_per_s):
            del self._connections[connection]  # it may try again, and counts again
            return self._answer(f"more than {limits.connections_per_s} new connections a second")
        if self._exceeds(self._requests, host, limits.requests_per_s):
            return self._answer(f"more than {limits.requests_per_s} requests a second")
        return None

    def _exceeds(self, seen: dict[str, deque[float]], host: str, most: int) -> bool:
        now, times = self._clock.monotonic(), seen.setdefault(host, deque())
        while times and times[0] <= now - 1:
            times.popleft()
        if len(times) >= most:
            return True
        times.append(now)
        return False

    def _answer(self, why: str) -> Answer:
        retry = {"Retry-After": str(self._limits.retry_after_s)}
        return Answer({"errorMessage": f"Rate limit exceeded: {why}"}, 429, retry)


def _signed(send: Send, request_id: str, client_id: bytes | None) -> Send:
    """Return ``send`` with the request's ids among the headers."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [(b"requestid", request_id.encode())]
            if client_id is not None:
                added.append((b"clientrequestid", client_id))
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    sending.__dict__["connection"] = send
    return sending


async def _answer(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    await answer.response(RFC3339)(scope, receive, send)


async def _drop(receive: Receive, send: Send) -> None:
    """Close the connection without an answer, as a line that breaks."""
    # ASGI has no word for it; uvicorn's send is a method of what holds the transport.
    cycle: Any = getattr(send.__dict__["connection"], "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None:
        raise ConnectionAbortedError("the connection drops (a fault on demand)")
    transport.abort()
    with anyio.move_on_after(1):
        await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Return once the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
