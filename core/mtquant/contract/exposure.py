"""What an account holds or may come to hold in one instrument, and the sums of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import NamedTuple

from mtquant.model import AssetClass

_ZERO, _UNKNOWN = Decimal(0), Decimal("NaN")
_EXACT = Context(prec=400)
"""Digits enough for sums and products of what has 28 digits each: nothing is rounded, so what was
added can be taken away again without a trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What one account holds, or may come to hold, in one instrument (canonical symbol).

    ``quantity`` is signed; ``working`` is the signed sum of orders that are live or in doubt and
    would open exposure, and ``opposed`` what of them cancels out in that sum: with orders to buy 5
    and to sell 3, ``working`` is 2 and ``opposed`` 3. ``closing`` is what orders in flight close of
    what is held: not negative, and no more than that. ``notional_rate`` turns base units into the
    account's currency, and ``margin_rate`` that into margin. ``base`` and ``quote`` are its
    currencies.
    """

    instrument: str
    quantity: Decimal
    working: Decimal
    notional_rate: Decimal
    margin_rate: Decimal
    opposed: Decimal = _ZERO
    closing: Decimal = _ZERO
    base: str = ""
    quote: str = ""
    asset_class: AssetClass = AssetClass.FOREX

    @property
    def buying(self) -> Decimal:
        """What orders that are live or in doubt may still buy: base units, not negative."""
        return self.opposed + max(self.working, _ZERO)

    @property
    def selling(self) -> Decimal:
        """What orders that are live or in doubt may still sell: base units, not negative."""
        return self.opposed - min(self.working, _ZERO)

    @property
    def highest(self) -> Decimal:
        """The most that may come to be held if all that buys fills and nothing else: signed."""
        return self.quantity + self.buying + (self.closing if self.quantity < 0 else _ZERO)

    @property
    def lowest(self) -> Decimal:
        """The least that may come to be held if all that sells fills and nothing else: signed."""
        return self.quantity - self.selling - (self.closing if self.quantity > 0 else _ZERO)

    @property
    def size(self) -> Decimal:
        """All that is held and works, whatever the side: base units."""
        return abs(self.quantity) + abs(self.working) + 2 * self.opposed


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over an account's exposures, in its currency; NaN where one can't be valued.

    ``gross`` is the notional value of all that is held and works, long and short added up;
    ``held_margin`` and ``working_margin`` are what both tie up, each at its own margin rate.
    ``longest`` and ``shortest`` say by currency what would net stand on it if all that works that
    way filled, and nothing of the rest: a position of EUR/USD is long euros and short dollars,
    both at its notional value.
    """

    gross: Decimal
    held_margin: Decimal
    working_margin: Decimal
    longest: Mapping[str, Decimal]
    shortest: Mapping[str, Decimal]

    @classmethod
    def of(cls, exposures: Iterable[Exposure]) -> Totals:
        """Return the sums of ``exposures``."""
        sums = Sums()
        for each in exposures:
            if each.size:
                sums.add(each)
        return sums.totals()


class Part(NamedTuple):
    """What one exposure adds to the sums, unrounded; not ``known`` where it can't be valued."""

    known: bool
    value: Decimal
    held_margin: Decimal
    working_margin: Decimal
    base: str
    quote: str
    high: Decimal
    low: Decimal


class Sums:
    """Adds exposures up, and takes them away again."""

    def __init__(self) -> None:
        self._gross = self._held_margin = self._working_margin = _ZERO
        self._unvalued = 0
        self._currencies: dict[str, _Standing] = {}

    def add(self, exposure: Exposure) -> Part:
        """Add an exposure and return its part: it is what takes it away again."""
        part = _part(exposure)
        self._count(part, 1, _EXACT.add)
        return part

    def remove(self, part: Part) -> None:
        """Take away what was added."""
        self._count(part, -1, _EXACT.subtract)

    def totals(self) -> Totals:
        """Return the sums, rounded to the usual 28 digits."""
        known = not self._unvalued
        return Totals(
            gross=+self._gross if known else _UNKNOWN,
            held_margin=+self._held_margin if known else _UNKNOWN,
            working_margin=+self._working_margin if known else _UNKNOWN,
            longest={
                name: _UNKNOWN if each.unvalued else +each.longest
                for name, each in self._currencies.items()
            },
            shortest={
                name: _UNKNOWN if each.unvalued else +each.shortest
                for name, each in self._currencies.items()
            },
        )

    def _count(
        self, part: Part, times: int, combine: Callable[[Decimal, Decimal], Decimal]
    ) -> None:
        known = part.known
        if known:
            self._gross = combine(self._gross, part.value)
            self._held_margin = combine(self._held_margin, part.held_margin)
            self._working_margin = combine(self._working_margin, part.working_margin)
        else:
            self._unvalued += times
        low, high = part.low, part.high
        for name, longest, shortest in (
            (part.base, high, low),
            (part.quote, low.copy_negate(), high.copy_negate()),
        ):
            standing = self._currencies.get(name)
            if standing is None:
                standing = self._currencies[name] = _Standing()
            standing.count += times
            if known:
                standing.longest = combine(standing.longest, longest)
                standing.shortest = combine(standing.shortest, shortest)
            else:
                standing.unvalued += times
            if not standing.count:
                del self._currencies[name]


def _part(each: Exposure) -> Part:
    multiply, rate, held = _EXACT.multiply, each.notional_rate, each.quantity
    value = multiply(held.copy_abs(), rate)
    held_margin = multiply(value, each.margin_rate)
    if each.working or each.opposed or each.closing:
        works = multiply(_EXACT.add(each.buying, each.selling), rate)
        working_margin = multiply(works, each.margin_rate)
        value = _EXACT.add(value, works)
        high, low = multiply(each.highest, rate), multiply(each.lowest, rate)
    else:
        working_margin = _ZERO
        high = low = multiply(held, rate)
    numbers = (value, held_margin, working_margin, high, low)
    known = all(map(Decimal.is_finite, numbers))
    return Part(known, value, held_margin, working_margin, each.base, each.quote, high, low)


@dataclass(slots=True)
class _Standing:
    """What stands on one currency, and of how many exposures it comes."""

    count: int = 0
    unvalued: int = 0
    longest: Decimal = _ZERO
    shortest: Decimal = _ZERO
