"""The nouns: frozen values that every other module speaks of.

Quantities are in base units (100,000 is one standard foreign-exchange lot) and positive: the
side carries the direction. Prices are in the quote currency, money in the account's currency.
Both are ``Decimal`` inside and decimal strings on the wire. Times are integer nanoseconds since
1970-01-01 UTC inside and RFC 3339 on the wire; a bar is labelled by its opening time. Names
follow FIX 5.0.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, FiniteFloat, PlainSerializer, WithJsonSchema

from mtquant.clock import format_time, parse_time

_DECIMAL = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?", re.ASCII)


def _decimal(value: object) -> Decimal:
    """Read a decimal string or a finite number; NaN, infinities, exponents and booleans fail."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        finite = isinstance(value, int) or math.isfinite(value)
        text = format(Decimal(repr(value)), "f") if finite else ""
        if _DECIMAL.fullmatch(text):
            return Decimal(text)
    msg = "not a decimal number of at most 18 digits before and after the point"
    raise ValueError(msg)


def _time(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        return parse_time(value)
    msg = "not an RFC 3339 time"
    raise ValueError(msg)


def _array(value: object) -> object:
    """Read a JSON string as the array it holds: some MCP clients send arrays so."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def plain(number: Decimal) -> str:
    """Return ``number`` without exponent or trailing zeros: 1.50 and 1.5 read alike."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


_WIRE_DECIMAL = PlainSerializer(plain, return_type=str, when_used="json")
_IN = WithJsonSchema({"type": ["string", "number"]}, mode="validation")
_OUT = WithJsonSchema({"type": "string"}, mode="serialization")

Number = Annotated[Decimal, BeforeValidator(_decimal), _WIRE_DECIMAL, _IN, _OUT]
"""Any finite decimal: money, a profit, a rate."""
Positive = Annotated[Decimal, Field(gt=0), BeforeValidator(_decimal), _WIRE_DECIMAL, _IN, _OUT]
"""A decimal above zero: a price or a quantity."""
Time = Annotated[
    int,
    BeforeValidator(_time),
    PlainSerializer(format_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Nanoseconds since the epoch, UTC; RFC 3339 on the wire."""
ClientOrderId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
"""FIX ClOrdID (11): made by us, once for each order, and kept at the broker."""
Text = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A short line without control characters: a symbol or an id."""
Names = Annotated[tuple[Text, ...], Field(max_length=50), BeforeValidator(_array)]
"""Up to 50 symbols."""


class Side(StrEnum):
    """FIX Side (54)."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """1 for buy, -1 for sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The side that closes what this side opened."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """FIX OrdType (40)."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    MARKET_IF_TOUCHED = "market_if_touched"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    """FIX TimeInForce (59)."""

    GTC = "gtc"
    DAY = "day"
    GTD = "gtd"
    IOC = "ioc"
    FOK = "fok"


class OrderStatus(StrEnum):
    """FIX OrdStatus (39), and ``in_doubt``: sent, and its fate not known."""

    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    PENDING_CANCEL = "pending_cancel"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    IN_DOUBT = "in_doubt"

    @property
    def terminal(self) -> bool:
        """True once nothing more can happen to the order."""
        return self in _TERMINAL


_TERMINAL = {
    OrderStatus.FILLED,
    OrderStatus.CANCELED,
    OrderStatus.REJECTED,
    OrderStatus.EXPIRED,
}


class PositionMode(StrEnum):
    """Netting keeps one position an instrument, hedging one a ticket."""

    NETTING = "netting"
    HEDGING = "hedging"


class Environment(StrEnum):
    """Where an account trades, by the broker's own flag; unknown counts as live."""

    PAPER = "paper"
    PRACTICE = "practice"
    LIVE = "live"


class AssetClass(StrEnum):
    """What kind of thing an instrument is."""

    FOREX = "forex"
    METAL = "metal"
    EQUITY = "equity"
    INDEX = "index"
    COMMODITY = "commodity"
    CRYPTO = "crypto"


class Timeframe(StrEnum):
    """The length of a bar."""

    S1 = "S1"
    S5 = "S5"
    S15 = "S15"
    M1 = "M1"
    M5 = "M5"
    M15 = "M15"
    M30 = "M30"
    H1 = "H1"
    H4 = "H4"
    D1 = "D1"

    @property
    def seconds(self) -> int:
        """The bar's length in seconds."""
        return {"S": 1, "M": 60, "H": 3600, "D": 86400}[self.value[0]] * int(self.value[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What can be traded, and the steps it trades in.

    ``instrument`` is spelled as its holder spells it: a server its own way, the framework
    canonically (``EUR/USD``). ``margin_rate`` is margin over notional (0.05 is 20:1).
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
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The best bid and ask, in the quote currency, and when the broker last moved them."""

    instrument: Text
    bid: Positive
    ask: Positive
    time: Time

    @property
    def mid(self) -> Decimal:
        """Halfway between bid and ask."""
        return (self.bid + self.ask) / 2

    @property
    def spread(self) -> Decimal:
        """Ask less bid."""
        return self.ask - self.bid


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A new order (FIX NewOrderSingle).

    ``quantity`` is in base units; limit, stop and protective prices are in the quote currency.
    ``stop_loss`` and ``take_profit`` are attached to the position the order opens; when one
    fills the other is cancelled.
    """

    client_order_id: ClientOrderId
    instrument: Text
    side: Side
    order_type: OrderType
    quantity: Positive
    limit_price: Positive | None = None
    stop_price: Positive | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expire_time: Time | None = None
    stop_loss: Positive | None = None
    take_profit: Positive | None = None
    reduce_only: bool = False
    strategy_id: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseRequest:
    """Close a position, or ``quantity`` base units of it; it can never open one."""

    client_order_id: ClientOrderId
    instrument: Text | None = None
    position_id: Text | None = None
    quantity: Positive | None = None
    strategy_id: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution (FIX ExecutionReport with LastQty and LastPx).

    ``execution_id`` is unique at its account; ``commission`` and ``realized_profit`` are in the
    account's currency, realized profit before commission.
    """

    execution_id: Text
    order_id: Text
    client_order_id: Text | None
    instrument: Text
    side: Side
    quantity: Positive
    price: Positive
    time: Time
    commission: Number = Decimal(0)
    realized_profit: Number = Decimal(0)
    position_id: Text | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """The state of an order at its broker (FIX ExecutionReport).

    While it is live, quantity = filled + remaining. ``replayed`` is true where the server
    answered from its record because the same client order id had been sent before.
    """

    order_id: Text
    client_order_id: Text | None
    instrument: Text
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Positive
    filled_quantity: Number
    remaining_quantity: Number
    average_price: Positive | None
    status: OrderStatus
    submitted_at: Time
    updated_at: Time
    limit_price: Positive | None = None
    stop_price: Positive | None = None
    stop_loss: Positive | None = None
    take_profit: Positive | None = None
    position_id: Text | None = None
    reason: str = ""
    fills: tuple[Fill, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An open position: ``quantity`` base units on ``side`` at ``average_price``."""

    position_id: Text
    instrument: Text
    side: Side
    quantity: Positive
    average_price: Positive
    unrealized_profit: Number
    opened_at: Time
    stop_loss: Positive | None = None
    take_profit: Positive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account's money, in ``currency`` (ISO 4217): equity = balance + unrealized profit."""

    account_id: Text
    currency: Text
    environment: Environment
    position_mode: PositionMode
    balance: Number
    equity: Number
    margin_used: Number
    margin_available: Number
    time: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a broker's server is: can it reach the venue, and may it trade.

    ``time`` is the broker's own clock; ``price_age_s`` is the age of the last price;
    ``unknown_orders`` counts orders whose fate the server doesn't know yet; ``process_id`` is
    the server's, for whoever supervises it.
    """

    connected: bool
    trading_allowed: bool
    reason: str
    time: Time
    price_age_s: FiniteFloat | None
    unknown_orders: int
    version: str
    process_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker's server offers; the rest is refused with ``unsupported``.

    ``clock`` is ``stepped`` where the client moves time by advance_clock (a replay), else
    ``real``. ``settling_window_s`` is how long an order may stay invisible at the venue before a
    not-found proves that it isn't there.
    """

    contract_version: str
    broker: str
    environment: Environment
    tools: tuple[str, ...]
    order_types: tuple[OrderType, ...]
    time_in_force: tuple[TimeInForce, ...]
    position_mode: PositionMode
    clock: str
    settling_window_s: Annotated[FiniteFloat, Field(ge=0)]
    verified_against: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The accounts a server trades."""

    accounts: tuple[Account, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """A page of instruments; ``next_cursor`` is None on the last."""

    instruments: tuple[Instrument, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """Quotes of the instruments asked for that have a price."""

    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """The open positions."""

    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """A page of orders, oldest first; ``next_cursor`` is None on the last."""

    orders: tuple[OrderReport, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """A page of executions, oldest first; pass ``next_cursor`` as ``since`` for what follows."""

    fills: tuple[Fill, ...]
    next_cursor: str
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed after a cursor: orders in their newest state, and every new execution."""

    cursor: str
    orders: tuple[OrderReport, ...]
    fills: tuple[Fill, ...]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """A stepped venue after its clock moved: its time, change cursor, money and prices."""

    time: Time
    cursor: str
    account: Account
    quotes: tuple[Quote, ...]


def to_json(value: Any) -> str:  # noqa: ANN401 - any JSON-ready value
    """Return ``value`` as canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
