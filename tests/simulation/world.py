"""A world made from one seed: the real engine, the real wire, real accounts, and a bad day.

Everything runs inline on trio with a clock that jumps and a scheduler that the seed shuffles, so
that the same seed is the same run to the letter.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import trio
from anyio.abc import TaskGroup
from tests.simulation.checks import Checks, Disk, Known
from tests.simulation.clocks import VirtualClock
from tests.simulation.faults import KINDS, OANDA_KINDS, Plan, Reset, draw
from tests.simulation.oanda import OandaAccount
from tests.simulation.person import SYMBOL as PERSONS
from tests.simulation.person import Person
from tests.simulation.venue import CATALOGUE, Account, Endpoint, PaperAccount
from trio.testing import MockClock

from mtquant import Settings, Strategy
from mtquant.archive import archive
from mtquant.clock import Clock, Ids, ManualClock, Random, seeded
from mtquant.decide import AccountSeen, Decider, Event
from mtquant.engine import Engine, Observer, Wiring
from mtquant.errors import BrokerError, JournalError, ReconciliationError
from mtquant.feed import Replay
from mtquant.journal import Entry, Journal
from mtquant.link import Link
from mtquant.model import Bar, Signal
from mtquant.orders import Stage, Ticket
from mtquant.pool import Session, Watch
from mtquant.risk import BreakerRules, Gate
from mtquant.symbols import Spelling

SYMBOLS = ("EUR/USD", "USD/JPY")
"""What the strategies trade."""
BARS = 26
CALM_BARS = 4
BROKERS = ("paper", "oanda")
_QUIET_S = 400.0
_FOREVER_S = 20_000.0
_LONG_POLL_S = 10.0
_WATCH = Watch(health_interval_s=8, recheck_s=1, backoff_s=0.5, backoff_limit_s=8)


class Dice(Strategy[Settings]):
    """Wants something else at most bars; what it wants follows from the bar's time alone."""

    name = "dice"
    seed = 0
    calm_from = 0
    far = 1

    def on_bar(self, bar: Bar) -> Signal | None:
        if bar.time >= self.calm_from:
            return self.flat("the end")
        text = f"{self.seed} {bar.instrument} {bar.time}"
        drawn = hashlib.sha256(text.encode()).digest()
        distance = self.far * Decimal(2 + drawn[1] % 8) / 1000 * round(Decimal(bar.close), 3)
        if drawn[0] < 90:
            return self.long("dice", stop_distance=distance)
        if drawn[0] < 180:
            return self.short("dice", stop_distance=distance)
        return self.flat("dice") if drawn[0] < 220 else None


class MortalJournal(Journal):
    """The engine's journal; when its process dies, what wasn't committed is gone."""

    dead = False
    full: Callable[[], bool]
    on_append: Callable[[str, dict[str, Any]], None]

    def append(self, kind: str, body: dict[str, Any], *, durable: bool = False) -> Entry:
        if self.dead:
            return Entry(0, 0, kind, body)
        if self.full():
            raise self.broken("database or disk is full")
        entry = super().append(kind, body, durable=durable)
        self.on_append(kind, body)
        return entry

    def flush(self) -> None:
        if not self.dead:
            super().flush()

    def close(self) -> None:
        if not self.dead:
            super().close()

    def tear(self, garbage: bytes) -> None:
        """Leave behind what a write that was cut short leaves at the end of the log."""
        log = self.folder / "journal.db-wal"
        if log.exists():
            with log.open("ab") as file:
                file.write(garbage)

    def die(self) -> None:
        self.dead = True
        with suppress(sqlite3.ProgrammingError):  # it was closed: the engine ended by itself
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self._db.close()
        if self._lock is not None:
            self._lock.close()


@dataclass
class Life(Observer):
    """One process of ours, from its start to its end or death."""

    world: World
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    over: bool = False
    killed: bool = False
    unwritten: bool = False
    journal: MortalJournal | None = None
    engine: Engine | None = None

    def on_sending(self, ticket: Ticket, link: Link) -> None:  # noqa: ARG002 - its base's
        if self.engine is not None and not self.over:
            self.world.checks.sending(self.engine, ticket)
            self.world.passed("sending")

    def on_event(self, event: Event) -> None:  # noqa: ARG002 - its base's
        if self.engine is not None and not self.over:
            self.world.checks.event(self.engine)

    def kill(self, why: str) -> None:
        """SIGKILL: nothing more is written or sent, whatever still unwinds."""
        if self.over or self.journal is None or self.engine is None:
            return
        self.world.note(f"our process is killed: {why}")
        self.world.plan.injected["killed"] += 1
        self.over = self.killed = True
        if self.world.plan.torn_write:
            self.world.plan.injected["torn_write"] += 1
            chance = self.world.plan.generator("torn_write")
            self.journal.tear(chance.randbytes(chance.randint(1, 9000)))
        self.journal.die()

        async def nothing() -> None:
            """Wait for nothing: a dead process waits for no answer."""

        self.engine.idle = nothing  # type: ignore[method-assign]
        self.scope.cancel()


class Pace(Replay):
    """The replay at an uneven pace, then calm: faults end, and the strategies want nothing."""

    world: World

    async def before_step(self, time: int, engine: Engine) -> None:
        world = self.world
        if time > world.calm_after:
            if not world.plan.calm:
                await world.calm_down()
            await world.quiet(engine)
            await world.person.leave(engine)
        else:
            await anyio.sleep(world.pace.random() ** 2 * 12)

    async def _advance(self, time: int, engine: Engine) -> None:
        """Let every market come to ``time``; one whose clock isn't ours is asked what it is now."""
        for account in self.world.accounts.values():
            await account.come_to(time)
        await super()._advance(time, engine)
        for link in engine.wiring.links.values():
            if link.connected and not link.stepped and not link.blocked:
                await self._look(engine, link, time)

    async def _look(self, engine: Engine, link: Link, time: int) -> None:
        with suppress(BrokerError):
            account = await link.account()
            quotes = await link.quotes(self.world.all_symbols)
            engine.emit(AccountSeen(time=time, name=link.name, account=account, quotes=quotes))
            await self._catch_up(engine, link)

    async def follow(self, engine: Engine, link: Link) -> None:
        """Hear what happens at an account whose clock isn't ours, as live trading does."""
        while True:
            if link.connected and not link.blocked and not link.stepped:
                try:
                    await engine.desk.catch_up(link, _LONG_POLL_S)
                except BrokerError:
                    await anyio.sleep(1)
                except ReconciliationError as error:
                    engine.block(link, str(error))
            else:
                await anyio.sleep(1)


class World:
    """All there is in one run."""

    def __init__(
        self,
        seed: int,
        folder: Path,
        clock: MockClock,
        kinds: tuple[str, ...] = KINDS,
        broker: str = "paper",
    ) -> None:
        self.seed, self.folder, self._trio_clock = seed, folder, clock
        first = "oanda" if broker == "oanda" else "paper-a"
        endpoints = (f"{first}#0", f"{first}#1", "paper-b#0")
        self.plan: Plan = draw(seed, endpoints, kinds)
        self.pace: Random = seeded(seed + 2_000_003)
        self.log: list[str] = []
        self.orders = 0
        self.bars_done = 0
        self.moves: Counter[str] = Counter()
        self.doubts: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.clock = VirtualClock(self.now)
        self.symbols, self.all_symbols = SYMBOLS, (*SYMBOLS, PERSONS)
        self.walk: dict[str, Any] = {"seed": seed + 1, "bars": BARS, "timeframe": "H1"}
        self.checks = Checks(self)
        self.known = Known()
        self.accounts: dict[str, Account] = {
            first: OandaAccount(self, first)
            if broker == "oanda"
            else PaperAccount(self, first, Spelling(suffix=".a"), "1000"),
            "paper-b": PaperAccount(self, "paper-b", Spelling(separator="_"), "100"),
        }
        for name in endpoints:
            account = self.accounts[name.split("#", maxsplit=1)[0]]
            account.endpoints.append(Endpoint(account, name))
        self.calm_after = 0
        self.person = Person(self)
        self._appends = 0
        self.life: Life | None = None
        self._disk: Disk | None = None
        self.group: TaskGroup | None = None
        self._lives = 0

    def now(self) -> float:
        return float(self._trio_clock.current_time())

    def note(self, text: str) -> None:
        self.log.append(f"{self.now():9.3f} {text}")

    def later(self, what: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:  # noqa: ANN401 - as given
        """Let something happen later, whoever lives by then."""
        if self.group is not None:
            self.group.start_soon(what, *args)

    def disk(self) -> Disk:
        if self._disk is None:
            self._disk = Disk(self.folder / "journal")
        return self._disk

    def fills(self, client_order_id: str) -> list[Any]:
        """Return every execution of an order of ours, at whatever exchange."""
        return [
            fill
            for account in self.accounts.values()
            if (order_id := account.exchange.by_client_id.get(client_order_id)) is not None
            for fill in account.fills(order_id)
        ]

    def passed(self, point: str) -> None:
        """Count a point of the order path; a kill may be waiting there."""
        self.points[point] += 1
        for kill in self.plan.kills:
            if kill.point == point and kill.count == self.points[point] and self.life is not None:
                if not self.plan.calm:
                    self.life.kill(f"at {point} {kill.count}")
                return

    async def calm_down(self) -> None:
        """End the faults; somebody else who traded in our accounts takes his positions away."""
        self.note("faults end")
        self.plan.calm = True
        for account in self.accounts.values():
            account.calm_down()
            for symbol in SYMBOLS:
                await account.trade_beside(symbol, -account.foreign[symbol])

    async def _trade_beside(self, at: float) -> None:
        await anyio.sleep(at)
        if not self.plan.calm:
            chance = self.plan.generator("foreign")
            account = self.accounts[chance.choice(sorted(self.accounts))]
            quantity = chance.choice((-1, 1)) * 1000 * chance.randint(1, 5)
            if account.name in self.known.cursors:  # before we knew it, it was its opening state
                await account.trade_beside(chance.choice(SYMBOLS), quantity)

    async def _end_beside(self, at: float) -> None:
        await anyio.sleep(at)
        chance = self.plan.generator("ended_beside")
        working = [
            (account, order_id)
            for account in self.accounts.values()
            for order_id, each in sorted(account.exchange.orders.items())
            if not each.status.terminal and each.client_order_id in self.known.intents
        ]
        if working and not self.plan.calm:
            account, order_id = chance.choice(working)
            await account.end_beside(order_id, rejected=chance.random() < 0.5)

    async def _reset(self, reset: Reset) -> None:
        await anyio.sleep(reset.begin)
        if self.plan.calm:
            return
        self.plan.injected["reset"] += 1
        self.note(f"{reset.account} is away for {reset.length:.0f} s")
        for each in self.accounts[reset.account].endpoints:
            if each.process is not None:
                each.process.die("its venue is away")
            each.back_at = max(each.back_at, self.now() + reset.length)

    async def _jump(self, at: float, seconds: float) -> None:
        await anyio.sleep(at)
        if not self.plan.calm:
            self.plan.injected["clock_jumps"] += 1
            self.note(f"the servers' clock jumps by {seconds:.0f} s")
            self.clock.jump(seconds)

    def _journal_is_full(self) -> bool:
        self._appends += 1
        if self.plan.calm or self._appends not in self.plan.journal_full or self.life is None:
            return False
        self.plan.injected["journal_full"] += 1
        self.note("the journal's disk is full")
        self.life.unwritten = True
        return True

    async def quiet(self, engine: Engine) -> None:
        """Wait until nothing is in doubt and every account is traded again."""
        with anyio.move_on_after(_QUIET_S):
            while engine.desk.in_doubt() or not all(  # noqa: ASYNC110 - an event would be ours
                each.state().tradable for each in engine.wiring.links.values()
            ):
                await anyio.sleep(0.5)
            return
        for ticket in engine.desk.in_doubt():
            self.checks.fail("I6", f"{ticket.client_order_id} in doubt {_QUIET_S:g} s after faults")
        for link in engine.wiring.links.values():
            if not link.state().tradable:
                text = f"{link.name} isn't traded {_QUIET_S:g} s after the last fault"
                self.checks.fail("I6", f"{text}: {link.state().why}")

    # --- its life --------------------------------------------------------------------------

    async def run(self) -> None:
        with anyio.move_on_after(_FOREVER_S) as limit:
            async with anyio.create_task_group() as group:
                self.group = group
                for kill in self.plan.kills:
                    if kill.point == "time":
                        group.start_soon(self._kill_at, kill.count)
                for at in self.plan.foreign:
                    group.start_soon(self._trade_beside, at)
                for at in self.plan.ended_beside:
                    group.start_soon(self._end_beside, at)
                for reset in self.plan.resets:
                    group.start_soon(self._reset, reset)
                for at, seconds in self.plan.clock_jumps:
                    group.start_soon(self._jump, at, seconds)
                for account in self.accounts.values():
                    group.start_soon(account.weather)
                while not await self._live():
                    self._lives += 1
                    await anyio.sleep(self.plan.pause(0.0, 10.0))
                group.cancel_scope.cancel()
        if limit.cancelled_caught:
            self.checks.fail("I6", f"the run is stuck after {_FOREVER_S:g} virtual seconds")

    async def _kill_at(self, time: float) -> None:
        await anyio.sleep(time)
        if self.life is not None and not self.plan.calm:
            self.life.kill(f"at {time} s")

    async def _live(self) -> bool:
        """Run one process of ours; True where it came to its end alive."""
        life = self.life = Life(self)
        try:
            with life.scope:
                engine, feed = self._engine(life)
                life.engine = engine

                async def to_the_end(running: Engine) -> None:
                    async with anyio.create_task_group() as group:
                        group.start_soon(self.person.trade, running)
                        for link in running.wiring.links.values():
                            group.start_soon(feed.follow, running, link)
                        await feed(running)
                        group.cancel_scope.cancel()
                    await running.idle()
                    await self.quiet(running)
                    self.checks.at_the_end(running)

                await engine.run(to_the_end, first=self.checks.recovered)
        except Exception as error:  # noqa: BLE001 - whatever kills the engine is a finding
            if life.unwritten and isinstance(_leaf(error), JournalError):
                life.over = life.killed = True
                if life.journal is not None:
                    life.journal.die()
            if not life.over:  # what is killed may unwind as it likes
                self.note("".join(traceback.format_exception(error)))
                self.checks.fail("crash", f"the engine died: {_leaf(error)!r}")
                return True
        life.over = True
        if life.killed:
            return False
        try:
            self._recover_once_more()
        except Exception as error:  # noqa: BLE001 - likewise
            self.checks.fail("crash", f"a restart died: {error!r}")
        return True

    def _recover_once_more(self) -> None:
        """Restart once more, without a broker: what is on disk now is what was known (I7)."""
        life = Life(self)
        engine, _ = self._engine(life)
        from mtquant.recover import recover  # noqa: PLC0415 - mutations replace it

        recover(engine.wiring.journal, engine.book, engine.desk)
        self.checks.recovered(engine)
        engine.wiring.journal.close()

    def _engine(self, life: Life) -> tuple[Engine, Pace]:
        clock = ManualClock()
        journal = life.journal = MortalJournal(self.folder / "journal", clock)

        def appended(kind: str, body: dict[str, Any]) -> None:
            self.known.take(kind, body)
            if kind in {"intent", "order", "told", "mismatch", "routes"}:
                shown = body.get("message") or " ".join(f"{k}={v}" for k, v in body.items())
                self.note(f"  journal {kind}: {shown[:200]}")
            self.passed("append")

        journal.on_append = appended
        journal.full = self._journal_is_full
        source = CATALOGUE.make("source", "walk", self.walk)
        bars = {symbol: source.bars(symbol) for symbol in SYMBOLS}
        times = bars[SYMBOLS[0]].time
        clock.set(journal.newest_time() or times[0])
        if self.plan.archived and self._lives:
            self._archive(journal, clock)
        self.calm_after = times[BARS - CALM_BARS]
        gate = Gate(
            CATALOGUE.make("sizer", "fixed_fraction", {"fraction": "0.001"}),
            [CATALOGUE.make("check", name, {}) for name in ("open_orders",)],
            BreakerRules(),
        )
        strategies = [self._dice(symbol, source.timeframe()) for symbol in SYMBOLS]
        ids = Ids(clock, seeded(self.seed * 1000 + self._lives))
        engine = Engine(
            Wiring(
                clock=clock,
                journal=journal,
                decider=Decider(strategies, gate, ids),
                links={name: self._link(each, life) for name, each in self.accounts.items()},
                preference=lambda _: tuple(self.accounts),
                symbols=self.all_symbols,
                observer=life,
            )
        )
        feed = Pace(bars, clock)
        feed.world = self
        return engine, feed

    def _archive(self, journal: Journal, clock: Clock) -> None:
        """Let the journal begin anew with what it came to, as a start does with a long one."""
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        done = archive(journal, clock, 0)
        if done.problem:
            self.checks.fail("archive", done.problem)
        self.plan.injected["archived"] += done.made is not None

    def _dice(self, symbol: str, timeframe: Any) -> Dice:  # noqa: ANN401 - the model's
        dice = Dice(
            Settings(),
            strategy_id="dice",
            instruments=(symbol,),
            timeframe=timeframe,
            indicators=lambda name, settings: CATALOGUE.make("indicator", name, settings),
        )
        dice.seed, dice.calm_from = self.seed, self.calm_after
        # A stop closes the whole position, somebody else's part too: out of reach, then.
        dice.far = 8 if self.plan.foreign else 1
        return dice

    def _link(self, account: Account, life: Life) -> Link:
        sessions = [
            Session(each.name, lambda each=each: each.connect(life), _WATCH, seeded(number))  # type: ignore[misc]
            for number, each in enumerate(account.endpoints)
        ]
        return Link(account.name, sessions, account.spelling)

    def close(self) -> None:
        if self._disk is not None:
            self._disk.close()
        for account in self.accounts.values():
            account.close()


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@dataclass
class Result:
    """What one run came to."""

    seed: int
    failures: list[str]
    log: list[str]
    injected: Counter[str]
    moves: Counter[str]
    orders: int
    seconds: float
    doubts: Counter[str] = field(default_factory=Counter)


@contextmanager
def _seeded_scheduler(seed: int) -> Iterator[None]:
    """Let the seed shuffle the order in which tasks run; trio keeps this to itself."""
    run: Any = trio._core._run
    before = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r
    run._ALLOW_DETERMINISTIC_SCHEDULING, run._r = True, seeded(seed)
    try:
        yield
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING, run._r = before


@contextmanager
def _counted_moves(world: World) -> Iterator[None]:
    move = Ticket.move

    def counted(self: Ticket, stage: Stage) -> None:
        before = self.stage
        move(self, stage)
        world.moves[f"{before} -> {stage}"] += 1
        if before is Stage.IN_DOUBT:
            world.accounts[self.account].settled(self.client_order_id, stage)

    Ticket.move = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Ticket.move = move  # type: ignore[method-assign]


@cache
def _list_tools(broker: str) -> None:
    """List the servers' tools once, so that the first run is no other than the later ones."""
    clock = MockClock(autojump_threshold=0)
    with tempfile.TemporaryDirectory() as folder:
        world = World(0, Path(folder), clock, (), broker)

        async def listed() -> None:
            for account in world.accounts.values():
                async with anyio.create_task_group() as world.group:
                    async with account.endpoints[0].connect(Life(world)):
                        pass
                    world.group.cancel_scope.cancel()

        anyio.run(listed, backend="trio", backend_options={"clock": clock})
        world.close()


def kinds_of(broker: str) -> tuple[str, ...]:
    """Return the kinds of faults that a world with ``broker`` knows."""
    return OANDA_KINDS if broker == "oanda" else KINDS


def simulate(seed: int, kinds: tuple[str, ...] | None = None, broker: str = "paper") -> Result:
    """Run the world of ``seed`` to its end; ``broker`` is what its first account is at."""
    kinds = kinds_of(broker) if kinds is None else kinds
    _list_tools(broker)
    clock = MockClock(autojump_threshold=0)
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it; an fsync there costs nothing
    for name in ("mtquant", "mtquant_oanda_server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        world = World(seed, Path(folder), clock, kinds, broker)
        try:
            with _seeded_scheduler(seed), _counted_moves(world):
                anyio.run(world.run, backend="trio", backend_options={"clock": clock})
        finally:
            world.close()
        return Result(
            seed=seed,
            failures=world.checks.failures,
            log=world.log,
            injected=world.plan.injected,
            moves=world.moves,
            orders=world.orders,
            seconds=world.now(),
            doubts=world.doubts,
        )
