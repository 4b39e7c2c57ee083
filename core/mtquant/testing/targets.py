"""Where the broker under test is: a class near at hand, or a server across the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mtquant.clock import SystemClock
from mtquant.contract import Broker, Endpoint
from mtquant.ledger import Ledger
from mtquant.testing.connection import Target
from mtquant.wire import Remote, serve

NEWEST, OLDEST = "auto", "legacy"
"""The generations of the protocol: since 2026-07-28, and before."""


def near(make: Callable[[], Broker], folder: Path, *, protocol: str = NEWEST) -> Target:
    """Return a broker served in memory; after a restart it is served anew, on the same ledger.

    ``make`` is called once: the broker stands for the venue, which doesn't restart with a server.
    """
    made: list[Broker] = []

    @asynccontextmanager
    async def connect() -> AsyncIterator[Remote]:
        if not made:
            made.append(make())
        ledger = Ledger(folder / "ledger.db", SystemClock())
        try:
            async with made[0], Remote(serve(made[0], ledger=ledger), protocol=protocol) as remote:
                yield remote
        finally:
            ledger.close()

    return Target(f"near, {_named(protocol)}", connect)


def wire(endpoint: Endpoint, *, protocol: str = NEWEST) -> Target:
    """Return a server across the wire; a child process is started anew at a restart."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[Remote]:
        async with Remote(endpoint, protocol=protocol, timeout_s=30) as remote:
            yield remote

    kind = "http" if endpoint.url else "stdio"
    return Target(f"{kind}, {_named(protocol)}", connect)


def _named(protocol: str) -> str:
    return "oldest protocol" if protocol == OLDEST else "newest protocol"
