"""What became of the trades, all together and by symbol, strategy, side and exit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.result import Result, Trade
from mtquant.backtest.statistics.columns import column, times_of
from mtquant.backtest.statistics.prices import quote_rates
from mtquant.model import Side
from mtquant.model.arrays import Floats

SQN_CAP = 100
"""The most trades that raise the system quality number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFigures:
    """What became of the trades that were closed; money is in the account's currency.

    ``open_trades`` and ``open_profit`` are those that the data ended before, and are in no other
    figure here. A win has a profit above zero net of costs, a loss below; neither is ``even``.
    ``gross_loss``, ``average_loss`` and ``largest_loss`` are zero or below. ``expectancy_r`` is the
    mean profit over what the first stop risked, of the ``stops`` trades that had one. ``sqn_of``
    says what the system quality number was made of. ``average_adverse`` and ``average_favourable``
    are the mean excursions as fractions of the entry price. None where a figure isn't defined.
    """

    trades: int
    wins: int
    losses: int
    even: int
    win_rate: float | None
    profit: float
    gross_profit: float
    gross_loss: float
    profit_factor: float | None
    expectancy: float | None
    expectancy_r: float | None
    stops: int
    payoff_ratio: float | None
    sqn: float | None
    sqn_of: Literal["R", "money"]
    average_win: float | None
    average_loss: float | None
    largest_win: float | None
    largest_loss: float | None
    longest_wins: int
    longest_losses: int
    average_bars: float | None
    average_adverse: float | None
    average_favourable: float | None
    open_trades: int
    open_profit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Closed trades that have something in common: a symbol, a strategy, a side, an exit."""

    name: str
    trades: int
    win_rate: float
    profit: float
    profit_factor: float | None
    expectancy: float


def closed_trades(result: Result) -> list[Trade]:
    """Return the trades that were closed, in the order of their exits."""
    return sorted(
        (each for each in result.round_trips if not each.open), key=attrgetter("exit_time")
    )


def profits(trades: Sequence[Trade]) -> Floats:
    """Return what each of ``trades`` earned, net of costs."""
    return column(trades, "profit")


def trade_figures(result: Result, closed: Sequence[Trade], profit: Floats) -> TradeFigures:
    """Return the figures of ``closed``, whose profits are ``profit``."""
    won, lost = profit[profit > 0], profit[profit < 0]
    multiples = r_multiples(result, closed, profit)
    # R is what Van Tharp means; a mixture of trades with and without a stop has none.
    of_r = 0 < multiples.size == profit.size
    left = [each for each in result.round_trips if each.open]
    entry = column(closed, "entry_price")
    return TradeFigures(
        trades=profit.size,
        wins=won.size,
        losses=lost.size,
        even=profit.size - won.size - lost.size,
        win_rate=won.size / profit.size if profit.size else None,
        profit=float(np.sum(profit)),
        gross_profit=float(np.sum(won)),
        gross_loss=float(np.sum(lost)),
        profit_factor=_ratio(float(np.sum(won)), float(-np.sum(lost))),
        expectancy=_mean(profit),
        expectancy_r=_mean(multiples),
        stops=multiples.size,
        payoff_ratio=float(np.mean(won) / -np.mean(lost)) if won.size and lost.size else None,
        sqn=system_quality(multiples if of_r else profit),
        sqn_of="R" if of_r else "money",
        average_win=_mean(won),
        average_loss=_mean(lost),
        largest_win=float(np.max(won)) if won.size else None,
        largest_loss=float(np.min(lost)) if lost.size else None,
        longest_wins=longest_streak(profit > 0),
        longest_losses=longest_streak(profit < 0),
        average_bars=_mean(column(closed, "bars")),
        average_adverse=_mean(column(closed, "adverse") / entry),
        average_favourable=_mean(column(closed, "favourable") / entry),
        open_trades=len(left),
        open_profit=float(np.sum(profits(left))),
    )


def groups(names: Sequence[str], profit: Floats) -> tuple[Group, ...]:
    """Return the trades of each name, in the order of the names; one name for each profit."""
    places = {name: at for at, name in enumerate(sorted(set(names)))}
    which = np.fromiter(map(places.__getitem__, names), np.int64, len(names))
    sums = (profit, profit > 0, np.maximum(profit, 0.0), np.maximum(-profit, 0.0))
    count = np.bincount(which, minlength=len(places))
    earned, wins, won, lost = (np.bincount(which, weights=each) for each in sums)
    return tuple(
        Group(
            name=name,
            trades=int(count[at]),
            win_rate=float(wins[at] / count[at]),
            profit=float(earned[at]),
            profit_factor=_ratio(float(won[at]), float(lost[at])),
            expectancy=float(earned[at] / count[at]),
        )
        for name, at in places.items()
    )


def side_name(trade: Trade) -> str:
    """Return ``long`` or ``short``."""
    return "long" if trade.side is Side.BUY else "short"


def r_multiples(result: Result, trades: Sequence[Trade], profit: Floats) -> Floats:
    """Return the profit of each trade over what its first stop risked, where that is known.

    The risk is the stop's distance from the entry, times the quantity, at the rate of the entry's
    time to the account's currency: the R of V. K. Tharp, "Trade Your Way to Financial Freedom",
    1998. A trade without a stop, or without a rate, has none.
    """
    found = []
    stopped = [at for at, each in enumerate(trades) if each.stop_distance]
    for symbol in sorted({trades[at].instrument for at in stopped}):
        places = np.array([at for at in stopped if trades[at].instrument == symbol])
        chosen = [trades[at] for at in places]
        rates = quote_rates(result, symbol, times_of(chosen, "entry_time"))
        if rates is None:
            continue
        risked = column(chosen, "stop_distance") * column(chosen, "quantity") * rates
        found.append(profit[places] / risked)
    return np.concatenate(found) if found else np.empty(0)


def system_quality(each: Floats) -> float | None:
    """Return the system quality number: mean / deviation x sqrt(trades, at most 100).

    V. K. Tharp, "The Definitive Guide to Position Sizing", 2008; the deviation is the sample's
    (n - 1). None where there are fewer than two trades, or they don't differ.
    """
    if each.size <= 1:
        return None
    deviation = float(np.std(each, ddof=1))
    # Equal sums of money differ by their rounding only.
    if deviation <= 1e-12 * float(np.max(np.abs(each))):
        return None
    return float(np.mean(each)) / deviation * math.sqrt(min(each.size, SQN_CAP))


def longest_streak(hits: NDArray[np.bool_]) -> int:
    """Return how many of ``hits`` in a row are true, at most."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], hits.astype(np.int8), [0]))))
    return int(np.max(edges[1::2] - edges[::2])) if edges.size else 0


def _mean(values: Floats) -> float | None:
    return float(np.mean(values)) if values.size else None


def _ratio(gained: float, lost: float) -> float | None:
    return gained / lost if lost > 0 else None
