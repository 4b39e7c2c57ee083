"""One combination on one part of the data: what is asked of a worker, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.result import Result
from mtquant.backtest.run import Prepared, run, varied
from mtquant.backtest.statistics import Statistics, statistics
from mtquant.contract import Level
from mtquant.errors import ConfigError, MtquantError
from mtquant.making import make_strategies
from mtquant.model.arrays import Floats
from mtquant.search.parts import Part, cut
from mtquant.search.space import Params

GOALS: Mapping[str, Callable[[Statistics], float | None]] = {
    "sharpe": lambda stats: stats.returns.sharpe,
    "sortino": lambda stats: stats.returns.sortino,
    "calmar": lambda stats: stats.returns.calmar,
    "profit_factor": lambda stats: stats.trades.profit_factor,
    "net_profit": lambda stats: stats.returns.net_profit,
    "sqn": lambda stats: stats.trades.sqn,
    "expectancy": lambda stats: stats.trades.expectancy,
}
"""What can be maximised, by name; None where the figure isn't defined."""

_NOTHING = np.empty(0)
_FAILED = "failed and is heard no more"
_OF_TABLE = ("timeframe", "weight")
_CUTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A combination to try on a part of the data, or on all of it where there is no part.

    ``curve`` asks for the equity after each step, which is large.
    """

    params: Params
    part: Part | None = None
    curve: bool = False

    @property
    def key(self) -> str:
        """What tells this task from every other of a search, as JSON."""
        part = None if self.part is None else [self.part.start, self.part.stop]
        return json.dumps([dict(self.params), part, self.curve], sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a combination came to.

    ``figures`` are those of ``GOALS``, and ``total_return``, ``annual_return`` and
    ``max_drawdown`` as fractions, by name; ``trades`` counts closed ones. ``daily`` are the returns
    of each UTC day as fractions, of shape (days,). ``time`` (int64 nanoseconds UTC) and ``equity``
    (the account's currency) have one entry for each step of the market, where they were asked for.
    ``problem`` says why there is no result; where it is ``lost``, workers ended while they had it.
    """

    figures: Mapping[str, float | None] = field(default_factory=dict)
    trades: int = 0
    daily: Floats = field(default_factory=lambda: _NOTHING)
    time: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    equity: Floats = field(default_factory=lambda: _NOTHING)
    problem: str = ""
    lost: bool = False


class Bench:
    """Tries combinations: one prepared backtest, whose prices are read and grouped once.

    What no parameter changes is kept here between tasks. ``start`` (nanoseconds UTC) is from when
    tasks without a part trade; bars before it warm the strategies up.
    """

    def __init__(self, prepared: Prepared, seed: int, start: int | None = None) -> None:
        self.prepared, self.seed, self.start = prepared, seed, start
        self._cuts: dict[tuple[Part, int], tuple[Prepared, int]] = {}

    def __call__(self, task: Task) -> Outcome:
        """Return what ``task`` came to; settings that a strategy refuses are an outcome too."""
        try:
            result = self.result(task)
        except MtquantError as error:
            return Outcome(problem=str(error))
        for _, level, text in result.told:
            if level == Level.ALARM and _FAILED in text:
                return Outcome(problem=text)
        return _outcome(result, curve=task.curve)

    def result(self, task: Task) -> Result:
        """Return the whole result of ``task``; raises MtquantError where a setting is refused."""
        prepared, start = with_params(self.prepared, task.params), self.start
        if task.part is not None:
            within, start = self._part(task.part, _history(prepared))
            prepared = with_params(within, task.params)
        return run(prepared, seed=self.seed, start=start)

    def _part(self, part: Part, history: int) -> tuple[Prepared, int]:
        """Return the prices of ``part``, kept for the next combination."""
        if (part, history) not in self._cuts:
            if len(self._cuts) >= _CUTS:
                self._cuts.clear()
            self._cuts[part, history] = cut(self.prepared, part, history)
        return self._cuts[part, history]


def with_params(prepared: Prepared, params: Params) -> Prepared:
    """Return ``prepared`` with the parameters of ``params`` set.

    A name is ``fast`` where one strategy is configured, ``trend.fast`` where there are several.
    Raises ConfigError where there is no such strategy or parameter.
    """
    tables: dict[str, dict[str, Any]] = {}
    for name, value in params:
        strategy, parameter = _place(prepared, name)
        tables.setdefault(strategy, {})[parameter] = value
    for strategy, changes in tables.items():
        prepared = varied(prepared, strategy, changes)
    return prepared


def check_names(prepared: Prepared, names: Sequence[str]) -> None:
    """Raise ConfigError where one of ``names`` is no parameter of its strategy."""
    for name in names:
        strategy, parameter = _place(prepared, name)
        plugin = prepared.catalogue.get("strategy", prepared.config.strategies[strategy].plugin)
        known = [*plugin.Settings.model_fields, *_OF_TABLE]
        if parameter not in known:
            have = ", ".join(known)
            raise ConfigError(name, f"is no parameter of {strategy}", f"There are {have}.")


def _place(prepared: Prepared, name: str) -> tuple[str, str]:
    """Return the strategy and the parameter that ``name`` names."""
    strategies = list(prepared.config.strategies)
    strategy, dot, parameter = name.partition(".")
    if dot and strategy in strategies:
        return strategy, parameter
    if not dot and len(strategies) == 1:
        return strategies[0], name
    have = ", ".join(strategies)
    raise ConfigError(
        name, "doesn't say whose parameter it is", f"Write STRATEGY.{name}; there are {have}."
    )


def _history(prepared: Prepared) -> int:
    """Return how many bars before a part its strategies warm up on.

    As many as an engine asks a broker for, or a few more: the next power of two, so that
    combinations with averages of like lengths share one cut of the prices.
    """
    config = prepared.config
    needed = max(
        -(-each.warmup * each.timeframe.seconds // config.market.timeframe.seconds)
        for name in config.strategies
        for each in make_strategies(config, prepared.catalogue, name)
    )
    return 1 << needed.bit_length() if needed else 0


def _outcome(result: Result, *, curve: bool) -> Outcome:
    stats = statistics(result)
    worst = stats.risk.max_drawdown
    figures = {name: goal(stats) for name, goal in GOALS.items()} | {
        "total_return": stats.returns.total_return,
        "annual_return": stats.returns.annual_return,
        "max_drawdown": 0.0 if worst is None else worst.fraction,
    }
    if not curve:
        return Outcome(figures=figures, trades=stats.trades.trades, daily=stats.daily_returns)
    return Outcome(
        figures=figures,
        trades=stats.trades.trades,
        daily=stats.daily_returns,
        time=result.time,
        equity=result.equity,
    )
