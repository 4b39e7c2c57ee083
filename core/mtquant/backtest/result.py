"""What a backtest brings: equity, trades, orders and executions, costs, and what made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtquant.model import Fill, Instrument, OrderReport, Side, Signal, Timeframe
from mtquant.model.arrays import BarArrays, Floats

if TYPE_CHECKING:
    import pandas as pd

    from mtquant.backtest.statistics import Statistics

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What trading cost, in the account's currency: positive is paid, and swap may be earned.

    ``spread`` is half the spread of each execution at a market price, ``slippage`` what it filled
    worse than that price; both are within the prices of the executions already. ``commission`` and
    ``swap`` moved the balance by themselves.
    """

    spread: Decimal = ZERO
    commission: Decimal = ZERO
    slippage: Decimal = ZERO
    swap: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """All of them together."""
        return self.spread + self.commission + self.slippage + self.swap

    def __add__(self, other: Costs) -> Costs:
        """Return both together."""
        return Costs(
            spread=self.spread + other.spread,
            commission=self.commission + other.commission,
            slippage=self.slippage + other.slippage,
            swap=self.swap + other.swap,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One round trip: from flat to flat in one instrument of a netting account.

    ``quantity`` is the most that was held, in base units; ``entry_price`` the average price of what
    opened or added, ``exit_price`` of what closed, both in the quote currency. ``profit`` is net of
    all costs, in the account's currency. ``entry_reason`` is the strategy's sentence,
    ``exit_reason`` one of ``signal``, ``stop_loss``, ``take_profit``, ``trailing_stop``,
    ``margin_close_out``, ``other``, and ``open`` where the data ended first: then ``exit_time`` and
    ``exit_price`` are those of the last price, at which it is valued.

    ``adverse`` and ``favourable`` are how far the price went against and for the position while it
    was held (maximum adverse and favourable excursion: J. Sweeney, "Maximum Adverse Excursion",
    1997), as distances from ``entry_price`` in the quote currency, not negative, measured on the
    mid price of the bars' highs and lows. ``stop_distance`` is how far the first protective stop
    stood from the entry, None where there was none. ``bars`` is how many bars it was held.
    """

    instrument: str
    strategy_id: str
    side: Side
    quantity: Decimal
    entry_time: int
    exit_time: int
    entry_price: Decimal
    exit_price: Decimal
    profit: Decimal
    costs: Costs = field(default_factory=Costs)
    entry_reason: str = ""
    exit_reason: str = "signal"
    adverse: float = 0.0
    favourable: float = 0.0
    stop_distance: Decimal | None = None
    bars: int = 0

    @property
    def open(self) -> bool:
        """True where the data ended before the trade did."""
        return self.exit_reason == "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A signal or an order that came to nothing, or to less than was asked for.

    ``code`` is the gate's or the broker's (``reducing_only``, ``insufficient_margin``), ``who``
    says which of them: ``risk`` or ``broker``. ``reduced`` is true where a smaller order was sent
    after all.
    """

    time: int
    instrument: str
    strategy_id: str
    code: str
    message: str
    who: str = "risk"
    reduced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCard:
    """What makes a result again to the cent: the code, the data, the settings and the seed.

    ``data`` is the SHA-256 of each symbol's prices as they were read (times, then columns, as
    little-endian 64-bit numbers), in hexadecimal; ``config`` the whole configuration, JSON-ready.
    """

    version: str
    python: str
    seed: int
    symbols: tuple[str, ...]
    timeframe: Timeframe
    first: int
    last: int
    bars: int
    data: Mapping[str, str]
    config: Mapping[str, Any]


class History(Protocol):
    """What was traded, each oldest first; it may be made when it is first asked for.

    ``round_trips`` from flat to flat (those still open come last), ``orders`` and ``fills`` at the
    exchange, and what all of it cost.
    """

    @property
    def round_trips(self) -> tuple[Trade, ...]:
        """The trades."""

    @property
    def orders(self) -> tuple[OrderReport, ...]:
        """The orders."""

    @property
    def fills(self) -> tuple[Fill, ...]:
        """The executions."""

    @property
    def costs(self) -> Costs:
        """What they cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """A history that is there; see :class:`History`."""

    round_trips: tuple[Trade, ...] = ()
    orders: tuple[OrderReport, ...] = ()
    fills: tuple[Fill, ...] = ()
    costs: Costs = Costs()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """A finished backtest. Arrays have one entry for each step of the market, oldest first.

    ``time`` is int64 nanoseconds UTC: when the bars of the step had closed. ``equity`` (balance and
    open profit) and ``balance`` are float64 in the account's currency, as the exchange tells them
    at that time; ``exposure`` is the signed notional value held, all instruments together.
    ``start_balance`` is what the account began with, ``final_equity`` and ``final_balance`` what it
    ended with, to the last digit; ``prices`` are the bars traded, as mids.
    ``ambiguous_bars`` counts bars in which a stop and a limit were both within reach, so that the
    adverse one was taken; ``spread_in_data`` is true where the data had bid and ask.
    ``signals`` is what strategies wished, ``told`` what people were told: (time, level, message).
    """

    card: RunCard
    currency: str
    start_balance: Decimal
    time: NDArray[np.int64]
    equity: Floats
    balance: Floats
    exposure: Floats
    history: History
    rejections: tuple[Rejection, ...]
    prices: Mapping[str, BarArrays]
    instruments: Mapping[str, Instrument]
    signals: tuple[Signal, ...] = ()
    final_equity: Decimal = ZERO
    final_balance: Decimal = ZERO
    ambiguous_bars: int = 0
    spread_in_data: bool = False
    told: tuple[tuple[int, str, str], ...] = ()
    seconds: float = 0.0

    @property
    def round_trips(self) -> tuple[Trade, ...]:
        """The trades from flat to flat, by their end; those still open come last."""
        return self.history.round_trips

    @property
    def orders(self) -> tuple[OrderReport, ...]:
        """Every order at the exchange, oldest first."""
        return self.history.orders

    @property
    def fills(self) -> tuple[Fill, ...]:
        """Every execution, oldest first."""
        return self.history.fills

    @property
    def costs(self) -> Costs:
        """What trading cost."""
        return self.history.costs

    @property
    def stats(self) -> Statistics:
        """The figures that a trader asks for; worked out anew each time."""
        from mtquant.backtest.statistics import statistics  # noqa: PLC0415 - it needs a result

        return statistics(self)

    @property
    def trades(self) -> pd.DataFrame:
        """The round trips as a pandas DataFrame, one row each; needs the extra pandas.

        Times are UTC; ``quantity`` and prices are float64 here, and Decimal in ``round_trips``.
        """
        from mtquant.backtest.tables import trade_table  # noqa: PLC0415 - pandas is an extra

        return trade_table(self)

    @property
    def equity_curve(self) -> pd.DataFrame:
        """Equity, balance and exposure by time, as a pandas DataFrame; needs the extra pandas."""
        from mtquant.backtest.tables import equity_table  # noqa: PLC0415 - pandas is an extra

        return equity_table(self)

    def report(self, path: str | Path, *beside: Result) -> Path:
        """Write the report, one HTML file that needs nothing else, and return where it is.

        Results ``beside`` this one are compared with it: figures, settings and curves.
        """
        from mtquant.backtest.page import write_page  # noqa: PLC0415 - it needs a result

        target = Path(path)
        write_page(target, [self, *beside])
        return target

    def plot(self) -> Picture:
        """Return the report for a notebook, which shows it below the cell."""
        from mtquant.backtest.page import render  # noqa: PLC0415 - it needs a result

        return Picture(render([self]))


@dataclass(frozen=True, slots=True)
class Picture:
    """A report that a notebook shows: one HTML page in a frame of its own."""

    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        """Return what a notebook puts below the cell."""
        height = 900
        return (
            f'<iframe srcdoc="{escape(self.html)}" width="100%" height="{height}" '
            'style="border:0" sandbox="allow-scripts" title="backtest report"></iframe>'
        )
