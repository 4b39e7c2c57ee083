"""An order that waits for a person is put to him in the agent's client, where that can ask.

His yes counts with the code alone that ``mtquant suggestions`` shows him, and it is the desk that
looks at the code. Whatever else comes back, or nothing, answers nothing: the order goes on waiting
for ``mtquant approve``. Since 2026-07-28 the client is told what to ask with the tool's result and
calls the tool again with what he said; before, the server asks within the call.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.types.version import MODERN_PROTOCOL_VERSIONS

from mtquant.agents.answer import Answer, Ask
from mtquant.agents.refusal import AgentRefused

DEADLINE_S = 60.0
"""So long a call waits for the person; the order waits on."""
KEPT = 16
"""So many questions to one agent's client stay open; an older one can't be answered there."""
APPROVAL = "approval"
CODE_LIMIT = 64
_STATE = re.compile(r"[0-9]{1,12}:[0-9a-f]{8,64}", re.ASCII)
_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approve": {
            "type": "boolean",
            "title": "Approve",
            "description": "Yes sends this order, no refuses it for good.",
        },
        "code": {
            "type": "string",
            "title": "Code",
            "description": "The code that `mtquant suggestions` shows you;"
            " it never comes through the agent.",
            "maxLength": CODE_LIMIT,
        },
    },
    "required": ["approve"],
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a person answered."""

    number: int
    digest: str
    approve: bool
    code: str


class Asking:
    """The questions that are open in agents' clients."""

    def __init__(self) -> None:
        self._open: dict[str, OrderedDict[str, Answer]] = {}

    def later(self, agent: str, waiting: Answer, ask: Ask) -> types.InputRequiredResult:
        """Return the question for the client to ask; it calls again with what was said."""
        state = f"{ask.number}:{ask.digest}"
        questions = self._open.setdefault(agent, OrderedDict())
        questions[state] = waiting
        questions.move_to_end(state)
        while len(questions) > KEPT:
            questions.popitem(last=False)
        request = types.ElicitRequest(
            params=types.ElicitRequestFormParams(message=ask.shown, requested_schema=_FORM)
        )
        return types.InputRequiredResult(input_requests={APPROVAL: request}, request_state=state)

    def heard(
        self, agent: str, state: str, responses: Mapping[str, object] | None
    ) -> Said | Answer:
        """Return what the person said to the question ``state``, or the answer that still waits.

        A question is answered once. Raises AgentRefused where ``state`` names none that is open.
        """
        questions = self._open.get(agent, OrderedDict())
        if _STATE.fullmatch(state) is None or state not in questions:
            raise AgentRefused(
                "invalid_argument",
                "requestState names no question of this gateway that is open",
                "Look the order up with list_proposals or get_order; if it waits, the person"
                " answers it with `mtquant approve` or `mtquant reject`.",
                field="requestState",
            )
        waiting = questions.pop(state)
        if not questions:
            del self._open[agent]
        number, _, digest = state.partition(":")
        ask = Ask(number=int(number), digest=digest, shown="")
        return _said(ask, (responses or {}).get(APPROVAL)) or waiting


async def ask_now(context: ServerRequestContext[Any], ask: Ask) -> Said | None:
    """Ask the person within the call; None where he didn't answer in time, or not clearly."""
    result = None
    with anyio.move_on_after(DEADLINE_S):
        try:
            result = await context.session.elicit_form(ask.shown, _FORM, context.request_id)
        except Exception:  # noqa: BLE001 - whatever a client answers wrong is no answer
            return None
    return _said(ask, result)


def asks_later(context: ServerRequestContext[Any]) -> bool:
    """Tell whether this client is given the question with the result."""
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


def can_ask(context: ServerRequestContext[Any]) -> bool:
    """Tell whether the client said that it can show a person a form."""
    capabilities = context.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    # One that names no kind is from before there were two, and shows forms.
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _said(ask: Ask, result: object) -> Said | None:
    if not isinstance(result, types.ElicitResult) or result.action == "cancel":
        return None
    if result.action == "decline":
        return Said(ask.number, ask.digest, approve=False, code="")
    content = result.content or {}
    approve, code = content.get("approve"), content.get("code")
    if approve is False:
        return Said(ask.number, ask.digest, approve=False, code="")
    if approve is True and isinstance(code, str) and code.strip() and len(code) <= CODE_LIMIT:
        return Said(ask.number, ask.digest, approve=True, code=code.strip())
    return None
