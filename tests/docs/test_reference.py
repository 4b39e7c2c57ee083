"""The reference is what the code says, and leaves nothing out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from mtquant.cli import app
from mtquant.config import Config
from mtquant.contract import Broker, tools_of
from mtquant.errors import ErrorCode
from mtquant.hooks import HOOKS, KINDS
from mtquant.plugins import load_catalogue
from mtquant.risk import BreakerRules

ROOT = Path(__file__).parents[2]
FIRST_PARTY = {"mtquant", "mtquant-paper-server"}


@cache
def page(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text()


def commands(group: Any, path: str = "mtquant") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's own
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))
PLUGINS = [each for each in load_catalogue().listings if each.distribution in FIRST_PARTY]


def test_the_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_documented_with_its_options_and_an_example(name: str) -> None:
    command = COMMANDS[name]
    _, _, after = page("commands").partition(f"## {name}\n")
    section = after.partition("\n## ")[0]

    assert command.help.splitlines()[0] in section
    for each in command.params:
        for option in each.opts:
            if option.startswith("--") and option != "--help":
                assert f"`{option}`" in section
    if name != "mtquant serve":  # its options are its server's: mtquant serve NAME --help
        assert "Example: `mtquant" in section


@pytest.mark.parametrize("hook", HOOKS.values())
def test_every_hook_is_documented(hook: str) -> None:
    assert f"## `{hook}`" in page("hooks")


@pytest.mark.parametrize("tool", tools_of(Broker))
def test_every_tool_is_documented(tool: str) -> None:
    assert f"### `{tool}`" in page("contract")


@pytest.mark.parametrize("code", [each.value for each in ErrorCode])
def test_every_error_code_is_documented(code: str) -> None:
    assert f"| `{code}` | " in page("errors")


def veto_codes() -> set[str]:
    """Return what stands first in a veto anywhere in the gate and the checks, by its text."""
    folders = (ROOT / "core/mtquant/risk", ROOT / "plugins/risk/mtquant_risk")
    text = "".join(path.read_text() for folder in folders for path in folder.glob("*.py"))
    return set(re.findall(r'(?:Vetoed|veto|reduce)\(\s*"([a-z_]+)"', text))


def test_every_veto_code_is_documented() -> None:
    codes = veto_codes()
    assert len(codes) > 15
    assert [code for code in sorted(codes) if f"| `{code}` | " not in page("errors")] == []


def test_every_table_and_key_of_the_configuration_is_documented() -> None:
    for name in Config.model_fields:
        assert f"## `[{name}" in page("settings")
    for table in ("engine", "market", "route", "risk", "combine", "approval"):
        kind = Config.model_fields[table].annotation
        assert kind is not None
        for key in getattr(kind, "model_fields", {}):
            assert f"`{key}`" in page("settings"), f"{table}.{key}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_and_each_of_its_settings_is_documented(kind: str) -> None:
    catalogue = load_catalogue()
    names = [each.name for each in PLUGINS if each.kind == kind]
    assert names
    for name in names:
        _, found, after = page("settings").partition(f"### {kind} `{name}`\n")
        section = after.partition("\n##")[0]
        assert found
        for key in catalogue.get(kind, name).Settings.model_fields:
            assert f"| `{key}` | " in section, f"{name}.{key}"
        if kind in {"indicator", "strategy"}:
            assert f"## `{name}`\n" in page("indicators" if kind == "indicator" else "strategies")


@pytest.mark.parametrize("kind", ["check", "sizer"])
def test_every_limit_stands_in_the_table_of_limits(kind: str) -> None:
    """Whether with the right default, the comparison of all pages above tells."""
    catalogue = load_catalogue()
    for name in (each.name for each in PLUGINS if each.kind == kind):
        for key in catalogue.get(kind, name).Settings.model_fields:
            rows = (f"| `{name}.{key}` | ", f"| `{name}.{key}.NAME.", f"| every sizer: `{key}` | ")
            assert any(each in page("limits") for each in rows), f"{name}.{key}"


def test_every_limit_of_the_breaker_stands_in_the_table_of_limits() -> None:
    _, found, after = page("limits").partition("## The loss breaker\n")
    assert found
    for key in BreakerRules.model_fields:
        assert f"| `{key}` | " in after.partition("\n## ")[0], key


def test_every_code_of_a_veto_stands_in_the_table_of_limits() -> None:
    assert [code for code in sorted(veto_codes()) if f"`{code}`" not in page("limits")] == []


def test_every_public_page_is_in_the_sites_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    docs = ROOT / "docs"
    for path in docs.rglob("*.md"):
        assert f": {path.relative_to(docs)}" in navigation
