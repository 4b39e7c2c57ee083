"""All figures of a backtest, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.result import Result
from mtquant.backtest.statistics.cautions import Caution, cautions_of
from mtquant.backtest.statistics.costs import (
    CostFigures,
    RejectionCount,
    cost_figures,
    rejection_counts,
)
from mtquant.backtest.statistics.curve import DAY, Curve
from mtquant.backtest.statistics.exposure import Exposure, exposure_of
from mtquant.backtest.statistics.holding import BuyAndHold, buy_and_hold
from mtquant.backtest.statistics.returns import (
    Returns,
    YearOfReturns,
    monthly_returns,
    returns_of,
)
from mtquant.backtest.statistics.risk import Risk, risk_of
from mtquant.backtest.statistics.rows import Section, sections
from mtquant.backtest.statistics.trades import (
    Group,
    TradeFigures,
    closed_trades,
    groups,
    profits,
    side_name,
    trade_figures,
)
from mtquant.clock import format_time
from mtquant.metrics import drawdowns, returns
from mtquant.model.arrays import Floats

_TIMES = frozenset({"start", "end", "peak", "trough", "recovered"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """When a run was: ``start`` and ``end`` in nanoseconds UTC, ``days`` between them.

    It starts one bar before the first step of the market was over. ``trading_days`` is how many UTC
    days have a step, ``steps`` how many steps there are.
    """

    start: int
    end: int
    days: float
    trading_days: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """What a backtest's result says; money is float64 in ``currency``, fractions are of 1.

    The groups hold closed trades only. ``drawdown`` has one fraction for each step of the result,
    0 at a peak. ``daily_returns`` has one for each of ``trading_days`` (days since 1970-01-01), and
    is empty where equity wasn't above zero before the last of them. ``buy_and_hold`` is None where
    prices are missing.
    """

    currency: str
    period: Period
    returns: Returns
    risk: Risk
    exposure: Exposure
    trades: TradeFigures
    by_symbol: tuple[Group, ...]
    by_strategy: tuple[Group, ...]
    by_exit_reason: tuple[Group, ...]
    by_side: tuple[Group, ...]
    costs: CostFigures
    rejections: tuple[RejectionCount, ...]
    buy_and_hold: BuyAndHold | None
    monthly_returns: tuple[YearOfReturns, ...]
    cautions: tuple[Caution, ...]
    drawdown: Floats
    trading_days: NDArray[np.int64]
    daily_returns: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as JSON types: None where undefined, times as RFC 3339.

        The arrays aren't among them: a step of the market is no figure.
        """
        return {name: _plain(value) for name, value in _figures(self).items()}

    def rows(self) -> tuple[Section, ...]:
        """Return the figures as text, under headings, for a terminal or a page."""
        return sections(self)


def statistics(result: Result) -> Statistics:
    """Return what ``result`` says: see docs/statistics.md for every figure's meaning.

    Raises ValueError where an equity isn't a finite number.
    """
    curve = Curve.of(result)
    below = drawdowns(curve.equity)
    closed = closed_trades(result)
    profit = profits(closed)
    earned = returns_of(curve)
    trades = trade_figures(result, closed, profit)
    return Statistics(
        currency=result.currency,
        period=_period(curve),
        returns=earned,
        risk=risk_of(curve, below),
        exposure=exposure_of(result, curve),
        trades=trades,
        by_symbol=groups([each.instrument for each in closed], profit),
        by_strategy=groups([each.strategy_id for each in closed], profit),
        by_exit_reason=groups([each.exit_reason for each in closed], profit),
        by_side=groups([side_name(each) for each in closed], profit),
        costs=cost_figures(result, earned.net_profit),
        rejections=rejection_counts(result.rejections),
        buy_and_hold=buy_and_hold(result, curve),
        monthly_returns=monthly_returns(curve),
        cautions=cautions_of(result, curve, trades),
        drawdown=below[1:],
        trading_days=curve.days,
        daily_returns=returns(curve.closes),
    )


def _period(curve: Curve) -> Period:
    start, end = int(curve.time[0]), int(curve.time[-1])
    return Period(
        start=start,
        end=end,
        days=(end - start) / DAY,
        trading_days=curve.days.size,
        steps=curve.time.size - 1,
    )


def _figures(value: object) -> Mapping[str, Any]:
    """Return the fields of a dataclass that aren't arrays, times as text."""
    found = {each.name: getattr(value, each.name) for each in fields(value)}  # type: ignore[arg-type]
    return {
        name: format_time(held) if name in _TIMES and held is not None else held
        for name, held in found.items()
        if not isinstance(held, np.ndarray)
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if is_dataclass(value):
        return {name: _plain(held) for name, held in _figures(value).items()}
    return value
