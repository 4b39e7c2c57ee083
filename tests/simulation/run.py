"""``python -m tests.simulation``: many seeds, what went wrong in them, and what they covered."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import track
from tests.simulation.faults import KINDS
from tests.simulation.world import BROKERS, Result, kinds_of, simulate

from mtquant.orders import MOVES

MANY = 500
"""From so many seeds on, each fault and each move of an order must have been met."""
PATIENCE_S = 300.0
"""A run takes a second or two; one that takes so long will not end."""
SEEDS_FILE = Path(__file__).with_name("seeds.txt")


@dataclass(frozen=True, slots=True)
class Kept:
    """A seed that failed once, why, and in the world of which broker."""

    seed: int
    why: str
    broker: str = "paper"


def kept_seeds() -> list[Kept]:
    """Read the seeds that ever failed."""
    found = []
    for line in SEEDS_FILE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, why = line.split(maxsplit=1)
            broker, _, seed = name.rpartition(":")
            found.append(Kept(int(seed), why, broker or "paper"))
    return found


class Tally:
    """What many runs came to, of those kinds of faults."""

    def __init__(self, kinds: tuple[str, ...] = KINDS) -> None:
        self.kinds = kinds
        self.runs = self.orders = self.idle = self.untouched = 0
        self.injected: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()
        self.doubts: Counter[str] = Counter()
        self.failed: list[Result] = []
        self.virtual_s = 0.0

    def add(self, result: Result) -> None:
        self.runs += 1
        self.orders += result.orders
        self.virtual_s += result.seconds
        self.idle += not result.orders
        self.untouched += not result.injected
        self.injected += result.injected
        self.moves += result.moves
        self.doubts += result.doubts
        if result.failures:
            self.failed.append(result)

    def missed(self) -> list[str]:
        """Return the faults and the moves that no run met."""
        moves = [f"{before} -> {after}" for before, ends in MOVES.items() for after in ends]
        return [
            *(each for each in self.kinds if not self.injected[each]),
            *(each for each in moves if not self.moves[each]),
        ]

    def lines(self, seconds: float) -> Iterable[str]:
        yield (
            f"{self.runs} schedules in {seconds:.1f} s ({self.runs / seconds:.2f} a second),"
            f" {self.virtual_s / 3600:.1f} virtual hours, {self.orders} orders taken by exchanges;"
            f" {self.untouched} without a fault, {self.idle} without an order"
        )
        yield f"faults injected ({sum(self.injected.values())}):"
        yield from (f"  {kind:24}{self.injected[kind]:8}" for kind in self.kinds)
        yield "moves of orders:"
        for before, afters in MOVES.items():
            for after in sorted(afters):
                move = f"{before} -> {after}"
                yield f"  {move:32}{self.moves[move]:8}"
        yield from self._doubt_lines()

    def _doubt_lines(self) -> Iterable[str]:
        """Tell how doubts about orders at OANDA ended."""
        if self.doubts:
            yield (
                f"in doubt at OANDA: {sum(self.doubts.values())}; {self.doubts['found']} had no"
                " answer of OANDA's and were found there by their client extensions,"
                f" {self.doubts['known']} had one that we didn't hear of,"
                f" {self.doubts['absent']} were proven absent"
            )


def commit() -> str:
    """Return what is checked out, marked where it was changed."""
    root = Path(__file__).parent
    asked = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--log", action="store_true", help="print what happened in each")
    parser.add_argument("--broker", choices=BROKERS, default="paper", help="of the first account")
    parser.add_argument("--only", help="fault kinds, by commas; default all")
    asked = parser.parse_args(arguments)
    known = kinds_of(asked.broker)
    kinds = known if asked.only is None else tuple(each for each in asked.only.split(",") if each)
    odd = set(kinds) - {*known}
    if odd:
        parser.error(f"no such fault: {', '.join(sorted(odd))}")

    tally, started, now = Tally(known), time.perf_counter(), commit()
    kept = [each.seed for each in kept_seeds() if each.broker == asked.broker]
    kept = [] if asked.log or asked.only else kept
    seeds = list(dict.fromkeys([*kept, *range(asked.first, asked.first + asked.seeds)]))
    runs = zip(seeds, _simulated(seeds, kinds, asked.broker, asked.jobs), strict=True)
    screen = Console(stderr=True)
    for seed, result in track(
        runs, "schedules", total=len(seeds), console=screen, disable=not screen.is_terminal
    ):
        tally.add(result)
        if asked.log:
            _print("\n".join(result.log))
        if result.failures:
            options = f" --broker {asked.broker}" if asked.broker != "paper" else ""
            options += f" --only {asked.only}" if asked.only else ""
            replay = f"python -m tests.simulation --first {seed} --seeds 1 --log{options}"
            _print(f"FAILED seed {seed}, commit {now}: {result.failures[0]} | replay: {replay}")
    for line in tally.lines(time.perf_counter() - started):
        _print(line)
    missed = tally.missed() if asked.seeds >= MANY and kinds == known else []
    if missed:
        _print(f"never met: {', '.join(missed)}")
    _print(f"{len(tally.failed)} failed" if tally.failed else "all clean")
    return 1 if tally.failed or missed else 0


def _simulated(
    seeds: list[int], kinds: tuple[str, ...], broker: str, jobs: int
) -> Iterator[Result]:
    """Yield what each seed came to, in their order."""
    if jobs < 2 or len(seeds) < 2:
        yield from (simulate(seed, kinds, broker) for seed in seeds)
        return
    # Not by fork: what a process holds open (SQLite, trio) is its own.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(simulate, seed, kinds, broker) for seed in seeds]
        for seed, run in zip(seeds, runs, strict=True):
            try:
                yield run.result(PATIENCE_S)
            except TimeoutError:
                _print(f"FAILED seed {seed}: it hangs; what comes after it isn't run")
                for process in pool._processes.values():
                    process.kill()
                sys.exit(1)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
