"""Axes, and the combinations that are allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.clock import seeded
from mtquant.errors import ConfigError
from mtquant.search.methods import method_named
from mtquant.search.space import Axis, Params, Space, choice_of, range_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("fast=5:20:5", (5, 10, 15, 20)),
        ("fast=5:19:5", (5, 10, 15)),
        ("fast=1:3", (1, 2, 3)),
        ("a=0.1:0.4:0.1", (0.1, 0.2, 0.3, 0.4)),
        ("a=-1:1:1", (-1, 0, 1)),
        (" a = 2 : 2 ", (2,)),
    ],
)
def test_a_range_has_its_ends_and_no_rounding(text: str, values: tuple[float, ...]) -> None:
    axis = range_of(text)
    assert axis.values == values
    assert {type(each) for each in axis.values} == {type(each) for each in values}
    assert axis.ordered


@pytest.mark.parametrize(
    "text",
    [
        "fast",
        "fast=",
        "=1:2",
        "fast=1",
        "fast=1:2:0",
        "fast=2:1",
        "fast=1:2:-1",
        "fast=a:b",
        "fast=1:2:3:4",
        "fast=1:inf",
        "fast=nan:2",
        "fast=0:1:1e-9",
    ],
)
def test_a_wrong_range_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="--range"):
        range_of(text)


def test_a_choice_reads_numbers_and_truth() -> None:
    assert choice_of("x=long_only, 3,2.5,true,false,1e3,nan") == Axis(
        "x", ("long_only", 3, 2.5, True, False, 1000.0, "nan"), ordered=False
    )


@pytest.mark.parametrize("text", ["x", "x=", "=a", "x=a,,b", "x=a,a"])
def test_a_wrong_choice_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--choice|^x"):
        choice_of(text)


def space() -> Space:
    return Space.of(
        [Axis("fast", (2, 4, 6)), Axis("slow", (4, 6)), Axis("way", ("up", "down"), ordered=False)],
        ["fast < slow"],
    )


def test_a_grid_has_every_allowed_combination_once() -> None:
    found = [tuple(value for _, value in params) for params in space().grid()]
    assert found == [
        (2, 4, "up"), (2, 4, "down"), (2, 6, "up"), (2, 6, "down"), (4, 6, "up"), (4, 6, "down"),
    ]  # fmt: skip


def test_neighbours_are_one_step_away_in_a_range_and_allowed() -> None:
    at: Params = (("fast", 2), ("slow", 6), ("way", "up"))
    assert set(space().neighbours(at)) == {
        (("fast", 4), ("slow", 6), ("way", "up")),
        (("fast", 2), ("slow", 4), ("way", "up")),
    }


@pytest.mark.parametrize("axes", [[], [Axis("a", (1,)), Axis("a", (2,))]])
def test_a_space_needs_different_axes(axes: list[Axis]) -> None:
    with pytest.raises(ConfigError, match="--range"):
        Space.of(axes)


def test_an_axis_needs_different_values() -> None:
    with pytest.raises(ConfigError, match="no value"):
        Axis("a", ())
    with pytest.raises(ConfigError, match="twice"):
        Axis("a", (1, 1))


def huge() -> Space:
    return Space.of([Axis(name, tuple(range(200))) for name in "abc"], ["a < b", "b < c"])


def test_a_grid_too_large_to_list_is_refused_but_can_be_drawn_from() -> None:
    with pytest.raises(ConfigError, match=r"8,000,000 combinations"):
        huge().grid()
    drawn = huge().draw(50, seeded(1))
    assert len(set(drawn)) == 50
    assert all(huge().allows(params) for params in drawn)
    assert drawn == huge().draw(50, seeded(1))
    assert drawn != huge().draw(50, seeded(2))


@given(st.integers(1, 20), st.integers(0, 9))
def test_a_draw_has_no_combination_twice_and_no_more_than_there_are(count: int, seed: int) -> None:
    drawn = space().draw(count, seeded(seed))
    assert len(drawn) == len(set(drawn)) == min(count, 6)
    assert all(space().allows(params) for params in drawn)


def test_the_bayesian_search_ends_when_it_has_seen_everything_once() -> None:
    pytest.importorskip("optuna")
    small = Space.of([Axis("a", tuple(range(5))), Axis("b", (0, 2, 4))], ["a != b"])
    method = method_named("bayes", small, 40, 1)
    found: list[Params] = []
    try:
        batch = next(method)
        while True:
            found += batch
            batch = method.send([float(dict(each)["a"]) for each in batch])
    except StopIteration:
        pass
    assert sorted(found) == sorted(small.grid())


def test_the_bayesian_search_repeats_with_its_seed_and_has_no_combination_twice() -> None:
    pytest.importorskip("optuna")
    wide = Space.of([Axis("a", tuple(range(50))), Axis("b", tuple(range(50)))], ["a != b"])

    def run(seed: int) -> list[Params]:
        method = method_named("bayes", wide, 40, seed)
        found: list[Params] = []
        try:
            batch = next(method)
            while True:
                found += batch
                values = [float(-abs(dict(each)["a"] - 31)) for each in batch]  # type: ignore[operator]
                batch = method.send([*values[:-1], None])
        except StopIteration:
            return found

    first = run(3)
    assert first == run(3)
    assert first != run(4)
    assert len(first) == len(set(first)) == 40
    assert all(wide.allows(each) for each in first)


def test_the_bayesian_search_comes_nearer_to_the_best() -> None:
    pytest.importorskip("optuna")
    line = Space.of([Axis("a", tuple(range(1000)))])
    method = method_named("bayes", line, 64, 1)
    found: list[int] = []
    try:
        batch = next(method)
        while True:
            found += [int(dict(each)["a"]) for each in batch]
            batch = method.send([-abs(float(dict(each)["a"]) - 700.0) for each in batch])
    except StopIteration:
        pass
    early, late = found[:16], found[-16:]
    assert sum(abs(each - 700) for each in late) < sum(abs(each - 700) for each in early) / 4


@pytest.mark.parametrize(
    ("name", "trials", "problem"),
    [("grid", 5, "--trials"), ("random", 0, "--trials"), ("genetic", None, "--method")],
)
def test_a_wrong_method_is_told(name: str, trials: int | None, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        method_named(name, space(), trials, 1)
