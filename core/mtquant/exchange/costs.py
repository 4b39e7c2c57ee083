"""What an execution costs beside the spread: commission, slippage, and swap over night."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from mtquant.clock import seeded
from mtquant.exchange.settings import Terms
from mtquant.model import Instrument, Side, SwapUnit

CENT = Decimal("0.0001")
"""Money is kept to this, half to even."""
DAYS_A_YEAR = 365
_MILLION = 1_000_000
_DRAWS = 1 << 32


def money(amount: Decimal) -> Decimal:
    """Return ``amount`` as it is booked."""
    return amount.quantize(CENT, ROUND_HALF_EVEN)


def commission(terms: Terms, quantity: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    """Return the commission of one execution, in the account's currency.

    ``rate`` is what one unit of the quote currency is worth in it.
    """
    notional = quantity * price * rate
    return money(
        notional / _MILLION * terms.commission_per_million
        + notional * terms.commission_rate
        + quantity * terms.commission_per_unit
        + terms.commission_per_trade
    )


def slipped(
    price: Decimal, side: Side, terms: Terms, instrument: Instrument, seed: int, number: int
) -> Decimal:
    """Return the price that ``side`` gets instead of ``price``: never a better one.

    The random part is drawn from ``seed`` and the execution's ``number``, so that the same history
    slips alike, restarted or not.
    """
    pips = terms.slippage_pips
    if terms.slippage_random_pips:
        drawn = seeded((seed << 64) + number).getrandbits(32)
        pips += terms.slippage_random_pips * drawn / _DRAWS
    if not pips:
        return price
    worse = price + side.sign * pips * instrument.pip_size
    step = instrument.price_step
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    return max((worse / step).to_integral_value(rounding) * step, step)


def swap(
    terms: Terms,
    instrument: Instrument,
    side: Side,
    quantity: Decimal,
    price: Decimal,
    rate: Decimal,
) -> Decimal:
    """Return what a position earns (negative: pays) for one night, in the account's currency."""
    due = terms.swap_long if side is Side.BUY else terms.swap_short
    if terms.swap_unit is SwapUnit.PIPS:
        return money(quantity * due * instrument.pip_size * rate)
    return money(quantity * price * rate * due / DAYS_A_YEAR)
