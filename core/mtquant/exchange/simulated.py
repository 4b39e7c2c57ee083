"""The simulated exchange: one netting account, matched against bars. Pure and deterministic.

*Prices.* A mid price becomes bid and ask by half the spread each. A market order fills at once at
the ask (buy) or bid (sell). A limit fills at its price, or better where the market opens beyond
it; a stop fills at its price, or worse where the market opens beyond it.

*Inside a bar* the adverse comes first: every stop that the bar's range reaches fills before any
limit does, those nearer to the opening first. A position opened inside a bar may be stopped out by
the same bar, and can't take its profit in it. A quote is a bar that opens and ends at one price.

*Netting.* One position an instrument. What adds to it moves its average price; an opposite order
reduces, closes or turns it. Protections (stop-loss, take-profit) belong to the position: the
newest order that names one replaces it, and when one fills, or the position is closed or turned,
the other is cancelled.

*Money* is kept to 0.0001 of the account's currency, an average price to ten places, half to even.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from operator import itemgetter

from mtquant.errors import ConfigError, ErrorCode, Refused
from mtquant.exchange.rates import convert, paths
from mtquant.exchange.settings import ExchangeSettings, instrument
from mtquant.exchange.validate import check_order, refuse
from mtquant.model import (
    Account,
    CloseRequest,
    Environment,
    Fill,
    Instrument,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    Quote,
    Side,
    TimeInForce,
    plain,
)
from mtquant.symbols import unknown_instrument

ZERO = Decimal(0)
CENT = Decimal("0.0001")
AVERAGE_STEP = Decimal("0.0000000001")
STOP_LOSS, TAKE_PROFIT = "stop_loss", "take_profit"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the gapless record of what changed: an order's new state, or an execution."""

    seq: int
    what: OrderReport | Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a restart needs; the sequence goes on after ``seq``."""

    balance: Decimal
    seq: int
    numbered: int
    orders: Iterable[OrderReport]
    positions: Iterable[Position]


@dataclass(slots=True)
class _Range:
    """A bar's bid and ask: where it opened and how far it reached."""

    bid: tuple[Decimal, Decimal, Decimal]
    ask: tuple[Decimal, Decimal, Decimal]

    def of(self, side: Side) -> tuple[Decimal, Decimal, Decimal]:
        """Return opening, top and bottom of the price at which ``side`` trades."""
        return self.ask if side is Side.BUY else self.bid


class Exchange:
    """One simulated account. Times are nanoseconds UTC and must not go backwards."""

    def __init__(self, settings: ExchangeSettings, symbols: Iterable[str]) -> None:
        self.settings = settings
        self.terms = {symbol: settings.terms(symbol) for symbol in symbols}
        self.instruments: Mapping[str, Instrument] = {
            symbol: instrument(symbol, terms) for symbol, terms in self.terms.items()
        }
        self._check_overrides()
        self._paths = paths(self.instruments, settings.currency)
        self.quotes: dict[str, Quote] = {}
        self.balance = settings.balance
        self.seq = 0
        self.numbered = 0
        self.orders: dict[str, OrderReport] = {}
        self.by_client_id: dict[str, str] = {}
        self._working: dict[str, OrderRequest] = {}
        self._positions: dict[str, Position] = {}
        self._changes: list[Change] = []

    def _check_overrides(self) -> None:
        """Refuse terms of a symbol that isn't traded: they would be passed over in silence."""
        for symbol in sorted(set(self.settings.instruments) - set(self.terms)):
            near = difflib.get_close_matches(symbol, sorted(self.terms), n=3, cutoff=0.4)
            hint = f"Did you mean {', '.join(near)}?" if near else "Take it out."
            raise ConfigError(f"instruments.{symbol}", "the account has no such symbol", hint)

    def restore(self, stored: Snapshot) -> None:
        """Continue where ``stored`` was taken."""
        self.balance, self.seq, self.numbered = stored.balance, stored.seq, stored.numbered
        self.orders = {each.order_id: each for each in stored.orders}
        self.by_client_id = {
            each.client_order_id: each.order_id
            for each in self.orders.values()
            if each.client_order_id is not None
        }
        self._positions = {each.instrument: each for each in stored.positions}
        self._working = {
            each.order_id: _request(each)
            for each in self.orders.values()
            if not each.status.terminal
        }
        self._changes = []

    def take_changes(self) -> list[Change]:
        """Return what changed since the last time this was asked."""
        taken, self._changes = self._changes, []
        return taken

    def set_quote(self, symbol: str, mid: float, time: int) -> None:
        """Set the price without matching anything: a restart, or a price known to be quiet."""
        bid, ask = self._spread(symbol, mid)
        self.quotes[symbol] = Quote(instrument=symbol, bid=bid, ask=ask, time=time)

    def on_bar(
        self, symbol: str, open_: float, high: float, low: float, close: float, time: int
    ) -> None:
        """Match working orders against a bar of mid prices that closed at ``time``."""
        self.set_quote(symbol, close, time)
        if not self._working:
            return
        opened, top, bottom = (self._spread(symbol, price) for price in (open_, high, low))
        reach = _Range(
            bid=(opened[0], top[0], bottom[0]),
            ask=(opened[1], top[1], bottom[1]),
        )
        self._match(symbol, reach, time)

    def on_quote(self, symbol: str, bid: Decimal, ask: Decimal, time: int) -> None:
        """Match working orders against a quote, whose prices lie on the instrument's step."""
        self.quotes[symbol] = Quote(instrument=symbol, bid=bid, ask=ask, time=time)
        self._match(symbol, _Range(bid=(bid,) * 3, ask=(ask,) * 3), time)

    def _match(self, symbol: str, reach: _Range, time: int) -> None:
        standing = [each for each in self._working if self.orders[each].instrument == symbol]
        for kind in (OrderType.STOP, OrderType.LIMIT):
            reached = [
                (price, order_id)
                for order_id in standing
                if (price := self._reached(order_id, kind, reach)) is not None
            ]
            nearest = [(self._way(price, each, reach), price, each) for price, each in reached]
            for _, price, order_id in sorted(nearest, key=itemgetter(0)):
                if order_id in self._working:
                    self._execute(order_id, price, time)
            self._stop_out(symbol, standing, reach, time)

    def _spread(self, symbol: str, mid: float) -> tuple[Decimal, Decimal]:
        """Return bid and ask on the price grid, the spread never narrower than asked."""
        each, terms = self.instruments[symbol], self.terms[symbol]
        half = terms.spread_pips * each.pip_size / 2
        exact, step = Decimal(repr(float(mid))), each.price_step
        bid = ((exact - half) / step).to_integral_value(ROUND_FLOOR) * step
        ask = ((exact + half) / step).to_integral_value(ROUND_CEILING) * step
        return bid, ask

    def _reached(self, order_id: str, kind: OrderType, reach: _Range) -> Decimal | None:
        """Return the price at which a working order of ``kind`` fills in the bar, if it does."""
        request = self._working.get(order_id)
        if request is None or request.order_type is not kind:
            return None
        price = request.limit_price or request.stop_price
        if price is None:
            return None
        opened, top, bottom = reach.of(request.side)
        rises = (request.side is Side.BUY) == (kind is OrderType.STOP)
        if (top < price) if rises else (bottom > price):
            return None
        return max(price, opened) if rises else min(price, opened)

    def _way(self, price: Decimal, order_id: str, reach: _Range) -> Decimal:
        """Return how far the price has to come from the bar's opening to a fill at ``price``."""
        return abs(price - reach.of(self._working[order_id].side)[0])

    def _stop_out(self, symbol: str, standing: list[str], reach: _Range, time: int) -> None:
        """Fill the stop-loss that came with a fill in this bar, if the bar's range reaches it.

        It fills at its price, or where the position could be closed at the moment of that fill
        if this was already beyond it.
        """
        for order_id in list(self._working):
            report = self.orders[order_id]
            if order_id in standing or (report.instrument, report.reason) != (symbol, STOP_LOSS):
                continue
            price, side = report.stop_price, report.side
            _, top, bottom = reach.of(side)
            if price is None or ((top < price) if side is Side.BUY else (bottom > price)):
                continue
            last = next(
                each.what
                for each in reversed(self._changes)
                if isinstance(each.what, Fill) and each.what.instrument == symbol
            )
            spread = reach.ask[0] - reach.bid[0] if last.side is not side else ZERO
            market = last.price + side.sign * spread
            beyond = max(price, market) if side is Side.BUY else min(price, market)
            self._execute(order_id, min(max(beyond, bottom), top), time)

    def place(self, order: OrderRequest, time: int) -> OrderReport:
        """Take an order; raises Refused where it isn't one that can be traded now."""
        if order.client_order_id in self.by_client_id:
            raise refuse(
                ErrorCode.DUPLICATE_MISMATCH,
                "an order with this client order id exists",
                "client_order_id",
            )
        each, quote = self._priced(order.instrument)
        held = self._positions.get(order.instrument)
        # A position may be smaller than the least order or larger than the greatest one.
        whole = order.reduce_only and held is not None and order.quantity == held.quantity
        check_order(order, each, quote, any_quantity=whole)
        if order.reduce_only:
            self._check_reduces(order)
        market = order.order_type is OrderType.MARKET
        price = quote.ask if order.side is Side.BUY else quote.bid
        marketable = market or (
            order.limit_price is not None and order.side.sign * (order.limit_price - price) >= 0
        )
        if market or marketable:
            self._check_margin(order, price)
        order_id = self._new(order, time)
        if marketable:
            self._execute(order_id, price, time)
        elif order.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}:
            self._finish(order_id, OrderStatus.CANCELED, "not fillable at once", time)
        return self.orders[order_id]

    def close(self, close: CloseRequest, time: int) -> OrderReport:
        """Close a position or part of it at the market; raises Refused where there is none."""
        symbol = close.instrument or close.position_id or ""
        position = self._positions.get(symbol)
        if position is None:
            self._known(symbol)
            raise refuse(ErrorCode.NOT_FOUND, "there is no open position in this instrument")
        order = OrderRequest(
            client_order_id=close.client_order_id,
            instrument=symbol,
            side=position.side.opposite,
            order_type=OrderType.MARKET,
            quantity=close.quantity or position.quantity,
            time_in_force=TimeInForce.FOK,
            reduce_only=True,
            strategy_id=close.strategy_id,
        )
        return self.place(order, time)

    def cancel(self, order_id: str, time: int) -> OrderReport:
        """Cancel a working order; one that has ended is returned as it is."""
        if order_id not in self.orders:
            raise refuse(ErrorCode.NOT_FOUND, "there is no such order", "order_id")
        if order_id in self._working:
            symbol, reason = self.orders[order_id].instrument, self.orders[order_id].reason
            # What protects must leave the position too, or the next fill would revive it.
            if reason == STOP_LOSS:
                self._positions[symbol] = replace(self._positions[symbol], stop_loss=None)
            if reason == TAKE_PROFIT:
                self._positions[symbol] = replace(self._positions[symbol], take_profit=None)
            self._finish(order_id, OrderStatus.CANCELED, "canceled as asked", time)
        return self.orders[order_id]

    def positions(self) -> list[Position]:
        """Return the open positions, with the profit that closing now would bring."""
        return [
            replace(each, unrealized_profit=_money(self._open_profit(each)))
            for each in self._positions.values()
        ]

    def held(self) -> set[str]:
        """Return the symbols of the open positions."""
        return set(self._positions)

    def account(self, time: int) -> Account:
        """Return the account's money."""
        equity = self.balance + sum(
            (_money(self._open_profit(each)) for each in self._positions.values()), ZERO
        )
        used = self._margin({each.instrument: each.quantity for each in self._positions.values()})
        return Account(
            account_id=self.settings.account_id,
            currency=self.settings.currency,
            environment=Environment.PAPER,
            position_mode=PositionMode.NETTING,
            balance=self.balance,
            equity=equity,
            margin_used=used,
            margin_available=max(equity - used, ZERO),
            time=time,
        )

    def rate(self, currency: str) -> Decimal:
        """Return what one unit of a quote currency is worth in the account's, at mid prices."""
        rate = convert(self._paths[currency], self.quotes)
        if rate is None:
            raise refuse(ErrorCode.NO_PRICE, f"no price yet to turn {currency} into money")
        return rate

    def _known(self, symbol: str) -> Instrument:
        if symbol not in self.instruments:
            raise unknown_instrument(symbol, self.instruments, self.settings.account_id)
        return self.instruments[symbol]

    def _priced(self, symbol: str) -> tuple[Instrument, Quote]:
        each, quote = self._known(symbol), self.quotes.get(symbol)
        if quote is None:
            raise refuse(ErrorCode.NO_PRICE, "this instrument has no price yet", "instrument")
        self.rate(each.quote)
        return each, quote

    def _check_reduces(self, order: OrderRequest) -> None:
        if order.order_type is not OrderType.MARKET:
            raise refuse(
                ErrorCode.UNSUPPORTED, "reduce_only goes with market orders only", "reduce_only"
            )
        position = self._positions.get(order.instrument)
        held = position.quantity if position and position.side is not order.side else ZERO
        if order.quantity > held:
            raise refuse(
                ErrorCode.INVALID_QUANTITY,
                f"reduce only: at most {plain(held)} base units can be closed",
                "quantity",
            )

    def _check_margin(self, order: OrderRequest, price: Decimal) -> None:
        """Refuse what the equity can't carry; what lowers the margin in use always passes."""
        held = {
            each.instrument: each.side.sign * each.quantity for each in self._positions.values()
        }
        after = dict(held)
        after[order.instrument] = (
            after.get(order.instrument, ZERO) + order.side.sign * order.quantity
        )
        used, needed = self._margin(held), self._margin(after)
        if needed <= used:
            return
        each = self.instruments[order.instrument]
        worse = order.side.sign * (price - self.quotes[order.instrument].mid)
        cost = order.quantity * max(worse, ZERO)
        equity = self.account(0).equity - cost * self.rate(each.quote)
        if needed > equity:
            raise refuse(
                ErrorCode.INSUFFICIENT_MARGIN,
                f"the order needs a margin of {plain(needed)} {self.settings.currency}, and the "
                f"equity is {plain(_money(equity))}",
                "quantity",
            )

    def _margin(self, quantities: Mapping[str, Decimal]) -> Decimal:
        total = ZERO
        for symbol, quantity in quantities.items():
            each = self.instruments[symbol]
            notional = abs(quantity) * self.quotes[symbol].mid * self.rate(each.quote)
            total += notional * each.margin_rate
        return _money(total)

    def _open_profit(self, position: Position) -> Decimal:
        quote = self.quotes[position.instrument]
        price = quote.bid if position.side is Side.BUY else quote.ask
        gained = position.side.sign * position.quantity * (price - position.average_price)
        return gained * self.rate(self.instruments[position.instrument].quote)

    def _new(self, order: OrderRequest, time: int, reason: str = "") -> str:
        self.numbered += 1
        order_id = f"O{self.numbered}"
        client_id = order.client_order_id if not reason else None
        if client_id is not None:
            self.by_client_id[client_id] = order_id
        self._working[order_id] = order
        self._put(
            OrderReport(
                order_id=order_id,
                client_order_id=client_id,
                instrument=order.instrument,
                side=order.side,
                order_type=order.order_type,
                time_in_force=order.time_in_force,
                quantity=order.quantity,
                filled_quantity=ZERO,
                remaining_quantity=order.quantity,
                average_price=None,
                status=OrderStatus.NEW,
                submitted_at=time,
                updated_at=time,
                limit_price=order.limit_price,
                stop_price=order.stop_price,
                stop_loss=order.stop_loss,
                take_profit=order.take_profit,
                position_id=order.instrument if reason else None,
                reason=reason,
            )
        )
        return order_id

    def _put(self, report: OrderReport) -> None:
        self.orders[report.order_id] = report
        self._record(report)

    def _record(self, what: OrderReport | Fill) -> None:
        self.seq += 1
        self._changes.append(Change(self.seq, what))

    def _finish(self, order_id: str, status: OrderStatus, reason: str, time: int) -> None:
        del self._working[order_id]
        report = self.orders[order_id]
        self._put(
            replace(
                report,
                status=status,
                remaining_quantity=ZERO,
                reason=report.reason or reason,
                updated_at=time,
            )
        )

    def _execute(self, order_id: str, price: Decimal, time: int) -> None:
        """Fill an order whole, move the position and the money, and see to its protections."""
        request = self._working.pop(order_id)
        report = self.orders[order_id]
        try:
            if report.reason not in {STOP_LOSS, TAKE_PROFIT}:
                self._check_margin(request, price)
        except Refused as refusal:
            # A resting order that can no longer be carried when its price comes.
            self._working[order_id] = request
            self._finish(order_id, OrderStatus.CANCELED, str(refusal), time)
            return
        before = self._positions.get(request.instrument)
        realized = self._realized(before, request, price)
        commission = self._commission(request, price)
        self.balance += realized - commission
        self.numbered += 1
        fill = Fill(
            execution_id=f"E{self.numbered}",
            order_id=order_id,
            client_order_id=report.client_order_id,
            instrument=request.instrument,
            side=request.side,
            quantity=request.quantity,
            price=price,
            time=time,
            commission=commission,
            realized_profit=realized,
            position_id=request.instrument,
            reason=report.reason,
        )
        self._record(fill)
        self._put(
            replace(
                report,
                status=OrderStatus.FILLED,
                filled_quantity=request.quantity,
                remaining_quantity=ZERO,
                average_price=price,
                updated_at=time,
                position_id=request.instrument,
                fills=(fill,),
            )
        )
        self._move_position(before, request, price, time)

    def _realized(self, before: Position | None, request: OrderRequest, price: Decimal) -> Decimal:
        if before is None or before.side is request.side:
            return ZERO
        closed = min(before.quantity, request.quantity)
        gained = before.side.sign * closed * (price - before.average_price)
        return _money(gained * self.rate(self.instruments[request.instrument].quote))

    def _commission(self, request: OrderRequest, price: Decimal) -> Decimal:
        rate = self.rate(self.instruments[request.instrument].quote)
        million = request.quantity * price * rate / 1_000_000
        return _money(million * self.terms[request.instrument].commission_per_million)

    def _move_position(
        self, before: Position | None, request: OrderRequest, price: Decimal, time: int
    ) -> None:
        symbol = request.instrument
        signed = before.side.sign * before.quantity if before else ZERO
        after = signed + request.side.sign * request.quantity
        turned = signed * after < 0
        if before is None or turned or after == 0:
            self._drop_protections(symbol, time)
        if after == 0:
            del self._positions[symbol]
            return
        if before is None or turned:
            position = Position(
                position_id=symbol,
                instrument=symbol,
                side=Side.BUY if after > 0 else Side.SELL,
                quantity=abs(after),
                average_price=price,
                unrealized_profit=ZERO,
                opened_at=time,
            )
        else:
            grown = before.side is request.side
            cost = before.quantity * before.average_price + request.quantity * price
            average = cost / abs(after) if grown else before.average_price
            average = average.quantize(AVERAGE_STEP, ROUND_HALF_EVEN)
            position = replace(before, quantity=abs(after), average_price=average)
        if position.side is request.side:
            position = replace(
                position,
                stop_loss=request.stop_loss or position.stop_loss,
                take_profit=request.take_profit or position.take_profit,
            )
        self._positions[symbol] = position
        self._protect(position, time)

    def _protect(self, position: Position, time: int) -> None:
        """Make the resting protections those of the position: its prices and its size."""
        self._drop_protections(position.instrument, time)
        for reason, kind, price in (
            (STOP_LOSS, OrderType.STOP, position.stop_loss),
            (TAKE_PROFIT, OrderType.LIMIT, position.take_profit),
        ):
            if price is None:
                continue
            order = OrderRequest(
                client_order_id=reason,
                instrument=position.instrument,
                side=position.side.opposite,
                order_type=kind,
                quantity=position.quantity,
                limit_price=price if kind is OrderType.LIMIT else None,
                stop_price=price if kind is OrderType.STOP else None,
                reduce_only=True,
            )
            self._new(order, time, reason)

    def _drop_protections(self, symbol: str, time: int) -> None:
        for order_id in list(self._working):
            report = self.orders[order_id]
            if report.instrument == symbol and report.reason in {STOP_LOSS, TAKE_PROFIT}:
                self._finish(order_id, OrderStatus.CANCELED, report.reason, time)


def _request(report: OrderReport) -> OrderRequest:
    """Return the order behind a working report."""
    return OrderRequest(
        client_order_id=report.client_order_id or report.reason,
        instrument=report.instrument,
        side=report.side,
        order_type=report.order_type,
        quantity=report.quantity,
        limit_price=report.limit_price,
        stop_price=report.stop_price,
        time_in_force=report.time_in_force,
        stop_loss=report.stop_loss,
        take_profit=report.take_profit,
    )


def _money(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_EVEN)
