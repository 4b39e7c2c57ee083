"""What a model has to read: the list of tools by scopes, and typical answers, in bytes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, types
from tests.gateway import reading
from tests.gateway.reading import AGENT, Place

from mtquant.agents.desk import TOOLS, AgentDesk
from mtquant.contract import Agent, AgentScope
from mtquant.control.commands import Commands
from mtquant.gateway import gateway

READ, PROPOSE, TRADE = AgentScope.READ, AgentScope.PROPOSE, AgentScope.TRADE
LISTS = {
    "reader": ((READ,), 25_800),
    "proposer": ((READ, PROPOSE), 30_000),
    "every": (tuple(AgentScope), 45_000),
}
TRADE_WANTED = {"symbol": "EUR/USD", "side": "buy", "stop_loss": "1.0"}
NEW = TRADE_WANTED | {"client_order_id": "new", "rationale": "The trend of a month goes on."}
ANSWERS: Mapping[str, tuple[str, dict[str, Any], int]] = {
    "portfolio": ("get_portfolio", {}, 820),
    "positions": ("get_positions", {}, 490),
    "one quote": ("get_quotes", {"symbols": ["EUR/USD"]}, 345),
    "bars": ("get_bars", {"symbol": "EUR/USD", "timeframe": "H1"}, 1460),
    "preview": ("preview_trade", TRADE_WANTED, 2020),
    "proposal": ("propose_trade", NEW, 680),
    "five decisions": ("get_decisions", {"limit": 5}, 1760),
    "risk": ("get_risk_status", {}, 1090),
}
"""By what is asked: the tool, its arguments, and the most bytes, a fifth above what it takes."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def agent(name: str, *scopes: AgentScope) -> Agent:
    return AGENT.model_copy(update={"name": name, "scopes": scopes})


async def served(
    folder: Path, agents: Sequence[Agent], use: Callable[[Place, AgentDesk], Awaitable[None]]
) -> None:
    """Run an engine on paper accounts, and a desk for ``agents`` before it."""

    async def serve(place: Place) -> None:
        engine = place.engine
        engine.wiring.agents = lambda: {each.name: each for each in agents}
        await use(place, AgentDesk(engine, Commands(engine), reading.catalogue()))

    await reading.read(folder, serve)


@pytest.mark.anyio
async def test_the_list_of_tools_is_short(tmp_path: Path) -> None:
    async def use(_: Place, desk: AgentDesk) -> None:
        for name, (scopes, limit) in LISTS.items():
            async with Client(gateway(desk, TOOLS, agent=name)) as client:
                listed = types.ListToolsResult(tools=(await client.list_tools()).tools)
            assert {TOOLS[each.name].mark.scope for each in listed.tools} == set(scopes)
            body = listed.model_dump_json(by_alias=True, exclude_none=True)
            assert len(body.encode()) < limit, name

    await served(tmp_path, [agent(name, *scopes) for name, (scopes, _) in LISTS.items()], use)


def size(answer: types.CallToolResult) -> int:
    """Return the bytes of an answer in the form that is the longer one: text, or structured."""
    assert not answer.is_error, answer.content
    (text,) = answer.content
    assert isinstance(text, types.TextContent)
    value = json.dumps(answer.structured_content, separators=(",", ":"))
    return max(len(text.text.encode()), len(value.encode()))


@pytest.mark.anyio
async def test_typical_answers_are_short(tmp_path: Path) -> None:
    who = agent("claude", READ, PROPOSE, TRADE)
    sizes: dict[str, int] = {}

    async def use(place: Place, desk: AgentDesk) -> None:
        for number in range(1, 6):
            await place.order(who.source, 1000 * number, number, why="It rises, and has for days.")
        assert place.engine.book.account("desk").holdings
        async with Client(gateway(desk, TOOLS, agent=who.name)) as client:
            for what, (tool, arguments, _) in ANSWERS.items():
                sizes[what] = size(await client.call_tool(tool, arguments))

    await served(tmp_path, [who], use)
    limits = {what: limit for what, (_, _, limit) in ANSWERS.items()}
    assert sizes.keys() == limits.keys()
    assert {what: size for what, size in sizes.items() if size > limits[what]} == {}
