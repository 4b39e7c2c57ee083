"""Moving averages of the close, in the quote currency.

The formulas are those of TA-Lib's C sources: ta_SMA.c, ta_EMA.c, ta_WMA.c, ta_HMA.c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mtquant_indicators.base import Call, Period, PeriodSettings, TaLibIndicator


class SmaSettings(PeriodSettings):
    """``period``: how many bars are averaged."""

    period: Period = 20


class Sma(TaLibIndicator[SmaSettings]):
    """Simple moving average: the mean of the last ``period`` closes.

    Its first value is at bar ``period``.
    """

    name = "sma"

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        return [Call(function="SMA", parameters={"timeperiod": period}, lookback=period - 1)]


class EmaSettings(PeriodSettings):
    """``period``: the average's span in bars; its weight is 2 / (period + 1)."""

    period: Period = 20


class Ema(TaLibIndicator[EmaSettings]):
    """Exponential moving average.

    Its first value, at bar ``period``, is the simple average of the first ``period`` closes.
    """

    name = "ema"

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        return [Call(function="EMA", parameters={"timeperiod": period}, lookback=period - 1)]


class WmaSettings(PeriodSettings):
    """``period``: how many bars are averaged."""

    period: Period = 20


class Wma(TaLibIndicator[WmaSettings]):
    """Weighted moving average: the newest close counts ``period`` times, the oldest once.

    Its first value is at bar ``period``.
    """

    name = "wma"

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        return [Call(function="WMA", parameters={"timeperiod": period}, lookback=period - 1)]


class HullSettings(PeriodSettings):
    """``period``: the length of the longest of its averages, in bars."""

    period: Period = 20


class Hull(TaLibIndicator[HullSettings]):
    """Hull moving average: WMA(2 WMA(close, period / 2) - WMA(close, period), sqrt(period)).

    Alan Hull, 2005; both derived lengths are rounded down. Its first value is at bar
    ``period`` + sqrt(``period``) - 1.
    """

    name = "hull"

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        lookback = period - 1 + math.isqrt(period) - 1
        return [Call(function="HMA", parameters={"timeperiod": period}, lookback=lookback)]
