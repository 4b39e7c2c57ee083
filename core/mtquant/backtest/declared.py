"""Where a strategy's declared conditions hold: told from arrays, for all of history at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.steps import SeriesSteps
from mtquant.contract import Crossing, Indicator
from mtquant.contract.indicator import Line, Told
from mtquant.model.arrays import Floats


@dataclass(frozen=True, slots=True)
class Column:
    """An indicator's lines, each with a value at each bar, and from which bar on all are known.

    ``plain``: none is known before that.
    """

    lines: tuple[memoryview, ...]
    known_from: int
    plain: bool = False

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return sum(line.nbytes for line in self.lines)

    def at(self, index: int) -> Any:  # noqa: ANN401 - a number, or one for each line
        """Return what the indicator makes of a bar."""
        if len(self.lines) == 1:
            return self.lines[0][index]
        return tuple(line[index] for line in self.lines)

    def part(self, first: int, end: int) -> Iterable[Any]:
        """Return the same for the bars from ``first`` on, before ``end``."""
        parts = [line[first:end] for line in self.lines]
        return parts[0] if len(parts) == 1 else zip(*parts, strict=True)


class Declared:
    """The steps from ``first`` on at which a condition holds, and the indicators at each of them.

    The indicators read their values off the columns from now on.
    """

    def __init__(
        self,
        conditions: Sequence[Crossing],
        columns: Sequence[tuple[Indicator[Any], Column]],
        steps: SeriesSteps,
        first: int,
    ) -> None:
        self._first, self._columns = first, columns
        close = steps.arrays.close[first:]
        self._sides = [
            (each, each.batch(self._line(each.one), self._other(each), close))
            for each in conditions
        ]
        holds = np.zeros(len(close), np.bool_)
        for each, sides in self._sides:
            before = np.concatenate((np.array([each.side], np.int8), sides[:-1]))
            holds |= (before != 0) & (sides != before)
        self.holding: NDArray[np.intp] = np.flatnonzero(holds) + first
        self._told = [Told(column.lines) for _, column in columns]
        for (indicator, _), told in zip(columns, self._told, strict=True):
            indicator.follow(told)

    def _line(self, wanted: Indicator[Any] | Line) -> Floats:
        for indicator, column in self._columns:
            place = indicator.place_of(wanted)
            if place is not None:
                return np.asarray(column.lines[place])[self._first :]
        raise LookupError("a condition is about a line of an indicator that isn't the strategy's")

    def _other(self, condition: Crossing) -> Floats | float:
        other = condition.other
        return other if isinstance(other, float) else self._line(other)

    def come_to(self, step: int) -> int:
        """Bring the indicators and the conditions to ``step``, and return it."""
        for told in self._told:
            told.at = step
        for condition, sides in self._sides:
            condition.side = int(sides[step - self._first])
        return step
