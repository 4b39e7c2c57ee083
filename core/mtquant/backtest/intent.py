"""Why an order of a backtest was sent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Intent:
    """Why an order was sent: whose wish it was, in his words, and how far off its stop stands."""

    time: int
    instrument: str
    strategy_id: str
    reason: str
    stop_loss: Decimal | None = None
