"""First-party strategies of mtquant: sma_cross and rsi_reversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtquant import Strategy, hookimpl


@hookimpl
def strategies() -> Sequence[type[Strategy[Any]]]:
    """Bring sma_cross and rsi_reversion."""
    from mtquant_strategies.rsi_reversion import RsiReversion  # noqa: PLC0415 - see mtquant.hooks
    from mtquant_strategies.sma_cross import SmaCross  # noqa: PLC0415 - see mtquant.hooks

    return (SmaCross, RsiReversion)
