"""Run a server: over this process's stdin and stdout, or over HTTP on the loopback interface."""

from __future__ import annotations

import hmac
import ipaddress
import os
import signal
import socket
import ssl
import stat
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import anyio
from anyio.abc import TaskStatus
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings

from mtquant.contract import Broker, Scope
from mtquant.errors import ConfigError
from mtquant.wire.server import serve

TOKEN_MINIMUM = 16
"""A shorter bearer token is refused: it can be guessed."""
REQUEST_LIMIT = 1 << 20
"""A larger request, in bytes, is refused before it is read."""
CONCURRENCY = 256
"""More connections and requests at once are turned away."""
_GRACE_S = 5
_CHUNK = 1 << 16


async def run_stdio(server: Server[Any]) -> None:
    """Serve one client over stdin and stdout, until it hangs up or a signal asks to stop."""
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_on_signal, group.cancel_scope.cancel)
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
    _check_host(host, guarded=tls is not None or exposed)
    _check_tokens(tokens)
    if tls is not None:
        _check_certificate(*tls)
    import uvicorn  # noqa: PLC0415 - only servers on HTTP need it

    class _Uvicorn(uvicorn.Server):
        # uvicorn would raise the signal again when it has stopped, and so end the process
        # before its other owners have cleaned up.
        capture_signals = staticmethod(nullcontext)  # type: ignore[assignment]

    server = serve(served) if isinstance(served, Broker) else served
    listener = _listen(host, port)
    config = uvicorn.Config(
        _Guarded(server, tokens, names),
        ssl_certfile=tls and tls[0],
        ssl_keyfile=tls and tls[1],
        limit_concurrency=CONCURRENCY,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    http = _Uvicorn(config)

    def stop() -> None:
        http.should_exit = True

    async with anyio.create_task_group() as group:
        group.start_soon(_stop_on_signal, stop)
        task_status.started(listener.getsockname()[1])
        with anyio.CancelScope(shield=True):  # a cancelled uvicorn leaks its socket: stop it
            await http.serve(sockets=[listener])
        group.cancel_scope.cancel()


class _Guarded:
    """The MCP application behind a bearer token."""

    def __init__(
        self, server: Server[Any], tokens: Mapping[str, frozenset[Scope]], more: Sequence[str]
    ) -> None:
        names = ("127.0.0.1", "localhost", "[::1]", *more)
        self._app = server.streamable_http_app(
            max_request_body_size=REQUEST_LIMIT,
            transport_security=TransportSecuritySettings(
                allowed_hosts=[*more, *(f"{name}:*" for name in names)],
                allowed_origins=[
                    *(f"https://{name}" for name in more),
                    *(f"{kind}://{name}:*" for kind in ("http", "https") for name in names),
                ],
            ),
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


def _check_host(host: str, *, guarded: bool) -> None:
    if guarded or host == "localhost" or _is_loopback(host):
        return
    raise ConfigError(
        "host of the HTTP server",
        f"{host!r} is not a loopback address, and tokens would cross the network in clear",
        "Give a certificate and its key, or use 127.0.0.1 behind an SSH tunnel or a TLS proxy;"
        " only if something else encrypts, expose it explicitly",
    )


def _check_certificate(chain: str, key: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "tls of the HTTP server",
            f"{chain!r} and {key!r} can't be used: {error.strerror or type(error).__name__}",
            "Give the PEM files of a certificate chain and of its key",
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    # With its protocol named: asyncio turns Nagle's algorithm off only then, and with it on, each
    # call takes 40 ms. socket.create_server leaves the protocol 0.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":  # there it would let two servers share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen()
    return listener


async def _stop_on_signal(stop: Callable[[], None]) -> None:
    """Call ``stop`` when a signal asks for it, or when this task is cancelled."""
    try:
        if sys.platform == "win32":  # asyncio knows no signals there: Ctrl-C raises instead
            await anyio.sleep_forever()
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                return
    finally:
        stop()


def _stdin() -> Any:  # noqa: ANN401 - stdio_server only iterates over it
    """Return the lines of stdin, or None for the SDK's own reader.

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
