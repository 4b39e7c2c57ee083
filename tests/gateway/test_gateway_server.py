"""The gateway's tools, resources and prompts over the wire, with a desk that answers as told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult, TextContent, TextResourceContents, ToolAnnotations
from tests.gateway.fake_desk import CANARY, TOOLS, FakeDesk

from mtquant.gateway import cues, gateway, room, server
from mtquant.gateway.library import GLOSSARY
from mtquant.gateway.turns import CALLS
from mtquant.wire.run import REQUEST_LIMIT

pytestmark = pytest.mark.anyio

Mode = Literal["legacy", "2026-07-28"]
FAKE = str(Path(__file__).with_name("fake_desk.py"))
NAMES = set(
    "get_portfolio get_positions list_orders get_order search_instruments get_quotes get_bars"  # noqa: SIM905 - as a list it fills a page
    " get_indicator list_plugins preview_trade get_risk_status get_decisions get_performance"
    " run_backtest list_proposals propose_trade withdraw_proposal place_order modify_order"
    " cancel_order close_position set_protection halt_trading".split()
)
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture(params=["legacy", "2026-07-28"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def error(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error
    assert result.structured_content is None
    found: dict[str, Any] = json.loads(text(result))["error"]
    return found


async def test_a_call_reaches_the_desk_as_that_agents_and_comes_back(mode: Mode) -> None:
    desk = FakeDesk()
    async with Client(gateway(desk, TOOLS, agent="momo"), mode=mode) as client:
        result = await client.call_tool("get_portfolio", {"account": "a"})
    assert desk.calls == [("momo", "get_portfolio", {"account": "a"}, False)]
    assert result.structured_content == {"summary": "It is done.", "units": "none", "state": "done"}
    assert text(result).startswith("It is done.\n")


async def test_a_dry_run_is_told_to_the_desk() -> None:
    desk = FakeDesk()
    async with Client(gateway(desk, TOOLS, agent="momo", dry_run=True)) as client:
        await client.call_tool("place_order", {"symbol": "A"})
    assert desk.calls == [("momo", "place_order", {"symbol": "A"}, True)]


async def test_only_what_is_offered_is_listed(mode: Mode) -> None:
    desk = FakeDesk(agents={"momo": ("get_portfolio", "cancel_order", "one_we_do_not_know")})
    async with Client(gateway(desk, TOOLS, agent="momo"), mode=mode) as client:
        listed = {each.name: each for each in (await client.list_tools()).tools}
    assert list(listed) == ["get_portfolio", "cancel_order"]
    looking, cancelling = (each.annotations for each in listed.values())
    hints = {"idempotent_hint": True, "open_world_hint": False}
    assert looking == ToolAnnotations(read_only_hint=True, destructive_hint=False, **hints)
    assert cancelling == ToolAnnotations(read_only_hint=False, destructive_hint=True, **hints)
    assert listed["get_portfolio"].input_schema == TOOLS["get_portfolio"].spec.input_schema
    assert listed["get_portfolio"].output_schema == TOOLS["get_portfolio"].spec.output_schema


async def test_a_tool_that_is_not_offered_is_for_the_desk_to_refuse(mode: Mode) -> None:
    desk = FakeDesk(agents={"momo": ("get_portfolio",)})
    async with Client(gateway(desk, TOOLS, agent="momo"), mode=mode) as client:
        for name in ("place_order", "no_such_tool"):
            result = await client.session.call_tool(name, {"symbol": "A"})
            assert error(result)["code"] == "no_such_tool"
    assert [each[1] for each in desk.calls] == ["place_order", "no_such_tool"]


async def test_without_an_agent_there_is_nothing(mode: Mode) -> None:
    desk = FakeDesk()
    async with Client(gateway(desk, TOOLS), mode=mode) as client:
        assert error(await client.session.call_tool("get_portfolio", {}))["code"] == "auth_failed"
        for ask in (client.list_tools(), client.read_resource("mtquant://portfolio")):
            with pytest.raises(MCPError, match="no token"):
                await ask
    assert not desk.calls


async def test_who_is_revoked_is_refused_at_his_next_call(mode: Mode) -> None:
    desk = FakeDesk()
    async with Client(gateway(desk, TOOLS, agent="momo"), mode=mode) as client:
        assert not (await client.call_tool("get_portfolio", {})).is_error
        desk.agents.clear()
        result = await client.session.call_tool("get_portfolio", {})
        assert error(result)["code"] == "not_enrolled"
        for ask in (client.list_tools(), client.read_resource("mtquant://risk")):
            with pytest.raises(MCPError, match=r"not enrolled\. Tell the person"):
                await ask


async def test_a_fault_inside_is_told_without_what_it_says(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    desk = FakeDesk()
    async with Client(gateway(desk, TOOLS, agent="momo"), mode=mode) as client:
        looked = await client.session.call_tool("get_portfolio", {"account": "CRASH"})
        placed = await client.session.call_tool("place_order", {"symbol": "CRASH"})
        for uri in ("mtquant://journal", "mtquant://quotes"):
            with pytest.raises(MCPError, match="can't be told now") as caught:
                await client.read_resource(uri)
            assert CANARY not in str(caught.value)
    assert error(looked)["outcome"] == "not_done"
    assert error(placed)["outcome"] == "unknown"
    assert CANARY not in text(looked) + text(placed)
    assert "place_order by momo failed" in caplog.text


async def test_at_most_a_few_calls_of_one_agent_are_under_way_and_a_cancel_always_goes(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PAUSE_S", 0.0)
    monkeypatch.setattr(room, "HELD_S", 0.01)
    desk = FakeDesk()
    async with Client(gateway(desk, TOOLS, agent="momo"), mode=mode) as client:
        async with anyio.create_task_group() as group:
            for _ in range(CALLS):
                group.start_soon(client.session.call_tool, "get_portfolio", {"account": "WAIT"})
            await desk.busy(CALLS)
            refused = await client.session.call_tool("get_portfolio", {})
            assert error(refused)["code"] == "rate_limited"
            with pytest.raises(MCPError, match="under way already"):
                await client.read_resource("mtquant://risk")
            assert not (await client.call_tool("cancel_order", {})).is_error
            desk.go.set()
        assert not (await client.call_tool("get_portfolio", {})).is_error
    assert {each[:2] for each in desk.refused} == {("momo", "call")}


async def test_an_order_whose_caller_leaves_comes_to_its_end(mode: Mode) -> None:
    desk = FakeDesk()
    async with Client(gateway(desk, TOOLS, agent="momo"), mode=mode) as client:
        both = (("place_order", "symbol"), ("get_portfolio", "account"))
        for number, (tool, argument) in enumerate(both, 1):
            async with anyio.create_task_group() as group:
                group.start_soon(client.session.call_tool, tool, {argument: "WAIT"})
                await desk.busy(number)
                group.cancel_scope.cancel()
            await client.session.call_tool("get_portfolio", {})  # by now the server has heard it
        desk.go.set()
    assert desk.ended == 1  # the order; who only looked has left


async def test_resources(mode: Mode) -> None:
    async with Client(gateway(FakeDesk(), TOOLS, agent="momo"), mode=mode) as client:
        listed = {each.uri for each in (await client.list_resources()).resources}
        assert listed == {
            f"mtquant://{name}" for name in ("portfolio", "risk", "quotes", "journal", "glossary")
        }
        assert not (await client.list_resource_templates()).resource_templates
        (contents,) = (await client.read_resource("mtquant://risk")).contents
        assert isinstance(contents, TextResourceContents)
        assert json.loads(contents.text) == {"name": "risk", "worth": 1.0}
        (contents,) = (await client.read_resource("mtquant://glossary")).contents
        assert isinstance(contents, TextResourceContents)
        assert contents.text == GLOSSARY
        for uri in ("portfolio", "mtquant://agents", f"mtquant://{CANARY}", "file:///etc/passwd"):
            with pytest.raises(MCPError, match="no such resource") as caught:
                await client.read_resource(uri)
            assert CANARY not in str(caught.value)


async def test_prompts_name_tools_that_there_are(mode: Mode) -> None:
    async with Client(gateway(FakeDesk(), TOOLS, agent="momo"), mode=mode) as client:
        told = {}
        for each in (await client.list_prompts()).prompts:
            given = {"symbol": "EUR/USD"} if each.arguments else {}
            (message,) = (await client.get_prompt(each.name, given)).messages
            assert isinstance(message.content, TextContent)
            told[each.name] = message.content.text
        assert set(told) == {"morning_briefing", "review_position", "plan_trade"}
        for words in told.values():
            named = set(re.findall(r"[a-z]+(?:_[a-z]+)+", words))
            assert "get_risk_status" in named
            assert named <= NAMES
        assert told["plan_trade"].index("get_risk_status") < told["plan_trade"].index("get_bars")
        assert "EUR/USD" in told["review_position"]
        for wrong in ({}, {"symbol": ""}, {"symbol": "EUR and then buy"}, {"symbol": "A" * 33}):
            with pytest.raises(MCPError, match="symbol"):
                await client.get_prompt("plan_trade", wrong)
        with pytest.raises(MCPError, match="no such prompt"):
            await client.get_prompt("sell_everything")


async def test_a_client_that_listens_hears_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cues, "PAUSE_S", 0.0)
    desk = FakeDesk()
    async with (
        Client(gateway(desk, TOOLS, agent="momo")) as client,
        client.listen(resource_subscriptions=["mtquant://risk", "mtquant://portfolio"]) as heard,
    ):
        desk.changes["risk"] = "2"
        assert (await anext(heard)).uri == "mtquant://risk"  # type: ignore[union-attr]
        desk.changes["portfolio"] = "2"
        assert (await anext(heard)).uri == "mtquant://portfolio"  # type: ignore[union-attr]
        desk.agents.clear()
        assert [each async for each in heard] == []  # revoked: the stream ends


async def test_an_agent_has_a_few_streams_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cues, "EACH", 1)
    async with Client(gateway(FakeDesk(), TOOLS, agent="momo")) as client:
        async with client.listen(resource_subscriptions=["mtquant://risk"]):
            with pytest.raises(MCPError, match="at most 1 streams"):
                async with client.listen(resource_subscriptions=["mtquant://risk"]):
                    pytest.fail("it listens")
        while True:  # the one before ends a moment after its client has left it
            with suppress(MCPError):
                async with client.listen(resource_subscriptions=["mtquant://risk"]):
                    break


async def test_over_stdio_until_a_line_has_no_end(anyio_backend: str) -> None:
    if anyio_backend == "trio":
        pytest.skip("one process is enough")
    asked = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": ENVELOPE}}
    process = subprocess.Popen(  # noqa: ASYNC220 - it is fed, not awaited
        [sys.executable, FAKE, "momo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.flush()
    told = json.loads(await anyio.to_thread.run_sync(process.stdout.readline))
    assert "the code" in told["result"]["instructions"]
    with suppress(BrokenPipeError):  # it may hang up before all is written
        process.stdin.write(b"x" * (REQUEST_LIMIT + (1 << 17)))
        process.stdin.flush()
    assert await anyio.to_thread.run_sync(process.wait) == 0
    _, said = process.communicate()
    assert b"hung up on" in said
