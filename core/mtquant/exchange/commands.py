"""What a client may ask of a simulated account: place, preview, change, protect, cancel, close."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from mtquant.errors import ErrorCode
from mtquant.exchange import costs
from mtquant.exchange.costs import money
from mtquant.exchange.execution import Execution
from mtquant.exchange.record import PROTECTIVE, ZERO
from mtquant.exchange.validate import check_order, check_price, check_protections, refuse
from mtquant.model import (
    UNCHANGED,
    CloseRequest,
    ModifyRequest,
    OrderPreview,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    PositionEffect,
    PositionMode,
    ProtectionRequest,
    Quote,
    Reason,
    Side,
    TimeInForce,
    plain,
)

_PROTECTIONS = ("stop_loss", "take_profit", "trailing_stop")


class Commands(Execution):
    """An account that executes, and takes commands. Each raises Refused where it did nothing."""

    def place(self, order: OrderRequest, time: int) -> OrderReport:
        """Take an order; raises Refused where it isn't one that can be traded now."""
        if order.client_order_id in self.by_client_id:
            raise refuse(
                ErrorCode.DUPLICATE_MISMATCH,
                "an order with this client order id exists",
                "client_order_id",
            )
        self.pass_time(time)
        order, quote = self._vetted(order)
        return self._take(order, quote, time)

    def preview(self, order: OrderRequest, time: int) -> OrderPreview:
        """Tell what :meth:`place` would do; raises what it would raise, and changes nothing."""
        self.pass_time(time)
        order, quote = self._vetted(order)
        each, terms = self.instruments[order.instrument], self.terms[order.instrument]
        rate, market = self.rate(each.quote), _market(order.side, quote)
        price = market if _at_once(order, quote) else order.limit_price or order.stop_price
        price = market if price is None else price
        used, needed = self._margin_used(), self._margin_with(order, order.quantity)
        fee = costs.commission(terms, order.quantity, price, rate)
        spread = money(order.quantity * (quote.ask - quote.bid) / 2 * rate)
        stop = order.stop_loss
        if order.trailing_stop is not None and order.order_type is not OrderType.TRAILING_STOP:
            trail = price - order.side.sign * order.trailing_stop
            stop = trail if stop is None else _nearer(order.side, stop, trail)
        return OrderPreview(
            price=price,
            quantity=order.quantity,
            notional=money(order.quantity * price * rate),
            margin_required=max(needed - used, ZERO),
            margin_available_after=max(self._equity() - needed, ZERO),
            commission=fee,
            spread_cost=spread,
            loss_at_stop=None
            if stop is None
            else money(order.side.sign * order.quantity * (price - stop) * rate) + 2 * fee,
        )

    def modify(self, change: ModifyRequest, time: int) -> OrderReport:
        """Change a working order; what protects a position is changed by :meth:`protect`."""
        self.pass_time(time)
        report = self._working_report(change.order_id)
        if report.reason in PROTECTIVE:
            raise refuse(
                ErrorCode.UNSUPPORTED,
                "this order protects a position: change it with set_protection",
                "order_id",
            )
        before = self._record.working[report.instrument][report.order_id]
        after = _changed(before, change)
        if after.quantity <= report.filled_quantity:
            raise refuse(
                ErrorCode.INVALID_QUANTITY,
                f"{plain(report.filled_quantity)} base units have filled: the whole order can't be "
                "less; cancel it instead",
                "quantity",
            )
        each, quote = self._priced(report.instrument)
        begun = bool(report.filled_quantity) and after.order_type is not OrderType.LIMIT
        if not begun:
            check_order(after, each, quote, self.time)
        at_once = _at_once(after, quote)
        if at_once:
            self._check_open(report.instrument)
            self._check_margin(
                after, after.quantity - report.filled_quantity, _market(after.side, quote)
            )
        self._record.working[report.instrument][report.order_id] = after
        trails = after.order_type is OrderType.TRAILING_STOP
        if trails and after.trailing_stop != before.trailing_stop:
            stands = _trail(after, quote)
        else:
            stands = report.stop_price if trails else after.stop_price
        self._record.put(
            replace(
                report,
                quantity=after.quantity,
                remaining_quantity=after.quantity - report.filled_quantity,
                limit_price=after.limit_price,
                stop_price=stands,
                time_in_force=after.time_in_force,
                expire_time=after.expire_time,
                stop_loss=after.stop_loss,
                take_profit=after.take_profit,
                trailing_stop=after.trailing_stop,
                updated_at=time,
            )
        )
        self._note_expiry(report.order_id)
        if at_once:
            self._execute(report.order_id, _market(after.side, quote), time)
        return self.orders[report.order_id]

    def protect(self, change: ProtectionRequest, time: int) -> Position:
        """Set what protects a position; what is UNCHANGED stays, None takes it away."""
        self.pass_time(time)
        position = self._positions.open.get(change.position_id)
        if position is None:
            raise refuse(ErrorCode.NOT_FOUND, "there is no such open position", "position_id")
        each, quote = self._priced(position.instrument)
        closing = quote.bid if position.side is Side.BUY else quote.ask
        for name in _PROTECTIONS:
            wanted = getattr(change, name)
            check_price(name, wanted if isinstance(wanted, Decimal) else None, each)
        check_protections(change, each, closing, position.side)
        changes = {
            name: getattr(change, name)
            for name in _PROTECTIONS
            if getattr(change, name) is not UNCHANGED
        }
        position = replace(position, **changes)
        self._positions.open[position.position_id] = position
        self.touched = True
        self._protect(position, closing, time)
        profit = money(self._open_profit(position))
        return replace(position, unrealized_profit=profit)

    def cancel(self, order_id: str, time: int) -> OrderReport:
        """Cancel a working order; one that has ended is returned as it is."""
        self.pass_time(time)
        if order_id not in self.orders:
            raise refuse(ErrorCode.NOT_FOUND, "there is no such order", "order_id")
        report = self.orders[order_id]
        if not report.status.terminal:
            # What protects must leave the position too, or the next fill would revive it.
            held = self._positions.open.get(report.position_id or "")
            if report.reason in PROTECTIVE and held is not None:
                without: dict[str, Any] = {str(report.reason): None}
                self._positions.open[held.position_id] = replace(held, **without)
            self._record.finish(order_id, OrderStatus.CANCELED, Reason.CANCELED_BY_CLIENT, time)
        return self.orders[order_id]

    def cancel_all(self, symbol: str | None, time: int, *, protections: bool) -> list[OrderReport]:
        """Cancel every working order, or those in ``symbol``; what protects only if asked."""
        if symbol is not None:
            self._known(symbol)
        wanted = [
            order_id
            for each, working in self._record.working.items()
            for order_id in working
            if symbol in {None, each}
            and (protections or self.orders[order_id].reason not in PROTECTIVE)
        ]
        return [self.cancel(order_id, time) for order_id in wanted]

    def close(self, close: CloseRequest, time: int) -> OrderReport:
        """Close a position or part of it at the market; raises Refused where there is none."""
        self.pass_time(time)
        position = self._named(close)
        self._check_first(position)
        order = OrderRequest(
            client_order_id=close.client_order_id,
            instrument=position.instrument,
            side=position.side.opposite,
            order_type=OrderType.MARKET,
            quantity=close.quantity or position.quantity,
            time_in_force=TimeInForce.IOC,
            reduce_only=True,
            strategy_id=close.strategy_id,
        )
        if order.client_order_id in self.by_client_id:
            raise refuse(
                ErrorCode.DUPLICATE_MISMATCH,
                "an order with this client order id exists",
                "client_order_id",
            )
        order, quote = self._vetted(order, position)
        return self._take(order, quote, time, position.position_id)

    def _named(self, close: CloseRequest) -> Position:
        """Return the position that ``close`` names, by its id or by its instrument."""
        if close.position_id is not None:
            position = self._positions.open.get(close.position_id)
            if position is None or close.instrument not in {None, position.instrument}:
                raise refuse(ErrorCode.NOT_FOUND, "there is no such open position", "position_id")
            return position
        symbol = close.instrument or ""
        self._known(symbol)
        held = self._positions.of(symbol)
        if not held:
            raise refuse(
                ErrorCode.NOT_FOUND, "there is no open position in this instrument", "instrument"
            )
        if len(held) > 1:
            tickets = ", ".join(each.position_id for each in held)
            raise refuse(
                ErrorCode.INVALID_ARGUMENT,
                f"several positions are open in this instrument; name one of {tickets}",
                "position_id",
            )
        return held[0]

    def _check_first(self, position: Position) -> None:
        oldest = self._positions.of(position.instrument)[0]
        if self.settings.fifo and oldest.position_id != position.position_id:
            raise refuse(
                ErrorCode.BROKER_REJECTED,
                f"first in, first out: close {oldest.position_id} first",
                "position_id",
            )

    def _vetted(
        self, order: OrderRequest, closes: Position | None = None
    ) -> tuple[OrderRequest, Quote]:
        """Return ``order`` as it will be traded; raises Refused where it can't be, now."""
        each, quote = self._priced(order.instrument)
        if closes is None:
            order = self._with_effect(order)
        held = self._positions.open.get(order.instrument) if closes is None else closes
        # A position may be smaller than the least order or larger than the greatest one.
        whole = order.reduce_only and held is not None and order.quantity == held.quantity
        check_order(order, each, quote, self.time, any_quantity=whole)
        if order.reduce_only:
            _check_reduces(order, held)
        if order.order_type is OrderType.MARKET or _at_once(order, quote):
            self._check_open(order.instrument)
            if not order.reduce_only:
                self._check_margin(order, order.quantity, _market(order.side, quote))
        return order, quote

    def _with_effect(self, order: OrderRequest) -> OrderRequest:
        """Apply position_effect and reduce_only, which mean something in a netting account only."""
        closes = order.reduce_only or order.position_effect is PositionEffect.CLOSE
        hedging = self.settings.position_mode is PositionMode.HEDGING
        if closes and hedging:
            field = "reduce_only" if order.reduce_only else "position_effect"
            raise refuse(
                ErrorCode.UNSUPPORTED,
                f"{field}: in a hedging account name the ticket, with close_position",
                field,
            )
        opposite = self._positions.opposite(order.instrument, order.side)
        if order.position_effect is PositionEffect.OPEN and opposite and not hedging:
            raise refuse(
                ErrorCode.CONFLICT,
                f"it may only open, and would close {plain(opposite)} base units",
                "position_effect",
            )
        return replace(order, reduce_only=True) if closes else order

    def _check_open(self, symbol: str) -> None:
        if not self.is_open(symbol):
            raise refuse(
                ErrorCode.MARKET_CLOSED,
                "this instrument's market is closed; a pending order may wait",
                "instrument",
            )

    def _working_report(self, order_id: str) -> OrderReport:
        report = self.orders.get(order_id)
        if report is None:
            raise refuse(ErrorCode.NOT_FOUND, "there is no such order", "order_id")
        if report.status.terminal:
            raise refuse(ErrorCode.CONFLICT, f"this order has ended: {report.status}", "order_id")
        return report

    def _take(
        self, order: OrderRequest, quote: Quote, time: int, position_id: str | None = None
    ) -> OrderReport:
        trails = order.order_type is OrderType.TRAILING_STOP
        order_id = self._record.open(
            order,
            time,
            position_id=position_id,
            stop_price=_trail(order, quote) if trails else None,
        )
        self._note_expiry(order_id)
        if order.order_type is OrderType.MARKET or _at_once(order, quote):
            market = _market(order.side, quote)
            self._execute(order_id, market, time, reference=market)
        elif order.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}:
            self._record.finish(order_id, OrderStatus.CANCELED, Reason.NOT_FILLABLE, time)
        return self.orders[order_id]


def _check_reduces(order: OrderRequest, held: Position | None) -> None:
    most = held.quantity if held is not None and held.side is not order.side else ZERO
    if order.quantity > most:
        raise refuse(
            ErrorCode.INVALID_QUANTITY,
            f"reduce only: at most {plain(most)} base units can be closed",
            "quantity",
        )


def _changed(order: OrderRequest, change: ModifyRequest) -> OrderRequest:
    """Return ``order`` with what ``change`` names; what it leaves out stays."""
    named = {
        name: getattr(change, name)
        for name in ("quantity", "limit_price", "stop_price", "time_in_force", "expire_time")
        if getattr(change, name) is not None
    }
    kept = {
        name: getattr(change, name)
        for name in _PROTECTIONS
        if getattr(change, name) is not UNCHANGED
    }
    after = replace(order, **named, **kept)
    dated = after.time_in_force is TimeInForce.GTD
    return after if dated or change.expire_time is not None else replace(after, expire_time=None)


def _at_once(order: OrderRequest, quote: Quote) -> bool:
    """Tell whether a limit order is marketable, or the order is one at the market."""
    if order.order_type is OrderType.MARKET:
        return True
    if order.order_type is not OrderType.LIMIT or order.limit_price is None:
        return False
    return order.side.sign * (order.limit_price - _market(order.side, quote)) >= 0


def _market(side: Side, quote: Quote) -> Decimal:
    return quote.ask if side is Side.BUY else quote.bid


def _trail(order: OrderRequest, quote: Quote) -> Decimal | None:
    """Return where a trailing stop order begins: its distance behind the market."""
    distance = order.trailing_stop
    return None if distance is None else _market(order.side, quote) + order.side.sign * distance


def _nearer(side: Side, one: Decimal, other: Decimal) -> Decimal:
    return max(one, other) if side is Side.BUY else min(one, other)
