"""One account as the engine sees it: its servers, spoken to in our symbols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import anyio

from mtquant.comparison import Compared, Comparison
from mtquant.contract import Broker
from mtquant.errors import ErrorCode, Outcome, Refused
from mtquant.jumps import Believed
from mtquant.model import (
    Account,
    Advanced,
    Bars,
    Capabilities,
    Changes,
    CloseRequest,
    Fill,
    Fills,
    Instrument,
    Instruments,
    ModifyRequest,
    OrderPreview,
    OrderReport,
    OrderRequest,
    Orders,
    Position,
    PositionMode,
    ProtectionRequest,
    Quote,
    Timeframe,
)
from mtquant.pool import ConnectionState, Session, first_able
from mtquant.route import AccountState
from mtquant.symbols import Spelling, SymbolMap
from mtquant.wire.follow import follow_quotes

PAGES = 1000
ROWS = 100_000
"""A list of more pages, or of more rows, has no end."""
T = TypeVar("T")
_Named = TypeVar("_Named", Quote, Fill, OrderReport, Position, Bars, Instrument)


class Link:
    """An account behind one or more servers.

    ``blocked`` says why it isn't traded although it is connected, such as a balance that isn't
    what the book says. ``compared`` is how the books compare, None where that isn't known. ``lock``
    is held while an order is sent, while doubts are settled and while the books are compared: none
    of the three may see another half done. Quotes, orders and fills go out and come in under
    canonical symbols.
    """

    def __init__(self, name: str, sessions: Sequence[Session], spelling: Spelling) -> None:
        self.name = name
        self.sessions = sessions
        self.blocked = "not yet reconciled"
        self.compared: Comparison | None = None
        self.lock = anyio.Lock()
        self.symbols = SymbolMap(name, spelling, ())
        self._spelling = spelling
        self._believed = Believed()

    @property
    def connected(self) -> bool:
        """True while some server of the account can be called."""
        return any(session.connected for session in self.sessions)

    @property
    def untrusted(self) -> str:
        """Why nothing new is to be opened here, where a server's tools have changed; or nothing."""
        return next((each.untrusted for each in self.sessions if each.untrusted), "")

    @property
    def agrees(self) -> bool:
        """True where the broker's record was our book's when they were last compared."""
        return self.compared is not None and self.compared.agrees

    @property
    def differing(self) -> dict[str, Compared]:
        """The symbols in which the broker's record isn't our book's."""
        found = () if self.compared is None else self.compared.differing
        return {each.instrument: each for each in found}

    @property
    def capabilities(self) -> Capabilities | None:
        """What the account's servers offer, once one has connected."""
        return next((each.capabilities for each in self.sessions if each.capabilities), None)

    @property
    def netting(self) -> bool:
        """True where the account holds one position in an instrument."""
        return self.capabilities is None or (
            self.capabilities.position_mode is PositionMode.NETTING
        )

    @property
    def stepped(self) -> bool:
        """True where the client moves the venue's clock."""
        return self.capabilities is not None and self.capabilities.clock == "stepped"

    def state(self) -> AccountState:
        """Return what routing needs to know."""
        healthy = [each for each in self.sessions if each.state is ConnectionState.HEALTHY]
        open_for_trade = any(each.health and each.health.trading_allowed for each in healthy)
        why = self.blocked or self.untrusted or (self.sessions[0].problem if not healthy else "")
        if not why and not open_for_trade:
            why = "the broker doesn't allow trading now"
        return AccountState(
            name=self.name,
            tradable=not why,
            symbols=frozenset(each for each in self.symbols.instruments),
            why=why,
            differs={symbol: str(each) for symbol, each in self.differing.items()},
        )

    def instruments(self) -> dict[str, Instrument]:
        """Return the account's instruments by our symbols, and named by them."""
        return {
            symbol: replace(each, instrument=symbol)
            for symbol, each in self.symbols.instruments.items()
        }

    async def ask(self, use: Callable[[Broker], Awaitable[T]], *, waits: bool = False) -> T:
        """Make one call through the account's best server; see :meth:`Session.call`."""
        return await first_able(self.sessions, use, waits=waits)

    async def learn(self) -> None:
        """Read the instruments and map their symbols."""
        listed: list[Instrument] = []
        cursor: str | None = None
        pages = 0
        while True:
            page = await self._instruments(cursor)
            listed.extend(page.instruments)
            pages += 1
            cursor = page.next_cursor
            _require_end(pages, len(listed), cursor)
            if cursor is None:
                break
        self.symbols = SymbolMap(self.name, self._spelling, listed)

    async def know_symbols(self) -> None:
        """Read the instruments unless they are known: what a broker names means nothing before."""
        if not self.symbols.instruments:
            await self.learn()

    async def _instruments(self, cursor: str | None) -> Instruments:
        return await self.ask(lambda it: it.search_instruments("", cursor=cursor))

    async def _orders(self, cursor: str | None) -> Orders:
        return await self.ask(lambda it: it.list_orders(cursor=cursor))

    async def place(self, order: OrderRequest) -> OrderReport:
        """Place an order."""
        theirs = replace(order, instrument=self.symbols.theirs(order.instrument))
        return self._report(await self.ask(lambda it: it.place_order(theirs)))

    async def close(self, close: CloseRequest) -> OrderReport:
        """Close a position."""
        symbol = close.instrument
        theirs = close if symbol is None else replace(close, instrument=self.symbols.theirs(symbol))
        return self._report(await self.ask(lambda it: it.close_position(theirs)))

    async def order(self, client_order_id: str) -> OrderReport:
        """Look an order up by our id; raises Refused (not_found) where there is none."""
        return self._report(
            await self.ask(lambda it: it.get_order(client_order_id=client_order_id))
        )

    async def fence(self, client_order_id: str) -> OrderReport:
        """Cancel an order, or make an id that was never seen void for ever."""
        return self._report(
            await self.ask(lambda it: it.cancel_order(client_order_id=client_order_id))
        )

    async def cancel(self, order_id: str) -> OrderReport:
        """Cancel an order by the broker's id."""
        return self._report(await self.ask(lambda it: it.cancel_order(order_id=order_id)))

    async def modify(self, request: ModifyRequest) -> OrderReport:
        """Change a working order."""
        return self._report(await self.ask(lambda it: it.modify_order(request)))

    async def protect(self, request: ProtectionRequest) -> Position:
        """Change what protects an open position."""
        return self._ours(await self.ask(lambda it: it.set_protection(request)))

    async def preview(self, order: OrderRequest) -> OrderPreview:
        """Return what an order would cost and tie up; nothing is sent."""
        theirs = replace(order, instrument=self.symbols.theirs(order.instrument))
        return await self.ask(lambda it: it.preview_order(theirs))

    async def quotes(self, symbols: Sequence[str]) -> tuple[Quote, ...]:
        """Return the newest quotes of ``symbols``."""
        theirs = tuple(self.symbols.theirs(symbol) for symbol in symbols)
        found = await self.ask(lambda it: it.get_quotes(theirs))
        return self._prices(found.quotes, theirs)

    async def account(self) -> Account:
        """Return the account's money."""
        return await self.ask(lambda it: it.get_account())

    async def positions(self) -> tuple[Position, ...]:
        """Return the open positions."""
        await self.know_symbols()
        held = await self.ask(lambda it: it.get_positions())
        return tuple(self._ours(each) for each in held.positions)

    async def working_orders(self) -> tuple[OrderReport, ...]:
        """Return every order that may still act."""
        await self.know_symbols()
        found: list[OrderReport] = []
        cursor: str | None = None
        pages = 0
        while True:
            page = await self._orders(cursor)
            found.extend(self._report(each) for each in page.orders)
            pages += 1
            cursor = page.next_cursor
            _require_end(pages, len(found), cursor)
            if cursor is None:
                return tuple(found)

    async def fills(self, since: str | None = None, order_id: str | None = None) -> Fills:
        """Return executions after a cursor, of one order if it is named."""
        page = await self.ask(lambda it: it.list_fills(since=since, order_id=order_id))
        return replace(page, fills=tuple(self._ours(each) for each in page.fills))

    async def changes(self, since: str | None, wait_s: float = 0) -> Changes:
        """Return what changed after a cursor, waiting up to ``wait_s`` for it."""
        found = await self.ask(
            lambda it: it.get_changes(since=since, wait_s=wait_s), waits=wait_s > 0
        )
        return replace(
            found,
            orders=tuple(self._report(each) for each in found.orders),
            fills=tuple(self._ours(each) for each in found.fills),
        )

    async def follow_quotes(
        self, symbols: Sequence[str], on_quotes: Callable[[tuple[Quote, ...]], None]
    ) -> None:
        """Call ``on_quotes`` with quotes as they change, until the connection fails."""
        theirs = tuple(
            self.symbols.theirs(symbol) for symbol in symbols if symbol in self.symbols.instruments
        )

        def hand_on(quotes: tuple[Quote, ...]) -> None:
            believed = self._prices(quotes, theirs)
            if believed:
                on_quotes(believed)

        await self.ask(lambda it: follow_quotes(it, theirs, hand_on), waits=True)

    async def bars(
        self, symbol: str, timeframe: Timeframe, count: int, to: int | None = None
    ) -> Bars:
        """Return the last ``count`` closed bars that opened before ``to``."""
        theirs = self.symbols.theirs(symbol)
        found = await self.ask(lambda it: it.get_bars(theirs, timeframe, to=to, count=count))
        return self._ours(found)

    async def advance(self, to: int) -> Advanced:
        """Move a stepped venue's clock."""
        moved = await self.ask(lambda it: it.advance_clock(to))
        return replace(moved, quotes=tuple(self._ours(each) for each in moved.quotes))

    def _prices(self, quotes: Sequence[Quote], asked: Sequence[str]) -> tuple[Quote, ...]:
        """Return quotes under our symbols, without those that jumped or weren't asked for.

        A stepped venue's prices are recorded: how far apart they lie is up to the step.
        """
        if not self.stepped:
            quotes = self._believed.take(quotes, asked)
        return tuple(self._ours(each) for each in quotes)

    def _ours(self, value: _Named) -> _Named:
        return replace(value, instrument=self.symbols.ours(value.instrument))

    def _report(self, report: OrderReport) -> OrderReport:
        return replace(self._ours(report), fills=tuple(self._ours(each) for each in report.fills))


def _require_end(pages: int, rows: int, cursor: str | None) -> None:
    """Refuse a list that goes on and on: it would fill this process's memory."""
    if rows > ROWS or (cursor is not None and pages >= PAGES):
        message = f"the server's list has no end: {rows} rows on {pages} pages"
        raise Refused(ErrorCode.INTERNAL, message, outcome=Outcome.NOT_SENT)
