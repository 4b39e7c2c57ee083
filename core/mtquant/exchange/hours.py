"""When the market is open, and when its day ends: wall-clock times in a zone with daylight saving.

A week is counted in minutes from Monday midnight in the instrument's own zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import model_validator

from mtquant.clock import SECOND
from mtquant.contract import Settings

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_SATURDAY = 5
_SESSION = re.compile(r"(\w{3}) (\d\d):(\d\d) ?- ?(\w{3}) (\d\d):(\d\d)", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d)", re.ASCII)


class Hours(Settings):
    """A ``time`` of each day, in ``time_zone``: such as 17:00 in New York."""

    time_zone: str
    time: str

    @model_validator(mode="after")
    def _readable(self) -> Hours:
        _zone(self.time_zone)
        _minutes(self.time)
        return self

    def after(self, moment: int) -> int:
        """Return the next such time after ``moment``, nanoseconds UTC, on a day from Mon to Fri.

        The market has no day that ends on a weekend.
        """
        return _next_after(self.time_zone, self.time, moment // (60 * SECOND)) * 60 * SECOND

    def weekday(self, moment: int) -> str:
        """Return the day of the week of ``moment`` in the zone, such as ``wed``."""
        return DAYS[_local(self.time_zone, moment).weekday()]


@dataclass(frozen=True, slots=True)
class Session:
    """A stretch of the week, in minutes of it; one that ends before it opens spans the weekend."""

    opens: str
    closes: str
    first: int
    last: int

    def holds(self, minute: int) -> bool:
        """Tell whether ``minute`` of the week lies in it."""
        if self.first < self.last:
            return self.first <= minute < self.last
        return minute >= self.first or minute < self.last


def read_sessions(texts: Iterable[str], time_zone: str) -> tuple[Session, ...]:
    """Return the sessions that ``texts`` such as ``sun 17:00 - fri 17:00`` name.

    Raises ValueError where one, or the zone, can't be read.
    """
    _zone(time_zone)
    return tuple(_session(each) for each in texts)


def is_open(sessions: tuple[Session, ...], time_zone: str, moment: int) -> bool:
    """Tell whether the market is open at ``moment``, nanoseconds UTC."""
    if not sessions:
        return True
    local = _local(time_zone, moment)
    minute = local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute
    return any(each.holds(minute) for each in sessions)


def _session(text: str) -> Session:
    match = _SESSION.fullmatch(text.strip().lower())
    msg = f"{text!r} is no session, such as 'sun 17:00 - fri 17:00'"
    if match is None or match[1] not in DAYS or match[4] not in DAYS:
        raise ValueError(msg)
    opens, closes = f"{match[1]} {match[2]}:{match[3]}", f"{match[4]} {match[5]}:{match[6]}"
    first = DAYS.index(match[1]) * _DAY_MINUTES + _minutes(f"{match[2]}:{match[3]}")
    last = DAYS.index(match[4]) * _DAY_MINUTES + _minutes(f"{match[5]}:{match[6]}")
    if first == last % _WEEK_MINUTES:
        raise ValueError(msg)
    return Session(opens, closes, first, last)


def _minutes(text: str) -> int:
    match = _TIME.fullmatch(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match else _DAY_MINUTES + 1
    if minutes > _DAY_MINUTES:
        msg = f"{text!r} is no time of day, such as 17:00"
        raise ValueError(msg)
    return minutes


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"{name!r} is no time zone, such as America/New_York"
        raise ValueError(msg) from None


def _local(time_zone: str, moment: int) -> datetime:
    return datetime.fromtimestamp(moment // SECOND, UTC).astimezone(_zone(time_zone))


@lru_cache(maxsize=4096)
def _next_after(time_zone: str, time: str, minute: int) -> int:
    zone = _zone(time_zone)
    local = datetime.fromtimestamp(minute * 60, UTC).astimezone(zone)
    hour, past = divmod(_minutes(time), 60)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    while True:
        # On the wall clock, which daylight saving moves against UTC.
        due = (day + timedelta(hours=hour, minutes=past)).replace(tzinfo=zone)
        found = int(due.astimezone(UTC).timestamp()) // 60
        if found > minute and due.weekday() < _SATURDAY:
            return found
        day += timedelta(days=1)
