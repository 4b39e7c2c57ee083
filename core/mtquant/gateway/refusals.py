"""What the gateway itself refused, for the trail: counted, so that a flood is few entries."""

from __future__ import annotations

import logging
from collections import Counter

import anyio

from mtquant.agents.port import Desk

KINDS = 256
"""More kinds of refusals within a second are counted together."""
PAUSE_S = 1.0
"""At most one entry of a kind in this time."""
_PATIENCE_S = 5.0

_log = logging.getLogger(__name__)


class Refusals:
    """Counts refusals, and puts them into ``desk``'s trail while :meth:`run` runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._waiting: Counter[tuple[str, str, str]] = Counter()
        self._some = anyio.Event()

    def note(self, agent: str, what: str, why: str) -> None:
        """Count an attempt of ``agent`` (empty for nobody known); ``what`` was refused, ``why``."""
        kind = (agent, what, why)
        if kind not in self._waiting and len(self._waiting) >= KINDS:
            kind = ("", "various", f"more than {KINDS} kinds of refusals within a second")
        self._waiting[kind] += 1
        self._some.set()

    async def run(self) -> None:
        """Put what is counted into the trail until cancelled, and what is left at the end."""
        try:
            while True:
                await self._some.wait()
                await self._tell()
                await anyio.sleep(PAUSE_S)
        finally:
            await self._tell()

    async def _tell(self) -> None:
        self._some = anyio.Event()
        waiting, self._waiting = self._waiting, Counter()
        with anyio.move_on_after(_PATIENCE_S, shield=True):
            for kind in list(waiting):
                await self._put(*kind, waiting[kind])
                del waiting[kind]
        if waiting:
            _log.error("%d refusals are not in the trail: it took too long", waiting.total())

    async def _put(self, agent: str, what: str, why: str, count: int) -> None:
        times = "" if count == 1 else f" ({count} times)"
        try:
            await self._desk.refuse(agent, what, why + times)
        except Exception:  # noqa: BLE001 - the trail being down must not end the gateway
            _log.exception("not in the trail: %s refused: %s%s", what, why, times)
