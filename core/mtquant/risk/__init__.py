"""The one gate before every order, and the loss breaker behind it. Pure: no clock, no I/O."""

from mtquant.risk.breaker import BreakerRules, BreakerState, reset, step, trading_day
from mtquant.risk.decision import Decision, figure
from mtquant.risk.gate import Gate

__all__ = [
    "BreakerRules",
    "BreakerState",
    "Decision",
    "Gate",
    "figure",
    "reset",
    "step",
    "trading_day",
]
