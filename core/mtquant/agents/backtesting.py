"""One backtest for an agent, in a process of its own, so that it holds up no order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtquant.errors import ConfigError, MtquantError
from mtquant.model.arrays import BarArrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is to be tried: an installed strategy, its settings, bars, an account's terms."""

    strategy: str
    parameters: Mapping[str, Any]
    series: BarArrays
    account: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a trial came to nothing: errors of ours don't travel between processes."""

    where: str | None
    problem: str
    remedy: str


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
