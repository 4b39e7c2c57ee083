"""The size of an order, asked of the gate's own sizer where all it looks at is known."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from mtquant.backtest.conversion import Conversion
from mtquant.backtest.stretch.known import Money, Unknown, known_at
from mtquant.backtest.stretch.money import Money as Pricing
from mtquant.backtest.stretch.screen import vouches
from mtquant.contract import BreakerLevel, RiskState
from mtquant.exchange.costs import CENT
from mtquant.model import Instrument, Signal
from mtquant.risk import Gate


class Sizes:
    """Asks the sizer for one order after the other, and puts what it says on the grid."""

    def __init__(
        self, gate: Gate, instrument: Instrument, currency: str, money: Pricing, quotes: Conversion
    ) -> None:
        self._gate, self._each, self._currency = gate, instrument, currency
        self._money, self._quotes = money, quotes
        self._level = BreakerLevel.NORMAL
        sizer = gate.sizer
        self._always = sizer.always() if vouches(sizer, "always", "size") else None
        self._same = self._granted(self._always)

    def at(self, level: BreakerLevel) -> None:
        """Come to a level of the loss breaker."""
        self._level = level
        self._same = self._granted(self._always)

    def __call__(
        self, signal: Signal, step: int, price: int, stop: int | None, equity: int
    ) -> Decimal | None:
        """Return the order's size; None where the gate may say something else.

        ``price``, where a market order fills, and ``stop`` are in units of the tape, ``equity`` in
        0.0001 of the account's currency.
        """
        if self._always is not None:
            return self._same
        unit, each = self._money.unit, self._each
        if stop is not None:
            signal = replace(signal, stop_distance=abs(price - stop) * unit)
        account = Money(equity * CENT, self._currency)
        known = known_at(step, account, each, self._money, self._quotes, self._level)
        try:
            wished = self._gate.sizer.size(signal, cast("RiskState", known), price * unit)
        except (Exception, Unknown):  # noqa: BLE001 - the gate shall hear of it itself
            return None
        return self._granted(wished)

    def _granted(self, wished: Any) -> Decimal | None:  # noqa: ANN401 - whatever a plugin says
        """Return what the gate makes of a size, before it asks the checks."""
        quantity = self._on_grid(wished)
        if quantity is None or self._level is not BreakerLevel.WARNED:
            return quantity
        return self._on_grid(wished * self._gate.rules.warned_size)

    def _on_grid(self, wished: Any) -> Decimal | None:  # noqa: ANN401 - whatever a plugin says
        each = self._each
        if not isinstance(wished, Decimal) or not wished.is_finite():
            return None
        if not 0 <= wished <= each.quantity_max:
            return None
        quantity = wished // each.quantity_step * each.quantity_step
        return quantity if quantity >= each.quantity_min and quantity else None
