"""Orders, executions, positions and money."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import WithJsonSchema

from mtquant.model.fields import (
    UNCHANGED,
    Changed,
    ClientOrderId,
    Number,
    Positive,
    Said,
    Text,
    Time,
)
from mtquant.model.terms import (
    CashFlowKind,
    Environment,
    OrderStatus,
    OrderType,
    PositionEffect,
    PositionMode,
    QuantityUnit,
    Reason,
    Side,
    TimeInForce,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A new order (FIX NewOrderSingle).

    Quantity in base units, or in lots by quantity_unit; prices in the quote currency. A stop_limit
    rests as a limit once stop_price trades; trailing_stop is a distance from the best price.
    stop_loss, take_profit and trailing_stop are attached to the position the order opens; when one
    fills the others are cancelled. On an order of type trailing_stop, trailing_stop is its own
    distance. max_slippage: how far from the price at entry a market or stop order may fill.
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
    trailing_stop: Positive | None = None
    reduce_only: bool = False
    position_effect: PositionEffect = PositionEffect.AUTO
    max_slippage: Positive | None = None
    quantity_unit: QuantityUnit = QuantityUnit.BASE
    strategy_id: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifyRequest:
    """A change of a working order (FIX OrderCancelReplaceRequest).

    client_order_id is of this change, order_id of the order. What is absent stays as it is; null
    clears. quantity is the whole order's, what has filled included.
    """

    client_order_id: ClientOrderId
    order_id: Text
    quantity: Positive | None = None
    limit_price: Positive | None = None
    stop_price: Positive | None = None
    time_in_force: TimeInForce | None = None
    expire_time: Time | None = None
    stop_loss: Changed = UNCHANGED
    take_profit: Changed = UNCHANGED
    trailing_stop: Changed = UNCHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionRequest:
    """What protects an open position. What is absent stays as it is; null clears."""

    client_order_id: ClientOrderId
    position_id: Text
    stop_loss: Changed = UNCHANGED
    take_profit: Changed = UNCHANGED
    trailing_stop: Changed = UNCHANGED


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
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CashFlow:
    """Money that came to an account (``amount`` above zero) or left it, and no execution did it.

    In the account's currency; its balance holds it from ``time`` on. ``cash_flow_id`` is the
    broker's, and the same whenever it is told.
    """

    cash_flow_id: Text
    kind: CashFlowKind
    amount: Number
    time: Time


# Nine tools return executions: what list_fills says of one isn't said by each of them.
AS_LISTED = WithJsonSchema({"type": "array", "items": {"type": "object"}}, mode="serialization")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """The state of an order at its broker (FIX ExecutionReport).

    While it is live, quantity = filled + remaining. ``reason`` says why it is in its state where
    that isn't plainly the client's doing, ``reason_text`` and ``broker_code`` in the broker's own
    words. ``fees`` are in the account's currency. ``broker_quantity`` is in the broker's own unit.
    A protective order names its ``position_id``. ``replayed`` is true where the server answered
    from its record because the same client order id had been sent before.
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
    trailing_stop: Positive | None = None
    expire_time: Time | None = None
    reduce_only: bool = False
    position_effect: PositionEffect = PositionEffect.AUTO
    max_slippage: Positive | None = None
    position_id: Text | None = None
    broker_quantity: Text | None = None
    fees: Number = Decimal(0)
    reason: Reason | None = None
    reason_text: Said = ""
    broker_code: Text | None = None
    fills: Annotated[tuple[Fill, ...], AS_LISTED] = ()
    warnings: tuple[Said, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """An open position: ``quantity`` base units on ``side`` at ``average_price``.

    ``position_id`` is the ticket in hedging mode, one for each instrument in netting mode.
    ``unrealized_profit`` and ``swap`` (what was paid or earned overnight) are in the account's
    currency; ``trailing_stop`` is a distance; where it stands now is its order's ``stop_price``.
    """

    position_id: Text
    instrument: Text
    side: Side
    quantity: Positive
    average_price: Positive
    unrealized_profit: Number
    opened_at: Time
    stop_loss: Positive | None = None
    take_profit: Positive | None = None
    trailing_stop: Positive | None = None
    swap: Number = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account's money, in ``currency`` (ISO 4217): equity = balance + unrealized profit.

    ``fifo`` is true where positions must be closed in the order they were opened, and
    ``margin_call`` once the equity has fallen to where the broker warns and takes no new risk.
    """

    account_id: Text
    currency: Text
    environment: Environment
    position_mode: PositionMode
    balance: Number
    equity: Number
    margin_used: Number
    margin_available: Number
    time: Time
    fifo: bool = False
    margin_call: bool = False
