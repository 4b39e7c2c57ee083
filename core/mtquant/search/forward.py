"""What is chosen on one part of the data, judged on another that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.run import Prepared
from mtquant.clock import SECOND
from mtquant.errors import ConfigError
from mtquant.metrics import daily_closes, max_drawdown, sharpe_ratio
from mtquant.model.arrays import Floats
from mtquant.search.finding import Found, Searcher, Trial
from mtquant.search.parts import Mode, Part, Split, Window, split, windows
from mtquant.search.trial import Outcome

_YEAR_S = 365.25 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long the parts of a walk-forward are, in steps of the market."""

    mode: Mode
    train: int
    test: int
    embargo: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """One window: what was ``found`` on its train part, and what that came to on its test part.

    ``start`` and ``end`` are the times of the test's first and last step, nanoseconds UTC.
    ``outside`` is None where no combination was a candidate: then nothing is traded in the test.
    """

    window: Window
    start: int
    end: int
    found: Found
    outside: Trial | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WalkForward:
    """A walk-forward: the windows, and the tests joined to one curve.

    Every test begins flat with the account's first balance; ``equity`` (the account's currency, one
    for each of ``time``, int64 nanoseconds UTC) compounds their returns. ``total_return`` and
    ``max_drawdown`` are fractions, ``sharpe`` is of daily returns, annualised. ``efficiency`` is
    what the tests earned a year over what the same combinations earned a year in their train
    parts (walk-forward efficiency: R. Pardo, "The Evaluation and Optimization of Trading
    Strategies", 2nd edition, 2008), None where the train parts earned nothing.
    """

    lengths: Lengths
    stretches: tuple[Stretch, ...]
    time: NDArray[np.int64]
    equity: Floats
    total_return: float
    max_drawdown: float
    sharpe: float | None
    efficiency: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holdout:
    """What was ``found`` on the train part, chosen on the validation part, and seen on the test.

    ``validated`` are the best of the train part in the order of their values on the validation
    part, each as it came out there. ``chosen`` is the first of them, ``test`` what it came to on
    the test part, which had been looked at ``looks`` times before.
    """

    split: Split
    found: Found
    validated: tuple[Trial, ...]
    chosen: Trial | None
    test: Trial | None
    looks: int


def walk_forward(
    searcher: Searcher, prepared: Prepared, lengths: Lengths, start: int | None = None
) -> WalkForward:
    """Search in every train part, and trade what is best there in the test part after it.

    Steps before ``start`` (nanoseconds UTC) are in no part. Raises ConfigError where not one window
    fits, and as :meth:`Searcher.find`.
    """
    first = _first(prepared, start)
    cut = windows(
        len(prepared.times) - first, lengths.mode, lengths.train, lengths.test, lengths.embargo
    )
    stretches = []
    for window in cut:
        moved = Window(train=_moved(window.train, first), test=_moved(window.test, first))
        found = searcher.find(moved.train)
        outside = None
        if found.best is not None:
            [outside] = searcher.attempt([found.best.params], moved.test, curve=True)
        stretches.append(
            Stretch(
                window=moved,
                start=int(prepared.times[moved.test.start]),
                end=int(prepared.times[moved.test.stop - 1]),
                found=found,
                outside=outside,
            )
        )
    return _joined(prepared, lengths, stretches)


def hold_out(
    searcher: Searcher,
    prepared: Prepared,
    shares: tuple[float, float, float],
    *,
    embargo: int = 0,
    finalists: int = 10,
    start: int | None = None,
) -> Holdout:
    """Search in the train part, choose among its best on the validation part, test that once.

    ``finalists`` of the train part's best are validated. Raises ConfigError as :func:`split`.
    """
    first = _first(prepared, start)
    cut = split(len(prepared.times) - first, shares, embargo)
    parts = Split(*(_moved(each, first) for each in (cut.train, cut.validation, cut.test)))
    found = searcher.find(parts.train)
    best = [each.params for each in found.trials[:finalists] if each.value is not None]
    validated = _by_value(searcher, searcher.attempt(best, parts.validation))
    chosen = validated[0] if validated and validated[0].value is not None else None
    if chosen is None:
        return Holdout(
            split=parts, found=found, validated=validated, chosen=None, test=None, looks=0
        )
    test, looks = searcher.look(parts.test, chosen.params)
    return Holdout(
        split=parts, found=found, validated=validated, chosen=chosen, test=test, looks=looks
    )


def _by_value(searcher: Searcher, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return ``trials`` the best first; a validation part may be too short for many trades."""
    valued = [
        replace(each, value=None if each.outcome.problem else _figure(each, searcher.wanted.by))
        for each in trials
    ]
    # Equals stay in the order of the train part.
    return tuple(sorted(valued, key=lambda each: np.inf if each.value is None else -each.value))


def _figure(trial: Trial, name: str) -> float | None:
    return trial.outcome.figures.get(name)


def _first(prepared: Prepared, start: int | None) -> int:
    """Return the first step at or after ``start``."""
    if start is None:
        return 0
    first = int(np.searchsorted(prepared.times, start))
    if first == len(prepared.times):
        raise ConfigError("start", "is after the last bar", "Set less.")
    return first


def _moved(part: Part, by: int) -> Part:
    return Part(part.start + by, part.stop + by)


def _joined(prepared: Prepared, lengths: Lengths, stretches: Sequence[Stretch]) -> WalkForward:
    balance = float(prepared.settings.balance)
    level, times, curves = balance, [], []
    for each in stretches:
        if each.outside is None or each.outside.outcome.problem:
            part = each.window.test
            times.append(prepared.times[part.start : part.stop])
            curves.append(np.full(len(part), level))
            continue
        outcome = each.outside.outcome
        times.append(outcome.time)
        curves.append(level * outcome.equity / balance)
        level = float(curves[-1][-1])
    time, equity = np.concatenate(times), np.concatenate(curves)
    whole = np.concatenate([[balance], equity])
    worst = max_drawdown(whole)
    closes = np.concatenate([[balance], daily_closes(time.tolist(), equity)])
    return WalkForward(
        lengths=lengths,
        stretches=tuple(stretches),
        time=time,
        equity=equity,
        total_return=level / balance - 1,
        max_drawdown=0.0 if worst is None else worst.fraction,
        sharpe=sharpe_ratio(closes),
        efficiency=_efficiency(prepared, stretches),
    )


def _efficiency(prepared: Prepared, stretches: Sequence[Stretch]) -> float | None:
    """Return what the tests earned a year over what their choices earned a year before."""
    inside = outside = 0.0
    years_inside = years_outside = 0.0
    for each in stretches:
        if each.found.best is None or each.outside is None:
            continue
        inside += _earned(each.found.best.outcome)
        outside += _earned(each.outside.outcome)
        years_inside += _years(prepared, each.window.train)
        years_outside += _years(prepared, each.window.test)
    if inside <= 0 or not years_outside:
        return None
    return (outside / years_outside) / (inside / years_inside)


def _earned(outcome: Outcome) -> float:
    return outcome.figures.get("total_return") or 0.0


def _years(prepared: Prepared, part: Part) -> float:
    lasted = prepared.times[part.stop - 1] - prepared.times[part.start] + prepared.market.length
    return float(lasted) / SECOND / _YEAR_S
