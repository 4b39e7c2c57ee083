"""What the page's script draws, as one packed text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.page.bars import BARS, pack_bars
from mtquant.backtest.page.marks import Mark, bar_at, marks
from mtquant.backtest.page.pack import Column, Pack
from mtquant.backtest.page.steps import chosen_steps
from mtquant.backtest.result import Result, Trade
from mtquant.backtest.statistics import Statistics
from mtquant.clock import SECOND
from mtquant.model import Side
from mtquant.model.arrays import BarArrays

TRADES = 100_000
"""How many trades of a run a page lists; the page says so where there are more."""
_NO_STOP = float("nan")


def payload(results: Sequence[Result], figures: Sequence[Statistics], names: Sequence[str]) -> str:
    """Return everything the script needs, packed; ``figures`` and ``names`` are of each run."""
    pack = Pack()
    prices = _Prices(pack, results)
    runs = [
        _run(pack, result, figure, name) | {"prices": prices.of(result)}
        for result, figure, name in zip(results, figures, names, strict=True)
    ]
    return pack.text({"runs": runs, "prices": prices.packed})


class _Prices:
    """Each series of prices once, however many runs traded it."""

    def __init__(self, pack: Pack, results: Sequence[Result]) -> None:
        self.packed: list[dict[str, object]] = []
        self._at: dict[tuple[object, ...], int] = {}
        users: dict[tuple[object, ...], list[Result]] = {}
        for result in results:
            for name, bars in result.prices.items():
                users.setdefault(_same(result, name, bars), []).append(result)
        room = BARS // max(1, len(users))
        for key, traded in users.items():
            name = str(key[0])
            first = traded[0]
            bars = first.prices[name]
            executed = [
                fill.time for each in traded for fill in each.fills if fill.instrument == name
            ]
            self._at[key] = len(self.packed)
            step = first.instruments[name].price_step
            self.packed.append(pack_bars(pack, bars, step, bar_at(bars, executed), room))

    def of(self, result: Result) -> list[int]:
        """Return where the prices of each of ``result``'s symbols are."""
        return [self._at[_same(result, name, bars)] for name, bars in result.prices.items()]


def _same(result: Result, name: str, bars: BarArrays) -> tuple[object, ...]:
    ends = (int(bars.time[0]), int(bars.time[-1])) if len(bars) else ()
    return (name, result.card.data.get(name, id(bars)), bars.timeframe, len(bars), *ends)


def _run(pack: Pack, result: Result, figures: Statistics, name: str) -> dict[str, object]:
    equity, exposure = result.equity, result.exposure
    chosen = chosen_steps((equity, exposure)) if len(equity) else np.zeros(0, np.int64)
    # Below a ten-thousandth of a percent and of a cent nothing can be seen.
    fall = np.round(figures.drawdown[chosen] * -100.0, 4)
    held = figures.buy_and_hold
    hold = None if held is None else pack.numbers(np.round(held.curve[chosen], 2))
    return {
        "name": name,
        "currency": result.currency,
        "start": float(result.start_balance),
        "whole": len(chosen) == len(equity),
        "steps": {
            "time": pack.numbers(result.time[chosen] / SECOND),
            "equity": pack.numbers(np.round(equity[chosen], 4)),
            "hold": hold,
            "fall": pack.numbers(fall),
            "exposure": pack.numbers(np.round(exposure[chosen], 2)),
        },
        "trades": _trades(pack, result, result.round_trips[:TRADES]),
        "fills": _fills(pack, result, marks(result)[: 2 * TRADES]),
    }


def _trades(pack: Pack, result: Result, trades: Sequence[Trade]) -> dict[str, object]:
    names = list(result.prices)
    columns: dict[str, Column] = {
        "side": _signs(pack, [trade.side for trade in trades]),
        "quantity": _numbers(pack, [float(trade.quantity) for trade in trades]),
        "entered": _numbers(pack, [trade.entry_time / SECOND for trade in trades]),
        "left": _numbers(pack, [trade.exit_time / SECOND for trade in trades]),
        "entry": _numbers(pack, [float(trade.entry_price) for trade in trades]),
        "exit": _numbers(pack, [float(trade.exit_price) for trade in trades]),
        "profit": _numbers(pack, [round(float(trade.profit), 4) for trade in trades]),
        "costs": _numbers(pack, [round(float(trade.costs.total), 4) for trade in trades]),
        "adverse": _numbers(pack, [round(trade.adverse, 8) for trade in trades]),
        "favourable": _numbers(pack, [round(trade.favourable, 8) for trade in trades]),
        "risk": _numbers(pack, [_risk(trade) for trade in trades]),
        "bars": _numbers(pack, [float(trade.bars) for trade in trades]),
        "symbol": _places_in(pack, [trade.instrument for trade in trades], names),
    }
    return {
        "count": len(result.round_trips),
        "columns": columns | _bars_of(pack, result, trades),
        "strategy": _words(pack, [trade.strategy_id for trade in trades]),
        "why_in": _words(pack, [trade.entry_reason for trade in trades]),
        "why_out": _words(pack, [trade.exit_reason for trade in trades]),
    }


def _risk(trade: Trade) -> float:
    return _NO_STOP if trade.stop_distance is None else float(trade.stop_distance)


def _bars_of(pack: Pack, result: Result, trades: Sequence[Trade]) -> dict[str, Column]:
    """Return in which bar each trade was entered and left."""
    found = np.zeros((2, len(trades)), dtype=np.int64)
    for name, bars in result.prices.items():
        own = [index for index, trade in enumerate(trades) if trade.instrument == name]
        found[0, own] = bar_at(bars, [trades[index].entry_time for index in own])
        found[1, own] = bar_at(bars, [trades[index].exit_time for index in own])
    return {"first": pack.numbers(found[0]), "final": pack.numbers(found[1])}


def _fills(pack: Pack, result: Result, made: Sequence[Mark]) -> list[dict[str, object]]:
    """Return each symbol's executions, in the order of its bars."""
    packed: list[dict[str, object]] = []
    for name, bars in result.prices.items():
        own = [mark for mark in made if mark.fill.instrument == name]
        fills = [mark.fill for mark in own]
        times = [fill.time for fill in fills]
        packed.append(
            {
                "bar": pack.numbers(bar_at(bars, times)),
                "time": _numbers(pack, [time / SECOND for time in times]),
                "price": _numbers(pack, [float(fill.price) for fill in fills]),
                "quantity": _numbers(pack, [float(fill.quantity) for fill in fills]),
                "side": _signs(pack, [fill.side for fill in fills]),
                "opened": _listed(pack, [mark.opened for mark in own]),
                "closed": _listed(pack, [mark.closed for mark in own]),
                "reason": _words(pack, [str(fill.reason or "") for fill in fills]),
            }
        )
    return packed


def _listed(pack: Pack, trades: Sequence[int]) -> Column:
    """Return indices of trades, -1 for those the page doesn't list."""
    known = np.array(trades, dtype=np.int64)
    return pack.numbers(np.where(known < TRADES, known, -1))


def _words(pack: Pack, texts: Sequence[str]) -> Mapping[str, object]:
    """Return each different text once, and which of them stands in each place."""
    different = list(dict.fromkeys(texts))
    return {"texts": different, "at": _places_in(pack, texts, different)}


def _places_in(pack: Pack, texts: Sequence[str], different: Sequence[str]) -> Column:
    place = {text: index for index, text in enumerate(different)}
    return pack.whole(np.array([place[text] for text in texts], dtype=np.int64))


def _signs(pack: Pack, sides: Sequence[Side]) -> Column:
    return pack.whole(np.array([side.sign for side in sides], dtype=np.int64))


def _numbers(pack: Pack, values: Sequence[float]) -> Column:
    made: NDArray[np.float64] = np.array(values, dtype=np.float64)
    return pack.numbers(made)
