"""How wide and how directed prices move.

The formulas are those of TA-Lib's C sources: ta_ATR.c, ta_ADX.c, ta_PLUS_DI.c, ta_MINUS_DI.c,
ta_STDDEV.c, ta_MAX.c, ta_MIN.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mtquant_indicators.base import Call, Period, PeriodSettings, TaLibIndicator

_RANGE = ("high", "low", "close")


class AtrSettings(PeriodSettings):
    """``period``: the length of Wilder's smoothing in bars; its weight is 1 / period."""

    period: Period = 14


class Atr(TaLibIndicator[AtrSettings]):
    """Average true range, in the quote currency (Wilder, 1978).

    The Wilder average of max(high, last close) - min(low, last close) that starts with the simple
    average of the first ``period``; the first bar has no last close and isn't counted. Its first
    value is at bar ``period`` + 1.
    """

    name = "atr"
    inputs: ClassVar[tuple[str, ...]] = _RANGE

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        parameters = {"timeperiod": period}
        return [Call(function="ATR", parameters=parameters, lookback=period)]


class AdxSettings(PeriodSettings):
    """``period``: the length of Wilder's smoothing in bars."""

    period: Period = 14


class Adx(TaLibIndicator[AdxSettings]):
    """Average directional index and its two directional indicators, 0 to 100 (Wilder, 1978).

    ``plus_di`` and ``minus_di`` are the smoothed upward and downward movement as per cent of the
    smoothed true range; ``adx`` is the Wilder average of 100 * |difference| / sum of the two. All
    are 0 in a market that has never moved. First values at bar 2 * ``period``.
    """

    name = "adx"
    inputs: ClassVar[tuple[str, ...]] = _RANGE
    lines: ClassVar[tuple[str, ...]] = ("adx", "plus_di", "minus_di")

    def calls(self) -> Sequence[Call]:
        """Three functions, the directional indicators from an earlier bar on."""
        period = self.settings.period
        parameters = {"timeperiod": period}

        def call(function: str, lookback: int) -> Call:
            return Call(function=function, parameters=parameters, lookback=lookback)

        return [
            call("ADX", 2 * period - 1),
            call("PLUS_DI", period),
            call("MINUS_DI", period),
        ]


class StddevSettings(PeriodSettings):
    """``period``: how many closes are looked at."""

    period: Period = 20


class Stddev(TaLibIndicator[StddevSettings]):
    """Standard deviation of the close, in the quote currency, divided by n (not n - 1).

    Its first value is at bar ``period``.
    """

    name = "stddev"

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        return [Call(function="STDDEV", parameters={"timeperiod": period}, lookback=period - 1)]


class HighestSettings(PeriodSettings):
    """``period``: how many bars are looked at."""

    period: Period = 20


class Highest(TaLibIndicator[HighestSettings]):
    """The highest high of the last ``period`` bars, in the quote currency.

    Its first value is at bar ``period``.
    """

    name = "highest"
    inputs: ClassVar[tuple[str, ...]] = ("high",)

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        parameters = {"timeperiod": period}
        return [Call(function="MAX", parameters=parameters, lookback=period - 1)]


class LowestSettings(PeriodSettings):
    """``period``: how many bars are looked at."""

    period: Period = 20


class Lowest(TaLibIndicator[LowestSettings]):
    """The lowest low of the last ``period`` bars, in the quote currency.

    Its first value is at bar ``period``.
    """

    name = "lowest"
    inputs: ClassVar[tuple[str, ...]] = ("low",)

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        parameters = {"timeperiod": period}
        return [Call(function="MIN", parameters=parameters, lookback=period - 1)]
