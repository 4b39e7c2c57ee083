"""Stretches of history in which nothing happens but prices: told from arrays, and passed over.

A step is *quiet* where no order can fill, nothing falls due, no position is near its margin
close-out, and the loss breaker's level can't change. Its only traces are the account's equity and
the breaker's memory, and both are worked out here for whole stretches at once, to the last digit.
Whatever is not certainly quiet is left to the exchange and the decider, a step at a time: every
test here may err to that side only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.conversion import Conversion
from mtquant.backtest.tape import Ints, Tape
from mtquant.backtest.venue import CountingExchange
from mtquant.contract import BreakerLevel
from mtquant.exchange.costs import CENT, money
from mtquant.model import OrderReport, OrderType, Position, Side
from mtquant.model.arrays import Floats
from mtquant.risk import BreakerRules, BreakerState, step
from mtquant.risk.breaker import trading_day

_CENTS = 10_000
"""How many of the smallest pieces of money make one."""
_MARGIN = 1e-6
"""How near to a limit still counts as beyond it: floats are a thousand times more exact."""
_LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class Worth:
    """What an account is worth over a stretch: equity in 0.0001 of its currency, and margin."""

    equity: Ints
    exposure: Floats
    margin: Floats


def day_starts(rules: BreakerRules, times: Ints) -> NDArray[np.intp]:
    """Return the steps that are the first of their trading day, by the breaker's roll."""
    found: list[int] = []

    def look(low: int, high: int) -> None:
        """Find the changes between steps ``low`` and ``high``, whose days are known to differ."""
        if high - low == 1:
            found.append(high)
            return
        middle = (low + high) // 2
        between = days(middle)
        if between != days(low):
            look(low, middle)
        if between != days(high):
            look(middle, high)

    known: dict[int, object] = {}

    def days(index: int) -> object:
        if index not in known:
            known[index] = trading_day(rules, int(times[index]))
        return known[index]

    if len(times) > 1 and days(0) != days(len(times) - 1):
        look(0, len(times) - 1)
    return np.array(sorted(found), np.intp)


class Stillness:
    """Looks ahead of an account for the next step at which something may happen."""

    def __init__(
        self,
        exchange: CountingExchange,
        tapes: Mapping[str, Tape],
        times: Ints,
        rules: BreakerRules,
        days: NDArray[np.intp],
        moved: Floats | None,
    ) -> None:
        self._exchange, self._tapes, self._times, self._rules = exchange, tapes, times, rules
        self.conversion = Conversion(exchange, tapes, times)
        self._days, self._moved = days, moved

    def can_tell(self) -> bool:
        """Tell whether what is held and works now is of a kind that can be looked at ahead."""
        exchange = self._exchange
        cents = exchange.balance * _CENTS
        exact = abs(cents) < _LARGEST and cents == cents.to_integral_value()
        return exact and all(
            each.order_type in {OrderType.STOP, OrderType.LIMIT} and not each.filled_quantity
            for each in self._working()
        )

    def _working(self) -> list[OrderReport]:
        record = self._exchange.working()
        return [self._exchange.orders[each] for orders in record.values() for each in orders]

    def worth(self, first: int, end: int) -> Worth:
        """Return what the account is worth at the steps from ``first`` on, before ``end``."""
        length = end - first
        equity = np.full(length, int(self._exchange.balance * _CENTS), np.int64)
        exposure, used = np.zeros(length), np.zeros(length)
        for position in self._exchange.held_positions():
            each = self._exchange.instruments[position.instrument]
            tape = self._tapes[position.instrument]
            at = tape.at[first:end]
            rate = self.conversion.rates(each.quote, slice(first, end))
            equity += self._profit(position, tape, at, rate, first)
            mids = tape.mids(at)
            value = float(position.quantity) * mids * rate
            exposure += position.side.sign * value
            used += value * float(each.margin_rate)
        return Worth(equity, exposure, used)

    def _profit(self, position: Position, tape: Tape, at: Ints, rate: Floats, first: int) -> Ints:
        """Return the open profit as the exchange books it, in 0.0001 of the currency."""
        prices = (tape.bid if position.side is Side.BUY else tape.ask)[at]
        digits = max(0, -int((position.average_price / tape.unit).normalize().as_tuple().exponent))
        scale = 10**digits
        average = int(position.average_price / tape.unit * scale)
        signed = float(position.side.sign * position.quantity * tape.unit * _CENTS) / scale
        exact = (prices * scale - average).astype(np.float64) * signed * rate
        whole = np.rint(exact)
        # Where rounding half to even could fall either way, the exchange's own arithmetic decides.
        unsure = np.abs(np.abs(exact - np.floor(exact)) - 0.5) < _MARGIN + np.abs(exact) * 1e-14
        cents: Ints = whole.astype(np.int64)
        for index in np.flatnonzero(unsure):
            cents[index] = self._booked(position, first + int(index))
        return cents

    def _booked(self, position: Position, step_index: int) -> int:
        quote = self.conversion.quote(position.instrument, step_index)
        price = quote.bid if position.side is Side.BUY else quote.ask
        currency = self._exchange.instruments[position.instrument].quote
        rate = self.conversion.rate(currency, step_index)
        gained = position.quantity * (price - position.average_price) * rate
        return int(money(position.side.sign * gained) * _CENTS)

    def quiet_until(self, first: int, end: int, worth: Worth, state: BreakerState) -> int:
        """Return the first step from ``first`` on that isn't certainly quiet; at most ``end``."""
        loud = self._reached(first, end)
        if self._exchange.held_positions():
            due = self._exchange.next_due()
            if due is not None:
                loud[int(np.searchsorted(self._times[first:end], due)) :] = True
            loud |= self.closes_out(worth)
            if self._moved is not None and first:
                loud |= self.closes_out_between(self.worth(first - 1, end - 1), first)
        loud |= self.breaker_may_move(first, end, worth.equity, state)
        return first + int(np.argmax(loud)) if loud.any() else end

    def closes_out(self, worth: Worth) -> NDArray[np.bool_]:
        """Tell at which steps the equity might have fallen to the margin close-out."""
        level = float(self._exchange.settings.close_out_level)
        limit = level * worth.margin * (1 + _MARGIN) * _CENTS + 1
        found: NDArray[np.bool_] = worth.equity <= limit
        return found

    @property
    def several(self) -> bool:
        """True where several symbols have their prices of a step one after the other."""
        return self._moved is not None

    def closes_out_between(self, before: Worth, first: int) -> NDArray[np.bool_]:
        """Tell the same of the moments at which some symbols have a step's prices, others not yet.

        ``before`` is what the account was worth a step earlier, from that before ``first`` on.
        What a position is worth, and what it cost, moves by the product of all moves at most; the
        two are four times its value at most, unless a price has fallen to a third since.
        """
        if self._moved is None:
            return np.zeros(len(before.equity), np.bool_)
        moved = self._moved[first : first + len(before.equity)]
        rates = [float(each.margin_rate) for each in self._exchange.instruments.values()]
        falls = np.ceil(4 * moved * before.margin / min(rates) * _CENTS).astype(np.int64)
        margin = before.margin * (1 + moved)
        worst = Worth(before.equity - falls, before.exposure, margin)
        return self.closes_out(worst) & (before.margin > 0)

    def _reached(self, first: int, end: int) -> NDArray[np.bool_]:
        """Tell at which steps a working order's price lies within a bar's reach."""
        loud = np.zeros(end - first, np.bool_)
        for each in self._working():
            tape = self._tapes[each.instrument]
            at, fresh = tape.at[first:end], tape.fresh[first:end]
            price = each.stop_price if each.order_type is OrderType.STOP else each.limit_price
            level = None if price is None else tape.whole(price)
            if level is None:
                loud[:] = True
                return loud
            # A buying stop waits above the market, as a selling limit does.
            buys = each.side is Side.BUY
            if buys == (each.order_type is OrderType.STOP):
                beyond = (tape.ask_high if buys else tape.bid_high)[at] >= level
            else:
                beyond = (tape.ask_low if buys else tape.bid_low)[at] <= level
            loud |= fresh & beyond
        return loud

    # --- the loss breaker --------------------------------------------------------------------

    def breaker_may_move(
        self, first: int, end: int, equity: Ints, state: BreakerState
    ) -> NDArray[np.bool_]:
        """Tell at which steps the breaker's level might change.

        No meter shows more than the fall from the highest of peak, anchors and equities so far,
        and none that matters for clearing shows less than the fall from the peak.
        """
        rules, level = self._rules, state.level
        if level is BreakerLevel.HALTED:
            return np.zeros(end - first, np.bool_)
        anchors = max(state.peak, state.day_anchor, state.week_anchor)
        highest = np.maximum(np.maximum.accumulate(equity), float(anchors * _CENTS))
        with np.errstate(divide="ignore", invalid="ignore"):
            most = np.where(highest > 0, 1 - equity / highest, 1.0)
            peaks = np.maximum(np.maximum.accumulate(equity), float(state.peak * _CENTS))
            least = np.where(peaks > 0, 1 - equity / peaks, 1.0)
        limits = [float(_next_threshold(rules, level))]
        limits += [
            float(each)
            for each in (rules.day_loss_limit, rules.week_loss_limit, rules.max_drawdown)
            if each is not None
        ]
        moves = most >= min(limits) - _MARGIN
        if level is BreakerLevel.WARNED:
            moves |= least < float(rules.warn_clears_under) + _MARGIN
        elif level is BreakerLevel.REDUCING:
            rolls = np.zeros(end - first, np.bool_)
            inside = self._days[np.searchsorted(self._days, first) :]
            rolls[inside[inside < end] - first] = True
            moves |= rolls & (least < float(rules.reduce_clears_under) + _MARGIN)
        return moves

    def folded(self, state: BreakerState, first: int, end: int, equity: Ints) -> BreakerState:
        """Return the breaker's state after the quiet steps from ``first`` on, before ``end``.

        Its level stays as it is, so only these steps leave a trace: the highest equity, each roll
        of the day with the step before it, and the last.
        """
        low, high = np.searchsorted(self._days, (first, end))
        rolls = self._days[low:high] - first
        last = end - first - 1
        telling = {last, int(np.argmax(equity))}
        telling.update(int(each) for each in rolls)
        telling.update(int(each) - 1 for each in rolls if each > 0)
        for index in sorted(telling):
            seen = Decimal(int(equity[index])) * CENT
            state = step(state, self._rules, seen, int(self._times[first + index]))
        return state


def at_rest(held: Decimal, direction: int, *, spent: bool) -> bool:
    """Tell whether a target asks for nothing: what is wished is held, or was tried, or is none."""
    if held:
        return held * direction > 0
    return spent or direction == 0


def moves(tapes: Mapping[str, Tape], count: int) -> Floats | None:
    """Return by which part all symbols together move at most from each step to the next.

    None where there is one symbol: it has all of a step's prices at once.
    """
    if len(tapes) < 2:  # noqa: PLR2004 - one and another
        return None
    found = np.ones(count)
    for tape in tapes.values():
        known = tape.at[:-1] >= 0
        for prices in (tape.bid, tape.ask):
            whole = np.log(np.maximum(prices[tape.at], 1))
            found[1:] *= np.exp(np.abs(np.diff(whole)) * known)
    return found - 1


def _next_threshold(rules: BreakerRules, level: BreakerLevel) -> Decimal:
    """Return the loss from which on the breaker rises above ``level``."""
    return {
        BreakerLevel.NORMAL: rules.warn_at,
        BreakerLevel.WARNED: rules.reduce_at,
        BreakerLevel.REDUCING: rules.halt_at,
    }[level]
