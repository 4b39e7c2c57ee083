"""A scripted agent's day through `mtquant gateway`: real processes, as a person starts them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult, TextContent, TextResourceContents
from tests.gateway.terminal import CANARY, MTQUANT, Place, prepared, process

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

D = Decimal
AGENT = "ada"
ENROL = (
    "agents add ada --scope read --scope propose --scope trade --mode semi --instrument EUR/USD"
    " --instrument GBP/USD --notional 60000 --orders 6 --loss 500 --strategy sma_cross --by Ann"
)
Way = Literal["alone", "bridge", "http"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def connected(place: Place, way: Way) -> AsyncIterator[Client]:
    """Connect as an agent's client does."""
    stdio = StdioServerParameters(
        command=MTQUANT[0],
        args=[*MTQUANT[1:], "gateway", "--agent", AGENT],
        cwd=place.folder,
        env=place.environment(),
    )
    if way == "alone":
        async with Client(stdio, elicitation_callback=place.person) as client:
            yield client
    elif way == "bridge":
        async with (
            process(place, "run", until="paper-b"),
            _engine(place),
            Client(stdio, elicitation_callback=place.person) as client,
        ):
            yield client
    else:
        headers = {"authorization": f"Bearer {place.token}"}
        async with (
            process(place, "gateway", "--http", "0", until=r"served at (http://\S+/mcp)") as found,
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(
                streamable_http_client(found[1], http_client=http),
                elicitation_callback=place.person,
            ) as client,
        ):
            yield client


@asynccontextmanager
async def _engine(place: Place) -> AsyncIterator[None]:
    """Wait until a running engine answers commands."""
    with anyio.fail_after(60):
        while True:
            done = await anyio.run_process(
                [*MTQUANT, "suggestions", "--json"], cwd=place.folder, check=False
            )
            if done.returncode == 0 and (place.folder / "mtquant-state" / "control.json").exists():
                break
    yield


class Agent:
    """The script: it calls tools and keeps everything that it hears."""

    def __init__(self, place: Place, client: Client) -> None:
        self.place, self.client = place, client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return a tool's result, which isn't an error."""
        answer = await self.client.call_tool(tool, arguments)
        self.place.heard.append(answer.model_dump_json())
        assert not answer.is_error, answer.content
        assert answer.structured_content is not None
        (text,) = answer.content
        assert isinstance(text, TextContent)
        assert text.text.startswith(answer.structured_content["summary"])
        return dict(answer.structured_content)

    async def read(self, name: str) -> dict[str, Any]:
        """Return a resource."""
        (found,) = (await self.client.read_resource(f"mtquant://{name}")).contents
        assert isinstance(found, TextResourceContents)
        self.place.heard.append(found.text)
        return dict(json.loads(found.text))

    async def settled(self, name: str) -> dict[str, Any]:
        """Return an order once it is filled."""
        with anyio.fail_after(30):
            while True:
                told = await self.call("get_order", client_order_id=name)
                if told["status"] == "filled":
                    return told


@pytest.mark.parametrize("way", ["alone", "bridge", "http"])
async def test_a_day(tmp_path: Path, way: Way) -> None:
    place = prepared(tmp_path)
    place.token = place.typed(*ENROL.split()).strip()
    async with connected(place, way) as client:
        agent = Agent(place, client)
        await brief(agent)
        stop = await look(agent)
        await by_command(agent, stop)
        await by_code(agent, stop)
        await manage(agent)
        await review(agent)
        logged = await log(place)
    after(place, logged)


async def brief(agent: Agent) -> None:
    """Know where things stand before anything."""
    names = [each.name for each in (await agent.client.list_prompts()).prompts]
    assert "morning_briefing" in names
    (message, *_) = (await agent.client.get_prompt("morning_briefing")).messages
    assert "get_risk_status" in message.model_dump_json()
    tools = {each.name for each in (await agent.client.list_tools()).tools}
    assert {"propose_trade", "place_order"} <= tools
    assert "halt_trading" not in tools
    portfolio = await agent.call("get_portfolio")
    assert portfolio["equity"] == "200000"
    assert {each["account"] for each in portfolio["accounts"]} == {"paper-a", "paper-b"}
    risk = await agent.call("get_risk_status")
    (budget,) = risk["budgets"]
    assert (budget["notional_limit"], budget["orders"]) == ("60000", 0)
    assert (await agent.call("get_positions"))["positions"] == []


async def look(agent: Agent) -> str:
    """Look at the market; return where a trade would be wrong."""
    found = await agent.call("search_instruments", query="EUR")
    assert "EUR/USD" in json.dumps(found)
    quotes = await agent.call("get_quotes", symbols=["EUR/USD", "GBP/USD"])
    bid = next(each["bid"] for each in quotes["quotes"] if each["symbol"] == "EUR/USD")
    bars = await agent.call("get_bars", symbol="EUR/USD", timeframe="S1", count=300, rows=5)
    assert len(bars["rows"]) <= 5
    indicator = await agent.call("get_indicator", name="sma", symbol="EUR/USD", timeframe="S1")
    assert indicator["summary"]
    result = await agent.call(
        "run_backtest", strategy="sma_cross", symbol="EUR/USD", timeframe="S1", bars=400
    )
    assert result["summary"]
    stop = str((D(bid) * D("0.98")).quantize(D("0.0001")))
    seen = await agent.call("preview_trade", symbol="EUR/USD", side="buy", stop_loss=stop)
    assert seen["approved"]
    assert seen["needs_approval"]
    assert D(seen["loss_at_stop"]) > 0
    assert {"agent_budget", "margin"} <= {each["check"] for each in seen["checks"]}
    return stop


async def _cancels() -> ElicitResult:
    return ElicitResult(action="cancel")


async def by_command(agent: Agent, stop: str) -> None:
    """Propose; a person approves it with a command in another process; see it filled."""
    place = agent.place
    place.said = _cancels
    wish = {"symbol": "EUR/USD", "side": "buy", "stop_loss": stop, "client_order_id": "day-1"}
    told = await agent.call("propose_trade", rationale="trend is up", **wish)
    assert told["status"] == "waiting_for_approval"
    (asked,) = place.asked
    assert "trend is up" in asked
    waits = await place.waiting()
    assert (waits["strategy"], waits["reason"]) == ("agent:ada", "trend is up")
    assert waits["code"] not in asked
    again = await agent.call("propose_trade", rationale="trend is up", **wish)
    assert (again["replayed"], again["proposal"]) == (True, told["proposal"])
    resources = ["mtquant://portfolio", "mtquant://journal"]
    async with agent.client.listen(resource_subscriptions=resources) as heard:
        await place.command("approve", str(waits["number"]), "--digest", waits["digest"])
        changed = {(await anext(heard)).uri}  # type: ignore[union-attr]
    assert changed <= set(resources)
    filled = await agent.settled("day-1")
    assert D(filled["filled_quantity"]) == D(waits["quantity"])


async def by_code(agent: Agent, stop: str) -> None:
    """Propose; a person is asked in the agent's client, and types the code that he alone sees."""
    place = agent.place
    place.asked.clear()

    async def wrong() -> ElicitResult:
        return ElicitResult(action="accept", content={"approve": True, "code": "ABCD2345"})

    async def right() -> ElicitResult:
        code = (await place.waiting())["code"]
        return ElicitResult(action="accept", content={"approve": True, "code": code})

    wish = {"symbol": "EUR/USD", "side": "buy", "stop_loss": stop, "quantity": "1000"}
    place.said = wrong
    answer = await agent.client.call_tool(
        "place_order", wish | {"client_order_id": "day-2", "account": "paper-a"}
    )
    assert "NOT approved" in answer.model_dump_json()
    assert (await place.waiting())["quantity"] == "1000"
    place.said = right
    told = await agent.client.call_tool(
        "place_order", wish | {"client_order_id": "day-2", "account": "paper-a"}
    )
    place.heard.append(told.model_dump_json())
    assert told.structured_content is not None
    assert told.structured_content["status"] == "filled", told.content
    assert len(place.asked) == 2


async def manage(agent: Agent) -> None:
    """Protect, and close, what it opened."""
    held = (await agent.call("get_positions"))["positions"]
    (position,) = [each for each in held if each["account"] == "paper-a"]
    assert position["mine"]
    price = D(position["average_price"])
    tight = str((price * D("0.985")).quantize(D("0.0001")))
    protected = await agent.call("set_protection", symbol="EUR/USD", stop_loss=tight)
    assert D(protected["stop_loss"]) == D(tight)
    loose = await agent.client.call_tool(
        "set_protection", {"symbol": "EUR/USD", "stop_loss": "0.5"}
    )
    assert loose.is_error
    closing = {"symbol": "EUR/USD", "client_order_id": "day-3"}
    closed = await agent.call("close_position", **closing)
    assert closed["status"] == "filled"
    assert (await agent.call("close_position", **closing))["replayed"]
    assert (await agent.call("get_positions"))["positions"] == []


async def review(agent: Agent) -> None:
    """Look back."""
    done = await agent.call("get_performance")
    assert "You closed 1 trades" in done["summary"]
    decisions = await agent.call("get_decisions")
    assert all(each["source"] == "agent:ada" for each in decisions["decisions"])
    assert len(decisions["decisions"]) >= 3
    (budget,) = (await agent.call("get_risk_status"))["budgets"]
    assert budget["orders"] == 2
    for name in ("portfolio", "risk", "quotes", "journal"):
        assert await agent.read(name)
    assert "day-1" not in json.dumps((await agent.call("list_orders"))["orders"])


async def log(place: Place) -> list[dict[str, Any]]:
    """Return what `mtquant log` shows, while all is running."""
    kinds = ("agent_call", "agent_reads", "agent_request", "suggestion", "suggestion_ended")
    words = [each for kind in (*kinds, "verdict", "fill") for each in ("--kind", kind)]
    shown = await anyio.to_thread.run_sync(
        partial(place.typed, "log", "--json", "--last", "500", *words)
    )
    (used,) = (await place.command("agents"))["agents"]
    assert used["used"]["orders"] == 2
    return [json.loads(line) for line in shown.splitlines()]


def after(place: Place, logged: list[dict[str, Any]]) -> None:
    """Nothing of the day is missing in the journal, which is whole; and nothing secret got out."""
    calls = [(each["tool"], each["code"]) for each in logged if each["kind"] == "agent_call"]
    assert ("propose_trade", "waiting_for_approval") in calls
    assert ("set_protection", "loosens") in calls
    assert calls.count(("close_position", "filled")) == 2
    reads = {name for each in logged if each["kind"] == "agent_reads" for name in each["calls"]}
    assert {"get_portfolio", "run_backtest", "preview_trade", "resource risk"} <= reads
    ended = [each["text"] for each in logged if each["kind"] == "suggestion_ended"]
    assert len(ended) == 2
    assert "a person at the client of ada" in ended[1]
    assert sum(each["kind"] == "fill" for each in logged) == 3
    assert "entries hold" in place.typed("audit", "verify")
    state = place.folder / "mtquant-state"
    written = "\n".join(place.heard) + json.dumps(logged)
    control = state / "control.json"
    secrets = [CANARY, place.token]
    if control.exists():
        secrets.append(str(json.loads(control.read_text())["token"]))
    for each in secrets:
        assert each not in written
        for path in state.rglob("*"):
            if path.is_file() and path != control:
                assert each.encode() not in path.read_bytes(), path
