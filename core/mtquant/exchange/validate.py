"""What an order must be before it is looked at: on the grid, on the right side, of a known kind.

Nothing is ever clamped or rounded: an illegal value is refused, and the nearest legal ones named.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import Instrument, OrderRequest, OrderType, Quote, Side, TimeInForce, plain

TIMES_IN_FORCE = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)


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


def check_order(
    order: OrderRequest, instrument: Instrument, quote: Quote, *, any_quantity: bool = False
) -> None:
    """Raise Refused where the order's type, time in force, quantity or prices are wrong."""
    if order.order_type not in instrument.order_types:
        raise refuse(
            ErrorCode.UNSUPPORTED, f"order type {order.order_type} isn't offered", "order_type"
        )
    if order.time_in_force not in TIMES_IN_FORCE:
        raise refuse(
            ErrorCode.UNSUPPORTED,
            f"time in force {order.time_in_force} isn't offered",
            "time_in_force",
        )
    if order.expire_time is not None:
        raise refuse(ErrorCode.UNSUPPORTED, "expire_time isn't offered", "expire_time")
    if not any_quantity:
        check_quantity(order.quantity, instrument)
    prices = {
        "limit_price": order.limit_price,
        "stop_price": order.stop_price,
        "stop_loss": order.stop_loss,
        "take_profit": order.take_profit,
    }
    for name, price in prices.items():
        if price is not None and price % instrument.price_step:
            step = instrument.price_step
            below = (price / step).to_integral_value(ROUND_FLOOR) * step
            raise refuse(
                ErrorCode.INVALID_PRICE,
                f"{name} must be a multiple of {plain(step)}; the nearest are {plain(below)} and "
                f"{plain(below + step)}",
                name,
            )
    _check_entry(order, quote)
    _check_protection(order, quote)


def _check_entry(order: OrderRequest, quote: Quote) -> None:
    wants = {OrderType.LIMIT: "limit_price", OrderType.STOP: "stop_price"}.get(order.order_type)
    for name in ("limit_price", "stop_price"):
        if (getattr(order, name) is not None) != (name == wants):
            need = "needs" if name == wants else "doesn't take"
            raise refuse(
                ErrorCode.INVALID_ARGUMENT, f"a {order.order_type} order {need} {name}", name
            )
    if order.stop_price is None:
        return
    market = quote.ask if order.side is Side.BUY else quote.bid
    if order.side.sign * (order.stop_price - market) <= 0:
        where = "above the ask" if order.side is Side.BUY else "below the bid"
        raise refuse(
            ErrorCode.INVALID_PRICE,
            f"a {order.side} stop must stand {where} ({plain(market)})",
            "stop_price",
        )


def _check_protection(order: OrderRequest, quote: Quote) -> None:
    """A stop-loss stands on the losing side of the entry, a take-profit on the winning side.

    At an entry that fills at once the price that counts is the one at which the position would be
    closed.
    """
    sign = order.side.sign
    market, closing = (quote.ask, quote.bid) if sign > 0 else (quote.bid, quote.ask)
    entry = order.limit_price or order.stop_price or closing
    if order.limit_price is not None and sign * (order.limit_price - market) >= 0:
        entry = closing
    for name, price, wanted in (
        ("stop_loss", order.stop_loss, -1),
        ("take_profit", order.take_profit, 1),
    ):
        if price is not None and sign * wanted * (price - entry) <= 0:
            where = "below" if sign * wanted < 0 else "above"
            raise refuse(
                ErrorCode.INVALID_PRICE,
                f"the {name} of a {order.side} must stand {where} {plain(entry)}",
                name,
            )
