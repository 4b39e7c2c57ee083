"""Prices that are written as whole numbers of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtquant.data.table import Table, shown
from mtquant.errors import ConfigError

_NOISE = 1e-6  # how far from a whole number the rounding of an export leaves a point
_USUAL = (5, 4, 3, 2, 1)  # how many decimals the prices of brokers have
# What one unit has been worth in dollars since 1999, with room to either side: only to tell
# 1.12233 from 11.2233.
_WORTH: Mapping[str, tuple[float, float]] = {
    "USD": (1.0, 1.0),
    "EUR": (0.75, 1.8),
    "GBP": (0.95, 2.3),
    "AUD": (0.4, 1.3),
    "NZD": (0.35, 1.0),
    "CAD": (0.55, 1.2),
    "CHF": (0.5, 1.6),
    "JPY": (0.0055, 0.015),
    "SEK": (0.08, 0.19),
    "NOK": (0.08, 0.22),
    "DKK": (0.1, 0.24),
    "SGD": (0.5, 0.95),
    "HKD": (0.12, 0.135),
    "XAU": (240.0, 9000.0),
    "XAG": (3.5, 150.0),
}


def apply_point(table: Table, symbol: str | None, point: Decimal | None) -> Table:
    """Return ``table`` with its prices in the quote currency, where they are whole points.

    ``point`` is what one is worth. Without it, prices stay as they are unless all of them are whole
    numbers that ``symbol`` can't have cost: then the number of decimals is taken at which it
    could, and said in the table's notes. Raises ConfigError where more than one would do, or none,
    and where prices aren't whole although ``point`` was given.
    """
    whole = _whole(table)
    if point is not None:
        if point <= 0:
            raise ConfigError("point", f"{point} is not above zero", "Such as 0.00001.")
        if not whole:
            raise ConfigError(
                f"{table.where}, point {point}",
                "its prices aren't whole numbers of points",
                "Leave point away.",
            )
        return _scaled(table, point, f"prices are points of {point}, as asked")
    bounds = _bounds(symbol)
    if not whole or bounds is None:
        return table
    middle = _median(table)
    if middle <= 0 or bounds[0] <= middle <= bounds[1]:
        return table
    fitting = [each for each in _USUAL if bounds[0] <= middle / 10.0**each <= bounds[1]]
    if len(fitting) != 1:
        raise ConfigError(
            f"{table.where}, prices",
            f"whole numbers such as {shown(middle)}, which {symbol} doesn't cost; they may be"
            " points, and it isn't clear of how many decimals",
            "Set point, such as 0.00001 where 112233 is 1.12233.",
        )
    found = Decimal(1).scaleb(-fitting[0])
    price = shown(round(middle) / 10 ** fitting[0])
    note = f"prices are points of {found:f}: {shown(round(middle))} is {price}, as {symbol} costs"
    return _scaled(table, found, note)


def whole_numbers(table: Table) -> bool:
    """Return True where every price is a whole number."""
    return _whole(table)


def _whole(table: Table) -> bool:
    if not len(table):
        return False
    for name in table.prices:
        column = _finite(table.columns[name])
        if (np.abs(column - np.rint(column)) > _NOISE).any():
            return False
    return True


def _finite(column: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.isfinite(column)
    return column if finite.all() else column[finite]


def _median(table: Table) -> float:
    column = _finite(table.columns[table.prices[-1]])
    return float(np.median(column)) if column.size else 0.0


def _bounds(symbol: str | None) -> tuple[float, float] | None:
    """Return between which prices ``symbol`` has been; None where that isn't known here."""
    base, _, quote = (symbol or "").partition("/")
    if base not in _WORTH or quote not in _WORTH:
        return None
    return _WORTH[base][0] / _WORTH[quote][1], _WORTH[base][1] / _WORTH[quote][0]


def _scaled(table: Table, point: Decimal, note: str) -> Table:
    above, below = (float(each) for each in point.as_integer_ratio())
    columns: dict[str, Any] = dict(table.columns)
    for name in table.prices:
        # A whole number over a power of ten is the float nearest to the decimal.
        columns[name] = np.rint(columns[name]) * above / below
    return replace(table, columns=columns, notes=(*table.notes, note))
