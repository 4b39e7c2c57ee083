"""The search itself: combinations are tried, ranked, and judged for luck."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtquant.errors import ConfigError, MtquantError
from mtquant.model.arrays import Floats
from mtquant.search.executors import Executor
from mtquant.search.methods import TRIALS, method_named
from mtquant.search.overfit import (
    DeflatedSharpe,
    Overfitting,
    deflated_sharpe,
    overfitting,
)
from mtquant.search.parts import Part
from mtquant.search.space import Params, Space
from mtquant.search.state import State
from mtquant.search.trial import GOALS, Outcome, Task

MIN_TRADES = 30
"""With fewer closed trades a combination is no candidate, where nobody says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is searched for: the best ``by`` in ``space``, tried in the order of ``method``.

    ``by`` is one of ``GOALS`` and maximised. ``trials`` bounds the random and Bayesian methods,
    which draw from ``seed``. A combination with fewer than ``min_trades`` closed trades is no
    candidate. Raises ConfigError where one of these is wrong.
    """

    space: Space
    by: str = "sharpe"
    method: str = "grid"
    trials: int | None = None
    seed: int = 0
    min_trades: int = MIN_TRADES

    def __post_init__(self) -> None:
        if self.by not in GOALS:
            have = ", ".join(GOALS)
            raise ConfigError("--by", f"{self.by!r} is none", f"There are {have}.")
        if self.min_trades < 0:
            raise ConfigError("--min-trades", f"{self.min_trades} is below zero", "Give 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A combination, what it came to, and its value: None where it is no candidate."""

    params: Params
    outcome: Outcome
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stability:
    """How the neighbours of an optimum do, one step away in one parameter.

    ``tried`` of ``neighbours`` are known. ``median`` and ``worst`` are their values, None where
    none of them is a candidate: an optimum that stands alone is a lucky one.
    """

    neighbours: int
    tried: int
    median: float | None
    worst: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a search found on a part of the data: ``trials``, the best first, then no candidates.

    ``best`` is None where there is no candidate. ``deflated`` and ``overfit`` judge it against
    every combination that was ever tried on this part, by this search and those before it in its
    state file.
    """

    wanted: Wanted
    part: Part | None
    trials: tuple[Trial, ...]
    best: Trial | None
    deflated: DeflatedSharpe | None
    overfit: Overfitting | None
    stability: Stability | None

    @property
    def candidates(self) -> int:
        """How many combinations are candidates."""
        return sum(each.value is not None for each in self.trials)

    @property
    def refused(self) -> tuple[Trial, ...]:
        """The combinations that have no result, with the reason in their outcomes."""
        return tuple(each for each in self.trials if each.outcome.problem)


Progress = Callable[[int, int, Trial | None], None]
"""Hears how many combinations are known of how many, and the best of them so far."""


class Searcher:
    """Tries combinations on an executor, and knows what was tried before."""

    def __init__(
        self, executor: Executor, state: State, wanted: Wanted, progress: Progress | None = None
    ) -> None:
        self._executor, self._state, self.wanted = executor, state, wanted
        self._progress = progress

    def find(self, part: Part | None = None) -> Found:
        """Search on ``part`` of the data, or on all of it.

        Raises ConfigError where no combination is allowed or a strategy refuses every one.
        """
        wanted = self.wanted
        method = method_named(wanted.method, wanted.space, wanted.trials, wanted.seed)
        expected = (wanted.trials or TRIALS) if wanted.method == "bayes" else 0
        trials: list[Trial] = []
        try:
            batch = next(method)
            while True:
                made = self.attempt(batch, part, after=trials, expected=expected)
                trials += made
                batch = method.send([each.value for each in made])
        except StopIteration:
            pass
        if not trials:
            raise ConfigError("--where", "no combination is allowed", "Loosen it.")
        if all(each.outcome.problem for each in trials):
            raise MtquantError(f"no combination ran; the first: {trials[0].outcome.problem}")
        return self._judged(trials, part)

    def attempt(
        self,
        combinations: Sequence[Params],
        part: Part | None,
        *,
        after: Sequence[Trial] = (),
        expected: int = 0,
        curve: bool = False,
    ) -> list[Trial]:
        """Return what each combination comes to on ``part``, in their order.

        What is known already isn't tried again. ``after`` are the trials before these, which the
        progress counts too; it is told of ``expected`` ones where more are to come. ``curve`` asks
        for the equity after each step.
        """
        tasks = [Task(params=params, part=part, curve=curve) for params in combinations]
        found = {
            place: self._trial(task, outcome)
            for place, task in enumerate(tasks)
            if (outcome := self._state.get(task)) is not None
        }
        missing = [place for place in range(len(tasks)) if place not in found]
        best = max((*after, *found.values()), key=_rank, default=None)
        known, total = len(after) + len(found), max(expected, len(after) + len(tasks))
        self._tell(known, total, best)
        for index, outcome in self._executor.run([tasks[place] for place in missing]):
            place = missing[index]
            if not outcome.lost:
                self._state.put(tasks[place], outcome)
            trial = found[place] = self._trial(tasks[place], outcome)
            best = trial if best is None else max(best, trial, key=_rank)
            known += 1
            self._tell(known, total, best)
        return [found[place] for place in range(len(tasks))]

    def look(self, part: Part, params: Params) -> tuple[Trial, int]:
        """Return what ``params`` come to on the test part, and how often it was seen before."""
        before = self._state.look(part, Task(params=params, part=part))
        [trial] = self.attempt([params], part)
        return trial, before

    def _tell(self, known: int, total: int, best: Trial | None) -> None:
        if self._progress is not None:
            self._progress(known, total, best)

    def _trial(self, task: Task, outcome: Outcome) -> Trial:
        value = outcome.figures.get(self.wanted.by)
        enough = outcome.trades >= self.wanted.min_trades and not outcome.problem
        return Trial(params=task.params, outcome=outcome, value=value if enough else None)

    def _judged(self, trials: Sequence[Trial], part: Part | None) -> Found:
        places = self.wanted.space.places
        # Equals stand in the order of their values, however they came in.
        ranked = sorted(trials, key=lambda each: (-_rank(each), places(each.params)))
        best = ranked[0] if ranked[0].value is not None else None
        returns = _moving(self._state.tried(part))
        return Found(
            wanted=self.wanted,
            part=part,
            trials=tuple(ranked),
            best=best,
            deflated=None if best is None else deflated_sharpe(best.outcome.daily, returns),
            overfit=overfitting(returns),
            stability=None if best is None else _stability(best, trials, self.wanted.space),
        )


def _rank(trial: Trial) -> float:
    return -float("inf") if trial.value is None else trial.value


def _moving(outcomes: Sequence[Outcome]) -> list[Floats]:
    """Return the daily returns of those that traded, and kept something to trade with."""
    whole = max((each.daily.size for each in outcomes), default=0)
    return [each.daily for each in outcomes if each.daily.size == whole and each.daily.any()]


def _stability(best: Trial, trials: Sequence[Trial], space: Space) -> Stability:
    values = {each.params: each.value for each in trials}
    near = space.neighbours(best.params)
    known = [value for params in near if (value := values.get(params)) is not None]
    return Stability(
        neighbours=len(near),
        tried=sum(params in values for params in near),
        median=statistics.median(known) if known else None,
        worst=min(known, default=None),
    )
