"""What an equity curve says of a run: profit, Sharpe ratio, drawdown. Float64, no NaN.

A figure that isn't defined (no returns, no spread among them, an equity that was never above
zero) is None, so that nobody reads a NaN or an infinity as a result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtquant.clock import SECOND

TRADING_DAYS = 252
"""Trading days in a year, by the convention of equities."""
_DAY = 86_400 * SECOND
# A spread among returns this small is the rounding of the division that made them.
_NOISE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall below an earlier peak: a fraction of it, and where both stand."""

    fraction: float
    peak: int
    trough: int


def daily_closes(times: Sequence[int], equity: ArrayLike) -> NDArray[np.float64]:
    """Return the last equity of each UTC day that has one.

    ``times`` are nanoseconds since the epoch, not falling, one for each equity.
    """
    curve = _curve(equity)
    days = np.asarray(times, dtype=np.int64) // _DAY
    if days.shape != curve.shape:
        msg = f"{days.size} times and {curve.size} equities"
        raise ValueError(msg)
    last = np.append(days[1:] != days[:-1], np.full(min(1, days.size), fill_value=True))
    closes: NDArray[np.float64] = curve[last]
    return closes


def returns(equity: ArrayLike) -> NDArray[np.float64]:
    """Return the simple returns from each equity to the next: e[t] / e[t-1] - 1.

    Empty where an equity that would be divided by isn't above zero.
    """
    curve = _curve(equity)
    if (curve[:-1] <= 0).any():
        return np.empty(0)
    return curve[1:] / curve[:-1] - 1.0


def net_profit(equity: ArrayLike) -> float:
    """Return the last equity less the first, in the account's currency; 0 for an empty curve."""
    curve = _curve(equity)
    return float(curve[-1] - curve[0]) if curve.size else 0.0


def total_return(equity: ArrayLike) -> float | None:
    """Return the last equity over the first, less one; None where the first isn't above zero."""
    curve = _curve(equity)
    return float(curve[-1] / curve[0] - 1.0) if curve.size and curve[0] > 0 else None


def sharpe_ratio(equity: ArrayLike, periods_per_year: float = TRADING_DAYS) -> float | None:
    """Return the annualised Sharpe ratio of the returns between successive equities.

    mean(r) / std(r) x sqrt(periods_per_year), the ex post ratio of W. F. Sharpe, "The Sharpe
    Ratio", Journal of Portfolio Management 21 (1994), with a riskless return of 0 and the sample
    deviation (n - 1). Give it one equity a day (see :func:`daily_closes`) for the usual 252
    periods. None where there are fewer than two returns or they don't differ.
    """
    each = returns(equity)
    if each.size <= 1:
        return None
    deviation = float(np.std(each, ddof=1))
    if deviation <= _NOISE:
        return None
    return float(np.mean(each)) / deviation * math.sqrt(periods_per_year)


def drawdowns(equity: ArrayLike) -> NDArray[np.float64]:
    """Return how far each equity lies below the highest up to it, as a fraction of that.

    0 at a new peak, 0.2 where a fifth is lost; 0 as long as no equity was above zero.
    """
    curve = _curve(equity)
    peaks = np.maximum.accumulate(curve)
    below = np.zeros_like(curve)
    np.divide(peaks - curve, peaks, out=below, where=peaks > 0)
    return below


def max_drawdown(equity: ArrayLike) -> Drawdown | None:
    """Return the deepest drawdown, the first of equals; None where equity never fell."""
    curve = _curve(equity)
    below = drawdowns(curve)
    if not below.size or not below.any():
        return None
    trough = int(np.argmax(below))
    peak = int(np.argmax(curve[: trough + 1]))
    return Drawdown(fraction=float(below[trough]), peak=peak, trough=trough)


def _curve(equity: ArrayLike) -> NDArray[np.float64]:
    """Return ``equity`` as one row of numbers; ValueError where it is anything else."""
    curve = np.asarray(equity, dtype=np.float64)
    if curve.ndim != 1 or not np.isfinite(curve).all():
        msg = "an equity curve is one row of finite numbers"
        raise ValueError(msg)
    return curve
