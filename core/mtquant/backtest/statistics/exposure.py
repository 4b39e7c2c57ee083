"""How much was at stake: time in the market, leverage, turnover."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.result import Result
from mtquant.backtest.statistics.columns import column, times_of
from mtquant.backtest.statistics.curve import Curve
from mtquant.backtest.statistics.prices import last_prices, quote_rates
from mtquant.model import Fill
from mtquant.model.arrays import Floats

Fills = Mapping[str, Sequence[Fill]]
"""The executions of each instrument, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How much was at stake.

    ``in_market`` is the share of steps that ended with a position. ``leverage`` is the mean gross
    value held over equity, of all steps: the value of each instrument's position without its sign,
    together. ``turnover`` is the value bought and sold in a year over the mean equity. None where
    a figure isn't defined, or a price or a rate to the account's currency isn't known.
    """

    in_market: float | None
    leverage: float | None
    turnover: float | None


def exposure_of(result: Result, curve: Curve) -> Exposure:
    """Return how much ``result`` had at stake."""
    fills: dict[str, list[Fill]] = defaultdict(list)
    for fill in result.fills:
        fills[fill.instrument].append(fill)
    units = {symbol: units_held(group, result.time) for symbol, group in fills.items()}
    inside = np.zeros(result.time.size, dtype=np.bool_)
    for held in units.values():
        inside |= held > 0
    return Exposure(
        in_market=float(np.mean(inside)) if inside.size else None,
        leverage=_leverage(result, units),
        turnover=_turnover(result, fills, curve),
    )


def units_held(fills: Sequence[Fill], times: NDArray[np.int64]) -> Floats:
    """Return how many base units one instrument's ``fills`` left, long or short, at ``times``."""
    # Summed as decimals: as floats, what was bought and sold again may not come to nothing.
    after = accumulate((each.quantity * each.side.sign for each in fills), initial=Decimal(0))
    left = np.abs(np.fromiter(map(float, after), np.float64, len(fills) + 1))
    held: Floats = left[np.searchsorted(times_of(fills, "time"), times, side="right")]
    return held


def traded_value(result: Result, fills: Fills) -> float | None:
    """Return the value of all executions in the account's currency; None without a rate."""
    total = 0.0
    for symbol, group in fills.items():
        rates = quote_rates(result, symbol, times_of(group, "time"))
        if rates is None:
            return None
        total += float(np.sum(column(group, "quantity") * column(group, "price") * rates))
    return total


def _leverage(result: Result, units: Mapping[str, Floats]) -> float | None:
    value = np.zeros(result.time.size)
    for symbol, held in units.items():
        bars = result.prices.get(symbol)
        prices = None if bars is None else last_prices(bars, result.time)
        rates = quote_rates(result, symbol, result.time)
        if prices is None or rates is None:
            return None
        value += held * prices * rates
    alive = result.equity > 0
    return float(np.mean(value[alive] / result.equity[alive])) if alive.any() else None


def _turnover(result: Result, fills: Fills, curve: Curve) -> float | None:
    mean = float(np.mean(curve.equity))
    traded = traded_value(result, fills)
    if traded is None or mean <= 0 or curve.years <= 0:
        return None
    return traded / mean / curve.years
