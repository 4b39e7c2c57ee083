"""Instruments, prices and what is wished for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from pydantic import FiniteFloat

from mtquant.model.fields import Number, Positive, Said, Text, Time
from mtquant.model.terms import AssetClass, OrderType, SwapUnit, Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingSession:
    """One stretch of the week in which an instrument trades.

    ``opens`` and ``closes`` are a day and a time such as ``sun 17:00``, in the instrument's
    ``time_zone``.
    """

    opens: Text
    closes: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What can be traded, and the steps it trades in.

    ``instrument`` is spelled as its holder spells it: a server its own way, the framework
    canonically (``EUR/USD``). ``margin_rate`` is margin over notional (0.05 is 20:1);
    ``contract_size`` is the base units of one lot. ``minimum_stop_distance`` is how far a pending
    or protective price must stand from the market. Swaps are what a long or short position earns
    (negative: pays) each night, in ``swap_unit``. No ``sessions`` means round the clock.
    """

    instrument: Text
    asset_class: AssetClass
    base: Text
    quote: Text
    price_step: Positive
    pip_size: Positive
    quantity_min: Positive
    quantity_max: Positive
    quantity_step: Positive
    contract_size: Positive = Decimal(1)
    margin_rate: Positive
    minimum_stop_distance: Number = Decimal(0)
    tradable: bool = True
    order_types: tuple[OrderType, ...] = (OrderType.MARKET,)
    description: Said = ""
    swap_long: Number | None = None
    swap_short: Number | None = None
    swap_unit: SwapUnit = SwapUnit.PIPS
    sessions: tuple[TradingSession, ...] = ()
    time_zone: Text = "UTC"

    @property
    def tick_value(self) -> Decimal:
        """What one price step of one lot is worth, in the quote currency."""
        return self.price_step * self.contract_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The best bid and ask, in the quote currency, and when the broker last moved them.

    ``confirmed`` is when he last said that they still hold, such as by a heartbeat of his stream;
    None where he doesn't say. A quiet market is told from a dead line by it.
    """

    instrument: Text
    bid: Positive
    ask: Positive
    time: Time
    confirmed: Time | None = None

    @property
    def known_at(self) -> int:
        """The last time at which these are known to have been the prices."""
        return self.time if self.confirmed is None else max(self.time, self.confirmed)

    def confirms(self, known: Quote | None) -> bool:
        """Return True where this says nothing but that ``known`` still holds."""
        if known is None or self.confirmed is None:
            return False
        return (self.instrument, self.bid, self.ask, self.time) == (
            known.instrument,
            known.bid,
            known.ask,
            known.time,
        )

    @property
    def mid(self) -> Decimal:
        """Halfway between bid and ask."""
        return (self.bid + self.ask) / 2

    @property
    def spread(self) -> Decimal:
        """Ask less bid."""
        return self.ask - self.bid


class Bar(NamedTuple):
    """One closed bar of one instrument, labelled by its opening time."""

    instrument: str
    timeframe: Timeframe
    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A series of closed bars as columns of one length, oldest first."""

    instrument: Text
    timeframe: Timeframe
    time: tuple[Time, ...]
    open: tuple[FiniteFloat, ...]
    high: tuple[FiniteFloat, ...]
    low: tuple[FiniteFloat, ...]
    close: tuple[FiniteFloat, ...]
    volume: tuple[FiniteFloat, ...]

    def __len__(self) -> int:
        """Return the number of bars."""
        return len(self.time)

    def bar(self, index: int) -> Bar:
        """Return the bar at ``index``."""
        return Bar(
            instrument=self.instrument,
            timeframe=self.timeframe,
            time=self.time[index],
            open=self.open[index],
            high=self.high[index],
            low=self.low[index],
            close=self.close[index],
            volume=self.volume[index],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """A series of quotes as columns of one length, oldest first."""

    instrument: Text
    time: tuple[Time, ...]
    bid: tuple[FiniteFloat, ...]
    ask: tuple[FiniteFloat, ...]

    def __len__(self) -> int:
        """Return the number of ticks."""
        return len(self.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a strategy wants to hold: 1 long, -1 short, 0 nothing.

    ``stop_distance`` is how far from the entry the protective stop stands, in the quote currency;
    ``confidence`` lies in 0 to 1; ``reason`` is a sentence for people.
    """

    strategy_id: str
    instrument: str
    time: int
    direction: int
    reason: str
    stop_distance: Decimal | None = None
    take_profit_distance: Decimal | None = None
    confidence: float = 1.0
