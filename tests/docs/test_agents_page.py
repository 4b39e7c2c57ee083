"""What docs/agents.md says of agents is so: its tools, its entries, its program."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from xml.etree import ElementTree as ET

import anyio
import pytest
import typer
from mcp import Client, StdioServerParameters

from mtquant.agents.desk import TOOLS
from mtquant.agents.registry import Registry
from mtquant.cli import app
from mtquant.cli.init import write
from mtquant.contract import Agent, AgentBudget, AgentScope

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "agents.md").read_text()
ENTRIES = [
    json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
]
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SYMBOL = "EUR/USD"


def space() -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "page"}
    for block in BLOCKS:
        exec(compile(block, "agents.md", "exec"), found)  # noqa: S102 - our own document
    return found


def test_the_table_of_tools_is_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| \w", PAGE, re.MULTILINE)
    assert dict(rows) == {name: tool.mark.scope.value for name, tool in TOOLS.items()}
    assert len(rows) == len(TOOLS)


def test_every_scope_is_explained() -> None:
    for scope in AgentScope:
        assert f"\n| {scope} | " in PAGE


def test_the_clients_entries_start_the_gateway_or_call_it() -> None:
    (local,), (remote,) = (list(entry["mcpServers"].values()) for entry in ENTRIES)
    assert local["command"] == "mtquant"
    command: Any = typer.main.get_command(app)
    context = command.make_context("mtquant", list(local["args"]))
    name, gate, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    given = gate.make_context(name, list(rest), parent=context).params
    assert (name, given["agent"], str(given["config"])) == ("gateway", "claude", "mtquant.toml")
    assert remote["url"].endswith(":8765/mcp")
    assert remote["headers"]["Authorization"].startswith("Bearer ")


class Looking:
    """Stands for a client: only looks whether there is such a tool, that takes such arguments."""

    def __init__(self, _: object) -> None:
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def call_tool(self, tool: str, arguments: dict[str, Any]) -> SimpleNamespace:
        TOOLS[tool].spec.parse(arguments)
        self.asked.append(tool)
        return SimpleNamespace(is_error=False, structured_content={"asked": self.asked})


def test_the_program_names_tools_and_arguments_that_there_are() -> None:
    page = space()
    page["Client"] = Looking
    told = anyio.run(page["propose"], page["GATEWAY"], SYMBOL, "1.05", "p1")
    assert told == {"asked": ["preview_trade", "propose_trade"]}


@pytest.mark.slow
def test_the_program_proposes_a_trade_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "mtquant.toml"
    write(path)
    sizer = '{ plugin = "fixed_fraction", fraction = "0.0005" }'
    assert sizer in path.read_text()
    fixed = '{ plugin = "fixed_quantity", quantity = "1000" }'
    path.write_text(path.read_text().replace(sizer, fixed))  # whatever the price walks to
    budget = AgentBudget(instruments=(SYMBOL,), notional=50_000, orders=20, loss=500)
    scopes = (AgentScope.READ, AgentScope.PROPOSE)
    agent = Agent(name="claude", scopes=scopes, budget=budget)
    Registry(tmp_path / "mtquant-state").add(agent, token=False)
    page = space()
    server = StdioServerParameters(
        command=str(Path(sys.executable).with_name(page["GATEWAY"].command)),
        args=page["GATEWAY"].args,
        cwd=tmp_path,
    )
    told = anyio.run(page["propose"], server, SYMBOL, "1.0", "pullback-1")
    assert told["status"] == "waiting_for_approval", told


def test_over_http_the_token_is_in_every_request() -> None:
    """Nobody listens there: it is about what would be sent."""
    page = space()
    import httpx2  # noqa: PLC0415 - beside its only use

    seen: list[str] = []
    plain = httpx2.AsyncClient

    def watched(**given: Any) -> httpx2.AsyncClient:  # noqa: ANN401 - httpx2's own
        def answer(request: httpx2.Request) -> httpx2.Response:
            seen.append(request.headers["authorization"])
            return httpx2.Response(401, request=request)

        return plain(**given, transport=httpx2.MockTransport(answer))

    async def run() -> None:
        page["httpx2"] = type("Module", (), {"AsyncClient": watched, "Timeout": httpx2.Timeout})
        async with Client(page["over_http"]("http://127.0.0.1:8765/mcp", "mtq_x")) as client:
            await client.list_tools()

    with pytest.raises(Exception):  # noqa: B017, PT011 - 401, in whatever the client makes of it
        anyio.run(run)
    assert set(seen) == {"Bearer mtq_x"}


def test_the_picture_is_drawn_and_says_in_words_what_it_shows() -> None:
    root = ET.parse(DOCS / "agents-safety.svg").getroot()  # noqa: S314 - our own
    names = {each.tag.rpartition("}")[2] for each in root}
    assert {"title", "desc", "rect", "path"} <= names
    assert "prefers-color-scheme: dark" in (DOCS / "agents-safety.svg").read_text()
    assert "](agents-safety.svg)" in PAGE


def test_the_gateway_is_a_command_that_is_installed() -> None:
    command = Path(sys.executable).with_name("mtquant")
    done = subprocess.run(
        [command, "gateway", "--help"], capture_output=True, text=True, check=True
    )
    assert "--agent" in done.stdout
