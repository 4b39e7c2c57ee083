"""The broker contract: the tools of one account at one broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field

from mtquant.errors import ErrorCode, Outcome, Refused
from mtquant.model import (
    Account,
    Accounts,
    Advanced,
    Bars,
    Canceled,
    Capabilities,
    Changes,
    ClientOrderId,
    CloseRequest,
    Fills,
    Health,
    Instrument,
    Instruments,
    MassCancel,
    ModifyRequest,
    Names,
    OrderPreview,
    OrderReport,
    OrderRequest,
    Orders,
    OrderStatus,
    Position,
    Positions,
    PriceSide,
    ProtectionRequest,
    QuoteBatch,
    Quotes,
    Text,
    Ticks,
    Time,
    Timeframe,
)

CONTRACT_VERSION = "1.0"


_Method = TypeVar("_Method", bound=Callable[..., Any])


Limit = Annotated[int, Field(ge=1, le=1000)]


BarCount = Annotated[int, Field(ge=1, le=5000)]


Wait = Annotated[float, Field(ge=0, le=25)]


WATCH_LIMIT_S = 3600
"""The longest that one watch_quotes call may stream."""


class Scope(StrEnum):
    """What a tool may do to an account; a halt takes ``trade`` away and leaves the others."""

    READ = "read"
    REDUCE = "reduce"
    TRADE = "trade"


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

    Override the tools your venue has; the others refuse with ``unsupported``. It is entered as an
    async context before it is served, and left after. Arguments arrive validated. Raise ``Refused``
    where nothing happened and ``OutcomeUnknown`` where you can't tell; any other exception of a
    trading tool is reported as unknown. Symbols are the broker's own. ``closed`` turns true where
    the broker is a connection that is known to be dead.
    """

    closed: bool = False

    async def list_offered(self) -> str:
        """Return a digest of the tools that are offered now; empty where that can't change."""
        return ""

    async def __aenter__(self) -> Self:
        """Open what the broker needs, such as its connection to the venue."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened."""

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

    @tool("Ticks")
    async def get_ticks(
        self,
        instrument: Text,
        from_: Time | None = None,
        to: Time | None = None,
        count: BarCount = 500,
    ) -> Ticks:
        """Return quotes with from <= time < to, the last ``count`` of them."""
        raise _lacks("get_ticks")

    @tool("Watch quotes")
    async def watch_quotes(
        self,
        instruments: Names,
        since: Text | None = None,
        wait_s: Wait = 25,
        for_s: Annotated[float, Field(ge=0, le=WATCH_LIMIT_S)] = 0,
    ) -> QuoteBatch:
        """Return the quotes that changed after ``since``, waiting up to ``wait_s`` for one.

        With ``for_s``, send batches as progress messages for so long instead. ``serve`` derives
        this from get_quotes.
        """
        raise _lacks("watch_quotes")

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
        from_: Time | None = None,
        to: Time | None = None,
        limit: Limit = 1000,
    ) -> Fills:
        """List executions after the cursor ``since`` with from <= time < to, oldest first."""
        raise _lacks("list_fills")

    @tool("Changes")
    async def get_changes(
        self,
        since: Text | None = None,
        limit: Limit = 1000,
        wait_s: Wait = 0,
    ) -> Changes:
        """Return what changed after the cursor, waiting up to ``wait_s`` seconds for it."""
        raise _lacks("get_changes")

    @tool("Place an order", Scope.TRADE)
    async def place_order(self, order: OrderRequest) -> OrderReport:
        """Place an order. Sending the same client_order_id again never places a second one."""
        raise _lacks("place_order")

    @tool("Preview an order")
    async def preview_order(self, order: OrderRequest) -> OrderPreview:
        """Tell what place_order would do, or why it would refuse; nothing is sent."""
        raise _lacks("preview_order")

    @tool("Change a working order", Scope.TRADE)
    async def modify_order(self, change: ModifyRequest) -> OrderReport:
        """Change a working order's quantity, prices, time in force or protections."""
        raise _lacks("modify_order")

    @tool("Protect a position", Scope.REDUCE)
    async def set_protection(self, protection: ProtectionRequest) -> Position:
        """Set a position's protections. Loosening one needs the scope trade."""
        raise _lacks("set_protection")

    @tool("Cancel an order", Scope.REDUCE)
    async def cancel_order(
        self, order_id: Text | None = None, client_order_id: ClientOrderId | None = None
    ) -> OrderReport:
        """Cancel a working order. A client_order_id never seen before is made void for ever."""
        raise _lacks("cancel_order")

    @tool("Cancel working orders", Scope.REDUCE)
    async def cancel_orders(
        self,
        filter: MassCancel,  # noqa: A002 - the contract's word
        instrument: Text | None = None,
        protections: bool = False,  # noqa: FBT001, FBT002 - a field on the wire
    ) -> Canceled:
        """Cancel all working orders, or those of one instrument; with what protects if asked."""
        raise _lacks("cancel_orders")

    @tool("Close a position", Scope.REDUCE)
    async def close_position(self, close: CloseRequest) -> OrderReport:
        """Close a position, or part of it, at the market; it never opens one."""
        raise _lacks("close_position")

    @tool("Advance a simulated venue's clock", Scope.TRADE)
    async def advance_clock(self, to: Time) -> Advanced:
        """Move a stepped venue to a later time, filling what fills on the way."""
        raise _lacks("advance_clock")
