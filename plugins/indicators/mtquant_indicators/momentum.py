"""How fast and how far prices move: oscillators and rates of change.

The formulas are those of TA-Lib's C sources: ta_RSI.c, ta_MACD.c, ta_STOCH.c, ta_CCI.c, ta_ROC.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import model_validator

from mtquant import Settings
from mtquant_indicators.base import Call, Period, PeriodSettings, TaLibIndicator

_RANGE = ("high", "low", "close")


class RsiSettings(PeriodSettings):
    """``period``: the length of Wilder's smoothing in bars; its weight is 1 / period."""

    period: Period = 14


class Rsi(TaLibIndicator[RsiSettings]):
    """Relative strength index of the close, 0 to 100 without a unit (Wilder, 1978).

    100 * gain / (gain + loss), both Wilder averages of the close's rises and falls that start
    with the simple average of the first ``period``; 0 where nothing has moved. Its first value is
    at bar ``period`` + 1.
    """

    name = "rsi"

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        return [Call(function="RSI", parameters={"timeperiod": period}, lookback=period)]


class MacdSettings(Settings):
    """``fast`` and ``slow``: spans of the two averages; ``signal``: of their difference; bars."""

    fast: Period = 12
    slow: Period = 26
    signal: Period = 9

    @model_validator(mode="after")
    def _fast_is_faster(self) -> MacdSettings:
        if self.fast >= self.slow:
            raise ValueError(f"fast ({self.fast}) must be less than slow ({self.slow})")
        return self


class Macd(TaLibIndicator[MacdSettings]):
    """Moving average convergence divergence, in the quote currency (Appel, 1979).

    ``macd`` is EMA(fast) - EMA(slow) of the close, both starting at bar ``slow``; ``signal`` its
    exponential average, ``histogram`` the difference of the two. First values at bar
    ``slow`` + ``signal`` - 1.
    """

    name = "macd"
    lines: ClassVar[tuple[str, ...]] = ("macd", "signal", "histogram")

    def calls(self) -> Sequence[Call]:
        """One function."""
        fast, slow, signal = self.settings.fast, self.settings.slow, self.settings.signal
        parameters = {"fastperiod": fast, "slowperiod": slow, "signalperiod": signal}
        return [
            Call(
                function="MACD",
                parameters=parameters,
                lookback=slow + signal - 2,
            )
        ]


class StochasticSettings(Settings):
    """``k``: bars of the range; ``smooth``: bars that %K, ``d``: bars that %D is averaged over."""

    k: Period = 14
    smooth: Period = 3
    d: Period = 3


class Stochastic(TaLibIndicator[StochasticSettings]):
    """Slow stochastic oscillator, 0 to 100 without a unit (Lane, 1984).

    ``k`` is where the close stands between the lowest low and the highest high of the last ``k``
    bars, averaged over ``smooth``; ``d`` is the simple average of ``k``. Where nothing has moved in
    ``k`` bars that is 0. First values at bar ``k`` + ``smooth`` + ``d`` - 2.
    """

    name = "stochastic"
    inputs: ClassVar[tuple[str, ...]] = _RANGE
    lines: ClassVar[tuple[str, ...]] = ("k", "d")

    def calls(self) -> Sequence[Call]:
        """One function."""
        wanted = self.settings
        parameters = {
            "fastk_period": wanted.k,
            "slowk_period": wanted.smooth,
            "slowd_period": wanted.d,
        }
        lookback = wanted.k + wanted.smooth + wanted.d - 3
        return [
            Call(
                function="STOCH",
                parameters=parameters,
                lookback=lookback,
            )
        ]


class CciSettings(PeriodSettings):
    """``period``: how many bars are looked at."""

    period: Period = 20


class Cci(TaLibIndicator[CciSettings]):
    """Commodity channel index, without a unit (Lambert, 1980).

    (typical - its mean) / (0.015 * its mean absolute deviation) over ``period`` bars, where
    typical = (high + low + close) / 3; 0 where nothing has moved. Its first value is at
    bar ``period``.
    """

    name = "cci"
    inputs: ClassVar[tuple[str, ...]] = _RANGE

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        parameters = {"timeperiod": period}
        return [Call(function="CCI", parameters=parameters, lookback=period - 1)]


class RocSettings(Settings):
    """``period``: over how many bars the change is taken."""

    period: Period = 10


class Roc(TaLibIndicator[RocSettings]):
    """Rate of change of the close in per cent: 100 * (close / close ``period`` bars ago - 1).

    0 where that close is 0. Its first value is at bar ``period`` + 1.
    """

    name = "roc"

    def calls(self) -> Sequence[Call]:
        """One function."""
        period = self.settings.period
        return [Call(function="ROC", parameters={"timeperiod": period}, lookback=period)]
