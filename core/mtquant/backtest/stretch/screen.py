"""Whether the gate and the exchange would let every order of a stretch pass, asked once.

Every measure is taken at its worst, so the answer errs to one side only: a no means that the
orders have to be asked about one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from mtquant.backtest.stretch.account import Course
from mtquant.backtest.stretch.money import Money
from mtquant.backtest.stretch.trading import Done, Kind
from mtquant.backtest.tape import Ints, Tape
from mtquant.clock import SECOND
from mtquant.contract import Check, Sizer, Worst
from mtquant.covariance import HALF_LIFE, LEAST, TRADING_DAYS
from mtquant.exchange import ExchangeSettings
from mtquant.model import Instrument
from mtquant.model.arrays import BarArrays, Floats
from mtquant.risk import Gate

_CENTS = 10_000
_DAY = 86_400 * SECOND
_ABOVE = 1 + 1e-9
"""More than floats are off by."""
_BLOCK = 512


class Screen:
    """Asks about the orders of one strategy in one instrument."""

    def __init__(
        self,
        gate: Gate,
        settings: ExchangeSettings,
        strategy_id: str,
        instrument: Instrument,
        volatility: Floats,
        times: Ints,
    ) -> None:
        self._gate, self._settings, self._times = gate, settings, times
        self._strategy_id, self._each = strategy_id, instrument
        self._volatility = volatility

    def passes(
        self,
        done: Sequence[Done],
        course: Course,
        first: int,
        tape: Tape,
        money: Money,
        sent: tuple[Ints, Ints] | None,
    ) -> bool:
        """Tell whether all orders of ``done`` that open pass, each as large as it is.

        ``sent`` are the times of orders that opened, and of all messages, of the day before; None
        where the gate was asked about each order, and only the exchange is left.
        """
        opened = [each for each in done if each.kind is Kind.OPENED]
        if not opened:
            return True
        steps = np.array([each.step for each in opened], np.int64)
        bid, ask = tape.bid[steps], tape.ask[steps]
        sizes = np.array([float(each.size) for each in opened])
        rates = money.rates(steps)
        value = float((sizes * ask * rates).max()) * float(tape.unit) * _ABOVE
        seen = float(course.seen.equity[steps - first].min()) / _CENTS
        left = float(course.left.equity[steps - first].min()) / _CENTS
        slip = max(each.slip for each in opened) / int(bid.min())
        spread = float(((ask - bid) / (ask + bid)).max()) * 2 * _ABOVE
        volatility = float(self._volatility[steps].max()) * _ABOVE
        if not self._has_margin(value, left, spread + slip):
            return False
        if sent is None:
            return True
        messages = [each.step for each in done if each.kind >= Kind.CLOSED]
        before, others = sent
        worst = Worst(
            strategy_id=self._strategy_id,
            instrument=self._each,
            currency=self._settings.currency,
            quantity=max(each.size for each in opened),
            notional=Decimal(value),
            equity=Decimal(seen),
            margin_used=Decimal(float(course.seen.margin.max()) * _ABOVE + 1 / _CENTS),
            spread=Decimal(spread),
            stopped=all(each.stop is not None for each in opened),
            volatility=volatility,
            opened=np.concatenate((before, self._times[steps])),
            messages=np.concatenate((others, self._times[messages])),
        )
        return all(check.passes(worst) for check in self._gate.checks)

    def _has_margin(self, value: float, equity: float, cost: float) -> bool:
        """Tell whether the exchange finds the margin of the largest order, with room to spare."""
        return 2 * value * (float(self._each.margin_rate) + cost) <= equity


def vouches(plugin: object, promise: str, method: str) -> bool:
    """Tell whether a plugin's ``promise`` is of the ``method`` that it has.

    A class that is derived from another's and has its own method inherits a promise of the other.
    """
    for kind in type(plugin).__mro__:
        if promise in vars(kind):
            return kind not in {Check, Sizer}
        if method in vars(kind):
            return False
    return False


def volatilities(bars: BarArrays) -> Floats:
    """Return the standard deviation a year at each bar, 0 before it is known; shape (bars,).

    Within rounding that of :class:`mtquant.covariance.Covariance` fed with nothing else.
    """
    length, count = bars.timeframe.seconds * SECOND, len(bars)
    spans = np.clip(np.diff(bars.time) // length, 1, max(_DAY // length, 1))
    squares = np.zeros(count)
    squares[1:] = np.diff(np.log(bars.close)) ** 2 / spans
    total, weight = np.zeros(count), np.zeros(count)
    decay = 0.5 ** (1.0 / HALF_LIFE)
    powers = decay ** np.arange(_BLOCK)
    ahead = ones = 0.0
    for first in range(1, count, _BLOCK):
        part = squares[first : first + _BLOCK]
        scale = powers[: len(part)]
        total[first : first + _BLOCK] = scale * (np.cumsum(part / scale) + decay * ahead)
        weight[first : first + _BLOCK] = scale * (np.cumsum(1 / scale) + decay * ones)
        ahead, ones = float(total[first + len(part) - 1]), float(weight[first + len(part) - 1])
    found = np.zeros(count)
    found[LEAST:] = np.sqrt(total[LEAST:] / weight[LEAST:] * (TRADING_DAYS * _DAY / length))
    return found
