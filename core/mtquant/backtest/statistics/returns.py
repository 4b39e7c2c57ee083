"""What was earned: returns by day, month and year, and the ratios made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.statistics.curve import Curve, last_of_each
from mtquant.metrics import (
    TRADING_DAYS,
    max_drawdown,
    net_profit,
    returns,
    sharpe_ratio,
    total_return,
)
from mtquant.model.arrays import Floats

# A spread among returns this small is the rounding of the division that made them.
_NOISE = 1e-12
_MONTHS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedReturn:
    """A return as a fraction, and when: a UTC day (2024-03-05) or month (2024-03)."""

    when: str
    fraction: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Returns:
    """What was earned, in the account's currency and as fractions of equity.

    ``annual_return`` is the compound annual growth rate (CAGR). ``annual_volatility``, ``sharpe``
    and ``sortino`` are of daily returns, annualised by 252 days with a riskless return of 0;
    ``calmar`` is the annual return over the deepest drawdown. None where a figure isn't defined.
    """

    start_equity: float
    end_equity: float
    net_profit: float
    total_return: float | None
    annual_return: float | None
    annual_volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    best_day: DatedReturn | None
    worst_day: DatedReturn | None
    best_month: DatedReturn | None
    worst_month: DatedReturn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class YearOfReturns:
    """A row of the heat map: the return of each month, January first, and of the whole year.

    None where no step was in the month, or equity before it wasn't above zero.
    """

    year: int
    months: tuple[float | None, ...]
    total: float | None


def returns_of(curve: Curve) -> Returns:
    """Return what ``curve`` earned."""
    each = returns(curve.closes)
    annual = annual_return(curve.equity, curve.years)
    days = [] if not each.size else list(zip(curve.days.tolist(), each.tolist(), strict=True))
    months = [(month, got) for month, got in _by(_months(curve), curve) if got is not None]
    return Returns(
        start_equity=float(curve.equity[0]),
        end_equity=float(curve.equity[-1]),
        net_profit=net_profit(curve.equity),
        total_return=total_return(curve.equity),
        annual_return=annual,
        annual_volatility=annual_volatility(each),
        sharpe=sharpe_ratio(curve.closes),
        sortino=sortino_ratio(each),
        calmar=calmar_ratio(curve.equity, annual),
        best_day=_extreme(days, "D", highest=True),
        worst_day=_extreme(days, "D", highest=False),
        best_month=_extreme(months, "M", highest=True),
        worst_month=_extreme(months, "M", highest=False),
    )


def monthly_returns(curve: Curve) -> tuple[YearOfReturns, ...]:
    """Return the returns of the calendar months and years (UTC) of ``curve``, oldest first."""
    months = dict(_by(_months(curve), curve))
    return tuple(
        YearOfReturns(
            year=1970 + year,
            months=tuple(months.get(year * _MONTHS + month) for month in range(_MONTHS)),
            total=total,
        )
        for year, total in _by(_months(curve) // _MONTHS, curve)
    )


def annual_return(equity: Floats, years: float) -> float | None:
    """Return the compound annual growth rate: (last / first) ** (1 / years) - 1.

    None where either isn't above zero, no time passed, or the power is beyond a float.
    """
    if not (equity[0] > 0 and equity[-1] > 0 and years > 0):
        return None
    try:
        return math.expm1((math.log(equity[-1]) - math.log(equity[0])) / years)
    except OverflowError:
        return None


def annual_volatility(each: Floats) -> float | None:
    """Return the sample deviation (n - 1) of daily returns, times the root of 252 days.

    None where there are fewer than two.
    """
    return float(np.std(each, ddof=1)) * math.sqrt(TRADING_DAYS) if each.size > 1 else None


def sortino_ratio(each: Floats) -> float | None:
    """Return the annualised Sortino ratio of daily returns, with a target of 0.

    mean(r) / sqrt(mean(min(r, 0) ** 2)) x sqrt(252), the downside deviation over all n returns:
    F. A. Sortino and L. N. Price, "Performance Measurement in a Downside Risk Framework", Journal
    of Investing 3 (1994). None where there are fewer than two returns, or none below zero.
    """
    if each.size <= 1:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(each, 0.0) ** 2)))
    if downside <= _NOISE:
        return None
    return float(np.mean(each)) / downside * math.sqrt(TRADING_DAYS)


def calmar_ratio(equity: Floats, annual: float | None) -> float | None:
    """Return the annual return over the deepest drawdown of ``equity``, of the whole run.

    T. W. Young, "Calmar Ratio: A Smoother Tool", Futures 20 (1991), took the last 36 months. None
    where equity never fell or ``annual`` is None.
    """
    worst = max_drawdown(equity)
    return None if worst is None or annual is None else annual / worst.fraction


def _months(curve: Curve) -> NDArray[np.int64]:
    """Return the month of each of the curve's days, as months since January 1970."""
    return curve.days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _by(labels: NDArray[np.int64], curve: Curve) -> list[tuple[int, float | None]]:
    """Return the return of each row of days with equal labels, from the close before it."""
    last = last_of_each(labels)
    at = curve.closes[1:][last].tolist()
    before = [float(curve.closes[0]), *at][:-1]
    return [
        (label, close / previous - 1.0 if previous > 0 else None)
        for label, close, previous in zip(labels[last].tolist(), at, before, strict=True)
    ]


def _extreme(found: list[tuple[int, float]], unit: str, *, highest: bool) -> DatedReturn | None:
    """Return the highest or lowest return, the first of equals; None where there is none."""
    if not found:
        return None
    choose = max if highest else min
    label, fraction = choose(found, key=lambda each: each[1])
    return DatedReturn(when=str(np.datetime64(label, unit)), fraction=fraction)  # type: ignore[call-overload]
