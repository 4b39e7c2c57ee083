"""What executions bring and cost, in whole ten-thousandths of the account's currency.

These are the exchange's own formulas (:mod:`mtquant.exchange.costs`) to the last digit: in whole
numbers where the account's currency is the quote currency, in its decimals where it isn't.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.conversion import Conversion
from mtquant.backtest.tape import Ints
from mtquant.exchange import costs
from mtquant.exchange.settings import Terms
from mtquant.model import Instrument
from mtquant.model.arrays import Floats

Steps = slice | NDArray[np.int64]
_CENTS = 10_000
"""Money is kept to 0.0001."""
_LARGEST = 2**62
_PRECISION = 10**27
"""Decimals are rounded beyond 28 digits, whole numbers aren't."""
_NEAR = 1e-6


class Money(ABC):
    """One instrument's money.

    Quantities are whole numbers of ``lot`` base units, prices of ``unit`` of the quote currency.
    """

    def __init__(self, terms: Terms, unit: Decimal, lot: Decimal) -> None:
        self.terms, self.unit, self.lot = terms, unit, lot
        self._parts, (self._lot,) = _whole(lot)

    def sizes(self, lots: Ints) -> Floats:
        """Return so many lots in base units: the floats that are nearest to them."""
        return lots * self._lot / float(self._parts)

    @abstractmethod
    def exact(self, quantity: int, price: int) -> bool:
        """Tell whether the formulas hold for as much as ``quantity`` at ``price``."""

    @abstractmethod
    def rate(self, step: int, *, matched: bool = False) -> Decimal:
        """Return what one unit of the quote currency is worth in the account's.

        ``matched``, here and below: while the bar of ``step`` is matched, not at its end.
        """

    @abstractmethod
    def rates(self, steps: Steps) -> Floats:
        """Return the same at ``steps``, nearly."""

    @abstractmethod
    def fee(self, quantity: int, price: int, step: int, *, matched: bool = False) -> int:
        """Return the commission of an execution."""

    @abstractmethod
    def gain(self, quantity: int, move: int, step: int, *, matched: bool = False) -> int:
        """Return what ``quantity``, below zero for a short, gains where the price moves so far."""

    @abstractmethod
    def gains(self, quantity: Ints, move: Ints, steps: Steps) -> Ints:
        """Return :meth:`gain` at each of ``steps``."""


class HomeMoney(Money):
    """The account's currency is the quote currency: everything is a whole number of something."""

    def __init__(self, terms: Terms, unit: Decimal, lot: Decimal) -> None:
        super().__init__(terms, unit, lot)
        share = terms.commission_per_million / 1_000_000 + terms.commission_rate
        factors = (
            lot * unit * share * _CENTS,
            lot * terms.commission_per_unit * _CENTS,
            terms.commission_per_trade * _CENTS,
        )
        self._one, (self._share, self._each, self._trade) = _whole(*factors)
        self._whole, (self._point,) = _whole(lot * unit * _CENTS)
        self._free = not (self._share or self._each or self._trade)

    def exact(self, quantity: int, price: int) -> bool:
        """Tell whether the largest product has room."""
        most = max(quantity * price * self._share, quantity * price * self._point)
        return most < _PRECISION and quantity * price * self._point < _LARGEST

    def rate(self, step: int, *, matched: bool = False) -> Decimal:  # noqa: ARG002 - the port's
        """Return one."""
        return Decimal(1)

    def rates(self, steps: Steps) -> Floats:  # noqa: ARG002 - the port's
        """Return one."""
        return np.ones(1)

    def fee(  # the port's
        self,
        quantity: int,
        price: int,
        step: int,  # noqa: ARG002
        *,
        matched: bool = False,  # noqa: ARG002
    ) -> int:
        """Return the commission, half to even."""
        if self._free:
            return 0
        exact = quantity * price * self._share + quantity * self._each + self._trade
        return _half_even(exact, self._one)

    def gain(  # the port's
        self,
        quantity: int,
        move: int,
        step: int,  # noqa: ARG002
        *,
        matched: bool = False,  # noqa: ARG002
    ) -> int:
        """Return the gain, half to even."""
        return _half_even(quantity * move * self._point, self._whole)

    def gains(self, quantity: Ints, move: Ints, steps: Steps) -> Ints:  # noqa: ARG002 - the port's
        """Return the gains, half to even."""
        exact = quantity * move * self._point
        one = self._whole
        if one == 1:
            return exact
        whole = exact // one
        twice = (exact - whole * one) * 2
        up: Ints = whole + ((twice > one) | ((twice == one) & (whole & 1 == 1)))
        return up


class ForeignMoney(Money):
    """What is gained in the quote currency is turned into the account's, in the exchange's way."""

    def __init__(
        self, terms: Terms, unit: Decimal, lot: Decimal, each: Instrument, conversion: Conversion
    ) -> None:
        super().__init__(terms, unit, lot)
        self._symbol, self._currency = each.instrument, each.quote
        self._conversion = conversion
        self._known = -1, Decimal(0)

    def exact(self, quantity: int, price: int) -> bool:
        """Tell whether floats hold the largest product well enough to round it."""
        return quantity * price < _LARGEST

    def rate(self, step: int, *, matched: bool = False) -> Decimal:
        """Return the rate at the middle of the market."""
        if matched:
            return self._conversion.rate(self._currency, step, self._symbol)
        if self._known[0] != step:
            self._known = step, self._conversion.rate(self._currency, step)
        return self._known[1]

    def rates(self, steps: Steps) -> Floats:
        """Return the rates at the middle of the market."""
        return self._conversion.rates(self._currency, steps)

    def fee(self, quantity: int, price: int, step: int, *, matched: bool = False) -> int:
        """Return the commission as the exchange reckons it."""
        size, rate = quantity * self.lot, self.rate(step, matched=matched)
        return int(costs.commission(self.terms, size, price * self.unit, rate) * _CENTS)

    def gain(self, quantity: int, move: int, step: int, *, matched: bool = False) -> int:
        """Return the gain as the exchange reckons it."""
        rate = self.rate(step, matched=matched)
        gained = quantity * self.lot * (move * self.unit) * rate
        return int(costs.money(gained) * _CENTS)

    def gains(self, quantity: Ints, move: Ints, steps: Steps) -> Ints:
        """Return the gains; where floats can't tell which way to round, the decimals do."""
        point = float(self.lot * self.unit * _CENTS)
        exact = (quantity * move).astype(np.float64) * point * self.rates(steps)
        cents: Ints = np.rint(exact).astype(np.int64)
        unsure = np.abs(np.abs(exact - np.floor(exact)) - 0.5) < _NEAR + np.abs(exact) * 1e-14
        for index in np.flatnonzero(unsure & (quantity != 0)):
            step = steps.start + int(index) if isinstance(steps, slice) else int(steps[index])
            cents[index] = self.gain(int(quantity[index]), int(move[index]), step)
        return cents


def _whole(*factors: Decimal) -> tuple[int, tuple[int, ...]]:
    """Return what makes whole numbers of ``factors``, and these."""
    digits = max(max(0, -int(each.normalize().as_tuple().exponent)) for each in factors)
    return 10**digits, tuple(int(each.scaleb(digits)) for each in factors)


def _half_even(exact: int, one: int) -> int:
    whole, left = divmod(exact, one)
    twice = 2 * left
    return whole + (twice > one or (twice == one and whole & 1 == 1))
