"""The gateway over Streamable HTTP: who comes in, and how much of it he may take."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult
from tests.gateway.fake_desk import CODE, DIGEST, TOOLS, FakeDesk, Person

from mtquant.errors import ConfigError
from mtquant.gateway import http, refusals, room, run_gateway_http, server
from mtquant.gateway.http import METADATA, REQUEST_LIMIT
from mtquant.gateway.knocks import ADDRESSES, TRIES, WITHIN_S, Knocks
from mtquant.gateway.turns import CALLS

pytestmark = pytest.mark.anyio

TOKENS = {"momo": "mtq_canary-token-of-momo", "other": "mtq_canary-token-of-the-other"}
Mode = Literal["legacy", "2026-07-28"]
NAMES = {token: agent for agent, token in TOKENS.items()}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
ACCEPT = "application/json, text/event-stream"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # uvicorn runs on nothing else


@dataclass
class Served:
    """A gateway that runs."""

    url: str
    desk: FakeDesk
    find: Callable[[str], str | None] = NAMES.get
    client: httpx2.AsyncClient = field(default_factory=httpx2.AsyncClient)

    def authenticate(self, token: str) -> str | None:
        """Return whose token this is."""
        return self.find(token)

    async def post(
        self, body: object, agent: str | None = "momo", **headers: str
    ) -> httpx2.Response:
        """Send ``body``, JSON unless it is bytes, as ``agent``."""
        sent = {"content-type": "application/json", "accept": ACCEPT} | headers
        if agent is not None:
            sent.setdefault("authorization", f"Bearer {TOKENS[agent]}")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(self.url, content=content, headers=sent)

    async def call(self, tool: str, agent: str = "momo", **arguments: str) -> httpx2.Response:
        """Call a tool on 2026-07-28."""
        return await self.post(called(tool, **arguments), agent, **routed(tool))

    @asynccontextmanager
    async def connected(
        self, agent: str, mode: Mode, person: Person | None
    ) -> AsyncIterator[Client]:
        headers = {"authorization": f"Bearer {TOKENS[agent]}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as client,
            Client(
                streamable_http_client(self.url, http_client=client),
                mode=mode,
                elicitation_callback=person,
            ) as connected,
        ):
            yield connected


def called(tool: str, **arguments: str) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments, "_meta": META}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def routed(tool: str) -> dict[str, str]:
    return {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[Served]:  # noqa: ANN401 - the gateway's switches
    desk = FakeDesk(agents={name: tuple(TOOLS) for name in TOKENS})
    served = Served("", desk)
    run = partial(
        run_gateway_http,
        desk,
        TOOLS,
        authenticate=served.authenticate,
        port=0,
        signals=False,
        **more,
    )
    async with anyio.create_task_group() as group:
        port = await group.start(run)
        served.url = f"http://127.0.0.1:{port}/mcp"
        try:
            async with served.client:
                yield served
        finally:
            group.cancel_scope.cancel()


async def test_a_call_is_that_of_the_tokens_agent() -> None:
    async with serving() as served:
        for agent in TOKENS:
            answer = await served.call("get_portfolio", agent)
            assert answer.json()["result"]["structuredContent"]["state"] == "done"
    assert [each[0] for each in served.desk.calls] == list(TOKENS)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_both_eras(mode: Mode) -> None:
    person = Person(ElicitResult(action="accept", content={"approve": True, "code": CODE}))
    async with serving() as served, served.connected("momo", mode, person) as client:
        assert len((await client.list_tools()).tools) == len(TOOLS)
        result = await client.call_tool("propose_trade", {"symbol": "A"})
        assert result.structured_content is not None
        assert result.structured_content["state"] == "approved"
    assert served.desk.answers == [("momo", 1, DIGEST, True, CODE)]


async def test_without_a_token_there_is_nothing() -> None:
    given: tuple[dict[str, str], ...] = (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {TOKENS['momo'][:-1]}"},
        {"authorization": f"Bearer {TOKENS['momo']}x"},
        {"authorization": f"Basic {TOKENS['momo']}"},
        {"authorization": f"Digest {TOKENS['momo']}"},
        {"authorization": TOKENS["momo"]},
        {"x-token": TOKENS["momo"]},
    )
    async with serving() as served:
        for each in given:
            headers = routed("get_portfolio") | each
            answer = await served.post(called("get_portfolio"), None, **headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert not served.desk.calls
    assert {each[:2] for each in served.desk.refused} == {("", "authentication")}


async def test_a_token_opens_nothing_from_the_moment_it_is_revoked() -> None:
    async with serving() as served:
        assert (await served.call("get_portfolio")).status_code == 200
        served.find = dict[str, str]().get
        assert (await served.call("get_portfolio")).status_code == 401
    assert len(served.desk.calls) == 1


async def test_where_tokens_cannot_be_looked_up_nobody_comes_in() -> None:
    def broken(_: str) -> str | None:
        raise ConfigError("agents.json", "can't be used", "Mend it.")

    async with serving() as served:
        served.find = broken
        assert (await served.call("get_portfolio")).status_code == 401


async def test_hosts_and_origins_are_checked_before_the_token() -> None:
    async with serving() as served:
        for header, value, status in (
            ("host", "evil.example", 421),
            ("host", "evil.example:80", 421),
            ("origin", "http://evil.example", 403),
            ("origin", "null", 403),
            ("origin", "http://localhost:5173", 200),
        ):
            headers = routed("get_portfolio") | {header: value}
            answer = await served.post(called("get_portfolio"), **headers)
            assert answer.status_code == status
            if status != 200:
                assert (await served.post(b"", None, **{header: value})).status_code == status
    assert len(served.desk.calls) == 1
    why = "a host or origin that is not ours, from 127.0.0.1"
    assert {each[2].partition(" (")[0] for each in served.desk.refused} == {why}


async def test_a_large_request_is_refused_before_it_is_read() -> None:
    async with serving() as served:
        for size in (REQUEST_LIMIT + 1, 10_000_000):
            assert (await served.post(b" " * size)).status_code == 413
        large = called("get_portfolio", account="x" * (REQUEST_LIMIT - 1000))
        assert (await served.post(large, **routed("get_portfolio"))).status_code == 200
    assert len(served.desk.calls) == 1
    assert {each[:2] for each in served.desk.refused} == {("momo", "request")}
    assert served.desk.refused[0][2].startswith("413 ")


async def test_what_a_web_page_can_send_without_asking_is_not_done() -> None:
    async with serving() as served:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            headers = routed("place_order") | {"content-type": kind}
            answer = await served.post(called("place_order", symbol="A"), **headers)
            assert answer.status_code == 400
    assert not served.desk.calls


async def test_a_replayed_answer_counts_once() -> None:
    async with serving() as served:
        propose = called("propose_trade", symbol="A")
        propose["params"]["_meta"] = META | {
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}
        }
        asked = (await served.post(propose, **routed("propose_trade"))).json()["result"]
        assert asked["resultType"] == "input_required"
        said = {"action": "accept", "content": {"approve": True, "code": CODE}}
        propose["params"] |= {
            "requestState": asked["requestState"],
            "inputResponses": dict.fromkeys(asked["inputRequests"], said),
        }
        for agent, refused in (("other", True), ("momo", False), ("momo", True)):
            answer = await served.post(propose, agent, **routed("propose_trade"))
            assert answer.json()["result"].get("isError", False) is refused
    assert served.desk.answers == [("momo", 1, DIGEST, True, CODE)]


async def test_one_agent_floods_while_another_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAUSE_S", 0.0)
    monkeypatch.setattr(room, "HELD_S", 0.01)
    async with serving() as served:
        async with anyio.create_task_group() as group:
            for _ in range(CALLS):
                group.start_soon(partial(served.call, "get_portfolio", account="WAIT"))
            await served.desk.busy(CALLS)
            refused = []
            for _ in range(50):
                answer = await served.call("get_portfolio")
                refused.append("rate_limited" in answer.json()["result"]["content"][0]["text"])
            assert all(refused)
            other = await served.call("get_portfolio", "other")
            assert not other.json()["result"].get("isError")
            cancel = await served.call("cancel_order")
            assert not cancel.json()["result"].get("isError")
            served.desk.go.set()
        again = await served.call("get_portfolio")
        assert not again.json()["result"].get("isError")
    told = [each for each in served.desk.refused if each[:2] == ("momo", "call")]
    assert 1 <= len(told) < 5


async def test_one_agents_open_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUESTS", 2)
    async with serving() as served:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(partial(served.call, "get_portfolio", account="WAIT"))
            await served.desk.busy(2)
            answer = await served.call("get_portfolio")
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            assert (await served.call("get_portfolio", "other")).status_code == 200
            served.desk.go.set()
        assert (await served.call("get_portfolio")).status_code == 200


async def test_guessing_is_turned_away_and_told_while_agents_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusals, "PAUSE_S", 60.0)
    async with serving() as served:
        for number in range(TRIES + 20):
            guess = {"authorization": f"Bearer mtq_{number}"}
            answer = await served.post(called("get_portfolio"), None, **guess)
            assert answer.status_code == (401 if number < TRIES else 429)
        assert 0 < int(answer.headers["retry-after"]) <= WITHIN_S
        assert (await served.call("get_portfolio")).status_code == 200
    # The first at once, the others counted together at the end of the pause.
    why = "no token of an agent, from 127.0.0.1"
    assert served.desk.refused == [
        ("", "authentication", why),
        ("", "authentication", f"{why} ({TRIES + 19} times)"),
    ]


def test_tries_are_forgotten_after_a_minute_and_addresses_are_bounded() -> None:
    now = 0.0
    knocks = Knocks(lambda: now)
    waits = [knocks.failed("a") for _ in range(TRIES + 1)]
    assert waits == [0.0] * TRIES + [WITHIN_S]
    now = WITHIN_S - 1
    assert knocks.failed("a") == 1.0
    assert knocks.failed("b") == 0.0
    now = WITHIN_S + 1
    assert knocks.failed("a") == 0.0
    waits = [knocks.failed("c") for _ in range(TRIES + 1)]
    assert waits[-1] == WITHIN_S
    for number in range(ADDRESSES):
        knocks.failed(f"address {number}")
    assert knocks.failed("c") == 0.0  # forgotten


async def test_no_token_is_logged_nor_answered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    async with serving() as served:
        for token in (TOKENS["momo"], f"{TOKENS['momo']}-wrong"):
            headers = routed("get_portfolio") | {"authorization": f"Bearer {token}"}
            for symbol in ("A", "CRASH"):
                body = called("get_portfolio", account=symbol)
                answer = await served.post(body, **headers)
                told.append(answer.text + str(answer.headers))
    assert "canary" not in "".join(told)
    logged = [each for each in caplog.records if not each.name.startswith(("httpx2", "httpcore"))]
    assert logged
    assert not [each for each in logged if "canary-token" in each.getMessage()]
    assert "canary" not in str(served.desk.refused)


async def test_the_metadata_of_the_resource_where_an_issuer_is_named() -> None:
    issuer = "https://login.example"
    async with serving(issuer=issuer, names=("trade.example",)) as served:
        base = served.url.removesuffix("/mcp")
        found = await served.client.get(base + METADATA)
        assert found.json() == {
            "resource": served.url,
            "authorization_servers": [issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": "mtquant gateway",
        }
        named = await served.client.get(base + METADATA, headers={"host": "trade.example"})
        assert named.json()["resource"] == "https://trade.example/mcp"
        evil = await served.client.get(base + METADATA, headers={"host": "evil.example"})
        assert evil.status_code == 421
        refused = await served.post(b"", None)
        assert f'resource_metadata="{base}{METADATA}"' in refused.headers["www-authenticate"]
    async with serving() as served:
        refused = await served.client.get(served.url.removesuffix("/mcp") + METADATA)
        assert refused.status_code == 401
        assert "resource_metadata" not in refused.headers["www-authenticate"]


async def test_nothing_but_the_loopback_is_bound_in_clear() -> None:
    run = partial(run_gateway_http, FakeDesk(), TOOLS, authenticate=lambda _: "momo", port=0)
    with pytest.raises(ConfigError, match="loopback"):
        await run(host="0.0.0.0")  # noqa: S104 - the point of the test
    with pytest.raises(ConfigError, match=r"no\.pem"):
        await run(tls=("no.pem", "no.pem"))
