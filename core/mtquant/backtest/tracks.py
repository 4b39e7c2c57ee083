"""What an account was worth at each step of a backtest."""

from __future__ import annotations

import numpy as np

from mtquant.backtest.quiet import Worth
from mtquant.backtest.tape import Ints
from mtquant.backtest.venue import Venue
from mtquant.model import Side
from mtquant.model.arrays import Floats

_CENTS = 10_000
"""How many of the smallest pieces of money make one."""


class Tracks:
    """Equity, balance and exposure, one entry for each step; see :class:`Result`."""

    def __init__(self, times: Ints) -> None:
        self.times = times
        self.equity: Floats = np.zeros(len(times))
        self.balance: Floats = np.zeros(len(times))
        self.exposure: Floats = np.zeros(len(times))

    def note(self, index: int, venue: Venue) -> None:
        """Write down what ``venue`` is worth now, at step ``index``."""
        account = venue.exchange.account(int(self.times[index]))
        self.equity[index] = float(account.equity)
        self.balance[index] = float(account.balance)
        self.exposure[index] = exposure(venue)

    def fill(self, first: int, end: int, worth: Worth, balance: float | Floats) -> None:
        """Write down what the account was worth at the steps from ``first`` on, before ``end``."""
        length = end - first
        self.equity[first:end] = worth.equity[:length] / _CENTS
        self.balance[first:end] = balance
        self.exposure[first:end] = worth.exposure[:length]

    def since(self, first: int) -> Tracks:
        """Return the tracks from step ``first`` on."""
        found = Tracks(self.times[first:])
        found.equity, found.balance = self.equity[first:], self.balance[first:]
        found.exposure = self.exposure[first:]
        return found

    def at(self, index: int) -> tuple[int, float]:
        """Return the time and the equity of a step."""
        return int(self.times[index]), float(self.equity[index])


def exposure(venue: Venue) -> float:
    """Return the signed notional value of all positions, in the account's currency."""
    exchange, total = venue.exchange, 0.0
    for each in exchange.held_positions():
        quote, rate = exchange.quotes[each.instrument], 1.0
        for symbol, inverse in exchange.way_home(exchange.instruments[each.instrument].quote):
            mid = float(exchange.quotes[symbol].mid)
            rate = rate / mid if inverse else rate * mid
        sign = 1 if each.side is Side.BUY else -1
        total += sign * (float(each.quantity) * float(quote.mid) * rate)
    return total
