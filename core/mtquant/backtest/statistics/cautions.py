"""What a reader of a result must know before believing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mtquant.backtest.result import Result
from mtquant.backtest.statistics.curve import DAY, Curve
from mtquant.backtest.statistics.trades import TradeFigures
from mtquant.model import Reason

FEWEST_TRADES = 30
_YEAR_DAYS = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """A reason to doubt the figures: ``message`` is a sentence, ``code`` names it to programs."""

    code: str
    message: str


def cautions_of(result: Result, curve: Curve, trades: TradeFigures) -> tuple[Caution, ...]:
    """Return every reason to doubt the figures of ``result``, the gravest first."""
    return (*_ruin(result), *_sample(curve, trades), *_costs(result), *_edges(result, trades))


def _ruin(result: Result) -> Iterator[Caution]:
    if result.equity.size and np.min(result.equity) <= 0:
        yield Caution(
            code="equity_gone",
            message="Equity reached zero: returns and ratios after it are not defined.",
        )
    # A close-out may take a part of a position, which ends no trade.
    closed = sum(each.reason is Reason.MARGIN_CLOSE_OUT for each in result.fills)
    ended = sum(each.exit_reason == Reason.MARGIN_CLOSE_OUT for each in result.round_trips)
    if closed or ended:
        times = count(max(closed, ended), "time")
        yield Caution(
            code="margin_close_out",
            message=f"The broker closed positions for lack of margin, {times}.",
        )


def _sample(curve: Curve, trades: TradeFigures) -> Iterator[Caution]:
    if trades.trades < FEWEST_TRADES:
        yield Caution(
            code="few_trades",
            message=f"{count(trades.trades, 'closed trade')}: with fewer than {FEWEST_TRADES}, the "
            "figures are mostly chance.",
        )
    days = float(curve.time[-1] - curve.time[0]) / DAY
    if days < _YEAR_DAYS:
        yield Caution(
            code="short_run",
            message=f"The run is {days:,.1f} days long: figures for a year are of little use in "
            "less than one.",
        )
    largest = trades.largest_win
    if largest is not None and 0 < trades.profit < 2 * largest:
        yield Caution(
            code="one_trade",
            message=f"One trade earned {largest:,.2f}, more than half of the net profit of "
            f"{trades.profit:,.2f}.",
        )


def _costs(result: Result) -> Iterator[Caution]:
    if not result.fills:
        return
    costs = result.costs
    if not any((costs.spread, costs.commission, costs.slippage, costs.swap)):
        yield Caution(
            code="no_costs", message="Trading cost nothing at all: no account is like that."
        )
    if not costs.spread and not result.spread_in_data:
        yield Caution(
            code="no_spread",
            message="There is no spread in the data and none was set: real fills are worse.",
        )


def _edges(result: Result, trades: TradeFigures) -> Iterator[Caution]:
    if result.ambiguous_bars:
        whole = trades.trades + trades.open_trades
        share = f", {result.ambiguous_bars / whole:.1%} of the number of trades" if whole else ""
        yield Caution(
            code="ambiguous_bars",
            message=f"In {count(result.ambiguous_bars, 'bar')} a stop and a limit were both within "
            f"reach{share}: the worse one was taken. Finer data would tell.",
        )
    if trades.open_trades:
        yield Caution(
            code="open_trades",
            message=f"{count(trades.open_trades, 'trade')} still open at the end, at a profit of "
            f"{trades.open_profit:,.2f}: counted in equity, and in no other trade figure.",
        )


def count(number: int, noun: str) -> str:
    """Return ``number`` and ``noun``, in the plural where it isn't one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
