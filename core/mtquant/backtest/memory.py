"""Prices that are in memory already: arrays, or tuples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtquant.contract import Settings, Source
from mtquant.errors import ConfigError
from mtquant.model import Bars, Timeframe
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
        found = self.arrays(symbol)
        return Bars(
            instrument=symbol,
            timeframe=found.timeframe,
            time=tuple(found.time.tolist()),
            open=tuple(found.open.tolist()),
            high=tuple(found.high.tolist()),
            low=tuple(found.low.tolist()),
            close=tuple(found.close.tolist()),
            volume=tuple(found.volume.tolist()),
        )

    def arrays(self, symbol: str) -> BarArrays:
        """Return the bars of ``symbol``; raises ConfigError where there are none."""
        if symbol not in self._series:
            have = ", ".join(self._series)
            raise ConfigError("data", f"has no bars of {symbol}", f"It has {have}.")
        return self._series[symbol]
