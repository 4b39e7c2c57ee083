"""Where events come from: a replay of recorded bars, or the brokers' own prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from mtquant.clock import SECOND, ManualClock, format_time
from mtquant.config import MarketTable
from mtquant.decide import AccountSeen, BarClosed, FeedChanged, HaltSet, QuotesSeen, Ticked
from mtquant.engine import Engine
from mtquant.errors import BrokerError, ErrorCode, ReconciliationError, Refused
from mtquant.link import Link
from mtquant.model import Advanced, Bar, Bars, Quote, Timeframe
from mtquant.resample import QuoteBars

HALT_FILE = "HALT"
"""A file of this name in the state folder halts."""
_WARMUP_BARS = 1000
_FIRST_PRICE_S = 10
"""How long after the start a symbol may be without a price before that is said."""
_PAGE = 5000
"""How many bars one get_bars call returns at most."""
_LONG_POLL_S = 10.0


def halt_file_lies(status_file: Path | None) -> bool:
    """Tell whether a file called HALT lies beside the status file, in the state folder."""
    return status_file is not None and (status_file.parent / HALT_FILE).exists()


class Replay:
    """Recorded bars, step by step: every broker's clock moves, then the strategies decide.

    ``speed`` is in steps a second, 0 for as fast as it goes. Steps that the journal says were
    done warm the strategies up and trade nothing.
    """

    def __init__(self, bars: Mapping[str, Bars], clock: ManualClock, speed: float = 0.0) -> None:
        self._clock = clock
        self._speed = speed
        grouped: dict[int, list[Bar]] = defaultdict(list)
        for series in bars.values():
            length = series.timeframe.seconds * SECOND
            for index, opened in enumerate(series.time):
                grouped[opened + length].append(series.bar(index))
        self.steps = sorted(grouped.items())

    async def __call__(self, engine: Engine) -> None:
        """Feed every step to ``engine``."""
        done = engine.recovered.step
        for time, bars in self.steps:
            if done is not None and time <= done:
                for bar in bars:
                    engine.emit(BarClosed(time=time, bar=bar, trade=False))
                continue
            await self.before_step(time, engine)
            await self._advance(time, engine)
            for bar in bars:
                engine.emit(BarClosed(time=time, bar=bar))
            await engine.stepped(time)
            if self._speed:
                await anyio.sleep(1 / self._speed)

    async def before_step(self, time: int, engine: Engine) -> None:
        """Hold the replay here, where a subclass has a reason to."""

    async def _advance(self, time: int, engine: Engine) -> None:
        """Move every broker to ``time`` at once, then take in what each has to say, in order.

        Not before all have moved: a decision made in between would see one account in the past.
        A broker that is down catches up when it is back.
        """
        moved: dict[str, Advanced] = {}

        async def advance(link: Link) -> None:
            # The session that made the call notes a fault, and looks after it.
            with suppress(BrokerError):
                moved[link.name] = await link.advance(time)

        async with anyio.create_task_group() as group:
            for link in engine.wiring.links.values():
                if link.connected and link.stepped and not link.blocked:
                    group.start_soon(advance, link)
        self._clock.set(time)
        present = [link for link in engine.wiring.links.values() if link.name in moved]
        for link in present:
            each = moved[link.name]
            engine.emit(
                AccountSeen(time=time, name=link.name, account=each.account, quotes=each.quotes)
            )
        for link in present:
            if moved[link.name].cursor != engine.desk.cursors.get(link.name):
                await self._catch_up(engine, link)

    async def _catch_up(self, engine: Engine, link: Link) -> None:
        try:
            await engine.desk.catch_up(link)
        except BrokerError:
            return
        except ReconciliationError as error:
            engine.block(link, str(error))


class Live:
    """The brokers' own prices: quotes come as they change, money is asked for at an interval.

    Bars are asked for when one ends, from the broker's history, so a gap in our own connection
    leaves none in the series; a bar that is already old when it comes warms the strategies up and
    trades nothing. With ``bars = "quotes"`` they are built from the quotes after that start.

    A symbol whose prices don't come pauses, and says so; when they come again, its missing bars
    are fetched first.
    """

    def __init__(self, market: MarketTable) -> None:
        self.market = market
        self._last: dict[str, int] = {}
        self._since: int | None = None
        self._halt_file = False
        self._built: dict[str, QuoteBars] = {}

    async def __call__(self, engine: Engine) -> None:
        """Feed ``engine`` until cancelled."""
        self._since = engine.wiring.clock.now()
        async with anyio.create_task_group() as group:
            for link in engine.wiring.links.values():
                group.start_soon(self._follow, engine, link)
                group.start_soon(self._watch, engine, link)
                group.start_soon(self._hear, engine, link)
            while True:
                for symbol in engine.wiring.symbols:
                    await self._bars(engine, symbol)
                    self._look_at_age(engine, symbol)
                engine.emit(Ticked(time=engine.wiring.clock.now()))
                self._look_for_halt(engine)
                engine.keep(engine.wiring.clock.now())
                await anyio.sleep(self.market.poll_s)

    async def _follow(self, engine: Engine, link: Link) -> None:
        """Take in orders and executions as they happen."""
        while True:
            if link.blocked or not link.connected:
                await anyio.sleep(self.market.poll_s)
                continue
            try:
                await engine.desk.catch_up(link, _LONG_POLL_S)
            except BrokerError:
                await anyio.sleep(self.market.poll_s)
            except ReconciliationError as error:
                engine.block(link, str(error))

    async def _watch(self, engine: Engine, link: Link) -> None:
        """Take in money at an interval; a slow broker holds up no other."""
        while True:
            await self._look(engine, link)
            await anyio.sleep(self.market.poll_s)

    async def _look(self, engine: Engine, link: Link) -> None:
        if link.blocked or not link.connected:
            return
        try:
            await engine.desk.see(link, await link.account())
        except BrokerError:
            return
        except ReconciliationError as error:
            engine.block(link, str(error))

    async def _hear(self, engine: Engine, link: Link) -> None:
        """Take in prices as they change; a stream that fails is begun anew."""

        def on_quotes(quotes: tuple[Quote, ...]) -> None:
            now = engine.wiring.clock.now()
            engine.emit(QuotesSeen(time=now, name=link.name, quotes=quotes))
            self._build(engine, link, quotes)

        while True:
            if link.connected and not link.blocked:
                with suppress(BrokerError):
                    await link.follow_quotes(engine.wiring.symbols, on_quotes)
            await anyio.sleep(self.market.poll_s)

    def _build(self, engine: Engine, link: Link, quotes: tuple[Quote, ...]) -> None:
        """Build bars from the quotes of the account that bars are taken from."""
        for quote in quotes:
            builder = self._built.get(quote.instrument)
            if builder is not None and _first_with(engine, quote.instrument) is link:
                self._feed(engine, builder.take(quote))

    async def _bars(self, engine: Engine, symbol: str) -> None:
        """Feed the bars of ``symbol`` that have ended since the last one fed."""
        builder = self._built.get(symbol)
        if builder is not None:
            self._feed(engine, builder.until(engine.wiring.clock.now()))
            return
        link = _first_with(engine, symbol)
        if link is None:
            return
        timeframe = self.market.timeframe
        length, now = timeframe.seconds * SECOND, engine.wiring.clock.now()
        last = self._last.get(symbol)
        if last is not None and now < last + 2 * length:
            return
        history = max(_WARMUP_BARS, engine.wiring.decider.hearing.history(symbol, timeframe))
        missing = history if last is None else min(history, (now - last) // length)
        try:
            series = await _history(link, symbol, timeframe, int(missing))
        except Refused as error:
            if error.code is not ErrorCode.UNSUPPORTED:
                return
            series = ()  # a broker without a history: the warm-up takes as long as it takes
        except BrokerError:
            return
        self._feed(engine, [bar for bar in series if last is None or bar.time > last], last)
        if self.market.bars == "quotes" or not series:
            self._built[symbol] = QuoteBars(symbol, timeframe)

    def _feed(self, engine: Engine, bars: Sequence[Bar], last: int | None = 0) -> None:
        """Hand bars to the engine; one that ended a while ago only warms up."""
        now = engine.wiring.clock.now()
        for bar in bars:
            length = bar.timeframe.seconds * SECOND
            self._last[bar.instrument] = bar.time
            fresh = last is not None and now - (bar.time + length) < length
            engine.wiring.journal.append("bar", bar_body(bar, traded=fresh))
            engine.emit(BarClosed(time=now, bar=bar, trade=fresh))

    def _look_for_halt(self, engine: Engine) -> None:
        """Halt while a file called HALT lies in the state folder: any program can put it there."""
        lies = halt_file_lies(engine.wiring.status_file)
        appeared, self._halt_file = lies and not self._halt_file, lies
        if appeared or (lies and not engine.book.halted):
            why = f"the file {HALT_FILE} lies in the state folder"
            now = engine.wiring.clock.now()
            engine.emit(HaltSet(time=now, on=True, by="file", why=why))

    def _look_at_age(self, engine: Engine, symbol: str) -> None:
        """Pause a symbol whose newest quote is old, or that nobody quotes; let it go on after."""
        why = ""
        link = _first_with(engine, symbol)
        if link is None:
            why = "no connected account lists it"
        elif self.market.stale_s:
            quote = engine.book.account(link.name).quotes.get(symbol)
            now = engine.wiring.clock.now()
            if quote is None:
                waited = now - (self._since or now)
                why = f"no price from {link.name} yet" if waited > _FIRST_PRICE_S * SECOND else ""
            elif now - quote.known_at > self.market.stale_s * SECOND:
                why = f"the last price of {link.name} is of {format_time(quote.known_at)}"
        known = engine.book.paused.get(symbol, "")
        if bool(why) != bool(known):
            now = engine.wiring.clock.now()
            engine.emit(FeedChanged(time=now, symbol=symbol, why=why))


def bar_body(bar: Bar, *, traded: bool) -> dict[str, Any]:
    """Return a bar as the journal keeps it; ``traded`` is False where it only warmed up.

    Nobody else keeps what a broker said of the past: by this a run can be replayed and compared.
    """
    return {
        "instrument": bar.instrument,
        "timeframe": bar.timeframe.value,
        "time": format_time(bar.time),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
        "traded": traded,
    }


async def _history(link: Link, symbol: str, timeframe: Timeframe, count: int) -> tuple[Bar, ...]:
    """Return the last ``count`` closed bars, asked for in pages, as far as there are any."""
    found: list[Bar] = []
    to: int | None = None
    while len(found) < count:
        page = await link.bars(symbol, timeframe, min(_PAGE, count - len(found)), to)
        if not len(page):
            break
        found[:0] = [page.bar(index) for index in range(len(page))]
        to = page.time[0]
    return tuple(found)


def _first_with(engine: Engine, symbol: str) -> Link | None:
    preferred: Sequence[str] = engine.wiring.preference(symbol)
    links = (engine.wiring.links[name] for name in preferred)
    return next(
        (link for link in links if link.connected and symbol in link.symbols.instruments), None
    )
