"""What a search is answered with: for a page, a terminal, and as JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mtquant.backtest.run import Prepared
from mtquant.clock import format_time, seeded
from mtquant.search.chance import PERCENTS, Chances, bootstrapped_returns, shuffled_trades
from mtquant.search.finding import MIN_TRADES, Found, Trial
from mtquant.search.forward import Holdout, WalkForward
from mtquant.search.parts import Part
from mtquant.search.trial import Bench, Task

GOOD_CHANCE = 0.95
"""A deflated Sharpe ratio below this is no discovery at the usual level of confidence."""
TOO_LIKELY = 0.5
"""A probability of overfitting from which on the choice is no better than a coin's."""
FEW_DAYS = 60
_FINDINGS = 3
_MONEY = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """A search over one backtest: on all of it (``found``), a ``split`` of it, or ``forward``.

    ``found`` is the search on the train part where there is a split, and None of a walk-forward.
    ``shuffled`` and ``drawn`` are the Monte Carlos of the optimum: its trades in another order, its
    days drawn anew; of the test part where there is one.
    """

    prepared: Prepared
    by: str
    method: str
    seed: int
    found: Found | None = None
    split: Holdout | None = None
    forward: WalkForward | None = None
    shuffled: Chances | None = None
    drawn: Chances | None = None

    @property
    def title(self) -> str:
        """What was searched, in a line."""
        names = ", ".join(self.prepared.config.strategies)
        return f"{names}: {', '.join(self.prepared.bars)} {self.prepared.config.market.timeframe}"

    @property
    def chosen(self) -> Trial | None:
        """The combination that the search comes to; None where none is a candidate."""
        if self.split is not None:
            return self.split.chosen
        return None if self.found is None else self.found.best

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before they trade the optimum, in sentences."""
        return tuple(_warnings(self))

    def to_dict(self, top: int) -> dict[str, Any]:
        """Return it as JSON types, with the ``top`` best combinations; times as RFC 3339."""
        times = self.prepared.times
        return {
            "by": self.by,
            "method": self.method,
            "seed": self.seed,
            "strategies": list(self.prepared.config.strategies),
            "symbols": list(self.prepared.bars),
            "timeframe": self.prepared.config.market.timeframe.value,
            "first": format_time(int(times[0])),
            "last": format_time(int(times[-1])),
            "search": None if self.found is None else _found(self.found, top),
            "split": None if self.split is None else _split(self.split, self.prepared),
            "walk_forward": None if self.forward is None else _forward(self.forward),
            "monte_carlo": {
                "trade_order": _chances(self.shuffled),
                "daily_returns": _chances(self.drawn),
            },
            "warnings": list(self.warnings),
        }


def by_chance(
    bench: Bench, chosen: Trial | None, part: Part | None, draws: int
) -> tuple[Chances | None, Chances | None]:
    """Return both Monte Carlos of a combination on a part, each of ``draws``; seeded as the search.

    None where there is no combination, or too little of it to draw from.
    """
    if chosen is None or not draws:
        return None, None
    result = bench.result(Task(params=chosen.params, part=part))
    return (
        shuffled_trades(result, draws, seeded(bench.seed)),
        bootstrapped_returns(result, draws, seeded(bench.seed)),
    )


def value_text(value: float | None) -> str:
    """Return a figure for a table: a dash where it isn't defined."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.2f}" if abs(value) >= _MONEY else f"{value:.3f}"


def params_text(trial: Trial) -> str:
    """Return the parameters of a trial as they are given on a command line."""
    return " ".join(f"{name}={value}" for name, value in trial.params)


def _warnings(answer: Answer) -> list[str]:
    found, said = answer.found, []
    if found is not None:
        said += _of_search(found)
    if answer.split is not None and answer.split.looks:
        times = "once" if answer.split.looks == 1 else f"{answer.split.looks} times"
        said.append(
            f"The test part has been looked at {times} before. Each look makes it less of a test: "
            "what is chosen after it is fitted to it too."
        )
    test = None if answer.split is None else answer.split.test
    if test is not None and test.outcome.trades < MIN_TRADES:
        said.append(f"The test part has {test.outcome.trades} closed trades: too few to judge by.")
    if answer.forward is not None:
        empty = sum(each.outside is None for each in answer.forward.stretches)
        if empty:
            said.append(f"{empty} windows had no candidate and trade nothing.")
    return said


def _of_search(found: Found) -> list[str]:
    said = []
    if found.best is None:
        few = found.wanted.min_trades
        said.append(f"No combination is a candidate: none has {few} closed trades and a figure.")
    if found.deflated is not None and found.deflated.probability < GOOD_CHANCE:
        said.append(
            f"The deflated Sharpe ratio is {found.deflated.probability:.2f}: after "
            f"{found.deflated.trials} trials the optimum is no discovery (that begins at "
            f"{GOOD_CHANCE})."
        )
    if found.overfit is not None and found.overfit.probability >= TOO_LIKELY:
        said.append(
            f"The probability of overfitting is {found.overfit.probability:.2f}: what was best in "
            "one half of the days was below the median in the other at least as often as not."
        )
    if found.best is not None and found.best.outcome.daily.size < FEW_DAYS:
        said.append(f"There are {found.best.outcome.daily.size} days: too few for ratios of days.")
    stable = found.stability
    if stable is not None and stable.neighbours and stable.tried < stable.neighbours:
        said.append(f"{stable.tried} of the optimum's {stable.neighbours} neighbours were tried.")
    if stable is not None and stable.tried and stable.median is None:
        said.append("None of the optimum's neighbours is a candidate: it stands alone.")
    if found.refused:
        reasons = dict.fromkeys(each.outcome.problem for each in found.refused)
        shown = "; ".join([*reasons][:_FINDINGS])
        said.append(f"{len(found.refused)} combinations have no result: {shown}")
    return said


def _found(found: Found, top: int) -> dict[str, Any]:
    stable = found.stability
    return {
        "part": None if found.part is None else [found.part.start, found.part.stop],
        "trials": len(found.trials),
        "candidates": found.candidates,
        "refused": len(found.refused),
        "min_trades": found.wanted.min_trades,
        "best": None if found.best is None else _trial(found.best),
        "deflated_sharpe": None if found.deflated is None else asdict(found.deflated),
        "overfitting": None if found.overfit is None else asdict(found.overfit),
        "stability": None if stable is None else asdict(stable),
        "top": [_trial(each) for each in found.trials[:top]],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    found: dict[str, Any] = {"params": dict(trial.params), "value": trial.value}
    if trial.outcome.problem:
        return found | {"problem": trial.outcome.problem}
    return found | {"trades": trial.outcome.trades} | dict(trial.outcome.figures)


def _split(split: Holdout, prepared: Prepared) -> dict[str, Any]:
    def dated(part: Part) -> dict[str, Any]:
        first, last = prepared.times[part.start], prepared.times[part.stop - 1]
        return {
            "steps": [part.start, part.stop],
            "first": format_time(int(first)),
            "last": format_time(int(last)),
        }

    return {
        "train": dated(split.split.train),
        "validation": dated(split.split.validation),
        "test": dated(split.split.test),
        "validated": [_trial(each) for each in split.validated],
        "chosen": None if split.chosen is None else dict(split.chosen.params),
        "result": None if split.test is None else _trial(split.test),
        "looks_before": split.looks,
    }


def _forward(forward: WalkForward) -> dict[str, Any]:
    return {
        "lengths": asdict(forward.lengths),
        "total_return": forward.total_return,
        "max_drawdown": forward.max_drawdown,
        "sharpe": forward.sharpe,
        "efficiency": forward.efficiency,
        "windows": [
            {
                "train": [each.window.train.start, each.window.train.stop],
                "test": [each.window.test.start, each.window.test.stop],
                "first": format_time(each.start),
                "last": format_time(each.end),
                "inside": None if each.found.best is None else _trial(each.found.best),
                "outside": None if each.outside is None else _trial(each.outside),
                "deflated_sharpe": each.found.deflated and each.found.deflated.probability,
                "overfitting": each.found.overfit and each.found.overfit.probability,
            }
            for each in forward.stretches
        ],
        "equity": [
            [format_time(time), equity]
            for time, equity in zip(forward.time.tolist(), forward.equity.tolist(), strict=True)
        ],
    }


def _chances(chances: Chances | None) -> Mapping[str, Any] | None:
    return None if chances is None else {"percentiles": list(PERCENTS)} | asdict(chances)
