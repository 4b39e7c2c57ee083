"""The orders and executions of a stretch: kept as numbers, made into objects when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from mtquant.backtest.intent import Intent
from mtquant.backtest.stretch.money import Money
from mtquant.backtest.stretch.trading import Done, Kind
from mtquant.backtest.tape import Ints, Tape
from mtquant.backtest.venue import Paid
from mtquant.clock import id_text
from mtquant.exchange.record import Record
from mtquant.model import (
    Fill,
    Instrument,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)

_ZERO = Decimal(0)
_REASONS = {Kind.STOPPED: Reason.STOP_LOSS, Kind.TOOK_PROFIT: Reason.TAKE_PROFIT}


@dataclass(frozen=True, slots=True)
class Terms:
    """What all executions of a block share."""

    instrument: Instrument
    strategy_id: str
    tape: Tape
    money: Money
    times: Ints

    def price(self, units: int) -> Decimal:
        """Return a price, with the digits of the price step."""
        step = self.instrument.price_step
        return units // int(step / self.tape.unit) * step


@dataclass(slots=True)
class Block:
    """What was traded in one stretch.

    ``ids`` are the orders' ids as numbers, one for each order that was sent. ``guards`` are the
    ids, by what they are for, of the orders that protected a position held before, ``swap`` is what
    that position had earned overnight.
    """

    terms: Terms
    done: list[Done] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    guards: Mapping[Reason, str] = field(default_factory=dict)
    swap: Decimal = _ZERO

    def made(self) -> Made:
        """Return the objects."""
        return _Maker(self).made()

    def fill(self, index: int, order_id: str, client_order_id: str | None) -> Fill:
        """Return one execution."""
        each, terms = self.done[index], self.terms
        own = each.kind <= Kind.TOOK_PROFIT
        return Fill(
            execution_id=f"E{each.number + (1 if own else 2)}",
            order_id=order_id,
            client_order_id=client_order_id,
            instrument=terms.instrument.instrument,
            side=Side.BUY if each.quantity > 0 else Side.SELL,
            quantity=each.size,
            price=terms.price(each.price),
            time=int(terms.times[each.step]),
            commission=cents(each.fee),
            realized_profit=cents(each.gain),
            position_id=terms.instrument.instrument,
            reason=_REASONS.get(each.kind),
        )


@dataclass(slots=True)
class Made:
    """The objects of a block: orders that have ended, executions, and what goes with them."""

    orders: list[OrderReport] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    paid: dict[str, Paid] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)


class _Maker:
    """Puts the executions of a block into a record of the exchange, one after the other."""

    def __init__(self, block: Block) -> None:
        self._block, self._terms = block, block.terms
        self._record = Record()
        self._made = Made()
        self._guards = dict(block.guards)
        self._swap = block.swap
        self._ids = iter(block.ids)

    def made(self) -> Made:
        """Return them."""
        for index, each in enumerate(self._block.done):
            self._record.numbered = each.number
            take: Callable[[int, Done], str] = (
                self._guard if each.kind <= Kind.TOOK_PROFIT else self._order
            )
            self._pay(each, take(index, each))
        self._made.orders = [each for each in self._record.orders.values() if each.status.terminal]
        return self._made

    def _order(self, index: int, each: Done) -> str:
        """Send an order that closes or opens, fill it, and see to the protections."""
        terms, record, opens = self._terms, self._record, each.kind is Kind.OPENED
        time, symbol = int(terms.times[each.step]), terms.instrument.instrument
        cid = id_text(next(self._ids))
        order = OrderRequest(
            client_order_id=cid,
            instrument=symbol,
            side=Side.BUY if each.quantity > 0 else Side.SELL,
            order_type=OrderType.MARKET,
            quantity=each.size,
            time_in_force=TimeInForce.FOK if opens else TimeInForce.IOC,
            stop_loss=None if each.stop is None else terms.price(each.stop),
            take_profit=None if each.take is None else terms.price(each.take),
            reduce_only=not opens,
            strategy_id=terms.strategy_id,
        )
        order_id = record.open(order, time, position_id=None if opens else symbol)
        fill = self._block.fill(index, order_id, cid)
        record.number()
        record.fill(fill)
        self._made.fills.append(fill)
        signal = each.signal
        self._made.intents[cid] = Intent(
            time, symbol, terms.strategy_id, signal.reason if signal else "", order.stop_loss
        )
        if opens:
            self._protect(order, time)
        else:
            self._drop(time)
        return fill.execution_id

    def _protect(self, order: OrderRequest, time: int) -> None:
        self._guards = {}
        for reason, kind, price in (
            (Reason.STOP_LOSS, OrderType.STOP, order.stop_loss),
            (Reason.TAKE_PROFIT, OrderType.LIMIT, order.take_profit),
        ):
            if price is None:
                continue
            guard = OrderRequest(
                client_order_id=reason,
                instrument=order.instrument,
                side=order.side.opposite,
                order_type=kind,
                quantity=order.quantity,
                limit_price=price if kind is OrderType.LIMIT else None,
                stop_price=price if kind is OrderType.STOP else None,
                reduce_only=True,
            )
            self._guards[reason] = self._record.open(
                guard, time, reason=reason, position_id=order.instrument
            )

    def _guard(self, index: int, each: Done) -> str:
        """Fill an order that protected the position."""
        reason = _REASONS[each.kind]
        order_id = self._guards[reason]
        fill = self._block.fill(index, order_id, None)
        if order_id in self._record.orders:
            self._record.fill(fill)
        self._made.fills.append(fill)
        self._drop(fill.time)
        return fill.execution_id

    def _drop(self, time: int) -> None:
        """Cancel what protected a position that is gone; what isn't ours was by the exchange."""
        for reason, order_id in self._guards.items():
            report = self._record.orders.get(order_id)
            if report is not None and not report.status.terminal:
                self._record.finish(order_id, OrderStatus.CANCELED, reason, time)
        self._guards = {}

    def _pay(self, each: Done, execution_id: str) -> None:
        terms, at = self._terms, int(self._terms.tape.at[each.step])
        rate, unit = terms.money.rate(each.step), terms.tape.unit
        spread = int(terms.tape.ask[at] - terms.tape.bid[at]) * unit
        ended = each.kind is not Kind.OPENED
        self._made.paid[execution_id] = Paid(
            spread=_ZERO if each.kind is Kind.TOOK_PROFIT else each.size * spread / 2 * rate,
            slippage=each.size * (each.slip * unit) * rate,
            swap=self._swap if ended else _ZERO,
        )
        self._swap = _ZERO


def cents(number: int) -> Decimal:
    """Return an amount of money of so many ten-thousandths."""
    return Decimal(number).scaleb(-4)


def merged(blocks: Sequence[Block]) -> Made:
    """Return the objects of all ``blocks``, oldest first."""
    found = Made()
    for block in blocks:
        made = block.made()
        found.orders += made.orders
        found.fills += made.fills
        found.paid |= made.paid
        found.intents |= made.intents
    return found
