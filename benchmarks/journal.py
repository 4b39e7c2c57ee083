"""What the journal costs: an entry on disk, many in one commit, the chain followed, a replay.

References in the same run: a bare SQLite table (WAL, synchronous FULL) and a bare file with fsync,
given the same bytes. Ratios are to bare SQLite in the same way of writing.

    python benchmarks/journal.py [--entries 1000000] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from mtquant.clock import SystemClock
from mtquant.journal import Journal
from mtquant.verifying import verified

SINGLY, GROUPS, GROUP = 500, 200, 32
BODY: dict[str, Any] = {
    "account": "paper-a", "client_order_id": "017E8RZ10037FA1RG08N0N7EY7", "stage": "acknowledged",
    "status": "filled", "why": "", "order_id": "O123", "filled": "20000", "average_price": "1.0876",
}  # fmt: skip
TEXT = json.dumps(BODY)


def rate(count: int, act: Callable[[], object]) -> float:
    """Return how many entries a second ``act`` writes, if it writes ``count``."""
    start = time.perf_counter()
    act()
    return count / (time.perf_counter() - start)


def journal(folder: Path, groups: int, group: int) -> float:
    kept = Journal(folder / f"journal-{group}", SystemClock())

    def write() -> None:
        for _ in range(groups):
            for number in range(group):
                kept.append("order", BODY, durable=number == group - 1)

    found = rate(groups * group, write)
    kept.close()
    return found


def bare_sqlite(folder: Path, groups: int, group: int) -> float:
    with closing(sqlite3.connect(folder / f"bare-{group}.db", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, body TEXT)")

        def write() -> None:
            for _ in range(groups):
                bare.execute("BEGIN")
                for _ in range(group):
                    bare.execute("INSERT INTO entry (body) VALUES (?)", (TEXT,))
                bare.execute("COMMIT")

        return rate(groups * group, write)


def bare_file(folder: Path, groups: int, group: int) -> float:
    with (folder / f"bare-{group}.txt").open("ab", buffering=0) as file:

        def write() -> None:
            for _ in range(groups):
                file.write((TEXT + "\n").encode() * group)
                os.fsync(file.fileno())

        return rate(groups * group, write)


def replayed(folder: Path, entries: int) -> dict[str, float]:
    """Return the seconds and memory of a long journal: following its chain, reading it whole."""
    kept = Journal(folder / "long", SystemClock())
    for _ in range(entries):
        kept.append("order", BODY)
    kept.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    assert verified(folder / "long").entries == entries
    verifying = time.perf_counter() - start
    start = time.perf_counter()
    assert sum(1 for _ in kept.entries()) == entries
    reading = time.perf_counter() - start
    kept.close()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"verify_s": verifying, "read_s": reading, "grown_mib": grown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, groups, group in (("singly", SINGLY, 1), (f"{GROUP} a commit", GROUPS, GROUP)):
            rows[title] = {
                "journal": journal(folder, groups, group),
                "bare SQLite": bare_sqlite(folder, groups, group),
                "bare file": bare_file(folder, groups, group),
            }
        rows["long"] = {"entries": wanted.entries} | replayed(folder, wanted.entries)
    if wanted.json:
        json.dump(rows, sys.stdout, indent=2)
        return
    for title in ("singly", f"{GROUP} a commit"):
        reference = rows[title]["bare SQLite"]
        for what, found in rows[title].items():
            print(f"{title:14}{what:14}{found:12,.0f} entries/s{found / reference:8.2f}x")
    long = rows["long"]
    count = long["entries"]
    print(f"{count:,} entries: verified in {long['verify_s']:.1f} s ", end="")
    print(f"({count / long['verify_s']:,.0f}/s), read in {long['read_s']:.1f} s, ", end="")
    print(f"{long['grown_mib']:.1f} MiB more memory")


if __name__ == "__main__":
    main()
