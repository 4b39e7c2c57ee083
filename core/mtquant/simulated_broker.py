"""A whole broker of the contract over the simulated exchange: a paper account, or your own.

A subclass says what the prices are, and on what clock.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import anyio

from mtquant import __version__
from mtquant.clock import SECOND, Clock
from mtquant.contract import Broker
from mtquant.errors import BrokerError, ErrorCode, Outcome, Refused, Retry
from mtquant.exchange import ORDER_TYPES, TIMES_IN_FORCE, Exchange, ExchangeSettings
from mtquant.model import (
    Account,
    Accounts,
    Canceled,
    Capabilities,
    Changes,
    CloseRequest,
    Environment,
    Feature,
    Fill,
    Fills,
    Health,
    Instrument,
    Instruments,
    MassCancel,
    ModifyRequest,
    OrderPreview,
    OrderReport,
    OrderRequest,
    Orders,
    OrderStatus,
    Position,
    PositionMode,
    Positions,
    ProtectionRequest,
    Quote,
    Quotes,
    Stream,
    StreamHealth,
)
from mtquant.simulated_store import Recorded, Store
from mtquant.symbols import unknown_instrument

_Named = TypeVar("_Named", Instrument, Quote, Position, Fill, OrderReport)
_CURSOR_DIGITS = 18
_POLL_S = 0.25
_NETTED_ONLY = {Feature.REDUCE_ONLY, Feature.POSITION_EFFECT}


class SimulatedBroker(Broker):
    """One account of ``settings`` in ``symbols``, on the time of ``clock``.

    Override :meth:`mid` to price it. Its files lie in ``folder``; without one it is forgotten with
    the process. ``spelling`` maps our symbols to the broker's own.
    """

    name = "simulated"

    def __init__(
        self,
        settings: ExchangeSettings,
        symbols: Iterable[str],
        clock: Clock,
        folder: Path | None = None,
        spelling: dict[str, str] | None = None,
    ) -> None:
        self.exchange = Exchange(settings, symbols)
        self.names = {each: (spelling or {}).get(each, each) for each in self.exchange.instruments}
        self._clock = clock
        self._by_name = {theirs: ours for ours, theirs in self.names.items()}
        self._store = Store(folder)
        self._waiting: anyio.Event | None = None

    # --- what a subclass says ----------------------------------------------------------------

    def mid(self, symbol: str, now: int) -> float | None:
        """Return the mid price of our ``symbol`` at ``now``, None while there is none."""
        del symbol, now
        return None

    def now(self) -> int:
        """Return the venue's time, nanoseconds UTC."""
        return self._clock.now()

    def trading(self) -> str:
        """Return why nothing may be traded now; empty where it may."""
        return ""

    def sync(self) -> None:
        """Come to the present: time that has passed, and prices that have moved."""
        self._store.refresh(self.exchange)
        now = self.now()
        prices = {symbol: self.mid(symbol, now) for symbol in self.names}
        known = {symbol: mid for symbol, mid in prices.items() if mid is not None}
        for symbol in known.keys() - self.exchange.quotes.keys():
            self.exchange.set_quote(symbol, known[symbol], now)
        if self.exchange.idle(now):
            for symbol, mid in known.items():
                self.exchange.set_quote(symbol, mid, now)
            return
        with self._store.command(self.exchange, lambda: now):
            self.exchange.pass_time(now)
            for symbol, mid in known.items():
                self.exchange.on_mid(symbol, mid, now)
            changed = bool(self.exchange.changes)
        if changed:
            self.wake()

    @contextmanager
    def command(self) -> Iterator[None]:
        """Run a command at the present, as one transaction; what fails leaves no trace."""
        self.sync()
        with self._store.command(self.exchange, self.now):
            yield
        self.wake()

    def recorded(self, after: int, limit: int) -> list[Recorded]:
        """Return what changed after a sequence, oldest first."""
        found = self._store.changes(after, limit)
        self._store.refresh(self.exchange)  # it may lag behind what was just read
        return found

    def executions(
        self, after: int, order_id: str | None, symbol: str | None, limit: int
    ) -> list[tuple[int, Fill]]:
        """Return executions after a sequence, oldest first, of one order or symbol if named."""
        return self._store.fills(after, order_id, symbol, limit)

    def close(self) -> None:
        """Close the account's files."""
        self._store.close()

    def until_next(self) -> float:
        """Return how many seconds to wait before something may have changed by itself."""
        return _POLL_S

    def wake(self) -> None:
        """Let those who wait for changes look."""
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None

    # --- names -------------------------------------------------------------------------------

    def ours(self, symbol: str) -> str:
        """Return our symbol of the broker's; raises Refused (unknown_instrument)."""
        if symbol in self._by_name:
            return self._by_name[symbol]
        raise unknown_instrument(symbol, self._by_name, "this account")

    def theirs(self, value: _Named) -> _Named:
        """Return ``value`` under the broker's symbols."""
        named = replace(value, instrument=self.names[value.instrument])
        if not isinstance(named, Fill | OrderReport | Position):
            return named
        if named.position_id in self.names:
            named = replace(named, position_id=named.instrument)  # netted: it bears the symbol
        if isinstance(named, OrderReport):
            return replace(named, fills=tuple(self.theirs(each) for each in named.fills))
        return named

    def _position_id(self, position_id: str) -> str:
        if position_id in self.names and position_id not in self._by_name:
            raise unknown_instrument(position_id, self._by_name, "this account")
        return self._by_name.get(position_id, position_id)

    # --- reads -------------------------------------------------------------------------------

    async def get_health(self) -> Health:
        self.sync()
        newest = max((each.time for each in self.exchange.quotes.values()), default=None)
        why, now = self.trading(), self.now()
        return Health(
            connected=True,
            trading_allowed=not why,
            reason=why,
            time=now,
            streams=(
                StreamHealth(
                    stream=Stream.PRICES,
                    age_s=None if newest is None else max(0.0, (now - newest) / SECOND),
                ),
            ),
            version=__version__,
            process_id=os.getpid(),
        )

    async def get_capabilities(self) -> Capabilities:
        mode = self.exchange.settings.position_mode
        netting = mode is PositionMode.NETTING
        return Capabilities(
            broker=self.name,
            environment=Environment.PAPER,
            order_types=ORDER_TYPES,
            time_in_force=TIMES_IN_FORCE,
            position_mode=mode,
            features=tuple(each for each in Feature if netting or each not in _NETTED_ONLY),
            settling_window_s=0.0,
            verified_against=f"mtquant's simulated exchange {__version__}",
        )

    async def list_accounts(self) -> Accounts:
        return Accounts(accounts=(await self.get_account(),))

    async def get_account(self, account_id: str | None = None) -> Account:
        if account_id not in {None, self.exchange.settings.account_id}:
            raise Refused(
                ErrorCode.NOT_FOUND, "this server has no such account", field="account_id"
            )
        self.sync()
        return self.exchange.account(self.now())

    async def search_instruments(
        self, query: str, limit: int = 100, cursor: str | None = None
    ) -> Instruments:
        start = number_of(cursor)
        wanted = query.casefold()
        found = [
            named
            for named in (self.theirs(each) for each in self.exchange.instruments.values())
            if wanted in named.instrument.casefold() or wanted in named.description.casefold()
        ]
        end = start + limit
        return Instruments(
            instruments=tuple(found[start:end]),
            next_cursor=str(end) if end < len(found) else None,
        )

    async def get_instrument(self, instrument: str) -> Instrument:
        return self.theirs(self.exchange.instruments[self.ours(instrument)])

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        self.sync()
        wanted = [self.ours(each) for each in instruments]
        quotes = self.exchange.quotes
        return Quotes(quotes=tuple(self.theirs(quotes[each]) for each in wanted if each in quotes))

    async def get_positions(self, instrument: str | None = None) -> Positions:
        self.sync()
        ours = None if instrument is None else self.ours(instrument)
        return Positions(
            positions=tuple(
                self.theirs(each)
                for each in self.exchange.positions()
                if ours in {None, each.instrument}
            )
        )

    async def list_orders(
        self,
        status: OrderStatus | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Orders:
        self.sync()
        start = number_of(cursor)
        found = [
            each
            for each in self.exchange.orders.values()
            if (each.status is status if status else not each.status.terminal)
            and number_of(each.order_id[1:]) > start
        ]
        page = found[:limit]
        return Orders(
            orders=tuple(self.theirs(each) for each in page),
            next_cursor=page[-1].order_id[1:] if len(found) > limit else None,
        )

    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        self.sync()
        return self.theirs(self.exchange.orders[self._find(order_id, client_order_id)])

    def _find(self, order_id: str | None, client_order_id: str | None) -> str:
        if (order_id is None) == (client_order_id is None):
            raise _invalid("name one of order_id and client_order_id", "order_id")
        known = self.exchange.by_client_id.get(client_order_id or "", order_id)
        if known not in self.exchange.orders or known is None:
            raise Refused(
                ErrorCode.NOT_FOUND, "this account has no such order", outcome=Outcome.REJECTED
            )
        return known

    async def list_fills(
        self,
        since: str | None = None,
        order_id: str | None = None,
        instrument: str | None = None,
        from_: int | None = None,
        to: int | None = None,
        limit: int = 1000,
    ) -> Fills:
        self.sync()
        ours, after = None if instrument is None else self.ours(instrument), self._after(since)
        found = self.executions(after, order_id, ours, limit + 1)
        page = found[:limit]
        return Fills(
            fills=tuple(
                self.theirs(fill)
                for _, fill in page
                if (from_ is None or fill.time >= from_) and (to is None or fill.time < to)
            ),
            next_cursor=str(page[-1][0] if page else after),
            more=len(found) > limit,
        )

    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        self.sync()
        after = self._after(since)
        with anyio.move_on_after(wait_s):
            while wait_s and self.exchange.seq <= after:
                self._waiting = self._waiting or anyio.Event()
                with anyio.move_on_after(self.until_next()):
                    await self._waiting.wait()
                self.sync()
        found = self.recorded(after, limit + 1)
        page = found[:limit]
        newest = dict.fromkeys(each.order_id for each in page if each.order_id is not None)
        return Changes(
            cursor=str(page[-1].seq if page else after),
            orders=tuple(self.theirs(self.exchange.orders[each]) for each in newest),
            fills=tuple(self.theirs(each.fill) for each in page if each.fill is not None),
            cash_flows=tuple(each.cash_flow for each in page if each.cash_flow is not None),
            more=len(found) > limit,
        )

    def _after(self, since: str | None) -> int:
        """Read a cursor of changes; one from ahead belongs to another account, and would skip."""
        after = number_of(since)
        if after > self.exchange.seq:
            raise _no_cursor()
        return after

    # --- commands ----------------------------------------------------------------------------

    async def preview_order(self, order: OrderRequest) -> OrderPreview:
        ours = replace(order, instrument=self.ours(order.instrument))
        self.sync()
        self._require_open()
        return self.exchange.preview(ours, self.now())

    async def place_order(self, order: OrderRequest) -> OrderReport:
        ours = replace(order, instrument=self.ours(order.instrument))
        with self.command():
            self._require_open()
            report = self.exchange.place(ours, self.now())
        return self.theirs(report)

    async def modify_order(self, change: ModifyRequest) -> OrderReport:
        with self.command():
            report = self.exchange.modify(change, self.now())
        return self.theirs(report)

    async def set_protection(self, protection: ProtectionRequest) -> Position:
        ours = replace(protection, position_id=self._position_id(protection.position_id))
        with self.command():
            position = self.exchange.protect(ours, self.now())
        return self.theirs(position)

    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        with self.command():
            report = self.exchange.cancel(self._find(order_id, client_order_id), self.now())
        return self.theirs(report)

    async def cancel_orders(
        self,
        filter: MassCancel,  # noqa: A002 - the contract's word
        instrument: str | None = None,
        protections: bool = False,  # noqa: FBT001, FBT002 - a field on the wire
    ) -> Canceled:
        if (filter is MassCancel.INSTRUMENT) != (instrument is not None):
            raise _invalid("goes with the filter instrument, and only with it", "instrument")
        ours = None if instrument is None else self.ours(instrument)
        with self.command():
            done = self.exchange.cancel_all(ours, self.now(), protections=protections)
        return Canceled(orders=tuple(self.theirs(each) for each in done))

    async def close_position(self, close: CloseRequest) -> OrderReport:
        if close.instrument is None and close.position_id is None:
            raise _invalid("name a position, by instrument or position_id", "position_id")
        ours = replace(
            close,
            instrument=close.instrument and self.ours(close.instrument),
            position_id=close.position_id and self._position_id(close.position_id),
        )
        with self.command():
            self._require_open()
            report = self.exchange.close(ours, self.now())
        return self.theirs(report)

    def _require_open(self) -> None:
        why = self.trading()
        if why:
            raise Refused(ErrorCode.MARKET_CLOSED, why, retry=Retry.NEVER)


def number_of(cursor: str | None) -> int:
    """Read a cursor: the sequence after which to go on; raises Refused where it is none."""
    if cursor is None:
        return 0
    if cursor.isascii() and cursor.isdigit() and len(cursor) <= _CURSOR_DIGITS:
        return int(cursor)
    raise _no_cursor()


def _no_cursor() -> BrokerError:
    return _invalid("not a cursor that this server has given", "cursor")


def _invalid(problem: str, field: str) -> Refused:
    return Refused(
        ErrorCode.INVALID_ARGUMENT,
        f"{field}: {problem}",
        outcome=Outcome.NOT_SENT,
        retry=Retry.AFTER_FIX,
        field=field,
    )
