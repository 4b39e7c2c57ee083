"""What one currency is worth in the account's at each step of a backtest."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from mtquant.backtest.tape import Ints, Tape
from mtquant.backtest.venue import CountingExchange
from mtquant.exchange.rates import convert
from mtquant.model import Quote
from mtquant.model.arrays import Floats


class Conversion:
    """Quotes and rates of exchange by step, read off tapes."""

    def __init__(self, exchange: CountingExchange, tapes: Mapping[str, Tape], times: Ints) -> None:
        self._exchange, self._tapes, self._times = exchange, tapes, times

    def quote(self, symbol: str, step: int) -> Quote:
        """Return the quote of ``symbol`` once ``step`` is over."""
        tape = self._tapes[symbol]
        at = int(tape.at[step])
        bid, ask = int(tape.bid[at]) * tape.unit, int(tape.ask[at]) * tape.unit
        return Quote(instrument=symbol, bid=bid, ask=ask, time=int(self._times[step]))

    def rate(self, currency: str, step: int, matching: str | None = None) -> Decimal:
        """Return what one unit of ``currency`` is worth at ``step``; 0 where it isn't known yet.

        With ``matching``, while the bar of that symbol is matched: symbols have their new prices
        one after the other, in their order, so those after it have the prices of before.
        """
        quotes = {}
        path = self._exchange.way_home(currency)
        for symbol, _ in path:
            known = step - 1 if matching is not None and symbol > matching else step
            if known >= 0 and self._tapes[symbol].at[known] >= 0:
                quotes[symbol] = self.quote(symbol, known)
        return convert(path, quotes) or Decimal(0)

    def known_from(self, currency: str) -> int:
        """Return the first step at which it is known what ``currency`` is worth."""
        path = self._exchange.way_home(currency)
        first = [int(np.searchsorted(self._tapes[symbol].at, 0)) for symbol, _ in path]
        return max(first, default=0)

    def rates(self, currency: str, steps: slice | Ints) -> Floats:
        """Return what one unit of ``currency`` is worth at ``steps``, nearly."""
        rate = np.ones(1)
        for symbol, inverse in self._exchange.way_home(currency):
            tape = self._tapes[symbol]
            mids = tape.mids(tape.at[steps])
            rate = rate / mids if inverse else rate * mids
        return rate
