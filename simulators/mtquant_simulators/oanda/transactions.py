"""The endpoints of the transactions: pages, ranges, since an id, single ones."""

from __future__ import annotations

from mtquant_simulators.oanda.answers import MISSING, Answer, Problem, invalid, missing
from mtquant_simulators.oanda.asked import Asked
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import Moment

_PAGE, _LARGEST_PAGE = 100, 1000
_HIGHEST = 10**18
_KINDS = (
    "CREATE",
    "CLOSE",
    "REOPEN",
    "CLIENT_CONFIGURE",
    "CLIENT_CONFIGURE_REJECT",
    "TRANSFER_FUNDS",
    "TRANSFER_FUNDS_REJECT",
    "MARKET_ORDER",
    "MARKET_ORDER_REJECT",
    "LIMIT_ORDER",
    "LIMIT_ORDER_REJECT",
    "STOP_ORDER",
    "STOP_ORDER_REJECT",
    "MARKET_IF_TOUCHED_ORDER",
    "MARKET_IF_TOUCHED_ORDER_REJECT",
    "TAKE_PROFIT_ORDER",
    "TAKE_PROFIT_ORDER_REJECT",
    "STOP_LOSS_ORDER",
    "STOP_LOSS_ORDER_REJECT",
    "TRAILING_STOP_LOSS_ORDER",
    "TRAILING_STOP_LOSS_ORDER_REJECT",
    "ONE_CANCELS_ALL_ORDER",
    "ONE_CANCELS_ALL_ORDER_REJECT",
    "ONE_CANCELS_ALL_ORDER_TRIGGERED",
    "ORDER_FILL",
    "ORDER_CANCEL",
    "ORDER_CANCEL_REJECT",
    "ORDER_CLIENT_EXTENSIONS_MODIFY",
    "ORDER_CLIENT_EXTENSIONS_MODIFY_REJECT",
    "TRADE_CLIENT_EXTENSIONS_MODIFY",
    "TRADE_CLIENT_EXTENSIONS_MODIFY_REJECT",
    "MARGIN_CALL_ENTER",
    "MARGIN_CALL_EXTEND",
    "MARGIN_CALL_EXIT",
    "DELAYED_TRADE_CLOSURE",
    "DAILY_FINANCING",
    "RESET_RESETTABLE_PL",
)
_FUNDING = {"TRANSFER_FUNDS", "TRANSFER_FUNDS_REJECT"}
_ADMIN = {"CREATE", "CLOSE", "REOPEN", "CLIENT_CONFIGURE", "CLIENT_CONFIGURE_REJECT"}
_GROUPS = {
    "ORDER": {each for each in _KINDS if "ORDER" in each},
    "FUNDING": _FUNDING,
    "ADMIN": _ADMIN,
}


def pages(asked: Asked) -> Answer:
    """GET: where the transactions of a time are to be fetched, in pages of ids."""
    account = asked.account
    first = asked.time("from")
    first = account.created if first is None else first
    to = asked.time("to")
    to = asked.venue.time if to is None else to
    if to < first:
        raise invalid("to")
    size = asked.number("pageSize", _PAGE, 1, _LARGEST_PAGE)
    kinds = _kinds(asked)
    found = [
        int(each["id"])
        for each in account.ledger.entries
        if first <= each["time"] <= to and (kinds is None or each["type"] in kinds)
    ]
    where = f"{asked.url}/v3/accounts/{account.id}/transactions/idrange"
    suffix = f"&type={asked.query['type']}" if kinds is not None else ""
    starts = range(0, len(found), size)
    links = [
        f"{where}?from={found[each]}&to={found[min(each + size, len(found)) - 1]}{suffix}"
        for each in starts
    ]
    body: Json = {
        "from": Moment(first),
        "to": Moment(to),
        "pageSize": size,
        "count": len(found),
        "pages": links,
        "lastTransactionID": account.ledger.last,
    }
    if kinds is not None:
        body["type"] = asked.listed("type")
    return Answer(body)


def between(asked: Asked) -> Answer:
    """GET: the transactions from one id to another, both included."""
    if "from" not in asked.query or "to" not in asked.query:
        raise Problem(400, MISSING)
    first = asked.number("from", 1, 1, _HIGHEST)
    last = asked.number("to", 1, 1, _HIGHEST)
    if last < first:
        raise invalid("to")
    newest = int(asked.account.ledger.last)
    if first > newest or last > newest:
        raise Problem(416, "The transaction range requested is beyond the last transaction")
    return _listed(asked, asked.account.ledger.entries[first - 1 : last])


def since(asked: Asked) -> Answer:
    """GET: the transactions after an id."""
    if "id" not in asked.query:
        raise Problem(400, MISSING)
    after = asked.number("id", 0, 0, _HIGHEST)
    if after > int(asked.account.ledger.last):
        raise Problem(416, "The transaction ID requested is beyond the last transaction")
    return _listed(asked, asked.account.ledger.after(after))


def one(asked: Asked) -> Answer:
    """GET: one transaction."""
    name, ledger = asked.path["transaction"], asked.account.ledger
    if not (name.isascii() and name.isdigit()) or len(name) > len(str(_HIGHEST)):
        raise invalid("transactionID")
    if not 1 <= int(name) <= int(ledger.last):
        raise missing("transaction")
    return Answer({"transaction": ledger.entries[int(name) - 1], "lastTransactionID": ledger.last})


def _listed(asked: Asked, entries: list[Json]) -> Answer:
    kinds = _kinds(asked)
    shown = [each for each in entries if kinds is None or each["type"] in kinds]
    return Answer({"transactions": shown, "lastTransactionID": asked.account.ledger.last})


def _kinds(asked: Asked) -> set[str] | None:
    """Return the types that the query asks for, None where it asks for all."""
    wanted = asked.listed("type")
    if not wanted:
        return None
    found: set[str] = set()
    for each in wanted:
        if each not in _GROUPS and each not in _KINDS:
            raise invalid("type")
        found |= _GROUPS.get(each, {each})
    return found
