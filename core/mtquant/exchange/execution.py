"""What an execution does to a simulated account, and what becomes due as time passes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal

from mtquant.errors import Refused
from mtquant.exchange import costs
from mtquant.exchange.books import Books
from mtquant.exchange.costs import money
from mtquant.exchange.matching import STOPS, Span
from mtquant.exchange.record import PROTECTIVE, ZERO, Snapshot
from mtquant.exchange.settings import ExchangeSettings
from mtquant.model import (
    CashFlowKind,
    Fill,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    PositionEffect,
    PositionMode,
    Reason,
    Side,
    TimeInForce,
)

_SLIPPING = STOPS | {OrderType.MARKET, OrderType.MARKET_IF_TOUCHED}
_NEVER = 1 << 62


class Execution(Books):
    """The books, and how executions, protections, swaps, expiry and close-outs change them."""

    def __init__(self, settings: ExchangeSettings, symbols: Iterable[str]) -> None:
        super().__init__(settings, symbols)
        self._left: dict[str, Decimal] = {}
        self._expires: dict[str, int] = {}
        self._swaps = any(each.swap_long or each.swap_short for each in self.terms.values())
        self._next_swap = 0 if self._swaps else _NEVER

    def restore(self, stored: Snapshot) -> None:
        """Continue where ``stored`` was taken."""
        super().restore(stored)
        self._next_swap = 0 if self._swaps else _NEVER
        self._expires = {}
        for working in self._record.working.values():
            for order_id in working:
                self._note_expiry(order_id)

    # --- time --------------------------------------------------------------------------------

    def pass_time(self, to: int) -> None:
        """Come to ``to``: orders expire and swaps fall due on the way, in their order."""
        while (due := self.next_due()) is not None and due <= to:
            self.time = max(self.time, due)
            if due == min(self._expires.values(), default=_NEVER):
                self._expire(due)
            else:
                self._charge_swaps(due)
                self._next_swap = self.settings.rollover.after(due)
        self.time = max(self.time, to)

    def idle(self, to: int) -> bool:
        """Tell whether nothing can happen until ``to``, whatever the prices do."""
        due = self.next_due()
        return not (
            self._positions.open
            or any(self._record.working.values())
            or (due is not None and due <= to)
        )

    def next_due(self) -> int | None:
        """Return when an order expires or a swap falls due next, None where nothing does."""
        if not self._next_swap and self.time:
            self._next_swap = self.settings.rollover.after(self.time)
        while self._expires:
            first = min(self._expires, key=self._expires.__getitem__)
            if not self._record.orders[first].status.terminal:
                break
            del self._expires[first]  # it ended otherwise
        due = min(min(self._expires.values(), default=_NEVER), self._next_swap or _NEVER)
        return due if due < _NEVER else None

    def _note_expiry(self, order_id: str) -> None:
        """Note when an order's time is up: as dated, or with the trading day."""
        report = self._record.orders[order_id]
        if report.time_in_force is TimeInForce.GTD and report.expire_time is not None:
            self._expires[order_id] = report.expire_time
        elif report.time_in_force is TimeInForce.DAY:
            self._expires[order_id] = self.settings.rollover.after(report.submitted_at)
        else:
            self._expires.pop(order_id, None)

    def _expire(self, now: int) -> None:
        for order_id, due in list(self._expires.items()):
            if due > now:
                continue
            del self._expires[order_id]
            report = self._record.orders[order_id]
            if not report.status.terminal:
                self._record.finish(order_id, OrderStatus.EXPIRED, Reason.TIME_EXPIRED, now)

    def _charge_swaps(self, now: int) -> None:
        triple = self.settings.rollover.weekday(now) == self.settings.triple_swap_day
        for position in list(self._positions.open.values()):
            symbol = position.instrument
            each, quote = self.instruments[symbol], self.quotes[symbol]
            earned = costs.swap(
                self.terms[symbol],
                each,
                position.side,
                position.quantity,
                quote.mid,
                self.rate(each.quote),
            ) * (3 if triple else 1)
            self.balance += earned
            self.touched = True
            if earned:
                self._record.pay(CashFlowKind.FINANCING, earned, now)
            self._positions.open[position.position_id] = replace(
                position, swap=position.swap + earned
            )

    # --- executions --------------------------------------------------------------------------

    def _execute(
        self,
        order_id: str,
        price: Decimal,
        time: int,
        *,
        span: Span | None = None,
        reference: Decimal | None = None,
    ) -> Fill | None:
        """Fill an order as far as it can be at ``price``; return the fill, if there was one.

        Inside a bar, a slip stays within its ``span``. ``reference`` is what max_slippage counts
        from.
        """
        report = self._record.orders[order_id]
        request = self._record.working[report.instrument][order_id]
        wanted = self._wanted(report, request)
        if not wanted:
            self._record.finish(order_id, OrderStatus.CANCELED, Reason.POSITION_CLOSED, time)
            return None
        quantity = self._fillable(report.instrument, wanted)
        at_once = request.time_in_force
        if at_once is TimeInForce.FOK and quantity < report.remaining_quantity:
            self._record.finish(order_id, OrderStatus.CANCELED, Reason.NOT_FILLABLE, time)
            return None
        if not quantity:
            self._cut(order_id, time)
            return None
        price = self._slipped(request, price, span)
        problem = self._problem(report, request, quantity, price, reference)
        if problem is not None:
            self._record.finish(order_id, OrderStatus.CANCELED, problem[0], time, problem[1])
            return None
        fill = self._book(report, request, quantity, price, time)
        if order_id in self._record.working[report.instrument]:
            if quantity < wanted or wanted == report.remaining_quantity:
                self._cut(order_id, time)
            else:  # what it may reduce is gone
                self._record.finish(order_id, OrderStatus.CANCELED, Reason.POSITION_CLOSED, time)
        return fill

    def _wanted(self, report: OrderReport, request: OrderRequest) -> Decimal:
        """Return how much the order still wants: one that only reduces, no more than is held."""
        if not request.reduce_only:
            return report.remaining_quantity
        position = self._positions.open.get(report.position_id or report.instrument)
        held = position.quantity if position and position.side is not report.side else ZERO
        return min(report.remaining_quantity, held)

    def _fillable(self, symbol: str, wanted: Decimal) -> Decimal:
        left = self._left.get(symbol)
        if left is None or wanted <= left:
            return wanted
        step = self.instruments[symbol].quantity_step
        return (left / step).to_integral_value(ROUND_FLOOR) * step

    def _cut(self, order_id: str, time: int) -> None:
        """End what must not rest; the remainder of another order waits for the next price."""
        if self._record.orders[order_id].time_in_force is TimeInForce.IOC:
            self._record.finish(order_id, OrderStatus.CANCELED, Reason.NOT_FILLABLE, time)

    def _slipped(self, request: OrderRequest, price: Decimal, span: Span | None) -> Decimal:
        if request.order_type not in _SLIPPING:
            return price
        symbol = request.instrument
        worse = costs.slipped(
            price,
            request.side,
            self.terms[symbol],
            self.instruments[symbol],
            self.settings.seed,
            self._record.numbered,
        )
        if span is None or worse == price:
            return worse
        return (
            min(worse, max(span.top, price))
            if request.side is Side.BUY
            else max(worse, min(span.bottom, price))
        )

    def _problem(
        self,
        report: OrderReport,
        request: OrderRequest,
        quantity: Decimal,
        price: Decimal,
        reference: Decimal | None,
    ) -> tuple[Reason, str] | None:
        """Return why the order must not fill now, although its price has come."""
        if report.reason is not None:
            return None  # the venue's own orders only ever reduce
        most, start = request.max_slippage, reference or report.stop_price
        if most is not None and start is not None and request.side.sign * (price - start) > most:
            return Reason.MAX_SLIPPAGE, ""
        netting = self.settings.position_mode is PositionMode.NETTING
        opposite = self._positions.opposite(request.instrument, request.side)
        if netting and request.position_effect is PositionEffect.OPEN and opposite:
            return Reason.OTHER, "it may only open, and an opposite position is held"
        if request.reduce_only:
            return None
        try:
            self._check_margin(request, quantity, price)
        except Refused as refusal:
            return Reason.INSUFFICIENT_MARGIN, str(refusal)
        return None

    def _book(
        self,
        report: OrderReport,
        request: OrderRequest,
        quantity: Decimal,
        price: Decimal,
        time: int,
    ) -> Fill:
        """Move the position and the money, note the fill, and see to the protections."""
        symbol = request.instrument
        rate = self.rate(self.instruments[symbol].quote)
        if symbol in self._left:
            self._left[symbol] -= quantity
        number = self._record.number()
        position_id = report.position_id or self._position_id(symbol, number)
        moved = self._positions.take(request, position_id, quantity, price, time)
        realized = ZERO
        if moved.before is not None and moved.closed:
            gained = moved.before.side.sign * (price - moved.before.average_price)
            realized = money(gained * moved.closed * rate)
        fees = costs.commission(self.terms[symbol], quantity, price, rate)
        self.balance += realized - fees
        fill = Fill(
            execution_id=f"E{number}",
            order_id=report.order_id,
            client_order_id=report.client_order_id,
            instrument=symbol,
            side=request.side,
            quantity=quantity,
            price=price,
            time=time,
            commission=fees,
            realized_profit=realized,
            position_id=position_id,
            reason=report.reason,
        )
        self._record.fill(fill)
        turned = moved.before and moved.after and moved.before.side is not moved.after.side
        if turned or moved.after is None:
            self._drop_protections(symbol, position_id, time)
        if moved.after is not None:
            quote = self.quotes[symbol]
            spread = quote.ask - quote.bid if request.side is moved.after.side else ZERO
            self._protect(moved.after, price - moved.after.side.sign * spread, time)
        return fill

    def _position_id(self, symbol: str, number: int) -> str:
        netting = self.settings.position_mode is PositionMode.NETTING
        return symbol if netting else f"P{number}"

    # --- protections -------------------------------------------------------------------------

    def _protect(self, position: Position, closing: Decimal, time: int) -> None:
        """Make the resting protections those of the position: its prices and its size.

        ``closing`` is the price at which it could be closed now, which a trailing stop begins from.
        """
        standing = self._record.protecting(position.instrument, position.position_id)
        for reason, kind, wanted in (
            (Reason.STOP_LOSS, OrderType.STOP, position.stop_loss),
            (Reason.TAKE_PROFIT, OrderType.LIMIT, position.take_profit),
            (Reason.TRAILING_STOP, OrderType.TRAILING_STOP, position.trailing_stop),
        ):
            order_id = standing.get(reason)
            if order_id is not None:
                report = self._record.orders[order_id]
                if wanted == _level(report):
                    self._resize(report, position.quantity, time)
                    continue
                self._record.finish(order_id, OrderStatus.CANCELED, reason, time)
            if wanted is not None:
                self._guard(position, reason, kind, wanted, closing, time)

    def _guard(
        self,
        position: Position,
        reason: Reason,
        kind: OrderType,
        wanted: Decimal,
        closing: Decimal,
        time: int,
    ) -> None:
        order = OrderRequest(
            client_order_id=reason,
            instrument=position.instrument,
            side=position.side.opposite,
            order_type=kind,
            quantity=position.quantity,
            limit_price=wanted if kind is OrderType.LIMIT else None,
            stop_price=wanted if kind is OrderType.STOP else None,
            trailing_stop=wanted if kind is OrderType.TRAILING_STOP else None,
            reduce_only=True,
        )
        trails = kind is OrderType.TRAILING_STOP
        self._record.open(
            order,
            time,
            reason=reason,
            position_id=position.position_id,
            stop_price=closing - position.side.sign * wanted if trails else None,
        )

    def _resize(self, report: OrderReport, quantity: Decimal, time: int) -> None:
        if report.remaining_quantity == quantity:
            return
        whole = report.filled_quantity + quantity
        working = self._record.working[report.instrument]
        working[report.order_id] = replace(working[report.order_id], quantity=whole)
        self._record.put(
            replace(report, quantity=whole, remaining_quantity=quantity, updated_at=time)
        )

    def _drop_protections(self, symbol: str, position_id: str, time: int) -> None:
        for reason, order_id in self._record.protecting(symbol, position_id).items():
            self._record.finish(order_id, OrderStatus.CANCELED, reason, time)

    # --- margin close-out --------------------------------------------------------------------

    def _close_out(self, time: int) -> None:
        """Close the position with the largest loss while the equity is at the close-out level."""
        level = self.settings.close_out_level
        while self._positions.open and level:
            used = self._margin_used()
            if not used or self._equity() > level * used:
                return
            worst = min(self._positions.open.values(), key=self._open_profit)
            quote = self.quotes[worst.instrument]
            order = OrderRequest(
                client_order_id=Reason.MARGIN_CLOSE_OUT,
                instrument=worst.instrument,
                side=worst.side.opposite,
                order_type=OrderType.MARKET,
                quantity=worst.quantity,
                time_in_force=TimeInForce.IOC,
                reduce_only=True,
            )
            order_id = self._record.open(
                order, time, reason=Reason.MARGIN_CLOSE_OUT, position_id=worst.position_id
            )
            price = quote.bid if worst.side is Side.BUY else quote.ask
            if self._execute(order_id, price, time) is None:
                return  # nobody takes it now; the next price will see to it


def _level(report: OrderReport) -> Decimal | None:
    """Return the price or distance that a protective order stands for."""
    if report.reason not in PROTECTIVE:
        return None
    return report.trailing_stop or report.limit_price or report.stop_price
