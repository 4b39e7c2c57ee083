"""Covariances of returns over history, worked out late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mtquant.backtest.steps import SeriesSteps, Step
from mtquant.covariance import Covariance
from mtquant.model import Bar


class LateCovariance(Covariance):
    """Covariances of returns that are worked out when somebody asks for one.

    ``skip`` takes the bars of passed-over steps in without making anything of them.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__()
        self._steps = steps
        self._late: list[Bar | range] = []
        self._series = steps.arrays if isinstance(steps, SeriesSteps) else None

    def bar(self, bar: Bar) -> None:
        """Take in a closed bar."""
        self._late.append(bar)

    def skip(self, first: int, end: int) -> None:
        """Take in the bars of the steps from ``first`` on, before ``end``."""
        self._late.append(range(first, end))

    def _fold(self) -> None:
        late, self._late = self._late, []
        for each in late:
            if self._series is not None and isinstance(each, range):
                self.series(self._series.part(each.start, each.stop))
                continue
            for bar in self._bars(each):
                super().bar(bar)
        super()._fold()

    def _bars(self, late: Bar | range) -> Iterator[Bar]:
        if isinstance(late, Bar):
            yield late
            return
        for index in late:
            yield from self._steps[index][1]
