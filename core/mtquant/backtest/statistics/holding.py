"""What it would have brought to buy at the start and to hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtquant.backtest.result import Result
from mtquant.backtest.statistics.curve import Curve, closes
from mtquant.backtest.statistics.prices import last_prices
from mtquant.backtest.statistics.returns import annual_return
from mtquant.metrics import max_drawdown, sharpe_ratio, total_return
from mtquant.model.arrays import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuyAndHold:
    """Buying ``symbols`` at the start, each with an equal share of the money, and holding.

    Mid prices in their own quote currencies, unleveraged and without costs. ``max_drawdown`` is a
    fraction. ``curve`` is in the account's currency from the start balance on, one value for each
    step of the result.
    """

    symbols: tuple[str, ...]
    total_return: float | None
    annual_return: float | None
    sharpe: float | None
    max_drawdown: float
    curve: Floats


def buy_and_hold(result: Result, curve: Curve) -> BuyAndHold | None:
    """Return what holding the run's symbols brought; None where their prices aren't known."""
    symbols = [each for each in result.card.symbols if each in result.prices]
    growth = np.zeros(result.time.size)
    for symbol in symbols:
        bars = result.prices[symbol]
        first, prices = last_prices(bars, curve.time[:1]), last_prices(bars, result.time)
        if first is None or prices is None:
            return None
        growth += prices / first[0]
    start = float(result.start_balance)
    if not symbols or start <= 0:
        return None
    held = growth * (start / len(symbols))
    whole = np.concatenate(([start], held))
    worst = max_drawdown(whole)
    return BuyAndHold(
        symbols=tuple(symbols),
        total_return=total_return(whole),
        annual_return=annual_return(whole, curve.years),
        sharpe=sharpe_ratio(closes(result.time, held, start)),
        max_drawdown=0.0 if worst is None else worst.fraction,
        curve=held,
    )
