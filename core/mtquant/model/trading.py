"""Orders, executions, positions and money."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mtquant.model.fields import ClientOrderId, Number, Positive, Text, Time
from mtquant.model.terms import Environment, OrderStatus, OrderType, PositionMode, Side, TimeInForce


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A new order (FIX NewOrderSingle).

    ``quantity`` is in base units; limit, stop and protective prices are in the quote currency.
    ``stop_loss`` and ``take_profit`` are attached to the position the order opens; when one
    fills the other is cancelled.
    """

    client_order_id: ClientOrderId
    instrument: Text
    side: Side
    order_type: OrderType
    quantity: Positive
    limit_price: Positive | None = None
    stop_price: Positive | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expire_time: Time | None = None
    stop_loss: Positive | None = None
    take_profit: Positive | None = None
    reduce_only: bool = False
    strategy_id: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseRequest:
    """Close a position, or ``quantity`` base units of it; it can never open one."""

    client_order_id: ClientOrderId
    instrument: Text | None = None
    position_id: Text | None = None
    quantity: Positive | None = None
    strategy_id: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution (FIX ExecutionReport with LastQty and LastPx).

    ``execution_id`` is unique at its account; ``commission`` and ``realized_profit`` are in the
    account's currency, realized profit before commission.
    """

    execution_id: Text
    order_id: Text
    client_order_id: Text | None
    instrument: Text
    side: Side
    quantity: Positive
    price: Positive
    time: Time
    commission: Number = Decimal(0)
    realized_profit: Number = Decimal(0)
    position_id: Text | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """The state of an order at its broker (FIX ExecutionReport).

    While it is live, quantity = filled + remaining. ``replayed`` is true where the server
    answered from its record because the same client order id had been sent before.
    """

    order_id: Text
    client_order_id: Text | None
    instrument: Text
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Positive
    filled_quantity: Number
    remaining_quantity: Number
    average_price: Positive | None
    status: OrderStatus
    submitted_at: Time
    updated_at: Time
    limit_price: Positive | None = None
    stop_price: Positive | None = None
    stop_loss: Positive | None = None
    take_profit: Positive | None = None
    position_id: Text | None = None
    reason: str = ""
    fills: tuple[Fill, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An open position: ``quantity`` base units on ``side`` at ``average_price``."""

    position_id: Text
    instrument: Text
    side: Side
    quantity: Positive
    average_price: Positive
    unrealized_profit: Number
    opened_at: Time
    stop_loss: Positive | None = None
    take_profit: Positive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account's money, in ``currency`` (ISO 4217): equity = balance + unrealized profit."""

    account_id: Text
    currency: Text
    environment: Environment
    position_mode: PositionMode
    balance: Number
    equity: Number
    margin_used: Number
    margin_available: Number
    time: Time
