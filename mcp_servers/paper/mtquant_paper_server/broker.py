"""The paper account: the simulated broker on disk, on recorded prices, under its own spelling."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtquant.clock import Clock, PassingClock
from mtquant.contract import Source
from mtquant.errors import ConfigError, ErrorCode, Outcome, Refused
from mtquant.exchange import PaperSettings
from mtquant.model import (
    Advanced,
    Bars,
    Capabilities,
    CloseRequest,
    Health,
    OrderReport,
    OrderRequest,
    PriceSide,
    Stream,
    StreamHealth,
    Ticks,
    Timeframe,
)
from mtquant.simulated_broker import SimulatedBroker
from mtquant_paper_server.faults import FaultMaker
from mtquant_paper_server.market import Market

_POLL_LIMIT_S = 0.25


class PaperBroker(SimulatedBroker):
    """One paper account in ``folder``, priced by ``source``."""

    name = "paper"

    def __init__(
        self, settings: PaperSettings, source: Source[Any], folder: Path, clock: Clock
    ) -> None:
        self._settings = settings
        self._market = Market(settings, source)
        spelling = {each: settings.spelling.broker_symbol(each) for each in self._market.symbols}
        if len(set(spelling.values())) < len(spelling):
            raise ConfigError(
                "spelling", "spells two symbols alike", "Give each symbol a spelling of its own."
            )
        super().__init__(settings, self._market.symbols, clock, folder, spelling)
        self._passing = self._opened(clock) if settings.clock == "real" else None
        self._faults = FaultMaker(settings.faults, clock)
        self._time = self._market.begin
        self._quote(self._store.time() or self._market.begin)
        self._store.refresh(self.exchange)
        self._check_held()
        self.sync()

    def _check_held(self) -> None:
        """Refuse to open an account that these settings can't price, or would price wrongly."""
        for key, wanted in (
            ("currency", self._settings.currency),
            ("position_mode", str(self._settings.position_mode)),
        ):
            self._store.set(key, wanted)
            kept = self._store.get(key)
            if kept != wanted:
                self.close()
                raise ConfigError(
                    key,
                    f"{wanted!r}: the account in this folder is kept in {kept}",
                    "Correct it, or take another folder.",
                )
        live = [each for each in self.exchange.orders.values() if not each.status.terminal]
        held = {each.instrument for each in live} | self.exchange.held()
        for symbol in sorted(held - set(self.names)):
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

    async def __aexit__(self, *_: object) -> None:
        self.close()

    # --- time and prices ---------------------------------------------------------------------

    def now(self) -> int:
        return self._time

    def trading(self) -> str:
        return "" if self._time < self._market.end else "the recorded prices have ended"

    def _quote(self, time: int) -> None:
        """Set every price to what it was at ``time``, matching nothing."""
        self.exchange.quotes.clear()
        for symbol in self._market.symbols:
            step = self._market.last(symbol, time)
            if step is not None:
                self._market.quote(self.exchange, step)
        self._time = max(self._time, time)

    def _catch_up(self) -> None:
        """Come to where another process has moved the clock."""
        shared = self._store.time()
        if shared is not None and shared > self._time:
            self._quote(shared)

    def sync(self) -> None:
        """Come to the present: another process's steps, and the time that has passed."""
        self._catch_up()
        self._store.refresh(self.exchange)
        if self._passing is not None:
            self._advance(self._faults.market_time(self._passing.now()))

    @contextmanager
    def command(self) -> Iterator[None]:
        """Run a command at the present, which no other process can move meanwhile."""
        self.sync()
        with self._store.command(self.exchange, lambda: self._time):
            self._catch_up()
            yield
        self.wake()

    def _advance(self, to: int) -> None:
        """Match every bar until ``to``; what fills is on disk before this returns."""
        if to <= self._time:
            return
        due = self.exchange.next_due()
        something_due = due is not None and due <= to
        if something_due or next(self._market.steps(self._time, to), None) is not None:
            try:
                self._match(to)
            except BaseException:
                self._quote(self._time)
                raise
            self.wake()
        self._time = max(self._time, to)
        self._store.keep_time(self._time)

    def _match(self, to: int) -> None:
        with self._store.command(self.exchange, lambda: max(self._time, to)):
            self._catch_up()  # no bar that another process has matched is matched again
            for step in self._market.steps(self._time, to):
                self._market.feed(self.exchange, step)
            self.exchange.pass_time(to)

    def until_next(self) -> float:
        """Return how long to wait before time or another process may have changed something."""
        coming = self._market.next_end(self._time)
        if self._passing is None or coming is None:
            return _POLL_LIMIT_S
        return min(_POLL_LIMIT_S, max(0.001, self._passing.seconds_until(coming)))

    # --- the contract ------------------------------------------------------------------------

    async def get_health(self) -> Health:
        health = await super().get_health()
        age = self._faults.price_age()
        if age is None:
            return health
        return replace(health, streams=(StreamHealth(stream=Stream.PRICES, age_s=age),))

    async def get_capabilities(self) -> Capabilities:
        capabilities = await super().get_capabilities()
        return replace(capabilities, clock=self._settings.clock)

    async def get_bars(
        self,
        instrument: str,
        timeframe: Timeframe,
        from_: int | None = None,
        to: int | None = None,
        count: int = 500,
        price: PriceSide = PriceSide.MID,
    ) -> Bars:
        ours = self.ours(instrument)
        bars = self._market.recorded(ours, price)
        if timeframe is not self._market.timeframe or bars is None:
            raise Refused(
                ErrorCode.UNSUPPORTED,
                f"only {self._market.in_words(ours)} prices of timeframe"
                f" {self._market.timeframe} are recorded",
                outcome=Outcome.NOT_SENT,
            )
        self.sync()
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

    async def get_ticks(
        self,
        instrument: str,
        from_: int | None = None,
        to: int | None = None,
        count: int = 500,
    ) -> Ticks:
        ticks = self._market.ticks.get(self.ours(instrument))
        if ticks is None:
            raise Refused(
                ErrorCode.UNSUPPORTED,
                "no ticks of this instrument are recorded, only bars",
                outcome=Outcome.NOT_SENT,
            )
        self.sync()
        last = bisect_left(ticks.time, min(self._time + 1, to or self._time + 1))
        first = max(0, last - count)
        if from_ is not None:
            first = max(first, bisect_left(ticks.time, from_))
        return Ticks(
            instrument=instrument,
            time=ticks.time[first:last],
            bid=ticks.bid[first:last],
            ask=ticks.ask[first:last],
        )

    async def place_order(self, order: OrderRequest) -> OrderReport:
        await self._faults.before_order(order)
        return self._faults.after_order(order, await super().place_order(order))

    async def close_position(self, close: CloseRequest) -> OrderReport:
        await self._faults.before_order(close)
        return self._faults.after_order(close, await super().close_position(close))

    async def advance_clock(self, to: int) -> Advanced:
        if self._passing is not None:
            raise Refused(
                ErrorCode.UNSUPPORTED,
                "this account's clock passes by itself",
                outcome=Outcome.NOT_SENT,
            )
        self.sync()
        self._advance(to)
        return Advanced(
            time=self._time,
            cursor=str(self.exchange.seq),
            account=self.exchange.account(self._time),
            quotes=tuple(self.theirs(each) for each in self.exchange.quotes.values()),
        )
