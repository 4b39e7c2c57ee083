"""Cues: ``subscriptions/listen`` says that a resource changed, not how.

A cue carries no data and may be lost with its stream; who hears one reads the resource. Clients of
revisions before 2026-07-28 have no such streams: they read a resource again when they want it.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.types import SubscriptionsListenRequestParams, SubscriptionsListenResult

from mtquant.agents.port import Desk
from mtquant.agents.refusal import AgentRefused
from mtquant.gateway.caller import Caller, errors_of
from mtquant.gateway.library import uri_of

LISTENERS = 64
"""More streams at once are refused."""
EACH = 4
"""More streams of one agent at once are refused."""
PAUSE_S = 1.0
"""So often the marks are looked at, for each stream."""

_log = logging.getLogger(__name__)


class Cues:
    """Watches the desk's marks for each client that listens."""

    def __init__(self, desk: Desk, caller: Caller) -> None:
        self._desk, self._caller = desk, caller
        self._listening: Counter[str] = Counter()

    async def listen(
        self, context: ServerRequestContext[Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one stream of cues until its client leaves or its agent is revoked."""
        with errors_of("what changes"):
            agent = self._caller()
            marks = await self._desk.marks(agent)
            self._admit(agent)
        bus = InMemorySubscriptionBus()
        stream = ListenHandler(bus)
        self._listening[agent] += 1
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch, agent, dict(marks), bus, stream)
                ended = await stream(context, params)
                group.cancel_scope.cancel()
        finally:
            self._listening[agent] -= 1
        return ended

    def _admit(self, agent: str) -> None:
        if self._listening[agent] >= EACH or self._listening.total() >= LISTENERS:
            raise AgentRefused(
                "rate_limited",
                f"at most {EACH} streams of one agent, and {LISTENERS} in all",
                "End one of them, or read the resources when they are wanted.",
            )

    async def _watch(
        self, agent: str, seen: dict[str, str], bus: InMemorySubscriptionBus, stream: ListenHandler
    ) -> None:
        while True:
            await anyio.sleep(PAUSE_S)
            try:
                marks = await self._desk.marks(agent)
            except AgentRefused:  # revoked meanwhile
                break
            except Exception:  # noqa: BLE001 - the boundary: the client listens anew
                _log.exception("what changed for %s can't be told", agent)
                break
            for name, mark in marks.items():
                if seen.get(name) != mark:
                    await bus.publish(ResourceUpdated(uri=uri_of(name)))
            seen = dict(marks)
        stream.close()
