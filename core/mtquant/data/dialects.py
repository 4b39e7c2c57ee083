"""What kind of file it is: its separator, its header, and what its columns hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mtquant.errors import ConfigError

PRICES = {"bars": ("open", "high", "low", "close"), "quotes": ("bid", "ask")}
"""The columns of prices that bars and quotes have."""
_WHOLE_TIME = {"time", "date", "timestamp", "datetime", "gmttime", "localtime"}
_WHOLE_TIME |= {"indexlevel0"}  # how pandas names an index without a name, in Parquet
_NAMES = {"open": "open", "high": "high", "low": "low", "close": "close", "bid": "bid"}
_NAMES |= {"ask": "ask", "bidprice": "bid", "askprice": "ask"}
_VOLUMES = ("tickvolume", "tickvol", "volume", "vol")  # the first of them that is there is read
# What known exports have, and bars and quotes have no place for.
_UNUSED = {"bidvolume", "askvolume"}
_MT5_UNUSED = {"spread", "realvolume", "last", "flags"}
_COMPACT = re.compile(r"\d{8} \d{6}(\d{3})?")
_DATE = re.compile(r"\d{4}([-./])\d\d\1\d\d|\d\d\.\d\d\.\d{4}|\d{8}")
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d([.,]\d+)?)?")
_SEPARATORS = (";", "\t", ",")
_SPOKEN = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "blanks"}


class Layout(StrEnum):
    """The kinds of files that are told apart."""

    PLAIN = "plain"
    MT4 = "mt4"
    MT5 = "mt5"
    HISTDATA = "histdata"
    DUKASCOPY = "dukascopy"
    PARQUET = "parquet"
    FRAME = "frame"


_SPELLED = {
    Layout.PLAIN: "plain columns",
    Layout.MT4: "MetaTrader 4 export",
    Layout.MT5: "MetaTrader 5 export",
    Layout.HISTDATA: "histdata ASCII",
    Layout.DUKASCOPY: "Dukascopy export",
    Layout.PARQUET: "Parquet",
    Layout.FRAME: "DataFrame",
}
TEXT_LAYOUTS = (Layout.PLAIN, Layout.MT4, Layout.MT5, Layout.HISTDATA, Layout.DUKASCOPY)
"""Those that can be asked for, of a text file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a file is written.

    ``columns`` are, in the file's order, what each holds: ``time`` (a date, or date and clock),
    ``date`` and ``clock`` beside each other, ``open``, ``high``, ``low``, ``close``, ``bid``,
    ``ask``, ``volume``, or nothing where it isn't read. ``names`` are the header's own words, empty
    where there is no header. ``what`` is ``bars`` or ``quotes``.
    """

    layout: Layout
    separator: str
    columns: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """Return whether it holds bars or quotes."""
        return "quotes" if "bid" in self.columns else "bars"

    @property
    def prices(self) -> tuple[str, ...]:
        """Return the names of its columns of prices."""
        return PRICES[self.what]

    @property
    def unread(self) -> tuple[str, ...]:
        """Return the names of the columns that aren't read."""
        pairs = zip(self.names, self.columns, strict=True) if self.names else ()
        return tuple(name for name, column in pairs if not column)

    def __str__(self) -> str:
        """Return what it is, for people."""
        if self.layout in {Layout.PARQUET, Layout.FRAME}:
            return f"{_SPELLED[self.layout]}, {self.what}"
        header = "with a header" if self.names else "without a header"
        columns = ", ".join(each for each in self.columns if each)
        return (
            f"{_SPELLED[self.layout]}, {self.what}, separated by {_SPOKEN[self.separator]},"
            f" {header}: {columns}"
        )


def detect(
    lines: Sequence[str], where: str, wanted: str | None = None, layout: str | None = None
) -> Dialect:
    """Return how a file that begins with ``lines`` is written.

    ``wanted`` is ``bars`` or ``quotes`` where only one will do; ``layout`` overrules what it looks
    like. Raises ConfigError where the columns can't be told, or aren't what is wanted.
    """
    first = lines[0] if lines else ""
    separator = next((each for each in _SEPARATORS if each in first), " ")
    parts = first.split() if separator == " " else first.split(separator)
    fields = [each.strip() for each in parts] or [""]
    if layout is not None and layout not in TEXT_LAYOUTS:
        raise ConfigError("dialect", f"{layout!r} is none", f"Use {', '.join(TEXT_LAYOUTS)}.")
    headless = layout in {None, Layout.PLAIN} and _headless(fields)
    if headless or layout in {Layout.MT4, Layout.HISTDATA}:
        found = _without_header(fields, separator, layout)
    else:
        found = _with_header(fields, separator, layout)
    if found is None or (wanted is not None and found.what != wanted):
        raise header_error(where, fields, wanted or "bars", layout)
    return found


def header_error(
    where: str, fields: Sequence[str], what: str, layout: str | None = None
) -> ConfigError:
    """Return the error of columns that can't be told apart."""
    shown = ",".join(fields)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."  # noqa: PLR2004 - a line's width
    asked = "" if layout is None else f" of the dialect {layout}"
    return ConfigError(
        f"{where}, line 1, header",
        f"{shown!r} is not the names of the columns{asked}",
        f"Name them {','.join(('time', *PRICES[what]))} and, if there is one, volume.",
    )


def roles(names: Sequence[str], *, others: bool = False) -> tuple[str, ...] | None:
    """Return what each of the named columns holds, by its name; None where that isn't clear.

    With ``others``, columns of unknown names hold nothing; without, they make it unclear.
    """
    plain = [re.sub(r"[<>_ ]", "", name).lower() for name in names]
    if len(set(plain)) < len(plain):
        return None
    volume = next((each for each in _VOLUMES if each in plain), None)
    metatrader = any("tickvol" in each for each in plain) or any("<" in each for each in names)
    unused = _UNUSED | (_MT5_UNUSED | set(_VOLUMES) if metatrader else set())
    apart = "date" in plain and "time" in plain
    found, unknown = [], "" if others else "?"
    for name in plain:
        if name in _WHOLE_TIME:
            found.append({"date": "date", "time": "clock"}.get(name, "?") if apart else "time")
        elif name == volume:
            found.append("volume")
        else:
            found.append(_NAMES.get(name, "" if name in unused else unknown))
    return tuple(found) if _complete(found) else None


def _complete(found: Sequence[str]) -> bool:
    """Return True where ``found`` has one time and the prices of either bars or quotes."""
    read = [each for each in found if each and each != "volume"]
    if read.count("date") and found.index("clock") != found.index("date") + 1:
        return False
    times = {"time"} if "time" in read else {"date", "clock"}
    once = len(set(read)) == len(read)
    return once and any(set(read) == times | set(each) for each in PRICES.values())


def _headless(fields: Sequence[str]) -> bool:
    """Return True where the first line is a row already."""
    return bool(fields) and bool(re.fullmatch(r"\d.*", fields[0]))


def _without_header(fields: Sequence[str], separator: str, layout: str | None) -> Dialect | None:
    """Return the dialect of a file whose first row is ``fields``; None where it isn't clear."""
    compact = bool(_COMPACT.fullmatch(fields[0]))
    apart = len(fields) > 1 and bool(_DATE.fullmatch(fields[0]) and _CLOCK.fullmatch(fields[1]))
    if separator == " " and _COMPACT.fullmatch(" ".join(fields[:2])):
        compact, apart = True, True
    times = ("date", "clock") if apart else ("time",)
    values = {
        2: PRICES["quotes"],
        3: (*PRICES["quotes"], "volume"),
        4: PRICES["bars"],
        5: (*PRICES["bars"], "volume"),
    }.get(len(fields) - len(times))
    if values is None:
        return None
    if layout is None:
        layout = Layout.HISTDATA if compact else Layout.MT4 if apart else Layout.PLAIN
    if layout == Layout.MT4 and not apart:
        return None
    return Dialect(layout=Layout(layout), separator=separator, columns=(*times, *values))


def _with_header(fields: Sequence[str], separator: str, layout: str | None) -> Dialect | None:
    """Return the dialect of a file whose header is ``fields``; None where it isn't clear."""
    found = roles(fields)
    if found is None:
        return None
    if layout is None:
        plain = {re.sub(r"[<>_ ]", "", each).lower() for each in fields}
        told = Layout.DUKASCOPY if plain & {"gmttime", "localtime"} else Layout.PLAIN
        layout = Layout.MT5 if any("<" in each for each in fields) else told
    return Dialect(layout=Layout(layout), separator=separator, columns=found, names=tuple(fields))
