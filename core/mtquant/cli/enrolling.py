"""Enrolling agents: what is typed becomes scopes and a budget; the token is printed once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console

from mtquant.agents.registry import Registry
from mtquant.cli import tables
from mtquant.cli.asking import person
from mtquant.config import load_config
from mtquant.contract import EVERY, Agent, AgentBudget, AgentScope
from mtquant.control.reach import Reached, reach
from mtquant.errors import ConfigError
from mtquant.model import Mode, plain
from mtquant.plugins import load_catalogue

NONE = "none"
"""Typed for an empty list."""
_LIMIT_S = 10.0
_MONEY = "An amount of the budget's currency, 0 or more: 50000."
_OPTIONS = {
    "name": ("NAME", "A small letter, then small letters, digits, - and _; at most 32."),
    "scopes": ("--scope", f"Scopes are {', '.join(AgentScope)}."),
    "mode": ("--mode", f"Modes are {', '.join(Mode)}."),
    "budget.currency": ("--currency", "Three capital letters: USD."),
    "budget.instruments": ("--instrument", "A symbol as we write it, EUR/USD; or *."),
    "budget.notional": ("--notional", _MONEY),
    "budget.orders": ("--orders", "A whole number from 0 to 100000."),
    "budget.loss": ("--loss", _MONEY),
    "budget.strategies": ("--strategy", "A strategy plugin, or *."),
    "budget.calls_per_second": ("--calls-per-second", "More than 0, at most 1000."),
}
_LISTS = {"scopes", "instruments", "strategies"}
_OPENING = {"instruments": "--instrument", "notional": "--notional", "orders": "--orders"}
_OPENING |= {"loss": "--loss"}


def enrol(
    config: Path, name: str, given: Mapping[str, Any], *, token: bool, by: str | None
) -> None:
    """Enrol ``name`` with what is ``given``, by setting, and print its token on stdout.

    Raises ConfigError, which names the option, its value and the remedy.
    """
    folder = _folder(config)
    agent = _read({"name": name, "budget": {}}, given)
    made = Registry(folder).add(agent, token=token)
    _tell(folder, name, "added", by)
    _hand_over(made)
    _say(f"{name} is enrolled." + ("" if token else " It has no token: it may come over stdio."))
    if lacks := list(_lacks(agent)):
        _say(f"It may open nothing yet: give {', '.join(lacks)}, with `mtquant agents change`.")


def alter(config: Path, name: str, given: Mapping[str, Any], *, by: str | None) -> None:
    """Change what is ``given`` of an agent; the rest stays. Raises ConfigError as enrol does."""
    if not given:
        options = ", ".join(option for _, (option, _) in list(_OPTIONS.items())[1:])
        raise ConfigError("agents change", "nothing to change is given", f"Options: {options}.")
    folder = _folder(config)
    registry = Registry(folder)
    before = registry.get(name)
    if before is None:
        have = ", ".join(registry.agents()) or "none"
        raise ConfigError("NAME", f"no agent {name!r}", f"Agents: {have}.")
    agent = _read(before.model_dump(mode="json"), given)
    registry.change(agent)
    _tell(folder, name, "changed", by)
    for line in _describe(agent):
        _say(line)


def renew(config: Path, name: str, *, by: str | None) -> None:
    """Print a new token of an agent; raises ConfigError where there is none such."""
    folder = _folder(config)
    made = Registry(folder).renew(name)
    _tell(folder, name, "renewed", by)
    _hand_over(made)


def revoke(config: Path, name: str, *, by: str | None) -> None:
    """Take an agent away; raises ConfigError where there is none such."""
    folder = _folder(config)
    Registry(folder).revoke(name)
    _tell(folder, name, "revoked", by)
    _say(f"{name} is revoked: its next call is refused. What it holds stays, with its stops.")


def show_agents(config: Path, *, as_json: bool) -> None:
    """Print every agent with its budget, and where an engine runs, what is used and left of it."""
    folder = _folder(config)
    registry, used = Registry(folder), _used(folder)
    known = registry.agents()
    rows = [
        _row(agent, token=registry.has_token(name), used=(used or {}).get(name))
        for name, agent in known.items()
    ]
    if as_json:
        print(json.dumps({"engine": used is not None, "agents": rows}))  # noqa: T201 - for machines
        return
    out = tables.out()
    for row, agent in zip(rows, known.values(), strict=True):
        for line in _describe(agent, row):
            out.print(line, highlight=False, markup=False, soft_wrap=True)
    if not rows:
        out.print("no agent is enrolled: mtquant agents add NAME", highlight=False)
    elif used is None:
        out.print("no engine runs, so what was used isn't known", highlight=False)


def _folder(config: Path) -> Path:
    return Path(load_config(config).engine.state_dir)


def _read(table: dict[str, Any], given: Mapping[str, Any]) -> Agent:
    """Return the agent of ``table`` with what is ``given`` laid over it."""
    budget = dict(table["budget"])
    agent = table | {"budget": budget}
    for key, value in given.items():
        wanted = _listed(key, value) if key in _LISTS else value
        (budget if key in AgentBudget.model_fields else agent)[key] = wanted
    try:
        made = Agent.read(agent, "agents")
    except ConfigError as error:
        where = error.where.removeprefix("agents.")
        for path, (option, remedy) in _OPTIONS.items():
            if where == path or where.startswith(f"{path}."):
                raise ConfigError(option, error.problem, remedy) from None
        raise
    _check_strategies(made)
    return made


def _listed(key: str, values: list[str]) -> list[str]:
    """Return the values of a repeatable option, each once; ``none`` for no value."""
    found = list(dict.fromkeys(each.strip() for each in values))
    if found == [NONE]:
        return []
    if "" in found or NONE in found:
        option = _OPTIONS[key if key == "scopes" else f"budget.{key}"]
        shown = " ".join(repr(each) for each in values)
        raise ConfigError(option[0], f"{shown} can't be used", option[1])
    return found


def _check_strategies(agent: Agent) -> None:
    have = [each.name for each in load_catalogue().listings if each.kind == "strategy"]
    for each in agent.budget.strategies:
        if each not in (EVERY, *have):
            problem = f"no strategy plugin {each!r} is installed"
            raise ConfigError("--strategy", problem, f"Have: {', '.join(have)}.")


def _tell(folder: Path, name: str, change: str, by: str | None) -> None:
    """Tell a running engine, for its journal; it reads the file by itself at the next call."""
    told = {"agent": name, "change": change, "by": by or person()}
    try:
        anyio.run(reach, folder, "agents-changed", told, _LIMIT_S)
    except Reached as error:
        _say(f"It is done, but the running engine couldn't note it in its journal: {error}")


def _hand_over(token: str) -> None:
    """Print a token where it can be piped; everything else goes to stderr."""
    if token:
        _say("The agent's token, shown this once; put it into the client's environment:")
        print(token)  # noqa: T201 - what is asked for


def _say(text: str) -> None:
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)


def _lacks(agent: Agent) -> Iterator[str]:
    """Yield the options without which an agent that is to open something can't."""
    if {AgentScope.PROPOSE, AgentScope.TRADE} & set(agent.scopes):
        for key, option in _OPENING.items():
            if not getattr(agent.budget, key):
                yield option


def _used(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Return what each agent used, by its name; None where no engine says."""
    try:
        answer = anyio.run(reach, folder, "agents", {}, _LIMIT_S)
    except Reached as error:
        _say(f"The running engine doesn't say what was used: {error}")
        return None
    return answer and {each["name"]: each["used"] for each in answer["agents"]}


def _row(agent: Agent, *, token: bool, used: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an agent as --json lists it; money is in the budget's currency."""
    left = used and _left(agent.budget, used)
    return agent.model_dump(mode="json") | {"token": token, "used": used, "left": left}


def _left(budget: AgentBudget, used: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is left of a budget, None where that isn't known."""

    def rest(limit: Decimal, key: str) -> str | None:
        part = used[key]
        return None if part is None else plain(max(limit - Decimal(part), Decimal(0)))

    return {
        "orders": max(budget.orders - used["orders"], 0),
        "opened": rest(budget.notional, "opened"),
        "held": rest(budget.notional, "held"),
        "lost": rest(budget.loss, "lost"),
    }


def _describe(agent: Agent, row: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield what there is to say of an agent, a line each."""
    budget = agent.budget
    scopes = ", ".join(agent.scopes) or "nothing"
    way = "" if row is None else "; over HTTP or stdio" if row["token"] else "; over stdio only"
    yield f"{agent.name}: may {scopes}; {agent.mode} mode{way}"
    yield (
        f"   opens {_names(budget.instruments)}; backtests {_names(budget.strategies)}; "
        f"{budget.calls_per_second:g} calls a second"
    )
    money = budget.currency
    limits = (
        ("orders", "orders", Decimal(budget.orders), ""),
        ("opened", "opened", budget.notional, f" {money}"),
        ("held", "held now", budget.notional, f" {money}"),
        ("lost", "lost", budget.loss, f" {money}"),
    )
    used, left = (row["used"], row["left"]) if row else (None, None)
    for key, what, limit, unit in limits:
        when = "" if key == "held" else " within 24 hours"
        if used is None or left is None:
            yield f"   {what}{when}: at most {limit:,}{unit}"
        elif used[key] is None:
            yield f"   {what}{when}: not known now, of {limit:,}{unit}"
        else:
            yield (
                f"   {what}{when}: {Decimal(used[key]):,} of {limit:,}{unit}, "
                f"{Decimal(left[key]):,} left"
            )


def _names(names: tuple[str, ...]) -> str:
    return "all" if EVERY in names else ", ".join(names) or "nothing"
