"""What an HTTP request asks OANDA for, in the checks' words."""

from __future__ import annotations

import json
from decimal import Decimal

from tests.simulation.line import Call

from mtquant.model import CloseRequest, OrderRequest, OrderType, Side


def wish_of(call: Call) -> OrderRequest | CloseRequest | None:
    """Return the order or close that a request asks for, None where it asks for neither.

    Of an order, the checks look at its client order id and its instrument.
    """
    match call.request.method, *call.request.url.path.split("/")[4:]:
        case "POST", "orders":
            order = json.loads(call.body)["order"]
            return OrderRequest(
                client_order_id=order.get("clientExtensions", {}).get("id", ""),
                instrument=order["instrument"],
                side=Side.BUY if Decimal(order["units"]) > 0 else Side.SELL,
                order_type=OrderType.MARKET,
                quantity=abs(Decimal(order["units"])),
            )
        case "PUT", "positions", instrument, "close":
            body = json.loads(call.body)
            side = "long" if body["longUnits"] != "NONE" else "short"
            name = body.get(f"{side}ClientExtensions", {}).get("id", "")
            return CloseRequest(client_order_id=name, instrument=instrument)
    return None
