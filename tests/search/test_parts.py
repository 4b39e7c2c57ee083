"""Splits, windows and cuts."""

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.search.scene import prepared

from mtquant.backtest.run import run
from mtquant.errors import ConfigError
from mtquant.search.parts import Mode, Part, cut, split, steps_of, windows

share = st.floats(0.01, 100)


@given(st.integers(1, 5000), share, share, share, st.integers(0, 300))
def test_a_split_covers_everything_but_the_embargoes_in_order(
    steps: int, one: float, two: float, three: float, embargo: int
) -> None:
    try:
        found = split(steps, (one, two, three), embargo)
    except ConfigError as error:
        assert "too few" in str(error)  # noqa: PT017 - either is right
        return
    parts = [found.train, found.validation, found.test]
    assert all(len(part) > 0 for part in parts)
    assert (parts[0].start, parts[-1].stop) == (0, steps)
    gaps = [later.start - earlier.stop for earlier, later in pairwise(parts)]
    assert gaps == [embargo, embargo]
    room, whole = steps - 2 * embargo, one + two + three
    for part, wanted in zip(parts, (one, two, three), strict=True):
        assert abs(len(part) - room * wanted / whole) <= 1


@pytest.mark.parametrize("shares", [(60, 0, 40), (60, -1, 41), (1, 1, float("nan"))])
def test_a_share_must_be_something(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="--split"):
        split(100, shares)


def test_an_embargo_is_not_negative() -> None:
    with pytest.raises(ConfigError, match="--embargo"):
        split(100, (60, 20, 20), -1)


@given(
    st.integers(1, 3000),
    st.sampled_from(get_args(Mode)),
    st.integers(1, 500),
    st.integers(1, 500),
    st.integers(0, 100),
)
def test_windows_test_every_step_after_the_first_train_once_and_never_what_was_trained_on(
    steps: int, mode: Mode, train: int, test: int, embargo: int
) -> None:
    assume(train + embargo < steps)
    found = windows(steps, mode, train, test, embargo)
    tested = [step for each in found for step in range(each.test.start, each.test.stop)]
    assert tested == list(range(train + embargo, steps))
    for number, each in enumerate(found):
        assert each.test.start - each.train.stop == embargo
        assert len(each.test) <= test
        if mode == "rolling":
            assert len(each.train) == train
        else:
            assert each.train == Part(0, train + number * test)


@pytest.mark.parametrize(
    ("lengths", "problem"),
    [
        ((0, 5, 0), "--train"),
        ((5, 0, 0), "--test"),
        ((5, 5, -1), "--embargo"),
        ((90, 5, 10), "--train"),
    ],
)
def test_windows_that_cannot_be_are_told(lengths: tuple[int, int, int], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        windows(100, "rolling", *lengths)


def test_a_cut_has_nothing_after_its_part_and_little_before() -> None:
    whole = prepared(bars=120)
    within, start = cut(whole, Part(50, 80), 10)
    assert start == whole.steps[50][0]
    assert within.steps == whole.steps[40:80]
    bars, market = within.bars["EUR/USD"], within.market.bars["EUR/USD"]
    assert bars.time.tolist() == list(market.time) == whole.bars["EUR/USD"].time[40:80].tolist()
    assert within.market.ends["EUR/USD"][-1] == whole.steps[79][0]
    result = run(within, start=start)
    assert result.time.tolist() == [time for time, _ in whole.steps[50:80]]


def test_a_cut_at_the_beginning_has_no_history() -> None:
    whole = prepared(bars=60)
    within, start = cut(whole, Part(0, 30), 10)
    assert within.steps == whole.steps[:30]
    assert start == whole.steps[0][0]


def test_lengths_are_bars_or_days_of_these_data() -> None:
    whole = prepared(bars=240)  # ten days of hours, the market open around the clock
    assert steps_of("17", whole, "--train") == 17
    assert steps_of("3d", whole, "--train") == 72
    with pytest.raises(ConfigError, match="--train"):
        steps_of("3 weeks", whole, "--train")
