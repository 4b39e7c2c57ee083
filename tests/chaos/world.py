"""The engine and the servers of a run: started, hit, started again, and looked at.

The engine is restarted at once, as a service manager would; the HTTP server after a while, as an
operator would. The stdio server is the engine's own to restart. The venue, where there is one, is
hit by nobody: it is the other side, and its record is the truth.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from tests.chaos import processes
from tests.chaos.brokers import STDIO
from tests.chaos.place import MARK, Place
from tests.chaos.plan import Act, Blow, Victim
from tests.chaos.processes import Process

from mtquant.clock import Random
from mtquant.control.reach import find

_LOOK_S = 0.05
_TARGET_S = 30.0
_STOP_S = 60.0
_LAST_LINES = 15
_ROUNDS = 100


@dataclass(slots=True)
class Life:
    """One engine's or server's life: its process, its log, and what it held open when."""

    name: str
    process: subprocess.Popen[str]
    log: Path
    handles: list[Counter[str]] = field(default_factory=list)

    def last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-_LAST_LINES:])


@dataclass(slots=True)
class World:
    """``failures``: what must not be, in sentences; ``done``: the signals sent, by kind."""

    place: Place
    rng: Random
    failures: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)
    lives: list[Life] = field(default_factory=list)
    engine: Life | None = None
    server: Life | None = None
    venue: Life | None = None
    _hit: set[int] = field(default_factory=set)
    _wanted: bool = True
    _stopped: list[Process] = field(default_factory=list)

    # --- starting and starting again ---------------------------------------------------------

    async def keep_engine(self) -> None:
        """Run the engine, again and again, until :meth:`stop_engine`."""
        while self._wanted:
            self.engine = self._start("engine", self.place.command("run"))
            code = await self._ended(self.engine)
            if self.engine.process.pid in self._hit or not self._wanted:
                continue
            words = self.engine.last_words()
            if "is using this journal" in words:
                # A command that found no engine is one for itself; it is soon over.
                self.starts["engine refused: a command was one"] += 1
                await anyio.sleep(0.5)
                continue
            self.failures.append(f"the engine ended by itself with {code}:\n{words}")
            await anyio.sleep(1.0)

    async def keep_server(self) -> None:
        """Run the HTTP server, again and again, until cancelled."""
        while True:
            self.server = self._start("http server", self.place.server())
            code = await self._ended(self.server)
            if self.server.process.pid not in self._hit:
                words = self.server.last_words()
                self.failures.append(f"the HTTP server ended by itself with {code}:\n{words}")
            await anyio.sleep(self.rng.uniform(0.0, 2.0))

    def start_venue(self, words: list[str]) -> None:
        """Run what plays the venue; it lives as long as the run."""
        self.venue = self._start("venue", words)

    def _start(self, name: str, words: list[str]) -> Life:
        self.starts[name] += 1
        log = self.place.folder / f"{name.replace(' ', '-')}-{self.starts[name]}.log"
        with log.open("w", encoding="utf-8") as out:
            life = Life(name, self.place.start(words, stdout=out, stderr=out), log)
        self.lives.append(life)
        return life

    async def _ended(self, life: Life) -> int:
        while life.process.poll() is None:  # noqa: ASYNC110 - a child's end sets no event
            await anyio.sleep(_LOOK_S)
        return int(life.process.returncode)

    # --- hitting -----------------------------------------------------------------------------

    def find(self, victim: Victim) -> Process | None:
        """Return the process to hit, None where it isn't there now."""
        if victim is Victim.ENGINE:
            return self._alive(self.engine)
        if victim is Victim.HTTP:
            return self._alive(self.server)
        mine = self._alive(self.engine)
        if mine is None:
            return None
        found = [each for each in processes.below(mine.pid) if _is_stdio(each, self.place)]
        return self.rng.choice(found) if found else None

    def _alive(self, life: Life | None) -> Process | None:
        if life is None or life.process.poll() is not None:
            return None
        return processes.look(life.process.pid)

    async def hit(self, act: Act, group: anyio.abc.TaskGroup) -> None:
        """Send one signal, as soon as there is somebody to get it."""
        target: Process | None = None
        with anyio.move_on_after(_TARGET_S):
            while True:
                target = self.find(act.victim)
                if target is not None and not target.zombie and self._send(target, act.blow):
                    break
                await anyio.sleep(_LOOK_S)
        if target is None:
            self.failures.append(f"no {act.victim} came for {_TARGET_S:g} s")
            return
        self.done[f"{act.blow} {act.victim}"] += 1
        if act.blow is Blow.STOP:
            group.start_soon(self._wake, target, act.for_s)

    def _send(self, target: Process, blow: Blow) -> bool:
        # Before it is sent: its end may be seen at once.
        if blow is Blow.KILL:
            self._hit.add(target.pid)
        return processes.send(target, signal.Signals[blow.value])

    async def _wake(self, target: Process, for_s: float) -> None:
        self._stopped.append(target)
        await anyio.sleep(for_s)
        processes.send(target, signal.SIGCONT)
        self._stopped.remove(target)

    # --- looking -----------------------------------------------------------------------------

    async def watch(self) -> None:
        """Note now and then what engine and server hold open, and bury orphans, until cancelled."""
        while True:
            for life in (self.engine, self.server):
                if life is not None and life.process.poll() is None:
                    life.handles.append(processes.handles(life.process.pid))
            processes.bury(self.place.started)
            await anyio.sleep(0.5)

    def family(self) -> list[Process]:
        """Return every process of the run that isn't this one, zombies too."""
        mine = {os.getpid()}
        tree = processes.below(os.getpid())
        known = {each.pid for each in tree} | mine
        strays = processes.marked(MARK, str(self.place.folder)) - known
        return tree + [each for each in map(processes.look, strays) if each is not None]

    def unexpected(self) -> list[str]:
        """Return, at rest, what processes are too many or too few."""
        processes.bury(self.place.started)
        engine, server = self._alive(self.engine), self._alive(self.server)
        if engine is None or server is None:
            return ["the engine or the HTTP server isn't there"]
        family = self.family()
        found = [
            f"process {each.pid} is a zombie that nobody waits for: {each.command or each.parent}"
            for each in family
            if each.zombie
        ]
        living = [each for each in family if not each.zombie]
        venue = self._alive(self.venue)
        main = {each.pid for each in (engine, server, venue) if each is not None}
        kinds = Counter(self._kind(each, engine.pid, main) for each in living)
        found += [
            f"process {each.pid} (of {each.parent}) is an orphan: {each.command}"
            for each in living
            if self._kind(each, engine.pid, main) == "stranger"
        ]
        once = [kind for kind in ("stdio server", "watcher") if kinds[kind] != 1]
        return found + [f"there are {kinds[kind]} of {kind}" for kind in once]

    def _kind(self, process: Process, engine: int, main: set[int]) -> str:
        if process.pid in main:
            return "main"
        if process.parent == engine and _is_stdio(process, self.place):
            return "stdio server"
        if process.parent == engine and "mtquant.cli.dead_man" in process.command:
            return "watcher"
        return "stranger"

    def listening(self) -> bool:
        """Tell whether the engine that runs now takes commands."""
        channel, life = find(self.place.state), self.engine
        return channel is not None and life is not None and channel.process_id == life.process.pid

    # --- the end -----------------------------------------------------------------------------

    async def stop_engine(self) -> None:
        """Ask the engine to stop, as a service manager does."""
        self._wanted = False
        await self._stop("engine", self.engine)

    async def stop_server(self) -> None:
        """Ask the HTTP server to stop; whoever keeps it must have been cancelled."""
        await self._stop("HTTP server", self.server)

    async def stop_venue(self) -> None:
        """Ask the venue to stop, as its person would, once nobody needs its record any more."""
        await self._stop("venue", self.venue, signal.SIGINT)

    async def _stop(
        self, name: str, life: Life | None, number: signal.Signals = signal.SIGTERM
    ) -> None:
        if life is None or life.process.poll() is not None:
            self.failures.append(f"the {name} wasn't there to be stopped")
            return
        self._hit.add(life.process.pid)
        life.process.send_signal(number)
        with anyio.move_on_after(_STOP_S):
            code = await self._ended(life)
            if code:
                self.failures.append(f"the {name} stopped with {code}:\n{life.last_words()}")
            return
        self.failures.append(f"the {name} didn't stop within {_STOP_S:g} s:\n{life.last_words()}")

    async def orphans(self, limit_s: float) -> list[Process]:
        """Return what is left of the run's processes after a while."""
        with anyio.move_on_after(limit_s):
            while True:
                processes.bury(self.place.started)
                if not self.family():
                    return []
                await anyio.sleep(_LOOK_S)
        return self.family()

    def end_all(self) -> None:
        """End whatever of ours still runs, however this run ends."""
        self._wanted = False
        for _ in range(_ROUNDS):
            # What a process starts in its last moment is met the next time.
            left = [each for each in self.family() if not each.zombie]
            for each in left:
                processes.send(each, signal.SIGKILL)
            if not left:
                return
            time.sleep(_LOOK_S)


def _is_stdio(process: Process, place: Place) -> bool:
    words = process.command
    return place.broker.module in words and str(place.account(STDIO)) in words
