"""Monte Carlo: what a result might have been with its trades in another order, or other days."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.result import Result
from mtquant.backtest.statistics import statistics
from mtquant.clock import Random
from mtquant.errors import ConfigError
from mtquant.model.arrays import Floats

PERCENTS = (5, 25, 50, 75, 95)
RUIN = 0.5
"""The share of the first equity whose loss is ruin, where nobody says."""
_LARGEST = 1_000_000
_AT_ONCE = 4_000_000
"""How many numbers are drawn at once, which bounds the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """The spread of a result over ``draws`` of chance.

    ``final_equity`` (the account's currency) and ``max_drawdown`` (a fraction of the peak) hold the
    percentiles ``PERCENTS``. ``ruin`` is the share of draws in which equity fell by ``ruin_at`` of
    what it began with; ``loss`` the share that ended below it. ``block`` is the mean length in days
    of what was drawn in one piece, 0 where trades were shuffled.
    """

    draws: int
    final_equity: tuple[float, ...]
    max_drawdown: tuple[float, ...]
    ruin: float
    ruin_at: float
    loss: float
    block: float = 0.0


def shuffled_trades(
    result: Result, draws: int, rng: Random, ruin_at: float = RUIN
) -> Chances | None:
    """Return what the closed trades of ``result`` might have come to in another order.

    Each draw is one permutation of their profits, which stay the same amounts of money: what they
    sum up to doesn't change, the way there does. None where there is no closed trade.
    Raises ConfigError where ``draws`` isn't above zero.
    """
    profits = np.array([float(each.profit) for each in result.round_trips if not each.open])
    if not profits.size:
        return None
    start = float(result.start_balance)
    found = _Spread(start, ruin_at)
    for count in _portions(draws, profits.size):
        order = np.argsort(_uniform(rng, count, profits.size), axis=1)
        found.add(np.cumsum(profits[order], axis=1, dtype=np.float64) + start)
    return found.chances(draws)


def bootstrapped_returns(
    result: Result, draws: int, rng: Random, block: float | None = None, ruin_at: float = RUIN
) -> Chances | None:
    """Return what the days of ``result`` might have come to, drawn anew from its daily returns.

    The stationary bootstrap of D. N. Politis and J. P. Romano, Journal of the American Statistical
    Association 89 (1994): days are drawn in rows of random length, geometric with the mean
    ``block`` (by default the cube root of their number), so that what follows each other still
    does; the last day is followed by the first. Returns compound. None where there are fewer than
    two. Raises ConfigError where ``draws`` isn't above zero or ``block`` below one.
    """
    returns = statistics(result).daily_returns
    if returns.size <= 1:
        return None
    mean = max(1.0, round(returns.size ** (1 / 3))) if block is None else block
    if not (mean >= 1 and math.isfinite(mean)):
        raise ConfigError("block", f"{mean} days is too short", "Give at least 1.")
    start = float(result.start_balance)
    found = _Spread(start, ruin_at)
    for count in _portions(draws, returns.size):
        places = _stationary(rng, count, returns.size, mean)
        found.add(np.asarray(start * np.cumprod(1 + returns[places], axis=1), np.float64))
    return found.chances(draws, mean)


def _portions(draws: int, length: int) -> list[int]:
    """Return ``draws`` in parts that are small enough to hold."""
    if not 1 <= draws <= _LARGEST:
        raise ConfigError("--monte-carlo", f"{draws} is out of range", f"Give 1 to {_LARGEST:,}.")
    most = max(1, _AT_ONCE // length)
    return [min(most, draws - done) for done in range(0, draws, most)]


def _uniform(rng: Random, rows: int, columns: int) -> Floats:
    """Return uniform numbers from 0 up to 1, of shape (rows, columns)."""
    raw = np.frombuffer(rng.randbytes(8 * rows * columns), "<u8").reshape(rows, columns)
    found: Floats = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return found


def _stationary(rng: Random, rows: int, length: int, mean: float) -> NDArray[np.int64]:
    """Return the places of the days of each draw, of shape (rows, length)."""
    fresh = _uniform(rng, rows, length) < 1 / mean
    first = (_uniform(rng, rows, length) * length).astype(np.int64)
    at = np.arange(length)
    begun = np.maximum.accumulate(np.where(fresh, at, 0), axis=1)
    return (np.take_along_axis(first, begun, axis=1) + at - begun) % length


class _Spread:
    """Gathers what the equity curves of all draws came to."""

    def __init__(self, start: float, ruin_at: float) -> None:
        if not 0 < ruin_at <= 1:
            raise ConfigError("ruin_at", f"{ruin_at} is no share", "Give one above 0 and up to 1.")
        self._start, self._ruin_at = start, ruin_at
        self._final: list[Floats] = []
        self._deepest: list[Floats] = []
        self._ruined = 0

    def add(self, curves: Floats) -> None:
        """Take curves in, of shape (draws, steps), without the equity they began with."""
        peaks = np.maximum(np.maximum.accumulate(curves, axis=1), self._start)
        self._final.append(curves[:, -1])
        self._deepest.append(((peaks - curves) / peaks).max(axis=1))
        lowest = curves.min(axis=1)
        self._ruined += int((lowest <= self._start * (1 - self._ruin_at)).sum())

    def chances(self, draws: int, block: float = 0.0) -> Chances:
        """Return the spread of all that was taken in."""
        final = np.concatenate(self._final)
        return Chances(
            draws=draws,
            final_equity=_percentiles(final),
            max_drawdown=_percentiles(np.concatenate(self._deepest)),
            ruin=self._ruined / draws,
            ruin_at=self._ruin_at,
            loss=float(np.mean(final < self._start)),
            block=block,
        )


def _percentiles(values: Floats) -> tuple[float, ...]:
    found: Sequence[float] = np.percentile(values, PERCENTS).tolist()
    return tuple(found)
