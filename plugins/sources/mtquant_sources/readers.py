"""Read files line by line, and refuse what can't be a price series."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, TextIO, TypeVar

from mtquant.clock import SECOND, format_time, parse_time
from mtquant.errors import ConfigError, PluginError
from mtquant.model import Timeframe

_NAIVE = re.compile(r"(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d)(:\d\d)?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BAR = tuple[int, float, float, float, float, float]
_TICK = tuple[int, float, float]
_Row = TypeVar("_Row", _BAR, _TICK)


class _Reader(ABC, Generic[_Row]):
    """One reading of one file; ``line`` is where it stands, for the errors."""

    required: ClassVar[tuple[str, ...]]
    what: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path, self.line = path, 1

    @abstractmethod
    def row(self, fields: list[str]) -> _Row:
        """Return one checked row of ``fields``, which are those required and the volume."""

    @abstractmethod
    def follows(self, before: int, time: int) -> None:
        """Raise ConfigError where a row at ``time`` can't come after one at ``before``."""

    def rows(self) -> list[_Row]:
        """Return the rows, checked; at least one."""
        try:
            if self.path.suffix == ".parquet":
                rows = list(self._checked(self._parquet()))
            else:
                with self._open() as stream:
                    rows = list(self._checked(self._csv(stream)))
        except FileNotFoundError as error:
            raise ConfigError(
                str(self.path), "no such file", f"Mind that relative paths start at {Path.cwd()}."
            ) from error
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, ValueError) as error:
            kind = "Parquet" if self.path.suffix == ".parquet" else "CSV"
            raise ConfigError(
                f"{self.path}, after line {self.line}",
                f"can't be read as {kind}: {error}",
                "Give a UTF-8 text file, one packed by gzip whose name ends in .gz, or a Parquet"
                " file whose name ends in .parquet.",
            ) from error
        if not rows:
            raise ConfigError(
                str(self.path), f"it holds no {self.what}", "Give a file with at least one."
            )
        return rows

    def _open(self) -> TextIO:
        if self.path.suffix == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8-sig", newline="")
        return self.path.open(encoding="utf-8-sig", newline="")

    def _csv(self, stream: TextIO) -> Iterator[list[str]]:
        reader = csv.reader(stream, strict=True)
        for fields in reader:
            self.line = reader.line_num
            yield fields

    def _parquet(self) -> Iterator[list[str]]:
        """Return the header and the rows of a Parquet file, as text like that of a CSV file."""
        try:
            from pyarrow import parquet  # noqa: PLC0415 - heavy, and in an extra
        except ImportError:
            raise PluginError(
                "Parquet files need pyarrow: install mtquant with its extra parquet"
            ) from None
        table = parquet.read_table(self.path)
        yield list(table.column_names)
        for number, row in enumerate(table.to_pylist(), 1):
            self.line = number
            yield [_text(row[name]) for name in table.column_names]

    def _checked(self, lines: Iterator[list[str]]) -> Iterator[_Row]:
        header = [name.strip() for name in next(lines, [])]
        places = self._places(header)
        before: int | None = None
        for fields in lines:
            if not fields:
                continue
            if len(fields) != len(header):
                raise self.error(
                    "fields",
                    ",".join(fields),
                    f"{len(fields)} of them, while the header has {len(header)}",
                    "Separate by commas, with a point in decimals.",
                )
            row = self.row([fields[place].strip() if place >= 0 else "0" for place in places])
            if before is not None:
                self.follows(before, row[0])
            before = row[0]
            yield row

    def _places(self, header: list[str]) -> list[int]:
        """Return where each of our columns stands; -1 for a volume that isn't there."""
        columns = (*self.required, "volume")
        if len(set(header)) < len(header) or not set(self.required) <= set(header) <= set(columns):
            raise self.error(
                "header",
                ",".join(header),
                "not the names of the columns",
                f"Name them {','.join(self.required)} and, if there is one, volume.",
            )
        return [header.index(name) if name in header else -1 for name in columns]

    def time(self, text: str) -> int:
        """Return the time that ``text`` names, nanoseconds UTC."""
        naive, whole = _NAIVE.fullmatch(text), text
        if naive:
            day, minute, second = naive.groups()
            whole = f"{day}T{minute or '00:00'}{second or ':00'}Z"
        try:
            return parse_time(whole)
        except ValueError as error:
            raise self.error(
                "time",
                text,
                "not a time",
                "Write 2026-01-31T09:30:00Z, or 2026-01-31 09:30 for the same in UTC.",
            ) from error

    def number(self, name: str, text: str) -> float:
        """Return the number that ``text`` is: above zero, or a volume of zero."""
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise self.error(name, text, "not a finite number", "Correct or remove the line.")
        if number < 0 or (number == 0 and name != "volume"):
            sign = "below" if name == "volume" else "not above"
            raise self.error(name, text, f"{sign} zero", "Correct or remove the line.")
        return number

    def error(self, field: str, value: str, problem: str, remedy: str) -> ConfigError:
        """Return the error of ``value`` in ``field`` of the line that was read last."""
        shown = value if len(value) <= 80 else f"{value[:77]}..."  # noqa: PLR2004 - a line's width
        return ConfigError(
            f"{self.path}, line {self.line}, {field}", f"{shown!r} is {problem}", remedy
        )


class BarReader(_Reader[_BAR]):
    """Reads bars of ``timeframe``."""

    required = ("time", "open", "high", "low", "close")
    what = "bar"

    def __init__(self, path: Path, timeframe: Timeframe) -> None:
        super().__init__(path)
        self._timeframe = timeframe

    def row(self, fields: list[str]) -> _BAR:
        """Return one bar, whose high and low enclose the rest."""
        time = self.time(fields[0])
        names = ("open", "high", "low", "close", "volume")
        opened, high, low, close, volume = map(self.number, names, fields[1:])
        if high < max(opened, low, close):
            raise self.error("high", fields[2], "below open, low or close", "Correct the bar.")
        if low > min(opened, close):
            raise self.error("low", fields[3], "above open or close", "Correct the bar.")
        return time, opened, high, low, close, volume

    def follows(self, before: int, time: int) -> None:
        """Refuse a bar that begins before the one before it is over."""
        gap = (time - before) / SECOND
        if gap >= self._timeframe.seconds:
            return
        if gap < 0:
            problem, remedy = "earlier than the bar before", "Sort the file by time."
        elif gap == 0:
            problem, remedy = "the time of the bar before too", "Remove one of the two."
        else:
            problem = f"{gap:g} s after the bar before, while the timeframe is {self._timeframe}"
            remedy = "Set the timeframe that the file has."
        raise self.error("time", format_time(time), problem, remedy)


class TickReader(_Reader[_TICK]):
    """Reads quotes."""

    required = ("time", "bid", "ask")
    what = "quote"

    def row(self, fields: list[str]) -> _TICK:
        """Return one quote, whose bid isn't above its ask."""
        time = self.time(fields[0])
        bid, ask, _ = map(self.number, ("bid", "ask", "volume"), fields[1:])
        if bid > ask:
            raise self.error("bid", fields[1], f"above the ask {fields[2]}", "Remove the quote.")
        return time, bid, ask

    def follows(self, before: int, time: int) -> None:
        """Refuse a quote that is older than the one before; several may bear one time."""
        if time < before:
            raise self.error(
                "time", format_time(time), "earlier than the quote before", "Sort the file by time."
            )


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a column holds
    """Return a value of a Parquet column as a CSV file would have it; times are UTC."""
    if hasattr(value, "isoformat"):
        text = str(value.isoformat())
        return text if text.endswith("Z") or "+" in text else f"{text}Z"
    return "" if value is None else str(value)
