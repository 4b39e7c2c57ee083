"""How much of an optimum is luck: the deflated Sharpe ratio and the probability of overfitting.

Who tries many combinations finds a good one by chance alone. The two figures here say how likely
that is: D. H. Bailey and M. López de Prado, "The Deflated Sharpe Ratio: Correcting for Selection
Bias, Backtest Overfitting and Non-Normality", Journal of Portfolio Management 40 (2014); and D. H.
Bailey, J. M. Borwein, M. López de Prado and Q. J. Zhu, "The Probability of Backtest Overfitting",
Journal of Computational Finance 20 (2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mtquant.model.arrays import Floats

_EULER = 0.5772156649015329
"""The Euler-Mascheroni constant."""
_NORMAL = NormalDist()
_NOISE = 1e-12
_FEWEST = 3
_BLOCKS = 16
"""The paper's S: 12,870 ways to choose half of the blocks."""
_DAYS_A_BLOCK = 10
_FEWEST_BLOCKS = 4
_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflatedSharpe:
    """The chance that an optimum's true Sharpe ratio is above zero, after so many trials.

    ``probability`` deflates by all ``trials``, ``of_independent`` by the ``independent`` ones that
    they are worth, as neighbours are much alike: the mean correlation r of n trials leaves
    r + (1 - r) n (the paper's appendix 3). ``sharpe`` and ``expected_maximum`` are ratios of daily
    returns that are not annualised: what was found, and the best that chance alone would have
    brought. ``days`` is how many returns there are, ``variance`` that of the trials' ratios.
    """

    probability: float
    of_independent: float
    trials: int
    independent: float
    sharpe: float
    expected_maximum: float
    variance: float
    skewness: float
    kurtosis: float
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfitting:
    """What the best of a part of the days was worth in the rest of them.

    ``probability`` is how often the best of one half was below the median in the other (PBO),
    ``loss`` how often it lost there. ``slope`` is that of the Sharpe ratio outside over the one
    inside: below zero, the better a combination looks the worse it does. ``splits`` counts the ways
    the ``blocks`` of days were halved, ``trials`` the combinations.
    """

    probability: float
    loss: float
    slope: float
    blocks: int
    splits: int
    trials: int


def expected_maximum_sharpe(variance: float, trials: float) -> float:
    """Return the highest Sharpe ratio to expect of ``trials`` without skill.

    ``variance`` is that of their ratios; equation 1 of the paper on the deflated Sharpe ratio.
    """
    if trials <= 1:
        return 0.0
    first = _NORMAL.inv_cdf(1 - 1 / trials)
    second = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER) * first + _EULER * second)


def probabilistic_sharpe(
    sharpe: float, benchmark: float, days: int, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Return the chance that the true Sharpe ratio is above ``benchmark``.

    Both ratios are of ``days`` returns and not annualised; a normal distribution has a kurtosis of
    3. D. H. Bailey and M. López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk
    15 (2012). Raises ValueError where no returns have such moments.
    """
    spread = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if spread <= 0 or days <= 1:
        msg = f"{days} returns with a skewness of {skewness} and a kurtosis of {kurtosis}"
        raise ValueError(msg)
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(days - 1) / math.sqrt(spread))


def deflated_sharpe(chosen: Floats, trials: Sequence[Floats]) -> DeflatedSharpe | None:
    """Return the deflated Sharpe ratio of ``chosen``, the daily returns of the optimum.

    ``trials`` are those of every combination that was tried, the optimum among them, each of shape
    (days,); those that never moved are no trials. None where there are fewer than three returns or
    they don't differ.
    """
    ratio = _sharpe(chosen)
    if chosen.size < _FEWEST or ratio is None:
        return None
    ratios = [found for each in trials if (found := _sharpe(each)) is not None]
    count = max(1, len(ratios))
    variance = float(np.var(ratios, ddof=1)) if count > 1 else 0.0
    independent = _independent(trials, count)
    away = (chosen - chosen.mean()) / chosen.std()
    skewness, kurtosis = float(np.mean(away**3)), float(np.mean(away**4))
    hurdle = expected_maximum_sharpe(variance, count)
    lower = expected_maximum_sharpe(variance, independent)
    return DeflatedSharpe(
        probability=probabilistic_sharpe(ratio, hurdle, chosen.size, skewness, kurtosis),
        of_independent=probabilistic_sharpe(ratio, lower, chosen.size, skewness, kurtosis),
        trials=count,
        independent=independent,
        sharpe=ratio,
        expected_maximum=hurdle,
        variance=variance,
        skewness=skewness,
        kurtosis=kurtosis,
        days=chosen.size,
    )


def _sharpe(returns: Floats) -> float | None:
    if returns.size <= 1:
        return None
    deviation = float(returns.std(ddof=1))
    return None if deviation <= _NOISE else float(returns.mean()) / deviation


def _independent(trials: Sequence[Floats], count: int) -> float:
    """Return how many independent trials ``count`` correlated ones are worth."""
    moving = [each for each in trials if _sharpe(each) is not None]
    days = {each.size for each in moving}
    if len(moving) <= 1 or len(days) != 1:
        return float(count)
    each = np.stack(moving)
    each = each - each.mean(axis=1, keepdims=True)
    each /= np.linalg.norm(each, axis=1, keepdims=True)
    # The sum of all correlations is the squared length of the sum of the unit vectors.
    total = float(np.square(each.sum(axis=0)).sum())
    mean = (total - count) / (count * (count - 1))
    return min(float(count), max(1.0, mean + (1 - mean) * count))


def overfitting(trials: Sequence[Floats], blocks: int | None = None) -> Overfitting | None:
    """Return how likely the best of ``trials`` is overfit, by CSCV.

    ``trials`` are the daily returns of every combination, each of shape (days,) over the same days.
    The days are put into ``blocks`` of equal length in the order of time, by default 16 or as many
    as have ten days each; the oldest days that don't fill one are left out. For every way to choose
    half of the blocks, the combination with the best Sharpe ratio there is ranked among all in the
    other half (combinatorially symmetric cross-validation). None where there are fewer than two
    trials or four blocks.
    """
    days = {each.size for each in trials}
    if len(trials) <= 1 or len(days) != 1:
        return None
    [length] = days
    if blocks is None:
        blocks = min(_BLOCKS, length // _DAYS_A_BLOCK // 2 * 2)
    if blocks < _FEWEST_BLOCKS or blocks % 2 or length < blocks:
        return None
    size = length // blocks
    matrix = np.stack(trials)[:, length - size * blocks :].reshape(len(trials), blocks, size)
    sums, squares = matrix.sum(axis=2).T, np.square(matrix).sum(axis=2).T
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(halves), blocks))
    np.put_along_axis(inside, halves, 1.0, axis=1)
    found = [
        _outside(inside[first : first + _AT_ONCE], sums, squares, size * blocks // 2)
        for first in range(0, len(inside), _AT_ONCE)
    ]
    logits, best, after = (np.concatenate(column) for column in zip(*found, strict=True))
    return Overfitting(
        probability=float(np.mean(logits <= 0)),
        loss=float(np.mean(after < 0)),
        slope=_slope(best, after),
        blocks=blocks,
        splits=len(halves),
        trials=len(trials),
    )


def _outside(
    inside: Floats, sums: Floats, squares: Floats, count: int
) -> tuple[Floats, Floats, Floats]:
    """Return of each split the logit of the rank of its best, and its ratios inside and outside."""
    before = _ratios(inside @ sums, inside @ squares, count)
    after = _ratios((1 - inside) @ sums, (1 - inside) @ squares, count)
    chosen = np.argmax(before, axis=1)[:, None]
    its = np.take_along_axis(after, chosen, axis=1)
    # Equals share their ranks.
    rank = (after < its).sum(axis=1) + ((after == its).sum(axis=1) + 1) / 2
    share = rank / (after.shape[1] + 1)
    return np.log(share / (1 - share)), np.take_along_axis(before, chosen, axis=1)[:, 0], its[:, 0]


def _ratios(sums: Floats, squares: Floats, count: int) -> Floats:
    """Return the Sharpe ratios of ``count`` returns with these sums; 0 of what never moves."""
    mean = sums / count
    variance: NDArray[np.float64] = np.maximum(squares - sums * mean, 0.0) / max(1, count - 1)
    ratios = np.zeros_like(mean)
    np.divide(mean, np.sqrt(variance), out=ratios, where=variance > _NOISE**2)
    return ratios


def _slope(x: Floats, y: Floats) -> float:
    spread = float(np.square(x - x.mean()).sum())
    return float(((x - x.mean()) * (y - y.mean())).sum() / spread) if spread > _NOISE else 0.0
