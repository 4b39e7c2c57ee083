"""The account on a simulator whose time stands still until its client moves it: replays.

OANDA itself has no such clock. The settings name a simulator on this machine's loopback interface,
and it must say that it is stepped before anything else is asked of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2

from mtquant.clock import Clock, Random, format_time
from mtquant.errors import ConfigError, ErrorCode, Outcome, Refused, Retry
from mtquant.model import Account, Advanced, Capabilities, Health
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.settings import OandaSettings
from mtquant_oanda_server.words import moment

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _OfClock:
    """A request to the simulator's own clock, which no class of oandapyV20 knows."""

    method: str = "GET"
    data: Json = field(default_factory=dict)

    def __str__(self) -> str:
        return "admin/clock"


class SteppedClock:
    """The simulator's time as it was last told; durations are the machine's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.told: int | None = None

    def now(self) -> int:
        """Return the simulator's time in nanoseconds UTC, 0 before it was told."""
        return self.told or 0

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds: a line breaks in real time."""
        return self._clock.monotonic()


class SteppedOanda(OandaBroker):
    """An account of a stepped simulator, as :class:`OandaBroker`, with the tool advance_clock.

    Raises ConfigError where ``settings`` don't say that the clock is stepped, or name no simulator.
    """

    def __init__(
        self,
        settings: OandaSettings,
        token: str,
        clock: Clock,
        folder: Path | None = None,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        rng: Random | None = None,
    ) -> None:
        if not settings.stepped:
            raise ConfigError(
                "settings.clock", f"{settings.clock!r} passes by itself", "Write 'stepped'."
            )
        self._simulated = SteppedClock(clock)
        super().__init__(settings, token, self._simulated, folder, transport=transport, rng=rng)

    async def _ready(self) -> None:
        if self._simulated.told is None:
            try:
                told = await self.venue.ask(_OfClock())
            except Refused as error:
                if error.code is ErrorCode.NOT_FOUND:
                    raise _passes(self._settings.rest) from None
                raise
            if told.get("clock") != "stepped":
                raise _passes(self._settings.rest)
            self._simulated.told = moment(told.get("time"))
        await super()._ready()

    def _now(self) -> int:
        return self._simulated.now()

    async def get_health(self) -> Health:
        # Heartbeats tell of the same time that the clock does: neither is ahead.
        return replace(await super().get_health(), time_offset_s=None)

    async def get_capabilities(self) -> Capabilities:
        return replace(await super().get_capabilities(), clock="stepped")

    async def advance_clock(self, to: int) -> Advanced:
        await self._ready()
        moved = await self.venue.ask(_OfClock("PUT", {"time": format_time(to)}))
        self._simulated.told = moment(moved["time"])
        account = await self._account_after(moved)
        for each in moved["prices"]:
            self.prices.put(each)
        return Advanced(
            time=self._simulated.told,
            cursor=str(self.diary.book.last),
            account=account,
            quotes=self.prices.known,
        )

    async def _account_after(self, moved: Json) -> Account:
        """Return the account as a move has left it, with all that happened on the way in the book.

        Where nothing happened, the answer to the move says all there is to say.
        """
        name = self._settings.account_id
        last = int(moved["lastTransactionIDs"][name])
        if self.diary.book.last == last:
            return self._account(self.diary.stand(moved["states"][name]))
        account = await self.get_account()
        if self.diary.book.last < last:
            await self.diary.catch_up()
        return account


def _passes(url: str) -> Refused:
    return Refused(
        ErrorCode.UNSUPPORTED,
        f"settings.clock: 'stepped', and what answers at {url} doesn't say that it is; start the"
        ' simulator with {"clock": "stepped"} in its --settings, or leave clock out here',
        outcome=Outcome.NOT_SENT,
        retry=Retry.AFTER_FIX,
    )
