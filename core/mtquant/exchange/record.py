"""The orders of a simulated account and the gapless record of what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from mtquant.model import (
    CashFlow,
    CashFlowKind,
    Fill,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    Reason,
)

ZERO = Decimal(0)
AVERAGE_STEP = Decimal("0.0000000001")
"""An average price is kept to this, half to even."""
PROTECTIVE = frozenset({Reason.STOP_LOSS, Reason.TAKE_PROFIT, Reason.TRAILING_STOP})


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the gapless record: an order's new state, an execution, or a cash flow."""

    seq: int
    what: OrderReport | Fill | CashFlow


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a restart needs; the sequence goes on after ``seq``, and time after ``time``."""

    balance: Decimal
    seq: int
    numbered: int
    orders: Iterable[OrderReport]
    positions: Iterable[Position]
    time: int = 0


class Record:
    """Every order by its id, those that may still fill by their symbol, and what changed."""

    def __init__(self) -> None:
        self.seq = 0
        self.numbered = 0
        self.orders: dict[str, OrderReport] = {}
        self.by_client_id: dict[str, str] = {}
        self.working: dict[str, dict[str, OrderRequest]] = {}
        self._changes: list[Change] = []

    def restore(self, stored: Snapshot) -> None:
        """Continue where ``stored`` was taken."""
        self.seq, self.numbered = stored.seq, stored.numbered
        self.orders = {each.order_id: each for each in stored.orders}
        self.by_client_id = {
            each.client_order_id: each.order_id
            for each in self.orders.values()
            if each.client_order_id is not None
        }
        self.working = {}
        for each in self.orders.values():
            if not each.status.terminal:
                self.working.setdefault(each.instrument, {})[each.order_id] = request_of(each)
        self._changes = []

    @property
    def changes(self) -> list[Change]:
        """What changed since it was last taken."""
        return self._changes

    def take_changes(self) -> list[Change]:
        """Return what changed since the last time this was asked."""
        taken, self._changes = self._changes, []
        return taken

    def number(self) -> int:
        """Return the next number; orders, executions and tickets share them."""
        self.numbered += 1
        return self.numbered

    def open(
        self,
        order: OrderRequest,
        time: int,
        *,
        reason: Reason | None = None,
        position_id: str | None = None,
        stop_price: Decimal | None = None,
    ) -> str:
        """Take an order in and return its id; one with a ``reason`` is the venue's own.

        ``stop_price`` is where a trailing stop stands now.
        """
        order_id = f"O{self.number()}"
        client_id = order.client_order_id if reason is None else None
        if client_id is not None:
            self.by_client_id[client_id] = order_id
        self.working.setdefault(order.instrument, {})[order_id] = order
        self.put(
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
                stop_price=order.stop_price if stop_price is None else stop_price,
                stop_loss=order.stop_loss,
                take_profit=order.take_profit,
                trailing_stop=order.trailing_stop,
                expire_time=order.expire_time,
                reduce_only=order.reduce_only,
                position_effect=order.position_effect,
                max_slippage=order.max_slippage,
                position_id=position_id,
                reason=reason,
            )
        )
        return order_id

    def put(self, report: OrderReport) -> None:
        """Note an order's new state."""
        self.orders[report.order_id] = report
        self._note(report)

    def finish(
        self, order_id: str, status: OrderStatus, reason: Reason, time: int, text: str = ""
    ) -> None:
        """End a working order; what the order itself is for stays its reason."""
        report = self.orders[order_id]
        del self.working[report.instrument][order_id]
        self.put(
            replace(
                report,
                status=status,
                remaining_quantity=ZERO,
                reason=report.reason or reason,
                reason_text=text,
                updated_at=time,
            )
        )

    def fill(self, fill: Fill) -> OrderReport:
        """Note an execution, and what it makes of its order."""
        self._note(fill)
        report = self.orders[fill.order_id]
        filled = report.filled_quantity + fill.quantity
        left = report.quantity - filled
        cost = report.filled_quantity * (report.average_price or ZERO) + fill.quantity * fill.price
        average = fill.price if not report.fills else cost / filled
        if not left:
            del self.working[report.instrument][fill.order_id]
        self.put(
            replace(
                report,
                status=OrderStatus.PARTIALLY_FILLED if left else OrderStatus.FILLED,
                filled_quantity=filled,
                remaining_quantity=left,
                average_price=average.quantize(AVERAGE_STEP, ROUND_HALF_EVEN)
                if report.fills
                else average,
                updated_at=fill.time,
                position_id=fill.position_id,
                fees=report.fees + fill.commission,
                fills=(*report.fills, fill),
            )
        )
        return self.orders[fill.order_id]

    def pay(self, kind: CashFlowKind, amount: Decimal, time: int) -> None:
        """Note money that came, or left where ``amount`` is below zero, without an execution."""
        flow = CashFlow(cash_flow_id=f"C{self.seq + 1}", kind=kind, amount=amount, time=time)
        self._note(flow)

    def protecting(self, symbol: str, position_id: str) -> dict[Reason, str]:
        """Return the working orders that protect a position, by what they are for."""
        found: dict[Reason, str] = {}
        for order_id in self.working.get(symbol, ()):
            report = self.orders[order_id]
            if report.reason in PROTECTIVE and report.position_id == position_id:
                found[report.reason] = order_id
        return found

    def _note(self, what: OrderReport | Fill | CashFlow) -> None:
        self.seq += 1
        self._changes.append(Change(self.seq, what))


def request_of(report: OrderReport) -> OrderRequest:
    """Return the order behind a working report."""
    # Of a trailing stop the report tells where it stands now; the order never named a price.
    trails = report.order_type is OrderType.TRAILING_STOP
    return OrderRequest(
        client_order_id=report.client_order_id or str(report.reason),
        instrument=report.instrument,
        side=report.side,
        order_type=report.order_type,
        quantity=report.quantity,
        limit_price=report.limit_price,
        stop_price=None if trails else report.stop_price,
        time_in_force=report.time_in_force,
        expire_time=report.expire_time,
        stop_loss=report.stop_loss,
        take_profit=report.take_profit,
        trailing_stop=report.trailing_stop,
        reduce_only=report.reduce_only,
        position_effect=report.position_effect,
        max_slippage=report.max_slippage,
    )
