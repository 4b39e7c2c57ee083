"""``serve``: any ``Broker`` as an MCP server.

Nothing reaches the broker unless the tool is in the caller's scope, every argument is one the
tool takes, and every value is valid; the SDK itself lets NaN, 1e400 and unknown names through.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp import types
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

from mtquant import __version__
from mtquant.clock import SystemClock
from mtquant.contract import Broker, Scope
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused
from mtquant.ledger import Ledger
from mtquant.model import Capabilities, to_json
from mtquant.wire.guard import Guard
from mtquant.wire.tools import Spec, specs_of

GRACE_S = 10
"""How long a server that stops waits for orders that are on their way."""
TEXT_LIMIT = 4000
"""A longer result is in the structured content alone."""
ALL_SCOPES = frozenset(Scope)

_log = logging.getLogger(__name__)


def serve(
    broker: Broker,
    *,
    ledger: Ledger | None = None,
    scopes: frozenset[Scope] = ALL_SCOPES,
    name: str | None = None,
    version: str = __version__,
) -> Server[InFlight]:
    """Return an MCP server whose tools are the methods of ``broker``.

    Orders go through ``ledger``; without one, ids are remembered until the process ends. Tools
    outside ``scopes`` do not exist on this server.
    """
    desk = _Desk(broker, ledger or Ledger(":memory:", SystemClock()), scopes)
    return Server(
        name or type(broker).__name__,
        version=version,
        instructions="A broker account. Quantities are in base units, prices and money decimal"
        " strings, times RFC 3339 UTC. An error tells what is known: not_sent, rejected or"
        " unknown. After unknown, look up with get_order; never send again under another id.",
        lifespan=_lifespan,
        get_tool_input_schema=desk.input_schema,
        on_list_tools=desk.list_tools,
        on_call_tool=desk.call_tool,
    )


class InFlight:
    """Calls that must come to their end, whether or not their caller waits."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._scopes: set[anyio.CancelScope] = set()
        self._idle = anyio.Event()

    async def run(
        self, call: Callable[[], Awaitable[types.CallToolResult]]
    ) -> types.CallToolResult:
        """Return what ``call`` returns; if the caller is cancelled, the call goes on."""
        ended, results = anyio.Event(), list[types.CallToolResult]()

        async def act() -> None:
            with anyio.CancelScope(shield=True) as scope:
                self._scopes.add(scope)
                try:
                    results.append(await call())
                finally:
                    self._scopes.discard(scope)
                    ended.set()
                    if not self._scopes:
                        self._idle.set()

        self._group.start_soon(act)
        await ended.wait()
        return results[0] if results else _failure(OutcomeUnknown("the server is stopping"))

    async def drain(self) -> None:
        """Wait for the calls under way, then give up those that still hang."""
        with anyio.move_on_after(GRACE_S, shield=True):
            while self._scopes:
                self._idle = anyio.Event()
                await self._idle.wait()
        for scope in list(self._scopes):
            scope.cancel()


@asynccontextmanager
async def _lifespan(_: Server[InFlight]) -> AsyncIterator[InFlight]:
    async with anyio.create_task_group() as group:
        calls = InFlight(group)
        try:
            yield calls
        finally:
            await calls.drain()


class _Desk:
    """The handlers of one server."""

    def __init__(self, broker: Broker, ledger: Ledger, scopes: frozenset[Scope]) -> None:
        guard = Guard(broker, ledger)
        self._specs = {
            name: spec for name, spec in specs_of(type(broker)).items() if spec.tool.scope in scopes
        }
        self._methods: Mapping[str, Callable[..., Awaitable[Any]]] = {
            name: getattr(guard, name, None) or getattr(broker, name) for name in self._specs
        }
        self._tools = {name: _tool(spec) for name, spec in self._specs.items()}

    def input_schema(self, name: str) -> dict[str, Any] | None:
        return self._specs[name].input_schema if name in self._specs else None

    async def list_tools(
        self, _: ServerRequestContext[InFlight], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[self._tools[name] for name in self._offered()])

    async def call_tool(
        self, context: ServerRequestContext[InFlight], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            spec = self._admitted(params.name)
            request = spec.parse(params.arguments or {})
        except Refused as refusal:
            return _failure(refusal)
        answer = partial(self._answer, spec, request)
        return await context.lifespan_context.run(answer) if spec.trades else await answer()

    def _offered(self) -> list[str]:
        """Return the tools within the scopes of the caller's token, if it came with one."""
        token = get_access_token()
        return [
            name
            for name, spec in self._specs.items()
            if token is None or spec.tool.scope in token.scopes
        ]

    def _admitted(self, name: str) -> Spec:
        if name in self._offered():
            return self._specs[name]
        if name in self._specs:
            raise Refused(
                ErrorCode.READ_ONLY,
                "this token's scopes do not include this tool's",
                outcome=Outcome.NOT_SENT,
            )
        raise Refused(
            ErrorCode.UNSUPPORTED,
            "this server has no such tool; tools/list names those it has",
            outcome=Outcome.NOT_SENT,
        )

    async def _answer(self, spec: Spec, request: object) -> types.CallToolResult:
        try:
            result = await spec.invoke(self._methods[spec.name], request)
            if isinstance(result, Capabilities):
                result = replace(result, tools=tuple(self._offered()))
            value, text = spec.dump_result(result)
        except BrokerError as error:
            return _failure(error)
        except Exception:  # noqa: BLE001 - the boundary: a fault of the broker's code becomes an answer
            _log.exception("%s failed", spec.name)
            return _failure(_internal(spec))
        if len(text) > TEXT_LIMIT:
            text = f"{len(text)} characters of JSON, in the structured content"
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)], structured_content=value
        )


def _tool(spec: Spec) -> types.Tool:
    return types.Tool(
        name=spec.name,
        title=spec.tool.title,
        description=spec.description,
        input_schema=spec.input_schema,
        output_schema=spec.output_schema,
        annotations=types.ToolAnnotations(
            read_only_hint=not spec.trades,
            destructive_hint=spec.trades,
            idempotent_hint=True,
            open_world_hint=True,
        ),
    )


def _internal(spec: Spec) -> BrokerError:
    message = f"{spec.name} failed inside the server; its log says why"
    if spec.trades:
        return OutcomeUnknown(message, code=ErrorCode.INTERNAL)
    return Refused(ErrorCode.INTERNAL, message, outcome=Outcome.NOT_SENT)


def _failure(error: BrokerError) -> types.CallToolResult:
    content = {"error": error.payload()}
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=to_json(content))],
        structured_content=content,
        is_error=True,
    )
