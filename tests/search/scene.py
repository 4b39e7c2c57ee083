"""A small backtest to search on, and benches that need none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np

from mtquant.backtest.run import Prepared, prepare
from mtquant.backtest.setup import configure, table_of
from mtquant.plugins import Catalogue, load_catalogue
from mtquant.search.executors import Executor, Here
from mtquant.search.finding import Wanted
from mtquant.search.space import Axis, Space
from mtquant.search.trial import GOALS, Outcome, Task


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    return load_catalogue()


@lru_cache(maxsize=8)
def prepared(bars: int = 120, strategy: str = "sma_cross", seed: int = 1) -> Prepared:
    """Return a backtest of a few hours of a random walk."""
    source = {"plugin": "walk", "bars": bars, "timeframe": "H1", "seed": seed}
    table = table_of(strategy, ["EUR/USD"], "H1", source=source)
    return prepare(configure(table), catalogue())


def wanted(**others: Any) -> Wanted:  # noqa: ANN401 - fields of it
    """Return a search over fast and slow."""
    space = Space.of([Axis("fast", (2, 3, 5)), Axis("slow", (5, 8))], ["fast < slow"])
    whole: dict[str, Any] = {"space": space, "min_trades": 1}
    return Wanted(**(whole | others))


def invented(task: Task, days: int = 100) -> Outcome:
    """Return an outcome that depends on the task alone, best at fast=3, slow=8."""
    params: Mapping[str, Any] = dict(task.params)
    value = 2.0 - abs(params["fast"] - 3) - abs(params["slow"] - 8) / 10
    noise = np.random.default_rng([params["fast"], params["slow"]])
    return Outcome(
        figures=dict.fromkeys(GOALS, value) | {"total_return": value / 100},
        trades=40,
        daily=noise.normal(value / 1000, 0.01, days),
    )


class Shuffled:
    """An executor whose answers come in another order than the tasks went."""

    def __init__(self, bench: Callable[[Task], Outcome]) -> None:
        self.bench, self.tried = bench, list[Task]()

    def run(self, tasks: Sequence[Task]) -> Any:  # noqa: ANN401 - an iterator
        order = np.random.default_rng(len(tasks)).permutation(len(tasks)).tolist()
        for place in order:
            self.tried.append(tasks[place])
            yield place, self.bench(tasks[place])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def here(bench: Callable[[Task], Outcome] = invented) -> Executor:
    return Here(bench)
