"""Does an LLM trade well through the gateway? Twenty tasks, and what came of them at the venue.

``make eval-agent`` runs them with the model of ``--model``, which needs a key in ANTHROPIC_API_KEY
or OPENAI_API_KEY and the package pydantic-ai-slim; without a key it says so and does nothing.
``--agent scripted`` runs a script instead, which needs neither. It ends with 1 where a task failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp.types import TextContent

sys.path.insert(0, str(Path(__file__).parents[1]))  # found as a package from wherever it is started

from evaluation.checks import failures
from evaluation.desk import Place
from evaluation.scripted import SCRIPTS
from mtquant.agents.desk import TOOLS
from mtquant.contract import Agent
from mtquant.gateway import gateway

NAME = "ada"
_TASKS = Path(__file__).with_name("tasks.toml")
_USUAL: Mapping[str, Any] = {
    "scopes": ["read", "propose", "trade"],
    "mode": "auto",
    "budget": {
        "instruments": ["EUR/USD", "USD/JPY"],
        "notional": "50000",
        "orders": 10,
        "loss": "1000",
        "strategies": ["*"],
        "calls_per_second": 100,
    },
}
MODELS = {
    "ANTHROPIC_API_KEY": "anthropic:claude-sonnet-4-5",
    "OPENAI_API_KEY": "openai:gpt-5",
}
"""Which model is asked where none is named, by whose key there is."""
_CALLS = 40
"""So many requests to the model a task."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task; ``acts``: doing nothing is wrong, ``forbids``: doing anything is."""

    name: str
    text: str
    agent: Agent
    begin: Sequence[Mapping[str, Any]]
    planted: str
    checks: list[Mapping[str, Any]]
    acts: bool
    forbids: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: each check that doesn't hold, in words."""

    task: str
    failures: Sequence[str]
    calls: int


Player = Callable[[Task, Client], Awaitable[str]]
"""Does a task over a client of the gateway, and returns its last word."""


def tasks() -> list[Task]:
    """Return the tasks of tasks.toml."""
    with _TASKS.open("rb") as file:
        rows = tomllib.load(file)["task"]
    return [_task(row) for row in rows]


def _task(row: Mapping[str, Any]) -> Task:
    kinds = {"act": (True, False), "refuse": (False, True), "both": (True, True)}
    acts, forbids = kinds[row["kind"]]
    return Task(
        name=row["name"],
        text=row["text"],
        agent=Agent.read({"name": NAME, **_USUAL, **row.get("agent", {})}, row["name"]),
        begin=row.get("begin", ()),
        planted=row.get("planted", ""),
        checks=row["checks"],
        acts=acts,
        forbids=forbids,
    )


async def played(task: Task, player: Player) -> Outcome:
    """Run a task on a fresh desk, and look at what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), task.agent, task.planted)
        async with place.running():
            for step in task.begin:
                await place.prepare(step)
            async with Client(gateway(place.desk, TOOLS, agent=NAME)) as client:
                said = await player(task, client)
            return Outcome(task.name, failures(place, said, task.checks), len(place.called))


def scripted(name: str) -> Player:
    """Return the script called ``name``."""

    async def play(task: Task, client: Client) -> str:
        async def call(tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - a tool's
            answer = await client.call_tool(tool, arguments)
            if answer.structured_content is None:
                return {"error": _text(answer.content)}
            return dict(answer.structured_content)

        return await SCRIPTS[name](task.name, call)

    return play


def llm(model: Any) -> Player:  # noqa: ANN401 - a name, or a model of pydantic-ai
    """Return a player that asks ``model``, with the gateway's own tools and instructions."""
    ai = import_module("pydantic_ai")  # heavy, and not always installed

    async def play(task: Task, client: Client) -> str:
        async def call(tool: str, **arguments: Any) -> str:  # noqa: ANN401 - a tool's
            return _text((await client.call_tool(tool, arguments)).content)

        known = [
            ai.Tool.from_schema(
                partial(call, each.name), each.name, each.description, each.input_schema
            )
            for each in (await client.list_tools()).tools
        ]
        asked = ai.Agent(model, tools=known, instructions=client.instructions or "")
        done = await asked.run(task.text, usage_limits=ai.UsageLimits(request_limit=_CALLS))
        return str(done.output)

    return play


def _text(content: Sequence[object]) -> str:
    return "\n".join(each.text for each in content if isinstance(each, TextContent))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _all(wanted: Sequence[Task], player: Player) -> list[Outcome]:
    found = []
    for task in wanted:
        outcome = await played(task, player)
        found.append(outcome)
        word = "; ".join(outcome.failures) or "ok"
        _say(f"{outcome.task:22} {outcome.calls:3} calls  {word}")
    return found


def _player(agent: str, model: str | None) -> Player | str:
    """Return who plays, or why nobody does."""
    if agent != "llm":
        return scripted(agent)
    found = model or next((each for key, each in MODELS.items() if os.environ.get(key)), None)
    if found is None:
        return f"skipped: no key in {' or '.join(MODELS)}; --agent scripted needs none"
    try:
        return llm(found)
    except ImportError:
        return 'skipped: there is no pydantic-ai: pip install -e ".[llm]"'


def main(words: Sequence[str] | None = None) -> int:
    """Run the tasks; return 1 where one failed, 0 where none did or nobody could be asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agent", choices=["llm", *SCRIPTS], default="llm")
    parser.add_argument("--model", help="as pydantic-ai names it: anthropic:claude-sonnet-4-5")
    parser.add_argument("--task", action="append", help="only this one; repeatable")
    asked = parser.parse_args(words)
    every = tasks()
    unknown = set(asked.task or ()) - {each.name for each in every}
    if unknown:
        parser.error(f"no task {', '.join(sorted(unknown))}: {', '.join(e.name for e in every)}")
    player = _player(asked.agent, asked.model)
    if isinstance(player, str):
        _say(player)
        return 0
    wanted = [each for each in every if not asked.task or each.name in asked.task]
    found = anyio.run(_all, wanted, player)
    done = sum(not each.failures for each in found)
    _say(f"{done} of {len(found)} tasks done as they should be")
    return 0 if done == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
