"""Recorded prices, and how they reach an exchange: what paper accounts and simulators replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mtquant.clock import SECOND
from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant.exchange.simulated import Exchange
from mtquant.model import Bars, Ticks

_Series = TypeVar("_Series", Bars, Ticks)


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One bar or tick becoming known at ``time``: the ``index``-th of ``symbol``."""

    time: int
    symbol: str
    index: int


class Recorded:
    """The bars of every symbol, its bid and ask bars, and its ticks where they are recorded.

    A bar becomes known when it has ended, a tick when it comes: ``ends`` and ``moments`` say when,
    by symbol, in nanoseconds UTC; ``length`` is a bar's, in nanoseconds. Orders are matched against
    ticks where there are some, else against bid and ask bars, else against mids and the spread.

    Raises ConfigError where a symbol has no bars.
    """

    def __init__(self, symbols: Sequence[str], source: Source[Any]) -> None:
        self.symbols = tuple(symbols or source.symbols())
        self.timeframe = source.timeframe()
        self.length = self.timeframe.seconds * SECOND
        self.bars: dict[str, Bars] = {symbol: source.bars(symbol) for symbol in self.symbols}
        self.sides = {each: both for each in self.symbols if (both := source.sides(each))}
        self.ticks = {each: ticks for each in self.symbols if (ticks := source.ticks(each))}
        for symbol, bars in self.bars.items():
            if not len(bars):
                raise ConfigError("prices", f"has no bars of {symbol}", "Choose another range.")
        self._note_times()

    def _note_times(self) -> None:
        """Note when each bar ends, and when what orders are matched against becomes known."""
        self.ends = {
            symbol: [opened + self.length for opened in bars.time]
            for symbol, bars in self.bars.items()
        }
        self.moments = self.ends | {
            symbol: list(ticks.time) for symbol, ticks in self.ticks.items()
        }

    def shift(self, by: int) -> None:
        """Move every recorded time by ``by`` nanoseconds."""
        self.bars = {symbol: _later(bars, by) for symbol, bars in self.bars.items()}
        self.sides = {
            symbol: (_later(bid, by), _later(ask, by)) for symbol, (bid, ask) in self.sides.items()
        }
        self.ticks = {symbol: _later(ticks, by) for symbol, ticks in self.ticks.items()}
        self._note_times()

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


def _prices(bars: Bars, index: int) -> tuple[float, float, float, float]:
    return bars.open[index], bars.high[index], bars.low[index], bars.close[index]


def _later(series: _Series, by: int) -> _Series:
    return replace(series, time=tuple(time + by for time in series.time))
