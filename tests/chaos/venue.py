"""The other side of a run with OANDA: the simulated OANDA, the line before it, their bad days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
from tests.chaos.oanda import Oanda
from tests.chaos.place import free_port
from tests.chaos.plan import bad_days, troubles
from tests.chaos.proxy import Proxy

_PAUSE_S = (3.0, 12.0)
"""How long the line is well; with less, hardly an order would get as far as OANDA."""
_LATE_S = (0.3, 2.0)
"""How long the line may hold requests up: see :data:`tests.chaos.brokers.LATEST_S`."""


class Venue:
    """``line`` is what both servers go through; ``mishaps`` and ``troubles`` count what was."""

    def __init__(self, seed: int) -> None:
        self.oanda = Oanda(free_port())
        self.line = Proxy(self.oanda.port)
        self.mishaps: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        self._bad_days = bad_days(seed)
        self._troubles = troubles(seed + 1, _PAUSE_S, _LATE_S)

    async def misbehave(self, flowing: Callable[[], Awaitable[None]]) -> None:
        """Let this and that go wrong at OANDA until cancelled; then all is as usual again.

        ``flowing`` returns once orders are sent and answered: what happens before hits none.
        """
        try:
            for each in self._bad_days:
                await anyio.sleep(each.after_s)
                await flowing()
                self.mishaps[each.mishap] += 1
                await self.oanda.suffer(each.faults)
                await anyio.sleep(each.for_s)
                await self.oanda.suffer({})
        finally:
            with anyio.CancelScope(shield=True):
                await self.oanda.suffer({})

    async def break_the_line(self) -> None:
        """Do to the line before OANDA what networks do, until cancelled."""
        for each in self._troubles:
            await anyio.sleep(each.after_s)
            self.troubles[each.fault] += 1
            await self.line.inflict(each.fault, each.for_s, each.delay_s)
