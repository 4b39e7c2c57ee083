"""serve over Streamable HTTP: tokens, scopes, hosts, restarts, and a connection that fails."""

# ruff: noqa: ANN401 - the values of parametrised cases are of many types

from __future__ import annotations

import json
import logging
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import trustme
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.kernel.fake_broker import FakeBroker, order, report_of

from mtquant.contract import Endpoint, Scope
from mtquant.errors import BrokerError, ConfigError, Outcome, OutcomeUnknown, Refused
from mtquant.wire import Remote, run_http
from mtquant.wire.child import ANSWER_LIMIT
from mtquant.wire.remote import error_in
from mtquant.wire.run import REQUEST_LIMIT
from mtquant.wire.transport import Resilient

pytestmark = pytest.mark.anyio

FAKE = str(Path(__file__).with_name("fake_broker.py"))
ALL = "canary-token-with-all-scopes"
READ = "canary-token-that-may-only-read"
REDUCE = "canary-token-that-may-reduce"
TOKENS = {
    ALL: frozenset(Scope),
    READ: frozenset({Scope.READ}),
    REDUCE: frozenset({Scope.READ, Scope.REDUCE}),
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn runs on nothing else


@asynccontextmanager
async def serving(broker: FakeBroker) -> AsyncIterator[str]:
    async with anyio.create_task_group() as group:
        port = await group.start(partial(run_http, broker, tokens=TOKENS, port=0))
        yield f"http://127.0.0.1:{port}/mcp"
        group.cancel_scope.cancel()


async def post(url: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        raw = [(b"accept", b"application/json, text/event-stream")]
        raw += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        return await client.post(url, json=INITIALIZE, headers=raw)


@asynccontextmanager
async def child(port: int) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: ASYNC220 - it is signalled, not awaited
        [sys.executable, FAKE, "http", str(port), ALL], stderr=subprocess.PIPE
    )
    try:
        while True:
            assert process.poll() is None
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    break
            except OSError:
                await anyio.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_reads_and_orders() -> None:
    broker = FakeBroker()
    async with serving(broker) as url, Remote(Endpoint(url=url, token=ALL)) as remote:
        assert (await remote.get_quotes(("A",))).quotes[0].instrument == "A"
        assert await remote.place_order(order()) == report_of(order())
        assert (await remote.place_order(order())).replayed
        with pytest.raises(Refused, match="failed inside"):
            await remote.get_quotes(("CRASH",))


async def test_a_token_opens_its_scopes_and_no_more() -> None:
    broker = FakeBroker()
    seen = {}
    async with serving(broker) as url:
        for token in TOKENS:
            headers = {"Authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                seen[token] = {each.name for each in (await client.list_tools()).tools}
                for name in ("place_order", "close_position"):
                    result = await client.session.call_tool(name, {"client_order_id": ""})
                    error = error_in(result)
                    assert error is not None
                    inside = name in seen[token]
                    assert error.code == ("invalid_argument" if inside else "read_only")
                    assert error.outcome is Outcome.NOT_SENT
    assert seen[ALL] - seen[REDUCE] == {"place_order"}
    assert seen[REDUCE] - seen[READ] == {"cancel_order", "close_position"}
    assert not broker.sent


async def test_without_the_token_there_is_nothing() -> None:
    async with serving(FakeBroker()) as url:
        assert (await post(url)).status_code == 401
        for wrong in (
            "Bearer wrong",
            f"Bearer {ALL[:-1]}",
            f"Bearer {ALL}x",
            f"Basic {ALL}",
            "Bearer \xff",
        ):
            assert (await post(url, Authorization=wrong)).status_code == 401
        assert (await post(url, Authorization=f"Bearer {ALL}")).status_code == 200
        for token in (None, "wrong"):
            with pytest.raises(Refused) as caught:
                async with Remote(Endpoint(url=url, token=token)):
                    pytest.fail("it connected")
            assert (caught.value.code, caught.value.outcome) == ("auth_failed", "not_sent")


async def test_hosts_and_origins_are_checked() -> None:
    async with serving(FakeBroker()) as url:
        good = {"Authorization": f"Bearer {ALL}"}
        assert (await post(url, Host="evil.example", **good)).status_code == 421
        assert (await post(url, Origin="http://evil.example", **good)).status_code == 403
        assert (await post(url, Origin="http://localhost:5173", **good)).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])  # noqa: S104
async def test_no_host_but_the_loopback_is_bound(host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        await run_http(FakeBroker(), tokens=TOKENS, port=0, host=host)


async def test_beyond_the_loopback_it_is_bound_with_tls_or_an_explicit_word() -> None:
    everywhere = partial(
        run_http,
        FakeBroker(),
        tokens=TOKENS,
        port=0,
        host="0.0.0.0",  # noqa: S104 - the point of the test
        exposed=True,
    )
    async with anyio.create_task_group() as group:
        port = await group.start(everywhere)
        answer = await post(f"http://127.0.0.1:{port}/mcp", Authorization=f"Bearer {ALL}")
        assert answer.status_code == 200
        group.cancel_scope.cancel()


async def test_over_tls_under_a_name_of_its_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "trade.example")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for each in certificate.cert_chain_pems:
        each.write_to_path(str(chain), append=True)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    serve_tls = partial(
        run_http,
        FakeBroker(),
        tokens=TOKENS,
        port=0,
        tls=(str(chain), str(key)),
        names=("trade.example",),
    )
    async with anyio.create_task_group() as group:
        port = await group.start(serve_tls)
        async with httpx2.AsyncClient(verify=trusting) as client:
            for host, status in (("trade.example", 200), ("evil.example", 421)):
                answer = await client.post(
                    f"https://localhost:{port}/mcp",
                    json=INITIALIZE,
                    headers={
                        "Host": host,
                        "Authorization": f"Bearer {ALL}",
                        "Accept": "application/json, text/event-stream",
                    },
                )
                assert answer.status_code == status
        group.cancel_scope.cancel()


async def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nonsense")
    bad = str(tmp_path / "bad.pem")
    for tls in ((bad, bad), (str(tmp_path / "none"), bad)):
        with pytest.raises(ConfigError, match="pem"):
            await run_http(FakeBroker(), tokens=TOKENS, port=0, tls=tls)


async def test_a_request_that_is_too_large_is_not_read() -> None:
    async with serving(FakeBroker()) as url, httpx2.AsyncClient() as client:
        answer = await client.post(
            url,
            content=b"x" * (REQUEST_LIMIT + 1),
            headers={"Authorization": f"Bearer {ALL}", "Content-Type": "application/json"},
        )
        assert answer.status_code == 413


@pytest.mark.parametrize("tokens", [{}, {"": frozenset(Scope)}, {"short": frozenset(Scope)}])
async def test_no_server_runs_without_a_proper_token(tokens: Any) -> None:
    with pytest.raises(ConfigError, match="token"):
        await run_http(FakeBroker(), tokens=tokens, port=0)


async def test_nothing_listening_is_not_sent() -> None:
    with pytest.raises(Refused) as caught:
        async with Remote(Endpoint(url=f"http://127.0.0.1:{free_port()}/mcp", token=ALL)):
            pytest.fail("it connected")
    assert (caught.value.code, caught.value.outcome, caught.value.retry) == (
        "not_connected",
        "not_sent",
        "safe",
    )


@pytest.mark.slow
async def test_a_restart_between_calls_is_survived_and_a_gone_server_is_not_sent() -> None:
    port = free_port()
    async with child(port) as first:
        remote = Remote(Endpoint(url=f"http://127.0.0.1:{port}/mcp", token=ALL))
        async with remote:
            await remote.place_order(order())
            first.send_signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(first.wait) == 0  # a clean stop
            with pytest.raises(Refused) as caught:
                await remote.place_order(order("c2"))
            assert (caught.value.outcome, caught.value.retry) == (Outcome.NOT_SENT, "safe")
            assert not remote.closed
            async with child(port):
                assert await remote.place_order(order("c3")) == report_of(order("c3"))


@pytest.mark.slow
async def test_a_server_killed_in_mid_call_leaves_the_order_unknown_and_the_rest_alive() -> None:
    port = free_port()
    outcomes: list[BrokerError] = []

    async def fail(act: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(BrokerError) as caught:
            await act()
        outcomes.append(caught.value)

    async with (
        child(port) as server,
        Remote(Endpoint(url=f"http://127.0.0.1:{port}/mcp", token=ALL)) as remote,
    ):
        async with anyio.create_task_group() as group:
            group.start_soon(fail, partial(remote.get_quotes, ("HANG",)))
            group.start_soon(fail, partial(remote.place_order, order(instrument="HANG")))
            await remote.get_quotes(("WAIT",))  # both calls are at the server by now
            server.kill()
        assert {type(each) for each in outcomes} == {Refused, OutcomeUnknown}
        server.wait()
        async with child(port):
            assert (await remote.get_quotes(("A",))).quotes


class Answers(httpx2.AsyncBaseTransport):
    """A network that does one thing."""

    def __init__(self, answer: Callable[[httpx2.Request], httpx2.Response]) -> None:
        self.answer = answer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.answer(request)


class Broken(httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        msg = "peer closed connection"
        raise httpx2.RemoteProtocolError(msg)


def _raise(error: Exception) -> httpx2.Response:
    raise error


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (lambda _: _raise(httpx2.ConnectError("refused")), False),
        (lambda _: _raise(httpx2.ConnectTimeout("slow")), False),
        (lambda _: _raise(httpx2.PoolTimeout("full")), False),
        (lambda _: _raise(httpx2.ReadTimeout("slow")), True),
        (lambda _: _raise(httpx2.ReadError("reset")), True),
        (lambda _: _raise(httpx2.WriteError("reset")), True),
        (lambda _: _raise(httpx2.RemoteProtocolError("cut")), True),
        (lambda _: httpx2.Response(401), False),
        (lambda _: httpx2.Response(403), False),
        (lambda _: httpx2.Response(421), False),
        (
            lambda _: httpx2.Response(
                200, headers={"content-type": "application/json"}, stream=Broken()
            ),
            True,
        ),
    ],
    ids=range(11),
)
async def test_a_failed_request_says_whether_it_was_sent(answer: Any, *, sent: bool) -> None:
    request = httpx2.Request("POST", "http://h/mcp")
    response = await Resilient(Answers(answer)).handle_async_request(request)
    error = json.loads(await response.aread())["error"]
    assert (response.status_code, error["data"]["sent"]) == (503, sent)


class Endless(httpx2.AsyncByteStream):
    sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += 1 << 20
            yield b" " * (1 << 20)


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}], ids=["plain", "packed"])
async def test_an_answer_without_end_is_cut_off(headers: dict[str, str]) -> None:
    stream = Endless()
    answer = httpx2.Response(
        200, headers={"content-type": "application/json"} | headers, stream=stream
    )
    request = httpx2.Request("POST", "http://h/mcp")
    response = await Resilient(Answers(lambda _: answer)).handle_async_request(request)
    error = json.loads(await response.aread())["error"]
    assert (response.status_code, error["data"]["sent"]) == (503, True)
    assert stream.sent <= ANSWER_LIMIT + (2 << 20)


async def test_an_answer_of_a_proxy_passes_unchanged() -> None:
    answer = httpx2.Response(502, text="Bad Gateway")
    request = httpx2.Request("POST", "http://h/mcp")
    assert await Resilient(Answers(lambda _: answer)).handle_async_request(request) is answer


async def test_a_token_appears_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    async with serving(FakeBroker()) as url:
        for token in (ALL, READ, "canary-of-a-wrong-token"):
            endpoint = Endpoint(url=url, token=token)
            remote = Remote(endpoint)
            try:
                async with remote:
                    told += [repr(remote), repr(endpoint)]
                    await remote.place_order(order(quantity="NaN"))
            except BrokerError as error:
                told += [repr(error), json.dumps(error.payload())]
    assert "canary" not in "".join([*told, caplog.text])
