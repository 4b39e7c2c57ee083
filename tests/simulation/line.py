"""HTTP in memory: a server's connections to a venue that outlives it.

Requests act at the venue whether or not their sender still waits, as they do over a network; the
transport that the test client of an ASGI framework brings ends both at once, and has no streams.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import anyio
import httpx2
from tests.simulation.venue import Dead, Process

Application = Callable[[Any, Any, Any], Awaitable[None]]


class Call:
    """One request at the venue, and the answer as far as it has come."""

    def __init__(
        self, request: httpx2.Request, sender: Process | None, host: str, port: int
    ) -> None:
        self.request, self.sender, self.body = request, sender, request.content
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.begun, self.left = anyio.Event(), anyio.Event()
        self._chunks, self.chunks = anyio.create_memory_object_stream[bytes](math.inf)
        self._asked = False
        url = request.url
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "server": (url.host, url.port),
            "client": (host, port),
            "root_path": "",
            "call": self,
        }

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.request.method != "GET"

    def leave(self) -> None:
        """Wait no longer: what comes now is heard by nobody."""
        self.left.set()
        self._chunks.close()
        self.chunks.close()

    async def run(self, application: Application) -> None:
        """Let the venue answer; a connection that it aborts ends without an answer."""
        try:
            await application(self.scope, self._receive, self._send)
        except ConnectionAbortedError:
            pass
        finally:
            self._chunks.close()
            self.begun.set()

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
            self.begun.set()
        elif message.get("body") and not self.left.is_set():
            self._chunks.send_nowait(message["body"])


class Carrier(Protocol):
    """Brings a call to the venue, and waits for its answer; things go wrong with both."""

    async def carry(self, call: Call) -> None: ...


class Line(httpx2.AsyncBaseTransport):
    """The connections of one server process, which end with it."""

    def __init__(self, process: Process, carrier: Carrier, host: str) -> None:
        self._process, self._carrier, self._host = process, carrier, host
        self._idle = list[int]()
        self._opened = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request as a connection pool does, and tell its trace of both steps."""
        trace = request.extensions["trace"]
        port = self._idle.pop() if self._idle else 0
        if not port:
            await trace("connection.connect_tcp.started", {})
            self._opened += 1
            port = self._opened
        await trace("http11.send_request_headers.started", {})
        call = Call(request, self._process, self._host, port)
        limit_s = request.extensions["timeout"]["read"]
        try:
            with anyio.fail_after(limit_s):
                await self._process.unless_dead(lambda: self._carrier.carry(call))
        except TimeoutError:
            call.leave()
            raise httpx2.ReadTimeout("no answer", request=request) from None
        except Dead:
            call.leave()
            raise httpx2.ReadError("this process is dead", request=request) from None
        except BaseException:
            call.leave()
            raise
        if not call.status:
            call.leave()
            raise httpx2.RemoteProtocolError("disconnected without an answer", request=request)
        return httpx2.Response(
            call.status,
            headers=call.headers,
            stream=_Body(call, self._process, lambda: self._idle.append(port)),
        )


class _Body(httpx2.AsyncByteStream):
    def __init__(self, call: Call, process: Process, done: Callable[[], None]) -> None:
        self._call, self._process, self._done = call, process, done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                chunk = await self._process.unless_dead(self._call.chunks.receive)
            except anyio.EndOfStream:
                return
            except Dead:
                raise httpx2.ReadError("this process is dead", request=self._call.request) from None
            yield chunk

    async def aclose(self) -> None:
        if not self._call.left.is_set():
            self._call.leave()
            self._done()
