"""Recorded prices, and how they reach an exchange: what paper accounts and simulators replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtquant.clock import SECOND
from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant.exchange.simulated import Exchange
from mtquant.model import Bars
from mtquant.model.arrays import BarArrays

_Columns = tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]]
_CLOSE = 3
_FOLLOWING = {"ends", "moments", "_mids", "_both", "bars", "sides"}


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
    Bars are kept as arrays; ``bars`` and ``sides`` are made of them when they are asked for.

    Raises ConfigError where a symbol has no bars.
    """

    def __init__(self, symbols: Sequence[str], source: Source[Any]) -> None:
        self.symbols = tuple(symbols or source.symbols())
        self.timeframe = source.timeframe()
        self.length = self.timeframe.seconds * SECOND
        self.arrays = {symbol: source.arrays(symbol) for symbol in self.symbols}
        self.side_arrays = {
            each: both for each in self.symbols if (both := source.side_arrays(each))
        }
        self.ticks = {each: ticks for each in self.symbols if (ticks := source.ticks(each))}
        for symbol, bars in self.arrays.items():
            if not len(bars):
                raise ConfigError("prices", f"has no bars of {symbol}", "Choose another range.")
        self._note_times()

    def _note_times(self) -> None:
        """Note when each bar ends, and when what orders are matched against becomes known."""
        self.ends: dict[str, Sequence[int]] = {
            symbol: _numbers(bars.time + self.length) for symbol, bars in self.arrays.items()
        }
        self.moments = self.ends | {symbol: ticks.time for symbol, ticks in self.ticks.items()}
        self._mids = {symbol: _prices(bars) for symbol, bars in self.arrays.items()}
        self._both = {
            symbol: (_prices(bid), _prices(ask)) for symbol, (bid, ask) in self.side_arrays.items()
        }

    @cached_property
    def bars(self) -> dict[str, Bars]:
        """The bars by symbol, mid prices."""
        return {symbol: each.bars() for symbol, each in self.arrays.items()}

    @cached_property
    def sides(self) -> dict[str, tuple[Bars, Bars]]:
        """The bid and ask bars, of symbols that have them apart."""
        return {symbol: (bid.bars(), ask.bars()) for symbol, (bid, ask) in self.side_arrays.items()}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what follows from the rest."""
        return {name: each for name, each in self.__dict__.items() if name not in _FOLLOWING}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the rest, and work out what follows."""
        self.__dict__.update(state)
        self._note_times()

    def shift(self, by: int) -> None:
        """Move every recorded time by ``by`` nanoseconds."""
        self.arrays = {symbol: _later(bars, by) for symbol, bars in self.arrays.items()}
        self.side_arrays = {
            symbol: (_later(bid, by), _later(ask, by))
            for symbol, (bid, ask) in self.side_arrays.items()
        }
        self.ticks = {
            symbol: replace(ticks, time=tuple(time + by for time in ticks.time))
            for symbol, ticks in self.ticks.items()
        }
        for name in ("bars", "sides"):
            self.__dict__.pop(name, None)
        self._note_times()

    def feed(self, exchange: Exchange, step: Step) -> None:
        """Match the orders of ``exchange`` against what becomes known at ``step``."""
        symbol, index = step.symbol, step.index
        if symbol in self.ticks:
            self.quote(exchange, step)
            quote = exchange.quotes[symbol]
            exchange.on_quote(symbol, quote.bid, quote.ask, step.time)
        elif symbol in self._both:
            bid, ask = self._both[symbol]
            exchange.on_sides(symbol, _bar(bid, index), _bar(ask, index), step.time)
        else:
            exchange.on_bar(symbol, *_bar(self._mids[symbol], index), step.time)

    def quote(self, exchange: Exchange, step: Step) -> None:
        """Set the price of ``step`` in ``exchange``, matching nothing."""
        symbol, index = step.symbol, step.index
        if symbol in self.ticks:
            ticks = self.ticks[symbol]
            exchange.set_sides(symbol, ticks.bid[index], ticks.ask[index], step.time)
        elif symbol in self._both:
            bid, ask = self._both[symbol]
            exchange.set_sides(symbol, bid[_CLOSE][index], ask[_CLOSE][index], step.time)
        else:
            exchange.set_quote(symbol, self._mids[symbol][_CLOSE][index], step.time)


def _numbers(array: NDArray[np.int64]) -> Sequence[int]:
    """Return an array as a sequence of Python numbers, without making them."""
    return np.ascontiguousarray(array).data


def _prices(bars: BarArrays) -> _Columns:
    opened, high, low, close = (
        np.ascontiguousarray(each).data for each in (bars.open, bars.high, bars.low, bars.close)
    )
    return opened, high, low, close


def _bar(columns: _Columns, index: int) -> tuple[float, float, float, float]:
    opened, high, low, close = columns
    return opened[index], high[index], low[index], close[index]


def _later(series: BarArrays, by: int) -> BarArrays:
    return replace(series, time=series.time + by)
