"""The simulated exchange that paper trading, backtests and simulators share."""

from mtquant.exchange.settings import (
    ORDER_TYPES,
    ExchangeSettings,
    PaperSettings,
    Terms,
    instrument,
)
from mtquant.exchange.simulated import Change, Exchange, Snapshot
from mtquant.exchange.validate import TIMES_IN_FORCE

__all__ = [
    "ORDER_TYPES",
    "TIMES_IN_FORCE",
    "Change",
    "Exchange",
    "ExchangeSettings",
    "PaperSettings",
    "Snapshot",
    "Terms",
    "instrument",
]
