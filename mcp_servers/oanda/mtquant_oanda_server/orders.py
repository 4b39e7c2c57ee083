"""Our orders as the bodies of OANDA's requests. Nothing is rounded: what arrives here is legal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mtquant.clock import format_time
from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import (
    UNCHANGED,
    ModifyRequest,
    OrderRequest,
    OrderType,
    PositionEffect,
    ProtectionRequest,
    Quote,
    Side,
    TimeInForce,
    plain,
)
from mtquant_oanda_server.book import Record
from mtquant_oanda_server.settings import OandaSettings
from mtquant_oanda_server.words import ORDER_TYPES, OUR_TIMES, OUR_TYPES, TIMES_IN_FORCE, next_id

Json = dict[str, Any]
_COMMENT = "mtquant"


def extensions(client_id: str, tag: str | None, settings: OandaSettings) -> Json | None:
    """Return the client extensions that carry an id; None where they are switched off."""
    if not settings.client_extensions:
        return None
    return {"id": client_id, "tag": tag or settings.tag, "comment": _COMMENT}


def body_of(order: OrderRequest, quote: Quote, settings: OandaSettings) -> Json:
    """Return the body of an order; raises Refused where OANDA has no such time in force."""
    sign = order.side.sign
    body: Json = {
        "type": ORDER_TYPES[order.order_type],
        "instrument": order.instrument,
        "units": plain(sign * order.quantity),
        "timeInForce": _time_in_force(order),
        "positionFill": _position_fill(order),
    }
    if order.order_type is OrderType.LIMIT and order.limit_price is not None:
        body["price"] = plain(order.limit_price)
    elif order.stop_price is not None:
        body["price"] = plain(order.stop_price)
    if order.expire_time is not None:
        body["gtdTime"] = format_time(order.expire_time)
    if order.max_slippage is not None:
        market = quote.ask if order.side is Side.BUY else quote.bid
        body["priceBound"] = plain((order.stop_price or market) + sign * order.max_slippage)
    body |= _on_fill(order.stop_loss, order.take_profit, order.trailing_stop, settings)
    carried = extensions(order.client_order_id, order.strategy_id, settings)
    if carried:
        body |= {"clientExtensions": carried, "tradeClientExtensions": carried}
    return body


def _on_fill(
    stop_loss: Decimal | None,
    take_profit: Decimal | None,
    trailing_stop: Decimal | None,
    settings: OandaSettings,
) -> Json:
    body: Json = {}
    if stop_loss is not None:
        body["stopLossOnFill"] = _stop(stop_loss, settings)
    if take_profit is not None:
        body["takeProfitOnFill"] = {"price": plain(take_profit), "timeInForce": "GTC"}
    if trailing_stop is not None:
        body["trailingStopLossOnFill"] = {"distance": plain(trailing_stop), "timeInForce": "GTC"}
    return body


def _stop(price: Decimal, settings: OandaSettings) -> Json:
    guaranteed = {"guaranteed": True} if settings.guaranteed_stops else {}
    return {"price": plain(price), "timeInForce": "GTC", **guaranteed}


def _time_in_force(order: OrderRequest) -> str:
    if order.order_type is not OrderType.MARKET:
        return TIMES_IN_FORCE[order.time_in_force]
    if order.time_in_force is TimeInForce.GTD:
        raise Refused(
            ErrorCode.UNSUPPORTED,
            "a market order fills at once or not at all: it takes no expiry date",
            outcome=Outcome.NOT_SENT,
            retry=Retry.AFTER_FIX,
            field="time_in_force",
        )
    # OANDA's market orders never rest: gtc and day mean what fok means, all of it and now.
    return "IOC" if order.time_in_force is TimeInForce.IOC else "FOK"


def _position_fill(order: OrderRequest) -> str:
    if order.reduce_only or order.position_effect is PositionEffect.CLOSE:
        return "REDUCE_ONLY"
    return "OPEN_ONLY" if order.position_effect is PositionEffect.OPEN else "DEFAULT"


def changed(record: Record, change: ModifyRequest, client_order_id: str) -> OrderRequest:
    """Return the order that ``change`` makes of ``record``, which rests."""
    kind = OUR_TYPES[record.kind]
    limited = kind is OrderType.LIMIT
    time_in_force = change.time_in_force or OUR_TIMES.get(record.time_in_force, TimeInForce.GTC)
    units = record.units or Decimal(0)
    dated = time_in_force is TimeInForce.GTD
    expires = change.expire_time or (record.expires if dated else None)
    return OrderRequest(
        client_order_id=client_order_id,
        instrument=record.instrument,
        side=Side.BUY if units > 0 else Side.SELL,
        order_type=kind,
        quantity=change.quantity or abs(units),
        limit_price=change.limit_price or (record.price if limited else None),
        stop_price=change.stop_price or (None if limited else record.price),
        time_in_force=time_in_force,
        expire_time=expires,
        stop_loss=_kept(change.stop_loss, record.stop_loss),
        take_profit=_kept(change.take_profit, record.take_profit),
        trailing_stop=_kept(change.trailing_stop, record.trailing_stop),
        reduce_only=record.position_fill == "REDUCE_ONLY",
        position_effect=PositionEffect.OPEN
        if record.position_fill == "OPEN_ONLY"
        else PositionEffect.AUTO,
        max_slippage=abs(record.bound - record.price) or None
        if record.bound and record.price
        else None,
    )


def _kept(wanted: object, held: Decimal | None) -> Decimal | None:
    if wanted is UNCHANGED:
        return held
    return wanted if isinstance(wanted, Decimal) else None


def replacement(order: OrderRequest, record: Record, quote: Quote, settings: OandaSettings) -> Json:
    """Return the body of what replaces ``record``; it carries the next id of the chain."""
    body = body_of(order, quote, settings)
    if "clientExtensions" in body and record.client_id:
        body["clientExtensions"] = {**body["clientExtensions"], "id": next_id(record.client_id)}
    return body


def protections(wanted: ProtectionRequest, trade: Json, settings: OandaSettings) -> Json:
    """Return the body that changes what protects one trade; empty where nothing is to change."""
    body: Json = {}
    for name, ours, value in (
        ("stopLoss", wanted.stop_loss, _stop),
        ("takeProfit", wanted.take_profit, _price),
        ("trailingStopLoss", wanted.trailing_stop, _distance),
    ):
        if isinstance(ours, Decimal):
            body[name] = value(ours, settings)
        elif ours is None and trade.get(f"{name}Order"):
            body[name] = None
    return body


def _price(value: Decimal, _: OandaSettings) -> Json:
    return {"price": plain(value), "timeInForce": "GTC"}


def _distance(value: Decimal, _: OandaSettings) -> Json:
    return {"distance": plain(value), "timeInForce": "GTC"}
