"""What a person asks a running engine about its agents."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from mtquant.contract import AgentStanding, Settings
from mtquant.control.arguments import Nothing
from mtquant.control.commands import Command
from mtquant.engine import Engine
from mtquant.model import plain


class ChangedArguments(Settings):
    """Which agent was enrolled, changed or revoked, and by whom."""

    agent: str = Field(max_length=64)
    change: Literal["added", "changed", "renewed", "revoked"]
    by: str


def personal(engine: Engine) -> Mapping[str, Command]:
    """Return the commands: what each agent has used, and that the registry changed."""

    async def agents(_: Nothing) -> dict[str, Any]:
        engine.enrol()
        decider = engine.wiring.decider
        rows = [
            {"name": name, "used": _used(decider.agent_use(each.source))}
            for name, each in engine.book.agents.items()
        ]
        return {"agents": rows}

    async def changed(asked: ChangedArguments) -> dict[str, Any]:
        engine.wiring.journal.append("agent_changed", asked.model_dump(mode="json"), durable=True)
        engine.enrol()
        return {"agents": sorted(engine.book.agents)}

    return {
        "agents": Command(Nothing, agents),
        "agents-changed": Command(ChangedArguments, changed),
    }


def _used(standing: AgentStanding | None) -> dict[str, Any] | None:
    if standing is None:
        return None
    return {
        "orders": standing.orders,
        "opened": _text(standing.opened),
        "held": _text(standing.held),
        "lost": _text(standing.lost),
    }


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
