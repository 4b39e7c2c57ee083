"""First-party strategies of mtquant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtquant import Strategy, hookimpl


@hookimpl
def strategies() -> Sequence[type[Strategy[Any]]]:
    """Bring the built-in strategies."""
    # See mtquant.hooks: nothing is imported until it is asked for.
    from mtquant_strategies.bollinger_breakout import BollingerBreakout  # noqa: PLC0415
    from mtquant_strategies.buy_and_hold import BuyAndHold  # noqa: PLC0415
    from mtquant_strategies.crosses import EmaCross, SmaCross  # noqa: PLC0415
    from mtquant_strategies.donchian import Donchian  # noqa: PLC0415
    from mtquant_strategies.macd import Macd  # noqa: PLC0415
    from mtquant_strategies.pairs import Pairs  # noqa: PLC0415
    from mtquant_strategies.rsi_reversion import RsiReversion  # noqa: PLC0415

    return (
        SmaCross,
        EmaCross,
        RsiReversion,
        Macd,
        BollingerBreakout,
        Donchian,
        BuyAndHold,
        Pairs,
    )
