"""Bars and ticks from CSV or Parquet files, checked line by line before anything trades on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, model_validator

from mtquant import Settings, Source
from mtquant.errors import ConfigError
from mtquant.model import Bars, Ticks, Timeframe
from mtquant_sources.readers import BarReader, TickReader
from mtquant_sources.series import bars_of, middle
from mtquant_sources.symbols import unknown_symbol


class FileSettings(Settings):
    """Which file holds which symbol: ``files``, or one ``path`` with its ``symbol``.

    Prices are mids, unless ``ask_files`` names files of ask prices for the same symbols and times:
    then those of ``files`` are bids. ``tick_files`` hold quotes, with the columns time, bid and
    ask; a symbol that is in them alone has its bars made from them. Relative paths start at the
    working directory; a name that ends in .gz is unpacked, one in .parquet is read as Parquet.
    """

    timeframe: Timeframe
    path: Path | None = None
    symbol: str | None = None
    files: Mapping[str, Path] = Field(default_factory=dict)
    ask_files: Mapping[str, Path] = Field(default_factory=dict)
    tick_files: Mapping[str, Path] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> FileSettings:
        alone = self.path is not None and self.symbol is not None
        neither = self.path is None and self.symbol is None
        if not (neither if self.files or self.tick_files else alone):
            raise ValueError("give either path and symbol, or files as a table symbol = path")
        if stray := sorted(set(self.ask_files) - set(self.bar_files())):
            raise ValueError(f"ask_files names {stray[0]}, which files doesn't")
        return self

    def bar_files(self) -> Mapping[str, Path]:
        """Return the files of bars by symbol."""
        if self.path and self.symbol:
            return {self.symbol: self.path}
        return self.files


class Csv(Source[FileSettings]):
    """Bars from files with the columns time, open, high, low, close and, if known, volume.

    The header is required, its order is free. Times are the bars' opening times, in RFC 3339 or
    as ``YYYY-MM-DD``, ``YYYY-MM-DD HH:MM`` or ``YYYY-MM-DD HH:MM:SS`` in UTC. Prices are in the
    quote currency.
    """

    name = "csv"
    description = "CSV files with a header: time, open, high, low, close and volume if known"

    def symbols(self) -> Sequence[str]:
        """Return the symbols of the settings."""
        return tuple(dict.fromkeys([*self.settings.bar_files(), *self.settings.tick_files]))

    def timeframe(self) -> Timeframe:
        """Return the timeframe of the settings."""
        return self.settings.timeframe

    def bars(self, symbol: str) -> Bars:
        """Read the file of ``symbol``.

        Raises ConfigError naming file, line, field, value and remedy where the file can't be
        read, a field isn't what its column says, high or low don't enclose open and close, or a
        bar doesn't begin a timeframe or more after the one before.
        """
        if symbol not in self.symbols():
            raise unknown_symbol(self.name, symbol, self.symbols())
        sides = self.sides(symbol)
        if sides is not None:
            return middle(*sides)
        path = self.settings.bar_files().get(symbol)
        if path is not None:
            return self._read(symbol, path)
        ticks = self.ticks(symbol)
        if ticks is None:
            raise unknown_symbol(self.name, symbol, self.symbols())
        return bars_of(ticks, self.settings.timeframe)

    def sides(self, symbol: str) -> tuple[Bars, Bars] | None:
        """Read the bid and the ask file of ``symbol``, if it has both; raises as :meth:`bars`."""
        ask = self.settings.ask_files.get(symbol)
        if ask is None:
            return None
        bid = self.settings.bar_files()[symbol]
        found = self._read(symbol, bid), self._read(symbol, ask)
        if found[0].time != found[1].time:
            raise ConfigError(
                f"{bid} and {ask}", "don't have bars at the same times", "Give matching files."
            )
        return found

    def ticks(self, symbol: str) -> Ticks | None:
        """Read the quotes of ``symbol``, where it has a file of them; raises as :meth:`bars`."""
        path = self.settings.tick_files.get(symbol)
        if path is None:
            return None
        time, bid, ask = zip(*TickReader(path).rows(), strict=True)
        return Ticks(instrument=symbol, time=time, bid=bid, ask=ask)

    def _read(self, symbol: str, path: Path) -> Bars:
        rows = BarReader(path, self.settings.timeframe).rows()
        times, opens, highs, lows, closes, volumes = zip(*rows, strict=True)
        return Bars(
            instrument=symbol,
            timeframe=self.settings.timeframe,
            time=times,
            open=opens,
            high=highs,
            low=lows,
            close=closes,
            volume=volumes,
        )


class Parquet(Csv):
    """The same from Parquet files, whose columns have the same names; needs the extra parquet."""

    name = "parquet"
    description = "Parquet files with the columns of the csv source"
