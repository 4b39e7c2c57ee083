"""The engine's end of the bridge: its desk of agents as a command of the channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from mtquant.agents.port import Desk
from mtquant.agents.refusal import AgentRefused
from mtquant.contract import Settings
from mtquant.control.commands import Command

COMMAND = "agent-desk"
Method = Literal["offered", "call", "answer", "read", "marks", "refuse"]
Reply = dict[str, Any]
_Serve = Callable[[Desk, str, Any], Awaitable[Any]]


class DeskArguments(Settings):
    """One call of the desk: which ``method``, for which ``agent``, and the method's ``fields``."""

    method: Method
    agent: str
    fields: Mapping[str, Any] = Field(default_factory=dict)


class _None(Settings):
    """No fields."""


class _Call(Settings):
    tool: str
    arguments: Mapping[str, Any]
    dry_run: bool


class _Answer(Settings):
    number: int
    digest: str
    approve: bool
    code: str


class _Read(Settings):
    name: str


class _Refuse(Settings):
    what: str
    why: str


def desk_commands(desk: Desk) -> Mapping[str, Command]:
    """Return the command through which gateways in other processes reach ``desk``.

    It answers ``{"done": ...}``, or ``{"refused": ...}`` with the error as agents get it.
    """

    async def serve(asked: DeskArguments) -> Reply:
        fields, act = _METHODS[asked.method]
        given = fields.read(asked.fields, f"{COMMAND}.{asked.method}")
        try:
            return {"done": await act(desk, asked.agent, given)}
        except AgentRefused as refused:
            return {"refused": refused.payload()}

    return {COMMAND: Command(DeskArguments, serve)}


async def _offered(desk: Desk, agent: str, _: _None) -> list[str]:
    return list(await desk.offered(agent))


async def _call(desk: Desk, agent: str, given: _Call) -> Reply:
    answer = await desk.call(agent, given.tool, given.arguments, dry_run=given.dry_run)
    return answer.dump()


async def _answer(desk: Desk, agent: str, given: _Answer) -> Reply:
    answer = await desk.answer(
        agent, given.number, given.digest, approve=given.approve, code=given.code
    )
    return answer.dump()


async def _read(desk: Desk, agent: str, given: _Read) -> Reply:
    return dict(await desk.read(agent, given.name))


async def _marks(desk: Desk, agent: str, _: _None) -> Reply:
    return dict(await desk.marks(agent))


async def _refuse(desk: Desk, agent: str, given: _Refuse) -> None:
    await desk.refuse(agent, given.what, given.why)


_METHODS: Mapping[str, tuple[type[Settings], _Serve]] = {
    "offered": (_None, _offered),
    "call": (_Call, _call),
    "answer": (_Answer, _answer),
    "read": (_Read, _read),
    "marks": (_None, _marks),
    "refuse": (_Refuse, _refuse),
}
