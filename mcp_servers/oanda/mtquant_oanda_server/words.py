"""OANDA's words and ours: types, times in force, numbers, times, and the ids that orders carry."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from mtquant.clock import parse_time
from mtquant.errors import OutcomeUnknown
from mtquant.model import AssetClass, OrderType, Reason, Timeframe, TimeInForce

ORDER_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP: "STOP",
    OrderType.MARKET_IF_TOUCHED: "MARKET_IF_TOUCHED",
}
"""What can be placed. v20 has trailing stops at trades only, and no stop-limit orders at all."""
OUR_TYPES = {theirs: ours for ours, theirs in ORDER_TYPES.items()} | {
    "FIXED_PRICE": OrderType.MARKET,
    "TAKE_PROFIT": OrderType.LIMIT,
    "STOP_LOSS": OrderType.STOP,
    "GUARANTEED_STOP_LOSS": OrderType.STOP,
    "TRAILING_STOP_LOSS": OrderType.TRAILING_STOP,
}
DEPENDENT = frozenset({"TAKE_PROFIT", "STOP_LOSS", "GUARANTEED_STOP_LOSS", "TRAILING_STOP_LOSS"})
"""Orders that hang on a trade: they have its instrument, its size, and the other side."""
TIMES_IN_FORCE = {
    TimeInForce.GTC: "GTC",
    TimeInForce.DAY: "GFD",
    TimeInForce.GTD: "GTD",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
}
OUR_TIMES = {theirs: ours for ours, theirs in TIMES_IN_FORCE.items()}
FILL_REASONS = {
    "TAKE_PROFIT_ORDER": Reason.TAKE_PROFIT,
    "STOP_LOSS_ORDER": Reason.STOP_LOSS,
    "GUARANTEED_STOP_LOSS_ORDER": Reason.STOP_LOSS,
    "TRAILING_STOP_LOSS_ORDER": Reason.TRAILING_STOP,
    "MARKET_ORDER_MARGIN_CLOSEOUT": Reason.MARGIN_CLOSE_OUT,
    "MARKET_ORDER_DELAYED_TRADE_CLOSE": Reason.OTHER,
}
GRANULARITIES = {
    each: "D" if each is Timeframe.D1 else each.value
    for each in Timeframe
    if each is not Timeframe.S1
}
"""OANDA's name of each timeframe that it has; its weeks and months aren't in the contract."""
_CRYPTO = frozenset({"BTC", "ETH", "LTC", "BCH", "SOL", "XRP"})
_COMMODITIES = frozenset(
    {"BCO", "WTICO", "NATGAS", "CORN", "SOYBN", "WHEAT", "SUGAR", "COCOA", "COFFEE", "XCU"}
)
_TAGS = {
    "CURRENCY": AssetClass.FOREX,
    "METAL": AssetClass.METAL,
    "INDEX": AssetClass.INDEX,
    "COMMODITY": AssetClass.COMMODITY,
    "CRYPTOCURRENCY": AssetClass.CRYPTO,
    "EQUITY": AssetClass.EQUITY,
}


def number(value: object) -> Decimal:
    """Read a decimal of OANDA's; what is none makes the whole answer unreadable.

    Raises OutcomeUnknown: an order whose answer can't be read may well be live.
    """
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise OutcomeUnknown("OANDA's answer holds a number that is none") from None
    if not found.is_finite():
        raise OutcomeUnknown("OANDA's answer holds a number that is none")
    return found


def optional(value: object) -> Decimal | None:
    """Read a decimal that may be absent; nought counts as absent where a price is meant."""
    return None if value in (None, "") else number(value) or None


def moment(value: object) -> int:
    """Read a time of OANDA's; raises OutcomeUnknown as :func:`number`."""
    try:
        return parse_time(str(value))
    except ValueError:
        raise OutcomeUnknown("OANDA's answer holds a time that is none") from None


def asset_class(instrument: dict[str, Any]) -> AssetClass:
    """Return what kind of thing an instrument is: by OANDA's tags, else by its type and name."""
    for tag in instrument.get("tags") or ():
        if tag.get("type") == "ASSET_CLASS" and tag.get("name") in _TAGS:
            return _TAGS[tag["name"]]
    base = str(instrument["name"]).partition("_")[0]
    if instrument.get("type") == "CURRENCY":
        return AssetClass.FOREX
    if instrument.get("type") == "METAL":
        return AssetClass.METAL
    if base in _CRYPTO:
        return AssetClass.CRYPTO
    return AssetClass.COMMODITY if base in _COMMODITIES else AssetClass.INDEX


# --- client ids --------------------------------------------------------------------------------
#
# OANDA replaces an order by a new one, which needs an id of its own while the old one is pending.
# So the replacements of order X carry X~1, X~2 and so on: "~" is in no client_order_id of ours.

_MARK = "~"


def plain_id(client_id: str | None) -> str | None:
    """Return the client order id that ``client_id``, perhaps a replacement's, belongs to."""
    return client_id.partition(_MARK)[0] if client_id else None


def next_id(client_id: str) -> str:
    """Return the client id of what replaces the order that carries ``client_id``."""
    name, _, count = client_id.partition(_MARK)
    return f"{name}{_MARK}{int(count or 0) + 1}"
