"""What a simulated OANDA wrote down of an account: the only truth of it, in the checks' words.

It reads the transactions and nothing else, by itself: what the server makes of them is to be
compared with this.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mtquant.model import OrderStatus, Side
from mtquant_simulators.oanda.text import symbol_of

Json = dict[str, Any]
_ENTRIES = {"MARKET_ORDER", "LIMIT_ORDER", "STOP_ORDER", "MARKET_IF_TOUCHED_ORDER"}
_DATED = {"GTD", "GFD"}


@dataclass(frozen=True, slots=True)
class Execution:
    """One ORDER_FILL; ``quantity`` has no sign."""

    execution_id: str
    quantity: Decimal


@dataclass(slots=True)
class Order:
    """An order with all that replaced it; ``newest`` is the id of the last of them."""

    order_id: str
    client_order_id: str | None
    instrument: str
    newest: str
    batch: str
    dated: bool
    status: OrderStatus = OrderStatus.NEW
    turned_away: bool = False
    """It ended within the request that made it, and nothing was executed."""
    fills: list[Execution] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """What is open in an instrument, all trades together."""

    instrument: str
    side: Side
    quantity: Decimal


class Transactions:
    """The orders, executions, positions and balance that ``entries``, which grow, come to."""

    def __init__(self, entries: list[Json]) -> None:
        self._entries, self._seen = entries, 0
        self._orders: dict[str, Order] = {}
        self._by_id: dict[str, Order] = {}
        self._by_client_id: dict[str, str] = {}
        self._units: dict[str, Decimal] = defaultdict(Decimal)
        self._balance = Decimal(0)

    @property
    def orders(self) -> dict[str, Order]:
        """Every order that opens or reduces, by the id of the first of its chain."""
        self._read()
        return self._orders

    @property
    def by_client_id(self) -> dict[str, str]:
        """The ids of the orders that carry a client order id."""
        self._read()
        return self._by_client_id

    @property
    def balance(self) -> Decimal:
        self._read()
        return self._balance

    def positions(self) -> list[Held]:
        self._read()
        return [
            Held(symbol, Side.BUY if units > 0 else Side.SELL, abs(units))
            for symbol, units in sorted(self._units.items())
            if units
        ]

    def executions(self) -> list[Execution]:
        """Return every execution of the account, also of what protects trades."""
        self._read()
        return [
            Execution(each["id"], abs(Decimal(each["units"])))
            for each in self._entries
            if each["type"] == "ORDER_FILL"
        ]

    def _read(self) -> None:
        while self._seen < len(self._entries):
            entry = self._entries[self._seen]
            self._seen += 1
            if entry["type"] in _ENTRIES:
                self._created(entry)
            elif entry["type"] == "ORDER_CANCEL":
                self._canceled(entry)
            elif entry["type"] == "ORDER_FILL":
                self._filled(entry)
            if "accountBalance" in entry:
                self._balance = Decimal(entry["accountBalance"])

    def _created(self, entry: Json) -> None:
        replaced = self._by_id.get(entry.get("replacesOrderID", ""))
        if replaced is not None:
            replaced.newest = entry["id"]
            replaced.dated = entry["timeInForce"] in _DATED
            self._by_id[entry["id"]] = replaced
            return
        name = entry.get("clientExtensions", {}).get("id")
        order = Order(
            entry["id"],
            name,
            symbol_of(entry["instrument"]),
            entry["id"],
            entry["batchID"],
            entry["timeInForce"] in _DATED,
        )
        self._orders[order.order_id] = self._by_id[order.order_id] = order
        if name is not None:
            self._by_client_id[name] = order.order_id

    def _canceled(self, entry: Json) -> None:
        order = self._by_id.get(entry["orderID"])
        if order is None or "replacedByOrderID" in entry:
            return
        expired = order.dated and entry["reason"] == "TIME_IN_FORCE_EXPIRED"
        order.status = OrderStatus.EXPIRED if expired else OrderStatus.CANCELED
        order.turned_away = not order.fills and entry["batchID"] == order.batch

    def _filled(self, entry: Json) -> None:
        units = Decimal(entry["units"])
        self._units[symbol_of(entry["instrument"])] += units
        order = self._by_id.get(entry["orderID"])
        if order is not None:
            order.fills.append(Execution(entry["id"], abs(units)))
            order.status = OrderStatus.FILLED  # nothing is filled in part: no price is short
