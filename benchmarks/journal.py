"""What the journal costs: an entry on disk, many in one commit, the chain, recovery, archiving.

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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from mtquant.archive import archive
from mtquant.book import Book
from mtquant.clock import SECOND, ManualClock, SystemClock
from mtquant.journal import Journal
from mtquant.orders import OrderDesk
from mtquant.recover import recover
from mtquant.verifying import verified

ACCOUNTS = ("paper-a", "paper-b")
SYMBOLS = ("EUR/USD", "GBP/USD", "USD/JPY", "AUD/USD", "USD/CHF", "USD/CAD", "NZD/USD", "EUR/GBP")
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


def grow(folder: Path, entries: int) -> None:
    """Write a journal of a year's trading: ten entries an order, every second of which closes."""
    clock = ManualClock(1_750_000_000 * SECOND)
    kept = Journal(folder, clock)
    number, pause = 0, 365 * 86_400 * SECOND // entries
    positions: list[Any] = []
    opened = {"cursor": "0", "balance": "100000", "positions": positions, "adopt": False}
    for account in ACCOUNTS:
        kept.append("opened", opened | {"account": account})
    while kept.seq < entries:
        number += 1
        for kind, body in order(number):
            clock.set(clock.now() + pause)
            kept.append(kind, body)
        if not number % 100:
            kept.flush()
    kept.close()


def order(number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what one order leaves behind; an even one closes what the one before it opened."""
    opens, pair = bool(number % 2), (number + 1) // 2
    symbol, account = SYMBOLS[pair % len(SYMBOLS)], ACCOUNTS[pair // 8 % 2]
    side, cid = ("buy" if opens else "sell"), f"017E8RZ10037FA1RG0{number:08d}"
    about = {"account": account, "client_order_id": cid}
    signal = {
        "strategy_id": "trend", "instrument": symbol, "time": "2026-01-12T12:00:00Z",
        "direction": int(opens), "reason": "the fast average crossed the slow one",
        "stop_distance": "0.0042", "take_profit_distance": None, "confidence": 1.0,
    }  # fmt: skip
    yield "signal", signal
    verdict = {"signal": signal, "account": account, "approved": True, "code": "approved"}
    finding = {"verdict": "approved", "code": "ok", "message": "", "limit": "5", "observed": "1"}
    findings = [finding | {"check": f"check_{each}", "quantity": "20000"} for each in range(19)]
    yield "verdict", verdict | {"message": f"{side} 20,000 {symbol}", "findings": findings}
    request = {"client_order_id": cid, "instrument": symbol, "quantity": "20000", "side": side}
    intent = {"instrument": symbol, "side": side, "opens": opens, "cursor": "17", "person": ""}
    yield "intent", about | intent | {"request": request | {"strategy_id": "trend"}}
    yield "order", BODY | about | {"order_id": f"O{number}"}
    fill = {
        "execution_id": f"E{number}", "order_id": f"O{number}", "client_order_id": cid,
        "instrument": symbol, "side": side, "quantity": "20000", "price": "1.0876",
        "time": "2026-01-12T12:00:00Z", "commission": "0.4", "realized_profit": "0",
    }  # fmt: skip
    yield "fill", {"account": account, "fill": fill}
    yield "cursor", {"account": account, "cursor": str(number)}
    yield "told", {"level": "info", "message": f"order {cid} ({symbol}) is filled at {account}"}
    for _ in range(3):
        yield "step", {"time": number * SECOND}


def recovered(folder: Path) -> None:
    """Recover a journal, and print how long that took and the most memory that was held."""
    kept = Journal(folder, SystemClock())
    book = Book()
    desk = OrderDesk(kept, SystemClock(), book, lambda _: None, lambda _: None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = recover(kept, book, desk)
    took = time.perf_counter() - start
    kept.close()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = {"s": took, "peak_mib": most / 1024, "more_mib": (most - before) / 1024}
    executions = sum(len(each.executions) for each in book.accounts.values())
    answer |= {"entries": found.entries, "orders": len(desk.tickets), "executions": executions}
    json.dump(answer, sys.stdout)


def in_a_process(folder: Path) -> dict[str, float]:
    """Recover in a process of its own, whose memory is measured from nothing."""
    command = [sys.executable, __file__, "--recover", str(folder)]
    found: dict[str, float] = json.loads(subprocess.check_output(command))
    return found


def replayed(folder: Path, entries: int) -> dict[str, Any]:
    """Return what a long journal costs: its chain followed, replayed, archived, replayed again."""
    place = folder / "long"
    grow(place, entries)
    size = (place / "journal.db").stat().st_size
    start = time.perf_counter()
    assert not verified(place).problem
    verifying = time.perf_counter() - start
    whole = in_a_process(place)
    kept = Journal(place, SystemClock())
    start = time.perf_counter()
    assert archive(kept, SystemClock(), 0).made is not None
    archiving = time.perf_counter() - start
    kept.close()
    after = in_a_process(place)
    assert after["executions"] == whole["executions"]
    carried = (place / "journal.db").stat().st_size
    return {
        "mib": size / 1024**2, "verify_s": verifying, "recovery": whole, "archive_s": archiving,
        "carried_mib": carried / 1024**2, "recovery_after": after,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--recover", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.recover is not None:
        recovered(wanted.recover)
        return
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
    count = wanted.entries
    print(
        f"{count:,} entries, {long['mib']:,.0f} MiB: verified in {long['verify_s']:.1f} s ", end=""
    )
    print(f"({count / long['verify_s']:,.0f}/s), archived in {long['archive_s']:.1f} s")
    for title, key in (("recovery", "recovery"), ("archived", "recovery_after")):
        found = long[key]
        print(f"{title:14}{found['s']:8.2f} s, {found['peak_mib']:,.0f} MiB at the most ", end="")
        print(f"({found['more_mib']:,.0f} for it), {found['orders']:,} orders, ", end="")
        print(f"{found['executions']:,} executions")
    print(f"what is carried over: {long['carried_mib']:.1f} MiB")


if __name__ == "__main__":
    main()
