"""What a report shows. Every text is plain text: the page escapes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from mtquant.contract import BreakerLevel
from mtquant.model import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class FillMark:
    """An execution: ``quantity`` in base units at ``price``; ``opens`` is False for a close."""

    time: int
    side: Side
    price: Decimal
    quantity: Decimal
    account: str
    opens: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChart:
    """One instrument's prices, oldest first, and what was traded in it.

    ``times`` are nanoseconds since the epoch, one for each price.
    """

    symbol: str
    times: Sequence[int]
    prices: Sequence[float]
    fills: Sequence[FillMark] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment worth marking on every chart, or the time until ``until``: a server's death."""

    time: int
    label: str
    until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The gate's veto of an order, or that a limit made it smaller, with its reason code."""

    time: int
    account: str
    symbol: str
    vetoed: bool
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChange:
    """An account's loss breaker came to another level."""

    time: int
    account: str
    level: BreakerLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the summary; ``hint`` explains it."""

    label: str
    value: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of text: the first column names its row, the others are aligned as numbers."""

    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run. ``equity`` is in ``currency``, oldest first; ``times`` are nanoseconds, UTC."""

    title: str
    subtitle: str
    currency: str
    times: Sequence[int]
    equity: Sequence[float]
    charts: Sequence[PriceChart] = ()
    marks: Sequence[Mark] = ()
    rulings: Sequence[Ruling] = ()
    levels: Sequence[LevelChange] = ()
    summary: Sequence[Row] = ()
    accounts: Table = Table()
    notes: Sequence[str] = ()
