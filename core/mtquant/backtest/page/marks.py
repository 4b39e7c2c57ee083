"""Executions as marks on the price chart, each with the trades it opened and closed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.result import ZERO, Result, Trade
from mtquant.model import Fill
from mtquant.model.arrays import BarArrays

NONE = -1


@dataclass(frozen=True, slots=True)
class Mark:
    """An execution; ``opened`` and ``closed`` are indices of trades, -1 where it did neither."""

    fill: Fill
    opened: int
    closed: int


def marks(result: Result) -> list[Mark]:
    """Return every execution of ``result``, oldest first, with its trades.

    What an execution did follows from the position before it: it opens or adds, closes or
    reduces, or does both where the position turns.
    """
    trades = {name: _Trades(result.round_trips, name) for name in result.prices}
    held = dict.fromkeys(result.prices, ZERO)
    made = []
    for fill in sorted(result.fills, key=lambda each: each.time):
        before = held.get(fill.instrument, ZERO)
        after = before + fill.side.sign * fill.quantity
        held[fill.instrument] = after
        known = trades.get(fill.instrument)
        opens = after != 0 and (before * after <= 0 or abs(after) > abs(before))
        closes = before != 0 and (before * after <= 0 or abs(after) < abs(before))
        made.append(
            Mark(
                fill,
                known.held_from(fill.time) if known and opens else NONE,
                known.held_until(fill.time) if known and closes else NONE,
            )
        )
    return made


def bar_at(bars: BarArrays, times: Sequence[int]) -> NDArray[np.int64]:
    """Return the index of the bar in which each of ``times`` (nanoseconds) lies."""
    found = np.searchsorted(bars.time, np.asarray(times, dtype=np.int64), side="right") - 1
    return np.clip(found, 0, max(0, len(bars) - 1)).astype(np.int64)


class _Trades:
    """One instrument's round trips, which follow one another."""

    def __init__(self, trades: Sequence[Trade], instrument: str) -> None:
        own = sorted(
            (trade.entry_time, trade.exit_time, index)
            for index, trade in enumerate(trades)
            if trade.instrument == instrument
        )
        self._index = [index for _, _, index in own]
        self._entries = [entry for entry, _, _ in own]
        self._exits = [leaving for _, leaving, _ in own]

    def held_from(self, time: int) -> int:
        """Return the newest trade that had begun at ``time``."""
        at = bisect_right(self._entries, time) - 1
        return self._index[at] if at >= 0 else NONE

    def held_until(self, time: int) -> int:
        """Return the first trade that ended at ``time`` or later."""
        at = bisect_left(self._exits, time)
        return self._index[at] if at < len(self._index) else NONE
