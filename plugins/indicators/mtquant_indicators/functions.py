"""The indicators: each is a name, its settings, its warm-up and a TA-Lib function.

The formulas are those of TA-Lib's C sources (ta_SMA.c, ta_EMA.c, ta_RSI.c, ta_ATR.c); RSI and ATR
follow J. Welles Wilder, New Concepts in Technical Trading Systems (1978).
"""

from __future__ import annotations

from mtquant_indicators.base import Period, PeriodSettings, TaLibIndicator


class SmaSettings(PeriodSettings):
    """``period``: how many bars are averaged."""

    period: Period = 20


class Sma(TaLibIndicator[SmaSettings]):
    """Simple moving average of the close, in the quote currency."""

    name = "sma"
    function = "SMA"

    @property
    def warmup(self) -> int:
        """``period`` bars."""
        return self.settings.period


class EmaSettings(PeriodSettings):
    """``period``: the average's span in bars; its weight is 2 / (period + 1)."""

    period: Period = 20


class Ema(TaLibIndicator[EmaSettings]):
    """Exponential moving average of the close, in the quote currency.

    Its first value is the simple average of the first ``period`` closes.
    """

    name = "ema"
    function = "EMA"

    @property
    def warmup(self) -> int:
        """``period`` bars."""
        return self.settings.period


class RsiSettings(PeriodSettings):
    """``period``: the length of Wilder's smoothing in bars; its weight is 1 / period."""

    period: Period = 14


class Rsi(TaLibIndicator[RsiSettings]):
    """Relative strength index of the close, 0 to 100 without a unit.

    100 * gain / (gain + loss), both Wilder averages of the close's rises and falls that start
    with the simple average of the first ``period``; 0 where nothing has moved.
    """

    name = "rsi"
    function = "RSI"

    @property
    def warmup(self) -> int:
        """``period`` changes, hence one bar more."""
        return self.settings.period + 1


class AtrSettings(PeriodSettings):
    """``period``: the length of Wilder's smoothing in bars; its weight is 1 / period."""

    period: Period = 14


class Atr(TaLibIndicator[AtrSettings]):
    """Average true range, in the quote currency.

    The Wilder average of max(high, last close) - min(low, last close) that starts with the simple
    average of the first ``period``; the first bar has no last close and isn't counted.
    """

    name = "atr"
    function = "ATR"
    inputs = ("high", "low", "close")

    @property
    def warmup(self) -> int:
        """``period`` ranges, hence one bar more."""
        return self.settings.period + 1
