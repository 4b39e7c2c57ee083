"""The paper account as a broker of the contract, under the broker's own spelling."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio

import mtquant
from mtquant.clock import SECOND, Clock
from mtquant.contract import CONTRACT_VERSION, Broker, PriceSide, Source, tools_of
from mtquant.errors import ConfigError, ErrorCode, Outcome, Refused, Retry
from mtquant.exchange import ORDER_TYPES, TIMES_IN_FORCE, Exchange, PaperSettings
from mtquant.model import (
    Account,
    Accounts,
    Advanced,
    Bars,
    Capabilities,
    Changes,
    CloseRequest,
    Environment,
    Fill,
    Fills,
    Health,
    Instrument,
    Instruments,
    OrderReport,
    OrderRequest,
    Orders,
    OrderStatus,
    Position,
    PositionMode,
    Positions,
    Quote,
    Quotes,
    Timeframe,
)
from mtquant.symbols import SymbolMap, unknown_instrument
from mtquant_paper_server.market import Market, PassingClock
from mtquant_paper_server.store import Store

_Named = TypeVar("_Named", Instrument, Quote, Position, Fill, OrderReport)
_POLL_LIMIT_S = 0.25
_CURSOR_DIGITS = 18


class PaperBroker(Broker):
    """One paper account in ``folder``, priced by ``source``."""

    def __init__(
        self, settings: PaperSettings, source: Source[Any], folder: Path, clock: Clock
    ) -> None:
        self._settings = settings
        self._market = Market(settings, source)
        self._exchange = Exchange(settings, self._market.bars)
        self._names = {
            symbol: settings.spelling.broker_symbol(symbol) for symbol in self._market.bars
        }
        if len(set(self._names.values())) < len(self._names):
            raise ConfigError(
                "spelling", "spells two symbols alike", "Give each symbol a spelling of its own."
            )
        self._store = Store(folder)
        self._passing = self._opened(clock) if settings.clock == "real" else None
        self._symbols = SymbolMap(
            settings.account_id,
            settings.spelling,
            [self._theirs(each) for each in self._exchange.instruments.values()],
        )
        self._waiting: anyio.Event | None = None
        self._time = self._market.begin
        self._quote(self._store.time() or self._market.begin)
        self._store.refresh(self._exchange)
        self._check_held()
        self._sync()

    def _check_held(self) -> None:
        """Refuse to open an account that these settings can't price, or would price wrongly."""
        self._store.set("currency", self._settings.currency)
        kept = self._store.get("currency")
        if kept != self._settings.currency:
            self.close()
            raise ConfigError(
                "currency",
                f"{self._settings.currency!r}: the account in this folder is kept in {kept}",
                "Correct it, or take another folder.",
            )
        live = [each for each in self._exchange.orders.values() if not each.status.terminal]
        held = {each.instrument for each in live} | self._exchange.held()
        for symbol in sorted(held - set(self._names)):
            self.close()
            raise ConfigError(
                "symbols",
                f"the account in this folder has a position or an order in {symbol}",
                "Add it, or take another folder.",
            )

    def _opened(self, clock: Clock) -> PassingClock:
        """Return the clock, which counts from when the account was first opened."""
        self._store.set("opened", str(clock.now()))
        opened = int(self._store.get("opened") or 0)
        if self._settings.rebase:
            self._market.shift(opened - self._market.begin)
        return PassingClock(clock, opened, self._market.begin, self._settings.speed)

    def _quote(self, time: int) -> None:
        """Set every price to what it was at ``time``, matching nothing."""
        self._exchange.quotes.clear()
        for symbol, bars in self._market.bars.items():
            known = self._market.known(symbol, time)
            if known:
                ended = bars.time[known - 1] + bars.timeframe.seconds * SECOND
                self._exchange.set_quote(symbol, bars.close[known - 1], ended)
        self._time = max(self._time, time)

    def _catch_up(self) -> None:
        """Come to where another process has moved the clock."""
        shared = self._store.time()
        if shared is not None and shared > self._time:
            self._quote(shared)

    def _sync(self) -> None:
        """Come to the present: another process's steps, and the time that has passed."""
        self._catch_up()
        self._store.refresh(self._exchange)
        if self._passing is not None:
            self._advance(self._passing.now())

    @contextmanager
    def _command(self) -> Iterator[None]:
        """Run a command at the present, which no other process can move meanwhile."""
        self._sync()
        with self._store.command(self._exchange, lambda: self._time):
            self._catch_up()
            yield
        self._wake()

    def _advance(self, to: int) -> None:
        """Match every bar until ``to``; what fills is on disk before this returns."""
        if to <= self._time:
            return
        if next(self._market.steps(self._time, to), None) is not None:
            try:
                self._match(to)
            except BaseException:
                self._quote(self._time)
                raise
            self._wake()
        self._time = max(self._time, to)
        self._store.keep_time(self._time)

    def _wake(self) -> None:
        """Let those who wait for changes look."""
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None

    def _match(self, to: int) -> None:
        with self._store.command(self._exchange, lambda: max(self._time, to)):
            self._catch_up()  # no bar that another process has matched is matched again
            for step in self._market.steps(self._time, to):
                bars = self._market.bars[step.symbol]
                self._exchange.on_bar(
                    step.symbol,
                    bars.open[step.index],
                    bars.high[step.index],
                    bars.low[step.index],
                    bars.close[step.index],
                    step.time,
                )

    def _ours(self, symbol: str) -> str:
        ours = self._symbols.ours(symbol)
        if ours in self._names and self._names[ours] == symbol:
            return ours
        raise unknown_instrument(symbol, self._names.values(), "this account")

    def _theirs(self, value: _Named) -> _Named:
        named = replace(value, instrument=self._names[value.instrument])
        if isinstance(named, Fill | OrderReport | Position):
            named = replace(named, position_id=named.position_id and named.instrument)
        if isinstance(named, OrderReport):
            return replace(named, fills=tuple(self._theirs(each) for each in named.fills))
        return named

    @property
    def _open(self) -> bool:
        return self._time < self._market.end

    def close(self) -> None:
        """Close the account's files."""
        self._store.close()

    async def get_health(self) -> Health:
        self._sync()
        newest = max((each.time for each in self._exchange.quotes.values()), default=None)
        return Health(
            connected=True,
            trading_allowed=self._open,
            reason="" if self._open else "the recorded prices have ended",
            time=self._time,
            price_age_s=None if newest is None else (self._time - newest) / SECOND,
            unknown_orders=0,
            version=mtquant.__version__,
            process_id=os.getpid(),
        )

    async def get_capabilities(self) -> Capabilities:
        return Capabilities(
            contract_version=CONTRACT_VERSION,
            broker="paper",
            environment=Environment.PAPER,
            tools=tuple(tools_of(type(self))),
            order_types=ORDER_TYPES,
            time_in_force=TIMES_IN_FORCE,
            position_mode=PositionMode.NETTING,
            clock=self._settings.clock,
            settling_window_s=0.0,
            verified_against="mtquant's own tests",
        )

    async def list_accounts(self) -> Accounts:
        return Accounts(accounts=(await self.get_account(),))

    async def get_account(self, account_id: str | None = None) -> Account:
        if account_id not in {None, self._settings.account_id}:
            raise Refused(
                ErrorCode.NOT_FOUND, "this server has no such account", field="account_id"
            )
        self._sync()
        return self._exchange.account(self._time)

    async def search_instruments(
        self, query: str, limit: int = 100, cursor: str | None = None
    ) -> Instruments:
        start = _number(cursor)
        wanted = query.casefold()
        found = [
            named
            for named in (self._theirs(each) for each in self._exchange.instruments.values())
            if wanted in named.instrument.casefold() or wanted in named.description.casefold()
        ]
        end = start + limit
        return Instruments(
            instruments=tuple(found[start:end]),
            next_cursor=str(end) if end < len(found) else None,
        )

    async def get_instrument(self, instrument: str) -> Instrument:
        return self._theirs(self._exchange.instruments[self._ours(instrument)])

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        self._sync()
        wanted = [self._ours(each) for each in instruments]
        quotes = self._exchange.quotes
        return Quotes(quotes=tuple(self._theirs(quotes[each]) for each in wanted if each in quotes))

    async def get_bars(
        self,
        instrument: str,
        timeframe: Timeframe,
        from_: int | None = None,
        to: int | None = None,
        count: int = 500,
        price: PriceSide = PriceSide.MID,
    ) -> Bars:
        if timeframe is not self._market.timeframe or price is not PriceSide.MID:
            raise Refused(
                ErrorCode.UNSUPPORTED,
                f"only mid prices of timeframe {self._market.timeframe} are recorded",
                outcome=Outcome.NOT_SENT,
            )
        self._sync()
        ours = self._ours(instrument)
        bars = self._market.bars[ours]
        last = self._market.known(ours, self._time)
        if to is not None:
            last = min(last, bisect_left(bars.time, to))
        first = max(0, last - count)
        if from_ is not None:
            first = max(first, bisect_left(bars.time, from_))
        return Bars(
            instrument=instrument,
            timeframe=timeframe,
            time=bars.time[first:last],
            open=bars.open[first:last],
            high=bars.high[first:last],
            low=bars.low[first:last],
            close=bars.close[first:last],
            volume=bars.volume[first:last],
        )

    async def get_positions(self, instrument: str | None = None) -> Positions:
        self._sync()
        ours = None if instrument is None else self._ours(instrument)
        return Positions(
            positions=tuple(
                self._theirs(each)
                for each in self._exchange.positions()
                if ours in {None, each.instrument}
            )
        )

    async def list_orders(
        self,
        status: OrderStatus | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Orders:
        self._sync()
        start = _number(cursor)
        found = [
            each
            for each in self._exchange.orders.values()
            if (each.status is status if status else not each.status.terminal)
            and _number(each.order_id[1:]) > start
        ]
        page = found[:limit]
        return Orders(
            orders=tuple(self._theirs(each) for each in page),
            next_cursor=page[-1].order_id[1:] if len(found) > limit else None,
        )

    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        self._sync()
        return self._theirs(self._exchange.orders[self._find(order_id, client_order_id)])

    def _find(self, order_id: str | None, client_order_id: str | None) -> str:
        if (order_id is None) == (client_order_id is None):
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                "name one of order_id and client_order_id",
                outcome=Outcome.NOT_SENT,
                retry=Retry.AFTER_FIX,
                field="order_id",
            )
        known = self._exchange.by_client_id.get(client_order_id or "", order_id)
        if known not in self._exchange.orders or known is None:
            raise Refused(
                ErrorCode.NOT_FOUND, "this account has no such order", outcome=Outcome.REJECTED
            )
        return known

    async def list_fills(
        self,
        since: str | None = None,
        order_id: str | None = None,
        instrument: str | None = None,
        limit: int = 1000,
    ) -> Fills:
        self._sync()
        ours, after = None if instrument is None else self._ours(instrument), self._after(since)
        found = self._store.fills(after, order_id, ours, limit + 1)
        page = found[:limit]
        return Fills(
            fills=tuple(self._theirs(fill) for _, fill in page),
            next_cursor=str(page[-1][0] if page else after),
            more=len(found) > limit,
        )

    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        self._sync()
        after = self._after(since)
        with anyio.move_on_after(wait_s):
            while wait_s and self._exchange.seq <= after:
                self._waiting = self._waiting or anyio.Event()
                with anyio.move_on_after(self._until_next()):
                    await self._waiting.wait()
                self._sync()
        found = self._store.changes(after, limit + 1)
        self._store.refresh(self._exchange)  # it may lag behind what was just read
        page = found[:limit]
        newest = dict.fromkeys(order_id for _, order_id, _ in page)
        return Changes(
            cursor=str(page[-1][0] if page else after),
            orders=tuple(self._theirs(self._exchange.orders[each]) for each in newest),
            fills=tuple(self._theirs(fill) for _, _, fill in page if fill is not None),
            more=len(found) > limit,
        )

    def _after(self, since: str | None) -> int:
        """Read a cursor of changes; one from ahead belongs to another account, and would skip."""
        after = _number(since)
        if after > self._exchange.seq:
            raise _no_cursor()
        return after

    def _until_next(self) -> float:
        """Return how long to wait before time or another process may have changed something."""
        coming = self._market.next_end(self._time)
        if self._passing is None or coming is None:
            return _POLL_LIMIT_S
        return min(_POLL_LIMIT_S, max(0.001, self._passing.seconds_until(coming)))

    async def place_order(self, order: OrderRequest) -> OrderReport:
        ours = replace(order, instrument=self._ours(order.instrument))
        with self._command():
            self._require_open()
            report = self._exchange.place(ours, self._time)
        return self._theirs(report)

    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        with self._command():
            report = self._exchange.cancel(self._find(order_id, client_order_id), self._time)
        return self._theirs(report)

    async def close_position(self, close: CloseRequest) -> OrderReport:
        named = close.instrument or close.position_id
        if named is None or close.position_id not in {None, named}:
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                "name one position, by instrument or position_id",
                outcome=Outcome.NOT_SENT,
                retry=Retry.AFTER_FIX,
                field="instrument",
            )
        ours = replace(close, instrument=self._ours(named), position_id=None)
        with self._command():
            self._require_open()
            report = self._exchange.close(ours, self._time)
        return self._theirs(report)

    def _require_open(self) -> None:
        if not self._open:
            raise Refused(
                ErrorCode.MARKET_CLOSED, "the recorded prices have ended", retry=Retry.NEVER
            )

    async def advance_clock(self, to: int) -> Advanced:
        if self._passing is not None:
            raise Refused(
                ErrorCode.UNSUPPORTED,
                "this account's clock passes by itself",
                outcome=Outcome.NOT_SENT,
            )
        self._sync()
        self._advance(to)
        return Advanced(
            time=self._time,
            cursor=str(self._exchange.seq),
            account=self._exchange.account(self._time),
            quotes=tuple(self._theirs(each) for each in self._exchange.quotes.values()),
        )


def _number(cursor: str | None) -> int:
    """Read a cursor: the sequence after which to go on."""
    if cursor is None:
        return 0
    if cursor.isascii() and cursor.isdigit() and len(cursor) <= _CURSOR_DIGITS:
        return int(cursor)
    raise _no_cursor()


def _no_cursor() -> Refused:
    return Refused(
        ErrorCode.INVALID_ARGUMENT,
        "not a cursor that this server has given",
        outcome=Outcome.NOT_SENT,
        retry=Retry.AFTER_FIX,
        field="cursor",
    )
