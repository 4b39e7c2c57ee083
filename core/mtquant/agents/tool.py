"""An agent's tool: a method of a toolbox, with its scope; its schemas follow from its types.

    class Looking:
        @agent_tool("Portfolio over all accounts", AgentScope.READ)
        async def get_portfolio(self, caller: Caller) -> Portfolio: ...

The arguments are the method's parameters after ``caller``. What it returns is a frozen dataclass
that derives from :class:`Told`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mtquant.contract import Agent, AgentScope, Scope, Tool
from mtquant.wire.tools import Spec, spec_of

_Method = TypeVar("_Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. ``dry_run``: everything is looked at and nothing leaves."""

    agent: Agent
    dry_run: bool = False

    @property
    def source(self) -> str:
        """Who its orders are from, as the gate and the journal name it."""
        return self.agent.source

    @property
    def sees_all(self) -> bool:
        """True where it may see what other agents do."""
        return AgentScope.ADMIN in self.agent.scopes


@dataclass(frozen=True, kw_only=True)
class Told:
    """What every answer has: one sentence for who reads text, and the units of its numbers."""

    summary: str
    units: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What a toolbox's method says of the tool it is.

    ``changes``: it may change something, at a broker or here. ``always``: it only cancels, closes
    or halts, and is never throttled.
    """

    title: str
    scope: AgentScope
    changes: bool
    always: bool


@dataclass(frozen=True, slots=True)
class AgentTool:
    """One tool as agents see it."""

    spec: Spec
    mark: Mark


def agent_tool(
    title: str, scope: AgentScope, *, changes: bool = False, always: bool = False
) -> Callable[[_Method], _Method]:
    """Mark a method of a toolbox as a tool of agents that have ``scope``."""

    def mark(method: _Method) -> _Method:
        method.__agent_tool__ = Mark(title, scope, changes, always)  # type: ignore[attr-defined]
        return method

    return mark


def agent_tools(*boxes: type) -> dict[str, AgentTool]:
    """Return the tools of ``boxes`` by name, in their order."""
    found: dict[str, AgentTool] = {}
    for box in boxes:
        for name, method in vars(box).items():
            marked: Mark | None = getattr(method, "__agent_tool__", None)
            if marked is None:
                continue
            scope = Scope.TRADE if marked.changes else Scope.READ
            found[name] = AgentTool(spec_of(name, Tool(marked.title, scope), method, 2), marked)
    return found
