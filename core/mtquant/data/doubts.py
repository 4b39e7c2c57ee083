"""What prices make one doubt, although they can be used: gaps, spikes, the wrong zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mtquant.clock import SECOND
from mtquant.data.dialects import Layout
from mtquant.data.points import whole_numbers
from mtquant.data.quality import find
from mtquant.data.table import PLACES, Finding, Severity, Table
from mtquant.data.week import DAY, HOUR, WEEK, Week
from mtquant.model.terms import Timeframe

_SPIKE = 10.0
"""How many robust deviations a bar must lie off both neighbours to be a spike."""
_TO_DEVIATION = 1.4826  # from the median of what is normally distributed to its deviation
_LATE_FRIDAY = 4 * DAY + 22 * HOUR  # after the currencies' week has ended, in UTC
_SATURDAY, _SUNDAY = 5, 6
_HALF, _HARDLY, _NEARLY = 0.5, 0.1, 0.9
_BROKERS = (
    "Set time_zone: America/New_York+7 where midnight is 17:00 in New York, as with most brokers."
)


def warnings(table: Table, timeframe: Timeframe | None) -> list[Finding]:
    """Return what to look at in ``table``, which is repaired: sorted, and each row usable.

    Bars off the grid of ``timeframe`` or of a longer one, bars missing while the market trades,
    bars off both neighbours, weekends filled with bars in which nothing moved, whole numbers that
    may be points, and times that aren't in UTC by the look of them.
    """
    found = [*_zone(table), *_whole(table)]
    if table.dialect.what == "bars" and timeframe is not None and len(table) > 1:
        found += [
            *_steps(table, timeframe),
            *_grid(table, timeframe),
            *_gaps(table, timeframe),
            *_spikes(table),
            *_still_weekends(table),
        ]
    return found


def likely_timeframe(table: Table) -> Timeframe | None:
    """Return the timeframe of which the step between bars is the most frequent; None if none is."""
    steps = np.diff(np.sort(table.time))
    values, counts = np.unique(steps[steps > 0], return_counts=True)
    if not values.size:
        return None
    common = int(values[counts.argmax()])
    return next((each for each in Timeframe if each.seconds * SECOND == common), None)


def _steps(table: Table, timeframe: Timeframe) -> Iterator[Finding]:
    """Yield that most bars are further apart than their timeframe."""
    likely = likely_timeframe(table)
    if likely is not None and likely.seconds > timeframe.seconds:
        yield _whole_file(
            table,
            "timeframe",
            f"bars are {likely} by their distance, not {timeframe}",
            f"Set the timeframe {likely}.",
        )


def _grid(table: Table, timeframe: Timeframe) -> Iterator[Finding]:
    off = np.flatnonzero(table.clock % (timeframe.seconds * SECOND) != 0)
    told = (
        f"not where a bar of {timeframe} begins",
        f"bars don't begin where a bar of {timeframe} does, by the file's clock",
        "Check the timeframe, and the time zone if one is given.",
    )
    yield from find(table, "grid", off, told, severity=Severity.WARNING)


def _gaps(table: Table, timeframe: Timeframe) -> Iterator[Finding]:
    """Yield the bars that are missing, the widest gaps first."""
    length = timeframe.seconds * SECOND
    likely = likely_timeframe(table)
    if likely is not None and likely is not timeframe:
        return
    clock = np.sort(table.clock)
    missing = Week.of(clock, timeframe).expected(clock[:-1] + length, clock[1:])
    holes = np.flatnonzero((missing > 0) & (np.diff(clock) > length))
    if not holes.size:
        return
    widest = holes[np.argsort(-missing[holes], kind="stable")][:PLACES]
    places = [
        replace(table.place(row, "time"), value=f"{_bars(int(missing[row]))} missing after it")
        for row in widest.tolist()
    ]
    total = int(missing[holes].sum())
    gaps = f"{holes.size:,} gaps" if holes.size > 1 else "1 gap"
    yield Finding(
        kind="gap",
        severity=Severity.WARNING,
        count=total,
        places=tuple(places),
        problem="followed by a gap",
        sentence=f"bars are missing in {gaps} while the market trades (holidays among them;"
        " weekends aren't counted)",
        remedy="A strategy sees the next bar after a gap as if it followed; nothing is filled in.",
    )


def _bars(count: int) -> str:
    return f"{count:,} bars" if count > 1 else "1 bar"


def _spikes(table: Table) -> Iterator[Finding]:
    """Yield the bars that lie off both neighbours: the market left, and was back at once."""
    if len(table) <= 2:  # noqa: PLR2004 - neighbours on both sides
        return
    high, low, close = (np.log(table.columns[name]) for name in ("high", "low", "close"))
    moves = np.abs(np.diff(close))
    deviation = _TO_DEVIATION * float(np.median(moves)) or float(moves.mean())
    above = low[1:-1] - np.maximum(high[:-2], high[2:])
    below = np.minimum(low[:-2], low[2:]) - high[1:-1]
    off = np.flatnonzero(np.maximum(above, below) > _SPIKE * deviation) + 1
    told = (
        "off both neighbours",
        f"bars lie wholly off both neighbours, by over {_SPIKE:g} times the usual move of a bar",
        "Look at them: a wrong price triggers stops and limits that no market would have.",
    )
    yield from find(table, "spike", off, told, "close", Severity.WARNING)


def _still_weekends(table: Table) -> Iterator[Finding]:
    """Yield the bars of Saturdays, where nothing is traded on those."""
    flat = table.columns["volume"] == 0
    for name in table.prices[1:]:
        flat &= table.columns[name] == table.columns["open"]
    saturday = (table.clock - 4 * DAY) // DAY % 7 == _SATURDAY
    rows = np.flatnonzero(flat & saturday)
    if rows.size < _NEARLY * np.count_nonzero(saturday):
        return  # this market trades on Saturdays
    told = (
        "a bar of a closed market",
        "bars of Saturdays have no volume and no move: the export filled the weekends up",
        "Export without flat bars; indicators count them like any other.",
    )
    yield from find(table, "weekend", rows, told, severity=Severity.WARNING)


def _whole(table: Table) -> Iterator[Finding]:
    if not table.notes and whole_numbers(table):
        yield _whole_file(
            table,
            "whole_prices",
            "every price is a whole number, and was taken as it is",
            "If they are points, give the symbol, or what a point is worth.",
        )


def _zone(table: Table) -> Iterator[Finding]:
    """Yield that times which were taken for UTC are another zone's."""
    if not table.naive or table.time_zone is not None or not len(table):
        return
    if table.dialect.layout is Layout.HISTDATA:
        yield _whole_file(
            table,
            "time_zone",
            "histdata writes New York's time without daylight saving; it was taken for UTC",
            "Set time_zone Etc/GMT+5.",
        )
    elif _ends_late_on_fridays(table):
        yield _whole_file(
            table,
            "time_zone",
            "times were taken for UTC, but bars run until midnight on Fridays and none is of a"
            " Sunday, as by brokers' clocks",
            _BROKERS,
        )
    elif table.dialect.layout in {Layout.MT4, Layout.MT5}:
        yield _whole_file(
            table,
            "time_zone",
            "MetaTrader writes its broker's time; it was taken for UTC",
            _BROKERS,
        )


def _ends_late_on_fridays(table: Table) -> bool:
    """Return True where the week is that of brokers' clocks, which UTC never shows."""
    inside = (table.clock - 4 * DAY) % WEEK  # since Monday
    weeks = max(1, np.unique((table.clock - 4 * DAY) // WEEK).size)

    def share(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
        return float(np.unique((table.clock[chosen] - 4 * DAY) // WEEK).size) / weeks

    late = share((inside >= _LATE_FRIDAY) & (inside < 5 * DAY))
    return weeks > 1 and late > _HALF and share(inside >= _SUNDAY * DAY) < _HARDLY


def _whole_file(table: Table, kind: str, sentence: str, remedy: str) -> Finding:
    """Return a warning of the file as a whole, which has no place of its own."""
    return Finding(
        kind=kind,
        severity=Severity.WARNING,
        count=len(table),
        places=(),
        problem=sentence,
        sentence=sentence,
        remedy=remedy,
    )
