"""What is known after each way in which a request can fail."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress

import anyio
import httpx2
import pytest
from oandapyV20.endpoints.accounts import AccountSummary
from oandapyV20.endpoints.orders import OrderCreate
from tests.oanda.double import ACCOUNT, TOKEN, settings

from mtquant.clock import ManualClock, SystemClock
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused
from mtquant_oanda_server.pace import Pace
from mtquant_oanda_server.venue import Venue

ORDER = {"order": {"type": "MARKET"}}


async def failure(
    handler: Callable[[httpx2.Request], httpx2.Response], *, writes: bool = True
) -> BrokerError:
    """Return what a request comes to that ``handler`` answers."""
    venue = Venue(settings(), TOKEN, SystemClock(), httpx2.MockTransport(handler))
    request = OrderCreate(ACCOUNT, data=ORDER) if writes else AccountSummary(ACCOUNT)
    try:
        with pytest.raises(BrokerError) as caught:
            await venue.ask(request)
    finally:
        await venue.aclose()
    assert TOKEN not in str(caught.value.payload())
    return caught.value


def raising(error: type[httpx2.TransportError]) -> Callable[[httpx2.Request], httpx2.Response]:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise error("no", request=request)

    return handler


@pytest.mark.parametrize("error", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout])
def test_what_never_left_is_not_sent(error: type[httpx2.TransportError]) -> None:
    found = anyio.run(failure, raising(error))
    assert isinstance(found, Refused)
    assert (found.code, found.outcome) == (ErrorCode.NOT_CONNECTED, Outcome.NOT_SENT)


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ReadTimeout,
        httpx2.WriteTimeout,
        httpx2.ReadError,
        httpx2.WriteError,
        httpx2.RemoteProtocolError,
    ],
)
def test_an_order_whose_answer_was_lost_is_unknown_and_a_read_is_not(
    error: type[httpx2.TransportError],
) -> None:
    assert isinstance(anyio.run(failure, raising(error)), OutcomeUnknown)

    async def read() -> BrokerError:
        return await failure(raising(error), writes=False)

    found = anyio.run(read)
    assert (found.code, found.outcome) == (ErrorCode.NOT_CONNECTED, Outcome.NOT_SENT)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_a_fault_of_the_server_leaves_an_order_unknown(status: int) -> None:
    found = anyio.run(failure, lambda _: httpx2.Response(status, text="oh"))
    assert isinstance(found, OutcomeUnknown)
    assert found.broker_code == str(status)


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{", "null", "[" * 5000])
def test_an_answer_that_cant_be_read_leaves_an_order_unknown(body: str) -> None:
    assert isinstance(anyio.run(failure, lambda _: httpx2.Response(201, text=body)), OutcomeUnknown)


def test_too_many_requests_is_not_sent_and_is_waited_for() -> None:
    async def scene() -> None:
        calls: list[httpx2.Request] = []

        def handler(request: httpx2.Request) -> httpx2.Response:
            calls.append(request)
            return httpx2.Response(429, headers={"Retry-After": "60"}, text="slow down")

        venue = Venue(settings(), TOKEN, ManualClock(1), httpx2.MockTransport(handler))
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await venue.ask(OrderCreate(ACCOUNT, data=ORDER))
            assert caught.value.code is ErrorCode.RATE_LIMITED
            assert caught.value.outcome is Outcome.NOT_SENT
            assert caught.value.retry_after_s == 60
        assert len(calls) == 1, "what OANDA asked to wait for was sent at once"
        await venue.aclose()

    anyio.run(scene)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, ErrorCode.AUTH_FAILED),
        (403, ErrorCode.AUTH_FAILED),
        (404, ErrorCode.NOT_FOUND),
        (405, ErrorCode.UNSUPPORTED),
        (400, ErrorCode.INVALID_ARGUMENT),
    ],
)
def test_a_refusal_is_a_refusal(status: int, code: ErrorCode) -> None:
    found = anyio.run(failure, lambda _: httpx2.Response(status, json={"errorMessage": "no"}))
    assert isinstance(found, Refused)
    assert (found.code, found.outcome, found.broker_text) == (code, Outcome.REJECTED, "no")


def test_a_read_whose_connection_was_closed_under_it_is_made_again_once() -> None:
    async def scene() -> None:
        seen: list[str] = []

        def handler(request: httpx2.Request) -> httpx2.Response:
            seen.append(request.method)
            if len(seen) == 1:
                raise httpx2.RemoteProtocolError("closed", request=request)
            return httpx2.Response(200, json={"account": {}})

        venue = Venue(settings(), TOKEN, SystemClock(), httpx2.MockTransport(handler))
        assert await venue.ask(AccountSummary(ACCOUNT)) == {"account": {}}
        await venue.aclose()
        assert seen == ["GET", "GET"]

    anyio.run(scene)


def test_a_redirect_is_not_followed() -> None:
    elsewhere = {"location": "http://elsewhere.example/"}
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(307, headers=elsewhere)

    anyio.run(failure, handler)
    assert seen == ["127.0.0.1"], "the token went to another host"


def test_a_connection_that_is_refused_is_not_sent() -> None:
    async def scene() -> None:
        with closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            venue = Venue(settings(url=url), TOKEN, SystemClock())
            with pytest.raises(Refused) as caught:
                await venue.ask(OrderCreate(ACCOUNT, data=ORDER))
            await venue.aclose()
        assert caught.value.outcome is Outcome.NOT_SENT

    anyio.run(scene)


Behaviour = Callable[[anyio.abc.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[str]:
    """Serve so over a real socket, and yield the address."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            async with stream:
                await behaviour(stream)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no Django
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, serve)
            yield f"http://127.0.0.1:{port}"
            group.cancel_scope.cancel()


async def against(behaviour: Behaviour, **changes: float) -> object:
    """Return what an order comes to at a server that behaves so."""
    async with serving(behaviour) as url:
        venue = Venue(settings(url=url, **changes), TOKEN, SystemClock())
        try:
            return await venue.ask(OrderCreate(ACCOUNT, data=ORDER))
        except BrokerError as error:
            return error
        finally:
            await venue.aclose()


def test_a_server_that_takes_an_order_and_hangs_up_leaves_it_unknown() -> None:
    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        await stream.aclose()

    assert isinstance(anyio.run(against, hang_up), OutcomeUnknown)


def test_a_server_that_says_nothing_is_given_up_and_the_order_is_unknown() -> None:
    async def say_nothing(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        await anyio.sleep_forever()

    async def scene() -> object:
        return await against(say_nothing, timeout_s=0.2)

    assert isinstance(anyio.run(scene), OutcomeUnknown)


def test_a_server_that_drips_is_given_up_too() -> None:
    async def drip(stream: anyio.abc.SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await stream.send(b" ")
            await anyio.sleep(0.05)

    async def scene() -> object:
        return await against(drip, timeout_s=0.3, connect_timeout_s=0.2)

    assert isinstance(anyio.run(scene), OutcomeUnknown)


def test_one_connection_serves_request_after_request() -> None:
    async def scene() -> None:
        connections: list[object] = []
        body = json.dumps({"account": {}}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()

        async def serve(stream: anyio.abc.SocketStream) -> None:
            connections.append(stream)
            while True:
                await stream.receive()
                await stream.send(head + body)

        async with serving(serve) as url:
            venue = Venue(settings(url=url), TOKEN, SystemClock())
            for _ in range(20):
                await venue.ask(AccountSummary(ACCOUNT))
            await venue.aclose()
        assert len(connections) == 1

    anyio.run(scene)


def test_no_more_than_the_limit_passes_in_a_second_and_the_rest_is_refused() -> None:
    async def scene() -> None:
        clock = ManualClock()
        pace = Pace(100, clock, patience_s=0, slack_s=0.05)
        for _ in range(100):
            await pace.pass_one()
        assert pace.left() == 0
        with pytest.raises(Refused) as caught:
            await pace.pass_one()
        assert caught.value.outcome is Outcome.NOT_SENT
        clock.set(1_050_000_001)
        assert pace.left() == 100
        await pace.pass_one()

    anyio.run(scene)
