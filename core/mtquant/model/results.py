"""What a broker's tools answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from mtquant.model.fields import Number, Positive, Said, Text, Time
from mtquant.model.market import Instrument, Quote
from mtquant.model.terms import (
    Environment,
    Feature,
    OrderType,
    PositionMode,
    Push,
    Stream,
    TimeInForce,
)
from mtquant.model.trading import AS_LISTED, Account, CashFlow, Fill, OrderReport, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """How many seconds ago the venue's stream last brought a message; None before the first."""

    stream: Stream
    age_s: FiniteFloat | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a broker's server is: can it reach the venue, and may it trade.

    ``time`` is the broker's own clock, ``time_offset_s`` how far it is ahead of the server's.
    ``reason`` tells why trading is not allowed: a weekend, a rollover, a reset window. Latencies
    are of the server's own calls to the venue. ``unknown_orders`` counts orders whose fate the
    server doesn't know yet; ``process_id`` is the server's, for whoever supervises it.
    """

    connected: bool
    trading_allowed: bool
    time: Time
    reason: Said = ""
    streams: tuple[StreamHealth, ...] = ()
    latency_p50_ms: FiniteFloat | None = None
    latency_p95_ms: FiniteFloat | None = None
    time_offset_s: FiniteFloat | None = None
    rate_limit_left: int | None = None
    unknown_orders: int = 0
    version: Text = ""
    process_id: int = 0

    def age(self, stream: Stream) -> float | None:
        """Return how many seconds ``stream`` has been silent, None where that isn't known."""
        return next((each.age_s for each in self.streams if each.stream is stream), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker's server offers; the rest is refused with ``unsupported``.

    ``clock`` is ``stepped`` where the client moves time by advance_clock (a replay), else
    ``real``. ``settling_window_s`` is how long an order may stay invisible at the venue before a
    not-found proves that it isn't there. ``verified_against`` says what the server was tested
    with, and when. ``contract_version``, ``tools`` and ``push`` are filled in by ``serve``.
    """

    broker: Text
    environment: Environment
    order_types: tuple[OrderType, ...]
    time_in_force: tuple[TimeInForce, ...]
    position_mode: PositionMode = PositionMode.NETTING
    features: tuple[Feature, ...] = ()
    clock: Literal["real", "stepped"] = "real"
    settling_window_s: Annotated[FiniteFloat, Field(ge=0)] = 30.0
    verified_against: Said = ""
    contract_version: Text = ""
    tools: tuple[Text, ...] = ()
    push: tuple[Push, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The accounts a server trades."""

    accounts: tuple[Account, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """A page of instruments; ``next_cursor`` is None on the last."""

    instruments: tuple[Instrument, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """Quotes of the instruments asked for that have a price."""

    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteBatch:
    """The quotes that changed since the last batch, each only in its newest state.

    ``seq`` counts the batches of one stream from 1: a gap means that some were lost, so ask anew.
    ``cursor`` goes into the next call.
    """

    seq: int
    cursor: Text
    time: Time
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPreview:
    """What an order would do if it were placed now; nothing was sent.

    Money in the account's currency. ``price`` is the expected fill or the order's own price,
    ``commission`` that of its fill, ``spread_cost`` what its quantity pays between mid and price,
    ``loss_at_stop`` what is lost if its stop-loss fills at its price, costs included.
    """

    price: Positive
    quantity: Positive
    notional: Number
    margin_required: Number
    margin_available_after: Number
    commission: Number
    spread_cost: Number
    loss_at_stop: Number | None = None
    warnings: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelFailure:
    """An order that a mass cancel did not cancel, and why."""

    order_id: Text
    code: Text
    message: Said


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled:
    """What a mass cancel did: the orders it cancelled, and those it could not."""

    orders: tuple[OrderReport, ...]
    failed: tuple[CancelFailure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """The open positions."""

    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """A page of orders, oldest first; ``next_cursor`` is None on the last."""

    orders: tuple[OrderReport, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """A page of executions, oldest first; pass ``next_cursor`` as ``since`` for what follows."""

    fills: tuple[Fill, ...]
    next_cursor: str
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed after a cursor: orders in their newest state, and every new execution.

    ``cash_flows`` is what else moved the balance. What get_account shows was told here, or is told
    to whoever asks next: the balance is that of the first cursor, plus realized profit less
    commission of the executions, plus the cash flows.
    """

    cursor: str
    orders: tuple[OrderReport, ...]
    fills: Annotated[tuple[Fill, ...], AS_LISTED]
    more: bool
    cash_flows: tuple[CashFlow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """A stepped venue after its clock moved: its time, change cursor, money and prices."""

    time: Time
    cursor: str
    account: Account
    quotes: tuple[Quote, ...]
