"""The endpoints of trades."""

from __future__ import annotations

from decimal import Decimal

from mtquant_simulators.oanda import checks, forms, orders, placing, show, text
from mtquant_simulators.oanda.account import Account, Trade
from mtquant_simulators.oanda.answers import MISSING, Answer, Problem, invalid, missing
from mtquant_simulators.oanda.asked import Asked
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import read_decimal

_STATES = frozenset({"OPEN", "CLOSED", "CLOSE_WHEN_TRADEABLE", "ALL"})
BAD = 400
_DEFAULT_COUNT, _MOST = 50, 500
_HIGHEST = 10**18
_DEPENDENTS = {
    "takeProfit": ("TAKE_PROFIT", "takeProfitOnFill"),
    "stopLoss": ("STOP_LOSS", "stopLossOnFill"),
    "trailingStopLoss": ("TRAILING_STOP_LOSS", "trailingStopLossOnFill"),
}


def listed(asked: Asked) -> Answer:
    """GET: trades by state, instrument and ids, the newest first."""
    account = asked.account
    state = asked.one_of("state", "OPEN", _STATES)
    ids = asked.listed("ids")
    before = asked.number("beforeID", _HIGHEST, 1, _HIGHEST)
    count = asked.number("count", _DEFAULT_COUNT, 1, _MOST)
    symbol = asked.symbol(asked.query["instrument"]) if "instrument" in asked.query else None
    found = [
        each
        for each in reversed(account.trades.values())
        if state in {"ALL", "OPEN" if each.open else "CLOSED"}
        and (ids is None or each.id in ids)
        and int(each.id) < before
        and symbol in {None, each.symbol}
    ]
    return _shown(account, found[:count])


def opened(asked: Asked) -> Answer:
    """GET: every open trade, the newest first."""
    return _shown(asked.account, asked.account.open_trades())


def _shown(account: Account, found: list[Trade]) -> Answer:
    worth = show.Worth(account)
    trades = [show.trade(each, worth) for each in found]
    return Answer({"trades": trades, "lastTransactionID": account.ledger.last})


def one(asked: Asked) -> Answer:
    """GET: one trade, by its id or its client id."""
    account, found = asked.account, orders.trade_of(asked.account, asked.specifier("trade"))
    if found is None:
        raise missing("trade")
    shown = show.trade(found, show.Worth(account))
    return Answer({"trade": shown, "lastTransactionID": account.ledger.last})


def close(asked: Asked) -> Answer:
    """PUT: close a trade, or some of its units, at the market."""
    account, specifier = asked.account, asked.specifier("trade")
    wanted = asked.body.get("units", "ALL")
    size = read_decimal(wanted)
    if wanted != "ALL" and size is None:
        raise invalid("units")
    trade = orders.trade_of(account, specifier)
    with account.ledger.batch(asked.request_id) as ids:
        reason = _close_problem(account, trade, size)
        named = {"tradeID": specifier} if trade is None else {"tradeID": trade.id}
        if specifier.startswith("@"):
            named = {**named, "clientTradeID": specifier[1:]}
            if trade is None:
                del named["tradeID"]
        fields: Json = {"tradeClose": {**named, "units": str(wanted)}}
        if reason is not None or trade is None:
            reason = reason or "TRADE_DOESNT_EXIST"
            entry = account.ledger.add(
                "MARKET_ORDER_REJECT",
                account.time,
                timeInForce="FOK",
                positionFill="REDUCE_ONLY",
                reason="TRADE_CLOSE",
                **fields,
                rejectReason=reason,
            )
            answer = orders.rejected({"orderRejectTransaction": entry}, reason, account)
            if answer.status == BAD:  # OANDA describes the 404 with both, the 400 with neither
                del answer.body["relatedTransactionIDs"], answer.body["lastTransactionID"]
            return answer
        quantity = abs(trade.current) if size is None else size
        fields |= {
            "instrument": text.name_of(trade.symbol),
            "units": text.units(-trade.side.sign * quantity),
            "timeInForce": "FOK",
            "positionFill": "REDUCE_ONLY",
        }
        order = account.new_order("MARKET", "TRADE_CLOSE", fields)
        placing.close(account, order, trade, quantity)
    return Answer(outcome(account, order, ids, "order"))


def outcome(account: Account, order: Json, ids: list[str], prefix: str) -> Json:
    """Return a market order's transactions, each under ``prefix`` and its kind."""
    name = "order" if prefix == "order" else f"{prefix}Order"
    body: Json = {f"{name}CreateTransaction": account.ledger.entries[int(order["id"]) - 1]}
    for each in ids:
        entry = account.ledger.entries[int(each) - 1]
        if entry.get("orderID") == order["id"]:
            kind = {"ORDER_FILL": "Fill", "ORDER_CANCEL": "Cancel"}[entry["type"]]
            body[f"{name}{kind}Transaction"] = entry
    return {**body, "relatedTransactionIDs": ids, "lastTransactionID": account.ledger.last}


def _close_problem(account: Account, trade: Trade | None, size: Decimal | None) -> str | None:
    if trade is None or not trade.open:
        return "TRADE_DOESNT_EXIST"
    if size is None:
        return None
    if size <= 0:
        return "UNITS_INVALID"
    if size % account.exchange.instruments[trade.symbol].quantity_step:
        return "UNITS_PRECISION_EXCEEDED"
    return "CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE" if size > abs(trade.current) else None


def dependents(asked: Asked) -> Answer:
    """PUT: set, replace or (with null) cancel the orders that protect a trade, all or none."""
    account = asked.account
    trade = orders.trade_of(account, asked.specifier("trade"))
    wanted = {
        name: None if asked.body[name] is None else forms.details(asked.body[name], on_fill, name)
        for name, (_, on_fill) in _DEPENDENTS.items()
        if name in asked.body
    }
    if trade is None or not trade.open:
        raise missing("trade")
    if not wanted:
        raise Problem(400, MISSING)
    with account.ledger.batch(asked.request_id) as ids:
        refused = _refused(account, trade, wanted)
        if refused is not None:
            return refused
        body: Json = {}
        for name, fields in wanted.items():
            if trade.open:  # the one before may have closed it
                _set(account, trade, name, fields, body)
        account.note()
    return Answer({**body, "relatedTransactionIDs": ids, "lastTransactionID": account.ledger.last})


def _fields(trade: Trade, kind: str, details: Json) -> Json:
    client = trade.extensions.get("id")
    named = {"tradeID": trade.id} | ({} if client is None else {"clientTradeID": client})
    guaranteed = {"guaranteed": False} if kind == "STOP_LOSS" else {}
    return {**named, "triggerCondition": "DEFAULT", **guaranteed, **details}


def _refused(account: Account, trade: Trade, wanted: dict[str, Json | None]) -> Answer | None:
    """Return the rejection of the first that is wrong; then none of them acts."""
    for name, details in wanted.items():
        kind = _DEPENDENTS[name][0]
        if details is None:
            continue
        fields = _fields(trade, kind, details)
        reason = checks.dependent(account, kind, fields, trade, trade.dependents.get(kind))
        if reason is not None:
            entry = account.ledger.add(
                f"{kind}_ORDER_REJECT",
                account.time,
                **fields,
                reason="CLIENT_ORDER",
                intendedReplacesOrderID=trade.dependents.get(kind),
                rejectReason=reason,
            )
            return orders.rejected({f"{name}OrderRejectTransaction": entry}, reason, account)
    return None


def _set(account: Account, trade: Trade, name: str, details: Json | None, body: Json) -> None:
    kind = _DEPENDENTS[name][0]
    standing = trade.dependents.get(kind)
    before = len(account.ledger.entries)
    if details is None:
        if standing is not None:
            body[f"{name}OrderCancelTransaction"] = account.cancel(
                standing, "CLIENT_REQUEST", account.time
            )
        return
    fields = _fields(trade, kind, details)
    if standing is None:
        order = orders.open_dependent(account, kind, fields, trade)
    else:
        cancelled = orders.swap(account, account.orders[standing], kind, fields, trade)
        body[f"{name}OrderCancelTransaction"] = cancelled
        order = account.orders[cancelled["replacedByOrderID"]]
    for entry in account.ledger.entries[before:]:
        if entry["id"] == order["id"]:
            body[f"{name}OrderTransaction"] = entry
        elif entry.get("orderID") == order["id"] and entry["type"] == "ORDER_FILL":
            body[f"{name}OrderFillTransaction"] = entry
        elif entry.get("orderID") == order["id"]:
            body[f"{name}OrderCreatedCancelTransaction"] = entry


def extensions(asked: Asked) -> Answer:
    """PUT: set the client extensions of a trade."""
    account, specifier = asked.account, asked.specifier("trade")
    if "clientExtensions" not in asked.body:
        raise Problem(400, MISSING)
    given = forms.extensions(asked.body["clientExtensions"], "clientExtensions")
    trade = orders.trade_of(account, specifier)
    with account.ledger.batch(asked.request_id):
        reason = _extensions_problem(account, trade, given)
        if reason is not None or trade is None:
            reason = reason or "TRADE_DOESNT_EXIST"
            named = (
                {"clientTradeID": specifier[1:]} if specifier[0] == "@" else {"tradeID": specifier}
            )
            entry = account.ledger.add(
                "TRADE_CLIENT_EXTENSIONS_MODIFY_REJECT",
                account.time,
                **named,
                tradeClientExtensionsModify=given,
                rejectReason=reason,
            )
            name = "tradeClientExtensionsModifyRejectTransaction"
            return orders.rejected({name: entry}, reason, account)
        entry = account.ledger.add(
            "TRADE_CLIENT_EXTENSIONS_MODIFY",
            account.time,
            tradeID=trade.id,
            clientTradeID=trade.extensions.get("id"),
            tradeClientExtensionsModify=given,
        )
        trade.extensions.update(given)
    return Answer(
        {
            "tradeClientExtensionsModifyTransaction": entry,
            "relatedTransactionIDs": [entry["id"]],
            "lastTransactionID": account.ledger.last,
        }
    )


def _extensions_problem(account: Account, trade: Trade | None, given: Json) -> str | None:
    if trade is None or not trade.open:
        return "TRADE_DOESNT_EXIST"
    if not given:
        return "CLIENT_EXTENSIONS_DATA_MISSING"
    others = [each for each in account.open_trades() if each is not trade]
    if given.get("id") and given["id"] in {each.extensions.get("id") for each in others}:
        return "CLIENT_TRADE_ID_ALREADY_EXISTS"
    return checks.extensions(given, "CLIENT_TRADE")
