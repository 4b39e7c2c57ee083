"""In which order combinations are tried: all of them, some by chance, or where it looks good."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from mtquant.clock import seeded
from mtquant.errors import ConfigError
from mtquant.search.space import Params, Space

if TYPE_CHECKING:
    import optuna

Method = Generator[Sequence[Params], Sequence[float | None], None]
"""Yields combinations to try and is sent what each came to, None where it is no candidate.

What it yields depends on the space, the seed and what it was sent: on no clock and no worker.
"""

BATCH = 8
"""How many combinations the Bayesian search proposes before it learns of the last ones."""
_STUBBORN = 500
"""How often the Bayesian search may propose nothing new before it has seen all it wants."""
_COUNTED = 100_000
"""A space of more combinations isn't counted, to know when all were tried."""
TRIALS = 100
"""How many combinations are tried where nobody says."""


def method_named(name: str, space: Space, trials: int | None, seed: int) -> Method:
    """Return the method ``grid``, ``random`` or ``bayes`` over ``space``.

    ``trials`` is how many combinations are tried, by default 100; a grid has all of them.
    Raises ConfigError.
    """
    if trials is not None and trials < 1:
        raise ConfigError("--trials", f"{trials} is too few", "Give at least 1.")
    match name:
        case "grid" if trials is not None:
            raise ConfigError(
                "--trials", "a grid tries every combination", "Take --method random or bayes."
            )
        case "grid":
            return _grid(space)
        case "random":
            return _random(space, trials or TRIALS, seed)
        case "bayes":
            _optuna()
            return _bayes(space, trials or TRIALS, seed)
    raise ConfigError("--method", f"{name!r} is none", "There are grid, random and bayes.")


def _grid(space: Space) -> Method:
    yield list(space.grid())


def _random(space: Space, trials: int, seed: int) -> Method:
    yield space.draw(trials, seeded(seed))


def _bayes(space: Space, trials: int, seed: int) -> Method:
    """Propose by the tree-structured Parzen estimator of J. Bergstra et al. (2011), by Optuna.

    What constraints forbid and what is no candidate is told to it as a trial that was cut short,
    so that it looks elsewhere. A combination is tried once, however often it is proposed.
    """
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    known: dict[Params, float | None] = {}
    stubborn = 0
    if space.size <= _COUNTED:
        trials = min(trials, sum(1 for _ in space.grid()))
    while len(known) < trials and stubborn < _STUBBORN:
        asked: list[tuple[Any, Params]] = []
        fresh: dict[Params, None] = {}
        while len(fresh) < min(BATCH, trials - len(known)) and stubborn < _STUBBORN:
            trial, params = _ask(study, space)
            if params in known or not space.allows(params):
                _tell(study, trial, known.get(params))
                stubborn += 1
                continue
            asked.append((trial, params))
            stubborn = stubborn + 1 if params in fresh else 0
            fresh[params] = None
        if fresh:
            values = yield list(fresh)
            known |= dict(zip(fresh, values, strict=True))
        for trial, params in asked:
            _tell(study, trial, known[params])


def _ask(study: optuna.Study, space: Space) -> tuple[Any, Params]:
    """Return a trial of Optuna and the combination that it proposes."""
    from optuna import distributions  # noqa: PLC0415 - heavy, and in an extra

    # Values are named by their places: any kind of value, and steps of any size.
    asked = study.ask(
        {
            axis.name: distributions.IntDistribution(0, len(axis.values) - 1)
            if axis.ordered
            else distributions.CategoricalDistribution(range(len(axis.values)))
            for axis in space.axes
        }
    )
    return asked, space.at([asked.params[axis.name] for axis in space.axes])


def _tell(study: optuna.Study, trial: optuna.Trial, value: float | None) -> None:
    if value is None:
        study.tell(trial, state=_optuna().trial.TrialState.PRUNED)
    else:
        study.tell(trial, value)


def _optuna() -> Any:  # noqa: ANN401 - a module
    try:
        import optuna  # noqa: PLC0415 - heavy, and in an extra
    except ModuleNotFoundError:
        raise ConfigError(
            "--method bayes", "Optuna isn't installed", 'pip install "mtquant[optimize]"'
        ) from None
    return optuna
