"""What one currency is worth in another, through the account's own instruments."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from mtquant.errors import ConfigError
from mtquant.model import Instrument, Quote

Path = tuple[tuple[str, bool], ...]
"""Symbols to go through, each with whether its price is divided by instead of multiplied with."""


def paths(instruments: Mapping[str, Instrument], home: str) -> dict[str, Path]:
    """Return how each quote currency becomes ``home``: by one pair, or through one between.

    Raises ConfigError where a quote currency leads nowhere.
    """
    step: dict[tuple[str, str], tuple[str, bool]] = {}
    for symbol in sorted(instruments):
        each = instruments[symbol]
        step.setdefault((each.base, each.quote), (symbol, False))
        step.setdefault((each.quote, each.base), (symbol, True))
    found: dict[str, Path] = {home: ()}
    for currency in sorted({each.quote for each in instruments.values()} - {home}):
        if (currency, home) in step:
            found[currency] = (step[currency, home],)
            continue
        between = sorted(
            middle for (start, middle) in step if start == currency and (middle, home) in step
        )
        if not between:
            raise ConfigError(
                "symbols",
                f"profits in {currency} can't be turned into the account's {home}",
                f"Add {home}/{currency}, or a pair that leads there.",
            )
        found[currency] = (step[currency, between[0]], step[between[0], home])
    return found


def convert(path: Path, quotes: Mapping[str, Quote]) -> Decimal | None:
    """Return the rate along ``path`` at mid prices, None where one has no quote."""
    rate = Decimal(1)
    for symbol, inverse in path:
        if symbol not in quotes:
            return None
        rate = rate / quotes[symbol].mid if inverse else rate * quotes[symbol].mid
    return rate
