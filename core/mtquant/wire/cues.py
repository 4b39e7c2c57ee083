"""Cues for slow facts: ``subscriptions/listen`` says that the account changed, not how.

A cue carries no data and may be lost with its stream; who hears one, or a stream's end, asks
get_changes, whose cursor neither skips nor repeats.
"""

from __future__ import annotations

from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.types import SubscriptionsListenRequestParams, SubscriptionsListenResult

from mtquant.contract import Broker, tools_of
from mtquant.errors import BrokerError, ErrorCode, Outcome, Refused, Retry

ACCOUNT = "mtquant://account"
"""The resource that is cued whenever an order, an execution or a position changed."""
LISTENERS = 32
"""More streams at once are refused."""
PAUSE_S = 1.0
"""At most one cue in this time."""
WAIT_S = 25.0


class Cues:
    """Watches ``broker`` for each client that listens."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._offered = "get_changes" in tools_of(type(broker))
        self._listening = 0

    async def listen(
        self, context: ServerRequestContext[Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one stream of cues until its client leaves."""
        if self._listening >= LISTENERS:
            raise Refused(
                ErrorCode.RATE_LIMITED,
                f"at most {LISTENERS} listeners",
                outcome=Outcome.NOT_SENT,
                retry=Retry.SAFE,
            )
        bus = InMemorySubscriptionBus()
        self._listening += 1
        try:
            async with anyio.create_task_group() as group:
                if self._offered:
                    group.start_soon(self._watch, bus)
                ended = await ListenHandler(bus)(context, params)
                group.cancel_scope.cancel()
        finally:
            self._listening -= 1
        return ended

    async def _watch(self, bus: InMemorySubscriptionBus) -> None:
        cursor: str | None = None
        newest = False
        while True:
            try:
                changes = await self._broker.get_changes(cursor, wait_s=WAIT_S if newest else 0)
            except BrokerError:
                await anyio.sleep(PAUSE_S)
                continue
            cursor = changes.cursor
            if newest and (changes.orders or changes.fills):
                await bus.publish(ResourceUpdated(uri=ACCOUNT))
                await anyio.sleep(PAUSE_S)
            newest = newest or not changes.more
