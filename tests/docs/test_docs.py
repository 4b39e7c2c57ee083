"""What the documents show runs, and what they point at is there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import anyio
import pytest
import typer

from mtquant import Remote
from mtquant.assemble import check_common
from mtquant.cli import app
from mtquant.config import Config
from mtquant.contract import Endpoint
from mtquant.model import Timeframe
from mtquant.plugins import Catalogue, load_catalogue

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("mcp_servers/*/*.md")]
)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
JSON = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def executed(page: Path) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "page"}
    for block in BLOCK.findall(page.read_text()):
        exec(compile(block, name(page), "exec"), space)  # noqa: S102 - our own documents
    return space


@pytest.mark.parametrize(
    "page", [page for page in PAGES if BLOCK.search(page.read_text())], ids=name
)
def test_python_blocks_run_one_after_the_other(page: Path) -> None:
    executed(page)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if TOML.search(page.read_text())], ids=name
)
def test_configurations_are_valid(page: Path) -> None:
    for block in TOML.findall(page.read_text()):
        table = tomllib.loads(block)
        if not {"brokers", "strategies", "risk"} & set(table):
            continue  # a pyproject.toml, or a paper account's settings
        config = Config.read({"brokers": {"paper": {"plugin": "paper"}}} | table, name(page))
        if "risk" in table:
            check_common(config, load_catalogue())


def test_the_documented_strategy_is_a_plugin_with_its_documented_settings() -> None:
    page = ROOT / "docs" / "write-a-strategy.md"
    table = tomllib.loads(TOML.findall(page.read_text())[-1])["strategies"]["dips"]
    catalogue = Catalogue()
    catalogue.add("strategy", executed(page)["Pullback"], "documents", "1")
    made = catalogue.make(
        "strategy",
        table.pop("plugin"),
        {key: value for key, value in table.items() if key != "symbols"},
        strategy_id="dips",
        instruments=("EUR/USD",),
        timeframe=Timeframe.M1,
        indicators=lambda kind, settings: load_catalogue().make("indicator", kind, settings),
    )
    assert made.warmup >= table["trend"]


def test_the_documented_broker_is_served_by_its_documented_command(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "write-a-broker.md").read_text()
    package = tmp_path / "my_broker"
    package.mkdir()
    (package / "__init__.py").touch()
    blocks = BLOCK.findall(text)
    (package / "desk.py").write_text(blocks[0])
    for block in blocks:
        if block.startswith("# my_broker/"):
            (package / block.split()[1].removeprefix("my_broker/")).write_text(block)
    (command,) = (
        table["brokers"]["desk"]["command"]
        for table in map(tomllib.loads, TOML.findall(text))
        if "brokers" in table
    )
    assert command[0] == "python"
    # The command stands in its package's folder; ours is another.
    start = f"import os, runpy, sys; os.chdir({str(tmp_path)!r}); sys.path.insert(0, ''); "
    start += f"runpy.run_module({command[-1]!r}, run_name='__main__', alter_sys=True)"

    async def ask() -> None:
        async with Remote(Endpoint(command=(sys.executable, "-c", start))) as desk:
            found = await desk.get_quotes(("EURUSD",))
            assert [quote.instrument for quote in found.quotes] == ["EURUSD"]

    anyio.run(ask)


def test_the_documented_agent_gets_prices_and_no_tool_that_trades(tmp_path: Path) -> None:
    """The entry of docs/use-with-llm-agents.md, with its state in a folder of ours."""
    (text,) = JSON.findall((ROOT / "docs" / "use-with-llm-agents.md").read_text())
    entry = json.loads(text)["mcpServers"]["paper"]
    words = [str(tmp_path / "paper") if word == "paper" else word for word in entry["args"]]
    command = (str(Path(sys.executable).with_name(entry["command"])), *words)

    async def ask() -> None:
        async with Remote(Endpoint(command=command)) as paper:
            tools = (await paper.get_capabilities()).tools
            assert "get_quotes" in tools
            assert not {"place_order", "cancel_order", "close_position"} & set(tools)
            assert (await paper.get_quotes(("EURUSD",))).quotes

    anyio.run(ask)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_no_document_names_a_path_of_some_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "*.md"],  # noqa: S607 - wherever git is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    for page in tracked:
        assert "/root/" not in (ROOT / page).read_text(), page


SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
TYPED = [
    (page, line.split("#")[0].strip())
    for page in PAGES
    for block in SHELL.findall(page.read_text())
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("mtquant ")
]


@pytest.mark.parametrize(
    ("page", "line"), TYPED, ids=[f"{name(page)}: {line}" for page, line in TYPED]
)
def test_commands_that_are_shown_can_be_typed(page: Path, line: str) -> None:
    """Each is parsed as the shell and the command would, and not run."""
    words = [word for word in shlex.split(line)[1:] if word != "&&"]
    command: Any = typer.main.get_command(app)
    context = command.make_context("mtquant", list(words), resilient_parsing=False)
    while hasattr(command, "commands"):
        left = [*context._protected_args, *context.args]
        if not left and command.invoke_without_command:
            return  # such as `mtquant agents`
        sub, command, rest = command.resolve_command(context, left)
        assert command is not None, f"{name(page)}: no command {sub}"
        context = command.make_context(sub, list(rest), parent=context)
