"""Run the simulated venue on loopback, under uvicorn, in this process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import anyio
import uvicorn

from mtquant.clock import Clock, SystemClock
from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant_simulators.oanda.app import application
from mtquant_simulators.oanda.settings import OandaSettings

HOST = "127.0.0.1"
_GRACE_S = 1


class _Uvicorn(uvicorn.Server):
    # Signals are its owner's: uvicorn would raise them again when it has stopped.
    capture_signals = staticmethod(nullcontext)  # type: ignore[assignment]


@asynccontextmanager
async def serving(
    settings: OandaSettings | None = None,
    clock: Clock | None = None,
    port: int = 0,
    source: Source[Any] | None = None,
) -> AsyncIterator[str]:
    """Serve within the ``async with`` and yield the base URL, such as http://127.0.0.1:4242.

    ``source`` gives the prices instead of the one that the settings name. ``port`` 0 takes a free
    one; the paths begin with /v3, streams are on the same port. Needs asyncio below anyio, which
    uvicorn runs on. Raises ConfigError where the port is taken.
    """
    settings, clock = settings or OandaSettings(), clock or SystemClock()
    listener = listen(port)
    server = _Uvicorn(config(application(settings, clock, source)))
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    async with anyio.create_task_group() as group:
        group.start_soon(_run, server, listener)
        try:
            yield url
        finally:
            server.should_exit = True
            server.force_exit = True  # streams never end by themselves


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    with anyio.CancelScope(shield=True):  # a cancelled uvicorn leaks its socket: stop it instead
        await server.serve(sockets=[listener])


def listen(port: int) -> socket.socket:
    """Return a listening socket on loopback; raises ConfigError where ``port`` is taken."""
    # Named as TCP: of an unnamed one asyncio doesn't switch Nagle's delay off, 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise ConfigError("port", f"{port}: {error.strerror}", "Take another, or 0.") from None
    listener.listen(128)
    return listener


def config(app: Any) -> uvicorn.Config:  # noqa: ANN401 - an ASGI application
    """Return how uvicorn serves ``app``: quietly, and stopping without waiting for streams."""
    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
