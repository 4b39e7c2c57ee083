"""Drift of whole engines: over MCP in memory, and as processes that a user starts."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from tests.drift.runs import CATALOGUE, table

from mtquant.assemble import _about
from mtquant.clock import Ids, ManualClock, SystemClock, seeded
from mtquant.config import Config
from mtquant.contract import Broker
from mtquant.decide import Decider
from mtquant.drift import drift_of
from mtquant.engine import Engine, Wiring
from mtquant.exchange import PaperSettings
from mtquant.feed import Replay
from mtquant.journal import Journal
from mtquant.ledger import Ledger
from mtquant.link import Link
from mtquant.making import make_gate, make_rules, make_strategies
from mtquant.pool import Session, Watch
from mtquant.symbols import Spelling
from mtquant.wire import Remote, serve
from mtquant_paper_server.broker import PaperBroker

DRIFT = (
    "import sys, typer\n"
    "from mtquant.cli import _fail, drift\n"
    "from mtquant.errors import MtquantError\n"
    "app = typer.Typer(pretty_exceptions_enable=False)\n"
    "drift.register(app)\n"
    "app.callback()(lambda: None)\n"
    "try:\n"
    "    app()\n"
    "except MtquantError as error:\n"
    "    _fail(error)\n"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def traded(folder: Path, made: dict[str, Any]) -> None:
    """Run an engine over a paper server in memory until the prices end."""
    config = Config.read(made, "")
    asked = {key: each for key, each in made["market"]["source"].items() if key != "plugin"}
    source = CATALOGUE.make("source", "walk", asked)
    clock = ManualClock()
    bars = {symbol: source.bars(symbol) for symbol in config.symbols()}
    clock.set(next(iter(bars.values())).time[0])
    settings = PaperSettings.read(config.brokers["desk"].settings | {"account_id": "desk"}, "desk")

    @asynccontextmanager
    async def connect() -> AsyncIterator[Broker]:
        broker = PaperBroker(settings, source, folder / "desk", SystemClock())
        ledger = Ledger(folder / "ledger.db", SystemClock())
        async with Remote(serve(broker, ledger=ledger)) as remote:
            yield remote

    strategies = [
        each for name in config.strategies for each in make_strategies(config, CATALOGUE, name)
    ]
    rules = make_rules(config, passive=False)
    gate = make_gate(config, CATALOGUE, clock)
    decider = Decider(strategies, gate, Ids(clock, seeded(5)), rules=rules)
    link = Link("desk", [Session("desk", connect, Watch(), seeded(1))], Spelling())
    engine = Engine(
        Wiring(
            clock=clock,
            journal=Journal(folder / "state", clock),
            decider=decider,
            links={"desk": link},
            preference=config.preference,
            symbols=config.symbols(),
            about=_about(config, CATALOGUE),
        )
    )
    await engine.run(Replay(bars, clock))


@pytest.mark.anyio
async def test_a_run_over_mcp_is_what_its_replay_is(tmp_path: Path) -> None:
    made = table(strategies__trend__symbols=["EUR/USD", "USD/JPY"])
    prices = made["market"]["source"] | {"bars": 90}
    made["market"]["source"] = made["brokers"]["desk"]["prices"] = prices
    await traded(tmp_path, made)

    found = drift_of(tmp_path / "state", catalogue=CATALOGUE)
    assert found.differences == ()
    assert found.difference == 0
    assert found.fills.recorded == found.fills.same > 20


# --- as a user has it ----------------------------------------------------------------------------


def drifted(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    result = subprocess.run(
        [sys.executable, "-c", DRIFT, "drift", "state", "--json", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert not result.stderr, result.stderr
    return result.returncode, json.loads(result.stdout)


def mtquant(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from mtquant.cli import main; main()", "run"]
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


@pytest.mark.slow
def test_a_paper_run_of_processes_shows_no_drift(tmp_path: Path) -> None:
    made = table() | {"engine": {"state_dir": "state"}}
    (tmp_path / "mtquant.toml").write_text(tomli_w.dumps(made), encoding="utf-8")
    assert mtquant(tmp_path).wait(200) == 0

    code, found = drifted(tmp_path)
    assert (code, found["differences"]) == (0, [])
    code, found = drifted(tmp_path, "--set", "brokers.desk.slippage_pips=0.5")
    assert code == 1
    assert "slippage" in {each["cause"] for each in found["by_cause"]}


def live_table() -> dict[str, Any]:
    prices = {
        "plugin": "walk",
        "timeframe": "S1",
        "bars": 5000,
        "markets": {"EUR/USD": {"price": 1.1, "volatility": 2.0}},
    }
    desk = {"plugin": "paper", "clock": "real", "rebase": True, "history": 200, "prices": prices}
    return {
        "engine": {"state_dir": "state"},
        "market": {"feed": "live", "timeframe": "S1", "poll_s": 0.2},
        "brokers": {"desk": desk | {"symbols": ["EUR/USD"], "slippage_pips": "0.3"}},
        "strategies": {
            "trend": {"plugin": "sma_cross", "symbols": ["EUR/USD"], "fast": 2, "slow": 3}
        },
        "risk": {"sizer": {"plugin": "fixed_fraction", "fraction": "0.0002"}},
    }


def counted(folder: Path, kind: str) -> int:
    path = folder / "state" / "journal.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        try:
            query = "SELECT count(*) FROM entry WHERE kind = ?"
            return int(file.execute(query, (kind,)).fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # it is being made


def run_until(folder: Path, fills: int) -> None:
    process = mtquant(folder)
    try:
        until = time.monotonic() + 120
        while counted(folder, "fill") < fills and time.monotonic() < until:
            assert process.poll() is None, (folder / "run.log").read_text()
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_live_run_is_replayed_from_its_journal(tmp_path: Path) -> None:
    (tmp_path / "mtquant.toml").write_text(tomli_w.dumps(live_table()), encoding="utf-8")
    run_until(tmp_path, 20)
    _, found = drifted(tmp_path)
    assert found["fills"]["recorded"] >= 20
    # A busy machine may hold a bar up; what comes late is told, and nothing stays unexplained.
    named = {each["cause"] for each in found["by_cause"]}
    assert named <= {"slippage", "late_bar", "data", "equity", "conversion"}

    time.sleep(3)
    run_until(tmp_path, found["fills"]["recorded"] + 10)
    _, found = drifted(tmp_path)
    assert "engine_down" in {each["cause"] for each in found["by_cause"]}
    down = [each for each in found["differences"] if each["cause"] == "engine_down"]
    assert "it was stopped" in down[0]["why"]
