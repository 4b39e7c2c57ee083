"""Bars and ticks from CSV or Parquet files, checked before anything trades on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from mtquant import Settings, Source
from mtquant.data import Reading, Table, Zone, bars_of, errors, nothing, read
from mtquant.errors import ConfigError
from mtquant.model import Bars, Ticks, Timeframe
from mtquant.model.arrays import BarArrays
from mtquant_sources.series import bars_of_quotes, middle
from mtquant_sources.symbols import unknown_symbol


class FileSettings(Settings):
    """Which file holds which symbol: ``files``, or one ``path`` with its ``symbol``.

    Prices are mids, unless ``ask_files`` names files of ask prices for the same symbols and times:
    then those of ``files`` are bids. ``tick_files`` hold quotes, with the columns time, bid and
    ask; a symbol that is in them alone has its bars made from them. Relative paths start at the
    working directory; a name that ends in .gz is unpacked, one in .parquet is read as Parquet.

    What a file looks like is found out by itself; these overrule it. ``dialect``: ``plain``,
    ``mt4``, ``mt5``, ``histdata`` or ``dukascopy``. ``point``: what a whole number is worth in the
    quote currency, such as 0.00001; without it, prices that are whole numbers are taken for points
    only where the symbol leaves no doubt. ``time_zone``: the zone of times that name none, UTC
    unless given: an IANA name such as Etc/GMT+5 (histdata), or America/New_York+7 (brokers' time,
    whose midnight is 17:00 in New York).
    """

    timeframe: Timeframe
    path: Path | None = None
    symbol: str | None = None
    files: Mapping[str, Path] = Field(default_factory=dict)
    ask_files: Mapping[str, Path] = Field(default_factory=dict)
    tick_files: Mapping[str, Path] = Field(default_factory=dict)
    dialect: Literal["plain", "mt4", "mt5", "histdata", "dukascopy"] | None = None
    point: Decimal | None = Field(default=None, gt=0)
    time_zone: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> FileSettings:
        alone = self.path is not None and self.symbol is not None
        neither = self.path is None and self.symbol is None
        if not (neither if self.files or self.tick_files else alone):
            raise ValueError("give either path and symbol, or files as a table symbol = path")
        if stray := sorted(set(self.ask_files) - set(self.bar_files())):
            raise ValueError(f"ask_files names {stray[0]}, which files doesn't")
        return self

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                Zone(name)
            except ConfigError as error:
                raise ValueError(f"{error.problem}. {error.remedy}") from None
        return name

    def bar_files(self) -> Mapping[str, Path]:
        """Return the files of bars by symbol."""
        if self.path and self.symbol:
            return {self.symbol: self.path}
        return self.files


class Csv(Source[FileSettings]):
    """Bars from text files, whichever program wrote them, or with a header of your own.

    Read are exports of MetaTrader 4 and 5, of Dukascopy and of histdata, and files whose header
    names the columns time (or date, timestamp, datetime), open, high, low, close and, if known,
    volume, in any order and capitalisation. Times are the bars' opening times. Prices are in the
    quote currency, or whole numbers of points.
    """

    name = "csv"
    description = "CSV files: MT4, MT5, Dukascopy, histdata, or time, open, high, low, close"

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
        return self.arrays(symbol).bars()

    def sides(self, symbol: str) -> tuple[Bars, Bars] | None:
        """Read the bid and the ask file of ``symbol``, if it has both; raises as :meth:`bars`."""
        found = self.side_arrays(symbol)
        return None if found is None else (found[0].bars(), found[1].bars())

    def arrays(self, symbol: str) -> BarArrays:
        """Read the file of ``symbol`` into arrays; raises as :meth:`bars`."""
        if symbol not in self.symbols():
            raise unknown_symbol(self.name, symbol, self.symbols())
        sides = self.side_arrays(symbol)
        if sides is not None:
            return middle(*sides)
        path = self.settings.bar_files().get(symbol)
        if path is not None:
            return self._bars(symbol, path)
        quotes = self._quotes(symbol, self.settings.tick_files[symbol])
        mids = (quotes.columns["bid"] + quotes.columns["ask"]) / 2
        return bars_of_quotes(symbol, self.settings.timeframe, quotes.time, mids)

    def side_arrays(self, symbol: str) -> tuple[BarArrays, BarArrays] | None:
        """Read the bid and the ask file of ``symbol``, if it has both; raises as :meth:`bars`."""
        ask = self.settings.ask_files.get(symbol)
        if ask is None:
            return None
        bid = self.settings.bar_files()[symbol]
        found = self._bars(symbol, bid), self._bars(symbol, ask)
        if not np.array_equal(found[0].time, found[1].time):
            raise ConfigError(
                f"{bid} and {ask}", "don't have bars at the same times", "Give matching files."
            )
        return found

    def ticks(self, symbol: str) -> Ticks | None:
        """Read the quotes of ``symbol``, where it has a file of them; raises as :meth:`bars`."""
        path = self.settings.tick_files.get(symbol)
        if path is None:
            return None
        quotes = self._quotes(symbol, path)
        return Ticks(
            instrument=symbol,
            time=tuple(quotes.time.tolist()),
            bid=tuple(quotes.columns["bid"].tolist()),
            ask=tuple(quotes.columns["ask"].tolist()),
        )

    def _bars(self, symbol: str, path: Path) -> BarArrays:
        return bars_of(read(path, self._reading(symbol, "bars")), symbol, self.settings.timeframe)

    def _quotes(self, symbol: str, path: Path) -> Table:
        found = read(path, self._reading(symbol, "quotes"))
        found.refuse(errors(found))
        if not len(found):
            raise nothing(found)
        return found

    def _reading(self, symbol: str, what: str) -> Reading:
        chosen = self.settings
        return Reading(
            symbol=symbol,
            dialect=chosen.dialect,
            point=chosen.point,
            time_zone=chosen.time_zone,
            what=what,
        )


class Parquet(Csv):
    """The same from Parquet files, whose columns have the same names; needs the extra parquet."""

    name = "parquet"
    description = "Parquet files with the columns time, open, high, low, close"
