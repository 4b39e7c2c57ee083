"""First-party risk of mtquant: pre-trade checks and sizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtquant import hookimpl
from mtquant.contract import Check, Sizer


@hookimpl
def checks() -> Sequence[type[Check[Any]]]:
    """Bring the checks, in the order they are best asked in: prices, the order, the account."""
    from mtquant_risk.account import (  # noqa: PLC0415 - see mtquant.hooks
        Margin,
        Notional,
        PositionLimit,
    )
    from mtquant_risk.budgets import Budgets  # noqa: PLC0415 - see mtquant.hooks
    from mtquant_risk.hours import TradingHours  # noqa: PLC0415 - see mtquant.hooks
    from mtquant_risk.limits import (  # noqa: PLC0415 - see mtquant.hooks
        CurrencyExposure,
        Duplicate,
        OpenOrders,
        Regulatory,
        RepeatedOrder,
        Restricted,
        Spread,
        StopRequired,
        Throttle,
    )
    from mtquant_risk.order import (  # noqa: PLC0415 - see mtquant.hooks
        OrderSize,
        PriceCollar,
        StalePrice,
    )
    from mtquant_risk.portfolio import PortfolioRisk  # noqa: PLC0415 - see mtquant.hooks

    return (
        Restricted,
        TradingHours,
        StalePrice,
        Spread,
        PriceCollar,
        StopRequired,
        OrderSize,
        OpenOrders,
        Throttle,
        RepeatedOrder,
        Budgets,
        PositionLimit,
        Notional,
        CurrencyExposure,
        PortfolioRisk,
        Margin,
        Regulatory,
        Duplicate,
    )


@hookimpl
def sizers() -> Sequence[type[Sizer[Any]]]:
    """Bring the sizers."""
    from mtquant_risk.sizing import (  # noqa: PLC0415 - see mtquant.hooks
        FixedFraction,
        FixedQuantity,
        Kelly,
        VolatilityTarget,
    )

    return (FixedFraction, FixedQuantity, Kelly, VolatilityTarget)
