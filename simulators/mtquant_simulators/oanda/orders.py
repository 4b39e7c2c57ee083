"""The endpoints of orders."""

from __future__ import annotations

from decimal import Decimal

from mtquant_simulators.oanda import checks, forms, placing, show, text
from mtquant_simulators.oanda.account import Account, Trade
from mtquant_simulators.oanda.answers import MISSING, Answer, Problem, invalid, missing
from mtquant_simulators.oanda.asked import Asked
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.rejects import MESSAGES, status_of
from mtquant_simulators.oanda.text import symbol_of

_STATES = frozenset({"PENDING", "FILLED", "TRIGGERED", "CANCELLED", "ALL"})
_DEFAULT_COUNT, _MOST = 50, 500
_HIGHEST = 10**18


def listed(asked: Asked) -> Answer:
    """GET: orders by state, instrument and ids, the newest first."""
    account = asked.account
    state = asked.one_of("state", "PENDING", _STATES)
    ids = asked.listed("ids")
    before = asked.number("beforeID", _HIGHEST, 1, _HIGHEST)
    count = asked.number("count", _DEFAULT_COUNT, 1, _MOST)
    symbol = asked.symbol(asked.query["instrument"]) if "instrument" in asked.query else None
    found = [
        each
        for each in reversed(account.orders.values())
        if (state == "ALL" or each["state"] == state)
        and (ids is None or each["id"] in ids)
        and int(each["id"]) < before
        and symbol in {None, _symbol(account, each)}
    ]
    return _shown(account, found[:count])


def pending(asked: Asked) -> Answer:
    """GET: every pending order, the newest first."""
    return _shown(asked.account, asked.account.pending())


def _shown(account: Account, found: list[Json]) -> Answer:
    orders = [show.order(account, each) for each in found]
    return Answer({"orders": orders, "lastTransactionID": account.ledger.last})


def _symbol(account: Account, order: Json) -> str:
    if "instrument" in order:
        return symbol_of(order["instrument"])
    return account.trades[order["tradeID"]].symbol


def one(asked: Asked) -> Answer:
    """GET: one order, by its id or its client id."""
    found = find(asked.account, asked.specifier("order"))
    if found is None:
        raise missing("order")
    shown = show.order(asked.account, found)
    return Answer({"order": shown, "lastTransactionID": asked.account.ledger.last})


def find(account: Account, specifier: str) -> Json | None:
    """Return the order of an id or ``@`` client id: the pending one, or else the newest."""
    if not specifier.startswith("@"):
        return account.orders.get(specifier)
    wanted = specifier[1:]
    known = [
        each
        for each in reversed(account.orders.values())
        if each.get("clientExtensions", {}).get("id") == wanted
    ]
    waiting = [each for each in known if each["state"] == "PENDING"]
    return next(iter(waiting or known), None)


def create(asked: Asked) -> Answer:
    """POST: a new order. 201 says that it was taken, not that it has filled."""
    kind, fields = forms.order(asked.body)
    account = asked.account
    with account.ledger.batch(asked.request_id) as ids:
        reason, trade = _problem(account, kind, fields, None)
        if reason is not None:
            return _rejected(account, kind, fields, reason)
        order = _open(account, kind, fields, trade, "CLIENT_ORDER")
    return _created(asked, order, ids)


def replace(asked: Asked) -> Answer:
    """PUT: cancel a pending order and create another in its place, or neither."""
    kind, fields = forms.order(asked.body)
    if kind == "MARKET":
        raise invalid("order.type")  # a market order never waits, so it can't stand in for one
    account, old = asked.account, find(asked.account, asked.specifier("order"))
    if old is None or old["state"] != "PENDING":
        return _no_order(asked)
    with account.ledger.batch(asked.request_id) as ids:
        reason, trade = _problem(account, kind, fields, old["id"])
        if old["type"] != kind:
            reason = "REPLACING_ORDER_INVALID"
        elif kind in forms.DEPENDENTS and trade is not None and trade.id != old["tradeID"]:
            reason = "REPLACING_TRADE_ID_INVALID"
        if reason is not None:
            fields["intendedReplacesOrderID"] = old["id"]
            return _rejected(account, kind, fields, reason)
        cancelled = swap(account, old, kind, fields, trade)
    order = account.orders[cancelled["replacedByOrderID"]]
    return _created(asked, order, ids, {"orderCancelTransaction": cancelled})


def swap(account: Account, old: Json, kind: str, fields: Json, trade: Trade | None) -> Json:
    """Replace the pending order ``old``; return the transaction that cancels it."""
    following = str(int(account.ledger.last) + 2)
    cancelled = account.cancel(
        old["id"], "CLIENT_REQUEST_REPLACED", account.time, replacedByOrderID=following
    )
    more = {"replacesOrderID": old["id"], "cancellingTransactionID": cancelled["id"]}
    _open(account, kind, {**fields, **more}, trade, "REPLACEMENT")
    return cancelled


def _problem(
    account: Account, kind: str, fields: Json, replaced: str | None
) -> tuple[str | None, Trade | None]:
    """Return why an order is rejected, and the trade that it protects."""
    if kind in forms.ENTRIES:
        return checks.entry(account, kind, fields, replaced), None
    trade = trade_of(account, fields.get("tradeID") or f"@{fields.get('clientTradeID', '')}")
    return checks.dependent(account, kind, fields, trade, replaced), trade


def trade_of(account: Account, specifier: str) -> Trade | None:
    """Return the trade of an id or ``@`` client id: the open one, or else the newest."""
    if not specifier.startswith("@"):
        return account.trades.get(specifier)
    known = [
        each
        for each in reversed(account.trades.values())
        if each.extensions.get("id") == specifier[1:]
    ]
    return next(iter([each for each in known if each.open] or known), None)


def _open(account: Account, kind: str, fields: Json, trade: Trade | None, reason: str) -> Json:
    """Write the order, its prices on the grid, and let it act."""
    if trade is None:
        each = account.exchange.instruments[symbol_of(fields["instrument"])]
    else:
        each = account.exchange.instruments[trade.symbol]
        fields = {**fields, "tradeID": trade.id}
        if kind == "STOP_LOSS" and "distance" in fields:
            stop = trade.price - trade.side.sign * Decimal(fields["distance"])
            fields["price"] = text.price(stop, each)
    written = {
        key: text.price(Decimal(value), each) if key in {"price", "priceBound"} else value
        for key, value in fields.items()
    }
    order = account.new_order(kind, reason, written)
    if trade is None:
        placing.enter(account, order)
    else:
        placing.protect(account, order, trade)
    return order


def open_dependent(account: Account, kind: str, fields: Json, trade: Trade) -> Json:
    """Write an order that protects ``trade``, for a client, and let it act."""
    return _open(account, kind, fields, trade, "CLIENT_ORDER")


def _created(asked: Asked, order: Json, ids: list[str], more: Json | None = None) -> Answer:
    account = asked.account
    entries = [account.ledger.entries[int(each) - 1] for each in ids]
    body: Json = {"orderCreateTransaction": account.ledger.entries[int(order["id"]) - 1]}
    body.update(more or {})
    for each in entries:
        if each.get("orderID") == order["id"]:
            if each["type"] == "ORDER_FILL":
                body["orderFillTransaction"] = each
            elif each["type"] == "ORDER_CANCEL":
                name = "replacingOrderCancelTransaction" if more else "orderCancelTransaction"
                body[name] = each
    body["relatedTransactionIDs"] = ids
    body["lastTransactionID"] = account.ledger.last
    where = f"{asked.url}/v3/accounts/{account.id}/orders/{order['id']}"
    return Answer(body, 201, {"Location": where})


def _rejected(account: Account, kind: str, fields: Json, reason: str) -> Answer:
    entry = account.ledger.add(
        f"{kind}_ORDER_REJECT", account.time, reason="CLIENT_ORDER", **fields, rejectReason=reason
    )
    if "intendedReplacesOrderID" in fields:
        entry["reason"] = "REPLACEMENT"
    return rejected({"orderRejectTransaction": entry}, reason, account)


def rejected(body: Json, reason: str, account: Account) -> Answer:
    """Return the answer of a rejection, whose transactions are in ``body``."""
    ids = [each["id"] for each in body.values()]
    return Answer(
        {
            **body,
            "relatedTransactionIDs": ids,
            "lastTransactionID": account.ledger.last,
            "errorCode": reason,
            "errorMessage": MESSAGES[reason],
        },
        status_of(reason),
    )


def cancel(asked: Asked) -> Answer:
    """PUT: cancel a pending order."""
    account, order = asked.account, find(asked.account, asked.specifier("order"))
    if order is None or order["state"] != "PENDING":
        return _no_order(asked)
    with account.ledger.batch(asked.request_id):
        entry = account.cancel(order["id"], "CLIENT_REQUEST", account.time)
        account.note()
    return Answer(
        {
            "orderCancelTransaction": entry,
            "relatedTransactionIDs": [entry["id"]],
            "lastTransactionID": account.ledger.last,
        }
    )


def _named(specifier: str) -> Json:
    """Return how a transaction names the order of a specifier that names none."""
    if specifier.startswith("@"):
        return {"clientOrderID": specifier[1:]}
    return {"orderID": specifier}


def _no_order(asked: Asked) -> Answer:
    account, reason = asked.account, "ORDER_DOESNT_EXIST"
    with account.ledger.batch(asked.request_id):
        entry = account.ledger.add(
            "ORDER_CANCEL_REJECT",
            account.time,
            **_named(asked.specifier("order")),
            rejectReason=reason,
        )
    return rejected({"orderCancelRejectTransaction": entry}, reason, account)


def extensions(asked: Asked) -> Answer:
    """PUT: set the client extensions of an order, and of the trade that it will open."""
    account, body = asked.account, asked.body
    given = forms.read(body, ("clientExtensions", "tradeClientExtensions"), "body")
    order = find(account, asked.specifier("order"))
    if not body:
        raise Problem(400, MISSING)
    changed = {f"{key}Modify": value for key, value in given.items()}
    name = "orderClientExtensionsModify"
    with account.ledger.batch(asked.request_id):
        reason = _extensions_problem(account, given, order)
        if reason is not None or order is None:
            reason = reason or "ORDER_DOESNT_EXIST"
            entry = account.ledger.add(
                "ORDER_CLIENT_EXTENSIONS_MODIFY_REJECT",
                account.time,
                **_named(asked.specifier("order")),
                **changed,
                rejectReason=reason,
            )
            return rejected({f"{name}RejectTransaction": entry}, reason, account)
        entry = account.ledger.add(
            "ORDER_CLIENT_EXTENSIONS_MODIFY",
            account.time,
            orderID=order["id"],
            clientOrderID=order.get("clientExtensions", {}).get("id"),
            **changed,
        )
        for key, value in given.items():
            order[key] = {**order.get(key, {}), **value}
    return Answer(
        {
            f"{name}Transaction": entry,
            "relatedTransactionIDs": [entry["id"]],
            "lastTransactionID": account.ledger.last,
        }
    )


def _extensions_problem(account: Account, given: Json, order: Json | None) -> str | None:
    if order is None or order["state"] != "PENDING":
        return "ORDER_DOESNT_EXIST"
    if not any(given.values()):
        return "CLIENT_EXTENSIONS_DATA_MISSING"
    wanted = given.get("clientExtensions", {}).get("id")
    for each in account.pending():
        if each is not order and wanted and each.get("clientExtensions", {}).get("id") == wanted:
            return "CLIENT_ORDER_ID_ALREADY_EXISTS"
    return checks.extensions(
        given.get("clientExtensions", {}), "CLIENT_ORDER"
    ) or checks.extensions(given.get("tradeClientExtensions", {}), "CLIENT_TRADE")
