"""One account: its orders, trades and transactions, told from what the exchange reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mtquant.exchange import ExchangeSettings
from mtquant.exchange.record import PROTECTIVE, ZERO
from mtquant.model import Fill, OrderReport, OrderStatus, PositionMode, Quote, Reason, Side
from mtquant_simulators.oanda import text
from mtquant_simulators.oanda.desk import Desk
from mtquant_simulators.oanda.ledger import Json, Ledger
from mtquant_simulators.oanda.settings import AccountSettings, OandaSettings

KINDS = {
    Reason.TAKE_PROFIT: "TAKE_PROFIT",
    Reason.STOP_LOSS: "STOP_LOSS",
    Reason.TRAILING_STOP: "TRAILING_STOP_LOSS",
}
"""The order types that protect a trade, by the exchange's reason."""
ON_FILL = {
    "TAKE_PROFIT": "takeProfitOnFill",
    "STOP_LOSS": "stopLossOnFill",
    "TRAILING_STOP_LOSS": "trailingStopLossOnFill",
}
_CANCELED = {
    Reason.CANCELED_BY_CLIENT: "CLIENT_REQUEST",
    Reason.INSUFFICIENT_MARGIN: "INSUFFICIENT_MARGIN",
    Reason.MAX_SLIPPAGE: "BOUNDS_VIOLATION",
    Reason.TIME_EXPIRED: "TIME_IN_FORCE_EXPIRED",
    Reason.NOT_FILLABLE: "INSUFFICIENT_LIQUIDITY",
    Reason.OTHER: "FIFO_VIOLATION",
    Reason.POSITION_CLOSED: "LINKED_TRADE_CLOSED",
    Reason.STOP_LOSS: "LINKED_TRADE_CLOSED",
    Reason.TAKE_PROFIT: "LINKED_TRADE_CLOSED",
    Reason.TRAILING_STOP: "LINKED_TRADE_CLOSED",
}
"""OANDA's reason of a cancellation, by the exchange's."""
_MARKET_FILLS = {
    "CLIENT_ORDER": "MARKET_ORDER",
    "TRADE_CLOSE": "MARKET_ORDER_TRADE_CLOSE",
    "POSITION_CLOSEOUT": "MARKET_ORDER_POSITION_CLOSEOUT",
    "MARGIN_CLOSEOUT": "MARKET_ORDER_MARGIN_CLOSEOUT",
}
_DETAILS = ("price", "distance", "timeInForce", "gtdTime", "clientExtensions")
_OUTCOME = {"reason", "orderFillTransactionID"}
LIQUIDITY = 10_000_000
"""What a price is said to be good for where nothing bounds it, in units."""


@dataclass(slots=True)
class Trade:
    """A trade; units are signed, money is the account's currency, ``position_id`` the exchange's.

    ``opener`` is the id of the order that opened it, ``closed`` the units and prices of its ends.

    ``dependents`` are the ids of the orders that protect it now, by their type.
    """

    id: str
    symbol: str
    position_id: str
    price: Decimal
    time: int
    initial: Decimal
    current: Decimal
    margin: Decimal
    opener: str
    extensions: Json = field(default_factory=dict)
    realized: Decimal = ZERO
    financing: Decimal = ZERO
    closed: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    closing: list[str] = field(default_factory=list)
    close_time: int | None = None
    dependents: dict[str, str] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether anything of it is left."""
        return bool(self.current)

    @property
    def side(self) -> Side:
        """The side that opened it."""
        return Side.BUY if self.initial > 0 else Side.SELL


@dataclass(slots=True)
class Totals:
    """What one side of an instrument has earned, in the account's currency."""

    pl: Decimal = ZERO
    financing: Decimal = ZERO
    commission: Decimal = ZERO


class Account:
    """The account of ``own`` settings. Times are nanoseconds UTC.

    ``exchange`` matches and keeps the money; :meth:`note` writes what it reports into ``ledger``,
    ``orders`` (OANDA's own JSON, by id) and ``trades``. Client order ids of the exchange are order
    ids of OANDA's.
    """

    def __init__(
        self, settings: OandaSettings, own: AccountSettings, symbols: Iterable[str], time: int
    ) -> None:
        terms: dict[str, Any] = {
            **settings.exchange_terms(),
            "account_id": own.account_id,
            "currency": own.currency,
            "balance": own.balance,
            "position_mode": PositionMode.HEDGING,  # a trade is a ticket in both kinds of account
            "close_out_level": settings.close_out_level,
            "instruments": settings.instruments,
        }
        self.exchange = Desk(ExchangeSettings.read(terms, "terms"), symbols, hedging=own.hedging)
        self.exchange.pass_time(time)
        self.id, self.own, self.created = own.account_id, own, time
        self.alias = own.alias
        self.ledger = Ledger(own.account_id)
        self.orders: dict[str, Json] = {}
        self.trades: dict[str, Trade] = {}
        self.totals: dict[tuple[str, Side], Totals] = {}
        self.balance = own.balance
        self.halted = False
        self.last_fill: int | None = None
        self._on_exchange: dict[str, str] = {}
        self._ours: dict[str, str] = {}
        self._trade_of: dict[str, str] = {}
        # Beside all that ever were, so that an answer costs what is held, not how long it has run.
        self._waiting: dict[str, Json] = {}
        self._open_trades: dict[str, Trade] = {}
        self._awaited: dict[tuple[str, str], str] = {}
        self._due: dict[str, int] = {}
        self._called = False
        self._open(time)

    def _open(self, time: int) -> None:
        site, division, user, number = (int(part) for part in self.id.split("-"))
        self.ledger.add(
            "CREATE",
            time,
            divisionID=division,
            siteID=site,
            accountUserID=user,
            accountNumber=number,
            homeCurrency=self.own.currency,
        )
        with self.ledger.batch():
            self.ledger.add("CLIENT_CONFIGURE", time, alias=self.alias)
        with self.ledger.batch():
            amount = text.money(self.own.balance)
            self.ledger.add(
                "TRANSFER_FUNDS",
                time,
                amount=amount,
                fundingReason="CLIENT_FUNDING",
                accountBalance=amount,
            )

    # --- what stands ---------------------------------------------------------------------------

    @property
    def time(self) -> int:
        """The account's time."""
        return self.exchange.time

    def quote(self, symbol: str) -> Quote:
        """Return the newest price of our ``symbol``."""
        return self.exchange.quotes[symbol]

    def pending(self) -> list[Json]:
        """Return the orders that wait, the newest first."""
        return list(reversed(self._waiting.values()))

    def open_trades(self) -> list[Trade]:
        """Return the open trades, the newest first."""
        return list(reversed(self._open_trades.values()))

    def report(self, order_id: str) -> OrderReport | None:
        """Return what the exchange says of an order, None where it never reached it."""
        known = self._on_exchange.get(order_id)
        return None if known is None else self.exchange.orders[known]

    def tradeable(self, symbol: str) -> bool:
        """Tell whether ``symbol`` trades now."""
        return not self.halted and self.exchange.is_open(symbol)

    # --- time ----------------------------------------------------------------------------------

    def come_to(self, time: int) -> None:
        """Let everything fall due that does until ``time``, in its order."""
        while (due := self._next_due()) is not None and due <= time:
            before = {each.position_id: each.swap for each in self.exchange.positions()}
            self.exchange.pass_time(due)
            self.note()
            self._expire(due)
            self._finance(before, due)
        self.exchange.pass_time(time)

    def _next_due(self) -> int | None:
        dues = [each for each in (self.exchange.next_due(), *self._due.values()) if each]
        return min(dues, default=None)

    def _expire(self, now: int) -> None:
        """End the dependent orders whose time is up; the exchange knows no date of theirs."""
        for order_id in [each for each, due in self._due.items() if due <= now]:
            del self._due[order_id]
            if self.orders[order_id]["state"] == "PENDING":
                self.ledger.part()
                self.cancel(order_id, "TIME_IN_FORCE_EXPIRED", now)

    def _finance(self, before: Mapping[str, Decimal], time: int) -> None:
        found: dict[str, list[Json]] = {}
        sums: dict[str, Decimal] = {}
        for position in self.exchange.positions():
            earned = position.swap - before.get(position.position_id, position.swap)
            if not earned:
                continue
            trade = self.trades[self._trade_of[position.position_id]]
            trade.financing += earned
            self._total(trade.symbol, trade.side).financing += earned
            self.balance += earned
            name = text.name_of(trade.symbol)
            sums[name] = sums.get(name, ZERO) + earned
            found.setdefault(name, []).append(
                {"tradeID": trade.id, "financing": text.money(earned)}
            )
        if not found:
            return
        with self.ledger.batch():
            self.ledger.add(
                "DAILY_FINANCING",
                time,
                financing=text.money(sum(sums.values(), ZERO)),
                accountBalance=text.money(self.balance),
                accountFinancingMode="DAILY",
                positionFinancings=[
                    {
                        "instrument": name,
                        "financing": text.money(sums[name]),
                        "openTradeFinancings": trades,
                    }
                    for name, trades in found.items()
                ],
            )

    def watch_margin(self) -> None:
        """Note a margin call that begins or ends."""
        called = bool(self.exchange.held()) and self.exchange.account(self.time).margin_call
        if called != self._called:
            self._called = called
            with self.ledger.batch():  # of its own, whatever was noted before
                self.ledger.add("MARGIN_CALL_ENTER" if called else "MARGIN_CALL_EXIT", self.time)

    def _total(self, symbol: str, side: Side) -> Totals:
        return self.totals.setdefault((symbol, side), Totals())

    # --- orders --------------------------------------------------------------------------------

    def new_order(self, kind: str, reason: str, fields: Mapping[str, Any]) -> Json:
        """Write the transaction that creates an order of type ``kind``, and the pending order."""
        entry = self.ledger.add(f"{kind}_ORDER", self.time, reason=reason, **fields)
        order: Json = {"id": entry["id"], "createTime": entry["time"], "state": "PENDING"}
        order["type"] = kind
        kept = fields.items()
        order.update({k: v for k, v in kept if v is not None and k not in _OUTCOME})
        order.pop("cancellingTransactionID", None)  # here it would be the order's own end
        self.orders[entry["id"]] = self._waiting[entry["id"]] = order
        if kind in ON_FILL:
            self.trades[order["tradeID"]].dependents[kind] = entry["id"]
            if order.get("timeInForce") == "GTD":
                self._due[entry["id"]] = int(order["gtdTime"])
            elif order.get("timeInForce") == "GFD":
                self._due[entry["id"]] = self.exchange.settings.rollover.after(self.time)
        return order

    def await_dependent(self, order: Json) -> None:
        """Say that the next protection of the order's trade and type is this one's."""
        trade = self.trades[order["tradeID"]]
        self._awaited[trade.position_id, order["type"]] = order["id"]

    def end(self, order_id: str, reason: str, time: int, **fields: Any) -> Json:  # noqa: ANN401
        """Write that a pending order is cancelled; the exchange is told by the caller."""
        order = self.orders[order_id]
        entry = self.ledger.add(
            "ORDER_CANCEL",
            time,
            orderID=order_id,
            clientOrderID=order.get("clientExtensions", {}).get("id"),
            reason=reason,
            **fields,
        )
        order.update(state="CANCELLED", cancellingTransactionID=entry["id"])
        order["cancelledTime"] = entry["time"]
        if "replacedByOrderID" in fields:
            order["replacedByOrderID"] = fields["replacedByOrderID"]
        self._unlink(order)
        return entry

    def cancel(self, order_id: str, reason: str, time: int, **fields: Any) -> Json:  # noqa: ANN401
        """Cancel a pending order for ``reason``, here and at the exchange."""
        entry = self.end(order_id, reason, time, **fields)
        known = self._on_exchange.get(order_id)
        if known is not None:
            self.exchange.cancel(known, time)
        return entry

    def _unlink(self, order: Json) -> None:
        self._due.pop(order["id"], None)
        self._waiting.pop(order["id"], None)
        trade = self.trades.get(order.get("tradeID", ""))
        if trade is not None and trade.dependents.get(order["type"]) == order["id"]:
            del trade.dependents[order["type"]]

    # --- what the exchange reports -------------------------------------------------------------

    def note(self) -> None:
        """Write what the exchange has done since the last time, in the order in which it did."""
        changes = self.exchange.take_changes()
        fills: dict[str, list[Fill]] = {}
        for each in changes:
            if isinstance(each.what, Fill):
                fills.setdefault(each.what.order_id, []).append(each.what)
        for each in changes:
            if isinstance(each.what, OrderReport):
                self._reported(each.what)
            elif (
                isinstance(each.what, Fill) and each.what.order_id in fills
            ):  # an order's executions at one price are one fill
                self._filled(each.what.order_id, fills.pop(each.what.order_id))

    def _reported(self, report: OrderReport) -> None:
        order_id = self._ours.get(report.order_id)
        if order_id is None:
            order_id = self._met(report)
        order = self.orders[order_id]
        if order["state"] != "PENDING" or not report.status.terminal:
            return
        cut = report.reason in {Reason.NOT_FILLABLE, Reason.POSITION_CLOSED} and report.fills
        if report.status is OrderStatus.FILLED or cut:  # one that is cut has filled, with less
            order["state"] = "FILLED"
            self._unlink(order)
            return
        reason = _CANCELED.get(report.reason or Reason.OTHER, "INTERNAL_SERVER_ERROR")
        waited = order["type"] != "MARKET" and reason == "INSUFFICIENT_LIQUIDITY"
        if order["type"] not in ON_FILL:  # what protected a trade goes with the fill that closed it
            self.ledger.part()
        self.end(order_id, "TIME_IN_FORCE_EXPIRED" if waited else reason, report.updated_at)

    def _met(self, report: OrderReport) -> str:
        """Return our id of an order that the exchange reports for the first time."""
        if report.client_order_id is not None:
            order_id = report.client_order_id
        elif report.reason in PROTECTIVE and report.reason is not None:
            order_id = self._dependent(report, KINDS[report.reason])
        else:
            order_id = self._close_out(report)
        self._ours[report.order_id] = order_id
        self._on_exchange[order_id] = report.order_id
        return order_id

    def _dependent(self, report: OrderReport, kind: str) -> str:
        awaited = self._awaited.pop((report.position_id or "", kind), None)
        if awaited is not None:
            return awaited
        trade = self.trades[self._trade_of[report.position_id or ""]]
        opener = self.orders[trade.opener]
        details = opener.get(ON_FILL[kind], {})
        fields: Json = {
            "tradeID": trade.id,
            "clientTradeID": trade.extensions.get("id"),
            **{name: details.get(name) for name in _DETAILS},
            "triggerCondition": "DEFAULT",
            "guaranteed": False if kind == "STOP_LOSS" else None,
            "orderFillTransactionID": trade.id,
        }
        level = report.limit_price or report.stop_price
        if kind != "TRAILING_STOP_LOSS" and level is not None:
            fields["price"] = text.price(level, self.exchange.instruments[trade.symbol])
        return str(self.new_order(kind, "ON_FILL", fields)["id"])

    def _close_out(self, report: OrderReport) -> str:
        fields = {
            "instrument": text.name_of(report.instrument),
            "units": text.units(report.side.sign * report.quantity),
            "timeInForce": "FOK",
            "positionFill": "REDUCE_ONLY",
            "marginCloseout": {"reason": "MARGIN_CHECK_VIOLATION"},
        }
        self.ledger.part()
        return str(self.new_order("MARKET", "MARGIN_CLOSEOUT", fields)["id"])

    def _filled(self, known: str, fills: list[Fill]) -> None:
        """Write one fill of an order, and what it has made of the trades."""
        report, first = self.exchange.orders[known], fills[0]
        order = self.orders[self._ours.get(known) or self._met(report)]
        created = self.ledger.entries[int(order["id"]) - 1]
        if created.get("reason") != "MARGIN_CLOSEOUT":  # that one was made for this fill
            self.ledger.part()
        symbol, side, time = report.instrument, report.side, first.time
        each = self.exchange.instruments[symbol]
        quantity = sum((fill.quantity for fill in fills), ZERO)
        quote, rate = self.quote(symbol), self.exchange.rate(each.quote)
        half = (quote.ask - quote.bid) / 2 * rate
        self.balance += sum((fill.realized_profit - fill.commission for fill in fills), ZERO)
        self.last_fill = time
        entry = self.ledger.add(
            "ORDER_FILL",
            time,
            orderID=order["id"],
            clientOrderID=order.get("clientExtensions", {}).get("id"),
            instrument=text.name_of(symbol),
            units=text.units(side.sign * quantity),
            gainQuoteHomeConversionFactor=text.factor(rate),
            lossQuoteHomeConversionFactor=text.factor(rate),
            price=text.price(first.price, each),
            fullVWAP=text.price(first.price, each),
            fullPrice=self._full_price(symbol),
            reason=_fill_reason(created),
            pl=text.money(sum((fill.realized_profit for fill in fills), ZERO)),
            financing="0.0000",
            commission=text.money(sum((fill.commission for fill in fills), ZERO)),
            guaranteedExecutionFee="0.0000",
            accountBalance=text.money(self.balance),
            halfSpreadCost=text.money(half * quantity),
        )
        order.update(fillingTransactionID=entry["id"], filledTime=entry["time"])
        for fill in fills:
            cost = text.money(half * fill.quantity)
            held = self._trade_of.get(fill.position_id or "")
            if held is None:
                self._opened(entry, order, fill, cost)
            else:
                self._reduced(entry, order, self.trades[held], fill, cost)

    def _full_price(self, symbol: str) -> Json:
        quote, each = self.quote(symbol), self.exchange.instruments[symbol]
        bid, ask = text.price(quote.bid, each), text.price(quote.ask, each)
        liquidity = int(self.exchange.terms[symbol].liquidity or LIQUIDITY)
        return {
            "bids": [{"price": bid, "liquidity": liquidity}],
            "asks": [{"price": ask, "liquidity": liquidity}],
            "closeoutBid": bid,
            "closeoutAsk": ask,
        }

    def _opened(self, entry: Json, order: Json, fill: Fill, cost: str) -> None:
        each = self.exchange.instruments[fill.instrument]
        units = fill.side.sign * fill.quantity
        rate = self.exchange.rate(each.quote)
        needed = fill.quantity * self.quote(fill.instrument).mid * rate * each.margin_rate
        extensions = order.get("tradeClientExtensions") or {}
        trade = Trade(
            id=entry["id"],
            symbol=fill.instrument,
            position_id=fill.position_id or "",
            price=fill.price,
            time=fill.time,
            initial=units,
            current=units,
            margin=needed,
            opener=order["id"],
            extensions=dict(extensions),
        )
        self.trades[trade.id] = self._open_trades[trade.id] = trade
        self._trade_of[trade.position_id] = trade.id
        self._total(trade.symbol, trade.side).commission += fill.commission
        order["tradeOpenedID"] = trade.id
        entry["tradeOpened"] = {
            "tradeID": trade.id,
            "units": text.units(units),
            "price": text.price(fill.price, each),
            "guaranteedExecutionFee": "0.0000",
            "halfSpreadCost": cost,
            "initialMarginRequired": text.money(needed),
        }
        if extensions:
            entry["tradeOpened"]["clientExtensions"] = dict(extensions)

    def _reduced(self, entry: Json, order: Json, trade: Trade, fill: Fill, cost: str) -> None:
        units = fill.side.sign * fill.quantity
        trade.current += units
        trade.realized += fill.realized_profit
        trade.closed.append((fill.quantity, fill.price))
        trade.closing.append(entry["id"])
        total = self._total(trade.symbol, trade.side)
        total.pl += fill.realized_profit
        total.commission += fill.commission
        reduced = {
            "tradeID": trade.id,
            "units": text.units(units),
            "price": text.price(fill.price, self.exchange.instruments[trade.symbol]),
            "realizedPL": text.money(fill.realized_profit),
            "financing": "0.0000",
            "guaranteedExecutionFee": "0.0000",
            "halfSpreadCost": cost,
        }
        if trade.open:
            entry["tradeReduced"] = reduced
            order["tradeReducedID"] = trade.id
        else:
            trade.close_time = fill.time
            del self._open_trades[trade.id]
            entry.setdefault("tradesClosed", []).append(reduced)
            order.setdefault("tradeClosedIDs", []).append(trade.id)


def _fill_reason(created: Json) -> str:
    """Return why an order filled: by its type, a market order by what it was for."""
    kind = str(created["type"])
    return _MARKET_FILLS[created["reason"]] if kind == "MARKET_ORDER" else kind
