"""The endpoints of positions: what all trades in an instrument are together."""

from __future__ import annotations

from decimal import Decimal

from mtquant.exchange.record import ZERO
from mtquant.model import Side
from mtquant_simulators.oanda import forms, orders, placing, show, text
from mtquant_simulators.oanda.account import Account
from mtquant_simulators.oanda.answers import Answer, invalid
from mtquant_simulators.oanda.asked import Asked
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import read_decimal
from mtquant_simulators.oanda.trades import outcome

_SIDES = {"long": Side.BUY, "short": Side.SELL}


def listed(asked: Asked) -> Answer:
    """GET: the positions in every instrument that was ever traded."""
    return _shown(asked.account, only_open=False)


def opened(asked: Asked) -> Answer:
    """GET: the open positions."""
    return _shown(asked.account, only_open=True)


def _shown(account: Account, *, only_open: bool) -> Answer:
    shown = show.positions(account, show.Worth(account), only_open=only_open)
    return Answer({"positions": shown, "lastTransactionID": account.ledger.last})


def one(asked: Asked) -> Answer:
    """GET: the position in one instrument, also where it never was traded."""
    account, symbol = asked.account, asked.symbol(asked.path["instrument"])
    shown = show.position(account, show.Worth(account), symbol)
    return Answer({"position": shown, "lastTransactionID": account.ledger.last})


def close(asked: Asked) -> Answer:
    """PUT: close the long side, the short side or both: all of it, or so many units."""
    account, symbol = asked.account, asked.symbol(asked.path["instrument"])
    wanted = {name: _units(asked, name) for name in _SIDES}
    with account.ledger.batch(asked.request_id) as ids:
        refused = _refused(account, symbol, wanted)
        if refused is not None:
            return refused
        body: Json = {}
        for name, units in wanted.items():
            if units is None:
                continue
            quantity = held(account, symbol, _SIDES[name]) if units == "ALL" else Decimal(units)
            fields = _fields(symbol, name, units, quantity)
            given = asked.body.get(f"{name}ClientExtensions")
            if given is not None:
                fields["clientExtensions"] = forms.extensions(given, f"{name}ClientExtensions")
            order = account.new_order("MARKET", "POSITION_CLOSEOUT", fields)
            placing.enter(account, order)
            body |= outcome(account, order, _within(account, order), name)
    body |= {"relatedTransactionIDs": ids, "lastTransactionID": account.ledger.last}
    return Answer(body)


def _within(account: Account, order: Json) -> list[str]:
    return [str(each["id"]) for each in account.ledger.entries[int(order["id"]) - 1 :]]


def _units(asked: Asked, name: str) -> str | None:
    """Return ``ALL`` or a number, None where a side is to be left alone."""
    value = asked.body.get(f"{name}Units", "NONE")
    if value == "NONE":
        return None
    if value != "ALL" and read_decimal(value) is None:
        raise invalid(f"{name}Units")
    return str(value)


def held(account: Account, symbol: str, side: Side) -> Decimal:
    """Return how many units of ``symbol`` are open on ``side``."""
    trades = (each for each in account.open_trades() if each.symbol == symbol)
    return sum((abs(each.current) for each in trades if each.side is side), ZERO)


def _fields(symbol: str, name: str, units: str, quantity: Decimal) -> Json:
    closeout = {"instrument": text.name_of(symbol), "units": units}
    return {
        "instrument": text.name_of(symbol),
        "units": text.units(-_SIDES[name].sign * quantity),
        "timeInForce": "FOK",
        "positionFill": "REDUCE_ONLY",
        f"{name}PositionCloseout": closeout,
    }


def _refused(account: Account, symbol: str, wanted: dict[str, str | None]) -> Answer | None:
    """Return the rejection of each side that can't be closed; then neither is."""
    found: Json = {}
    first = ""
    for name, units in wanted.items():
        if units is None:
            reason = None if any(wanted.values()) else "CLOSEOUT_POSITION_INCOMPLETE_SPECIFICATION"
        else:
            reason = _problem(account, symbol, _SIDES[name], units)
        if reason is None:
            continue
        first = first or reason
        fields = {
            "instrument": text.name_of(symbol),
            "timeInForce": "FOK",
            "positionFill": "REDUCE_ONLY",
            "reason": "POSITION_CLOSEOUT",
        }
        fields[f"{name}PositionCloseout"] = {  # type: ignore[assignment]
            "instrument": text.name_of(symbol),
            "units": units or "NONE",
        }
        entry = account.ledger.add(
            "MARKET_ORDER_REJECT", account.time, **fields, rejectReason=reason
        )
        found[f"{name}OrderRejectTransaction"] = entry
    return orders.rejected(found, first, account) if found else None


def _problem(account: Account, symbol: str, side: Side, units: str) -> str | None:
    size = held(account, symbol, side)
    if not size:
        return "CLOSEOUT_POSITION_DOESNT_EXIST"
    if units == "ALL":
        return None
    wanted = Decimal(units)
    if wanted <= 0:
        return "UNITS_INVALID"
    if wanted % account.exchange.instruments[symbol].quantity_step:
        return "UNITS_PRECISION_EXCEEDED"
    return "CLOSEOUT_POSITION_UNITS_EXCEED_POSITION_SIZE" if wanted > size else None
