"""Candles of OANDA's granularities, made of the recorded bars, aligned to New York's days."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mtquant.clock import SECOND
from mtquant.exchange import Exchange
from mtquant.model import Bars
from mtquant_simulators.oanda import text
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.prices import Tape
from mtquant_simulators.oanda.text import Moment

_HOUR = 3600
DAY = 24 * _HOUR
GRANULARITIES = {
    "S5": 5,
    "S10": 10,
    "S15": 15,
    "S30": 30,
    "M1": 60,
    "M2": 120,
    "M4": 240,
    "M5": 300,
    "M10": 600,
    "M15": 900,
    "M30": 1800,
    "H1": _HOUR,
    "H2": 2 * _HOUR,
    "H3": 3 * _HOUR,
    "H4": 4 * _HOUR,
    "H6": 6 * _HOUR,
    "H8": 8 * _HOUR,
    "H12": 12 * _HOUR,
    "D": DAY,
    "W": 7 * DAY,
    "M": 31 * DAY,
}
"""The length of a candle in seconds; a day may have an hour more or less, a month fewer days."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_QUARTER = 900
_NOON = 12
_LONGEST_DAY = 26 * _HOUR


@dataclass(frozen=True, slots=True)
class Grid:
    """Where candles begin: ``hour`` of the day in ``zone``, weeks on ``weekday`` (Monday is 0)."""

    granularity: str
    hour: int = 17
    zone: str = "America/New_York"
    weekday: int = 4

    def start(self, time: int) -> int:
        """Return when the candle that holds ``time`` begins; nanoseconds UTC, as ``time``."""
        seconds = time // SECOND
        length = GRANULARITIES[self.granularity]
        if length <= _HOUR:
            return (seconds - seconds % length) * SECOND
        day = _day(self.zone, self.hour, seconds // _QUARTER)
        if self.granularity == "W":
            return _week(self.zone, self.hour, self.weekday, day) * SECOND
        if self.granularity == "M":
            return _month(self.zone, self.hour, day) * SECOND
        return (seconds - (seconds - day) % length) * SECOND

    def end(self, start: int) -> int:
        """Return when the candle that begins at ``start`` ends."""
        length = GRANULARITIES[self.granularity]
        if length <= _HOUR:
            return start + length * SECOND
        if length < DAY:
            day = _day(self.zone, self.hour, start // SECOND // _QUARTER)
            following = _day(self.zone, self.hour, (day + _LONGEST_DAY) // _QUARTER)
            return min(start + length * SECOND, following * SECOND)
        return self.start(start + (length + 2 * _HOUR) * SECOND)


def zone_exists(name: str) -> bool:
    """Tell whether ``name`` is a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@lru_cache(maxsize=65536)
def _day(zone: str, hour: int, quarter: int) -> int:
    """Return when the trading day of a quarter of an hour begins, in seconds UTC."""
    local = datetime.fromtimestamp(quarter * _QUARTER, UTC).astimezone(ZoneInfo(zone))
    start = local.replace(hour=hour, minute=0, second=0, microsecond=0, fold=0)
    if start > local:
        start -= timedelta(days=1)
    return int(start.timestamp())


def _local(zone: str, seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(zone))


@lru_cache(maxsize=4096)
def _week(zone: str, hour: int, weekday: int, day: int) -> int:
    local = _local(zone, day)
    start = local - timedelta(days=(local.weekday() - weekday) % 7)
    return int(start.replace(hour=hour).timestamp())


@lru_cache(maxsize=4096)
def _month(zone: str, hour: int, day: int) -> int:
    """Return when the month begins: with the trading day that mostly lies on its first."""
    shift = timedelta(days=1 if hour >= _NOON else 0)
    label = _local(zone, day) + shift
    start = label.replace(day=1) - shift
    return int(start.replace(hour=hour).timestamp())


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which candles: of which ``sides`` (M, B, A), from and to a time, at most ``count``."""

    symbol: str
    grid: Grid
    sides: str
    count: int
    first: int | None = None
    to: int | None = None
    include_first: bool = True


class Candles:
    """Makes candles of what ``tape`` has recorded and ``now`` has been known."""

    def __init__(self, tape: Tape, exchange: Exchange, now: int) -> None:
        self._tape, self._exchange, self._now = tape, exchange, now

    def of(self, wanted: Wanted) -> list[Json]:
        """Return the candles, the oldest first; times without a bar have none."""
        bars = self._tape.bars[wanted.symbol]
        groups = self._groups(bars, wanted)
        return [self._candle(wanted, start, low, high) for start, low, high in groups]

    def _groups(self, bars: Bars, wanted: Wanted) -> list[tuple[int, int, int]]:
        """Return each candle's beginning with the range of its bars."""
        grid, times = wanted.grid, bars.time
        known = bisect_right(times, self._now - self._tape.length)
        last = known if wanted.to is None else min(known, bisect_left(times, wanted.to))
        if wanted.first is None:
            found = list(_backwards(grid, times, last, wanted.count))
            return found[::-1]
        begin = grid.start(wanted.first)
        if not wanted.include_first:
            begin = grid.end(begin)
        return list(_forwards(grid, times, (bisect_left(times, begin), last), wanted.count))

    def _candle(self, wanted: Wanted, start: int, low: int, high: int) -> Json:
        bars = self._tape.bars[wanted.symbol]
        candle: Json = {
            "time": Moment(start),
            "volume": sum(max(1, round(each)) for each in bars.volume[low:high]),
            "complete": wanted.grid.end(start) <= self._now,
        }
        for side, name in (("M", "mid"), ("B", "bid"), ("A", "ask")):
            if side in wanted.sides:
                candle[name] = self._data(wanted.symbol, side, low, high)
        return candle

    def _data(self, symbol: str, side: str, low: int, high: int) -> Json:
        """Return the four prices of one side; a mid has bid and ask half the spread away."""
        each, terms = self._exchange.instruments[symbol], self._exchange.terms[symbol]
        recorded = self._tape.sides.get(symbol)
        if recorded is not None and side != "M":
            bars, shift = recorded["BA".index(side)], Decimal(0)
        else:
            half = terms.spread_pips * (each.pip_size or each.price_step) / 2
            way = {"M": 0, "B": -1, "A": 1}[side]
            bars, shift = self._tape.bars[symbol], way * half
        values = {
            "o": bars.open[low],
            "h": max(bars.high[low:high]),
            "l": min(bars.low[low:high]),
            "c": bars.close[high - 1],
        }
        return {
            key: text.price(Decimal(repr(float(value))) + shift, each)
            for key, value in values.items()
        }


def _forwards(
    grid: Grid, times: tuple[int, ...], within: tuple[int, int], count: int
) -> Iterator[tuple[int, int, int]]:
    low, last = within
    while low < last and count:
        start = grid.start(times[low])
        high = bisect_left(times, grid.end(start), low, last)
        yield start, low, high
        low, count = high, count - 1


def _backwards(
    grid: Grid, times: tuple[int, ...], last: int, count: int
) -> Iterator[tuple[int, int, int]]:
    while last > 0 and count:
        start = grid.start(times[last - 1])
        low = bisect_left(times, start, 0, last)
        yield start, low, last
        last, count = low, count - 1
