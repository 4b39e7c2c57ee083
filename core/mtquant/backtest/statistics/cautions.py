"""What a reader of a result must know before believing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mtquant.backtest.result import Result
from mtquant.backtest.statistics.curve import DAY, Curve
from mtquant.backtest.statistics.trades import TradeFigures
from mtquant.clock import format_time
from mtquant.contract import Level
from mtquant.model import Reason
from mtquant.risk.gate import BREAKER_VETOES

FEWEST_TRADES = 30
_BREAKER = {code for code, _ in BREAKER_VETOES.values()}
_YEAR_DAYS = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """A reason to doubt the figures: ``message`` is a sentence, ``code`` names it to programs."""

    code: str
    message: str


def cautions_of(result: Result, curve: Curve, trades: TradeFigures) -> tuple[Caution, ...]:
    """Return every reason to doubt the figures of ``result``, the gravest first."""
    return (
        *_ruin(result),
        *_silence(result),
        *_sample(curve, trades),
        *_costs(result),
        *_edges(result, trades),
    )


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


def _silence(result: Result) -> Iterator[Caution]:
    """Tell of a strategy that wished more than came of it."""
    for _, level, message in result.told:
        if level == Level.ALARM and "is heard no more" in message:
            yield Caution(code="strategy_failed", message=f"{message[0].upper()}{message[1:]}.")
    refused = [each for each in result.rejections if not each.reduced]
    if refused and not result.fills:
        [(code, times)] = Counter(each.code for each in refused).most_common(1)
        said = next(each.message for each in refused if each.code == code)
        yield Caution(
            code="all_refused",
            message=f"Nothing was traded: of {count(len(refused), 'refusal')} {times:,} were by "
            f"{code} (such as: {said}).",
        )
    since = result.fills[-1].time if result.fills else 0
    halted = [each.time for each in refused if each.code in _BREAKER and each.time > since]
    if halted:
        yield Caution(
            code="breaker",
            message=f"From {format_time(halted[0])} to the end the loss breaker let nothing be "
            f"opened ({count(len(halted), 'refusal')}): the figures are of what was before, and of "
            "standing still.",
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
