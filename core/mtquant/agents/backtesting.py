"""One backtest for an agent, in a process of its own, so that it holds up no order."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from subprocess import DEVNULL, CompletedProcess
from typing import Any

from anyio import BrokenResourceError, fail_after, run_process

from mtquant.errors import ConfigError, MtquantError
from mtquant.model.arrays import BarArrays

_WORK = "from mtquant.agents.backtesting import work; work()"
_NICE = 5
"""By how much a backtest gives way to the engine beside it."""
_KEPT = ("PATH", "PYTHONPATH", "HOME", "LANG", "SYSTEMROOT")
"""What the process knows of our environment, where secrets stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is to be tried: an installed strategy, its settings, bars, an account's terms."""

    strategy: str
    parameters: Mapping[str, Any]
    series: BarArrays
    account: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a trial came to nothing, in words: errors don't travel between processes."""

    where: str | None
    problem: str
    remedy: str


async def in_a_process(trial: Trial, limit_s: float) -> dict[str, Any] | Wrong | None:
    """Return what :func:`tried` does, worked out by a process of its own; None where it died.

    Raises TimeoutError after ``limit_s`` seconds; the process is ended then, as where the caller
    is cancelled. It can write no file, and knows no secret of the environment.
    """
    known = {name: os.environ[name] for name in _KEPT if name in os.environ}
    command = (sys.executable, "-P", "-B", "-c", _WORK)
    done: CompletedProcess[bytes] | None = None
    try:
        with fail_after(limit_s):
            done = await run_process(
                command, input=pickle.dumps(trial), stderr=DEVNULL, check=False, env=known
            )
    except* (BrokenResourceError, ConnectionError):
        pass  # it died before it had read all
    if done is None or done.returncode or not done.stdout:
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    return Wrong(**found["wrong"]) if "wrong" in found else found


def work() -> None:
    """Do what a process of its own does: read a trial, and write what came of it as JSON."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a strategy may print
    with suppress(ImportError):
        import resource  # noqa: PLC0415 - not on every system

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        os.nice(_NICE)
    found = tried(pickle.load(sys.stdin.buffer))  # noqa: S301 - our own process wrote it
    json.dump({"wrong": asdict(found)} if isinstance(found, Wrong) else found, answers)
    answers.flush()


def tried(trial: Trial) -> dict[str, Any] | Wrong:
    """Run the backtest and return its figures by name, or what is wrong with it."""
    from mtquant.backtest.api import backtest  # noqa: PLC0415 - only the worker needs it

    try:
        result = backtest(
            trial.strategy, trial.series, params=trial.parameters, account=trial.account
        )
        found = result.stats
    except ConfigError as error:
        return Wrong(error.where, error.problem, error.remedy)
    except MtquantError as error:
        return Wrong(None, str(error), "Correct the arguments.")
    except Exception as error:  # noqa: BLE001 - a stranger's strategy may raise anything
        problem = f"the strategy failed with {type(error).__name__}"
        return Wrong(None, problem, "Try other parameters, or tell the person.")
    deepest, held = found.risk.max_drawdown, found.buy_and_hold
    return {
        "cautions": tuple(each.message for each in found.cautions),
        "start": found.period.start,
        "end": found.period.end,
        "currency": found.currency,
        "start_equity": round(found.returns.start_equity, 2),
        "net_profit": round(found.returns.net_profit, 2),
        "total_return": _percent(found.returns.total_return),
        "max_drawdown": _percent(deepest.fraction if deepest else 0.0),
        "sharpe": _round(found.returns.sharpe),
        "trades": found.trades.trades,
        "win_rate": _percent(found.trades.win_rate),
        "profit_factor": _round(found.trades.profit_factor),
        "costs": round(found.costs.total, 2),
        "buy_and_hold": _percent(held.total_return if held else None),
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else round(100 * fraction, 2)


def _round(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)
