"""Whose a request is: the agent that this server was started for, or that the token names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mcp import MCPError, types
from mcp.server.auth.middleware.auth_context import get_access_token

from mtquant.agents.refusal import AgentRefused

Caller = Callable[[], str]
"""Returns the name of the agent whose request this is. Raises AgentRefused where nobody's."""

_log = logging.getLogger(__name__)


def caller_of(agent: str | None) -> Caller:
    """Return who calls: always ``agent`` where it is named, else whom the bearer token names."""

    def caller() -> str:
        if agent is not None:
            return agent
        token = get_access_token()
        if token is None:
            message = "this gateway answers enrolled agents only, and the request has no token"
            raise AgentRefused("auth_failed", message, "Tell the person to give this client one.")
        return token.client_id

    return caller


@contextmanager
def errors_of(what: str) -> Iterator[None]:
    """Turn what asking the desk for ``what`` raises into an error that a client may be shown."""
    try:
        yield
    except AgentRefused as refused:
        message = f"{refused.message}. {refused.next_step}"
        raise MCPError(types.INTERNAL_ERROR, message, {"code": refused.code}) from None
    except Exception:  # noqa: BLE001 - the boundary: a fault of ours becomes an answer
        _log.exception("%s can't be told", what)
        message = f"{what} can't be told now; the gateway's log says why. Ask again later."
        raise MCPError(types.INTERNAL_ERROR, message, {"code": "failed"}) from None
