"""What a broker's tools answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, FiniteFloat

from mtquant.model.fields import Time
from mtquant.model.market import Instrument, Quote
from mtquant.model.terms import Environment, OrderType, PositionMode, TimeInForce
from mtquant.model.trading import Account, Fill, OrderReport, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a broker's server is: can it reach the venue, and may it trade.

    ``time`` is the broker's own clock; ``price_age_s`` is the age of the last price;
    ``unknown_orders`` counts orders whose fate the server doesn't know yet; ``process_id`` is
    the server's, for whoever supervises it.
    """

    connected: bool
    trading_allowed: bool
    reason: str
    time: Time
    price_age_s: FiniteFloat | None
    unknown_orders: int
    version: str
    process_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a broker's server offers; the rest is refused with ``unsupported``.

    ``clock`` is ``stepped`` where the client moves time by advance_clock (a replay), else
    ``real``. ``settling_window_s`` is how long an order may stay invisible at the venue before a
    not-found proves that it isn't there.
    """

    contract_version: str
    broker: str
    environment: Environment
    tools: tuple[str, ...]
    order_types: tuple[OrderType, ...]
    time_in_force: tuple[TimeInForce, ...]
    position_mode: PositionMode
    clock: str
    settling_window_s: Annotated[FiniteFloat, Field(ge=0)]
    verified_against: str


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
    """What changed after a cursor: orders in their newest state, and every new execution."""

    cursor: str
    orders: tuple[OrderReport, ...]
    fills: tuple[Fill, ...]
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """A stepped venue after its clock moved: its time, change cursor, money and prices."""

    time: Time
    cursor: str
    account: Account
    quotes: tuple[Quote, ...]
