"""The size of an order, asked of the gate's own sizer where all it looks at is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from mtquant.backtest.conversion import Conversion
from mtquant.backtest.stretch.money import Money
from mtquant.contract import BreakerLevel, RiskState
from mtquant.model import Instrument, Quote, Signal
from mtquant.risk import Gate

_CENTS = Decimal("0.0001")


@dataclass(slots=True)
class _Equity:
    """What is known of the account: asked for anything else, it raises AttributeError."""

    equity: Decimal
    currency: str


class _Known:
    """What is known of the state: asked for anything else, it raises AttributeError."""

    __slots__ = ("account", "instrument", "quote", "quote_rate")

    def __init__(
        self, account: _Equity, instrument: Instrument, quote: Quote, quote_rate: Decimal
    ) -> None:
        self.account, self.instrument = account, instrument
        self.quote, self.quote_rate = quote, quote_rate


class Sizes:
    """Asks the sizer for one order after the other, and puts what it says on the grid."""

    def __init__(
        self, gate: Gate, instrument: Instrument, currency: str, money: Money, quotes: Conversion
    ) -> None:
        self._gate, self._each, self._currency = gate, instrument, currency
        self._money, self._quotes = money, quotes
        self._level = BreakerLevel.NORMAL
        self._always = gate.sizer.always()
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
        known = _Known(
            _Equity(equity * _CENTS, self._currency),
            each,
            self._quotes.quote(each.instrument, step),
            self._money.rate(step),
        )
        try:
            wished = self._gate.sizer.size(signal, cast("RiskState", known), price * unit)
        except Exception:  # noqa: BLE001 - whatever it raises, it will raise at the gate
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
