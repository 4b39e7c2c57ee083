"""Monte Carlo over trades and days."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backtest.statistics_scene import result, trade

from mtquant.clock import seeded
from mtquant.errors import ConfigError
from mtquant.search.chance import _stationary, bootstrapped_returns, shuffled_trades

PROFITS = (30.0, -20.0, 10.0, -5.0, 25.0)


def traded(*profits: float) -> object:
    return result([100.0], [trade(each) for each in profits])


def test_shuffled_trades_end_where_they_ended_and_fall_differently() -> None:
    found = shuffled_trades(traded(*PROFITS), 500, seeded(1))  # type: ignore[arg-type]
    assert found is not None
    assert found.final_equity == (140.0,) * 5
    assert found.loss == found.ruin == 0
    # From 100: the two losses first fall by a quarter; apart they fall by less.
    assert found.max_drawdown[-1] == pytest.approx(0.25, abs=0.06)
    assert found.max_drawdown[0] < found.max_drawdown[-1]


def test_the_drawdown_counts_from_the_first_equity() -> None:
    found = shuffled_trades(traded(-60.0), 10, seeded(1))  # type: ignore[arg-type]
    assert found is not None
    assert found.max_drawdown == (0.6,) * 5
    assert (found.ruin, found.loss) == (1.0, 1.0)
    milder = shuffled_trades(traded(-60.0), 10, seeded(1), ruin_at=0.7)  # type: ignore[arg-type]
    assert milder is not None
    assert milder.ruin == 0


def test_open_trades_are_not_shuffled() -> None:
    only_open = result([100.0], [trade(5, exit_reason="open")])
    assert shuffled_trades(only_open, 10, seeded(1)) is None


def test_the_same_seed_draws_the_same() -> None:
    curve = result(100 * np.cumprod(1 + np.random.default_rng(1).normal(0, 0.01, 60)))
    for draw in (shuffled_trades, bootstrapped_returns):
        made = traded(*PROFITS) if draw is shuffled_trades else curve
        one, same, other = (draw(made, 50, seeded(seed)) for seed in (1, 1, 2))  # type: ignore[arg-type]
        assert one == same
        assert one != other


def test_days_that_are_all_alike_are_drawn_alike() -> None:
    found = bootstrapped_returns(result(100 * 1.01 ** np.arange(1, 31)), 20, seeded(1))
    assert found is not None
    assert found.final_equity == pytest.approx((100 * 1.01**30,) * 5)
    assert found.max_drawdown == pytest.approx((0.0,) * 5, abs=1e-12)
    assert found.block == 3


def test_the_bootstrap_s_mean_is_that_of_the_days() -> None:
    noise = np.random.default_rng(4).normal(0.001, 0.01, 400)
    found = bootstrapped_returns(result(100 * np.cumprod(1 + noise)), 4000, seeded(1))
    assert found is not None
    # The median of compounded draws lies at the sum of logarithms.
    assert found.final_equity[2] == pytest.approx(100 * np.exp(np.log1p(noise).sum()), rel=0.03)
    assert list(found.final_equity) == sorted(found.final_equity)


@given(st.integers(2, 40), st.floats(1, 20), st.integers(0, 99))
def test_rows_of_days_follow_each_other(length: int, mean: float, seed: int) -> None:
    places = _stationary(seeded(seed), 5, length, mean)
    assert places.shape == (5, length)
    assert places.min() >= 0
    assert places.max() < length


def test_the_mean_length_of_a_row_is_the_block() -> None:
    places = _stationary(seeded(1), 200, 1000, 8.0)
    broken = (np.diff(places, axis=1) % 1000 != 1).mean()
    assert 1 / broken == pytest.approx(8.0, rel=0.03)


@pytest.mark.parametrize("draws", [0, -1, 2_000_000])
def test_a_wrong_number_of_draws_is_told(draws: int) -> None:
    with pytest.raises(ConfigError, match="--monte-carlo"):
        shuffled_trades(traded(1.0), draws, seeded(1))  # type: ignore[arg-type]


def test_wrong_shares_and_blocks_are_told() -> None:
    days = result([100.0, 101.0, 99.0])
    with pytest.raises(ConfigError, match="ruin_at"):
        bootstrapped_returns(days, 5, seeded(1), ruin_at=0)
    with pytest.raises(ConfigError, match="block"):
        bootstrapped_returns(days, 5, seeded(1), block=0.5)
