"""OANDA's v20 API over HTTP: one request in, one answer or one honest error out.

Paths, methods and parameters come from oandapyV20's endpoint classes. They are sent by an
``httpx2`` client of ours and never by oandapyV20's own, because that one waits for ever (requests
has no default time-out), blocks the thread that calls it, reads streams with no watchdog and no
way to end them from outside, reconnects nothing, and has had no commit since 2021. What is left of
it is a list of addresses, which is worth having from somebody who tried them against OANDA.

What is known after a failure depends on how far the request came. The transport's own trace says
whether a first byte was written: before that, nothing has happened (not_sent); after it, an order
may have been taken, and only a look at the account can tell (unknown).
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
from oandapyV20.endpoints.apirequest import APIRequest

from mtquant.clock import Clock
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused, Retry
from mtquant_oanda_server.codes import of_answer
from mtquant_oanda_server.pace import Pace
from mtquant_oanda_server.settings import OandaSettings

ANSWER_LIMIT = 32 << 20
"""A larger answer, in bytes, is broken or means harm."""
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_TOO_MANY, _SERVER_FAULT = 429, 500
_KEPT_S = 30.0
"""An idle connection is closed by us after so long, before OANDA would close it under a request."""
_MOST_LANES = 8
"""Requests that may be under way at once, each on a connection of its own."""
_SAMPLES = 256
Json = dict[str, Any]


@dataclass
class _Sending:
    """How far one request has come."""

    written: bool = False


@dataclass
class Line:
    """What is known of the line to OANDA: how fast it is, and when it last worked."""

    answered_at: float = -math.inf
    failure: str = ""
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))

    def percentile(self, share: float) -> float | None:
        """Return the latency in milliseconds that ``share`` of the calls stay below."""
        if not self.seconds:
            return None
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Venue:
    """Sends requests to OANDA, at its pace, and reads its streams."""

    def __init__(
        self,
        settings: OandaSettings,
        token: str,
        clock: Clock,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._requests = Pace(settings.pace, clock)
        # A connection counts at OANDA when its first request comes, a handshake or two later.
        self._connections = Pace(settings.connections_per_second, clock, slack_s=0.3)
        self.line = Line()
        self._lanes = anyio.CapacityLimiter(1)
        most = _MOST_LANES + 4  # and streams
        limits = httpx2.Limits(
            max_connections=most, max_keepalive_connections=most, keepalive_expiry=_KEPT_S
        )
        self._client = httpx2.AsyncClient(
            headers={
                "Authorization": f"Bearer {token}",
                "Accept-Datetime-Format": "RFC3339",
                "User-Agent": "mtquant-oanda-server",
            },
            timeout=httpx2.Timeout(settings.timeout_s, connect=settings.connect_timeout_s),
            transport=transport or httpx2.AsyncHTTPTransport(limits=limits),
            follow_redirects=False,  # an order is sent where it was meant to go, and once
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @property
    def requests_left(self) -> int | None:
        """Return how many requests may be sent at once, now; None where nothing limits them."""
        return self._requests.left()

    async def ask(self, request: APIRequest) -> Json:
        """Send ``request``, and return OANDA's answer where it says that it was done.

        Raises Refused where nothing happened, and OutcomeUnknown where a request that changes
        something may have been carried out. A read changes nothing: it is always Refused.
        """
        self._widen()
        async with self._lanes:
            try:
                return await self._ask(request)
            except Refused as error:
                # A read may be made again, once: after the pause that OANDA asks for, or where the
                # connection was closed under it. What trades is its caller's to repeat, because
                # the price has moved meanwhile.
                if str(request.method) in _WRITES or not _passing(error):
                    raise
            return await self._ask(request)

    def _widen(self) -> None:
        """Give requests another lane where all are taken and a connection may be opened at once.

        Otherwise they share those there are: waiting for a turn on one that is open is shorter than
        waiting for OANDA's leave to open another.
        """
        lanes = self._lanes
        if not lanes.borrowed_tokens:
            idle_s = self._clock.monotonic() - self.line.answered_at
            lanes.total_tokens = 1 if idle_s > _KEPT_S else lanes.total_tokens
        elif lanes.total_tokens < _MOST_LANES and not lanes.available_tokens:
            lanes.total_tokens += (
                self._connections.left() or 0
            ) > 1  # one is for a stream that breaks

    async def _ask(self, request: APIRequest) -> Json:
        await self._requests.unblocked()
        writes = str(request.method) in _WRITES
        sending = _Sending()
        started = self._clock.monotonic()
        limit_s = self._settings.timeout_s + self._settings.connect_timeout_s
        try:
            with anyio.fail_after(limit_s):  # the client's own limits hold for each read alone
                answer = await self._send(request, sending)
        except (httpx2.TransportError, TimeoutError) as error:
            self.line.failure = type(error).__name__
            raise _silent(error, writes=writes and _may_act(error, sending)) from error
        self.line.seconds.append(self._clock.monotonic() - started)
        return self._read(answer, writes=writes)

    async def _send(self, request: APIRequest, sending: _Sending) -> httpx2.Response:
        built = self._client.build_request(
            str(request.method),
            f"{self._settings.rest}/{request}",
            params=_given(getattr(request, "params", None)),
            json=getattr(request, "data", None),
            extensions={"trace": self._tracer(sending)},
        )
        response = await self._client.send(built, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_LIMIT:
                    raise httpx2.RemoteProtocolError("the answer is too large", request=built)
        finally:
            await response.aclose()
        return httpx2.Response(
            response.status_code,
            headers=[pair for pair in response.headers.items() if pair[0] == "retry-after"],
            content=bytes(body),
        )

    def _tracer(self, sending: _Sending) -> Any:  # noqa: ANN401 - the transport's own callback
        async def trace(event: str, _: Mapping[str, Any]) -> None:
            if event == "connection.connect_tcp.started":
                await self._connections.pass_one()
            elif event.endswith("send_request_headers.started"):
                # Counted as it leaves, and not when it began to wait for a connection.
                await self._requests.pass_one()
                sending.written = True

        return trace

    def _read(self, answer: httpx2.Response, *, writes: bool) -> Json:
        """Return the answer's object, or raise what its status and its own code mean."""
        status = answer.status_code
        if status == _TOO_MANY:
            wait_s = _seconds(answer.headers.get("retry-after"))
            self._requests.block(wait_s)
            told = _object(answer.content) or {}
            raise Refused(
                ErrorCode.RATE_LIMITED,
                f"OANDA takes no more for now: {told.get('errorMessage') or 'HTTP 429'}",
                outcome=Outcome.NOT_SENT,
                retry=Retry.SAFE,
                retry_after_s=wait_s,
                broker_code=str(status),
                broker_text=str(told.get("errorMessage") or "") or None,
            )
        body = _object(answer.content)
        if status >= _SERVER_FAULT or (body is None and answer.is_success):
            self.line.failure = f"HTTP {status}"
            what = f"OANDA failed (HTTP {status})" if status >= _SERVER_FAULT else "no JSON came"
            raise _failed(what, str(status), writes=writes)
        self.line.answered_at, self.line.failure = self._clock.monotonic(), ""
        if answer.is_success and body is not None:
            return body
        raise of_answer(status, body or {})

    @asynccontextmanager
    async def streaming(self, request: APIRequest) -> AsyncIterator[AsyncIterator[Json]]:
        """Open a stream of JSON objects; raises Refused where it can't be had, or breaks.

        Silence for longer than ``silence_s`` is a break too.
        """
        sending = _Sending()
        built = self._client.build_request(
            "GET",
            f"{self._settings.stream}/{request}",
            params=_given(getattr(request, "params", None)),
            extensions={"trace": self._tracer(sending)},
            timeout=httpx2.Timeout(
                self._settings.silence_s, connect=self._settings.connect_timeout_s
            ),
        )
        await self._requests.unblocked()
        try:
            with anyio.fail_after(self._settings.timeout_s):
                response = await self._client.send(built, stream=True)
        except (httpx2.TransportError, TimeoutError) as error:
            raise _silent(error, writes=False) from None
        try:
            if not response.is_success:
                with anyio.fail_after(self._settings.timeout_s):
                    content = await response.aread()
                raise of_answer(response.status_code, _object(content) or {})
            yield self._lines(response)
        except (httpx2.TransportError, TimeoutError) as error:
            raise _silent(error, writes=False) from None
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await response.aclose()

    async def _lines(self, response: httpx2.Response) -> AsyncIterator[Json]:
        rest = b""
        chunks = aiter(response.aiter_bytes())
        while True:
            with anyio.fail_after(self._settings.silence_s):
                chunk = await anext(chunks, None)
            if chunk is None:
                raise httpx2.RemoteProtocolError("the stream has ended")
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > ANSWER_LIMIT:
                raise httpx2.RemoteProtocolError("a line of the stream is too long")
            for line in lines:
                if not line.strip():
                    continue
                found = _object(line)
                if found is None:
                    raise httpx2.RemoteProtocolError("the stream has a line that is no JSON object")
                yield found


def _given(params: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {key: value for key, value in params.items() if value is not None} if params else None


def _object(content: bytes) -> Json | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _may_act(error: Exception, sending: _Sending) -> bool:
    """Tell whether OANDA may have got the request; what can't be told counts as yes."""
    return sending.written or not isinstance(error, (*_UNSENT, TimeoutError))


def _silent(error: Exception, *, writes: bool) -> BrokerError:
    late = isinstance(error, TimeoutError | httpx2.TimeoutException)
    what = "OANDA did not answer in time" if late else "the line to OANDA broke"
    return _failed(f"{what} ({type(error).__name__})", None, writes=writes)


def _failed(what: str, code: str | None, *, writes: bool) -> BrokerError:
    if writes:
        return OutcomeUnknown(f"{what}: the request may have been carried out", broker_code=code)
    return Refused(
        ErrorCode.NOT_CONNECTED,
        what,
        outcome=Outcome.NOT_SENT,
        retry=Retry.SAFE,
        broker_code=code,
    )


def _passing(error: Refused) -> bool:
    """Tell whether the same read may well succeed at once; what took its time already may not."""
    if error.code is ErrorCode.RATE_LIMITED:
        return True
    return isinstance(error.__cause__, httpx2.ReadError | httpx2.RemoteProtocolError)


def _seconds(text: str | None) -> float:
    """Read Retry-After; a date, or nothing, counts as a second."""
    try:
        return min(600.0, max(0.0, float(text or "")))
    except ValueError:
        return 1.0
