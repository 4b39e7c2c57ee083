"""What could be lost: drawdowns with their dates, ulcer index, value at risk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.statistics.curve import DAY, Curve
from mtquant.metrics import drawdowns, max_drawdown, returns
from mtquant.model.arrays import Floats

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedDrawdown:
    """A fall below a peak until equity is back at it, with its times in nanoseconds UTC.

    ``fraction`` and ``money`` (the account's currency) are lost from the peak to the trough.
    ``peak`` is the last time equity stood at it, ``recovered`` the first time it did again, None
    where it never did. ``days`` go from the peak to the recovery, or to the end of the run.
    """

    fraction: float
    money: float
    peak: int
    trough: int
    recovered: int | None
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """What could be lost, as fractions of equity; losses are above zero.

    ``max_drawdown`` and ``longest_drawdown`` look at every step, ``average_drawdown`` and
    ``ulcer_index`` at daily closes. ``value_at_risk`` and ``expected_shortfall`` are historical, of
    daily returns, at 95 %. None where a figure isn't defined.
    """

    max_drawdown: DatedDrawdown | None
    longest_drawdown: DatedDrawdown | None
    average_drawdown: float | None
    ulcer_index: float | None
    value_at_risk: float | None
    expected_shortfall: float | None


def risk_of(curve: Curve, below: Floats) -> Risk:
    """Return the risk of ``curve``; ``below`` are its drawdowns, one for each equity."""
    daily = drawdowns(curve.closes)
    each = returns(curve.closes)
    begins, ends = _falls(below)
    worst = max_drawdown(curve.equity)
    deepest = longest = None
    if worst is not None:
        which = int(np.searchsorted(begins, worst.trough, side="right")) - 1
        deepest = _dated(curve, below, int(begins[which]), int(ends[which]))
        lasted = curve.time[np.minimum(ends, curve.time.size - 1)] - curve.time[begins - 1]
        which = int(np.argmax(lasted))
        longest = _dated(curve, below, int(begins[which]), int(ends[which]))
    return Risk(
        max_drawdown=deepest,
        longest_drawdown=longest,
        average_drawdown=average_drawdown(daily),
        ulcer_index=ulcer_index(daily),
        value_at_risk=value_at_risk(each),
        expected_shortfall=expected_shortfall(each),
    )


def average_drawdown(below: Floats) -> float | None:
    """Return the mean depth of the falls in drawdowns ``below``; None where there is none."""
    begins, _ = _falls(below)
    return float(np.mean(np.maximum.reduceat(below, begins))) if begins.size else None


def ulcer_index(below: Floats) -> float | None:
    """Return the root of the mean square of drawdowns, as a fraction; None where there is none.

    P. G. Martin and B. B. McCann, "The Investor's Guide to Fidelity Funds", 1989. The start, which
    has no drawdown, isn't counted.
    """
    return math.sqrt(float(np.mean(below[1:] ** 2))) if below.size > 1 else None


def value_at_risk(each: Floats) -> float | None:
    """Return the loss that 95 % of daily returns stay above: less their 5 % quantile.

    Between two returns it is interpolated. Below zero where even that day was a gain; None where
    there are no returns.
    """
    return -float(np.quantile(each, 0.05)) if each.size else None


def expected_shortfall(each: Floats) -> float | None:
    """Return the mean loss of the worst 5 % of days, at least one; None where there are none.

    C. Acerbi and D. Tasche, "On the Coherence of Expected Shortfall", Journal of Banking and
    Finance 26 (2002), here over the returns up to the 5 % quantile.
    """
    if not each.size:
        return None
    # The quantile stands at place 0.05 x (n - 1), counted from 0.
    count = (each.size - 1) // 20 + 1
    return -float(np.mean(np.partition(each, count - 1)[:count]))


def _falls(below: Floats) -> tuple[Places, Places]:
    """Return where each fall begins, and where equity is back (or the curve ends)."""
    under = np.concatenate(([False], below > 0, [False]))
    edges = np.flatnonzero(under[1:] != under[:-1])
    return edges[::2], edges[1::2]


def _dated(curve: Curve, below: Floats, begin: int, end: int) -> DatedDrawdown:
    # Equity is first below at begin, so the peak is the step before: the start has no drawdown.
    peak, trough = begin - 1, begin + int(np.argmax(below[begin:end]))
    back = end < curve.time.size
    until = int(curve.time[end if back else -1])
    return DatedDrawdown(
        fraction=float(below[trough]),
        money=float(curve.equity[peak] - curve.equity[trough]),
        peak=int(curve.time[peak]),
        trough=int(curve.time[trough]),
        recovered=until if back else None,
        days=(until - int(curve.time[peak])) / DAY,
    )
