"""From an approved signal to an acknowledged order, through everything.

Gate verdict, journal (fsync), lane, symbol map, pool, MCP over stdio, the server's ledger (fsync),
the paper account (fsync), and back to the book. The reference in the same run is one fsynced
append to a bare SQLite file: the path has at least four of them.

    python benchmarks/order_path.py [--json]
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from mtquant.assemble import assemble
from mtquant.clock import seeded
from mtquant.config import Config
from mtquant.decide import Event, OrderMoved
from mtquant.engine import Engine, Observer
from mtquant.feed import Replay
from mtquant.plugins import load_catalogue

SYMBOLS = ["EUR/USD", "GBP/USD", "USD/JPY"]
APPENDS = 500


class Stopwatch(Observer):
    """Takes the time from each approved verdict to its order's acknowledgement."""

    def __init__(self) -> None:
        self.pending: list[float] = []
        self.took: list[float] = []
        self.steps = 0

    def on_step(self, time: int, engine: Engine) -> None:  # noqa: ARG002 - its base's
        self.steps += 1

    def on_record(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "verdict" and body["approved"]:
            self.pending.append(time.perf_counter())

    def on_event(self, event: Event) -> None:
        if isinstance(event, OrderMoved) and self.pending:
            self.took.append(time.perf_counter() - self.pending.pop(0))


def engine_run(folder: Path) -> tuple[Stopwatch, float]:
    paper = {
        "plugin": "paper",
        "symbols": SYMBOLS,
        "prices": {"plugin": "walk", "bars": 3000, "timeframe": "H1"},
    }
    config = Config.read(
        {
            "engine": {"state_dir": str(folder)},
            "market": {
                "feed": "replay",
                "timeframe": "H1",
                "source": {"plugin": "walk", "bars": 3000, "timeframe": "H1"},
            },
            "brokers": {"paper-a": paper},
            "strategies": {
                "trend": {"plugin": "sma_cross", "symbols": ["EUR/USD"], "fast": 3, "slow": 8}
            },
            "risk": {"sizer": {"plugin": "fixed_fraction", "fraction": "0.0005"}},
        },
        "benchmark",
    )
    watch = Stopwatch()
    made = assemble(config, load_catalogue(), seeded(1), watch)
    seconds = 0.0

    async def feed(engine: Engine) -> None:
        nonlocal seconds
        if not isinstance(made.feed, Replay):
            raise TypeError("the benchmark replays")
        started = time.perf_counter()
        await made.feed(engine)
        seconds = time.perf_counter() - started

    anyio.run(made.engine.run, feed)
    return watch, seconds


def bare_appends(folder: Path) -> list[float]:
    database = sqlite3.connect(folder / "bare.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, body TEXT)")
    took = []
    for number in range(APPENDS):
        started = time.perf_counter()
        database.execute("INSERT INTO entry VALUES (?, ?)", (number, "x" * 400))
        took.append(time.perf_counter() - started)
    database.close()
    return took


def percentiles(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = bare_appends(folder)
        watch, seconds = engine_run(folder / "engine")
    reference, path = percentiles(before), percentiles(watch.took)
    found = {
        "bare SQLite append, fsync": reference,
        "approved signal to acknowledged order": path | {"orders": len(watch.took)},
        "ratio_p50": round(path["p50_ms"] / reference["p50_ms"], 1),
        "replay_steps_per_s": round(watch.steps / seconds),
    }
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for label, figures in found.items():
        print(f"{label:40} {figures}")


if __name__ == "__main__":
    main()
