"""Open trades as positions: one for each ticket, or netted into one for each instrument."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from mtquant.model import Position, Side
from mtquant_oanda_server.words import moment, number, optional

_PLACES = Decimal("1e-10")
Json = dict[str, Any]


def positions_of(trades: Iterable[Json], *, hedging: bool) -> tuple[Position, ...]:
    """Return the positions that ``trades`` are, oldest first."""
    ordered = sorted(trades, key=lambda each: int(each["id"]))
    if hedging:
        return tuple(_position((each,), str(each["id"])) for each in ordered)
    netted: dict[str, list[Json]] = {}
    for each in ordered:
        netted.setdefault(str(each["instrument"]), []).append(each)
    return tuple(_position(tuple(held), name) for name, held in netted.items())


def _position(trades: tuple[Json, ...], position_id: str) -> Position:
    units = sum((number(each["currentUnits"]) for each in trades), Decimal(0))
    worth = sum((number(e["currentUnits"]) * number(e["price"]) for e in trades), Decimal(0))
    side = Side.BUY if units > 0 else Side.SELL
    return Position(
        position_id=position_id,
        instrument=str(trades[0]["instrument"]),
        side=side,
        quantity=abs(units),
        average_price=(worth / units).quantize(_PLACES),
        unrealized_profit=sum((number(each["unrealizedPL"]) for each in trades), Decimal(0)),
        opened_at=min(moment(each["openTime"]) for each in trades),
        stop_loss=_loosest(trades, ("stopLossOrder", "guaranteedStopLossOrder"), "price", side),
        take_profit=_loosest(trades, ("takeProfitOrder",), "price", side.opposite),
        trailing_stop=_loosest(trades, ("trailingStopLossOrder",), "distance", Side.SELL),
        swap=sum((number(each.get("financing") or 0) for each in trades), Decimal(0)),
    )


def _loosest(
    trades: tuple[Json, ...], names: tuple[str, ...], key: str, side: Side
) -> Decimal | None:
    """Return the protection that protects least: None where one of the trades has none.

    A netted position may be of several trades, each with its own; what is told is what holds for
    all of it. ``side`` is buy where a lower value is the looser.
    """
    found = [
        next((optional(each[name].get(key)) for name in names if each.get(name)), None)
        for each in trades
    ]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return min(known) if side is Side.BUY else max(known)
