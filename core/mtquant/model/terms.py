"""The words with a closed list of values, after FIX."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """FIX Side (54)."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """1 for buy, -1 for sell."""
        return _SIGNS[self._value_]

    @property
    def opposite(self) -> Side:
        """The side that closes what this side opened."""
        return Side.SELL if self is Side.BUY else Side.BUY


_SIGNS = {"buy": 1, "sell": -1}


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


class PositionEffect(StrEnum):
    """FIX PositionEffect (77): whether an order may open a position, close one, or either."""

    AUTO = "auto"
    OPEN = "open"
    CLOSE = "close"


class QuantityUnit(StrEnum):
    """What a quantity counts: base units, or lots of the instrument's contract size."""

    BASE = "base"
    LOTS = "lots"


class MassCancel(StrEnum):
    """FIX MassCancelRequestType (530): the orders of one instrument, or all."""

    INSTRUMENT = "instrument"
    ALL = "all"


class Reason(StrEnum):
    """Why an order is in its state, or why a fill happened, where it isn't plainly the client's."""

    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING_STOP = "trailing_stop"
    MARGIN_CLOSE_OUT = "margin_close_out"
    REPLACED = "replaced"
    CANCELED_BY_CLIENT = "canceled_by_client"
    CANCELED_BY_VENUE = "canceled_by_venue"
    POSITION_CLOSED = "position_closed"
    NOT_FILLABLE = "not_fillable"
    MAX_SLIPPAGE = "max_slippage"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    TIME_EXPIRED = "time_expired"
    OTHER = "other"


class Feature(StrEnum):
    """What a broker may offer beside its tools, order types and times in force."""

    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    TRAILING_STOP = "trailing_stop"
    REDUCE_ONLY = "reduce_only"
    POSITION_EFFECT = "position_effect"
    MAX_SLIPPAGE = "max_slippage"
    PARTIAL_CLOSE = "partial_close"
    PARTIAL_FILLS = "partial_fills"


class Push(StrEnum):
    """How a server brings news: watch_quotes as a stream, long polls, cues to listeners."""

    STREAM = "stream"
    LONG_POLL = "long_poll"
    CUES = "cues"


class Stream(StrEnum):
    """One of a venue's flows of messages; each can die alone."""

    PRICES = "prices"
    ORDERS = "orders"
    TRANSACTIONS = "transactions"


class SwapUnit(StrEnum):
    """How an overnight swap is expressed: pips a night, or a share of the notional a year."""

    PIPS = "pips"
    ANNUAL_RATE = "annual_rate"


class CashFlowKind(StrEnum):
    """Why money came to an account, or left it, without an execution.

    Financing is what positions earn or pay overnight where it is booked at once, and not with the
    execution that closes them.
    """

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    FINANCING = "financing"
    DIVIDEND = "dividend"
    FEE = "fee"
    ADJUSTMENT = "adjustment"

    @property
    def transfer(self) -> bool:
        """True where it is neither profit nor loss: money was paid in or out."""
        return self in {CashFlowKind.DEPOSIT, CashFlowKind.WITHDRAWAL}


class PriceSide(StrEnum):
    """Which price a bar is made of."""

    BID = "bid"
    ASK = "ask"
    MID = "mid"
    LAST = "last"


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


class Mode(StrEnum):
    """Who sends a strategy's orders.

    ``auto``: the engine. ``semi``: the engine, once a person has approved what opens a position.
    ``manual``: a person; the strategy's signals are told only.
    """

    AUTO = "auto"
    SEMI = "semi"
    MANUAL = "manual"


class Timeframe(StrEnum):
    """The length of a bar."""

    S1 = "S1"
    S5 = "S5"
    S10 = "S10"
    S15 = "S15"
    S30 = "S30"
    M1 = "M1"
    M2 = "M2"
    M4 = "M4"
    M5 = "M5"
    M10 = "M10"
    M15 = "M15"
    M30 = "M30"
    H1 = "H1"
    H2 = "H2"
    H3 = "H3"
    H4 = "H4"
    H6 = "H6"
    H8 = "H8"
    H12 = "H12"
    D1 = "D1"

    @property
    def seconds(self) -> int:
        """The bar's length in seconds."""
        return _SECONDS[self]


_UNITS = {"S": 1, "M": 60, "H": 3600, "D": 86400}
_SECONDS = {each: _UNITS[each.value[0]] * int(each.value[1:]) for each in Timeframe}
