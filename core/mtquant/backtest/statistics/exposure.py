"""How much was at stake: time in the market, leverage, turnover."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mtquant.backtest.result import Result
from mtquant.backtest.statistics.columns import column, times_of
from mtquant.backtest.statistics.curve import Curve
from mtquant.backtest.statistics.prices import quote_rates
from mtquant.model import Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How much was at stake.

    ``in_market`` is the share of steps that ended with a position. ``leverage`` is the mean value
    held over equity, of all steps; positions of several instruments are netted against each other,
    as in ``Result.exposure``. ``turnover`` is the value bought and sold in a year over the mean
    equity; None where it isn't defined or a rate to the account's currency isn't known.
    """

    in_market: float | None
    leverage: float | None
    turnover: float | None


def exposure_of(result: Result, curve: Curve) -> Exposure:
    """Return how much ``result`` had at stake."""
    held = np.abs(result.exposure)
    alive = result.equity > 0
    return Exposure(
        in_market=float(np.count_nonzero(held)) / held.size if held.size else None,
        leverage=float(np.mean(held[alive] / result.equity[alive])) if alive.any() else None,
        turnover=_turnover(result, curve),
    )


def _turnover(result: Result, curve: Curve) -> float | None:
    mean = float(np.mean(curve.equity))
    traded = traded_value(result)
    if traded is None or mean <= 0 or curve.years <= 0:
        return None
    return traded / mean / curve.years


def traded_value(result: Result) -> float | None:
    """Return the value of all executions in the account's currency; None without a rate."""
    fills: dict[str, list[Fill]] = defaultdict(list)
    for fill in result.fills:
        fills[fill.instrument].append(fill)
    total = 0.0
    for symbol, group in fills.items():
        rates = quote_rates(result, symbol, times_of(group, "time"))
        if rates is None:
            return None
        total += float(np.sum(column(group, "quantity") * column(group, "price") * rates))
    return total
