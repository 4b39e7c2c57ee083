"""The gateway over Streamable HTTP: who comes in, how often, and how much at once."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any

import anyio
from anyio.abc import TaskStatus
from mcp import types
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecurityMiddleware
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mtquant.agents.port import Desk
from mtquant.agents.tool import AgentTool
from mtquant.errors import MtquantError
from mtquant.gateway.caller import caller_of
from mtquant.gateway.knocks import Knocks
from mtquant.gateway.refusals import Refusals
from mtquant.gateway.server import Calls, over
from mtquant.gateway.sessions import EACH, IDLE_S, SESSIONS, Sessions
from mtquant.wire.listen import check_binding, names_answered, serve_app

PATH = "/mcp"
METADATA = f"/.well-known/oauth-protected-resource{PATH}"
REQUEST_LIMIT = 1 << 16
"""A larger request, in bytes, is refused before it is read."""
CONCURRENCY = 768
"""More connections and requests at once are turned away: a stream for each session, and others."""
REQUESTS = 96
"""More requests of one agent at once, streams among them, are turned away."""
_ERRORS = 400
"""Where the codes of errors begin in HTTP."""
_SESSION = "mcp-session-id"
_BEARER = "bearer "
_Scope = Any
_Receive = Any
_Send = Any
_Message = MutableMapping[str, Any]

Authenticate = Callable[[str], str | None]
"""Returns the name of the agent whose token this is; None where it is nobody's."""

_log = logging.getLogger(__name__)


async def run_gateway_http(  # noqa: PLR0913 - the switches of a server
    desk: Desk,
    tools: Mapping[str, AgentTool],
    *,
    authenticate: Authenticate,
    port: int,
    host: str = "127.0.0.1",
    tls: tuple[str, str] | None = None,
    exposed: bool = False,
    names: Sequence[str] = (),
    issuer: str | None = None,
    dry_run: bool = False,
    signals: bool = True,
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``desk`` over Streamable HTTP at ``/mcp``, until cancelled or a signal asks to stop.

    Each request needs a bearer token; ``authenticate`` is asked every time, so that a token that
    is revoked is refused at the next request. Beyond the loopback interface it is bound only with
    ``tls``, the files of a certificate chain and its key, or where ``exposed`` says that something
    else encrypts. ``names`` are the host names that clients may call it by, besides those of the
    loopback interface. ``issuer`` is the URL of an OAuth 2.1 authorization server: it is named in
    the metadata of this resource (RFC 9728), and nothing more; its tokens open something only if
    ``authenticate`` knows them. ``signals`` is False inside an engine, which has its own.
    ``task_status`` is told the port, which is a free one where ``port`` is 0. Raises ConfigError
    where the host or the certificate is wrong.
    """
    check_binding(host, tls, exposed=exposed)
    refusals = Refusals(desk)
    calls = Calls(desk, tools, caller_of(None), refusals, dry_run=dry_run)
    await serve_app(
        Gate(calls, authenticate, names=names, issuer=issuer, encrypted=tls is not None),
        port=port,
        host=host,
        tls=tls,
        concurrency=CONCURRENCY,
        signals=signals,
        task_status=task_status,
    )


class Gate:
    """The ASGI application: nothing of a request is looked at before its sender is known."""

    def __init__(
        self,
        calls: Calls,
        authenticate: Authenticate,
        *,
        names: Sequence[str] = (),
        issuer: str | None = None,
        encrypted: bool = False,
    ) -> None:
        security = names_answered(names)
        self._security = TransportSecurityMiddleware(security)
        self._refusals = calls.refusals
        self._authenticate = authenticate
        self._issuer, self._encrypted, self._names = issuer, encrypted, frozenset(names)
        self._app = over(calls).streamable_http_app(
            streamable_http_path=PATH,
            max_request_body_size=REQUEST_LIMIT,
            session_idle_timeout=IDLE_S,
            max_sessions=SESSIONS,
            transport_security=security,
        )
        self._inside = AuthContextMiddleware(self._app)
        self._knocks = Knocks(anyio.current_time)
        self._sessions = Sessions(anyio.current_time)
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        refused = await self._security.validate_request(request)
        if refused is not None:
            why = f"a host or origin that is not ours, from {_address(request)}"
            self._refusals.note("", "request", why)
        elif scope["path"] == METADATA and self._issuer:
            refused = JSONResponse(self._metadata(request))
        if refused is not None:
            await refused(scope, receive, send)
            return
        agent = self._agent(request)
        if agent is None:
            await self._turned_away(request)(scope, receive, send)
            return
        user = AuthenticatedUser(AccessToken(token="", client_id=agent, scopes=[]))
        await self._let_in(agent, {**scope, "user": user}, receive, send)

    def _agent(self, request: Request) -> str | None:
        header = request.headers.get("authorization", "")
        if not header.lower().startswith(_BEARER):
            return None
        try:
            return self._authenticate(header[len(_BEARER) :].strip())
        except Exception as error:  # noqa: BLE001 - who can't be known is nobody
            why = str(error) if isinstance(error, MtquantError) else type(error).__name__
            _log.error("nobody can be let in: %s", why)
            return None

    def _turned_away(self, request: Request) -> Response:
        address = _address(request)
        wait = self._knocks.failed(address)
        self._refusals.note("", "authentication", f"no token of an agent, from {address}")
        if wait:
            return _too_many(
                "too many requests without a valid token from this address", math.ceil(wait)
            )
        challenge = 'Bearer error="invalid_token", error_description="A valid token is needed"'
        if self._issuer:
            challenge += f', resource_metadata="{self._base(request)}{METADATA}"'
        body = {"error": "invalid_token", "error_description": "A valid token is needed"}
        return JSONResponse(body, 401, {"WWW-Authenticate": challenge})

    async def _let_in(self, agent: str, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if self._under_way[agent] >= REQUESTS:
            self._refusals.note(agent, "request", f"more than {REQUESTS} at once")
            problem = f"{REQUESTS} requests of this agent are under way already; wait for answers"
            await _too_many(problem, 1)(scope, receive, send)
            return
        self._under_way[agent] += 1
        try:
            await self._in_session(agent, scope, receive, self._telling(agent, send))
        finally:
            self._under_way[agent] -= 1
            if not self._under_way[agent]:
                del self._under_way[agent]

    def _telling(self, agent: str, send: _Send) -> _Send:
        """Return ``send`` that puts requests which the SDK refuses into the trail."""

        async def watched(message: _Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= _ERRORS:
                status = HTTPStatus(message["status"])
                self._refusals.note(agent, "request", f"{status.value} {status.phrase}")
            await send(message)

        return watched

    async def _in_session(self, agent: str, scope: _Scope, receive: _Receive, send: _Send) -> None:
        headers = Headers(scope=scope)
        key = headers.get(_SESSION)
        version = headers.get("mcp-protocol-version")
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._inside(scope, receive, send)
        elif key is not None:
            await self._within(agent, key, scope, receive, send)
        elif self._sessions.full(agent):
            self._refusals.note(agent, "session", f"more than {EACH}")
            problem = (
                f"{EACH} sessions of this agent are open already; end some with DELETE, or speak"
                " protocol 2026-07-28, which has none"
            )
            await _too_many(problem, 60)(scope, receive, send)
        else:
            await self._opening(agent, scope, receive, send)

    async def _opening(self, agent: str, scope: _Scope, receive: _Receive, send: _Send) -> None:
        pending = True

        async def watched(message: _Message) -> None:
            nonlocal pending
            if message["type"] == "http.response.start":
                good = message["status"] < _ERRORS
                key = Headers(raw=message["headers"]).get(_SESSION) if good else None
                pending = False
                self._sessions.opened(agent, key)
            await send(message)

        self._sessions.opening(agent)
        try:
            await self._inside(scope, receive, watched)
        finally:
            if pending:
                self._sessions.opened(agent, None)

    async def _within(
        self, agent: str, key: str, scope: _Scope, receive: _Receive, send: _Send
    ) -> None:
        gone = False

        async def watched(message: _Message) -> None:
            nonlocal gone
            if message["type"] == "http.response.start":
                ended = scope["method"] == "DELETE" and message["status"] == 200  # noqa: PLR2004
                gone = ended or message["status"] == 404  # noqa: PLR2004 - no such session
            await send(message)

        self._sessions.begin(agent, key)
        try:
            await self._inside(scope, receive, watched)
        finally:
            self._sessions.end(agent, key, gone=gone)

    def _metadata(self, request: Request) -> dict[str, Any]:
        return {
            "resource": f"{self._base(request)}{PATH}",
            "authorization_servers": [self._issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": "mtquant gateway",
        }

    def _base(self, request: Request) -> str:
        """Return the address by which this client called: its host was checked already."""
        host = request.headers["host"]
        named = bool({host, host.rpartition(":")[0]} & self._names)
        return f"{'https' if self._encrypted or named else 'http'}://{host}"


def _address(request: Request) -> str:
    return request.client.host if request.client else "an unknown address"


def _too_many(problem: str, wait_s: int) -> Response:
    error = types.JSONRPCError(
        jsonrpc="2.0", id=None, error=types.ErrorData(code=types.INVALID_REQUEST, message=problem)
    )
    body = error.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(body, 429, {"Retry-After": str(wait_s)}, "application/json")
