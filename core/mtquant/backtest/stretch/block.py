"""The orders and executions of a stretch: kept as numbers, made into objects when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        """Return a price of so many price steps, which are the tape's unit."""
        return units * self.tape.unit


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

    def fills(self) -> list[Fill]:
        """Return the executions."""
        ids, found = iter(self.ids), []
        guards: Mapping[Kind, str] = {
            kind: self.guards[reason] for kind, reason in _REASONS.items() if reason in self.guards
        }
        for each in self.done:
            if each.kind <= Kind.TOOK_PROFIT:
                found.append(self.fill(each, guards[each.kind], None))
            else:
                found.append(self.fill(each, f"O{each.number + 1}", id_text(next(ids))))
            if each.kind is Kind.OPENED:
                guards = guards_of(each)
        return found

    def fill(self, each: Done, order_id: str, client_order_id: str | None) -> Fill:
        """Return one execution."""
        terms = self.terms
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

    def intents(self) -> dict[str, Intent]:
        """Return why each order was sent, by its id."""
        terms, found = self.terms, {}
        orders = (each for each in self.done if each.kind >= Kind.CLOSED)
        for number, each in zip(self.ids, orders, strict=True):
            found[id_text(number)] = Intent(
                int(terms.times[each.step]),
                terms.instrument.instrument,
                terms.strategy_id,
                each.signal.reason if each.signal else "",
                None if each.stop is None else terms.price(each.stop),
            )
        return found

    def paid(self) -> dict[str, Paid]:
        """Return what each execution cost beside its commission, by its id."""
        found, swap = {}, self.swap
        for each in self.done:
            own = each.kind <= Kind.TOOK_PROFIT
            ended = each.kind is not Kind.OPENED
            found[f"E{each.number + (1 if own else 2)}"] = self._paid(
                each, swap if ended else _ZERO
            )
            swap = _ZERO
        return found

    def _paid(self, each: Done, swap: Decimal) -> Paid:
        tape, money = self.terms.tape, self.terms.money
        rate = money.rate(each.step, matched=each.kind <= Kind.TOOK_PROFIT)
        spread = int(tape.ask[each.step] - tape.bid[each.step]) * tape.unit
        return Paid(
            spread=_ZERO if each.kind is Kind.TOOK_PROFIT else each.size * spread / 2 * rate,
            slippage=each.size * (each.slip * tape.unit) * rate,
            swap=swap,
        )

    def orders(self, fills: Sequence[Fill]) -> list[OrderReport]:
        """Return the orders that have ended, of which :meth:`fills` told ``fills``."""
        return _Orders(self, fills).made()


def guards_of(opened: Done) -> dict[Kind, str]:
    """Return the ids of the orders that protect what was opened."""
    found, number = {}, opened.number + 3
    for kind, price in ((Kind.STOPPED, opened.stop), (Kind.TOOK_PROFIT, opened.take)):
        if price is not None:
            found[kind] = f"O{number}"
            number += 1
    return found


class _Orders:
    """Puts the executions of a block into a record of the exchange, one after the other."""

    def __init__(self, block: Block, fills: Sequence[Fill]) -> None:
        self._block, self._fills = block, fills
        self._record = Record()
        self._guards: list[str] = []

    def made(self) -> list[OrderReport]:
        """Return the orders that have ended."""
        record = self._record
        for each, fill in zip(self._block.done, self._fills, strict=True):
            record.numbered = each.number
            if each.kind >= Kind.CLOSED:
                self._send(each, fill)
            elif fill.order_id in record.orders:
                record.fill(fill)
            if each.kind is not Kind.OPENED:
                self._drop(fill.time)
        return [each for each in record.orders.values() if each.status.terminal]

    def _send(self, each: Done, fill: Fill) -> None:
        """Send an order that closes or opens, fill it, and protect what it opened."""
        terms, record, opens = self._block.terms, self._record, each.kind is Kind.OPENED
        order = OrderRequest(
            client_order_id=fill.client_order_id or "",
            instrument=fill.instrument,
            side=fill.side,
            order_type=OrderType.MARKET,
            quantity=fill.quantity,
            time_in_force=TimeInForce.FOK if opens else TimeInForce.IOC,
            stop_loss=None if each.stop is None else terms.price(each.stop),
            take_profit=None if each.take is None else terms.price(each.take),
            reduce_only=not opens,
            strategy_id=terms.strategy_id,
        )
        record.open(order, fill.time, position_id=None if opens else fill.instrument)
        record.number()
        record.fill(fill)
        if opens:
            self._protect(order, fill.time)

    def _protect(self, order: OrderRequest, time: int) -> None:
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
            self._guards.append(
                self._record.open(guard, time, reason=reason, position_id=order.instrument)
            )

    def _drop(self, time: int) -> None:
        """Cancel what protected a position that is gone; what isn't ours was by the exchange."""
        for order_id in self._guards:
            report = self._record.orders[order_id]
            if not report.status.terminal:
                why = report.reason or Reason.POSITION_CLOSED
                self._record.finish(order_id, OrderStatus.CANCELED, why, time)
        self._guards = []


def cents(number: int) -> Decimal:
    """Return an amount of money of so many ten-thousandths."""
    return Decimal(number).scaleb(-4)
