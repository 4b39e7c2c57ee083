"""The command as a user has it: real processes, real signals, real files."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
from typer.testing import CliRunner

from mtquant.cli import app

MTQUANT = [sys.executable, "-c", "from mtquant.cli import main; main()"]
LIVE = """
[engine]
state_dir = "state"
restart_backoff_s = 0.1
[market]
feed = "live"
timeframe = "S1"
poll_s = 0.2
[brokers.paper-a]
plugin = "paper"
clock = "real"
rebase = true
history = 200
symbols = ["EUR/USD", "USD/JPY"]
spelling = { suffix = ".a" }
[brokers.paper-a.prices]
plugin = "walk"
timeframe = "S1"
bars = 5000
[brokers.paper-a.prices.markets]
"EUR/USD" = { price = 1.10, volatility = 2.0 }
"USD/JPY" = { price = 145.0, volatility = 2.0, decimals = 3 }
[strategies.trend]
plugin = "sma_cross"
symbols = ["EUR/USD", "USD/JPY"]
fast = 2
slow = 3
[risk]
sizer = { plugin = "fixed_fraction", fraction = "0.0002" }
"""


def mtquant(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MTQUANT, *words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


class Running:
    """``mtquant run`` in the background, its stderr read line by line."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [*MTQUANT, "run"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)

    def wait_for(self, pattern: str) -> str:
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"ended without {pattern!r}: {''.join(seen)}")

    def end(self, sent: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(sent)
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out


def servers_of(folder: Path) -> list[int]:
    """Return the paper servers that keep their account below ``folder``."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                words = (each / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mtquant_paper_server" in words and str(folder).encode() in b" ".join(words):
                found.append(int(each.name))
    return found


@pytest.fixture
def start() -> Iterator[Callable[[Path], Running]]:
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(Running(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mtquant.toml").write_text(LIVE)
    yield tmp_path
    for process_id in servers_of(tmp_path):
        os.kill(process_id, signal.SIGKILL)


def test_help_has_an_example_for_each_command() -> None:
    for command in ("demo", "init", "run", "status", "plugins", "breaker", "backtest", "optimize"):
        done = CliRunner().invoke(app, [command, "--help"])
        assert done.exit_code == 0
        assert f"Example: mtquant {command}" in done.output


def test_plugins_are_listed_for_machines_and_none_is_in_quarantine(tmp_path: Path) -> None:
    listed = json.loads(mtquant("plugins", "--json", cwd=tmp_path).stdout)
    assert {"broker", "strategy", "indicator", "check", "sizer", "source", "store", "notifier"} == {
        each["kind"] for each in listed
    }
    assert {each["status"] for each in listed} == {"ok"}


def test_init_writes_once_what_the_configuration_reads(tmp_path: Path) -> None:
    assert mtquant("init", cwd=tmp_path).returncode == 0
    again = mtquant("init", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.startswith("mtquant: mtquant.toml: exists already")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "mtquant.toml: no such file. `mtquant init` writes one."),
        (("status", "--config", "nowhere.toml"), "nowhere.toml: no such file"),
        (("demo", "--dir", "."), "holds files that aren't an earlier demo's"),
    ],
)
def test_a_mistake_is_told_in_a_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    done = mtquant(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "keep me"


@pytest.mark.slow
def test_what_init_writes_runs_as_it_is(tmp_path: Path, start: Callable[[Path], Running]) -> None:
    mtquant("init", cwd=tmp_path)
    running = start(tmp_path)
    running.wait_for("paper-b .*yes")
    code, out = running.end(signal.SIGINT)
    assert code == 0
    assert "the journal is closed" in out
    assert servers_of(tmp_path) == []


@pytest.mark.slow
def test_a_run_stops_cleanly_and_goes_on_where_it_was(
    folder: Path, start: Callable[[Path], Running]
) -> None:
    running = start(folder)
    running.wait_for("filled")
    shown = json.loads(mtquant("status", "--json", cwd=folder).stdout)
    assert shown["running"]
    assert [each["account"] for each in shown["accounts"]] == ["paper-a"]
    assert shown["accounts"][0]["endpoints"][0]["state"] == "healthy"
    second = mtquant("run", cwd=folder)
    assert second.returncode == 2
    assert "is using this journal" in second.stderr
    code, out = running.end(signal.SIGINT)
    assert code == 0
    assert "open orders: none" in out
    assert servers_of(folder) == []
    shown = json.loads(mtquant("status", "--json", cwd=folder).stdout)
    assert shown["stopped"]
    assert not shown["running"]
    assert "paper-a: NORMAL" in mtquant("breaker", cwd=folder).stdout
    again = start(folder)
    again.wait_for("recovered from")
    again.wait_for("paper-a .*yes")
    assert again.end(signal.SIGTERM)[0] == 0


@pytest.mark.slow
def test_a_killed_engine_leaves_no_server_behind_and_recovers(
    folder: Path, start: Callable[[Path], Running]
) -> None:
    running = start(folder)
    running.wait_for("filled")
    left = servers_of(folder)
    assert running.end(signal.SIGKILL)[0] == -signal.SIGKILL
    for process_id in left:
        # A server ends by itself when its client is gone; waiting for that is waiting for init.
        descriptor = os.pidfd_open(process_id) if process_id in servers_of(folder) else None
        if descriptor is not None:
            import select  # noqa: PLC0415 - beside its only use

            assert select.select([descriptor], [], [], 30)[0]
            os.close(descriptor)
    again = start(folder)
    again.wait_for("paper-a .*yes")
    again.wait_for("filled")
    assert again.end(signal.SIGINT)[0] == 0


@pytest.mark.slow
def test_a_killed_server_is_started_again(folder: Path, start: Callable[[Path], Running]) -> None:
    running = start(folder)
    running.wait_for("filled")
    for process_id in servers_of(folder):
        os.kill(process_id, signal.SIGKILL)
    running.wait_for("filled")
    shown = json.loads(mtquant("status", "--json", cwd=folder).stdout)
    assert shown["accounts"][0]["endpoints"][0]["restarts"] >= 1
    assert running.end(signal.SIGINT)[0] == 0


@pytest.mark.slow
def test_a_server_elsewhere_needs_no_plugin(folder: Path, start: Callable[[Path], Running]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of this test alone
    settings = {
        "clock": "real",
        "rebase": True,
        "history": 200,
        "symbols": ["EUR/USD", "USD/JPY"],
        "prices": {
            "plugin": "walk",
            "timeframe": "S1",
            "bars": 5000,
            "markets": {
                "EUR/USD": {"price": 1.10, "volatility": 2.0},
                "USD/JPY": {"price": 145.0, "volatility": 2.0, "decimals": 3},
            },
        },
    }
    desk = (
        LIVE[: LIVE.index("[brokers")]
        + f"""
[brokers.desk]
server = "http://127.0.0.1:{port}/mcp"
token = "env:DESK_TOKEN"
"""
        + LIVE[LIVE.index("[strategies") :]
    )
    (folder / "mtquant.toml").write_text(desk)
    environment = os.environ | {"DESK_TOKEN": token}
    words = ["--settings", json.dumps(settings), "--state", str(folder / "desk")]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mtquant_paper_server",
            *words,
            "--http",
            str(port),
            "--token",
            "env:DESK_TOKEN",
        ],
        env=environment,
    )
    try:
        os.environ["DESK_TOKEN"] = token
        running = start(folder)
        running.wait_for("desk .*filled")
        code, out = running.end(signal.SIGINT)
        assert code == 0
        assert token not in out
    finally:
        del os.environ["DESK_TOKEN"]
        server.terminate()
        server.wait(30)
    for file in folder.rglob("*"):
        assert file.is_dir() or token.encode() not in file.read_bytes()


@pytest.mark.slow
def test_the_demo_survives_the_death_of_a_broker(tmp_path: Path) -> None:
    done = mtquant("demo", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["in_doubt"] == figures["in_doubt_resolved"] == 1
    assert figures["failovers"] >= 1
    assert figures["lost"] == figures["duplicated"] == figures["differences"] == []
    assert figures["fills"] == figures["executions_at_brokers"]
    assert "paper-a killed" in (tmp_path / "mtquant-demo" / "report.html").read_text()
    assert servers_of(tmp_path) == []
