"""The prices of a paper account: recorded bars or ticks, on a clock moved or passing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant.exchange import PaperSettings, Recorded, Step
from mtquant.model import Bars, PriceSide


class Market(Recorded):
    """The recorded prices, and the time at which the account opens, ``begin``."""

    def __init__(self, settings: PaperSettings, source: Source[Any]) -> None:
        super().__init__(settings.symbols, source)
        self.begin = self._begin(settings.history)

    def _begin(self, history: int) -> int:
        """Return the time at which the account opens: when ``history`` bars have ended."""
        firsts = []
        for symbol, ends in self.ends.items():
            if history >= len(ends):
                raise ConfigError(
                    "history", f"{history} bars are all that {symbol} has", "Take fewer."
                )
            firsts.append(ends[history - 1] if history else ends[0] - self.length)
        return max(firsts) if history else min(firsts)

    @property
    def end(self) -> int:
        """The time at which the last price is known."""
        return max(moments[-1] for moments in self.moments.values())

    def shift(self, by: int) -> None:
        """Move every recorded time, and the opening, by ``by`` nanoseconds."""
        super().shift(by)
        self.begin += by

    def steps(self, after: int, to: int) -> Iterator[Step]:
        """Return what becomes known after ``after`` and until ``to``, by time."""
        found = [
            Step(moments[index], symbol, index)
            for symbol, moments in sorted(self.moments.items())
            for index in range(bisect_right(moments, after), bisect_right(moments, to))
        ]
        return iter(sorted(found))

    def known(self, symbol: str, time: int) -> int:
        """Return how many bars of ``symbol`` have ended by ``time``."""
        return bisect_right(self.ends[symbol], time)

    def last(self, symbol: str, time: int) -> Step | None:
        """Return what was known last of ``symbol`` at ``time``, None where nothing was."""
        moments = self.moments[symbol]
        index = bisect_right(moments, time) - 1
        return Step(moments[index], symbol, index) if index >= 0 else None

    def recorded(self, symbol: str, price: PriceSide) -> Bars | None:
        """Return the bars of ``symbol`` made of ``price``, None where they aren't recorded."""
        if price is PriceSide.MID:
            return self.bars[symbol]
        sides = self.sides.get(symbol)
        return {PriceSide.BID: sides[0], PriceSide.ASK: sides[1]}.get(price) if sides else None

    def in_words(self, symbol: str) -> str:
        """Return which prices of ``symbol`` are recorded, in words."""
        return "mid, bid and ask" if symbol in self.sides else "mid"

    def next_end(self, time: int) -> int | None:
        """Return when the next price becomes known, None after the last."""
        nexts = [
            moments[index]
            for moments in self.moments.values()
            if (index := bisect_right(moments, time)) < len(moments)
        ]
        return min(nexts, default=None)
