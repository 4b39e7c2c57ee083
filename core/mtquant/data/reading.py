"""Read a text or Parquet file of prices into columns."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtquant.data.dialects import Dialect, Layout, detect, header_error, roles
from mtquant.data.fields import PADDING, Fields, Integers, numbers
from mtquant.data.frames import arrow_values, table_of_columns
from mtquant.data.points import apply_point
from mtquant.data.table import PLACES, Finding, Place, Table, lost
from mtquant.data.times import UNREADABLE, Zone, settled, times
from mtquant.errors import ConfigError, PluginError

_BLOCK = 1 << 20  # what fits the processor's cache is read twice as fast as a whole file
_TEXTS = 1000  # how many unreadable numbers are kept as they are written
_NEWLINE, _BLANK = ord("\n"), ord(" ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a file shall be read, where that isn't left to what it looks like.

    ``symbol`` is the canonical one (``EUR/USD``), by which whole points are told from prices;
    ``point`` what a whole number is in the quote currency (0.00001), ``dialect`` one of
    ``plain``, ``mt4``, ``mt5``, ``histdata`` and ``dukascopy``, ``time_zone`` that of times which
    name none (see :class:`mtquant.data.times.Zone`), UTC unless given. ``what`` is ``bars`` or
    ``quotes`` where only one will do.
    """

    symbol: str | None = None
    dialect: str | None = None
    point: Decimal | None = None
    time_zone: str | None = None
    what: str | None = None


def read(path: Path, reading: Reading | None = None) -> Table:
    """Read the prices in ``path``: text, packed where its name ends in .gz, or .parquet.

    Raises ConfigError where the file can't be read or its columns can't be told, and where whole
    numbers would be points whose worth isn't known; PluginError where pyarrow is missing. What is
    wrong with single rows is no error here: see :func:`mtquant.data.quality.errors`.
    """
    wish = reading or Reading()
    kind = "Parquet" if path.suffix == ".parquet" else "CSV"
    zone = Zone(wish.time_zone) if wish.time_zone else None
    try:
        table = _parquet(path, wish, zone) if kind == "Parquet" else _text(path, wish, zone)
    except FileNotFoundError as error:
        raise ConfigError(
            str(path), "no such file", f"Mind that relative paths start at {Path.cwd()}."
        ) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise ConfigError(
            str(path),
            f"can't be read as {kind}: {error}",
            "Give a UTF-8 text file, one packed by gzip whose name ends in .gz, or a Parquet"
            " file whose name ends in .parquet.",
        ) from error
    return apply_point(table, wish.symbol, wish.point)


def _parquet(path: Path, wish: Reading, zone: Zone | None) -> Table:
    try:
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - heavy, and in an extra
    except ImportError:
        raise PluginError(
            "Parquet files need pyarrow: install mtquant with its extra parquet"
        ) from None
    with ParquetFile(path) as file:
        found = file.read()
    names = [str(name) for name in found.column_names]
    columns = roles(names)
    dialect = Dialect(
        layout=Layout.PARQUET, separator="", columns=columns or (), names=tuple(names)
    )
    if columns is None or (wish.what is not None and dialect.what != wish.what):
        raise header_error(str(path), names, wish.what or "bars")
    read = {role: arrow_values(found.column(place)) for place, role in enumerate(columns) if role}
    values = {role: column for role, (column, _) in read.items()}
    zoned = any(each for _, each in read.values())
    return table_of_columns(str(path), dialect, values, zone, zoned=zoned)


def _text(path: Path, wish: Reading, zone: Zone | None) -> Table:
    blocks = _blocks(path)
    first = next(blocks, b"")
    head = first.decode(errors="replace").replace('"', "").splitlines()
    lines = [each for each in head if each.strip()]
    dialect = detect(lines[:1], str(path), wish.what, wish.dialect)
    rows = _Rows(str(path), dialect)
    for text in _texts(chain([first], blocks), dialect.separator):
        rows.take(text)
    return rows.table(zone)


def _blocks(path: Path) -> Iterator[bytes]:
    """Return what is in a file, unpacked and as UTF-8 without a mark, piece by piece."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        block = stream.read(_BLOCK)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            yield (block + stream.read()).decode("utf-16").encode()
            return
        block = block.removeprefix(codecs.BOM_UTF8)
        while block:
            yield block
            block = stream.read(_BLOCK)


def _texts(blocks: Iterator[bytes], separator: str) -> Iterator[bytes]:
    """Return the blocks cut between lines, with nothing but separators between the fields."""
    rest = b""
    for block in blocks:
        if b'"' in block:
            whole = b"".join([rest, block, *blocks])
            yield _plain(_unquoted(whole, separator), separator)
            return
        whole = rest + block
        cut = whole.rfind(b"\n") + 1
        rest = whole[cut:]
        if cut:
            yield _plain(whole[:cut], separator)
    if rest:
        yield _plain(rest + b"\n", separator)


def _unquoted(text: bytes, separator: str) -> bytes:
    """Return ``text`` without quotation marks; csv.Error where they enclose a separator."""
    rows = []
    stream = io.StringIO(text.decode(), newline="")
    for fields in csv.reader(stream, delimiter=separator, strict=True):
        if any(separator in each or "\n" in each for each in fields):
            msg = f"a quoted field holds what separates fields: {fields}"
            raise csv.Error(msg)
        rows.append(separator.join(fields))
    return "\n".join([*rows, ""]).encode()


def _plain(text: bytes, separator: str) -> bytes:
    """Return ``text`` with newlines alone between lines, and single blanks where they separate."""
    if not text.isascii():
        text.decode()  # raises where it isn't UTF-8
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if separator == " ":
        return re.sub(rb"(?m)^ | $", b"", re.sub(rb"[ \t]+", b" ", text))
    return text


class _Rows:
    """Gathers the rows of a text file, block by block."""

    def __init__(self, where: str, dialect: Dialect) -> None:
        self._where, self._dialect = where, dialect
        self._width = len(dialect.columns)
        self._header = bool(dialect.names)
        self._lines = 0  # how many lines have been taken
        self._rows = 0  # how many of them are rows that have a time
        self._clock: list[Integers] = []
        self._zoned: list[NDArray[np.bool_]] = []
        self._line: list[Integers] = []
        self._columns: dict[str, list[NDArray[np.float64]]] = {
            name: [] for name in dialect.columns if name not in {"time", "date", "clock", ""}
        }
        self._texts: dict[tuple[int, str], str] = {}
        self._torn = _Lost()
        self._timeless = _Lost()

    def take(self, text: bytes) -> None:
        """Take lines, each of which ends with a newline."""
        start = self._after_header(text) if self._header else 0
        if start == len(text):
            return
        starts, ends, lines = self._fields(text[start:])
        padded = text[start:] + bytes(PADDING)
        columns = self._dialect.columns
        first = columns.index("date" if "date" in columns else "time")
        last = columns.index("clock") if "clock" in columns else first
        moments = Fields(text=padded, starts=starts[:, first], ends=ends[:, last])
        clock, zoned = times(moments)
        kept = clock != UNREADABLE
        if not kept.all():
            for row in np.flatnonzero(~kept).tolist():
                self._timeless.add(int(lines[row]), "time", moments.shown(row))
            clock, zoned, lines = clock[kept], zoned[kept], lines[kept]
            starts, ends = starts[kept], ends[kept]
        self._clock.append(clock)
        self._zoned.append(zoned)
        self._line.append(lines)
        for name, parts in self._columns.items():
            place = columns.index(name)
            column = Fields(text=padded, starts=starts[:, place], ends=ends[:, place])
            values = numbers(column)
            parts.append(values)
            for row in np.flatnonzero(~np.isfinite(values))[:_TEXTS].tolist():
                if len(self._texts) < _TEXTS:
                    self._texts[self._rows + row, name] = column.shown(row)
        self._rows += len(clock)

    def _after_header(self, text: bytes) -> int:
        """Return where the first line ends that isn't empty, and count the lines until there."""
        start = 0
        while self._header and start < len(text):
            end = text.index(b"\n", start)
            self._header = end == start
            self._lines += 1
            start = end + 1
        return start

    def _fields(self, text: bytes) -> tuple[Integers, Integers, Integers]:
        """Return where fields start and end, of shape (rows, columns), and the rows' lines."""
        raw = np.frombuffer(text, np.uint8)
        newline = raw == _NEWLINE
        marks = np.flatnonzero(newline | (raw == ord(self._dialect.separator)))
        starts = np.concatenate([[0], marks[:-1] + 1])
        last = np.flatnonzero(newline[marks])  # which of the marks end a line
        count = np.diff(last, prepend=-1)
        before, self._lines = self._lines, self._lines + len(last)
        whole = count == self._width
        if whole.all():
            shape = (len(last), self._width)
            lines = before + 1 + np.arange(len(last))
            return *_trimmed(raw, starts.reshape(shape), marks.reshape(shape)), lines
        begins = starts[last - count + 1]
        for line in np.flatnonzero(~whole).tolist():
            shown = text[begins[line] : marks[last[line]]]
            if not shown.strip():
                continue
            others = "header" if self._dialect.names else "first line"
            problem = f"{count[line]} of them, while the {others} has {self._width}"
            self._torn.add(before + 1 + line, "fields", shown.decode(), problem)
        chosen = last[whole][:, None] + np.arange(1 - self._width, 1)
        lines = before + 1 + np.flatnonzero(whole)
        return *_trimmed(raw, starts[chosen], marks[chosen]), lines

    def table(self, zone: Zone | None) -> Table:
        """Return what has been gathered."""
        clock, zoned = _joined(self._clock, np.int64), _joined(self._zoned, np.bool_)
        columns = {name: _joined(parts, np.float64) for name, parts in self._columns.items()}
        columns.setdefault("volume", np.zeros(len(clock)))
        return Table(
            where=self._where,
            dialect=self._dialect,
            time=settled(clock, zoned, zone),
            clock=clock,
            columns=columns,
            line=_joined(self._line, np.int64),
            texts=self._texts,
            lost=(*self._torn.finding("fields"), *self._timeless.finding("time")),
            naive=not bool(zoned.all()),
            time_zone=zone.name if zone else None,
        )


def _trimmed(raw: NDArray[np.uint8], starts: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """Return where fields start and end without the blanks around them."""
    starts, ends = starts.copy(), ends.copy()
    while (blank := (raw[starts] == _BLANK) & (starts < ends)).any():
        starts[blank] += 1
    while (blank := (raw[ends - 1] == _BLANK) & (starts < ends)).any():
        ends[blank] -= 1
    return starts, ends


class _Lost:
    """Counts lines that can't be rows, and keeps the first few."""

    def __init__(self) -> None:
        self._count = 0
        self._places: list[Place] = []
        self._problem = "not a time"

    def add(self, line: int, name: str, text: str, problem: str = "") -> None:
        """Count one; ``problem`` is what is wrong with the first of them."""
        if not self._count and problem:
            self._problem = problem
        self._count += 1
        if len(self._places) < PLACES:
            self._places.append(Place(line=line, time=None, field=name, value=text))

    def finding(self, kind: str) -> tuple[Finding, ...]:
        """Return the finding of all of them, if there were any."""
        if not self._count:
            return ()
        return (lost(kind, tuple(self._places), self._count, self._problem),)


def _joined(parts: list[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, kind)
