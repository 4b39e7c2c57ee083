"""The account's orders, executions and trades, folded from its transactions.

OANDA writes down everything that happens to an account as a sequence of numbered transactions.
They are folded here one by one, each once and in their order; what the contract calls a cursor is
the number of the last transaction that was told. Nothing here asks OANDA anything.

An order that is changed is, at OANDA, cancelled and replaced by another with another id. Here it
stays one order: its id is that of the first, and its report is of the last of the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mtquant.model import (
    CashFlow,
    CashFlowKind,
    Fill,
    OrderReport,
    OrderStatus,
    OrderType,
    PositionEffect,
    Reason,
    Side,
    TimeInForce,
)
from mtquant_oanda_server.codes import of_cancel
from mtquant_oanda_server.words import (
    DEPENDENT,
    FILL_REASONS,
    OUR_TIMES,
    OUR_TYPES,
    moment,
    number,
    optional,
    plain_id,
)

_ZERO = Decimal(0)
_PLACES = Decimal("1e-10")
_AMOUNTS = {
    "TRANSFER_FUNDS": "amount",
    "DAILY_FINANCING": "financing",
    "DIVIDEND_ADJUSTMENT": "dividendAdjustment",
}
"""The transactions that move the balance and are no executions, and where they say by how much."""
Json = dict[str, Any]
Event = tuple[int, str, Fill | CashFlow | None]
"""A transaction's number, and what it told: of which order, if of one, and what it executed."""


@dataclass(slots=True)
class Trade:
    """What is known of a trade: its instrument, and its units, negative for a short one.

    ``units`` becomes nought when it closes, ``size`` stays what it was last.
    """

    instrument: str
    units: Decimal
    size: Decimal


@dataclass(slots=True)
class Record:
    """One order as OANDA has it, replaced ones apart."""

    order_id: str
    kind: str
    created: int
    updated: int
    instrument: str = ""
    units: Decimal | None = None
    trade_id: str | None = None
    price: Decimal | None = None
    bound: Decimal | None = None
    distance: Decimal | None = None
    level: Decimal | None = None
    """Where a trailing stop stands now."""
    time_in_force: str = "GTC"
    expires: int | None = None
    position_fill: str = "DEFAULT"
    closes: bool = False
    client_id: str | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    trailing_stop: Decimal | None = None
    state: str = "PENDING"
    ended: str = ""
    """OANDA's reason of its end."""
    replaces: str | None = None
    replaced_by: str | None = None
    fills: list[Fill] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """Return True while something may still happen to it."""
        return self.state in {"PENDING", "TRIGGERED"}


class Book:
    """What the transactions after ``first`` up to ``last`` came to."""

    def __init__(self, *, hedging: bool, first: int = 0) -> None:
        self.hedging = hedging
        self.first = self.last = first
        self.records: dict[str, Record] = {}
        self.trades: dict[str, Trade] = {}
        self._by_client: dict[str, str] = {}
        self._events: list[Event] = []

    # --- folding -----------------------------------------------------------------------------

    def seed(self, orders: Iterable[Json], trades: Iterable[Json]) -> None:
        """Take orders and trades that are open now, and may be older than the transactions."""
        for each in trades:
            units = number(each["currentUnits"])
            self.trades.setdefault(str(each["id"]), Trade(each["instrument"], units, abs(units)))
        for each in orders:
            if str(each["id"]) not in self.records:
                self._keep(of_order(each))

    def apply(self, transaction: Json) -> bool:
        """Fold one transaction; True where it is new. It must be the next: see :meth:`follows`."""
        number_ = int(transaction["id"])
        if number_ <= self.last:
            return False
        kind = str(transaction.get("type", ""))
        order_id = str(transaction.get("orderID") or "")
        if kind == "ORDER_FILL":
            fill = self._fill(transaction)
            self._events.append((number_, fill.order_id, fill))
        elif kind == "ORDER_CANCEL":
            self._cancel(transaction)
            self._events.append((number_, self.root(order_id), None))
        elif (flow := _cash_flow(transaction)) is not None:
            self._events.append((number_, "", flow))
        elif kind == "ORDER_CLIENT_EXTENSIONS_MODIFY":
            self._rename(transaction)
        elif kind.endswith("_ORDER"):
            self._keep(_of_creation(transaction))
            self._events.append((number_, self.root(str(transaction["id"])), None))
        self.last = number_
        return True

    def follows(self, transaction: Json) -> bool:
        """Return True where nothing is missing between the last transaction and this one."""
        return int(transaction["id"]) <= self.last + 1

    def _keep(self, record: Record) -> None:
        before = self.records.get(self._by_client.get(record.client_id or "", ""))
        if before and before.live and before.fills and record.replaces is None:
            # Filled in part, and issued anew for the rest: OANDA names no link but the client id.
            record.replaces, before.state = before.order_id, "FILLED"
        self.records[record.order_id] = record
        if record.client_id:
            self._by_client[record.client_id] = record.order_id
        if record.replaces and (old := self.records.get(record.replaces)):
            old.replaced_by = record.order_id

    def _cancel(self, transaction: Json) -> None:
        record = self._known(transaction)
        record.state, record.ended = "CANCELLED", str(transaction.get("reason", ""))
        record.updated = moment(transaction["time"])
        if transaction.get("replacedByOrderID"):
            record.replaced_by = str(transaction["replacedByOrderID"])

    def _rename(self, transaction: Json) -> None:
        record = self._known(transaction)
        changed = transaction.get("orderClientExtensionsModify") or {}
        if changed.get("id"):
            record.client_id = str(changed["id"])
            self._by_client[record.client_id] = record.order_id

    def _known(self, transaction: Json) -> Record:
        """Return the order of a transaction; one from before the first is made of what is said."""
        order_id, when = str(transaction["orderID"]), moment(transaction["time"])
        if order_id not in self.records:
            units = optional(transaction.get("units"))
            client_id = transaction.get("clientOrderID")
            instrument = str(transaction.get("instrument", ""))
            self._keep(
                Record(
                    order_id, "MARKET", when, when, instrument, units, client_id=client_id or None
                )
            )
        return self.records[order_id]

    def _fill(self, transaction: Json) -> Fill:
        record = self._known(transaction)
        when, units = moment(transaction["time"]), number(transaction["units"])
        ticket = self._trades(transaction)
        instrument = str(transaction["instrument"])
        fill = Fill(
            execution_id=str(transaction["id"]),
            order_id=self.root(record.order_id),
            client_order_id=plain_id(record.client_id or transaction.get("clientOrderID")),
            instrument=instrument,
            side=Side.BUY if units > 0 else Side.SELL,
            quantity=abs(units),
            price=number(transaction.get("price") or transaction.get("fullVWAP")),
            time=when,
            commission=number(transaction.get("commission") or 0)
            + number(transaction.get("guaranteedExecutionFee") or 0),
            # Financing that a fill settles is booked with it: balances then add up.
            realized_profit=number(transaction.get("pl") or 0)
            + number(transaction.get("financing") or 0),
            position_id=ticket if self.hedging else instrument,
            reason=FILL_REASONS.get(str(transaction.get("reason", ""))),
        )
        record.fills.append(fill)
        record.instrument, record.updated = instrument, when
        filled = sum((each.quantity for each in record.fills), _ZERO)
        wanted = abs(record.units) if record.units else filled
        # OANDA fills at once what it fills of these, and no more will follow.
        at_once = record.time_in_force in {"FOK", "IOC"} or record.kind in {"MARKET", *DEPENDENT}
        if filled >= wanted or at_once:
            record.state = "FILLED"
        return fill

    def _trades(self, transaction: Json) -> str | None:
        """Follow the trades that a fill opened, reduced or closed; return the first one's id."""
        instrument, tickets = str(transaction["instrument"]), list[str]()
        opened = transaction.get("tradeOpened")
        if opened:
            units = number(opened["units"])
            self.trades[str(opened["tradeID"])] = Trade(instrument, units, abs(units))
            tickets.append(str(opened["tradeID"]))
        reduced = transaction.get("tradeReduced")
        if reduced and (trade := self.trades.get(str(reduced["tradeID"]))):
            # The units of a reduction have the sign of the order, against that of the trade.
            left = abs(trade.units) - abs(number(reduced["units"]))
            trade.units = left if trade.units > 0 else -left
            trade.size = left
        if reduced:
            tickets.append(str(reduced["tradeID"]))
        for closed in transaction.get("tradesClosed") or ():
            if trade := self.trades.get(str(closed["tradeID"])):
                trade.units = _ZERO
            tickets.append(str(closed["tradeID"]))
        return tickets[0] if tickets else None

    # --- looking up --------------------------------------------------------------------------

    def root(self, order_id: str) -> str:
        """Return the id of the first order of a chain of replacements."""
        seen = {order_id}
        while (record := self.records.get(order_id)) and record.replaces:
            order_id = record.replaces
            if order_id in seen:
                break
            seen.add(order_id)
        return order_id

    def newest(self, order_id: str) -> Record | None:
        """Return the last order of the chain that ``order_id`` is in."""
        record = self.records.get(order_id)
        seen = set[str]()
        while record and record.replaced_by in self.records and record.order_id not in seen:
            seen.add(record.order_id)
            record = self.records[record.replaced_by or ""]
        return record

    def find(self, client_order_id: str) -> Record | None:
        """Return the last order of the chain that carries a client order id."""
        order_id = self._by_client.get(client_order_id)
        return self.newest(order_id) if order_id else None

    def roots(self) -> Iterator[str]:
        """Return the id of every order that replaces none, oldest first."""
        yield from sorted((each for each in self.records if self.root(each) == each), key=int)

    def since(self, after: int) -> Iterator[Event]:
        """Return the events after a transaction's number, oldest first."""
        yield from self._events[_first_after(self._events, after) :]

    # --- reports -----------------------------------------------------------------------------

    def report(self, order_id: str) -> OrderReport | None:
        """Return the report of an order, None where the book doesn't know it."""
        record = self.newest(order_id)
        return self.report_of(record) if record else None

    def report_of(self, record: Record) -> OrderReport:
        """Return the report of the chain that ends with ``record``."""
        root = self.records.get(self.root(record.order_id), record)
        trade = self.trades.get(record.trade_id or "")
        side, quantity, instrument = _size(record, trade)
        earlier = self._earlier(record)
        fills = (*earlier, *record.fills)
        filled = sum((each.quantity for each in fills), _ZERO)
        quantity = max(quantity + sum((each.quantity for each in earlier), _ZERO), filled)
        status, reason = _status(record, filled, quantity)
        worth = sum((each.quantity * each.price for each in fills), _ZERO)
        order_type = OUR_TYPES.get(record.kind, OrderType.MARKET)
        limited = order_type is OrderType.LIMIT
        ticket = record.trade_id or next((e.position_id for e in fills), None)
        said = record.ended if status.terminal else ""
        return OrderReport(
            order_id=root.order_id,
            client_order_id=plain_id(record.client_id or root.client_id),
            instrument=instrument,
            side=side,
            order_type=order_type,
            time_in_force=OUR_TIMES.get(record.time_in_force, TimeInForce.GTC),
            quantity=quantity,
            filled_quantity=filled,
            remaining_quantity=_ZERO if status.terminal else quantity - filled,
            average_price=(worth / filled).quantize(_PLACES) if filled else None,
            status=status,
            submitted_at=root.created,
            updated_at=record.updated,
            limit_price=record.price if limited else None,
            stop_price=record.level or (None if limited else record.price),
            stop_loss=record.stop_loss,
            take_profit=record.take_profit,
            trailing_stop=record.distance or record.trailing_stop,
            expire_time=record.expires,
            reduce_only=record.closes or record.position_fill == "REDUCE_ONLY",
            position_effect=PositionEffect.OPEN
            if record.position_fill == "OPEN_ONLY"
            else PositionEffect.AUTO,
            max_slippage=abs(record.bound - record.price) or None
            if record.bound and record.price
            else None,
            position_id=ticket if self.hedging or not ticket else instrument,
            fees=sum((each.commission for each in fills), _ZERO),
            reason=reason,
            reason_text=f"OANDA: {said}" if said else "",
            broker_code=said or None,
            fills=fills,
        )

    def _earlier(self, record: Record) -> tuple[Fill, ...]:
        """Return the executions of the orders that ``record`` takes the place of."""
        found: list[Fill] = []
        seen = {record.order_id}
        before = self.records.get(record.replaces or "")
        while before and before.order_id not in seen:
            seen.add(before.order_id)
            found[:0] = before.fills
            before = self.records.get(before.replaces or "")
        return tuple(found)


def _cash_flow(transaction: Json) -> CashFlow | None:
    """Return how a transaction that is no execution moved the balance, None where it didn't."""
    kind = str(transaction.get("type", ""))
    if kind not in _AMOUNTS:
        return None
    amount = number(transaction.get(_AMOUNTS[kind]) or 0)
    if not amount:
        return None
    if kind == "DAILY_FINANCING":
        meaning = CashFlowKind.FINANCING
    elif kind == "DIVIDEND_ADJUSTMENT":
        meaning = CashFlowKind.DIVIDEND
    elif transaction.get("fundingReason") == "ADJUSTMENT":
        meaning = CashFlowKind.ADJUSTMENT
    else:
        meaning = CashFlowKind.DEPOSIT if amount > 0 else CashFlowKind.WITHDRAWAL
    return CashFlow(
        cash_flow_id=str(transaction["id"]),
        kind=meaning,
        amount=amount,
        time=moment(transaction["time"]),
    )


def _first_after(events: list[Event], after: int) -> int:
    low, high = 0, len(events)
    while low < high:
        middle = (low + high) // 2
        if events[middle][0] > after:
            high = middle
        else:
            low = middle + 1
    return low


def _size(record: Record, trade: Trade | None) -> tuple[Side, Decimal, str]:
    """Return the side, quantity and instrument of an order, its trade's where it hangs on one."""
    if record.fills:
        side = record.fills[0].side
        quantity = abs(record.units or sum((e.quantity for e in record.fills), _ZERO))
        return side, quantity, record.instrument
    if record.units:
        return Side.BUY if record.units > 0 else Side.SELL, abs(record.units), record.instrument
    if trade is None:
        return Side.SELL, Decimal(1), record.instrument or "?"
    long = trade.units > 0
    return Side.SELL if long else Side.BUY, abs(trade.units) or trade.size, trade.instrument


def _status(
    record: Record, filled: Decimal, quantity: Decimal
) -> tuple[OrderStatus, Reason | None]:
    # One that was replaced goes on as another, whose transaction is the next to come.
    if record.live or record.replaced_by:
        return (OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.NEW), None
    why = next((each.reason for each in record.fills if each.reason), None)
    if record.state == "FILLED" and filled >= quantity:
        return OrderStatus.FILLED, why
    if record.state == "FILLED":  # filled in part at once, and the rest was given up
        return OrderStatus.CANCELED, Reason.NOT_FILLABLE
    reason = of_cancel(record.ended).reason if record.ended else Reason.OTHER
    if reason is Reason.TIME_EXPIRED:
        if record.time_in_force in {"GTD", "GFD"}:
            return OrderStatus.EXPIRED, reason
        return OrderStatus.CANCELED, Reason.NOT_FILLABLE
    return OrderStatus.CANCELED, reason


def of_order(order: Json) -> Record:
    """Return the record of an Order as a request for it answers; its fills aren't in there."""
    record = _parsed(order, str(order["type"]), order["createTime"])
    record.state = str(order.get("state", "PENDING"))
    record.level = optional(order.get("trailingStopValue"))
    record.replaced_by = _text(order.get("replacedByOrderID"))
    return record


def _of_creation(transaction: Json) -> Record:
    kind = str(transaction["type"]).removesuffix("_ORDER")
    return _parsed(transaction, kind, transaction["time"])


def _parsed(told: Json, kind: str, created: object) -> Record:
    extensions = told.get("clientExtensions") or {}
    when = moment(created)
    on_fill = {
        name: told.get(f"{name}OnFill") or {}
        for name in ("takeProfit", "stopLoss", "guaranteedStopLoss", "trailingStopLoss")
    }
    stop = on_fill["stopLoss"] or on_fill["guaranteedStopLoss"]
    closes = any(
        told.get(name)
        for name in (
            "tradeClose",
            "longPositionCloseout",
            "shortPositionCloseout",
            "marginCloseout",
        )
    )
    close = told.get("tradeClose") or {}
    return Record(
        order_id=str(told["id"]),
        kind=kind,
        created=when,
        updated=when,
        instrument=str(told.get("instrument", "")),
        units=optional(told.get("units")),
        trade_id=_text(told.get("tradeID") or close.get("tradeID")),
        price=optional(told.get("price")),
        bound=optional(told.get("priceBound")),
        distance=optional(told.get("distance")),
        time_in_force=str(told.get("timeInForce", "GTC")),
        expires=moment(told["gtdTime"]) if told.get("gtdTime") else None,
        position_fill=str(told.get("positionFill", "DEFAULT")),
        closes=closes or kind in DEPENDENT,
        client_id=_text(extensions.get("id")),
        stop_loss=optional(stop.get("price")),
        take_profit=optional(on_fill["takeProfit"].get("price")),
        trailing_stop=optional(on_fill["trailingStopLoss"].get("distance")),
        replaces=_text(told.get("replacesOrderID")),
    )


def _text(value: object) -> str | None:
    return str(value) if value else None
