"""Servers that are wrong on the wire, where ``serve`` would not be: each is caught by its case."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from tests.kernel.wrong_brokers import Good

from mtquant.clock import SystemClock
from mtquant.ledger import Ledger
from mtquant.testing import all_cases, bench, run
from mtquant.testing.connection import Target
from mtquant.testing.run import Outcome
from mtquant.wire import Remote, serve

CASES = {each.number: each for each in all_cases()}
Context = ServerRequestContext[Any, Any]
Params = types.CallToolRequestParams
Answer = types.CallToolResult
Call = Callable[[Params], Awaitable[Answer]]
Tamper = Callable[[Call, Params], Awaitable[Answer]]


def with_list(server: Server[Any], change: Callable[[list[types.Tool]], list[types.Tool]]) -> None:
    """Change what the server lists."""
    real = server.get_request_handler("tools/list")
    assert real is not None

    async def handler(context: Context, params: object) -> types.ListToolsResult:
        listed = await real.handler(context, params)
        assert isinstance(listed, types.ListToolsResult)
        return listed.model_copy(update={"tools": change(list(listed.tools))})

    server.add_request_handler("tools/list", types.PaginatedRequestParams, handler)


def with_call(server: Server[Any], tamper: Tamper) -> None:
    """Change what the server is asked, or answers."""
    real = server.get_request_handler("tools/call")
    assert real is not None

    async def handler(context: Context, params: Params) -> Answer:
        async def call(changed: Params) -> Answer:
            answer = await real.handler(context, changed)
            assert isinstance(answer, Answer)
            return answer

        return await tamper(call, params)

    server.add_request_handler("tools/call", Params, handler)


def changed(params: Params, **arguments: object) -> Params:
    """Return the call with other arguments; None takes one away."""
    merged = (params.arguments or {}) | arguments
    kept = {name: value for name, value in merged.items() if value is not None}
    return params.model_copy(update={"arguments": kept})


def as_text(text: str, *, is_error: bool = False) -> Answer:
    """Return an answer that is a text alone."""
    return Answer(content=[types.TextContent(type="text", text=text)], is_error=is_error)


def each_tool(**update: object) -> Callable[[list[types.Tool]], list[types.Tool]]:
    """Return a change of every tool."""
    return lambda tools: [tool.model_copy(update=update) for tool in tools]


def renamed(tools: list[types.Tool]) -> list[types.Tool]:
    return [*tools, tools[0].model_copy(update={"name": "getNewsNow"})]


def with_ghost(tools: list[types.Tool]) -> list[types.Tool]:
    return [*tools, tools[0].model_copy(update={"name": "get_news"})]


def without_registered(tools: list[types.Tool]) -> list[types.Tool]:
    return [tool for tool in tools if tool.name != "preview_order"]


def with_schema(**update: object) -> Callable[[list[types.Tool]], list[types.Tool]]:
    return lambda tools: [
        tool.model_copy(update={"input_schema": tool.input_schema | update}) for tool in tools
    ]


def with_password(tools: list[types.Tool]) -> list[types.Tool]:
    first, *rest = tools
    fields = first.input_schema.get("properties", {}) | {"password": {"type": "string"}}
    return [
        first.model_copy(update={"input_schema": first.input_schema | {"properties": fields}}),
        *rest,
    ]


READ_ONLY = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
)
LISTS: dict[str, tuple[Callable[[list[types.Tool]], list[types.Tool]], str]] = {
    "lists what it doesn't declare": (with_ghost, "CAP-002"),
    "declares what it doesn't list": (without_registered, "CAP-002"),
    "has no hints": (each_tool(annotations=None), "CAP-005"),
    "has no titles": (each_tool(title=None), "CAP-005"),
    "calls everything read-only": (each_tool(annotations=READ_ONLY), "CAP-006"),
    "takes any argument": (with_schema(additionalProperties=True), "CAP-007"),
    "asks for a password": (with_password, "CAP-008"),
    "has names in another style": (renamed, "CAP-009"),
    "talks too much": (each_tool(description="word " * 1000), "CAP-010"),
}


async def takes_nan_for_the_least(call: Call, params: Params) -> Answer:
    nan = (params.arguments or {}).get("quantity") == "NaN"
    return await call(changed(params, quantity="1000") if nan else params)


async def takes_minus_for_sell(call: Call, params: Params) -> Answer:
    quantity = str((params.arguments or {}).get("quantity", ""))
    if not quantity.startswith("-"):
        return await call(params)
    return await call(changed(params, quantity=quantity[1:], side="sell"))


async def drops_unknown(call: Call, params: Params) -> Answer:
    return await call(changed(params, leverage=None, password=None))


async def takes_a_default(call: Call, params: Params) -> Answer:
    arguments = params.arguments or {}
    if params.name == "place_order" and arguments.get("quantity", "") is None:
        return await call(changed(params, quantity="1000"))
    return await call(params)


async def repeats_what_was_sent(call: Call, params: Params) -> Answer:
    answer = await call(params)
    sent = types.TextContent(type="text", text=json.dumps(params.arguments))
    return answer.model_copy(update={"content": [*answer.content, sent]})


async def reads_no_json_strings(call: Call, params: Params) -> Answer:
    if isinstance((params.arguments or {}).get("instruments"), str):
        return as_text("instruments: not a list", is_error=True)
    return await call(params)


async def tells_errors_as_success(call: Call, params: Params) -> Answer:
    answer = await call(params)
    return as_text("rejected") if answer.is_error else answer


async def tells_errors_in_words(call: Call, params: Params) -> Answer:
    answer = await call(params)
    return as_text("something went wrong", is_error=True) if answer.is_error else answer


async def answers_in_words(call: Call, params: Params) -> Answer:
    answer = await call(params)
    return as_text("fine") if params.name == "get_health" else answer


async def has_every_tool(call: Call, params: Params) -> Answer:
    if params.name == "no_such_tool":
        return as_text("done")
    return await call(params)


async def hangs_on_length(call: Call, params: Params) -> Answer:
    if len(str((params.arguments or {}).get("instrument", ""))) > 1000:
        await anyio.sleep_forever()
    return await call(params)


CALLS: dict[Tamper, str] = {
    takes_nan_for_the_least: "HST-001",
    takes_minus_for_sell: "HST-005",
    drops_unknown: "HST-020",
    takes_a_default: "HST-024",
    repeats_what_was_sent: "HST-022",
    reads_no_json_strings: "HST-027",
    tells_errors_as_success: "REF-011",
    tells_errors_in_words: "REF-011",
    answers_in_words: "CAP-014",
    has_every_tool: "REF-015",
    hangs_on_length: "HST-012",
}


def target(name: str, folder: Path, tamper: Callable[[Server[Any]], None]) -> Target:
    """Return a good broker behind a server that is tampered with."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Remote]:
        ledger = Ledger(folder / "ledger.db", SystemClock())
        server = serve(Good(), ledger=ledger)
        tamper(server)
        try:
            async with Remote(server) as remote:
                yield remote
        finally:
            ledger.close()

    return Target(name, connect)


def failure(at: Target, number: str) -> str:
    """Return why the case fails."""
    (result,) = anyio.run(run, at, [CASES[number]]).results
    assert result.outcome is Outcome.FAILED
    return result.why


@pytest.mark.parametrize("name", LISTS)
def test_a_wrong_list_of_tools_is_caught(name: str, tmp_path: Path) -> None:
    change, number = LISTS[name]
    assert "expected" in failure(
        target(name, tmp_path, lambda server: with_list(server, change)), number
    )


@pytest.mark.parametrize("tamper", CALLS, ids=lambda each: each.__name__)
def test_a_wrong_answer_is_caught(
    tamper: Tamper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "ANSWER_LIMIT_S", 0.3)
    at = target(tamper.__name__, tmp_path, lambda server: with_call(server, tamper))
    assert "expected" in failure(at, CALLS[tamper])


def test_an_untampered_server_passes_all_of_them(tmp_path: Path) -> None:
    numbers = {number for _, number in LISTS.values()} | set(CALLS.values())
    at = target("good", tmp_path, lambda _: None)
    done = anyio.run(run, at, [CASES[each] for each in sorted(numbers)])
    assert [each.case.number for each in done.results if each.outcome is not Outcome.PASSED] == []
