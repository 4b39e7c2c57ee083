"""What the tools of the market answer."""

from __future__ import annotations

from dataclasses import dataclass

from mtquant.agents.outside import Outside
from mtquant.agents.tool import Told
from mtquant.model import Number, Time


@dataclass(frozen=True, kw_only=True)
class InstrumentRow:
    """One instrument; ``tradable`` at some account, ``may_open`` within the caller's budget."""

    symbol: str
    accounts: tuple[str, ...]
    quantity_step: Number
    quantity_min: Number
    quantity_max: Number
    price_step: Number
    tradable: bool
    may_open: bool
    description: Outside


@dataclass(frozen=True, kw_only=True)
class InstrumentsFound(Told):
    """Instruments; hidden counts those whose names could be more than names."""

    instruments: tuple[InstrumentRow, ...]
    found: int
    hidden: int


@dataclass(frozen=True, kw_only=True)
class QuoteRow:
    """One quote; ``doubtful`` says why it makes no sense, None where it does."""

    symbol: str
    account: str
    bid: Number
    ask: Number
    spread_steps: Number
    time: Time
    age_s: float
    doubtful: str | None


@dataclass(frozen=True, kw_only=True)
class QuotesTold(Told):
    """Quotes; do not trade on one that has something in doubtful."""

    quotes: tuple[QuoteRow, ...]
    problems: tuple[Outside, ...]


BarRow = tuple[str | int | float, ...]
"""Opening time, open, high, low, close, volume."""


@dataclass(frozen=True, kw_only=True)
class BarsTold(Told):
    """Figures over all bars, and the newest ones as rows of time, open, high, low, close, volume.

    ``true_range`` is the mean, ``deviation`` that of returns a bar, ``deviation_year`` the same
    over the square root of the time, by how many bars a year has.
    """

    symbol: str
    account: str
    bars: int
    since: Time
    open: float
    close: float
    change: float
    high: float
    high_time: Time
    low: float
    low_time: Time
    true_range: float | None
    deviation: float | None
    deviation_year: float | None
    missing: int
    rows: tuple[BarRow, ...]
