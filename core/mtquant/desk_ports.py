"""What the order desk and the withdrawal need of an account and of the journal.

A running engine gives them a :class:`~mtquant.link.Link` and a :class:`~mtquant.journal.Journal`;
a backtest gives them an account in the same process, and a record in memory.
"""

from __future__ import annotations

from typing import Any, Protocol

from mtquant.model import (
    Account,
    Advanced,
    Changes,
    CloseRequest,
    Fills,
    OrderReport,
    OrderRequest,
    Position,
)


class Entries(Protocol):
    """Takes what happened, in its order; see :class:`mtquant.journal.Journal`."""

    def append(self, kind: str, body: dict[str, Any], *, durable: bool = False) -> object:
        """Take an entry in; a ``durable`` one is on disk when this returns."""

    def flush(self) -> None:
        """Put every entry on disk."""


class TradingLink(Protocol):
    """One account, spelled our way; see :class:`mtquant.link.Link`."""

    @property
    def name(self) -> str:
        """Our name for the account."""

    @property
    def stepped(self) -> bool:
        """True where we move the venue's clock."""

    @property
    def netting(self) -> bool:
        """True where the account holds one position in an instrument."""

    async def place(self, order: OrderRequest) -> OrderReport:
        """Place an order."""

    async def close(self, close: CloseRequest) -> OrderReport:
        """Close a position."""

    async def order(self, client_order_id: str) -> OrderReport:
        """Look an order up by our id; raises Refused (not_found) where there is none."""

    async def fence(self, client_order_id: str) -> OrderReport:
        """Cancel an order, or make an id that was never seen void for ever."""

    async def cancel(self, order_id: str) -> OrderReport:
        """Cancel an order by the broker's id."""

    async def account(self) -> Account:
        """Return the account's money."""

    async def positions(self) -> tuple[Position, ...]:
        """Return the open positions."""

    async def working_orders(self) -> tuple[OrderReport, ...]:
        """Return every order that may still act."""

    async def fills(self, since: str | None = None, order_id: str | None = None) -> Fills:
        """Return executions after a cursor, of one order if it is named."""

    async def changes(self, since: str | None, wait_s: float = 0) -> Changes:
        """Return what changed after a cursor, waiting up to ``wait_s`` for it."""

    async def advance(self, to: int) -> Advanced:
        """Move a stepped venue's clock."""
