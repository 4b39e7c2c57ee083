"""The prices of a paper account: recorded bars or ticks, on a clock moved or passing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar

from mtquant.clock import SECOND, Clock
from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant.exchange import Exchange, PaperSettings
from mtquant.model import Bars, PriceSide, Ticks

_Series = TypeVar("_Series", Bars, Ticks)


@dataclass(frozen=True, slots=True)
class Step:
    """One bar or tick becoming known: of ``symbol``, at ``index``, at ``time``."""

    time: int
    symbol: str
    index: int


class Market:
    """The bars of every symbol, and its ticks where they are recorded.

    A bar becomes known when it has ended, a tick when it comes. Orders are matched against ticks
    where there are some, else against bid and ask bars, else against mids and the spread.
    """

    def __init__(self, settings: PaperSettings, source: Source[Any]) -> None:
        self.symbols = tuple(settings.symbols or source.symbols())
        self.bars: dict[str, Bars] = {symbol: source.bars(symbol) for symbol in self.symbols}
        for symbol, bars in self.bars.items():
            if not len(bars):
                raise ConfigError("prices", f"has no bars of {symbol}", "Choose another range.")
        self._sides = {
            symbol: sides for symbol in self.symbols if (sides := source.sides(symbol)) is not None
        }
        self.ticks: dict[str, Ticks] = {
            symbol: ticks
            for symbol in self.symbols
            if (ticks := source.ticks(symbol)) is not None and len(ticks)
        }
        self.timeframe = source.timeframe()
        self._length = self.timeframe.seconds * SECOND
        self._ends: dict[str, list[int]] = {}
        self._moments: dict[str, list[int]] = {}
        self._note_times()
        self.begin = self._begin(settings.history)

    def _note_times(self) -> None:
        """Note when each bar ends, and when what orders are matched against becomes known."""
        self._ends = {
            symbol: [opened + self._length for opened in bars.time]
            for symbol, bars in self.bars.items()
        }
        self._moments = self._ends | {
            symbol: list(ticks.time) for symbol, ticks in self.ticks.items()
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
        """The time at which the last price is known."""
        return max(moments[-1] for moments in self._moments.values())

    def shift(self, by: int) -> None:
        """Move every recorded time by ``by`` nanoseconds."""
        self.bars = {symbol: _later(bars, by) for symbol, bars in self.bars.items()}
        self._sides = {
            symbol: (_later(bid, by), _later(ask, by)) for symbol, (bid, ask) in self._sides.items()
        }
        self.ticks = {symbol: _later(ticks, by) for symbol, ticks in self.ticks.items()}
        self._note_times()
        self.begin += by

    def steps(self, after: int, to: int) -> Iterator[Step]:
        """Return what becomes known after ``after`` and until ``to``, by time."""
        found = [
            Step(moments[index], symbol, index)
            for symbol, moments in sorted(self._moments.items())
            for index in range(bisect_right(moments, after), bisect_right(moments, to))
        ]
        return iter(sorted(found, key=lambda step: (step.time, step.symbol)))

    def known(self, symbol: str, time: int) -> int:
        """Return how many bars of ``symbol`` have ended by ``time``."""
        return bisect_right(self._ends[symbol], time)

    def last(self, symbol: str, time: int) -> Step | None:
        """Return what was known last of ``symbol`` at ``time``, None where nothing was."""
        moments = self._moments[symbol]
        index = bisect_right(moments, time) - 1
        return Step(moments[index], symbol, index) if index >= 0 else None

    def feed(self, exchange: Exchange, step: Step) -> None:
        """Match orders against what becomes known at ``step``."""
        symbol, index = step.symbol, step.index
        if symbol in self.ticks:
            exchange.on_quote(symbol, *self._tick(exchange, step), step.time)
        elif symbol in self._sides:
            bid, ask = (_prices(each, index) for each in self._sides[symbol])
            exchange.on_sides(symbol, bid, ask, step.time)
        else:
            exchange.on_bar(symbol, *_prices(self.bars[symbol], index), step.time)

    def quote(self, exchange: Exchange, step: Step) -> None:
        """Set the price of ``step``, matching nothing."""
        symbol, index = step.symbol, step.index
        if symbol in self.ticks:
            ticks = self.ticks[symbol]
            exchange.set_sides(symbol, ticks.bid[index], ticks.ask[index], step.time)
        elif symbol in self._sides:
            bid, ask = self._sides[symbol]
            exchange.set_sides(symbol, bid.close[index], ask.close[index], step.time)
        else:
            exchange.set_quote(symbol, self.bars[symbol].close[index], step.time)

    def _tick(self, exchange: Exchange, step: Step) -> tuple[Decimal, Decimal]:
        self.quote(exchange, step)
        quote = exchange.quotes[step.symbol]
        return quote.bid, quote.ask

    def recorded(self, symbol: str, price: PriceSide) -> Bars | None:
        """Return the bars of ``symbol`` made of ``price``, None where they aren't recorded."""
        if price is PriceSide.MID:
            return self.bars[symbol]
        sides = self._sides.get(symbol)
        return {PriceSide.BID: sides[0], PriceSide.ASK: sides[1]}.get(price) if sides else None

    def sides(self, symbol: str) -> str:
        """Return which prices of ``symbol`` are recorded, in words."""
        return "mid, bid and ask" if symbol in self._sides else "mid"

    def next_end(self, time: int) -> int | None:
        """Return when the next price becomes known, None after the last."""
        nexts = [
            moments[index]
            for moments in self._moments.values()
            if (index := bisect_right(moments, time)) < len(moments)
        ]
        return min(nexts, default=None)


def _prices(bars: Bars, index: int) -> tuple[float, float, float, float]:
    return bars.open[index], bars.high[index], bars.low[index], bars.close[index]


def _later(series: _Series, by: int) -> _Series:
    return replace(series, time=tuple(time + by for time in series.time))


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
