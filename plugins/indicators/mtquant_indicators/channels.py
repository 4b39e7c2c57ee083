"""Bands and channels around the price, and Heikin-Ashi candles, in the quote currency.

The formulas are those of TA-Lib's C sources: ta_BBANDS.c, ta_DONCHIAN.c, ta_KC.c, ta_HA.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mtquant import Settings
from mtquant_indicators.base import Call, Multiple, Period, PeriodSettings, TaLibIndicator


class BollingerSettings(PeriodSettings):
    """``period``: bars of the average; ``deviations``: how many standard deviations off it."""

    period: Period = 20
    deviations: Multiple = 2.0


class Bollinger(TaLibIndicator[BollingerSettings]):
    """Bollinger bands: a simple average of the close, and deviations above and below.

    middle +- ``deviations`` * stddev, divided by n (John Bollinger, Bollinger on Bollinger Bands,
    2001). First values at bar ``period``.
    """

    name = "bollinger"
    lines: ClassVar[tuple[str, ...]] = ("upper", "middle", "lower")
    main: ClassVar[str] = "middle"

    def calls(self) -> Sequence[Call]:
        """One function."""
        period, off = self.settings.period, self.settings.deviations
        return [
            Call(
                function="BBANDS",
                parameters={"timeperiod": period, "nbdevup": off, "nbdevdn": off},
                lookback=period - 1,
            )
        ]


class DonchianSettings(PeriodSettings):
    """``period``: how many bars are looked at, the newest included."""

    period: Period = 20


class Donchian(TaLibIndicator[DonchianSettings]):
    """Donchian channel: the highest high, the lowest low, and the middle of both.

    Named after Richard Donchian, who traded breakouts from it.
    The newest bar is included: a breakout is a close beyond the channel one bar ago,
    ``channel.upper[1]``. First values at bar ``period``.
    """

    name = "donchian"
    inputs: ClassVar[tuple[str, ...]] = ("high", "low")
    lines: ClassVar[tuple[str, ...]] = ("upper", "middle", "lower")

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        return [
            Call(
                function="DONCHIAN",
                parameters={"timeperiod": period},
                lookback=period - 1,
            )
        ]


class KeltnerSettings(Settings):
    """``period``: span of the average, ``atr_period`` of the range; ``multiple`` ranges off it."""

    period: Period = 20
    atr_period: Period = 10
    multiple: Multiple = 2.0


class Keltner(TaLibIndicator[KeltnerSettings]):
    """Keltner channel: an average of the typical price, and average true ranges off it.

    Chester Keltner's channel of 1960, with an exponential average and Wilder's range: ``middle``
    is that average of (high + low + close) / 3, and the bands stand ``multiple`` ranges off. First
    values at the later of bar ``period`` and bar ``atr_period`` + 1; both averages start with the
    mean of the bars up to there.
    """

    name = "keltner"
    inputs: ClassVar[tuple[str, ...]] = ("high", "low", "close")
    lines: ClassVar[tuple[str, ...]] = ("upper", "middle", "lower")
    main: ClassVar[str] = "middle"

    def calls(self) -> Sequence[Call]:
        """One function."""
        wanted = self.settings
        return [
            Call(
                function="KC",
                parameters={
                    "timeperiod": wanted.period,
                    "atrperiod": wanted.atr_period,
                    "nbdev": wanted.multiple,
                },
                lookback=max(wanted.period - 1, wanted.atr_period),
            )
        ]


class HeikinAshiSettings(Settings):
    """It has none."""


class HeikinAshi(TaLibIndicator[HeikinAshiSettings]):
    """Heikin-Ashi candles.

    close = (open + high + low + close) / 4; open = the middle of the last candle's body, at the
    first bar of the bar's own; high and low take both in. First values at bar 1.
    """

    name = "heikin_ashi"
    inputs: ClassVar[tuple[str, ...]] = ("open", "high", "low", "close")
    lines: ClassVar[tuple[str, ...]] = ("open", "high", "low", "close")
    main: ClassVar[str] = "close"

    def calls(self) -> Sequence[Call]:
        """One function."""
        return [Call(function="HA", lookback=0)]
