"""Prices that are in memory: those of the caller, and those that were read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mtquant.contract import Settings, Source
from mtquant.errors import ConfigError
from mtquant.model import Bars, Ticks, Timeframe
from mtquant.model.arrays import BarArrays


class MemorySettings(Settings):
    """There is nothing to set."""


class Memory(Source[MemorySettings]):
    """Bars that the caller has: a source for one backtest."""

    name = "memory"
    description = "bars that the caller gave"

    def __init__(self, series: Mapping[str, BarArrays]) -> None:
        super().__init__(MemorySettings())
        if not series:
            raise ConfigError("data", "there is none", "Give the bars of at least one symbol.")
        frames = {each.timeframe for each in series.values()}
        if len(frames) > 1:
            told = ", ".join(sorted(frames))
            raise ConfigError("data", f"has bars of {told}", "Give bars of one timeframe.")
        self._series = dict(series)
        self._timeframe = frames.pop()

    def symbols(self) -> Sequence[str]:
        """Return the symbols that there are bars of."""
        return tuple(self._series)

    def timeframe(self) -> Timeframe:
        """Return the timeframe of the bars."""
        return self._timeframe

    def bars(self, symbol: str) -> Bars:
        """Return the bars of ``symbol`` as tuples; raises ConfigError where there are none."""
        return self.arrays(symbol).bars()

    def arrays(self, symbol: str) -> BarArrays:
        """Return the bars of ``symbol``; raises ConfigError where there are none."""
        if symbol not in self._series:
            have = ", ".join(self._series)
            raise ConfigError("data", f"has no bars of {symbol}", f"It has {have}.")
        return self._series[symbol]


class ReadOnce(Source[Settings]):
    """A source that is asked for each series once, however often that is wanted."""

    name = "read_once"
    description = "another source, remembered"

    def __init__(self, source: Source[Any]) -> None:
        super().__init__(Settings())
        self._source = source
        self._arrays: dict[str, BarArrays] = {}
        self._sides: dict[str, tuple[Bars, Bars] | None] = {}
        self._ticks: dict[str, Ticks | None] = {}

    def symbols(self) -> Sequence[str]:
        """Return the symbols of the source."""
        return self._source.symbols()

    def timeframe(self) -> Timeframe:
        """Return the timeframe of the source."""
        return self._source.timeframe()

    def arrays(self, symbol: str) -> BarArrays:
        """Return the bars of ``symbol``, read the first time."""
        if symbol not in self._arrays:
            self._arrays[symbol] = self._source.arrays(symbol)
        return self._arrays[symbol]

    def bars(self, symbol: str) -> Bars:
        """Return the bars of ``symbol`` as tuples."""
        return self.arrays(symbol).bars()

    def sides(self, symbol: str) -> tuple[Bars, Bars] | None:
        """Return the bid and ask bars of ``symbol``, read the first time."""
        if symbol not in self._sides:
            self._sides[symbol] = self._source.sides(symbol)
        return self._sides[symbol]

    def ticks(self, symbol: str) -> Ticks | None:
        """Return the quotes of ``symbol``, read the first time."""
        if symbol not in self._ticks:
            self._ticks[symbol] = self._source.ticks(symbol)
        return self._ticks[symbol]
