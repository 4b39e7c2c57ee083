"""The recorded prices of the venue, and the time at which each becomes known."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant.exchange import Recorded, Step
from mtquant_simulators.oanda.settings import OandaSettings


class Tape(Recorded):
    """The recorded prices as steps in their order.

    ``begin`` is when the venue opens, ``end`` when the last price is known; nanoseconds UTC.
    """

    def __init__(self, settings: OandaSettings, source: Source[Any], now: int) -> None:
        super().__init__(settings.symbols, source)
        self.begin = self._opening(settings.history)
        if settings.rebase and not settings.stepped:
            # By whole bars, so that they still begin where bars of their length begin.
            self.shift((now - self.begin) // self.length * self.length)
            self.begin = now
        self.steps = sorted(
            Step(time, symbol, index)
            for symbol in self.symbols
            for index, time in enumerate(self.moments[symbol])
        )
        self._times = [each.time for each in self.steps]
        self.end = self._times[-1]

    def _opening(self, history: int) -> int:
        shortest = min(len(bars) for bars in self.bars.values())
        if history >= shortest:
            raise ConfigError(
                "history", f"{history} bars: the prices have {shortest}", "Take fewer."
            )
        # A venue that has no price of an instrument could answer nothing.
        first = max(moments[0] for moments in self.moments.values())
        known = max(history, 1)
        ended = max(bars.time[known - 1] + self.length for bars in self.bars.values())
        return max(first, ended)

    def until(self, time: int) -> int:
        """Return how many steps are known at ``time``."""
        return bisect_right(self._times, time)
