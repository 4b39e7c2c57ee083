"""Listen on a port: which hosts may be bound, which names are answered to, and until when."""

from __future__ import annotations

import ipaddress
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import anyio
from anyio.abc import TaskStatus
from mcp.server.transport_security import TransportSecuritySettings

from mtquant.errors import ConfigError

_GRACE_S = 5


def check_binding(host: str, tls: tuple[str, str] | None, *, exposed: bool) -> None:
    """Raise ConfigError where tokens would cross a network in clear, or ``tls`` can't be used."""
    if not (tls is not None or exposed or host == "localhost" or _is_loopback(host)):
        raise ConfigError(
            "host of the HTTP server",
            f"{host!r} is not a loopback address, and tokens would cross the network in clear",
            "Give a certificate and its key, or use 127.0.0.1 behind an SSH tunnel or a TLS proxy;"
            " only if something else encrypts, expose it explicitly",
        )
    if tls is not None:
        _check_certificate(*tls)


def names_answered(more: Sequence[str]) -> TransportSecuritySettings:
    """Return the hosts and origins that are answered: those of the loopback, and ``more``."""
    names = ("127.0.0.1", "localhost", "[::1]", *more)
    return TransportSecuritySettings(
        allowed_hosts=[*more, *(f"{name}:*" for name in names)],
        allowed_origins=[
            *(f"https://{name}" for name in more),
            *(f"{kind}://{name}:*" for kind in ("http", "https") for name in names),
        ],
    )


async def serve_app(  # noqa: PLR0913 - the switches of a server
    app: Any,  # noqa: ANN401 - an ASGI application
    *,
    port: int,
    host: str,
    tls: tuple[str, str] | None,
    concurrency: int,
    signals: bool = True,
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` until it is cancelled or, with ``signals``, until one asks to stop.

    More than ``concurrency`` connections at once are turned away with 503. ``task_status`` is told
    the port, which is a free one where ``port`` is 0.
    """
    import uvicorn  # noqa: PLC0415 - only servers on HTTP need it

    class _Uvicorn(uvicorn.Server):
        # uvicorn would raise the signal again when it has stopped, and so end the process
        # before its other owners have cleaned up.
        capture_signals = staticmethod(nullcontext)  # type: ignore[assignment]

    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        ssl_certfile=tls and tls[0],
        ssl_keyfile=tls and tls[1],
        limit_concurrency=concurrency,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a client could name any address as its own
        timeout_graceful_shutdown=_GRACE_S,
    )
    http = _Uvicorn(config)

    def stop() -> None:
        http.should_exit = True

    async with anyio.create_task_group() as group:
        group.start_soon(stop_on_signal if signals else _stop_on_cancel, stop)
        task_status.started(listener.getsockname()[1])
        with anyio.CancelScope(shield=True):  # a cancelled uvicorn leaks its socket: stop it
            await http.serve(sockets=[listener])
        group.cancel_scope.cancel()


async def stop_on_signal(stop: Callable[[], None]) -> None:
    """Call ``stop`` when a signal asks for it, or when this task is cancelled."""
    try:
        if sys.platform == "win32":  # asyncio knows no signals there: Ctrl-C raises instead
            await anyio.sleep_forever()
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                return
    finally:
        stop()


async def _stop_on_cancel(stop: Callable[[], None]) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        stop()


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
