"""``python -m tests.chaos``: break everything for a while, then look what is left.

Real processes, real files, real sockets: one engine, a paper server that it starts itself, another
behind HTTP and a proxy that misbehaves. They are killed and stopped at random while strategies and
persons trade. Now and then all comes to rest, and the accounts' own files are set beside the
journal.

With OANDA's servers instead of paper ones a simulated OANDA stands behind both, which lives, and a
second proxy before it. It acts on orders and drops the connection, fails before and after, is slow,
and cuts its streams; its record over REST is set beside the journal.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tests.chaos import brokers, processes
from tests.chaos.brokers import ACCOUNTS, HTTP, STDIO
from tests.chaos.mistakes import MISTAKES
from tests.chaos.oanda import BROKEN, doubted, found_by_extensions
from tests.chaos.people import People
from tests.chaos.place import prepare
from tests.chaos.plan import Act, Mishap, Plan, plan, troubles
from tests.chaos.proxy import Proxy
from tests.chaos.truth import Exchange, Trail, compare, read_exchange, read_trail, settled
from tests.chaos.venue import Venue
from tests.chaos.world import World

from mtquant.clock import seeded

_REST_S = 60.0
_REST_WITH_MISTAKE_S = 30.0
_RESTS_EVERY = 40
_FLOW_S = 15.0
_PEOPLE = ("ann", "bob", "cem", "dee", "eli")
_ANSWERS_LOST = 5
_MOST_ANSWERS_LOST = 40
_MORE = {"socket": 8, "file": 1}
"""How much more an engine may hold open at one rest than at another: its pool's connections."""
_SAMPLES = 5
_LOCKED = {"journal.lock", "account.db", "ledger.db", "intents.db"}
_OWN_SOCKETS = 6
"""What an HTTP server needs besides connections: it listens, and wakes itself; with some room."""


@dataclass(slots=True)
class Outcome:
    """What a run came to; ``failures`` are sentences, none of which may be."""

    seed: int
    broker: str
    folder: str
    seconds: float = 0.0
    signals: dict[str, int] = field(default_factory=dict)
    network: dict[str, int] = field(default_factory=dict)
    line: dict[str, int] = field(default_factory=dict)
    mishaps: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    intents: int = 0
    orders: dict[str, int] = field(default_factory=dict)
    executions: dict[str, int] = field(default_factory=dict)
    in_doubt: dict[str, int] = field(default_factory=dict)
    found_by_extensions: dict[str, int] = field(default_factory=dict)
    promises: int = 0
    lost: int = 0
    duplicated: int = 0
    differences: int = 0
    compared: int = 0
    mismatches: int = 0
    handles: dict[str, str] = field(default_factory=dict)
    orphans: int = 0
    rests_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(self.signals.values())


class Run:
    """One run in one folder."""

    def __init__(self, folder: Path, options: argparse.Namespace, progress: Progress) -> None:
        self.outcome = Outcome(options.seed, options.broker, str(folder))
        self._folder, self._seed, self._kills = folder, options.seed, options.kills
        self._mistake = options.mistake
        self._rest_s = _REST_S
        self._progress = progress
        self._bar = progress.add_task("starting", total=options.kills)
        self._network: Counter[str] = Counter()
        self._troubles = troubles(self._seed + 1)
        self._venue = Venue(self._seed + 4) if options.broker == "oanda" else None
        self._last: tuple[Trail, dict[str, Exchange]] | None = None
        self.world: World
        self.people: People
        self.proxy: Proxy
        self._blows: anyio.abc.TaskGroup

    async def __call__(self) -> Outcome:
        began = time.monotonic()
        self.proxy = Proxy(0)
        async with anyio.create_task_group() as all_of_it:
            await all_of_it.start(self.proxy.serve)
            broker = brokers.paper()
            if self._venue is not None:
                await all_of_it.start(self._venue.line.serve)
                broker = brokers.oanda(self._venue.line.port)
            place = prepare(self._folder, self.proxy.port, broker, self._mistake)
            self.proxy.target = place.port
            self.world = World(place, seeded(self._seed + 2))
            self.people = People(place, seeded(self._seed + 3))
            all_of_it.start_soon(self._on_signal, all_of_it.cancel_scope)
            try:
                await self._live()
            finally:
                self.world.end_all()
            all_of_it.cancel_scope.cancel()
        self.outcome.seconds = round(time.monotonic() - began, 1)
        self._tally()
        return self.outcome

    async def _live(self) -> None:
        if self._venue is not None:
            self.world.start_venue(self._venue.oanda.command())
            await self._venue.oanda.ready()
        async with anyio.create_task_group() as lives, anyio.create_task_group() as servers:
            lives.start_soon(self.world.keep_engine)
            servers.start_soon(self.world.keep_server)
            servers.start_soon(self.world.watch)
            async with anyio.create_task_group() as trading:
                for name in _PEOPLE:
                    trading.start_soon(self.people.trade, name)
                trading.start_soon(self.people.type, "tom")
                await self._break()
                trading.cancel_scope.cancel()
            await self.world.stop_engine()
            servers.cancel_scope.cancel()
        await self.world.stop_server()
        await self._read_last()
        if self._venue is not None:
            await self._venue.oanda.aclose()
            await self.world.stop_venue()
        await self._aftermath()

    async def _on_signal(self, everything: anyio.CancelScope) -> None:
        """End the run, and all that it started, when it is told to stop."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self.world.failures.append(f"ended by {signal.Signals(number).name}")
                everything.cancel()
                return

    # --- breaking ----------------------------------------------------------------------------

    async def _break(self) -> None:
        if await self._break_all(plan(self._seed, self._kills)):
            await self._end_trading()

    async def _break_all(self, chosen: Plan) -> bool:
        """Carry out the plan; False where all didn't come to rest, which more blows would hide."""
        calm = await self._rest("first rest")
        if self._mistake:  # what it does from now on, no waiting mends
            self._rest_s = _REST_WITH_MISTAKE_S
        if calm and self._venue is not None:
            await self._lose_answers(self._venue)
        for first in range(0, len(chosen.mixed), _RESTS_EVERY):
            if calm:
                await self._hit_all(chosen.mixed[first : first + _RESTS_EVERY], "all are hit")
                calm = await self._rest("at rest")
        if not calm:
            return False
        before = await self._handles_now()
        await self._hit_all(chosen.servers_only, "servers are hit")
        calm = await self._rest("at rest")
        self._compare_handles(before, await self._handles_now())
        return calm

    async def _lose_answers(self, venue: Venue) -> None:
        """Have OANDA act and not answer while all else is well: these orders are found for sure."""
        self._progress.update(self._bar, description="answers are lost")
        self.people.go()
        for lost in range(1, _MOST_ANSWERS_LOST + 1):
            await self._until_in_an_order()
            await venue.oanda.suffer({"next": [Mishap.DROP_AFTER]})
            venue.mishaps[Mishap.DROP_AFTER] += 1
            # Where the account's changes tell of an order before its answer is missed, there is
            # no doubt: one of them has to come into it.
            if lost >= _ANSWERS_LOST and doubted(read_trail(self.world.place.state), BROKEN):
                break
        await self._until_in_an_order()

    async def _hit_all(self, acts: tuple[Act, ...], text: str) -> None:
        """Do ``acts`` while the network has troubles of its own, until all that is over."""
        self.people.go()
        async with anyio.create_task_group() as network:
            network.start_soon(self._trouble)
            if self._venue is not None:
                network.start_soon(self._venue.misbehave, self._until_in_an_order)
                network.start_soon(self._venue.break_the_line)
            # What is stopped goes on before this block ends.
            async with anyio.create_task_group() as blows:
                for act in acts:
                    self._progress.update(self._bar, description=f"{text}: next {act.victim}")
                    await anyio.sleep(act.after_s)
                    if act.aimed:
                        await self._until_in_an_order(act.into_s)
                    await self.world.hit(act, blows)
                    self._progress.advance(self._bar)
            network.cancel_scope.cancel()

    async def _until_in_an_order(self, into_s: float = 0.0) -> None:
        """Wait until orders are answered again, and then until one has just been given."""
        asked = anyio.current_time()
        with anyio.move_on_after(_FLOW_S):
            while self.people.answered < asked:  # noqa: ASYNC110 - a figure, not an event
                await anyio.sleep(0.02)
            await self.people.given.wait()
            await anyio.sleep(into_s)

    async def _trouble(self) -> None:
        for each in self._troubles:
            await anyio.sleep(each.after_s)
            self._network[each.fault] += 1
            await self.proxy.inflict(each.fault, each.for_s, each.delay_s)

    # --- resting -----------------------------------------------------------------------------

    async def _rest(self, text: str) -> bool:
        """Let all come to rest, and look: nothing in doubt, books equal, no process too many."""
        self._progress.update(self._bar, description=text)
        began = anyio.current_time()
        await self.people.pause()
        why = ["the engine doesn't answer"]
        with anyio.move_on_after(self._rest_s):
            while why:
                await anyio.sleep(0.25)
                why = await self._unrest()
        if why:
            self.world.failures.append(f"no rest within {self._rest_s:g} s: {'; '.join(why)}")
        self.outcome.rests_s.append(round(anyio.current_time() - began, 1))
        self.outcome.compared += len(ACCOUNTS)
        for each in self.world.failures:
            self._progress.console.print(each, style="red", markup=False, highlight=False)
        return not why

    async def _unrest(self) -> list[str]:
        """Return what isn't at rest yet."""
        if not self.world.listening():
            return ["the engine doesn't listen"]
        mode = await self.people.ask("mode", strategy="flip", mode="manual", why="rest", by="eve")
        books = await self.people.ask("reconcile", by="eve")
        doubts = await self.people.ask("orders", in_doubt=True)
        if mode is None or books is None or doubts is None:
            return ["the engine doesn't answer"]
        found = [f"{each['account']}: {each['problem']}" for each in books["problems"]]
        found += [
            f"{each['account']} isn't traded, or differs: {each['why']}"
            for each in books["accounts"]
            if not (each["agrees"] and each["tradable"])
        ]
        found += [f"in doubt: {each}" for each in doubts["in_doubt"]]
        if not found:
            found += self.world.unexpected() + self._sockets_too_many()
        if not found:
            await anyio.sleep(0.4)  # the journal is flushed four times a second
            found += await self._differences()
        if not found:
            await self.people.ask("mode", strategy="flip", mode="auto", why="go on", by="eve")
        return found

    def _sockets_too_many(self) -> list[str]:
        """The HTTP server holds its own sockets, its venue's, and one for each client's."""
        life = self.world.server
        if life is None:
            return []
        most = self.proxy.open + self.world.place.broker.sockets + _OWN_SOCKETS
        held = processes.handles(life.process.pid)["socket"]
        return [f"the HTTP server has {held} sockets, for {most}"] if held > most else []

    async def _differences(self) -> list[str]:
        try:
            verdict = compare(*await self._read(), self.people.promises)
        except (OSError, sqlite3.Error) as error:
            return [f"a record can't be read: {error}"]
        return [] if verdict.clean else [str(verdict)]

    async def _read(self) -> tuple[Trail, dict[str, Exchange]]:
        """Read all records; the journal last, which only ever knows what was there before."""
        place, exchanges = self.world.place, dict[str, Exchange]()
        for name in ACCOUNTS:
            folder = place.account(name)
            if self._venue is None:
                exchanges[name] = read_exchange(folder)
            else:
                exchanges[name] = await self._venue.oanda.read(name, folder)
        return read_trail(place.state), exchanges

    # --- what is held open -------------------------------------------------------------------

    async def _handles_now(self) -> Counter[str]:
        """Return the least that the engine holds open within a second: what stays open."""
        life = self.world.engine
        if life is None:
            return Counter()
        least = processes.handles(life.process.pid)
        for _ in range(_SAMPLES):
            await anyio.sleep(1 / _SAMPLES)
            least &= processes.handles(life.process.pid)
        return least

    def _compare_handles(self, before: Counter[str], after: Counter[str]) -> None:
        """One engine has lived through many servers' deaths: it holds open what it held before."""
        for kind in sorted({*before, *after}):
            self.outcome.handles[f"engine {kind}"] = f"{before[kind]} -> {after[kind]}"
            most = before[kind] + _MORE.get(kind, 0)
            if after[kind] > most:
                text = f"the engine held {before[kind]} of {kind} open, and {after[kind]} after"
                self.world.failures.append(f"{text} its servers died")

    # --- the end -----------------------------------------------------------------------------

    async def _end_trading(self) -> None:
        """Cancel what could still act; then the accounts stand still, also without the engine."""
        self._progress.update(self._bar, description="the end")
        await self.people.ask("mode", strategy="flip", mode="manual", why="the end", by="eve")
        with anyio.move_on_after(self._rest_s):
            while True:
                await self.people.ask("cancel", everything=True, protections=True, by="eve")
                left = await self.people.ask("orders")
                if left is not None and not left["orders"] and not left["problems"]:
                    break
                await anyio.sleep(0.2)
        for words in (("reconcile",), ("orders", "--in-doubt"), ("todo",)):
            code, out, error = await self.people.run(*words)
            if code:
                told = f"`mtquant {' '.join(words)}` ended with {code}: {out}{error}"
                self.world.failures.append(told)

    async def _read_last(self) -> None:
        """Read all records once nothing happens any more."""
        try:
            self._last = await self._read()
        except (OSError, sqlite3.Error) as error:
            self.world.failures.append(f"a record can't be read: {error}")

    async def _aftermath(self) -> None:
        """Look at what is left of processes, locks and files once all has been stopped."""
        failures = self.world.failures
        left = await self.world.orphans(15.0)
        self.outcome.orphans = len(left)
        failures += [f"process {each.pid} is left: {each.command}" for each in left]
        place = self.world.place
        for lock in _locks(place.state, place.account(STDIO), place.account(HTTP)):
            if not _free(lock):
                failures.append(f"{lock} is still locked")
        failures += [
            f"{each} is still there"
            for each in (place.state / "control.json", place.state / "control.new")
            if each.exists()
        ]
        code, out, error = await self.people.run("audit", "verify")
        if code:
            failures.append(f"`mtquant audit verify` ended with {code}: {out}{error}")
        failures += [f"a command showed a traceback: {each}" for each in self.people.tracebacks]

    def _tally(self) -> None:
        out, world = self.outcome, self.world
        if self._last is None:  # it ended before there was anything to read
            out.failures = [*world.failures, "the run was over before its end"]
            return
        trail, exchanges = self._last
        verdict = compare(trail, exchanges, self.people.promises)
        out.compared += len(exchanges)
        out.signals = dict(sorted(world.done.items()))
        out.network = dict(sorted(self._network.items()))
        if self._venue is not None:
            out.line = dict(sorted(self._venue.troubles.items()))
            out.mishaps = dict(sorted(self._venue.mishaps.items()))
            found = found_by_extensions(trail, exchanges, world.place)
            out.found_by_extensions = dict(sorted(found.items()))
        out.starts = dict(sorted(world.starts.items()))
        out.answers = dict(sorted(self.people.answers.items()))
        out.intents = len(trail.intents)
        out.orders = {
            name: sum(map(len, each.by_client_id.values())) for name, each in exchanges.items()
        }
        out.executions = {name: len(each.fills) for name, each in exchanges.items()}
        out.in_doubt = dict(sorted(settled(trail).items()))
        out.promises = len(self.people.promises)
        out.lost, out.duplicated = len(verdict.lost), len(verdict.duplicated)
        out.differences = len(verdict.differences)
        out.mismatches = trail.kinds["mismatch"]
        for name in ("engine", "http server"):
            out.handles[f"{name}, most in any life"] = str(_most(world, name))
        out.failures = world.failures + verdict.lost + verdict.duplicated + verdict.differences
        if out.kills != self._kills:
            out.failures.append(f"{out.kills} signals were sent, and {self._kills} were planned")


def _most(world: World, name: str) -> int:
    lives = [life for life in world.lives if life.name == name]
    return max((each.total() for life in lives for each in life.handles), default=0)


def _locks(*folders: Path) -> list[Path]:
    return [
        each
        for folder in folders
        for each in sorted(folder.glob("*"))
        if each.name in _LOCKED or ".owner" in each.name
    ]


def _free(path: Path) -> bool:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as database:
        try:
            database.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        database.execute("ROLLBACK")
        return True


def main() -> int:
    """Run once, print what came of it, and return 1 where anything is wrong."""
    options = _options()
    processes.become_reaper()
    folder = Path(tempfile.mkdtemp(prefix="mtquant-chaos-", dir=options.folder))
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description:32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        outcome = anyio.run(Run(folder, options, progress))
    if options.json:
        sys.stdout.write(json.dumps(_plain(outcome)) + "\n")
    else:
        _show(outcome)
    if outcome.failures or options.keep:
        console.print(f"kept: {folder}", highlight=False)
    else:
        shutil.rmtree(folder)
    return 1 if outcome.failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many signals (200)")
    parser.add_argument("--seed", type=int, default=0, help="what the plan is drawn from (0)")
    parser.add_argument(
        "--broker", choices=("paper", "oanda"), default="paper", help="whose servers (paper)"
    )
    parser.add_argument(
        "--mistake", choices=MISTAKES, default="", help="plant one in OANDA's server behind HTTP"
    )
    parser.add_argument("--folder", type=Path, help="where to make the run's folder")
    parser.add_argument("--keep", action="store_true", help="keep the folder though all is well")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    options = parser.parse_args()
    if options.mistake and options.broker != "oanda":
        parser.error("--mistake goes with --broker oanda")
    return options


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in Outcome.__slots__} | {"kills": outcome.kills}


def _show(outcome: Outcome) -> None:
    title = f"chaos, {outcome.broker}, seed {outcome.seed}, {outcome.seconds:g} s"
    table = Table(title=title, show_header=False)

    def rows(title: str, found: dict[str, Any]) -> None:
        for name, value in found.items():
            table.add_row(title, name, str(value))
            title = ""
        if found:
            table.add_section()

    rows("signals", outcome.signals | {"together": outcome.kills})
    rows("network", outcome.network)
    rows("line to OANDA", outcome.line)
    rows("at OANDA", outcome.mishaps)
    rows("started", outcome.starts)
    rows("persons were told", outcome.answers)
    rows(
        "orders",
        {"intents": outcome.intents} | {f"taken by {k}": v for k, v in outcome.orders.items()},
    )
    rows("executions", outcome.executions)
    rows("were in doubt", outcome.in_doubt)
    rows("found by extensions", outcome.found_by_extensions)
    rows("handles", outcome.handles)
    rows(
        "found",
        {
            "lost": outcome.lost,
            "duplicated": outcome.duplicated,
            "other differences": outcome.differences,
            "promises kept": outcome.promises,
            "books compared": outcome.compared,
            "books differed for a while": outcome.mismatches,
            "orphans": outcome.orphans,
            "rests took s": ", ".join(f"{each:g}" for each in outcome.rests_s),
        },
    )
    out = Console()
    out.print(table)
    for each in outcome.failures:
        out.print(each, style="bold red", markup=False, highlight=False, soft_wrap=True)
    if not outcome.failures:
        out.print("nothing lost, nothing doubled, books equal, nothing left behind")
