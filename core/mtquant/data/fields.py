"""One column of a text file, read without a Python object for each row."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PADDING = 64
"""Bytes that follow a block's text, so that a field can be looked at with a width to spare."""
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ZERO, _POINT = 48, 46
# A whole number of up to 15 digits is exact in a float64, and so is a power of ten up to 22:
# their quotient is the float nearest to the decimal, as float() gives it. W. D. Clinger, "How to
# read floating point numbers accurately", PLDI 1990.
_EXACT_DIGITS = 15
_SHAPES = 24
"""How many lengths and places of the point are read in bulk before the rest goes row by row."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fields:
    """Where a column's fields stand in ``text``, which ends with ``PADDING`` zeros.

    ``starts`` and ``ends`` have one entry for each row; an end is the first byte after a field.
    """

    text: bytes
    starts: Integers
    ends: Integers

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.starts)

    def raw(self, row: int) -> bytes:
        """Return the field of ``row``."""
        return self.text[self.starts[row] : self.ends[row]]

    def shown(self, row: int) -> str:
        """Return the field of ``row`` as text."""
        return self.raw(row).decode()

    def lengths(self) -> Integers:
        """Return how many bytes each field has."""
        return self.ends - self.starts

    def characters(self, rows: Integers, width: int) -> NDArray[np.uint8]:
        """Return the first ``width`` bytes of ``rows``, as an array of shape (rows, width)."""
        windows: NDArray[Any] = np.ndarray(
            (len(self.text) - width + 1,), f"V{width}", self.text, strides=(1,)
        )
        found: NDArray[np.uint8] = windows[self.starts[rows]].view(np.uint8).reshape(-1, width)
        return found


def numbers(column: Fields) -> NDArray[np.float64]:
    """Return the numbers in ``column``, each as ``float(text)`` is; NaN where there is none."""
    values = np.full(len(column), math.nan)
    lengths = column.lengths()
    waiting = np.arange(len(column))
    for _ in range(_SHAPES):
        if not waiting.size:
            return values
        length = int(lengths[waiting[0]])
        alike = lengths[waiting] == length
        rows = waiting[alike]
        read = _decimals(column, rows, length, values)
        if not read.any():
            # Signs, exponents, more digits than are exact, or no number at all.
            _one_by_one(column, rows, values)
            read[:] = True
        waiting = np.concatenate([waiting[~alike], rows[~read]])
    _one_by_one(column, waiting, values)
    return values


def _decimals(
    column: Fields, rows: Integers, length: int, values: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Read those of ``rows`` that have their point where the first has; return which they are."""
    point = column.raw(int(rows[0])).find(b".")
    digits = length - (point >= 0)
    if not 0 < digits <= _EXACT_DIGITS:
        return np.zeros(len(rows), dtype=np.bool_)
    characters = column.characters(rows, length)
    figures = characters - np.uint8(_ZERO)
    if point >= 0:
        figures = np.delete(figures, point, axis=1)
    is_figure = figures <= 9  # noqa: PLR2004 - a digit
    read: NDArray[np.bool_] = np.ones(len(rows), dtype=np.bool_)
    if not is_figure.all():
        read = np.all(is_figure, axis=1)
    if point >= 0:
        read = read & (characters[:, point] == _POINT)
    whole = figures[read].astype(np.float64) @ 10.0 ** np.arange(digits - 1, -1, -1)
    values[rows[read]] = whole / 10.0 ** (length - 1 - point) if point >= 0 else whole
    return read


def _one_by_one(column: Fields, rows: Integers, values: NDArray[np.float64]) -> None:
    for row in rows.tolist():
        raw = column.raw(row)
        values[row] = float(raw) if _NUMBER.fullmatch(raw) else math.nan
