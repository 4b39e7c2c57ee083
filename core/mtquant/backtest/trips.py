"""Round trips, made of a backtest's executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.intent import Intent
from mtquant.backtest.result import ZERO, Costs, Trade
from mtquant.backtest.venue import CountingExchange, Paid
from mtquant.clock import SECOND
from mtquant.model import Fill, Reason, Side
from mtquant.model.arrays import BarArrays, Floats

_EXITS = {
    Reason.STOP_LOSS,
    Reason.TAKE_PROFIT,
    Reason.TRAILING_STOP,
    Reason.MARGIN_CLOSE_OUT,
}
_NOTHING = Paid()


@dataclass(slots=True)
class _Trip:
    """A round trip, and how it ended once it has; money is in the account's currency."""

    first: Fill
    intent: Intent
    most: Decimal = ZERO
    held: Decimal = ZERO
    opened: Decimal = ZERO
    closed: Decimal = ZERO
    entry_value: Decimal = ZERO
    exit_value: Decimal = ZERO
    profit: Decimal = ZERO
    spread: Decimal = ZERO
    commission: Decimal = ZERO
    slippage: Decimal = ZERO
    swap: Decimal = ZERO
    ended: int = 0
    price: Decimal = ZERO
    reason: str = "open"

    def take(self, fill: Fill, quantity: Decimal, paid: Paid) -> None:
        """Take ``quantity`` of an execution in."""
        share = quantity / fill.quantity
        change = fill.side.sign * quantity
        if change * self.first.side.sign > 0:
            self.opened += quantity
            self.entry_value += quantity * fill.price
        else:
            self.closed += quantity
            self.exit_value += quantity * fill.price
        self.held += change
        self.most = max(self.most, abs(self.held))
        self.spread += paid.spread * share
        self.commission += fill.commission * share
        self.slippage += paid.slippage * share
        self.profit -= fill.commission * share

    def end(self, last: Fill, swap: Decimal) -> None:
        """End it with an execution."""
        self.profit += swap
        self.swap -= swap
        self.ended, self.price = last.time, self.exit_value / self.closed
        self.reason = last.reason.value if last.reason in _EXITS and last.reason else "signal"

    @property
    def entry(self) -> Decimal:
        """The average price of what opened or added."""
        return self.entry_value / self.opened


def round_trips(
    fills: Sequence[Fill],
    exchange: CountingExchange,
    paid_for: Mapping[str, Paid],
    intents: Mapping[str, Intent],
    prices: Mapping[str, BarArrays],
) -> tuple[Trade, ...]:
    """Return the trades that ``fills`` make, oldest exit first; those still open come last.

    A trade goes from flat to flat; an execution that turns a position ends one and begins another.
    """
    trips: list[_Trip] = []
    going: dict[str, _Trip] = {}
    for fill in fills:
        paid = paid_for.get(fill.execution_id, _NOTHING)
        symbol, left = fill.instrument, fill.quantity
        trip = going.get(symbol)
        if trip is not None and trip.held * fill.side.sign < 0:
            closing = min(left, abs(trip.held))
            trip.take(fill, closing, paid)
            trip.profit += fill.realized_profit
            left -= closing
            if not trip.held:
                trip.end(fill, paid.swap)
                trips.append(trip)
                del going[symbol]
        if left:
            intent = intents.get(fill.client_order_id or "") or Intent(fill.time, symbol, "", "")
            trip = going.setdefault(symbol, _Trip(fill, intent))
            trip.take(fill, left, paid)
    for trip in going.values():
        _value(trip, exchange)
    trips += going.values()
    ways = _excursions(trips, prices)
    return tuple(_trade(trip, way) for trip, way in zip(trips, ways, strict=True))


def _value(trip: _Trip, exchange: CountingExchange) -> None:
    """Value what is held at the last price."""
    symbol, side = trip.first.instrument, trip.first.side
    quote = exchange.quotes[symbol]
    held = [each for each in exchange.positions() if each.instrument == symbol]
    swap = sum((each.swap for each in held), ZERO)
    trip.swap -= swap
    trip.profit += swap + sum((each.unrealized_profit for each in held), ZERO)
    trip.ended, trip.price = quote.time, quote.bid if side is Side.BUY else quote.ask


def _trade(trip: _Trip, way: tuple[float, float, int]) -> Trade:
    first, intent, entry = trip.first, trip.intent, trip.entry
    stop = intent.stop_loss
    adverse, favourable, bars = way
    return Trade(
        instrument=first.instrument,
        strategy_id=intent.strategy_id,
        side=first.side,
        quantity=trip.most,
        entry_time=first.time,
        exit_time=trip.ended,
        entry_price=entry,
        exit_price=trip.price,
        profit=trip.profit,
        costs=Costs(
            spread=trip.spread,
            commission=trip.commission,
            slippage=trip.slippage,
            swap=trip.swap,
        ),
        entry_reason=intent.reason,
        exit_reason=trip.reason,
        adverse=adverse,
        favourable=favourable,
        stop_distance=None if stop is None else abs(entry - stop),
        bars=bars,
    )


def _excursions(
    trips: Sequence[_Trip], prices: Mapping[str, BarArrays]
) -> list[tuple[float, float, int]]:
    """Return how far the price went against and for each position, and over how many bars.

    The bars are those that closed after the entry and until the exit.
    """
    found: list[tuple[float, float, int]] = [(0.0, 0.0, 0)] * len(trips)
    for symbol, bars in prices.items():
        mine = [index for index, trip in enumerate(trips) if trip.first.instrument == symbol]
        if not mine:
            continue
        length = bars.timeframe.seconds * SECOND
        entered = np.array([trips[index].first.time for index in mine], np.int64)
        ended = np.array([trips[index].ended for index in mine], np.int64)
        first = bars.time.searchsorted(entered - length, "right")
        last = bars.time.searchsorted(ended - length, "right")
        entry = np.array([float(trips[index].entry) for index in mine])
        up = np.maximum(_within(np.maximum, bars.high, first, last) - entry, 0.0)
        down = np.maximum(entry - _within(np.minimum, bars.low, first, last), 0.0)
        rows = zip(mine, up.tolist(), down.tolist(), (last - first).tolist(), strict=True)
        for index, rose, fell, count in rows:
            if count > 0:
                bought = trips[index].first.side is Side.BUY
                found[index] = (fell, rose, count) if bought else (rose, fell, count)
    return found


def _within(
    most: np.ufunc, column: Floats, first: NDArray[np.intp], last: NDArray[np.intp]
) -> Floats:
    """Return the most of ``column`` from each ``first`` on, before its ``last``."""
    pairs = np.empty(2 * len(first), np.intp)
    pairs[::2], pairs[1::2] = first, last
    whole = np.append(column, column[-1:])  # so that an end is an index, too
    found: Floats = most.reduceat(whole, np.minimum(pairs, len(column)))[::2]
    return found
