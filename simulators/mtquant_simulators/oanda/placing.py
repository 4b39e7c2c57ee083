"""Hands an accepted order to the exchange; what can't fill is cancelled, as OANDA does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mtquant.errors import ErrorCode, Refused
from mtquant.model import (
    CloseRequest,
    OrderRequest,
    OrderType,
    ProtectionRequest,
    Quote,
    Side,
    TimeInForce,
)
from mtquant_simulators.oanda.account import Account, Trade
from mtquant_simulators.oanda.desk import FillRule, PositionFill
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.rejects import ON_FILL_PREFIX
from mtquant_simulators.oanda.text import symbol_of

_TIMES = {
    "GTC": TimeInForce.GTC,
    "GTD": TimeInForce.GTD,
    "GFD": TimeInForce.DAY,
    "FOK": TimeInForce.FOK,
    "IOC": TimeInForce.IOC,
}
_REFUSED = {
    ErrorCode.INSUFFICIENT_MARGIN: "INSUFFICIENT_MARGIN",
    ErrorCode.MARKET_CLOSED: "MARKET_HALTED",
    ErrorCode.NO_PRICE: "MARKET_HALTED",
}
_ON_FILL_LOSS = {"stop_loss": "STOP_LOSS_ON_FILL_LOSS", "take_profit": "TAKE_PROFIT_ON_FILL_LOSS"}


def enter(account: Account, order: Json) -> None:
    """Place an order that opens or reduces."""
    symbol = symbol_of(order["instrument"])
    units = Decimal(order["units"])
    side, quote = (Side.BUY if units > 0 else Side.SELL), account.quote(symbol)
    kind, at_once = _kind(order, side, quote)
    if at_once and not account.tradeable(symbol):
        account.end(order["id"], "MARKET_HALTED", account.time)
        return
    taken = _taken(account, order) if at_once else None
    if taken is not None:
        account.end(order["id"], taken, account.time)
        return
    slippage = _slippage(order, side, quote, at_once=at_once)
    if slippage is not None and slippage < 0:
        account.end(order["id"], "BOUNDS_VIOLATION", account.time)
        return
    waits = order["timeInForce"] in {"FOK", "IOC"} and not at_once
    if waits and kind is not OrderType.LIMIT:
        account.end(order["id"], "TIME_IN_FORCE_EXPIRED", account.time)
        return
    stop = order.get("stopLossOnFill", {})
    account.exchange.rules[order["id"]] = FillRule(
        _position_fill(account, order), _decimal(stop, "distance")
    )
    price = _decimal(order, "price")
    request = OrderRequest(
        client_order_id=order["id"],
        instrument=symbol,
        side=side,
        order_type=kind,
        quantity=abs(units),
        limit_price=price if kind is OrderType.LIMIT else None,
        stop_price=price if kind in {OrderType.STOP, OrderType.MARKET_IF_TOUCHED} else None,
        time_in_force=_time_in_force(order, kind),
        expire_time=_expiry(order, kind),
        stop_loss=_decimal(stop, "price"),
        take_profit=_decimal(order.get("takeProfitOnFill", {}), "price"),
        trailing_stop=_decimal(order.get("trailingStopLossOnFill", {}), "distance"),
        max_slippage=slippage,
    )
    try:
        account.exchange.place(request, account.time)
    except Refused as refusal:
        account.end(order["id"], _reason(refusal), account.time)
    account.note()


def close(account: Account, order: Json, trade: Trade, quantity: Decimal) -> None:
    """Close ``quantity`` units of ``trade`` at the market, for ``order``."""
    if not account.tradeable(trade.symbol):
        account.end(order["id"], "MARKET_HALTED", account.time)
        return
    request = CloseRequest(
        client_order_id=order["id"], position_id=trade.position_id, quantity=quantity
    )
    try:
        account.exchange.close(request, account.time)
    except Refused as refusal:
        account.end(order["id"], _reason(refusal), account.time)
    account.note()


def protect(account: Account, order: Json, trade: Trade) -> None:
    """Let an order that protects ``trade`` stand; where its price has come already, it fills."""
    kind, side = order["type"], trade.side
    quote = account.quote(trade.symbol)
    closing = quote.bid if side is Side.BUY else quote.ask
    if kind == "TRAILING_STOP_LOSS":
        _stand(account, order, trade, trailing_stop=Decimal(order["distance"]))
        return
    price = Decimal(order["price"])
    way = side.sign if kind == "TAKE_PROFIT" else -side.sign
    if way * (price - closing) > 0:
        name = "take_profit" if kind == "TAKE_PROFIT" else "stop_loss"
        _stand(account, order, trade, **{name: price})
    elif kind == "TAKE_PROFIT" and side.sign * (closing - trade.price) < 0:
        account.end(order["id"], "LOSING_TAKE_PROFIT", account.time)
    else:
        close(account, order, trade, abs(trade.current))


def _stand(account: Account, order: Json, trade: Trade, **wanted: Any) -> None:  # noqa: ANN401
    account.await_dependent(order)
    change = ProtectionRequest(client_order_id=order["id"], position_id=trade.position_id, **wanted)
    account.exchange.protect(change, account.time)
    account.note()


def _taken(account: Account, order: Json) -> str | None:
    """Return why an order can't fill now whose protections' client ids are those of others."""
    ids = {each.get("clientExtensions", {}).get("id") for each in account.pending()}
    for name, prefix in ON_FILL_PREFIX.items():
        wanted = order.get(name, {}).get("clientExtensions", {}).get("id")
        if wanted is not None and wanted in ids:
            return f"{prefix}_CLIENT_ORDER_ID_ALREADY_EXISTS"
    return None


def _kind(order: Json, side: Side, quote: Quote) -> tuple[OrderType, bool]:
    """Return the exchange's type of an order, and whether it trades at once."""
    market = quote.ask if side is Side.BUY else quote.bid
    if order["type"] == "MARKET":
        return OrderType.MARKET, True
    beyond = side.sign * (Decimal(order["price"]) - market)
    if order["type"] == "LIMIT":
        return OrderType.LIMIT, beyond >= 0
    if order["type"] == "STOP":
        return (OrderType.STOP, False) if beyond > 0 else (OrderType.MARKET, True)
    if beyond == 0:
        return OrderType.MARKET, True
    # OANDA's touched order waits for its price from either side; the exchange's from the better.
    return (OrderType.STOP if beyond > 0 else OrderType.MARKET_IF_TOUCHED), False


def _slippage(order: Json, side: Side, quote: Quote, *, at_once: bool) -> Decimal | None:
    """Return how far an order may slip before its bound, negative where it has already."""
    bound = _decimal(order, "priceBound")
    if bound is None:
        return None
    market = quote.ask if side is Side.BUY else quote.bid
    return side.sign * (bound - (market if at_once else Decimal(order["price"])))


def _position_fill(account: Account, order: Json) -> PositionFill:
    wanted = order.get("positionFill", "DEFAULT")
    if wanted != "DEFAULT":
        return PositionFill(wanted)
    return PositionFill.OPEN_ONLY if account.own.hedging else PositionFill.REDUCE_FIRST


def _time_in_force(order: Json, kind: OrderType) -> TimeInForce:
    wanted = _TIMES[order["timeInForce"]]
    now = {TimeInForce.FOK, TimeInForce.IOC}
    return TimeInForce.FOK if kind is OrderType.MARKET and wanted not in now else wanted


def _expiry(order: Json, kind: OrderType) -> int | None:
    dated = _time_in_force(order, kind) is TimeInForce.GTD
    return int(order["gtdTime"]) if dated else None


def _decimal(fields: Json, name: str) -> Decimal | None:
    return Decimal(fields[name]) if name in fields else None


def _reason(refusal: Refused) -> str:
    """Return why OANDA would cancel what the exchange refuses."""
    if refusal.field in _ON_FILL_LOSS:
        return _ON_FILL_LOSS[refusal.field]
    return _REFUSED.get(refusal.code, "INTERNAL_SERVER_ERROR")
