"""A connection without our own checks: what a server lists and answers, as it came.

For whoever checks servers. Everyone else calls the methods of ``Remote``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from mcp import MCPError, types

from mtquant.errors import ErrorCode, Outcome, Refused
from mtquant.wire.remote import Remote


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered; ``failure`` is set where there was a protocol error instead."""

    is_error: bool
    content: Any
    text: str
    failure: str = ""

    @property
    def error(self) -> Mapping[str, Any]:
        """The contract's error object, empty where there is none."""
        try:
            error = json.loads(self.text)["error"]
        except (KeyError, TypeError, ValueError, RecursionError):
            return {}
        return error if isinstance(error, dict) else {}


async def list_tools(remote: Remote) -> list[dict[str, Any]]:
    """Return the tools as the server lists them, by the names of the protocol."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await _session(remote).list_tools(params=types.PaginatedRequestParams(cursor=cursor))
        found += [
            each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in page.tools
        ]
        cursor = page.next_cursor
        if cursor is None:
            return found


async def call(
    remote: Remote, name: str, arguments: Mapping[str, Any], timeout_s: float = 20
) -> Answer:
    """Call a tool with arguments that nothing has looked at."""
    request = types.CallToolRequest(
        params=types.CallToolRequestParams.model_construct(name=name, arguments=dict(arguments))
    )
    try:
        with anyio.fail_after(timeout_s):
            result = await _session(remote).send_request(request, types.CallToolResult)
    except MCPError as error:
        return Answer(is_error=True, content=None, text="", failure=error.message)
    except TimeoutError:
        return Answer(is_error=True, content=None, text="", failure="no answer in time")
    except ValueError as error:  # what can't be written as JSON can't be sent either
        return Answer(is_error=True, content=None, text="", failure=f"not sent: {error}")
    texts = [each.text for each in result.content if isinstance(each, types.TextContent)]
    return Answer(bool(result.is_error), result.structured_content, "\n".join(texts))


def protocol(remote: Remote) -> str:
    """Return the revision of the protocol that the two ends agreed on."""
    return str(_client(remote).protocol_version)


def _session(remote: Remote) -> Any:  # noqa: ANN401 - the SDK's
    return _client(remote).session


def _client(remote: Remote) -> Any:  # noqa: ANN401 - the SDK's
    if remote._client is None:  # noqa: SLF001 - this module is the other half of it
        raise Refused(ErrorCode.NOT_CONNECTED, "there is no connection", outcome=Outcome.NOT_SENT)
    return remote._client  # noqa: SLF001
