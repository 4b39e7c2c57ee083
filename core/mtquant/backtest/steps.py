"""The steps of the market: when bars close, and which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import overload

import numpy as np
from numpy.typing import NDArray

from mtquant.clock import SECOND
from mtquant.model import Bar
from mtquant.model.arrays import BarArrays

Step = tuple[int, tuple[Bar, ...]]
"""A time in nanoseconds UTC, and the bars that close then."""


class SeriesSteps(Sequence[Step]):
    """The steps of one series: a bar each, made anew whenever it is asked for."""

    def __init__(self, arrays: BarArrays) -> None:
        self.arrays = arrays
        self._length = arrays.timeframe.seconds * SECOND

    def __len__(self) -> int:
        """Return how many bars there are."""
        return len(self.arrays)

    @overload
    def __getitem__(self, index: int) -> Step: ...

    @overload
    def __getitem__(self, index: slice) -> SeriesSteps: ...

    def __getitem__(self, index: int | slice) -> Step | SeriesSteps:
        """Return a step, or the steps of a slice without a stride."""
        if isinstance(index, slice):
            first, stop, _ = index.indices(len(self))
            return SeriesSteps(self.arrays.part(first, stop))
        bar = self.arrays.bar(index)
        return bar.time + self._length, (bar,)

    def __eq__(self, other: object) -> bool:
        """Tell whether both have the same steps."""
        if not isinstance(other, SeriesSteps):
            return NotImplemented
        return self.arrays.digest() == other.arrays.digest()

    __hash__ = None  # type: ignore[assignment]

    def bars(self, first: int, end: int) -> Iterator[Bar]:
        """Return the bars from ``first`` on, before ``end``, one after the other."""
        return self.at(slice(first, end))

    def at(self, steps: slice | NDArray[np.intp]) -> Iterator[Bar]:
        """Return the bars of ``steps``, one after the other."""
        whole = self.arrays
        columns = (whole.time, whole.open, whole.high, whole.low, whole.close, whole.volume)
        numbers = (each[steps].tolist() for each in columns)
        rows = zip(repeat(whole.instrument), repeat(whole.timeframe), *numbers, strict=False)
        return map(partial(tuple.__new__, Bar), rows)


def steps_of(bars: Mapping[str, BarArrays]) -> Sequence[Step]:
    """Return the bars that close at each time, as a replay hears them."""
    if len(bars) == 1:
        [series] = bars.values()
        if len(series) < 2 or bool((np.diff(series.time) > 0).all()):  # noqa: PLR2004 - a pair
            return SeriesSteps(series)
    grouped: dict[int, list[Bar]] = defaultdict(list)
    for series in bars.values():
        length = series.timeframe.seconds * SECOND
        for bar in SeriesSteps(series).bars(0, len(series)):
            grouped[bar.time + length].append(bar)
    return tuple((time, tuple(found)) for time, found in sorted(grouped.items()))


def times_of(steps: Sequence[Step]) -> NDArray[np.int64]:
    """Return the times of ``steps``."""
    if isinstance(steps, SeriesSteps):
        return steps.arrays.time + steps.arrays.timeframe.seconds * SECOND
    return np.array([time for time, _ in steps], np.int64)
