"""The search from Python: the best settings of a strategy, and how much of it is luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtquant.backtest.api import prepared_of, time_named
from mtquant.backtest.run import Prepared
from mtquant.contract import Strategy
from mtquant.search.executors import executor_of
from mtquant.search.expression import Value
from mtquant.search.finding import MIN_TRADES, Found, Progress, Searcher, Wanted
from mtquant.search.space import Axis, Space
from mtquant.search.state import Memory, State, StateFile, about
from mtquant.search.trial import Bench, check_names


def optimize(  # noqa: PLR0913 - what a search is made of
    strategy: str | type[Strategy[Any]],
    data: Any,  # noqa: ANN401 - as mtquant.backtest.backtest takes it
    space: Mapping[str, Sequence[Value]],
    *,
    where: Sequence[str] = (),
    by: str = "sharpe",
    method: str = "grid",
    trials: int | None = None,
    min_trades: int = MIN_TRADES,
    seed: int = 0,
    start: str | None = None,
    workers: int | None = None,
    on: str | None = None,
    state: str | Path | None = None,
    **others: Any,  # noqa: ANN401 - symbol, timeframe, params, account, risk, settings
) -> Found:
    """Try combinations of settings of a strategy, and return them, the best first.

    ``space`` maps each parameter to the values that are tried, in their order; ``where`` are
    conditions such as ``fast < slow``. ``by`` is maximised: sharpe, sortino, calmar, profit_factor,
    net_profit, sqn or expectancy. ``method`` is ``grid``, ``random`` or ``bayes``. ``workers`` are
    processes of this machine, by default one for each core; ``on`` is a cluster,
    ``dask://HOST:PORT``. ``state`` is a file that keeps what is found: the same call goes on where
    it stopped. ``others`` are those of :func:`mtquant.backtest.backtest`. The result is the same
    whatever the number of workers. Raises ConfigError or PluginError, which say what to change.
    """
    prepared = prepared_of(strategy, data, **others)
    wanted = Wanted(
        space=Space.of([Axis(name, tuple(values)) for name, values in space.items()], where),
        by=by,
        method=method,
        trials=trials,
        seed=seed,
        min_trades=min_trades,
    )
    begin = None if start is None else time_named(start)
    kept = None if state is None else Path(state)
    with searching(prepared, wanted, start=begin, workers=workers, on=on, state=kept) as searcher:
        return searcher.find()


@contextmanager
def searching(  # noqa: PLR0913 - as above
    prepared: Prepared,
    wanted: Wanted,
    *,
    start: int | None = None,
    workers: int | None = None,
    on: str | None = None,
    state: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[Searcher]:
    """Return a searcher over ``prepared`` whose workers and state file are let go of at the end."""
    check_names(prepared, [axis.name for axis in wanted.space.axes])
    bench = Bench(prepared, wanted.seed, start)
    kept: State = (
        Memory() if state is None else StateFile(state, about(prepared, wanted.seed, start))
    )
    try:
        with executor_of(bench, workers, on) as executor:
            yield Searcher(executor, kept, wanted, progress)
    finally:
        kept.close()
