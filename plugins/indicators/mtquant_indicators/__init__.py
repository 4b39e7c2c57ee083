"""First-party indicators of mtquant, all on TA-Lib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtquant import Indicator, hookimpl


@hookimpl
def indicators() -> Sequence[type[Indicator[Any]]]:
    """Bring averages, oscillators, ranges, channels and what weighs by volume."""
    from mtquant_indicators import (  # noqa: PLC0415 - see mtquant.hooks
        averages,
        channels,
        momentum,
        ranges,
        volume,
    )

    return (
        averages.Sma,
        averages.Ema,
        averages.Wma,
        averages.Hull,
        momentum.Rsi,
        momentum.Macd,
        momentum.Stochastic,
        momentum.Cci,
        momentum.Roc,
        ranges.Atr,
        ranges.Adx,
        ranges.Stddev,
        ranges.Highest,
        ranges.Lowest,
        channels.Bollinger,
        channels.Donchian,
        channels.Keltner,
        channels.HeikinAshi,
        volume.Obv,
        volume.Vwap,
    )
