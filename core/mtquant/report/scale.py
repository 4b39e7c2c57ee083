"""Axes: where to put ticks, how to write them, and which points of a long series to draw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from mtquant.clock import SECOND

COLUMNS = 900
"""How many columns of pixels a chart is drawn for."""
_DAY_S = 86_400
_STEPS_S = (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, _DAY_S, 2 * _DAY_S)
_WEEK_S = 7 * _DAY_S
_MONTH_S = 30 * _DAY_S
_YEAR_S = 365 * _DAY_S
_TICKS = 6
_MONTHS = 12


def moment(at: int) -> datetime:
    """Return ``at`` (nanoseconds) as a UTC datetime."""
    return datetime.fromtimestamp(at // SECOND, UTC)


def write_day(at: int) -> str:
    """Return the day of ``at`` for people: 5 Jan 2026."""
    when = moment(at)
    return f"{when.day} {when:%b %Y}"


def pick(values: Sequence[float]) -> list[int]:
    """Return the indices to draw: the lowest and highest of each column, the first and last.

    So a spike of one bar among thousands stays visible at its full height.
    """
    count = len(values)
    if count <= 2 * COLUMNS:
        return list(range(count))
    chosen = {0, count - 1}
    for column in range(COLUMNS):
        span = range(column * count // COLUMNS, (column + 1) * count // COLUMNS)
        chosen.add(min(span, key=values.__getitem__))
        chosen.add(max(span, key=values.__getitem__))
    return sorted(chosen)


def value_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values from ``low`` to ``high``, at most about ``most`` of them."""
    rough = (high - low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 2.5, 5, 10) if unit * times >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def write_values(ticks: Sequence[float]) -> list[str]:
    """Return the ticks as text, with as many places as it takes to tell them apart."""
    places = 0
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    while places < 8 and abs(round(step, places) - step) > step * 1e-6:  # noqa: PLR2004 - enough
        places += 1
    return [f"{tick:,.{places}f}".replace("-", "\N{MINUS SIGN}") for tick in ticks]


def time_ticks(start: int, end: int) -> list[tuple[int, str]]:
    """Return round moments from ``start`` to ``end`` (nanoseconds) and how to write each."""
    span = max(1, (end - start) // SECOND)
    if span > 3 * _YEAR_S:
        years = next(n for n in (1, 2, 5, 10, 25, 100, 10_000) if span / (n * _YEAR_S) <= _TICKS)
        found = _months(start, end, years * _MONTHS)
        return [(at, f"{moment(at):%Y}") for at in found]
    if span > _TICKS * _WEEK_S:
        months = next(n for n in (1, 2, 3, 6, 12) if span / (n * _MONTH_S) <= _TICKS + 1)
        return [(at, f"{moment(at):%b %Y}") for at in _months(start, end, months)]
    step = next((n for n in _STEPS_S if span / n <= _TICKS), _WEEK_S) * SECOND
    shape = "%d %b" if step >= _DAY_S * SECOND else "%H:%M"
    first = -(-start // step) * step
    return [(at, f"{moment(at):{shape}}") for at in range(first, end + 1, step)]


def _months(start: int, end: int, step: int) -> Iterator[int]:
    """Yield the first moment of every ``step``-th month since year 0 within the span."""
    first = moment(start)
    index = -(-(first.year * _MONTHS + first.month - 1) // step) * step
    while True:
        year, month = divmod(index, _MONTHS)
        at = int((datetime(year, month + 1, 1, tzinfo=UTC) - _EPOCH) / timedelta(seconds=1))
        if at * SECOND > end:
            return
        if at * SECOND >= start:
            yield at * SECOND
        index += step


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
