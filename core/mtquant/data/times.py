"""Times as files write them, and the zone that they are in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from mtquant.clock import SECOND
from mtquant.data.fields import PADDING, Fields, Integers
from mtquant.errors import ConfigError

UNREADABLE = np.iinfo(np.int64).min
"""Stands for a time that can't be read."""
_DATES = (
    r"(?P<year>\d{4})(?P<between>[-./])(?P<month>\d\d)(?P=between)(?P<day>\d\d)",
    r"(?P<day>\d\d)\.(?P<month>\d\d)\.(?P<year>\d{4})",
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
)
_CLOCKS = (
    "",
    r"[Tt ,;\t](?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)([.,](?P<fraction>\d{1,9}))?)?",
    r"[ ,;\t](?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?P<fraction>\d{3})?",
)
_OFFSET = r"(?P<sign>[+-])(?P<ahead>\d\d):?(?P<ahead_minute>\d\d)"
_ZONE = rf"(?P<zone>[Zz]| ?(GMT|UTC)| ?(GMT|UTC)?{_OFFSET})?"
_LAYOUTS = tuple(re.compile(date + clock + _ZONE, re.ASCII) for date in _DATES for clock in _CLOCKS)
_PARTS = ("year", "month", "day", "hour", "minute", "second", "fraction", "ahead", "ahead_minute")
_FIRST_YEAR, _LAST_YEAR = 1700, 2261  # what nanoseconds in 64 bits can tell
_MINUS = ord("-")
_SHAPES = 24
_DAY = 86_400 * SECOND
_SHIFTED = re.compile(r"(.+?)([+-]\d{1,2})")


def times(column: Fields) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the times in ``column`` and which of them name their zone.

    Nanoseconds since the epoch: UTC where the zone is named, by the file's own clock elsewhere,
    ``UNREADABLE`` where the text isn't a time. Read are dates as ``2026-01-31`` (or with points
    or slashes), ``31.01.2026`` and ``20260131``; alone, or followed by a clock as ``09:30``,
    ``09:30:00``, ``09:30:00.123`` or ``093000``; and ``Z``, ``+02:00`` or ``GMT+0200``.
    """
    found = np.full(len(column), UNREADABLE, dtype=np.int64)
    zoned = np.zeros(len(column), dtype=np.bool_)
    lengths = column.lengths()
    waiting = np.arange(len(column))
    for _ in range(_SHAPES):
        if not waiting.size:
            return found, zoned
        alike = lengths[waiting] == lengths[waiting[0]]
        rows = waiting[alike]
        read = _alike(column, rows, found, zoned)
        read[0] = True  # if it couldn't be read, it never will
        waiting = np.concatenate([waiting[~alike], rows[~read]])
    for row in waiting.tolist():
        _alike(column, np.array([row]), found, zoned)
    return found, zoned


def _alike(
    column: Fields, rows: Integers, found: Integers, zoned: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Read those of ``rows`` that are written as the first is; return which they are."""
    text = column.raw(int(rows[0])).decode()
    layout = next((match for each in _LAYOUTS if (match := each.fullmatch(text))), None)
    if layout is None or len(text) > PADDING or not text.isascii():
        return np.zeros(len(rows), dtype=np.bool_)
    characters = column.characters(rows, len(text))
    spans = {name: layout.span(name) for name in _PARTS if layout.groupdict().get(name)}
    free = np.zeros(len(text), dtype=np.bool_)
    for start, end in spans.values():
        free[start:end] = True
    figures = characters - np.uint8(ord("0"))
    sign = layout.start("sign")
    if sign >= 0:
        free[sign] = True
        figures[:, sign] = 0
    same = (characters[:, ~free] == characters[0, ~free]).all(axis=1)
    read: NDArray[np.bool_] = same & (figures[:, free] <= 9).all(axis=1)  # noqa: PLR2004 - a digit
    parts = {
        name: figures[:, start:end].astype(np.int64) @ 10 ** np.arange(end - start - 1, -1, -1)
        for name, (start, end) in spans.items()
    }
    if "fraction" in spans:
        start, end = spans["fraction"]
        parts["fraction"] *= 10 ** (9 - (end - start))
    if sign >= 0:
        side = characters[:, sign]
        read &= (side == _MINUS) | (side == ord("+"))
        parts["ahead"] = np.where(side == _MINUS, -1, 1) * (
            parts["ahead"] * 60 + parts["ahead_minute"]
        )
    moments, exists = _moments(parts)
    found[rows[read]] = np.where(exists, moments, UNREADABLE)[read]
    zoned[rows[read]] = layout["zone"] is not None
    return read


def _moments(parts: dict[str, Integers]) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the moments that have these parts, and which of them there are."""
    year, month, day = parts["year"], parts["month"], parts["day"]
    none = np.zeros(len(year), dtype=np.int64)
    hour, minute, second = (parts.get(name, none) for name in ("hour", "minute", "second"))
    exists = (year >= _FIRST_YEAR) & (year <= _LAST_YEAR) & (month >= 1) & (month <= 12)  # noqa: PLR2004 - a year's months
    first = ((np.where(exists, year, 1970) - 1970) * 12 + np.where(exists, month, 1) - 1).astype(
        "datetime64[M]"
    )
    days = first.astype("datetime64[D]").astype(np.int64)
    length = (first + 1).astype("datetime64[D]").astype(np.int64) - days
    exists &= (day >= 1) & (day <= length) & (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004 - a clock's face
    exists &= parts.get("ahead_minute", none) < 60  # noqa: PLR2004 - likewise
    minutes = ((days + day - 1) * 24 + hour) * 60 + minute - parts.get("ahead", none)
    return (minutes * 60 + second) * SECOND + parts.get("fraction", none), exists


class Zone:
    """A zone by its IANA name, such as ``America/New_York``, and hours added to it, if any.

    ``America/New_York+7`` is what most MetaTrader brokers keep: midnight there is 17:00 in New
    York all year round, which no zone of its own has. Raises ConfigError where there is no such
    zone.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._shift = timedelta(0)
        found = _zone(name)
        shifted = _SHIFTED.fullmatch(name)
        if found is None and shifted:
            found, self._shift = _zone(shifted[1]), timedelta(hours=int(shifted[2]))
        if found is None:
            raise ConfigError(
                "time_zone",
                f"{name!r} is no zone",
                "Write UTC, Europe/Athens, Etc/GMT+5 (New York without daylight saving), or"
                " America/New_York+7 (brokers' time).",
            )
        self._zone = found

    def utc(self, clock: Integers) -> Integers:
        """Return the moments at which the clock showed ``clock``, nanoseconds since the epoch.

        An hour that the clock shows twice is taken for the first, unless that isn't later than
        the row before; an hour that it skips, by the offset before the change (PEP 495).
        """
        found = clock.copy()
        days = clock // _DAY
        edges = np.flatnonzero(np.diff(days)) + 1
        last: int | None = None
        for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(days)], strict=True):
            midnight = int(days[start]) * _DAY if end > start else 0
            offsets = [self._offset(midnight + hours * 3600 * SECOND) for hours in (-3, 27)]
            if offsets[0] == offsets[1]:
                found[start:end] -= offsets[0]
                last = int(found[end - 1]) if end > start else None
                continue
            for row in range(start, end):  # the few days on which the clock is changed
                shown = int(clock[row])
                early, late = (shown - self._offset(shown, fold) for fold in (0, 1))
                moment = late if last is not None and early <= last < late else early
                found[row] = last = moment
        return found

    def _offset(self, clock: int, fold: int = 0) -> int:
        local = datetime(1970, 1, 1) + timedelta(microseconds=clock // 1000) - self._shift  # noqa: DTZ001 - a wall clock
        offset = local.replace(tzinfo=self._zone, fold=fold).utcoffset() or timedelta(0)
        return round((offset + self._shift).total_seconds()) * SECOND


def settled(clock: Integers, zoned: NDArray[np.bool_], zone: Zone | None) -> Integers:
    """Return ``clock`` in UTC: as it is where ``zoned``, elsewhere from ``zone``, if given."""
    if zone is None or zoned.all():
        return clock
    moments = clock.copy()
    moments[~zoned] = zone.utc(clock[~zoned])
    return moments


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def spoken(moment: int) -> str:
    """Return ``moment``, nanoseconds UTC, for people: such as ``Fri 2012-02-03 21:59``."""
    found = datetime.fromtimestamp(moment // SECOND, UTC)
    return found.strftime("%a %Y-%m-%d %H:%M" if moment % (60 * SECOND) == 0 else "%a %Y-%m-%d %X")
