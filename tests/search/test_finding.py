"""The search: what is tried, ranked and judged, on whatever executor."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.search.scene import Shuffled, here, invented, prepared, wanted

from mtquant.errors import ConfigError, MtquantError
from mtquant.search.executors import Executor
from mtquant.search.finding import Found, Searcher, Trial
from mtquant.search.forward import Lengths, hold_out, walk_forward
from mtquant.search.overfit import deflated_sharpe, overfitting
from mtquant.search.space import Axis, Space
from mtquant.search.state import Memory, State, StateFile
from mtquant.search.trial import Bench, Outcome, Task, check_names, with_params


def summary(found: Found) -> list[object]:
    return [(each.params, each.value, each.outcome.daily.tolist()) for each in found.trials]


def search(executor: Executor, state: State | None = None, **others: object) -> Found:
    return Searcher(executor, state or Memory(), wanted(**others)).find()


def test_the_best_comes_first_and_is_judged_against_all() -> None:
    found = search(here())
    assert found.best is not None
    assert found.best.params == (("fast", 3), ("slow", 8))
    values = [each.value for each in found.trials]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert len(values) == found.candidates == 5
    daily = [each.outcome.daily for each in found.trials]
    assert found.deflated == deflated_sharpe(found.best.outcome.daily, daily)
    both = (found.overfit, overfitting(daily))
    assert both[0] is not None
    assert both[0] == both[1]
    assert found.stability is not None
    assert (found.stability.neighbours, found.stability.tried) == (3, 3)
    assert (found.stability.median, found.stability.worst) == (1.0, 0.0)


@pytest.mark.parametrize("method", ["grid", "random", "bayes"])
def test_the_order_in_which_workers_answer_changes_nothing(method: str) -> None:
    if method == "bayes":
        pytest.importorskip("optuna")
    others: dict[str, Any] = {"method": method, "trials": None if method == "grid" else 4}
    assert summary(search(here(), **others)) == summary(search(Shuffled(invented), **others))


def test_few_trades_are_no_candidate_but_a_trial() -> None:
    def bench(task: Task) -> Outcome:
        return replace(invented(task), trades=40 if dict(task.params)["fast"] == 2 else 29)

    found = search(here(bench), min_trades=30)
    assert found.best is not None
    assert dict(found.best.params)["fast"] == 2
    assert (found.candidates, len(found.trials)) == (2, 5)
    assert found.deflated is not None
    assert found.deflated.trials == 5


def test_where_there_is_no_candidate_there_is_no_best() -> None:
    found = search(here(), min_trades=41)
    assert (found.best, found.deflated, found.stability) == (None, None, None)


def test_a_search_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    left = [2]

    def dying(task: Task) -> Outcome:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return invented(task)

    state = StateFile(tmp_path / "s", {})
    with pytest.raises(Killed):
        search(here(dying), state)
    again = StateFile(tmp_path / "s", {})
    rest = Shuffled(invented)
    found = search(rest, again)
    assert len(rest.tried) == 3
    assert summary(found) == summary(search(here()))
    third = Shuffled(invented)
    search(third, again)
    assert third.tried == []
    state.close()
    again.close()


def test_trials_of_an_earlier_search_count_against_the_optimum() -> None:
    state = Memory()
    search(here(), state, space=Space.of([Axis("fast", (7, 8, 9, 10)), Axis("slow", (30, 40))]))
    found = search(here(), state)
    assert found.deflated is not None
    assert found.overfit is not None
    assert found.deflated.trials == found.overfit.trials == 13


def test_lost_tasks_are_told_and_tried_again_next_time() -> None:
    state = Memory()
    lost = Outcome(problem="3 workers ended", lost=True)
    bench = here(lambda task: lost if dict(task.params)["fast"] == 2 else invented(task))
    found = search(bench, state)
    assert [dict(each.params)["fast"] for each in found.refused] == [2, 2]
    assert search(here(), state).refused == ()


def test_a_strategy_that_refuses_everything_says_why() -> None:
    with pytest.raises(MtquantError, match="fast must be"):
        search(here(lambda _: Outcome(problem="fast must be above 1")))


def test_no_allowed_combination_is_told() -> None:
    with pytest.raises(ConfigError, match="--where"):
        search(here(), space=Space.of([Axis("fast", (3,)), Axis("slow", (2,))], ["fast < slow"]))


@pytest.mark.parametrize("wrong", [{"by": "luck"}, {"min_trades": -1}])
def test_a_wrong_wish_is_told(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="--"):
        wanted(**wrong)


def test_progress_tells_of_everything_and_the_best_so_far() -> None:
    heard: list[tuple[int, int, Trial | None]] = []
    Searcher(here(), Memory(), wanted(), lambda *each: heard.append(each)).find()
    assert [each[:2] for each in heard] == [(known, 5) for known in range(6)]
    values = [each[2].value for each in heard[1:] if each[2] is not None]
    assert values == sorted(values)  # type: ignore[type-var]
    assert values[-1] == 2.0


def test_progress_of_a_bayesian_search_tells_how_many_are_to_come() -> None:
    pytest.importorskip("optuna")
    wide = Space.of([Axis("fast", tuple(range(2, 9))), Axis("slow", tuple(range(9, 16)))])
    heard: list[int] = []
    wish = wanted(space=wide, method="bayes", trials=20)
    Searcher(here(), Memory(), wish, lambda _, total, __: heard.append(total)).find()
    assert set(heard) == {20}


# --- with a real backtest ---------------------------------------------------------------------


def test_settings_that_a_strategy_refuses_are_an_outcome() -> None:
    outcome = Bench(prepared(bars=40), 0)(Task(params=(("fast", 9), ("slow", 8))))
    assert "must be less than slow" in outcome.problem
    assert outcome.figures == {}


def test_names_are_checked_before_anything_runs() -> None:
    check_names(prepared(bars=40), ["fast", "sma_cross.slow", "weight"])
    with pytest.raises(ConfigError, match="is no parameter of sma_cross"):
        check_names(prepared(bars=40), ["faster"])
    with pytest.raises(ConfigError, match="whose parameter"):
        check_names(prepared(bars=40), ["trend.fast"])


def test_a_parameter_reaches_its_strategy() -> None:
    changed = with_params(prepared(bars=40), (("sma_cross.fast", 4), ("slow", 6)))
    assert changed.config.strategies["sma_cross"].settings == {"fast": 4, "slow": 6}
    assert changed.steps is prepared(bars=40).steps


def test_a_part_is_traded_as_if_the_rest_were_not_there() -> None:
    from mtquant.search.parts import Part  # noqa: PLC0415 - only here

    params = (("fast", 2), ("slow", 5))
    long, short = (Bench(prepared(bars=bars), 0) for bars in (160, 130))
    task = Task(params=params, part=Part(60, 110), curve=True)
    one, other = long(task), short(task)
    assert one.trades > 2
    assert one.equity.tolist() == other.equity.tolist()
    assert one.time.tolist() == [time for time, _ in prepared(bars=160).steps[60:110]]


# --- forward ----------------------------------------------------------------------------------


def curved(task: Task) -> Outcome:
    """Return an invented outcome with a curve that earns its value, in percent, over its part."""
    made, part = invented(task), task.part
    assert part is not None
    gain = made.figures["sharpe"]
    assert gain is not None
    steps = np.linspace(0, gain / 100, len(part) + 1)[1:]
    times = [time for time, _ in prepared(bars=120).steps[part.start : part.stop]]
    return replace(made, time=np.array(times), equity=100_000 * (1 + steps))


def test_a_walk_forward_joins_its_tests() -> None:
    searcher = Searcher(here(curved), Memory(), wanted())
    lengths = Lengths(mode="rolling", train=40, test=30, embargo=2)
    found = walk_forward(searcher, prepared(bars=120), lengths)
    assert [each.window.test.start for each in found.stretches] == [42, 72, 102]
    assert found.time.tolist() == [time for time, _ in prepared(bars=120).steps[42:]]
    assert found.equity.size == found.time.size
    assert found.total_return == pytest.approx(1.02**3 - 1)
    assert found.equity[29] == pytest.approx(102_000)
    assert found.equity[-1] == pytest.approx(100_000 * 1.02**3)
    assert found.max_drawdown == 0
    # Both parts earned 2 %, in 40 hours each and in 30, 30 and 18.
    assert found.efficiency == pytest.approx((6 / 78) / (6 / 120))


def test_a_window_without_a_candidate_trades_nothing() -> None:
    def bench(task: Task) -> Outcome:
        first = task.part is not None and task.part.start == 0
        return replace(curved(task), trades=0 if first and not task.curve else 40)

    searcher = Searcher(here(bench), Memory(), wanted())
    found = walk_forward(searcher, prepared(bars=120), Lengths(mode="rolling", train=60, test=30))
    assert found.stretches[0].outside is None
    assert found.stretches[1].outside is not None
    assert set(found.equity[:30].tolist()) == {100_000.0}
    assert found.total_return == pytest.approx(0.02)


def test_a_walk_forward_begins_at_the_start() -> None:
    whole = prepared(bars=120)
    searcher = Searcher(here(curved), Memory(), wanted())
    lengths = Lengths(mode="anchored", train=40, test=30)
    found = walk_forward(searcher, whole, lengths, start=whole.steps[20][0])
    assert found.stretches[0].window.train.start == 20
    assert found.stretches[0].start == whole.steps[60][0]
    with pytest.raises(ConfigError, match="start"):
        walk_forward(searcher, whole, lengths, start=whole.steps[-1][0] + 1)


def test_the_choice_is_made_on_the_validation_part_and_tested_once() -> None:
    seen: list[Task] = []

    def bench(task: Task) -> Outcome:
        seen.append(task)
        made = invented(task)
        validating = task.part is not None and task.part.start == 62
        value = 9.0 if validating and dict(task.params)["fast"] == 2 else made.figures["sharpe"]
        return replace(made, figures=dict(made.figures) | {"sharpe": value}, trades=40)

    state = Memory()
    searcher = Searcher(here(bench), state, wanted())
    found = hold_out(searcher, prepared(bars=104), (60, 20, 20), embargo=2, finalists=4)
    assert found.found.best is not None
    assert found.chosen is not None
    assert dict(found.found.best.params)["fast"] == 3
    assert dict(found.chosen.params)["fast"] == 2
    assert len(found.validated) == 4
    tested = [task for task in seen if task.part == found.split.test]
    assert [task.params for task in tested] == [found.chosen.params]
    assert found.looks == 0
    again = hold_out(searcher, prepared(bars=104), (60, 20, 20), embargo=2, finalists=4)
    assert again.looks == 1
