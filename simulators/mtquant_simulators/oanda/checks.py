"""Why an order is rejected: the first of OANDA's reasons that it meets, None where it is sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from mtquant.model import Instrument, Side
from mtquant_simulators.oanda.account import Account, Trade
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.rejects import LENGTHS, ON_FILL_PREFIX
from mtquant_simulators.oanda.text import symbol_of

_WAITING = {"GTC", "GTD", "GFD"}
_AT_ONCE = {"FOK", "IOC"}
_TRIGGER = {Side.BUY: "ASK", Side.SELL: "BID"}


def entry(account: Account, kind: str, fields: Json, replaced: str | None = None) -> str | None:
    """Return why an order that opens or reduces is rejected; ``replaced`` is about to go."""
    return next(_entry(account, kind, fields, replaced), None)


def _entry(account: Account, kind: str, fields: Json, replaced: str | None) -> Iterator[str]:
    if "instrument" not in fields:
        yield "INSTRUMENT_MISSING"
        return
    each = account.exchange.instruments.get(symbol_of(fields["instrument"]))
    if each is None or "/" in fields["instrument"]:
        yield "INSTRUMENT_UNKNOWN"
        return
    yield from _units(fields, each)
    if kind != "MARKET":
        yield from _price(fields, each)
    yield from _bound(fields, each)
    yield from _times(kind, fields, account.time)
    side = Side.BUY if Decimal(fields.get("units", 1)) > 0 else Side.SELL
    yield from _trigger(fields, side)
    yield from _client_ids(account, fields, replaced)
    for name in ON_FILL_PREFIX:
        if name in fields:
            yield from _on_fill(name, fields[name], each, account.time)


def dependent(
    account: Account, kind: str, fields: Json, trade: Trade | None, replaced: str | None = None
) -> str | None:
    """Return why an order that protects ``trade`` is rejected."""
    return next(_dependent(account, kind, fields, trade, replaced), None)


def _dependent(
    account: Account, kind: str, fields: Json, trade: Trade | None, replaced: str | None
) -> Iterator[str]:
    if "tradeID" not in fields and "clientTradeID" not in fields:
        yield "TRADE_ID_UNSPECIFIED"
    if trade is None or not trade.open:
        yield "TRADE_DOESNT_EXIST"
        return
    standing = trade.dependents.get(kind)
    if standing is not None and standing != replaced:
        yield f"{kind}_ORDER_ALREADY_EXISTS"
    each = account.exchange.instruments[trade.symbol]
    if kind == "TAKE_PROFIT":
        yield from _price(fields, each)
    elif kind == "STOP_LOSS":
        if fields.get("guaranteed"):
            yield "STOP_LOSS_ORDER_GUARANTEED_NOT_ALLOWED"
        both = ("price" in fields) + ("distance" in fields)
        if both != 1:
            which = "MISSING" if not both else "SPECIFIED"
            yield f"STOP_LOSS_ORDER_PRICE_AND_DISTANCE_BOTH_{which}"
        elif "price" in fields:
            yield from _price(fields, each)
        else:
            yield from _distance(fields, each, "PRICE_DISTANCE", bounded=False)
    else:
        yield from _distance(fields, each, "PRICE_DISTANCE", bounded=True)
    yield from _times(kind, fields, account.time)
    yield from _trigger(fields, trade.side.opposite)
    yield from _client_ids(account, fields, replaced)


def _units(fields: Json, each: Instrument) -> Iterator[str]:
    if "units" not in fields:
        yield "UNITS_MISSING"
        return
    size = abs(Decimal(fields["units"]))
    if not size:
        yield "UNITS_INVALID"
    elif size % each.quantity_step:
        yield "UNITS_PRECISION_EXCEEDED"
    elif size < each.quantity_min:
        yield "UNITS_MIMIMUM_NOT_MET"
    elif size > each.quantity_max:
        yield "UNITS_LIMIT_EXCEEDED"


def _price(fields: Json, each: Instrument) -> Iterator[str]:
    if "price" not in fields:
        yield "PRICE_MISSING"
        return
    price = Decimal(fields["price"])
    if price <= 0:
        yield "PRICE_INVALID"
    elif price % each.price_step:
        yield "PRICE_PRECISION_EXCEEDED"


def _bound(fields: Json, each: Instrument) -> Iterator[str]:
    if "priceBound" not in fields:
        return
    bound = Decimal(fields["priceBound"])
    if bound <= 0:
        yield "PRICE_BOUND_INVALID"
    elif bound % each.price_step:
        yield "PRICE_BOUND_PRECISION_EXCEEDED"


def _distance(fields: Json, each: Instrument, prefix: str, *, bounded: bool) -> Iterator[str]:
    if "distance" not in fields:
        yield f"{prefix}_MISSING"
        return
    distance, pip = Decimal(fields["distance"]), each.pip_size or each.price_step
    if distance <= 0:
        yield f"{prefix}_INVALID"
    elif distance % each.price_step:
        yield f"{prefix}_PRECISION_EXCEEDED"
    elif bounded and distance < 5 * pip:
        yield f"{prefix}_MINIMUM_NOT_MET"
    elif bounded and distance > 10_000 * pip:
        yield f"{prefix}_MAXIMUM_EXCEEDED"


def _times(kind: str, fields: Json, now: int) -> Iterator[str]:
    wanted = fields["timeInForce"]
    known = _AT_ONCE if kind == "MARKET" else _WAITING
    if kind in {"LIMIT", "STOP"}:
        known = _WAITING | _AT_ONCE
    if wanted not in known:
        yield "TIME_IN_FORCE_INVALID"
    elif wanted == "GTD":
        if "gtdTime" not in fields:
            yield "TIME_IN_FORCE_GTD_TIMESTAMP_MISSING"
        elif fields["gtdTime"] <= now:
            yield "TIME_IN_FORCE_GTD_TIMESTAMP_IN_PAST"


def _trigger(fields: Json, side: Side) -> Iterator[str]:
    """The exchange triggers at the price an order trades at, and at no other."""
    if fields.get("triggerCondition", "DEFAULT") not in {"DEFAULT", _TRIGGER[side]}:
        yield "TRIGGER_CONDITION_INVALID"


def _client_ids(account: Account, fields: Json, replaced: str | None) -> Iterator[str]:
    yield from _extensions(fields.get("clientExtensions", {}), "CLIENT_ORDER")
    yield from _extensions(fields.get("tradeClientExtensions", {}), "CLIENT_TRADE")
    wanted = fields.get("clientExtensions", {}).get("id")
    taken = {
        each.get("clientExtensions", {}).get("id")
        for each in account.pending()
        if each["id"] != replaced
    }
    if wanted is not None and wanted in taken:
        yield "CLIENT_ORDER_ID_ALREADY_EXISTS"
    trade = fields.get("tradeClientExtensions", {}).get("id")
    if trade is not None and trade in {e.extensions.get("id") for e in account.open_trades()}:
        yield "CLIENT_TRADE_ID_ALREADY_EXISTS"
    ids = [fields.get(name, {}).get("clientExtensions", {}).get("id") for name in ON_FILL_PREFIX]
    given = [each for each in (wanted, *ids) if each is not None]
    if len(set(given)) < len(given):
        yield "ORDERS_ON_FILL_DUPLICATE_CLIENT_ORDER_IDS"


def _extensions(given: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, most in LENGTHS.items():
        value = given.get(name)
        # An id is what an order or trade is asked for by, so it can't be nothing.
        if value is not None and (len(value) > most or (name == "id" and not value)):
            yield f"{prefix}_{name.upper()}_INVALID"


def extensions(given: Mapping[str, Any], prefix: str) -> str | None:
    """Return why client extensions are rejected; ``prefix`` is CLIENT_ORDER or CLIENT_TRADE."""
    return next(_extensions(given, prefix), None)


def _on_fill(name: str, fields: Json, each: Instrument, now: int) -> Iterator[str]:
    prefix = ON_FILL_PREFIX[name]
    if name == "takeProfitOnFill":
        yield from (f"{prefix}_{reason}" for reason in _price(fields, each))
    elif name == "trailingStopLossOnFill":
        yield from _distance(fields, each, f"{prefix}_PRICE_DISTANCE", bounded=True)
    else:
        if fields.get("guaranteed"):
            yield f"{prefix}_GUARANTEED_NOT_ALLOWED"
        both = ("price" in fields) + ("distance" in fields)
        if both != 1:
            yield f"{prefix}_PRICE_AND_DISTANCE_BOTH_{'MISSING' if not both else 'SPECIFIED'}"
        elif "price" in fields:
            yield from (f"{prefix}_{reason}" for reason in _price(fields, each))
        else:
            yield from _distance(fields, each, f"{prefix}_DISTANCE", bounded=False)
    yield from _extensions(fields.get("clientExtensions", {}), f"{prefix}_CLIENT_ORDER")
    for reason in _times("ON_FILL", fields, now):
        yield (
            f"{prefix}_{reason.removeprefix('TIME_IN_FORCE_')}"
            if "GTD" in reason
            else (f"{prefix}_{reason}")
        )
