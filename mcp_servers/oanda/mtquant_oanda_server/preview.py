"""What an order would do, computed of OANDA's own figures: v20 has no such call of its own."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import (
    Instrument,
    OrderPreview,
    OrderRequest,
    Position,
    PositionMode,
    Quote,
    Side,
    plain,
)
from mtquant_oanda_server.words import number, optional

_PLACES = Decimal("0.0001")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Costs:
    """What a preview is computed of, in the account's currency.

    ``rate`` turns the quote currency into it, ``available`` is the margin that is free, ``held``
    the position in the instrument, and ``commission`` OANDA's own record of it.
    """

    rate: Decimal
    available: Decimal
    held: Position | None
    commission: Json


def rate_of(pricing: Json, instrument: Instrument, currency: str) -> Decimal:
    """Return what one unit of the quote currency is worth in ``currency``, the account's.

    Raises Refused (no_price) where OANDA doesn't tell.
    """
    if instrument.quote == currency:
        return Decimal(1)
    for each in pricing.get("homeConversions") or ():
        if each.get("currency") == instrument.quote:
            return number(each["positionValue"])
    for each in pricing.get("prices") or ():
        factors = each.get("quoteHomeConversionFactors")
        if each.get("instrument") == instrument.instrument and factors:
            return number(factors["negativeUnits"])
    raise Refused(
        ErrorCode.NO_PRICE,
        f"OANDA tells no rate from {instrument.quote} to {currency} now",
        outcome=Outcome.NOT_SENT,
        retry=Retry.SAFE,
    )


def preview(
    order: OrderRequest, instrument: Instrument, quote: Quote, costs: Costs, mode: PositionMode
) -> OrderPreview:
    """Return what ``order`` would do; raises Refused (insufficient_margin) where money lacks."""
    market = quote.ask if order.side is Side.BUY else quote.bid
    price = order.limit_price or order.stop_price or market
    worth = price * costs.rate
    opened = _opened(order, costs.held, mode)
    margin = opened * worth * instrument.margin_rate
    if margin > costs.available:
        raise Refused(
            ErrorCode.INSUFFICIENT_MARGIN,
            f"it needs a margin of {plain(_money(margin))}, and {plain(costs.available)} is free",
            outcome=Outcome.NOT_SENT,
            retry=Retry.AFTER_FIX,
            field="quantity",
        )
    commission = _commission(order.quantity, costs.commission)
    loss = None
    if order.stop_loss is not None:
        loss = _money(abs(price - order.stop_loss) * order.quantity * costs.rate + commission)
    return OrderPreview(
        price=price,
        quantity=order.quantity,
        notional=_money(order.quantity * worth),
        margin_required=_money(margin),
        margin_available_after=_money(costs.available - margin),
        commission=_money(commission),
        spread_cost=_money(order.quantity * quote.spread / 2 * costs.rate),
        loss_at_stop=loss,
    )


def _opened(order: OrderRequest, held: Position | None, mode: PositionMode) -> Decimal:
    """Return how many units of ``order`` open something, and so need margin."""
    if order.reduce_only:
        return Decimal(0)
    if mode is PositionMode.HEDGING or held is None or held.side is order.side:
        return order.quantity
    return max(Decimal(0), order.quantity - 2 * held.quantity)


def _commission(quantity: Decimal, told: Json) -> Decimal:
    units = optional(told.get("unitsTraded"))
    if units is None:
        return Decimal(0)
    least = number(told.get("minimumCommission") or 0)
    return max(number(told.get("commission") or 0) * quantity / units, least)


def _money(amount: Decimal) -> Decimal:
    return amount.quantize(_PLACES)
