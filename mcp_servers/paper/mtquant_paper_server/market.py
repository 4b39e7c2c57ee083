"""The prices of a paper account: recorded bars on a clock that the client moves or that passes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mtquant.clock import SECOND, Clock
from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant.exchange import PaperSettings
from mtquant.model import Bars


@dataclass(frozen=True, slots=True)
class Step:
    """One bar becoming known: of ``symbol``, at ``index``, at ``time``."""

    time: int
    symbol: str
    index: int


class Market:
    """The bars of every symbol. A bar becomes known when it has ended."""

    def __init__(self, settings: PaperSettings, source: Source[Any]) -> None:
        symbols = settings.symbols or tuple(source.symbols())
        self.bars: dict[str, Bars] = {symbol: source.bars(symbol) for symbol in symbols}
        for symbol, bars in self.bars.items():
            if not len(bars):
                raise ConfigError("prices", f"has no bars of {symbol}", "Choose another range.")
        self.timeframe = source.timeframe()
        self._length = self.timeframe.seconds * SECOND
        self._ends = self._known()
        self.begin = self._begin(settings.history)

    def _known(self) -> Mapping[str, list[int]]:
        return {
            symbol: [opened + self._length for opened in bars.time]
            for symbol, bars in self.bars.items()
        }

    def _begin(self, history: int) -> int:
        """Return the time at which the account opens: when ``history`` bars have ended."""
        firsts = []
        for symbol, ends in self._ends.items():
            if history >= len(ends):
                raise ConfigError(
                    "history", f"{history} bars are all that {symbol} has", "Take fewer."
                )
            firsts.append(ends[history - 1] if history else ends[0] - self._length)
        return max(firsts) if history else min(firsts)

    @property
    def end(self) -> int:
        """The time at which the last bar has ended."""
        return max(ends[-1] for ends in self._ends.values())

    def shift(self, by: int) -> None:
        """Move every recorded time by ``by`` nanoseconds."""
        self.bars = {
            symbol: replace(bars, time=tuple(time + by for time in bars.time))
            for symbol, bars in self.bars.items()
        }
        self._ends = self._known()
        self.begin += by

    def steps(self, after: int, to: int) -> Iterator[Step]:
        """Return the bars that become known after ``after`` and until ``to``, by time."""
        found = [
            Step(self._ends[symbol][index], symbol, index)
            for symbol in sorted(self.bars)
            for index in range(self.known(symbol, after), self.known(symbol, to))
        ]
        return iter(sorted(found, key=lambda step: (step.time, step.symbol)))

    def known(self, symbol: str, time: int) -> int:
        """Return how many bars of ``symbol`` have ended by ``time``."""
        return bisect_right(self._ends[symbol], time)

    def next_end(self, time: int) -> int | None:
        """Return when the next bar ends, None after the last."""
        nexts = [
            ends[self.known(symbol, time)]
            for symbol, ends in self._ends.items()
            if self.known(symbol, time) < len(ends)
        ]
        return min(nexts, default=None)


@dataclass(frozen=True, slots=True)
class PassingClock:
    """Market time that passes ``speed`` times as fast as the machine's, from an origin on."""

    clock: Clock
    opened: int
    begin: int
    speed: float

    def now(self) -> int:
        """Return the market's time in nanoseconds UTC."""
        return self.begin + round((self.clock.now() - self.opened) * self.speed)

    def seconds_until(self, time: int) -> float:
        """Return how many real seconds pass until the market's ``time``."""
        return max(0.0, (time - self.now()) / SECOND / self.speed)
