"""A desk of agents that answers as it is told, and tools for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp import MCPError
from mcp.client.context import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from mtquant.agents.answer import Answer, Ask
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.tool import Caller, Told, agent_tool, agent_tools
from mtquant.contract import AgentScope

CANARY = "canary-of-a-secret"
CODE = "4711-XK"
DIGEST = "0123456789abcdef"


@dataclass(frozen=True, kw_only=True)
class Done(Told):
    """What the tools return."""

    state: str


class Box:
    """Tools of each kind."""

    @agent_tool("Portfolio", AgentScope.READ)
    async def get_portfolio(self, caller: Caller, account: str = "") -> Done:
        """Return the portfolio."""
        raise NotImplementedError

    @agent_tool("Propose", AgentScope.PROPOSE, changes=True)
    async def propose_trade(self, caller: Caller, symbol: str) -> Done:
        """Propose a trade."""
        raise NotImplementedError

    @agent_tool("Place", AgentScope.TRADE, changes=True)
    async def place_order(self, caller: Caller, symbol: str) -> Done:
        """Place an order."""
        raise NotImplementedError

    @agent_tool("Cancel", AgentScope.TRADE, changes=True, always=True)
    async def cancel_order(self, caller: Caller, symbol: str = "") -> Done:
        """Cancel an order."""
        raise NotImplementedError


TOOLS = agent_tools(Box)


def answer(state: str, ask: Ask | None = None) -> Answer:
    """Return the answer of any of the tools."""
    return Answer.of({"summary": f"It is {state}.", "units": "none", "state": state}, ask)


@dataclass
class FakeDesk:
    """Answers calls at once, and keeps them; ``WAIT`` as symbol or account waits for ``go``."""

    agents: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"momo": tuple(TOOLS)})
    calls: list[tuple[str, str, dict[str, Any], bool]] = field(default_factory=list)
    answers: list[tuple[str, int, str, bool, str]] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    changes: dict[str, str] = field(default_factory=lambda: {"portfolio": "1", "risk": "1"})
    go: anyio.Event = field(default_factory=anyio.Event)
    arrived: anyio.Event = field(default_factory=anyio.Event)
    under_way: int = 0
    proposals: int = 0
    ended: int = 0
    """How many calls that waited came to their end."""

    async def busy(self, calls: int) -> None:
        """Wait until so many calls wait for ``go``."""
        while self.under_way < calls:
            self.arrived = anyio.Event()
            await self.arrived.wait()

    async def offered(self, agent: str) -> Sequence[str]:
        return self._tools(agent)

    async def call(
        self, agent: str, tool: str, arguments: Mapping[str, Any], *, dry_run: bool
    ) -> Answer:
        offered = self._tools(agent)
        self.calls.append((agent, tool, dict(arguments), dry_run))
        if tool not in offered:
            return Answer.refused({"code": "no_such_tool", "next": "tools/list names them."})
        what = arguments.get("symbol") or arguments.get("account")
        if what == "CRASH":
            raise RuntimeError(CANARY)
        if what == "WAIT":
            self.under_way += 1
            self.arrived.set()
            await self.go.wait()
            self.under_way -= 1
            self.ended += 1
        if tool == "propose_trade":
            self.proposals += 1
            number = self.proposals
            return answer("waiting", Ask(number=number, digest=DIGEST, shown=f"Buy? ({number})"))
        return answer("done")

    async def answer(
        self, agent: str, number: int, digest: str, *, approve: bool, code: str
    ) -> Answer:
        self._tools(agent)
        self.answers.append((agent, number, digest, approve, code))
        if not approve:
            return answer("rejected")
        if code != CODE:
            return Answer.refused({"code": "wrong_code", "next": "It goes on waiting."})
        return answer("approved")

    async def read(self, agent: str, name: str) -> Mapping[str, Any]:
        self._tools(agent)
        if name == "journal":
            raise RuntimeError(CANARY)
        return {"name": name, "worth": float("nan") if name == "quotes" else 1.0}

    async def marks(self, agent: str) -> Mapping[str, str]:
        self._tools(agent)
        return dict(self.changes)

    async def refuse(self, agent: str, what: str, why: str) -> None:
        self.refused.append((agent, what, why))

    def _tools(self, agent: str) -> tuple[str, ...]:
        if agent not in self.agents:
            raise AgentRefused("not_enrolled", "this agent is not enrolled", "Tell the person.")
        return self.agents[agent]


class Person:
    """Whoever is asked in a client: says one thing, or never answers, or the asking fails."""

    def __init__(self, says: ElicitResult | MCPError | None) -> None:
        self.says = says
        self.asked: list[tuple[ClientRequestContext, ElicitRequestParams]] = []

    async def __call__(
        self, context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult:
        self.asked.append((context, params))
        if self.says is None:
            await anyio.sleep_forever()
        if isinstance(self.says, ElicitResult):
            return self.says
        assert self.says is not None
        raise self.says


if __name__ == "__main__":
    from mtquant.gateway import run_gateway_stdio

    async def serve_stdio() -> None:
        await run_gateway_stdio(FakeDesk(), TOOLS, agent=sys.argv[1])

    anyio.run(serve_stdio)
