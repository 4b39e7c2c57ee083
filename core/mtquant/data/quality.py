"""What is wrong with prices, so that they must not be traded on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mtquant.clock import SECOND
from mtquant.data.fields import Integers
from mtquant.data.table import PLACES, Finding, Place, Severity, Table
from mtquant.errors import ConfigError
from mtquant.model.arrays import BarArrays
from mtquant.model.terms import Timeframe

_FIX = "Correct or remove the line."


def bars_of(table: Table, symbol: str, timeframe: Timeframe) -> BarArrays:
    """Return the bars in ``table``; raises ConfigError where something is wrong with them."""
    table.refuse(errors(table, timeframe))
    if not len(table):
        raise nothing(table)
    columns = table.columns
    return BarArrays(
        instrument=symbol,
        timeframe=timeframe,
        time=table.time,
        open=columns["open"],
        high=columns["high"],
        low=columns["low"],
        close=columns["close"],
        volume=columns["volume"],
    )


def nothing(table: Table) -> ConfigError:
    """Return the error of a file without a row."""
    what = table.dialect.what.removesuffix("s")
    return ConfigError(table.where, f"it holds no {what}", "Give a file with at least one.")


def errors(table: Table, timeframe: Timeframe | None = None) -> list[Finding]:
    """Return what makes ``table`` useless as it is, by kind; ``timeframe`` is that of its bars.

    Times and lines that can't be read, numbers that are none or not above zero, a high or low
    that doesn't enclose open and close, a bid above its ask, rows out of order, and bars that
    bear one time or begin before the one before them is over.
    """
    found = [*table.lost, *_values(table)]
    found += _quotes(table) if table.dialect.what == "quotes" else _bars(table)
    found += _order(table)
    if table.dialect.what == "bars" and timeframe is not None:
        found += _successors(table, timeframe)
    return found


def find(
    table: Table,
    kind: str,
    rows: Integers,
    told: tuple[str, str, str],
    name: str | Callable[[int], str] = "time",
    severity: Severity = Severity.ERROR,
) -> Iterator[Finding]:
    """Yield the finding at ``rows``, if there are any.

    ``told`` are what the first value is, what all of them are, and the remedy; ``name`` is the
    column, or tells it by the row.
    """
    if rows.size:
        places = [_place(table, row, name) for row in rows[:PLACES].tolist()]
        problem, sentence, remedy = told
        yield Finding(
            kind=kind,
            severity=severity,
            count=rows.size,
            places=tuple(places),
            problem=problem,
            sentence=sentence,
            remedy=remedy,
        )


def _place(table: Table, row: int, name: str | Callable[[int], str]) -> Place:
    return table.place(row, name if isinstance(name, str) else name(row))


def _values(table: Table) -> Iterator[Finding]:
    """Yield what is wrong with single numbers."""
    names = (*table.prices, "volume")
    columns = [table.columns[name] for name in names]

    def where(wrong: Callable[[NDArray[np.float64]], NDArray[np.bool_]]) -> Callable[[int], str]:
        return lambda row: next(
            name for name, each in zip(names, columns, strict=True) if wrong(each[row : row + 1])[0]
        )

    infinite = _rows([~np.isfinite(each) for each in columns])
    told = ("not a finite number", "prices or volumes are no finite numbers", _FIX)
    yield from find(table, "number", infinite, told, where(lambda each: ~np.isfinite(each)))
    low = _rows([each <= 0 for each in columns[:-1]])
    told = ("not above zero", "prices aren't above zero", _FIX)
    yield from find(table, "price", low, told, where(lambda each: each <= 0))
    less = np.flatnonzero(columns[-1] < 0)
    yield from find(table, "volume", less, ("below zero", "volumes are below zero", _FIX), "volume")


def _rows(wrong: list[NDArray[np.bool_]]) -> Integers:
    found = np.logical_or.reduce(wrong)
    return np.flatnonzero(found)


def _bars(table: Table) -> Iterator[Finding]:
    """Yield the bars whose high and low don't enclose the rest."""
    opened, high, low, close = (table.columns[name] for name in table.prices)
    above = np.flatnonzero(high < np.maximum(np.maximum(opened, close), low))
    told = ("below open, low or close", "highs are below open, low or close", "Correct the bar.")
    yield from find(table, "high", above, told, "high")
    below = np.flatnonzero((low > np.minimum(opened, close)) & (high >= low))
    told = ("above open or close", "lows are above open or close", "Correct the bar.")
    yield from find(table, "low", below, told, "low")


def _quotes(table: Table) -> Iterator[Finding]:
    """Yield the quotes whose bid is above their ask."""
    crossed = np.flatnonzero(table.columns["bid"] > table.columns["ask"])
    if crossed.size:
        ask = table.place(int(crossed[0]), "ask").value
        told = (f"above the ask {ask}", "bids are above their ask", "Remove the quote.")
        yield from find(table, "crossed", crossed, told, "bid")


def _order(table: Table) -> Iterator[Finding]:
    what = table.dialect.what
    earlier = np.flatnonzero(np.diff(table.time) < 0) + 1
    told = (
        f"earlier than the {what.removesuffix('s')} before",
        f"{what} are earlier than the one before",
        "Sort the file by time.",
    )
    yield from find(table, "order", earlier, told)


def _successors(table: Table, timeframe: Timeframe) -> Iterator[Finding]:
    """Yield the bars that bear the time of another, or begin before the one before is over."""
    order, steps = steps_of(table)
    same = steps == 0
    if same.any():
        alike = identical(table, order)
        for kind, rows, sentence in (
            ("duplicate", same & alike, "bars are there twice"),
            ("conflict", same & ~alike, "bars bear the time of another, with other prices"),
        ):
            told = ("the time of the bar before too", sentence, "Remove one of the two.")
            yield from find(table, kind, _later(order, rows), told)
    if order is not None:
        return  # what is near to what, is told once the file is sorted
    close = (steps > 0) & (steps < timeframe.seconds * SECOND)
    rows = np.flatnonzero(close) + 1
    if rows.size:
        gap = float(steps[rows[0] - 1]) / SECOND
        told = (
            f"{gap:g} s after the bar before, while the timeframe is {timeframe}",
            f"bars begin before the one before is over, while the timeframe is {timeframe}",
            "Set the timeframe that the file has.",
        )
        yield from find(table, "timeframe", rows, told)


def steps_of(table: Table) -> tuple[Integers | None, Integers]:
    """Return the order by time, None where the rows are in it, and the steps between the rows."""
    steps = np.diff(table.time)
    if not (steps < 0).any():
        return None, steps
    order = np.argsort(table.time, kind="stable")
    return order, np.diff(table.time[order])


def identical(table: Table, order: Integers | None) -> NDArray[np.bool_]:
    """Return of each row but the first, in ``order``, whether its values are those before it."""
    alike = np.ones(max(0, len(table) - 1), dtype=np.bool_)
    for column in table.columns.values():
        values = column if order is None else column[order]
        alike &= (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    return alike


def _later(order: Integers | None, pairs: NDArray[np.bool_]) -> Integers:
    """Return the second row of each pair, in the file's order."""
    second = np.flatnonzero(pairs) + 1
    return second if order is None else np.sort(order[second])
