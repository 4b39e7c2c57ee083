"""What is known of an account that holds nothing, for a sizer or a check to look at."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from mtquant.backtest.conversion import Conversion
from mtquant.backtest.stretch.money import Money as Pricing
from mtquant.contract import BreakerLevel, Totals
from mtquant.model import Instrument, Quote

_NOTHING = Totals.of(())


class Unknown(BaseException):
    """Somebody asked for what isn't known here.

    It isn't an error: the gate, for which every error is a veto, must not take it for one.
    """


class _Guarded:
    """Raises Unknown for whatever it hasn't."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Unknown(name)


@dataclass(slots=True)
class Money(_Guarded):
    """What is known of the account's money."""

    equity: Decimal
    currency: str


@dataclass(slots=True)
class Known(_Guarded):
    """What is known of the risk state: the account holds nothing, and nothing works."""

    time: int
    account: Money
    instrument: Instrument
    quote: Quote
    quote_rate: Decimal
    breaker: BreakerLevel
    exposures: tuple[()] = ()
    here: tuple[()] = ()
    working_orders: int = 0
    totals: Totals = _NOTHING
    differs: str = ""


def known_at(
    step: int,
    account: Money,
    instrument: Instrument,
    pricing: Pricing,
    quotes: Conversion,
    level: BreakerLevel,
) -> Known:
    """Return what is known of the risk state at ``step``, once its prices are there."""
    quote = quotes.quote(instrument.instrument, step)
    return Known(
        time=quote.time,
        account=account,
        instrument=instrument,
        quote=quote,
        quote_rate=pricing.rate(step),
        breaker=level,
    )
