"""``Remote``: a ``Broker`` whose other end is an MCP server.

Whatever fails between the two ends comes out as one of the error families: ``Refused`` where the
call provably had no effect, ``OutcomeUnknown`` where an order may have got through.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import wraps
from types import TracebackType
from typing import Any, Self, TextIO

import anyio
from anyio.abc import TaskStatus
from mcp import Client, ClientSession, MCPError, types
from mcp.server.lowlevel import Server
from mcp.shared.dispatcher import ProgressFnT
from pydantic import ValidationError

from mtquant.contract import WATCH_LIMIT_S, Broker, Endpoint
from mtquant.contract.renames import offered_name
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused, Retry
from mtquant.model import Capabilities, OrderReport, QuoteBatch, to_json
from mtquant.wire.guard import checked
from mtquant.wire.offered import check_offered
from mtquant.wire.tools import Spec, specs_of
from mtquant.wire.transport import transport_of

PAGES = 20
"""A tool list of more pages has no end."""
START_S = 30
"""How long a server may take to start and to list its tools."""
_SPECS = specs_of(Broker)
_log = logging.getLogger(__name__)


class Remote(Broker):
    """The broker that the server ``at`` an endpoint, or in this process, serves.

    Use it as ``async with Remote(at) as broker``, entered and left in one task; calls may come
    from any. Every call ends after ``timeout_s``. ``protocol`` is a revision of MCP to insist on,
    or ``legacy`` for those before 2026-07-28. ``tools_digest`` is the SHA-256 of what the server
    says its tools are, and ``capabilities`` what it last said that it offers: what it doesn't is
    refused here, before it is sent.
    """

    def __init__(
        self,
        at: Endpoint | Server[Any],
        *,
        timeout_s: float = 10.0,
        errlog: TextIO | None = None,
        protocol: str = "auto",
    ) -> None:
        self.tools_digest = ""
        self.capabilities: Capabilities | None = None
        self._protocol = protocol
        self._at, self._timeout_s, self._errlog = at, timeout_s, errlog
        self._tools: frozenset[str] = frozenset()
        self._transport: Any = None
        self._client: Client | None = None
        self._leave: anyio.Event
        self._exit: AsyncExitStack

    @property
    def closed(self) -> bool:  # type: ignore[override]  # its holder only reads
        """True while no call can succeed: not entered, left, or the connection known dead."""
        return self._client is None or getattr(self._transport, "ended", False)

    async def __aenter__(self) -> Self:
        self._transport, self._leave = transport_of(self._at, self._errlog), anyio.Event()
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(anyio.create_task_group())
            failure: Refused | None = await group.start(self._keep)
            if failure is None:
                self._exit = stack.pop_all()
                return self
        raise failure

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave.set()
        await self._exit.aclose()

    async def _keep(self, *, task_status: TaskStatus[Refused | None]) -> None:
        """Hold the connection in a task of its own, so that its death reaches no caller's task."""
        ready = False
        try:
            with anyio.fail_after(START_S) as start:
                async with Client(self._transport, mode=self._protocol) as client:
                    await self._list_tools(client.session)
                    self._client = client
                    await self._warm_up()
                    start.deadline = math.inf
                    ready = True
                    task_status.started(None)
                    await self._leave.wait()
        except Exception as error:  # noqa: BLE001 - the boundary: the SDK's transports raise anything, in groups
            cause = _leaf(error)
            if not ready:
                task_status.started(_unreachable(cause))
            _log.debug("the connection ended: %s", type(cause).__name__)
        finally:
            self._client = None

    async def list_offered(self) -> str:
        """List the server's tools anew, and return their digest; raises as every call does."""
        client = self._client
        if client is None or self.closed:
            raise _not_sent(ErrorCode.NOT_CONNECTED, "there is no connection", Retry.SAFE)
        try:
            with anyio.fail_after(self._timeout_s):
                await self._list_tools(client.session)
        except Exception as error:  # noqa: BLE001 - the boundary, as for a call
            raise _unreachable(error) from None
        return self.tools_digest

    async def _list_tools(self, session: ClientSession) -> None:
        tools: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(PAGES):
            # Not Client.list_tools, which may answer from its cache.
            page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            tools += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        tools.sort(key=lambda each: each.name)  # in whatever order they come, they are the same
        listed = to_json([each.model_dump(mode="json", exclude_none=True) for each in tools])
        self.tools_digest = hashlib.sha256(listed.encode()).hexdigest()
        self._tools = frozenset(each.name for each in tools)

    def offers(self, tool: str) -> bool:
        """Tell whether the server lists ``tool``."""
        return tool in self._tools

    async def _warm_up(self) -> None:
        """Learn what the server offers; the first call is slow, and must not be an order."""
        if "get_capabilities" in self._tools:
            with suppress(BrokerError):  # its holder asks again, and hears why
                await self.get_capabilities()

    async def stream_quotes(
        self,
        instruments: tuple[str, ...],
        on_batch: Callable[[QuoteBatch], None],
        *,
        since: str | None = None,
        for_s: float = WATCH_LIMIT_S,
    ) -> QuoteBatch:
        """Call ``on_batch`` with each batch that the server sends, for ``for_s`` seconds.

        Return the last word. ``on_batch`` must not block. Batches may be lost on the way, never
        repeated: their ``seq`` tells. Raises as every other call does.
        """
        spec = _SPECS["watch_quotes"]

        async def on_progress(
            progress: float,  # noqa: ARG001 - the batch counts itself
            total: float | None,  # noqa: ARG001
            message: str | None,
        ) -> None:
            try:
                on_batch(spec.result.validate_json(message or ""))
            except ValidationError:
                _log.warning("a batch of quotes was malformed, and left out")

        request = spec.request(instruments, since=since, for_s=for_s)
        batch: QuoteBatch = await self._call(spec, request, on_progress)
        return batch

    async def _call(
        self,
        spec: Spec,
        request: Any,  # noqa: ANN401 - the tool's types
        on_progress: ProgressFnT | None = None,
    ) -> Any:  # noqa: ANN401 - the tool's types
        arguments = spec.dump(request)
        if self.capabilities is not None:
            check_offered(request, self.capabilities)
        client = self._client
        if client is None or self.closed:
            raise _not_sent(ErrorCode.NOT_CONNECTED, "there is no connection", Retry.SAFE)
        name = offered_name(spec.name, self._tools)
        if name not in self._tools:
            raise _not_sent(ErrorCode.UNSUPPORTED, f"this server does not offer {spec.name}")
        try:
            # Not Client.call_tool: it checks results against the server's own schema once more,
            # which costs more than the adapters below and raises RuntimeError in mid-order.
            waits = max(getattr(request, "wait_s", 0), getattr(request, "for_s", 0))
            with anyio.fail_after(self._timeout_s + waits):
                result = await client.session.send_request(
                    types.CallToolRequest(
                        params=types.CallToolRequestParams(name=name, arguments=arguments)
                    ),
                    types.CallToolResult,
                    progress_callback=on_progress,
                )
        except TimeoutError:
            raise _lost(spec, arguments, f"no answer within {self._timeout_s:g} s") from None
        except MCPError as error:
            if _transport_data(error).get("sent") is False:
                raise _unreachable(error) from None
            raise _lost(spec, arguments, "the connection failed before the answer came") from None
        except Exception:  # noqa: BLE001 - the boundary: whatever the SDK makes of an answer it can't read
            raise _malformed(spec, arguments) from None
        value = _result(spec, arguments, result)
        if isinstance(value, Capabilities):
            self.capabilities = value
        return value


def _result(spec: Spec, arguments: dict[str, Any], result: types.CallToolResult) -> Any:  # noqa: ANN401 - the tool's
    if result.is_error:
        error = error_in(result) or _malformed(spec, arguments)
        error.answered = True
        raise error
    content = result.structured_content
    try:
        value = spec.result.validate_python(content)
    except ValidationError:
        raise _malformed(spec, arguments) from None
    return checked(value) if isinstance(value, OrderReport) else value


def error_in(result: types.CallToolResult) -> BrokerError | None:
    """Return the contract's error that a result tells as JSON text, None where it tells none."""
    for each in result.content:
        if isinstance(each, types.TextContent):
            try:
                return BrokerError.of(json.loads(each.text)["error"])
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
                continue
    return None


def _lost(spec: Spec, arguments: dict[str, Any], reason: str) -> BrokerError:
    """Return what a call without an answer means: nothing for a read, doubt for an order."""
    if not spec.trades:
        return _not_sent(ErrorCode.NOT_CONNECTED, f"{spec.name}: {reason}", Retry.SAFE)
    client_order_id = arguments.get("client_order_id")
    look_up = {"tool": "get_order", "args": {"client_order_id": client_order_id}}
    return OutcomeUnknown(f"{spec.name}: {reason}", verify=look_up if client_order_id else None)


def _malformed(spec: Spec, arguments: dict[str, Any]) -> BrokerError:
    if spec.trades:
        return _lost(spec, arguments, "the server's answer is malformed")
    return _not_sent(ErrorCode.INTERNAL, f"{spec.name}: the server's answer is malformed")


def _not_sent(code: ErrorCode, message: str, retry: Retry = Retry.NEVER) -> Refused:
    return Refused(code, message, outcome=Outcome.NOT_SENT, retry=retry)


def _unreachable(cause: BaseException) -> Refused:
    """Return why no request got through; never the cause's own text, which may quote a secret."""
    reason = str(_transport_data(cause).get("reason", type(cause).__name__))
    if isinstance(cause, MCPError) and cause.code == types.CONNECTION_CLOSED and not cause.data:
        reason = "it ended"
    if reason.startswith("HTTP 4"):
        return _not_sent(ErrorCode.AUTH_FAILED, f"the server turns this client away ({reason})")
    return _not_sent(ErrorCode.NOT_CONNECTED, f"the server can't be reached ({reason})", Retry.SAFE)


def _transport_data(error: BaseException) -> dict[str, Any]:
    """Return what :class:`mtquant.wire.transport.Resilient` tells of a failure, if it is one."""
    return error.data if isinstance(error, MCPError) and isinstance(error.data, dict) else {}


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _method(spec: Spec, port: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    @wraps(port)
    async def call(self: Remote, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the port
        if spec.flat:
            (request,) = (*args, *kwargs.values())
        else:
            request = spec.request(*args, **kwargs)
        return await self._call(spec, request)

    return call


for _spec in _SPECS.values():
    setattr(Remote, _spec.name, _method(_spec, getattr(Broker, _spec.name)))
