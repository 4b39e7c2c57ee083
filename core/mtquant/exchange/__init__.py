"""The simulated exchange that paper trading, backtests and simulators share."""

from mtquant.exchange.record import Change, Snapshot
from mtquant.exchange.recorded import Recorded, Step
from mtquant.exchange.settings import (
    ORDER_TYPES,
    ExchangeSettings,
    Faults,
    PaperSettings,
    Terms,
    instrument,
)
from mtquant.exchange.simulated import Exchange
from mtquant.exchange.validate import TIMES_IN_FORCE

__all__ = [
    "ORDER_TYPES",
    "TIMES_IN_FORCE",
    "Change",
    "Exchange",
    "ExchangeSettings",
    "Faults",
    "PaperSettings",
    "Recorded",
    "Snapshot",
    "Step",
    "Terms",
    "instrument",
]
