"""What became of positions, by the strategy or person that opened them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
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

    def pending(self, symbol: str) -> Decimal:
        """Return what the trade in ``symbol`` that is still open has brought so far."""
        return self._profit.get(symbol, _ZERO)

    def ended(self, name: str, symbol: str, trades: Sequence[tuple[int, Decimal]]) -> None:
        """Take in what trades of ``name`` in ``symbol`` brought, and when they ended; it is flat.

        The same as if each of their executions had been taken in by itself.
        """
        self.forget(symbol)
        if not trades:
            return
        record, last = self.records.get(name, TradeRecord()), trades[-1][0]
        won = [profit for _, profit in trades if profit > 0]
        lost = [profit for _, profit in trades if profit <= 0]
        self.records[name] = TradeRecord(
            wins=record.wins + len(won),
            losses=record.losses + len(lost),
            won=record.won + sum(won, _ZERO),
            lost=record.lost - sum(lost, _ZERO),
        )
        self.closed.extend(
            ClosedTrade(time=time, strategy_id=name, profit=profit)
            for time, profit in trades
            if time > last - DAY
        )
        while self.closed[0].time <= last - DAY:
            self.closed.popleft()

    def begun(self, name: str, symbol: str, profit: Decimal) -> None:
        """Take in that a position of ``name`` is open, whose executions brought ``profit``."""
        self.opened_by[symbol] = name
        self._profit[symbol] = profit
