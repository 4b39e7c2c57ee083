"""The recorded prices of the venue, and the time at which each becomes known."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mtquant.clock import SECOND, Clock
from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant.exchange import Exchange
from mtquant.model import Bars, Ticks
from mtquant_simulators.oanda.settings import OandaSettings

_Series = TypeVar("_Series", Bars, Ticks)


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One bar or tick becoming known at ``time``: the ``index``-th of ``symbol``."""

    time: int
    symbol: str
    index: int


class Tape:
    """Every symbol's bars, and its ticks where they are recorded, as steps in their order.

    ``begin`` is when the venue opens, ``end`` when the last price is known; nanoseconds UTC.
    """

    def __init__(self, settings: OandaSettings, source: Source[Any], now: int) -> None:
        self.symbols = tuple(settings.symbols or source.symbols())
        self.length = source.timeframe().seconds * SECOND
        self.bars = {symbol: source.bars(symbol) for symbol in self.symbols}
        self.sides = {each: both for each in self.symbols if (both := source.sides(each))}
        self.ticks = {each: ticks for each in self.symbols if (ticks := source.ticks(each))}
        for symbol, bars in self.bars.items():
            if not len(bars):
                raise ConfigError("prices", f"has no bars of {symbol}", "Choose another range.")
        self.begin = self._opening(settings.history)
        if settings.rebase:
            # By whole bars, so that they still begin where bars of their length begin.
            self._shift((now - self.begin) // self.length * self.length)
            self.begin = now
        self.steps = sorted(
            Step(time, symbol, index)
            for symbol in self.symbols
            for index, time in enumerate(self._moments(symbol))
        )
        self._times = [each.time for each in self.steps]
        self.end = self._times[-1]

    def _opening(self, history: int) -> int:
        shortest = min(len(bars) for bars in self.bars.values())
        if history >= shortest:
            raise ConfigError(
                "history", f"{history} bars: the prices have {shortest}", "Take fewer."
            )
        known = max(history, 1)  # a venue without a single price could answer nothing
        return max(bars.time[known - 1] + self.length for bars in self.bars.values())

    def _shift(self, by: int) -> None:
        self.bars = {symbol: _later(bars, by) for symbol, bars in self.bars.items()}
        self.sides = {
            symbol: (_later(bid, by), _later(ask, by)) for symbol, (bid, ask) in self.sides.items()
        }
        self.ticks = {symbol: _later(ticks, by) for symbol, ticks in self.ticks.items()}

    def _moments(self, symbol: str) -> list[int]:
        if symbol in self.ticks:
            return list(self.ticks[symbol].time)
        return [opened + self.length for opened in self.bars[symbol].time]

    def until(self, time: int) -> int:
        """Return how many steps are known at ``time``."""
        return bisect_right(self._times, time)

    def feed(self, exchange: Exchange, step: Step) -> None:
        """Match the orders of ``exchange`` against what becomes known at ``step``."""
        symbol, index = step.symbol, step.index
        if symbol in self.ticks:
            self.quote(exchange, step)
            quote = exchange.quotes[symbol]
            exchange.on_quote(symbol, quote.bid, quote.ask, step.time)
        elif symbol in self.sides:
            bid, ask = self.sides[symbol]
            exchange.on_sides(symbol, _prices(bid, index), _prices(ask, index), step.time)
        else:
            exchange.on_bar(symbol, *_prices(self.bars[symbol], index), step.time)

    def quote(self, exchange: Exchange, step: Step) -> None:
        """Set the price of ``step`` in ``exchange``, matching nothing."""
        symbol, index = step.symbol, step.index
        if symbol in self.ticks:
            ticks = self.ticks[symbol]
            exchange.set_sides(symbol, ticks.bid[index], ticks.ask[index], step.time)
        elif symbol in self.sides:
            bid, ask = self.sides[symbol]
            exchange.set_sides(symbol, bid.close[index], ask.close[index], step.time)
        else:
            exchange.set_quote(symbol, self.bars[symbol].close[index], step.time)


@dataclass(frozen=True, slots=True)
class VenueClock:
    """The venue's time: it passes ``speed`` times as fast as ``clock``, from ``begin`` on."""

    clock: Clock
    opened: int
    begin: int
    speed: float

    def now(self) -> int:
        """Return the venue's time in nanoseconds UTC."""
        return self.begin + round((self.clock.now() - self.opened) * self.speed)


def _prices(bars: Bars, index: int) -> tuple[float, float, float, float]:
    return bars.open[index], bars.high[index], bars.low[index], bars.close[index]


def _later(series: _Series, by: int) -> _Series:
    return replace(series, time=tuple(time + by for time in series.time))
