"""A server that answers without end, or in riddles, costs a call and no memory."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx2
import pytest
from tests.kernel.fake_broker import order

from mtquant.contract import Endpoint
from mtquant.errors import BrokerError, Outcome, Refused
from mtquant.wire import Remote
from mtquant.wire.child import ANSWER_LIMIT

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
SERVER = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); sys.argv.pop(0);"
SERVER += "runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def hostile(*arguments: str) -> Endpoint:
    script = str(Path(__file__).with_name("hostile_server.py"))
    return Endpoint(command=(sys.executable, "-c", SERVER, str(ROOT), script, *arguments))


@pytest.mark.slow
async def test_a_line_without_end_is_cut_off_and_its_server_stopped(tmp_path: Path) -> None:
    count = tmp_path / "count"
    async with Remote(hostile(str(count))) as remote:
        assert (await remote.get_quotes(("A",))).quotes
        with pytest.raises(Refused) as caught:
            await remote.get_quotes(("FLOOD",))
        assert caught.value.outcome is Outcome.NOT_SENT
        assert "xxx" not in json.dumps(caught.value.payload())
        with anyio.fail_after(10):
            while not remote.closed:  # noqa: ASYNC110 - the child's death is told by nobody
                await anyio.sleep(0.01)
        with pytest.raises(Refused):
            await remote.place_order(order())
    assert int(count.read_text()) <= (ANSWER_LIMIT >> 20) + 2


@pytest.mark.slow
async def test_a_server_that_begins_with_a_flood_is_no_server(tmp_path: Path) -> None:
    count = tmp_path / "count"
    with pytest.raises(BrokerError):
        async with Remote(hostile(str(count), "first")):
            pass
    assert int(count.read_text()) <= (ANSWER_LIMIT >> 20) + 2


@pytest.mark.slow
async def test_an_answer_too_deep_to_read_leaves_the_connection_alive(tmp_path: Path) -> None:
    async with Remote(hostile(str(tmp_path / "count"))) as remote:
        assert (await remote.get_quotes(("DEEP",))).quotes
        assert not remote.closed


class Stream(httpx2.AsyncByteStream):
    """One event of server-sent events that never ends."""

    sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"event: message\ndata: "
        while True:
            type(self).sent += 1 << 20
            yield b"x" * (1 << 20)


class Body(httpx2.AsyncByteStream):
    """A JSON body that never ends."""

    sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"jsonrpc":"2.0","id":1,"result":{"x":"'
        while True:
            type(self).sent += 1 << 20
            yield b"x" * (1 << 20)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/event-stream", Stream),
        ("application/json", Body),
        ("Application/JSON; charset=utf-8", Body),
    ],
)
async def test_over_http_no_answer_is_read_without_end(
    kind: str, body: type[Stream | Body], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Network(httpx2.AsyncBaseTransport):
        def __init__(self, **_: object) -> None:
            pass

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(
                200, headers={"content-type": kind}, stream=body(), request=request
            )

    body.sent = 0
    monkeypatch.setattr(httpx2, "AsyncHTTPTransport", Network)
    tracemalloc.start()
    try:
        with pytest.raises(BrokerError):
            async with Remote(Endpoint(url="http://127.0.0.1:9/mcp")):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # It may ask more than once, in more than one way; each time there is an end of it.
    assert body.sent <= 8 * ANSWER_LIMIT
    assert peak <= 6 * ANSWER_LIMIT
