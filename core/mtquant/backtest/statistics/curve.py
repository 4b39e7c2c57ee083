"""The equity curve from the first moment on, and its close of each day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.result import Result
from mtquant.clock import SECOND
from mtquant.metrics import daily_closes
from mtquant.model.arrays import Floats

DAY = 86_400 * SECOND
YEAR = 36_525 * DAY // 100
"""365.25 days: a year of the Julian calendar, leap days spread over four years."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """Equity in the account's currency, with the start balance before the first step.

    ``time`` (int64 nanoseconds UTC) and ``equity`` have the shape (n + 1,) for n steps. ``days``
    are the UTC days that have a step, as days since 1970-01-01, shape (d,); ``closes`` is the start
    balance and then the last equity of each of them, shape (d + 1,).
    """

    time: NDArray[np.int64]
    equity: Floats
    days: NDArray[np.int64]
    closes: Floats

    @classmethod
    def of(cls, result: Result) -> Curve:
        """Return the curve of ``result``: it begins one bar before the first step was over."""
        steps = result.time
        length = result.card.timeframe.seconds * SECOND
        start = int(steps[0]) - length if steps.size else result.card.first
        day = days_of(steps)
        balance = float(result.start_balance)
        return cls(
            time=np.concatenate(([start], steps)),
            equity=np.concatenate(([balance], result.equity)),
            days=day[last_of_each(day)],
            closes=closes(steps, result.equity, balance),
        )

    @property
    def years(self) -> float:
        """How long it is, in years of 365.25 days."""
        return float(self.time[-1] - self.time[0]) / YEAR


def days_of(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the UTC day each step belongs to, as days since 1970-01-01.

    A bar that closes at midnight belongs to the day that ends then.
    """
    days: NDArray[np.int64] = (time - 1) // DAY
    return days


def closes(time: NDArray[np.int64], values: Floats, first: float) -> Floats:
    """Return ``first`` and then the last of ``values`` of each UTC day, see :func:`days_of`."""
    return np.concatenate(([first], daily_closes(time - 1, values)))  # type: ignore[arg-type]


def last_of_each(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a label is the last of a row of equal ones: the close of a day or a month."""
    last = np.ones(labels.size, dtype=np.bool_)
    np.not_equal(labels[1:], labels[:-1], out=last[:-1])
    return last
