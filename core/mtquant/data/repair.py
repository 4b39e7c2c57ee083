"""Put right what can be, and say what was done; no bar is ever made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mtquant.data.quality import identical
from mtquant.data.table import PLACES, Place, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One kind of thing that :func:`repair` did: how often, where first, and a sentence."""

    kind: str
    count: int
    places: tuple[Place, ...]
    sentence: str


def repair(table: Table) -> tuple[Table, tuple[Change, ...]]:
    """Return ``table`` put right, and what was done to it, in the order in which it was.

    Left out are lines that aren't rows, rows with a price that is no number or not above zero, and
    quotes whose bid is above their ask. A volume that is no number, or below zero, becomes 0. Rows
    are sorted by time; of bars that bear the same time the last in the file is kept. Highs and
    lows are widened to enclose open and close. Bars that are nearer to each other than their
    timeframe can't be put right.
    """
    changes = [
        Change(
            kind=each.kind,
            count=each.count,
            places=each.places,
            sentence=f"lines left out, because {_LEFT_OUT[each.kind]}",
        )
        for each in table.lost
    ]
    found = replace(table, lost=())
    quotes = table.dialect.what == "quotes"
    steps = [_drop_numbers, _clear_volumes, *([_drop_crossed] if quotes else []), _sort]
    for step in [*steps, *([] if quotes else [_drop_doubles, _widen])]:
        found = step(found, changes)
    return found, tuple(changes)


_LEFT_OUT = {"fields": "they don't have as many fields as the first", "time": "they have no time"}
_Step = Callable[[Table, list[Change]], Table]


def _note(
    table: Table,
    changes: list[Change],
    kind: str,
    rows: NDArray[np.int64],
    told: tuple[str, str],
) -> None:
    """Add the change at ``rows`` to ``changes``; ``told`` are the column and the sentence."""
    if rows.size:
        name, sentence = told
        places = tuple(table.place(row, name) for row in rows[:PLACES].tolist())
        changes.append(Change(kind=kind, count=rows.size, places=places, sentence=sentence))


def _drop_numbers(table: Table, changes: list[Change]) -> Table:
    for name in table.prices:
        prices = table.columns[name]
        good = np.isfinite(prices) & (prices > 0)
        if not good.all():
            told = (name, f"{table.dialect.what} left out, because {name} is no number above zero")
            _note(table, changes, "price", np.flatnonzero(~good), told)
            table = table.rows(good)
    return table


def _clear_volumes(table: Table, changes: list[Change]) -> Table:
    volume = table.columns["volume"]
    bad = ~(np.isfinite(volume) & (volume >= 0))
    if not bad.any():
        return table
    told = ("volume", "volumes set to 0, because they are no number from zero up")
    _note(table, changes, "volume", np.flatnonzero(bad), told)
    return replace(table, texts={}, columns={**table.columns, "volume": np.where(bad, 0.0, volume)})


def _drop_crossed(table: Table, changes: list[Change]) -> Table:
    crossed = table.columns["bid"] > table.columns["ask"]
    told = ("bid", "quotes left out, because their bid is above their ask")
    _note(table, changes, "crossed", np.flatnonzero(crossed), told)
    return table.rows(~crossed) if crossed.any() else table


def _sort(table: Table, changes: list[Change]) -> Table:
    earlier = np.flatnonzero(np.diff(table.time) < 0) + 1
    if not earlier.size:
        return table
    what = table.dialect.what
    told = ("time", f"{what} earlier than the one before them, so the file was sorted by time")
    _note(table, changes, "order", earlier, told)
    return table.rows(np.argsort(table.time, kind="stable"))


def _drop_doubles(table: Table, changes: list[Change]) -> Table:
    """Keep the last of the bars that bear the same time."""
    same = np.diff(table.time) == 0
    if not same.any():
        return table
    alike = identical(table, None)
    told = ("time", "bars left out, because the same bar comes again")
    _note(table, changes, "duplicate", np.flatnonzero(same & alike), told)
    told = ("time", "bars left out, because a later line has other prices for their time")
    _note(table, changes, "conflict", np.flatnonzero(same & ~alike), told)
    return table.rows(np.append(~same, True))


def _widen(table: Table, changes: list[Change]) -> Table:
    columns = dict(table.columns)
    for name, reach in (("high", np.maximum.reduce), ("low", np.minimum.reduce)):
        wide = reach([table.columns[each] for each in table.prices])
        wrong = np.flatnonzero(wide != columns[name])
        told = (name, f"{name}s moved, so that they enclose the bar's other prices")
        _note(table, changes, name, wrong, told)
        columns[name] = wide
    return replace(table, columns=columns)
