"""Bars from CSV files, checked line by line before anything trades on them."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from pydantic import Field, model_validator

from mtquant import Settings, Source
from mtquant.clock import SECOND, format_time, parse_time
from mtquant.errors import ConfigError
from mtquant.model import Bars, Timeframe
from mtquant_sources.symbols import unknown_symbol

_REQUIRED = ("time", "open", "high", "low", "close")
_COLUMNS = (*_REQUIRED, "volume")
_NAIVE = re.compile(r"(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d)(:\d\d)?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class CsvSettings(Settings):
    """Which file holds which symbol: ``files``, or one ``path`` with its ``symbol``.

    Relative paths start at the working directory; a name that ends in .gz is unpacked.
    """

    timeframe: Timeframe
    path: Path | None = None
    symbol: str | None = None
    files: Mapping[str, Path] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> CsvSettings:
        alone = self.path is not None and self.symbol is not None
        neither = self.path is None and self.symbol is None
        if not (neither if self.files else alone):
            raise ValueError("give either path and symbol, or files as a table symbol = path")
        return self


class Csv(Source[CsvSettings]):
    """Bars from files with the columns time, open, high, low, close and, if known, volume.

    The header is required, its order is free. Times are the bars' opening times, in RFC 3339 or
    as ``YYYY-MM-DD``, ``YYYY-MM-DD HH:MM`` or ``YYYY-MM-DD HH:MM:SS`` in UTC. Prices are in the
    quote currency.
    """

    name = "csv"
    description = "CSV files with a header: time, open, high, low, close and volume if known"

    def symbols(self) -> Sequence[str]:
        """Return the symbols of the settings."""
        return tuple(self._files())

    def timeframe(self) -> Timeframe:
        """Return the timeframe of the settings."""
        return self.settings.timeframe

    def bars(self, symbol: str) -> Bars:
        """Read the file of ``symbol``.

        Raises ConfigError naming file, line, field, value and remedy where the file can't be
        read, a field isn't what its column says, high or low don't enclose open and close, or a
        bar doesn't begin a timeframe or more after the one before.
        """
        files = self._files()
        if symbol not in files:
            raise unknown_symbol(self.name, symbol, files)
        rows = _Reader(files[symbol], self.settings.timeframe).rows()
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

    def _files(self) -> Mapping[str, Path]:
        if self.settings.path and self.settings.symbol:
            return {self.settings.symbol: self.settings.path}
        return self.settings.files


_Row = tuple[int, float, float, float, float, float]


class _Reader:
    """One reading of one file; ``line`` is where it stands, for the errors."""

    def __init__(self, path: Path, timeframe: Timeframe) -> None:
        self.path, self.timeframe, self.line = path, timeframe, 1

    def rows(self) -> list[_Row]:
        """Return the rows, checked; at least one."""
        try:
            with self._open() as stream:
                rows = list(self._checked(stream))
        except FileNotFoundError as error:
            raise ConfigError(
                str(self.path), "no such file", f"Mind that relative paths start at {Path.cwd()}."
            ) from error
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
            raise ConfigError(
                f"{self.path}, after line {self.line}",
                f"can't be read as CSV: {error}",
                "Give a UTF-8 text file, or one packed by gzip whose name ends in .gz.",
            ) from error
        if not rows:
            raise ConfigError(str(self.path), "it holds no bar", "Give a file with at least one.")
        return rows

    def _open(self) -> TextIO:
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8-sig", newline="")
        return self.path.open(encoding="utf-8-sig", newline="")

    def _checked(self, stream: TextIO) -> Iterator[_Row]:
        reader = csv.reader(stream, strict=True)
        header = [name.strip() for name in next(reader, [])]
        places = self._places(header)
        before: int | None = None
        for fields in reader:
            self.line = reader.line_num
            if not fields:
                continue
            if len(fields) != len(header):
                raise self._error(
                    "fields",
                    ",".join(fields),
                    f"{len(fields)} of them, while the header has {len(header)}",
                    "Separate by commas, with a point in decimals.",
                )
            row = self._row([fields[place].strip() if place >= 0 else "0" for place in places])
            if before is not None:
                self._follows(before, row[0])
            before = row[0]
            yield row

    def _places(self, header: list[str]) -> list[int]:
        """Return where each of our columns stands; -1 for a volume that isn't there."""
        if len(set(header)) < len(header) or not set(_REQUIRED) <= set(header) <= set(_COLUMNS):
            raise self._error(
                "header",
                ",".join(header),
                "not the names of the columns",
                f"Name them {','.join(_REQUIRED)} and, if there is one, volume.",
            )
        return [header.index(name) if name in header else -1 for name in _COLUMNS]

    def _row(self, fields: list[str]) -> _Row:
        time = self._time(fields[0])
        opened, high, low, close, volume = map(self._number, _COLUMNS[1:], fields[1:])
        if high < max(opened, low, close):
            raise self._error("high", fields[2], "below open, low or close", "Correct the bar.")
        if low > min(opened, close):
            raise self._error("low", fields[3], "above open or close", "Correct the bar.")
        return time, opened, high, low, close, volume

    def _time(self, text: str) -> int:
        naive, whole = _NAIVE.fullmatch(text), text
        if naive:
            day, minute, second = naive.groups()
            whole = f"{day}T{minute or '00:00'}{second or ':00'}Z"
        try:
            return parse_time(whole)
        except ValueError as error:
            raise self._error(
                "time",
                text,
                "not a time",
                "Write 2026-01-31T09:30:00Z, or 2026-01-31 09:30 for the same in UTC.",
            ) from error

    def _number(self, name: str, text: str) -> float:
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise self._error(name, text, "not a finite number", "Correct or remove the bar.")
        if number < 0 or (number == 0 and name != "volume"):
            sign = "below" if name == "volume" else "not above"
            raise self._error(name, text, f"{sign} zero", "Correct or remove the bar.")
        return number

    def _follows(self, before: int, time: int) -> None:
        """Refuse a bar that begins before the one before it is over."""
        gap = (time - before) / SECOND
        if gap >= self.timeframe.seconds:
            return
        if gap < 0:
            problem, remedy = "earlier than the bar before", "Sort the file by time."
        elif gap == 0:
            problem, remedy = "the time of the bar before too", "Remove one of the two."
        else:
            problem = f"{gap:g} s after the bar before, while the timeframe is {self.timeframe}"
            remedy = "Set the timeframe that the file has."
        raise self._error("time", format_time(time), problem, remedy)

    def _error(self, field: str, value: str, problem: str, remedy: str) -> ConfigError:
        shown = value if len(value) <= 80 else f"{value[:77]}..."  # noqa: PLR2004 - a line's width
        return ConfigError(
            f"{self.path}, line {self.line}, {field}", f"{shown!r} is {problem}", remedy
        )
