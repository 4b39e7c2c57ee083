"""What an account holds and may come to hold, valued as it changes, not per order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from mtquant.contract import Exposure, Part, Sums, Totals
from mtquant.model import AssetClass, Instrument, Quote, Side

_ZERO, _ONE, _UNKNOWN = Decimal(0), Decimal(1), Decimal("NaN")


class Exposures:
    """One account's exposures by instrument, in the account's currency.

    A fill, an order or a quote changes the exposures that it touches: its own instrument's and,
    where a rate of exchange moves, those quoted in that currency. Sums lose what was and gain what
    is, exactly, so nothing drifts.
    """

    def __init__(self) -> None:
        self._home = ""
        self._instruments: Mapping[str, Instrument] = {}
        self._quotes: dict[str, Quote] = {}
        self._held: dict[str, Decimal] = {}
        self._buying: dict[str, Decimal] = {}
        self._selling: dict[str, Decimal] = {}
        self._closing: dict[tuple[str, Side], Decimal] = {}
        self._rates: dict[str, Decimal | None] = {}
        self._through: dict[str, set[str]] = {}
        self._each: dict[str, Exposure] = {}
        self._all: tuple[Exposure, ...] | None = ()
        self._quoted_in: dict[str, set[str]] = {}
        self._sums = Sums()
        self._parts: dict[str, Part] = {}
        self._totals: Totals | None = None
        self._changed: set[str] = set()

    def settle(self, home: str, instruments: Mapping[str, Instrument]) -> None:
        """Take in the account's currency and its instruments; unchanged, it costs nothing."""
        if home == self._home and instruments is self._instruments:
            return
        self._home, self._instruments = home, instruments
        self._value_all()

    def quote(self, quotes: Iterable[Quote]) -> None:
        """Take in prices, and value again what they are prices of."""
        stale: set[str] = set()
        for each in quotes:
            symbol = each.instrument
            known = symbol in self._quotes
            self._quotes[symbol] = each
            stale.add(symbol)
            if not known:
                self._forget_rates()
                stale.update(self._each)
            for currency in self._through.get(symbol, ()):
                self._rates.pop(currency, None)
                stale.update(self._quoted_in.get(currency, ()))
        for symbol in stale & self._each.keys():
            self._value(symbol)

    def hold(self, symbol: str, quantity: Decimal) -> None:
        """Take in the position in ``symbol``: signed base units, zero for none."""
        if quantity:
            self._held[symbol] = quantity
        else:
            self._held.pop(symbol, None)
        self._value(symbol)

    def work(self, symbol: str, side: Side, change: Decimal) -> None:
        """Take in that orders which open exposure work for ``change`` base units more, or less."""
        book = self._buying if side is Side.BUY else self._selling
        left = book.get(symbol, _ZERO) + change
        if left:
            book[symbol] = left
        else:
            book.pop(symbol, None)
        self._value(symbol)

    def close(self, symbol: str, side: Side, change: Decimal) -> None:
        """Take in that orders that close by ``side`` work for ``change`` units more, or less."""
        left = self._closing.get((symbol, side), _ZERO) + change
        if left:
            self._closing[symbol, side] = left
        else:
            self._closing.pop((symbol, side), None)
        self._value(symbol)

    def all(self) -> tuple[Exposure, ...]:
        """Return every exposure, in no order that means anything."""
        if self._all is None:
            self._all = tuple(self._each.values())
        return self._all

    def at(self, symbol: str) -> tuple[Exposure, ...]:
        """Return the exposure in ``symbol``, if there is any."""
        found = self._each.get(symbol)
        return () if found is None else (found,)

    def changed(self) -> set[str]:
        """Return the symbols whose exposure was valued anew since this was last asked."""
        found, self._changed = self._changed, set()
        return found

    def totals(self) -> Totals:
        """Return their sums."""
        if self._totals is None:
            self._totals = self._sums.totals()
        return self._totals

    def without(self, symbol: str, side: Side, quantity: Decimal) -> tuple[Exposure, ...]:
        """Return every exposure as it would be if an order for ``quantity`` didn't work."""
        self.work(symbol, side, -quantity)
        found = self.all()
        self.work(symbol, side, quantity)
        return found

    def rate(self, currency: str) -> Decimal | None:
        """Return what one unit of ``currency`` is worth in the account's, at mid prices.

        It goes through a pair of the two, either way round, or through one currency between;
        None where no quote leads there.
        """
        if currency == self._home:
            return _ONE
        if currency not in self._rates:
            self._rates[currency] = self._find_rate(currency)
        return self._rates[currency]

    def _find_rate(self, currency: str) -> Decimal | None:
        direct = self._cross(currency, self._home, currency)
        if direct is not None:
            return direct
        for symbol in self._quotes:
            instrument = self._instruments.get(symbol)
            if instrument is None or currency not in {instrument.base, instrument.quote}:
                continue
            between = instrument.quote if instrument.base == currency else instrument.base
            first = self._cross(currency, between, currency)
            second = self._cross(between, self._home, currency)
            if first is not None and second is not None:
                return first * second
        return None

    def _cross(self, base: str, quote: str, user: str) -> Decimal | None:
        """Return the mid price of a pair, either way round; ``user`` is whose rate it serves."""
        for symbol, each in self._quotes.items():
            instrument = self._instruments.get(symbol)
            if instrument is None:
                continue
            pair = (instrument.base, instrument.quote)
            if pair in {(base, quote), (quote, base)} and each.mid:
                self._through.setdefault(symbol, set()).add(user)
                return each.mid if pair == (base, quote) else 1 / each.mid
        return None

    def _forget_rates(self) -> None:
        self._rates.clear()
        self._through.clear()

    def _value_all(self) -> None:
        self._forget_rates()
        for symbol in {*self._held, *self._buying, *self._selling}:
            self._value(symbol)

    def _value(self, symbol: str) -> None:
        self._all = self._totals = None
        self._changed.add(symbol)
        before = self._each.get(symbol)
        if before is not None:
            self._sums.remove(self._parts.pop(symbol))
        held = self._held.get(symbol, _ZERO)
        buying, selling = self._buying.get(symbol, _ZERO), self._selling.get(symbol, _ZERO)
        if not (held or buying or selling):
            if before is not None:
                del self._each[symbol]
                self._quoted_in[before.quote].discard(symbol)
            return
        quote, instrument = self._quotes.get(symbol), self._instruments.get(symbol)
        rate = self.rate(instrument.quote) if instrument else None
        against = Side.SELL if held > 0 else Side.BUY
        found = self._each[symbol] = Exposure(
            instrument=symbol,
            quantity=held,
            working=buying - selling,
            opposed=min(buying, selling),
            closing=min(self._closing.get((symbol, against), _ZERO), abs(held)),
            # An exposure that can't be valued is NaN, on which every limit fails closed.
            notional_rate=_UNKNOWN if quote is None or rate is None else quote.mid * rate,
            margin_rate=instrument.margin_rate if instrument else _UNKNOWN,
            base=instrument.base if instrument else "",
            quote=instrument.quote if instrument else "",
            asset_class=instrument.asset_class if instrument else AssetClass.FOREX,
        )
        self._parts[symbol] = self._sums.add(found)
        if before is not None and before.quote != found.quote:
            self._quoted_in[before.quote].discard(symbol)
        self._quoted_in.setdefault(found.quote, set()).add(symbol)
