"""Run a server: over this process's stdin and stdout, or over HTTP on the loopback interface."""

from __future__ import annotations

import hmac
import logging
import os
import stat
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import anyio
from anyio.abc import TaskStatus
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from mtquant.contract import Broker, Scope
from mtquant.errors import ConfigError
from mtquant.wire.listen import check_binding, names_answered, serve_app, stop_on_signal
from mtquant.wire.server import serve

TOKEN_MINIMUM = 16
"""A shorter bearer token is refused: it can be guessed."""
REQUEST_LIMIT = 1 << 20
"""A larger request, in bytes, is refused before it is read; over stdio it ends the connection."""
CONCURRENCY = 256
"""More connections and requests at once are turned away."""
_CHUNK = 1 << 16

_log = logging.getLogger(__name__)


async def run_stdio(server: Server[Any]) -> None:
    """Serve one client over stdin and stdout, until it hangs up or a signal asks to stop.

    A client that sends a line of more than 1 MiB is hung up on: it would be waiting for an answer
    to a request that nobody could read.
    """
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(stop_on_signal, group.cancel_scope.cancel)
            async with stdio_server(stdin=_stdin()) as (requests, answers):
                await server.run(requests, answers, server.create_initialization_options())
            group.cancel_scope.cancel()
    except* BrokenPipeError:
        # The client died before it read its answer: it looks the order up when it is back. What
        # is left in the buffer must not be tried once more at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def run_http(  # noqa: PLR0913 - the switches of a server
    served: Server[Any] | Broker,
    *,
    tokens: Mapping[str, frozenset[Scope]],
    port: int,
    host: str = "127.0.0.1",
    tls: tuple[str, str] | None = None,
    exposed: bool = False,
    names: Sequence[str] = (),
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve over Streamable HTTP at ``/mcp``, until a signal asks to stop.

    Each of ``tokens`` opens the tools of its scopes and no others. Beyond the loopback interface
    it is bound only with ``tls``, the files of a certificate chain and its key, or where
    ``exposed`` says that something else encrypts. ``names`` are the host names that clients may
    call it by, besides those of the loopback interface. ``task_status`` is told the port, which is
    a free one where ``port`` is 0. Raises ConfigError where one of these is wrong.
    """
    check_binding(host, tls, exposed=exposed)
    _check_tokens(tokens)
    await serve_app(
        _Guarded(serve(served) if isinstance(served, Broker) else served, tokens, names),
        port=port,
        host=host,
        tls=tls,
        concurrency=CONCURRENCY,
        task_status=task_status,
    )


class _Guarded:
    """The MCP application behind a bearer token."""

    def __init__(
        self, server: Server[Any], tokens: Mapping[str, frozenset[Scope]], more: Sequence[str]
    ) -> None:
        self._app = server.streamable_http_app(
            max_request_body_size=REQUEST_LIMIT, transport_security=names_answered(more)
        )
        from starlette.middleware.authentication import (  # noqa: PLC0415 - as uvicorn
            AuthenticationMiddleware,
        )

        self._guarded = AuthenticationMiddleware(
            AuthContextMiddleware(RequireAuthMiddleware(self._app, [])),
            backend=BearerAuthBackend(_Tokens(tokens)),
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        app = self._app if scope["type"] == "lifespan" else self._guarded
        await app(scope, receive, send)


class _Tokens:
    """Compares a bearer token with every known one, in constant time."""

    def __init__(self, tokens: Mapping[str, frozenset[Scope]]) -> None:
        self._tokens = [(token.encode(), scopes) for token, scopes in tokens.items()]

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the scopes of ``token``, or None where it is not known."""
        found = None
        for number, (known, scopes) in enumerate(self._tokens):
            if hmac.compare_digest(known, token.encode("utf-8", "surrogateescape")):
                found = AccessToken(token="", client_id=f"token {number}", scopes=sorted(scopes))
        return found


def _check_tokens(tokens: Mapping[str, frozenset[Scope]]) -> None:
    if not tokens or any(len(token) < TOKEN_MINIMUM for token in tokens):
        raise ConfigError(
            "tokens of the HTTP server",
            f"there is none, or one is shorter than {TOKEN_MINIMUM} characters",
            "Make one with: openssl rand -hex 32",
        )


def _stdin() -> Any:  # noqa: ANN401 - stdio_server only iterates over it
    """Return the lines of stdin, or None for the SDK's own reader, which knows no limit.

    The SDK reads in a thread, which no signal can wake. A pipe or socket is read here instead,
    while file descriptor 0 is pointed elsewhere so that nothing else can read from the wire.
    """
    kind = os.fstat(0).st_mode
    if sys.platform == "win32" or not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return None
    wire, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return _lines(wire)


async def _lines(wire: int) -> AsyncIterator[str]:
    rest = b""
    while True:
        await anyio.wait_readable(wire)
        chunk = os.read(wire, _CHUNK)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        if len(rest) > REQUEST_LIMIT:
            _log.error("a line of more than %d bytes: the client is hung up on", REQUEST_LIMIT)
            return
