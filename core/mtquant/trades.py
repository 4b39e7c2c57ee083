"""What became of positions, by the strategy or person that opened them."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from decimal import Decimal

from mtquant.clock import SECOND
from mtquant.contract import ClosedTrade, TradeRecord

_ZERO = Decimal(0)
DAY = 86_400 * SECOND


class Trades:
    """One account's trades: a trade begins flat, and ends flat.

    Positions are netted by instrument, so a trade belongs to whoever opened it, whoever else adds
    to it or closes it. One that began before us belongs to nobody, and isn't counted.
    """

    def __init__(self) -> None:
        self.opened_by: dict[str, str] = {}
        self.records: dict[str, TradeRecord] = {}
        self.closed: deque[ClosedTrade] = deque()
        self._profit: dict[str, Decimal] = {}

    def sent(self, strategy_id: str, symbol: str, *, flat: bool) -> None:
        """Take in that an order that opens exposure was sent."""
        if flat:
            self.opened_by[symbol] = strategy_id
            self._profit.pop(symbol, None)

    def forget(self, symbol: str) -> None:
        """Take in that the position in ``symbol`` is gone, nobody knows at what profit."""
        self.opened_by.pop(symbol, None)
        self._profit.pop(symbol, None)

    def filled(self, symbol: str, profit: Decimal, time: int, *, flat: bool) -> None:
        """Take in an execution's profit after costs, and whether it left nothing held."""
        name = self.opened_by.get(symbol)
        if name is None:
            return
        total = self._profit.get(symbol, _ZERO) + profit
        self._profit[symbol] = total
        if not flat:
            return
        del self._profit[symbol], self.opened_by[symbol]
        record = self.records.get(name, TradeRecord())
        self.records[name] = (
            replace(record, wins=record.wins + 1, won=record.won + total)
            if total > 0
            else replace(record, losses=record.losses + 1, lost=record.lost - total)
        )
        self.closed.append(ClosedTrade(time=time, strategy_id=name, profit=total))
        while self.closed[0].time <= time - DAY:
            self.closed.popleft()
