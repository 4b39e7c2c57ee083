"""The compromised agent over the real wire: forged requests, floods, and an engine killed in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from tests.gateway.terminal import CANARY, Place, prepared, process

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

D = Decimal
BUDGET = "--instrument EUR/USD --notional 20000 --orders 8 --loss 500 --calls-per-second 200"
TRADES = f"agents add mallory --scope read --scope trade --mode auto {BUDGET}"
PROPOSES = f"agents add eve --scope read --scope propose {BUDGET}"
SERVED = r"served at (http://\S+/mcp)"
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = prepared(tmp_path)
    made.token = made.typed(*TRADES.split()).strip()
    return made


@asynccontextmanager
async def served(place: Place, *, killed: bool = False) -> AsyncIterator[str]:
    words = ("gateway", "--http", "0")
    async with process(place, *words, until=SERVED, killed=killed) as found:
        yield found[1]


def called(tool: str, arguments: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    params = {"name": tool, "arguments": arguments, "_meta": META} | more
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


async def post(url: str, token: str | None, body: Any, **headers: str) -> httpx2.Response:  # noqa: ANN401 - JSON, or bytes
    """Send a request as no well-behaved client would."""
    name = body["params"]["name"] if isinstance(body, dict) else "place_order"
    sent = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": name,
    } | ({"authorization": f"Bearer {token}"} if token is not None else {})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx2.AsyncClient(timeout=60) as client:
        return await client.post(url, content=content, headers=sent | headers)


def order(name: str, quantity: int = 3000) -> dict[str, Any]:
    return {
        "client_order_id": name,
        "symbol": "EUR/USD",
        "side": "buy",
        "quantity": str(quantity),
        "account": "paper-a",
    }


async def filled(place: Place) -> Decimal:
    """Return how much was executed, as the journal has it."""
    shown = await anyio.to_thread.run_sync(
        partial(place.typed, "log", "--kind", "fill", "--json", "--last", "500")
    )
    fills = [json.loads(line)["fill"] for line in shown.splitlines()]
    return sum((D(each["quantity"]) for each in fills), D(0))


async def held(place: Place) -> Decimal:
    """Return what the account holds, as its broker says."""
    found = (await place.command("positions"))["positions"]
    return sum((D(each["quantity"]) for each in found), D(0))


async def test_forged_requests_do_nothing(place: Place) -> None:
    eve = place.typed(*PROPOSES.split()).strip()
    async with served(place) as url:
        wish = called("place_order", order("a"))
        for token in (
            None,
            "x",
            "mtq_",
            place.token[:-1],
            place.token + "x",
            place.token.swapcase(),
        ):
            assert (await post(url, token, wish)).status_code == 401
        in_url = f"{url}?token={place.token}&access_token={place.token}"
        assert (await post(in_url, None, wish)).status_code == 401
        for header in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            assert (await post(url, place.token, wish, **header)).status_code in {403, 421}
        huge = json.dumps(called("place_order", order("a") | {"rationale": "x" * 10**7})).encode()
        assert (await post(url, place.token, huge)).status_code == 413
        raw = json.dumps(wish).replace('"3000"', "NaN").encode()
        answers = [
            await post(url, place.token, raw),
            await post(url, place.token, called("place_order", order("a") | {"dry_run": True})),
            await post(url, place.token, called("place_order", [order("a")])),
            await post(url, eve, wish),
            await post(url, eve, wish, **{"mcp-name": "get_portfolio"}),
            await post(url, eve, called("halt_trading", {"reason": "x"})),
        ]
        text = "".join(each.text for each in answers)
        assert "filled" not in text
        # An answer to a question that nobody asked, and to another agent's.
        yes = {"approval": {"action": "accept", "content": {"approve": True, "code": "AAAAAAAA"}}}
        proposal = {
            "client_order_id": "p",
            "symbol": "EUR/USD",
            "side": "buy",
            "stop_loss": "0.5",
            "quantity": "1000",
            "rationale": "x",
        }
        await post(url, eve, called("propose_trade", proposal))
        digest = (await place.waiting())["digest"]
        code = (await place.waiting())["code"]
        for token, state in ((place.token, f"1:{digest}"), (eve, "1:" + "0" * 16), (eve, "x")):
            forged = called("propose_trade", {}, requestState=state, inputResponses=yes)
            answer = await post(url, token, forged)
            assert "filled" not in answer.text
            assert code not in answer.text
        assert await held(place) == 0
        refusals = await place_log(place, "agent_refused", "agent_call")
        assert {each.get("code") for each in refusals} >= {"out_of_scope", "invalid_argument"}
    assert "entries hold" in place.typed("audit", "verify")
    everything = text + json.dumps(refusals)
    assert not any(each in everything for each in (CANARY, place.token, eve, code))


async def place_log(place: Place, *kinds: str) -> list[dict[str, Any]]:
    words = [each for kind in kinds for each in ("--kind", kind)]
    typed = partial(place.typed, "log", "--json", "--last", "500", *words)
    return [json.loads(line) for line in (await anyio.to_thread.run_sync(typed)).splitlines()]


async def test_a_flood_and_a_kill_in_it_pass_no_limit(place: Place) -> None:
    async with served(place, killed=True) as url:
        await flood(place, url, 12)
    async with served(place) as url:
        await flood(place, url, 40)
        assert 0 < await held(place) <= 20_000
        assert await filled(place) * D("0.95") <= 20_000
        place.typed("agents", "revoke", "mallory", "--by", "Ann")
        assert (await post(url, place.token, called("get_portfolio", {}))).status_code == 401
    assert "entries hold" in place.typed("audit", "verify")


async def flood(place: Place, url: str, count: int) -> None:
    """Send the same few ids over and over, all at once."""
    headers = {"authorization": f"Bearer {place.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
        anyio.create_task_group() as group,
    ):

        async def place_it(number: int) -> None:
            try:
                answer = await client.call_tool("place_order", order(f"f{number}"))
                place.heard.append(answer.model_dump_json())
            except MCPError:
                place.heard.append("an error")

        for number in range(count):
            group.start_soon(place_it, number % 20)
