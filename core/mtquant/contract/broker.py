"""The broker contract: the tools of one account at one broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import Field

from mtquant.errors import ErrorCode, Outcome, Refused
from mtquant.model import (
    Account,
    Accounts,
    Advanced,
    Bars,
    Capabilities,
    Changes,
    ClientOrderId,
    CloseRequest,
    Fills,
    Health,
    Instrument,
    Instruments,
    Names,
    OrderReport,
    OrderRequest,
    Orders,
    OrderStatus,
    Positions,
    Quotes,
    Text,
    Time,
    Timeframe,
)

CONTRACT_VERSION = "1.0"


_Method = TypeVar("_Method", bound=Callable[..., Any])


Limit = Annotated[int, Field(ge=1, le=1000)]


BarCount = Annotated[int, Field(ge=1, le=5000)]


class Scope(StrEnum):
    """What a tool may do to an account; a halt takes ``trade`` away and leaves the others."""

    READ = "read"
    REDUCE = "reduce"
    TRADE = "trade"


class PriceSide(StrEnum):
    """Which price a bar is made of."""

    BID = "bid"
    ASK = "ask"
    MID = "mid"


@dataclass(frozen=True, slots=True)
class Tool:
    """What the contract says of one tool besides its signature."""

    title: str
    scope: Scope


def tool(title: str, scope: Scope = Scope.READ) -> Callable[[_Method], _Method]:
    """Mark a method of a Broker as a tool of the contract."""

    def mark(method: _Method) -> _Method:
        method.__tool__ = Tool(title, scope)  # type: ignore[attr-defined]
        return method

    return mark


def tools_of(broker: type[Broker]) -> dict[str, Tool]:
    """Return the tools that ``broker``'s class implements, in the contract's order.

    A method that is inherited from Broker unchanged is a tool the venue lacks.
    """
    declared = {
        name: method.__tool__
        for kind in reversed(broker.__mro__)
        for name, method in vars(kind).items()
        if hasattr(method, "__tool__")
    }
    return {
        name: spec
        for name, spec in declared.items()
        if broker is Broker or getattr(broker, name) is not getattr(Broker, name, None)
    }


def _lacks(name: str) -> Refused:
    return Refused(
        ErrorCode.UNSUPPORTED,
        f"this broker does not offer {name}; get_capabilities lists what it does",
        outcome=Outcome.NOT_SENT,
    )


class Broker:
    """One account at one broker.

    Override the tools your venue has; the others refuse with ``unsupported``. Arguments arrive
    validated. Raise ``Refused`` where nothing happened and ``OutcomeUnknown`` where you can't
    tell; any other exception of a trading tool is reported as unknown. Symbols are the broker's
    own. ``closed`` turns true where the broker is a connection that is known to be dead.
    """

    closed: bool = False

    @tool("Health of the connection")
    async def get_health(self) -> Health:
        """Tell whether the venue is reached and may be traded, and the broker's own time."""
        raise _lacks("get_health")

    @tool("What this server offers")
    async def get_capabilities(self) -> Capabilities:
        """List the tools, order types and limits of this server."""
        raise _lacks("get_capabilities")

    @tool("Accounts")
    async def list_accounts(self) -> Accounts:
        """List the accounts this server trades."""
        raise _lacks("list_accounts")

    @tool("Account")
    async def get_account(self, account_id: Text | None = None) -> Account:
        """Return balance, equity and margin, in the account's currency."""
        raise _lacks("get_account")

    @tool("Search instruments")
    async def search_instruments(
        self, query: Text, limit: Limit = 100, cursor: Text | None = None
    ) -> Instruments:
        """Find instruments whose symbol or description contains the query; empty finds all."""
        raise _lacks("search_instruments")

    @tool("Instrument")
    async def get_instrument(self, instrument: Text) -> Instrument:
        """Return an instrument's steps, limits and margin."""
        raise _lacks("get_instrument")

    @tool("Quotes")
    async def get_quotes(self, instruments: Names) -> Quotes:
        """Return the newest bid and ask of up to 50 instruments."""
        raise _lacks("get_quotes")

    @tool("Bars")
    async def get_bars(
        self,
        instrument: Text,
        timeframe: Timeframe,
        from_: Time | None = None,
        to: Time | None = None,
        count: BarCount = 500,
        price: PriceSide = PriceSide.MID,
    ) -> Bars:
        """Return closed bars with from <= opening time < to, the last ``count`` of them."""
        raise _lacks("get_bars")

    @tool("Positions")
    async def get_positions(self, instrument: Text | None = None) -> Positions:
        """Return the open positions."""
        raise _lacks("get_positions")

    @tool("Orders")
    async def list_orders(
        self,
        status: OrderStatus | None = None,
        limit: Limit = 100,
        cursor: Text | None = None,
    ) -> Orders:
        """List orders, oldest first: the working ones, or all of one status."""
        raise _lacks("list_orders")

    @tool("Order")
    async def get_order(
        self, order_id: Text | None = None, client_order_id: ClientOrderId | None = None
    ) -> OrderReport:
        """Look one order up by either id; a not_found is an error of that code."""
        raise _lacks("get_order")

    @tool("Executions")
    async def list_fills(
        self,
        since: Text | None = None,
        order_id: Text | None = None,
        instrument: Text | None = None,
        limit: Limit = 1000,
    ) -> Fills:
        """List executions, oldest first, after the cursor ``since``."""
        raise _lacks("list_fills")

    @tool("Changes")
    async def get_changes(
        self,
        since: Text | None = None,
        limit: Limit = 1000,
        wait_s: Annotated[float, Field(ge=0, le=25)] = 0,
    ) -> Changes:
        """Return what changed after the cursor, waiting up to ``wait_s`` seconds for it."""
        raise _lacks("get_changes")

    @tool("Place an order", Scope.TRADE)
    async def place_order(self, order: OrderRequest) -> OrderReport:
        """Place an order. Sending the same client_order_id again never places a second one."""
        raise _lacks("place_order")

    @tool("Cancel an order", Scope.REDUCE)
    async def cancel_order(
        self, order_id: Text | None = None, client_order_id: ClientOrderId | None = None
    ) -> OrderReport:
        """Cancel a working order. A client_order_id never seen before is made void for ever."""
        raise _lacks("cancel_order")

    @tool("Close a position", Scope.REDUCE)
    async def close_position(self, close: CloseRequest) -> OrderReport:
        """Close a position, or part of it, at the market; it never opens one."""
        raise _lacks("close_position")

    @tool("Advance a simulated venue's clock", Scope.TRADE)
    async def advance_clock(self, to: Time) -> Advanced:
        """Move a stepped venue to a later time, filling what fills on the way."""
        raise _lacks("advance_clock")
