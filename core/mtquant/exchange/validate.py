"""What an order must be before it is looked at: on the grid, on the right side, of a known kind.

Nothing is ever clamped or rounded: an illegal value is refused, and the nearest legal ones named.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import Instrument, OrderRequest, OrderType, Quote, Side, TimeInForce, plain

TIMES_IN_FORCE = tuple(TimeInForce)
_PRICES = {
    OrderType.MARKET: (),
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.MARKET_IF_TOUCHED: ("stop_price",),
    OrderType.TRAILING_STOP: (),
}
"""The prices that an order of a type has, and must have."""
_SLIPPING = {OrderType.MARKET, OrderType.STOP, OrderType.MARKET_IF_TOUCHED, OrderType.TRAILING_STOP}
_AT_ONCE = {TimeInForce.IOC, TimeInForce.FOK}


def refuse(code: ErrorCode, message: str, field: str | None = None) -> Refused:
    """Return a refusal of an order that was not carried out."""
    return Refused(code, message, outcome=Outcome.REJECTED, retry=Retry.AFTER_FIX, field=field)


def check_quantity(quantity: Decimal, instrument: Instrument) -> None:
    """Raise Refused (invalid_quantity) where ``quantity`` isn't tradable, naming what is."""
    low, high, step = (
        instrument.quantity_min,
        instrument.quantity_max,
        instrument.quantity_step,
    )
    if not low <= quantity <= high:
        bound = low if quantity < low else high
        raise refuse(
            ErrorCode.INVALID_QUANTITY,
            f"quantity must lie between {plain(low)} and {plain(high)} base units; the nearest "
            f"is {plain(bound)}",
            "quantity",
        )
    if quantity % step:
        below = (quantity / step).to_integral_value(ROUND_FLOOR) * step
        raise refuse(
            ErrorCode.INVALID_QUANTITY,
            f"quantity must be a multiple of {plain(step)} base units; the nearest are "
            f"{plain(below)} and {plain(below + step)}",
            "quantity",
        )


def check_price(name: str, price: Decimal | None, instrument: Instrument) -> None:
    """Raise Refused (invalid_price) where ``price`` isn't on the grid, naming the nearest."""
    step = instrument.price_step
    if price is None or not price % step:
        return
    below = (price / step).to_integral_value(ROUND_FLOOR) * step
    nearest = f"{plain(below)} and {plain(below + step)}" if below else plain(step)
    raise refuse(
        ErrorCode.INVALID_PRICE,
        f"{name} must be a multiple of {plain(step)}; the nearest are {nearest}",
        name,
    )


def check_order(
    order: OrderRequest,
    instrument: Instrument,
    quote: Quote,
    now: int,
    *,
    any_quantity: bool = False,
) -> None:
    """Raise Refused where the order's type, time in force, quantity or prices are wrong."""
    if order.order_type not in instrument.order_types:
        raise refuse(
            ErrorCode.UNSUPPORTED, f"order type {order.order_type} isn't offered", "order_type"
        )
    _check_time(order, now)
    if not any_quantity:
        check_quantity(order.quantity, instrument)
    for name in (
        "limit_price",
        "stop_price",
        "stop_loss",
        "take_profit",
        "trailing_stop",
        "max_slippage",
    ):
        check_price(name, getattr(order, name), instrument)
    _check_shape(order)
    _check_entry(order, instrument, quote)
    check_protections(order, instrument, entry_of(order, quote), order.side)


def entry_of(order: OrderRequest, quote: Quote) -> Decimal:
    """Return the price that protections of ``order`` are measured from.

    At an entry that fills at once it is the one at which the position would be closed.
    """
    sign = order.side.sign
    market, closing = (quote.ask, quote.bid) if sign > 0 else (quote.bid, quote.ask)
    entry = order.limit_price or order.stop_price or closing
    limit = order.limit_price if order.order_type is OrderType.LIMIT else None
    at_once = limit is not None and sign * (limit - market) >= 0
    return closing if at_once else entry


def check_protections(wanted: object, instrument: Instrument, entry: Decimal, side: Side) -> None:
    """Raise Refused where what protects a position of ``side`` is on the wrong side of ``entry``.

    A stop-loss stands on the losing side, a take-profit on the winning side, and each, like a
    trailing stop, at least the instrument's minimum stop distance away.
    """
    least = instrument.minimum_stop_distance
    for name, way in (("stop_loss", -1), ("take_profit", 1)):
        price = getattr(wanted, name)
        if not isinstance(price, Decimal):
            continue
        beyond = side.sign * way * (price - entry)
        if beyond <= 0 or beyond < least:
            where = "below" if side.sign * way < 0 else "above"
            far = f", {plain(least)} away at least" if least else ""
            raise refuse(
                ErrorCode.INVALID_PRICE,
                f"the {name} of a {side} must stand {where} {plain(entry)}{far}",
                name,
            )
    distance = getattr(wanted, "trailing_stop", None)
    if isinstance(distance, Decimal) and distance < least:
        raise refuse(
            ErrorCode.INVALID_PRICE,
            f"trailing_stop must be {plain(least)} at least",
            "trailing_stop",
        )


def _check_time(order: OrderRequest, now: int) -> None:
    dated = order.time_in_force is TimeInForce.GTD
    if dated != (order.expire_time is not None):
        need = "needs" if dated else "doesn't take"
        raise refuse(
            ErrorCode.INVALID_ARGUMENT,
            f"time in force {order.time_in_force} {need} expire_time",
            "expire_time",
        )
    if order.expire_time is not None and order.expire_time <= now:
        raise refuse(ErrorCode.INVALID_ARGUMENT, "expire_time has passed", "expire_time")
    waits = order.order_type not in {OrderType.MARKET, OrderType.LIMIT}
    if waits and order.time_in_force in _AT_ONCE:
        raise refuse(
            ErrorCode.UNSUPPORTED,
            f"a {order.order_type} order waits for its price: {order.time_in_force} is for market"
            " and limit orders",
            "time_in_force",
        )


def _check_shape(order: OrderRequest) -> None:
    """A type has its own prices, all of them and no others."""
    for name in ("limit_price", "stop_price"):
        wanted = name in _PRICES[order.order_type]
        if (getattr(order, name) is not None) != wanted:
            need = "needs" if wanted else "doesn't take"
            raise refuse(
                ErrorCode.INVALID_ARGUMENT, f"a {order.order_type} order {need} {name}", name
            )
    if order.order_type is OrderType.TRAILING_STOP and order.trailing_stop is None:
        raise refuse(
            ErrorCode.INVALID_ARGUMENT,
            "a trailing_stop order needs trailing_stop, its distance",
            "trailing_stop",
        )
    if order.max_slippage is not None and order.order_type not in _SLIPPING:
        raise refuse(
            ErrorCode.INVALID_ARGUMENT,
            f"a {order.order_type} order can't slip: it doesn't take max_slippage",
            "max_slippage",
        )


def _check_entry(order: OrderRequest, instrument: Instrument, quote: Quote) -> None:
    """A stop waits beyond the market, a touched order before it; both the minimum away."""
    least = instrument.minimum_stop_distance
    market = quote.ask if order.side is Side.BUY else quote.bid
    if order.order_type is OrderType.LIMIT and order.limit_price is not None and least:
        waits = order.side.sign * (market - order.limit_price)
        if 0 < waits < least:
            raise refuse(
                ErrorCode.INVALID_PRICE,
                f"limit_price must stand {plain(least)} away from {plain(market)} at least",
                "limit_price",
            )
    if order.stop_price is None:
        return
    touched = order.order_type is OrderType.MARKET_IF_TOUCHED
    way = -order.side.sign if touched else order.side.sign
    beyond = way * (order.stop_price - market)
    if beyond <= 0 or beyond < least:
        where = "above" if way > 0 else "below"
        price = "the ask" if order.side is Side.BUY else "the bid"
        kind = "market_if_touched" if touched else "stop"
        far = f", {plain(least)} away at least" if least else ""
        raise refuse(
            ErrorCode.INVALID_PRICE,
            f"a {order.side} {kind} must stand {where} {price} ({plain(market)}){far}",
            "stop_price",
        )
