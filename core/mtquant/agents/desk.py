"""The desk of agents in the engine's own process: who may, what, how often; and the trail of it.

Every way for an agent comes through here, whatever carried it: a tool's scope, its arguments, the
throttle and the trail are seen to before and after the tool; the gate stands behind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio

from mtquant.agents.answer import Answer, Ask
from mtquant.agents.looking import LookingTools
from mtquant.agents.market import MarketTools
from mtquant.agents.opening import OpeningTools
from mtquant.agents.personal import personal
from mtquant.agents.reading import Reading
from mtquant.agents.reducing import ReducingTools
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.research import ResearchTools
from mtquant.agents.results import Fate
from mtquant.agents.reviewing import ReviewTools
from mtquant.agents.throttle import PAUSED, Throttle
from mtquant.agents.tool import AgentTool, Caller, agent_tools
from mtquant.agents.trail import AgentTrail
from mtquant.book import Suggestion
from mtquant.contract import Agent
from mtquant.control.commands import Command, Commands
from mtquant.engine import Engine
from mtquant.errors import JournalError, MtquantError
from mtquant.model import plain
from mtquant.plugins import Catalogue

TOOLS: Mapping[str, AgentTool] = agent_tools(
    LookingTools, MarketTools, ReviewTools, ResearchTools, OpeningTools, ReducingTools
)
"""Every tool of agents by name, in the order in which they are listed."""
WRONG_CODE = "wrong_code"
NOT_LET_IN = frozenset({"rate_limited", PAUSED, "unknown_agent"})
"""Refusals that may come in floods: their trail is counted."""
_log = logging.getLogger(__name__)


class AgentDesk:
    """Serves agents from one engine."""

    def __init__(self, engine: Engine, commands: Commands, catalogue: Catalogue) -> None:
        self._engine = engine
        self._commands = commands
        clock = engine.wiring.clock
        self._throttle = Throttle(clock)
        self._trail = AgentTrail(engine.wiring.journal, clock)
        engine.endings.append(self._trail.settle)
        boxes: Sequence[object] = (
            LookingTools(engine),
            MarketTools(engine),
            ReviewTools(engine),
            ResearchTools(engine, catalogue),
            OpeningTools(engine),
            ReducingTools(engine, commands),
        )
        self._methods = {
            name: getattr(box, name) for box in boxes for name in agent_tools(type(box))
        }
        self._reading = Reading(engine, self._read)

    async def offered(self, agent: str) -> Sequence[str]:
        """Return the names of the tools within the agent's scopes."""
        scopes = self._admit(agent).scopes
        return [name for name, tool in TOOLS.items() if tool.mark.scope in scopes]

    async def call(
        self, agent: str, tool: str, arguments: Mapping[str, Any], *, dry_run: bool
    ) -> Answer:
        """Call a tool and return its answer, or the error that it came to."""
        clock = self._engine.wiring.clock
        begun = clock.monotonic()
        found = TOOLS.get(tool)
        try:
            caller = Caller(self._admit(agent), dry_run=dry_run)
            self._throttle.admit(caller, always=bool(found and found.mark.always))
            answer = await self._called(caller, tool, found, arguments)
        except AgentRefused as refusal:
            answer, code = Answer.refused(refusal.payload()), refusal.code
            if code in NOT_LET_IN:
                self._trail.read(agent, tool if found else "an unknown tool", code)
                return answer
            self._throttle.note_refused(agent)
        else:
            code = str((answer.value or {}).get("status", "done"))
            if found is not None and not found.mark.changes:
                self._trail.read(agent, tool)
                return answer
            if code == Fate.VETOED:
                self._throttle.note_refused(agent)
        self._trail.called(
            agent, tool, arguments, code, seconds=clock.monotonic() - begun, dry_run=dry_run
        )
        self._engine.wiring.journal.flush()
        return answer

    async def _called(
        self,
        caller: Caller,
        name: str,
        found: AgentTool | None,
        arguments: Mapping[str, Any],
    ) -> Answer:
        if found is None or found.mark.scope not in caller.agent.scopes:
            raise _out_of_scope(found)
        try:
            with _in_agents_words():
                request = found.spec.parse(arguments)
                method = partial(self._methods[name], caller)
                # What changes something goes on to its end, whether or not its caller waits.
                with anyio.CancelScope(shield=found.mark.changes):
                    result = await found.spec.invoke(method, request)
                value, _ = found.spec.dump_result(result)
        except MtquantError:
            raise
        except Exception:  # noqa: BLE001 - the boundary: a fault becomes an answer
            _log.exception("%s failed", name)
            raise AgentRefused(
                "outcome_unknown" if found.mark.changes else "internal",
                f"{name} failed inside the engine; its log says why",
                "Look it up with get_order; never send it again under another id."
                if found.mark.changes
                else "Tell the person.",
            ) from None
        return Answer.of(value, self._ask(caller, value))

    def _ask(self, caller: Caller, value: Mapping[str, Any]) -> Ask | None:
        """Return what a person may be asked in the agent's client, where an order waits for him."""
        if value.get("status") != Fate.WAITING or value.get("proposal") is None:
            return None
        found = self._engine.book.suggestions.get(value["proposal"])
        if found is None:
            return None
        return Ask(number=found.number, digest=found.digest, shown=_shown(found, caller.agent))

    async def answer(
        self, agent: str, number: int, digest: str, *, approve: bool, code: str
    ) -> Answer:
        """Take in what a person answered in the agent's client, and return the order's answer.

        A yes counts only with the code that only a person is shown.
        """
        try:
            caller = Caller(self._admit(agent))
            self._throttle.admit(caller, always=False)
            with _in_agents_words():
                answer, done = await self._answered(
                    caller, number, digest, approve=approve, code=code
                )
        except AgentRefused as refusal:
            self._trail.refused(agent, f"answer to proposal {number}", refusal.code)
            return Answer.refused(refusal.payload())
        if done:
            self._trail.refused(agent, f"answer to proposal {number}", done)
        self._engine.wiring.journal.flush()
        return answer

    async def _answered(
        self, caller: Caller, number: int, digest: str, *, approve: bool, code: str
    ) -> tuple[Answer, str]:
        found = self._engine.book.suggestions.get(number)
        if found is None or found.signal.strategy_id != caller.source or found.digest != digest:
            raise AgentRefused(
                "not_found", "no such proposal of yours waits", "list_proposals tells which do."
            )
        by = f"a person at the client of {caller.agent.name}"
        done = ""
        if not approve:
            why = "declined in the agent's client"
            await self._commands.run("reject", {"number": number, "why": why, "by": by})
        elif self._commands.codes.matches(number, digest, code):
            why = "with the code"
            body = {"number": number, "digest": digest, "why": why, "by": by}
            await self._commands.run("approve", body)
        else:
            done = WRONG_CODE
        value = await self._read("get_order", caller, found.request)
        if done:
            value["summary"] = f"NOT approved: the code is not this order's. {value['summary']}"
        return Answer.of(value), done

    async def _read(self, tool: str, caller: Caller, *arguments: object) -> dict[str, Any]:
        """Return what a tool that reads answers, JSON-ready."""
        value, _ = TOOLS[tool].spec.dump_result(await self._methods[tool](caller, *arguments))
        return value

    async def read(self, agent: str, name: str) -> Mapping[str, Any]:
        """Return the resource ``name``, JSON-ready."""
        caller = Caller(self._admit(agent))
        self._throttle.admit(caller, always=False)
        self._trail.read(agent, f"resource {name}")
        with _in_agents_words():
            return await self._reading.read(caller, name)

    async def marks(self, agent: str) -> Mapping[str, str]:
        """Return, by resource name, what changes whenever the resource does."""
        self._admit(agent)
        return self._reading.marks()

    async def refuse(self, agent: str, what: str, why: str) -> None:
        """Put an attempt that the gateway itself refused into the trail."""
        self._trail.refused(agent, what, why)

    def commands(self) -> Mapping[str, Command]:
        """Return the commands of persons about agents, for the channel."""
        return personal(self._engine)

    def _admit(self, name: str) -> Agent:
        """Return the agent called ``name`` as it is enrolled now; raises AgentRefused for none."""
        self._engine.enrol()
        found = self._engine.book.agents.get(name)
        if found is None:
            raise AgentRefused(
                "unknown_agent",
                "no such agent is enrolled, or it is revoked",
                "Tell the person: `mtquant agents` lists who is.",
            )
        return found


def _out_of_scope(found: AgentTool | None) -> AgentRefused:
    if found is None:
        return AgentRefused("unknown_tool", "there is no such tool", "tools/list names yours.")
    return AgentRefused(
        "out_of_scope",
        f"this takes the scope {found.mark.scope}, which you don't have",
        "Tell the person what you would need it for. Do not look for a way around.",
    )


@contextmanager
def _in_agents_words() -> Iterator[None]:
    """Raise what is raised on purpose as an AgentRefused; a broken journal is the engine's end."""
    try:
        yield
    except JournalError:
        raise
    except MtquantError as error:
        raise AgentRefused.of(error) from None


def _shown(found: Suggestion, agent: Agent) -> str:
    """Return an order in our own words, for the person who is asked; the agent's come last."""
    order = found.order
    price = order.limit_price or order.stop_price
    at = f"{order.order_type} {plain(price)}" if price else "at market"
    stop = f"stop-loss {plain(order.stop_loss)}" if order.stop_loss else "NO stop-loss"
    target = f", take-profit {plain(order.take_profit)}" if order.take_profit else ""
    return (
        f"Agent {agent.name} asks to {order.side.upper()} {plain(order.quantity)} "
        f"{order.instrument} {at} at account {found.account}, {stop}{target}. "
        f"The gate: {found.verdict}. "
        f"To approve, type the code that `mtquant suggestions` shows for number {found.number}; "
        "without it nothing is sent. "
        f"The agent's own words, unchecked: “{found.signal.reason}”"
    )
