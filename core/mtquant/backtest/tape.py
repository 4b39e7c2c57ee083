"""The prices of a backtest as arrays over its steps: what can be looked at without matching.

One row for each bar. Prices are whole numbers of the instrument's price step, to which the exchange
rounds bid and ask, so comparisons are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from mtquant.exchange import Recorded
from mtquant.exchange.settings import Terms
from mtquant.model import Instrument
from mtquant.model.arrays import BarArrays, Floats

Ints = NDArray[np.int64]
_UNIT_DIGITS = 8
_LARGEST = 2**52
"""Beyond this a float64 no longer tells one whole number from the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """One symbol's bid and ask at the end and opening of each bar, and how far they reached in it.

    All are of shape (bars,), int64, in ``unit`` of the quote currency. ``at`` is, for each step,
    the newest bar that has ended by then (-1: none yet), and ``fresh`` whether it ended just then.
    """

    unit: Decimal
    bid: Ints
    ask: Ints
    bid_open: Ints
    ask_open: Ints
    bid_low: Ints
    bid_high: Ints
    ask_low: Ints
    ask_high: Ints
    at: Ints
    fresh: NDArray[np.bool_]

    def mids(self, at: Ints | slice) -> Floats:
        """Return the mid prices at the ends of the bars ``at``, in the quote currency."""
        return (self.bid[at] + self.ask[at]) / float(2 / self.unit)

    def whole(self, price: Decimal) -> int | None:
        """Return ``price`` in units; None where it isn't a whole number of them."""
        units = price / self.unit
        return int(units) if units == units.to_integral_value() else None


def tape_of(
    market: Recorded, symbol: str, instrument: Instrument, terms: Terms, times: Ints
) -> Tape | None:
    """Return the tape of ``symbol`` over steps at ``times``; None where it can't be told exactly.

    That is where prices have more digits than a whole number of units can hold, or where one
    becomes known between two steps.
    """
    if symbol in market.ticks:
        return None
    ends = np.array(market.ends[symbol], np.int64)
    at = np.searchsorted(times, ends)
    if len(ends) and (at[-1] >= len(times) or (times[at] != ends).any()):
        return None
    half = terms.spread_pips * instrument.pip_size / 2
    digits = max(_UNIT_DIGITS, _digits(half), _digits(instrument.price_step))
    sides = market.side_arrays.get(symbol)
    columns = _two_sides(*sides, digits) if sides else _mids(market.arrays[symbol], digits)
    if columns is None:
        return None
    exact = Decimal(1).scaleb(-digits)
    step = int(instrument.price_step / exact)
    offset = 0 if sides else int(half / exact)
    below, above = columns
    bid = [(each - offset) // step for each in below]
    ask = [-((-each - offset) // step) for each in above]
    last = np.searchsorted(ends, times, "right") - 1
    fresh = np.zeros(len(times), np.bool_)
    fresh[at] = True
    return Tape(
        unit=instrument.price_step,
        bid=bid[0],
        bid_high=bid[1],
        bid_low=bid[2],
        bid_open=bid[3],
        ask=ask[0],
        ask_high=ask[1],
        ask_low=ask[2],
        ask_open=ask[3],
        at=last,
        fresh=fresh,
    )


def _digits(number: Decimal) -> int:
    return max(0, -int(number.normalize().as_tuple().exponent))


def _mids(bars: BarArrays, digits: int) -> tuple[list[Ints], list[Ints]] | None:
    """Return close, high, low and opening of each bar; the opening may lie outside the range."""
    opened, high, low, close = (
        _whole(column, digits) for column in (bars.open, bars.high, bars.low, bars.close)
    )
    if opened is None or high is None or low is None or close is None:
        return None
    prices = [close, high, low, opened]
    return prices, prices


def _two_sides(bid: BarArrays, ask: BarArrays, digits: int) -> tuple[list[Ints], list[Ints]] | None:
    """Return the lower and the higher of the two sides; recorded ones cross at times."""
    found: list[list[Ints]] = [[], []]
    for name in ("close", "high", "low", "open"):
        one, other = _whole(getattr(bid, name), digits), _whole(getattr(ask, name), digits)
        if one is None or other is None:
            return None
        found[0].append(np.minimum(one, other))
        found[1].append(np.maximum(one, other))
    return found[0], found[1]


def _whole(floats: Floats, digits: int) -> Ints | None:
    """Return prices in units of ``digits`` decimals; None where one has more than that."""
    scaled = np.rint(floats * 10.0**digits)
    if (np.abs(scaled) >= _LARGEST).any() or (scaled / 10.0**digits != floats).any():
        return None
    whole: Ints = scaled.astype(np.int64)
    return whole
