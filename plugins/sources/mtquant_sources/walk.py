"""Invented prices: a seeded geometric random walk, for demonstrations and tests."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from mtquant import Settings, Source
from mtquant.clock import SECOND, parse_time, seeded
from mtquant.model import Bars, Time, Timeframe
from mtquant_sources.symbols import unknown_symbol

_YEAR = 365.25 * 86400
_STEPS = 8


class Market(Settings):
    """One symbol's walk: where it starts, how wild it is and how it is rounded.

    ``volatility`` is the standard deviation of a year's return (0.07 is 7 %), of a market that
    never closes; ``decimals`` are those of its prices.
    """

    price: Annotated[float, Field(gt=0, le=1e9)]
    volatility: Annotated[float, Field(ge=0, le=5)]
    decimals: Annotated[int, Field(ge=0, le=10)] = 5


def _markets() -> dict[str, Market]:
    return {
        "EUR/USD": Market(price=1.10, volatility=0.07),
        "GBP/USD": Market(price=1.27, volatility=0.08),
        "USD/JPY": Market(price=145.0, volatility=0.10, decimals=3),
    }


class WalkSettings(Settings):
    """``bars`` of ``timeframe`` from ``start`` on, of each symbol in ``markets``.

    ``start`` is an RFC 3339 text, the opening time of the first bar.
    """

    seed: int = 1
    bars: Annotated[int, Field(ge=1, le=1_000_000)] = 5000
    timeframe: Timeframe = Timeframe.H1
    start: Time = parse_time("2024-01-01T00:00:00Z")
    markets: Mapping[str, Market] = Field(default_factory=_markets, min_length=1)


class Walk(Source[WalkSettings]):
    """Bars of a geometric random walk without drift; volume counts the moves.

    Each bar is made of eight moves price * (1 + step), step uniform around 0; their sum is close
    to normal. A bar opens where the last one closed and none is missing. The seed and the symbol
    alone make a symbol's prices, so symbols are independent of each other and of their order.
    Only arithmetic that IEEE 754 fixes to the bit is used, no logarithm and no cosine: the same
    seed gives the same bars on every machine. A price never falls below one unit of its last
    decimal.
    """

    name = "walk"
    description = "A seeded geometric random walk: invented prices, the same for the same seed"

    def symbols(self) -> Sequence[str]:
        """Return the symbols of the settings."""
        return tuple(self.settings.markets)

    def timeframe(self) -> Timeframe:
        """Return the timeframe of the settings."""
        return self.settings.timeframe

    def bars(self, symbol: str) -> Bars:
        """Return the whole walk of ``symbol``; raises ConfigError where there is none."""
        if symbol not in self.settings.markets:
            raise unknown_symbol(self.name, symbol, self.settings.markets)
        market, count = self.settings.markets[symbol], self.settings.bars
        digest = hashlib.sha256(f"{self.settings.seed} {symbol}".encode()).digest()
        uniform = seeded(int.from_bytes(digest, "big")).random
        # A uniform step of -width to width has the variance width ** 2 / 3.
        variance = market.volatility**2 * self.settings.timeframe.seconds / _YEAR
        width = math.sqrt(3 * variance / _STEPS)
        least = 10.0**-market.decimals
        price, rows = market.price, []
        for _ in range(count):
            path = [price]
            for _ in range(_STEPS):
                price = max(price * (1 + width * (2 * uniform() - 1)), least)
                path.append(price)
            rows.append((path[0], max(path), min(path), price))
        opens, highs, lows, closes = (
            tuple(round(each, market.decimals) for each in column)
            for column in zip(*rows, strict=True)
        )
        length = self.settings.timeframe.seconds * SECOND
        return Bars(
            instrument=symbol,
            timeframe=self.settings.timeframe,
            time=tuple(self.settings.start + index * length for index in range(count)),
            open=opens,
            high=highs,
            low=lows,
            close=closes,
            volume=(float(_STEPS),) * count,
        )
