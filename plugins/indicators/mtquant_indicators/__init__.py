"""First-party indicators of mtquant: sma, ema, rsi and atr, all on TA-Lib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtquant import Indicator, hookimpl


@hookimpl
def indicators() -> Sequence[type[Indicator[Any]]]:
    """Bring sma, ema, rsi and atr."""
    from mtquant_indicators.functions import Atr, Ema, Rsi, Sma  # noqa: PLC0415 - see mtquant.hooks

    return (Sma, Ema, Rsi, Atr)
