"""The deflated Sharpe ratio and the probability of overfitting, against the papers."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.model.arrays import Floats
from mtquant.search.overfit import (
    deflated_sharpe,
    expected_maximum_sharpe,
    overfitting,
    probabilistic_sharpe,
)

# Bailey and López de Prado (2014), "A numerical example": 2.5 a year over five years of 250 days,
# the ratios of 100 trials with a variance of 1/2 a year, skewness -3, kurtosis 10.
FOUND, VARIANCE, DAYS = 2.5 / math.sqrt(250), 0.5 / 250, 1250


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "published"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_the_deflated_ratio_is_the_paper_s(
    trials: int, skewness: float, kurtosis: float, published: float
) -> None:
    hurdle = expected_maximum_sharpe(VARIANCE, trials)
    found = probabilistic_sharpe(FOUND, hurdle, DAYS, skewness, kurtosis)
    assert found == pytest.approx(published, abs=5e-5)


def test_the_hurdle_is_the_paper_s() -> None:
    assert expected_maximum_sharpe(VARIANCE, 100) == pytest.approx(0.1132, abs=5e-5)


def test_one_trial_has_no_hurdle_and_more_raise_it() -> None:
    assert expected_maximum_sharpe(0.5, 1) == 0
    hurdles = [expected_maximum_sharpe(0.5, trials) for trials in (2, 5, 10, 100, 1000)]
    assert hurdles == sorted(hurdles)
    assert hurdles[0] > 0


def test_the_hurdle_is_the_mean_of_the_best_of_many_draws() -> None:
    best = np.random.default_rng(1).normal(0, 0.3, (20_000, 50)).max(axis=1).mean()
    assert expected_maximum_sharpe(0.09, 50) == pytest.approx(best, rel=0.02)


def test_moments_that_no_returns_have_are_refused() -> None:
    with pytest.raises(ValueError, match="skewness"):
        probabilistic_sharpe(2.0, 0.0, 100, skewness=5.0, kurtosis=1.0)


def noise(trials: int, days: int, seed: int = 1) -> list[Floats]:
    return list(np.random.default_rng(seed).normal(0, 0.01, (trials, days)))


def test_the_ratio_of_returns_is_worked_out_from_their_moments() -> None:
    trials = noise(20, 500)
    best = max(trials, key=lambda each: each.mean() / each.std(ddof=1))
    found = deflated_sharpe(best, trials)
    ratios = [each.mean() / each.std(ddof=1) for each in trials]
    assert found is not None
    assert (found.trials, found.days) == (20, 500)
    assert found.variance == pytest.approx(np.var(ratios, ddof=1))
    assert found.expected_maximum == expected_maximum_sharpe(found.variance, 20)
    away = (best - best.mean()) / best.std()
    assert found.skewness == pytest.approx((away**3).mean())
    assert found.kurtosis == pytest.approx((away**4).mean())
    assert found.probability == probabilistic_sharpe(
        max(ratios), found.expected_maximum, 500, found.skewness, found.kurtosis
    )
    # The best of noise is no discovery.
    assert found.probability < 0.8


def test_a_trial_with_an_edge_is_a_discovery() -> None:
    trials = noise(20, 500)
    found = deflated_sharpe(trials[0] + 0.004, [*trials[1:], trials[0] + 0.004])
    assert found is not None
    assert found.probability > 0.99


def test_copies_of_one_trial_are_worth_one() -> None:
    [one] = noise(1, 300)
    shifted = [one * (1 + index / 10) for index in range(10)]
    found = deflated_sharpe(one, shifted)
    assert found is not None
    assert found.independent == pytest.approx(1.0)
    apart = deflated_sharpe(noise(10, 3000)[0], noise(10, 3000))
    assert apart is not None
    assert apart.independent == pytest.approx(10, abs=0.5)


def test_correlations_are_meant_over_all_pairs() -> None:
    common = noise(1, 400, 5)[0]
    trials = [each + common for each in noise(6, 400)]
    table = np.corrcoef(trials)
    mean = (table.sum() - 6) / 30
    found = deflated_sharpe(trials[0], trials)
    assert found is not None
    assert found.independent == pytest.approx(mean + (1 - mean) * 6)
    assert found.of_independent > found.probability


def test_what_never_moved_is_no_trial() -> None:
    trials = noise(5, 100)
    flat = np.zeros(100)
    assert deflated_sharpe(flat, [flat, *trials]) is None
    assert deflated_sharpe(trials[0], [flat, *trials]) == deflated_sharpe(trials[0], trials)
    assert deflated_sharpe(np.array([0.1, 0.2]), trials) is None


def by_hand(trials: list[Floats], blocks: int) -> tuple[float, float]:
    """Return the probability and the loss by the words of the paper, one split at a time."""
    rows = np.split(np.stack(trials, axis=1), blocks)
    below, lost, splits = 0, 0, 0
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([rows[each] for each in chosen])
        outside = np.concatenate([rows[each] for each in range(blocks) if each not in chosen])
        best = np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1))
        after = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        rank = 1 + int((after < after[best]).sum())
        share = rank / (len(trials) + 1)
        below += math.log(share / (1 - share)) <= 0
        lost += after[best] < 0
        splits += 1
    return below / splits, lost / splits


@pytest.mark.parametrize("seed", range(4))
def test_the_probability_is_that_of_every_split_by_hand(seed: int) -> None:
    trials = noise(7, 120, seed)
    found = overfitting(trials, blocks=6)
    assert found is not None
    assert (found.probability, found.loss) == pytest.approx(by_hand(trials, 6))
    assert (found.splits, found.blocks, found.trials) == (20, 6, 7)


def test_the_best_of_noise_is_overfit_half_the_time() -> None:
    found = [overfitting(noise(20, 320, seed), blocks=8) for seed in range(30)]
    assert 0.4 < np.mean([each.probability for each in found if each]) < 0.6


def test_a_trial_that_is_truly_better_is_not_overfit() -> None:
    trials = noise(20, 320)
    trials[7] = trials[7] + 0.01
    found = overfitting(trials)
    assert found is not None
    assert (found.blocks, found.splits) == (16, 12_870)
    assert found.probability < 0.01
    assert found.loss < 0.01


def test_a_trial_that_was_fitted_to_one_half_is_overfit() -> None:
    # Each does well in a stretch of its own and badly in all others: the winner always falls.
    trials = []
    for index, each in enumerate(noise(8, 160)):
        made = each * 0.05 - 0.002
        made[index * 20 : index * 20 + 20] += 0.02
        trials.append(made)
    found = overfitting(trials, blocks=8)
    assert found is not None
    assert found.probability > 0.95
    assert found.slope < 0


def test_the_oldest_days_that_fill_no_block_are_left_out() -> None:
    trials = noise(5, 83)
    assert overfitting(trials, blocks=4) == overfitting([each[3:] for each in trials], blocks=4)


def test_too_little_is_told_as_nothing() -> None:
    assert overfitting(noise(1, 400)) is None
    assert overfitting(noise(5, 39)) is None
    assert overfitting([]) is None
    assert overfitting(noise(5, 40)) is not None


@given(st.integers(2, 6), st.integers(0, 99))
def test_the_order_of_trials_does_not_matter(count: int, seed: int) -> None:
    trials = noise(count, 48, seed)
    one, other = overfitting(trials), overfitting(trials[::-1])
    assert one is not None
    assert other is not None
    assert one.probability == other.probability
    assert 0 <= one.probability <= 1
