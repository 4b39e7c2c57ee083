"""Where a chaos run lives: one folder with the configuration, the strategy and all state."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.brokers import HTTP, STDIO, Broker

PERSONS = ("EUR/USD", "GBP/USD")
"""The symbols that persons trade; strategies have their own, so that neither keeps the other."""
STRATEGIES = ("USD/JPY", "AUD/USD")
QUANTITY = 1000
"""What a strategy holds at most, over all accounts."""
TOKEN = "CHAOS_TOKEN"  # noqa: S105 - the variable's name
MARK = "MTQUANT_CHAOS"
"""An environment variable of every process that the run starts."""
MISTAKES = "chaos_mistakes"
"""What the module of planted mistakes is called beside the strategy."""

# Short pauses and time-outs: a fault must end within seconds, or a run would take hours. What
# counts how often the same is ordered is off: here, that is the point.
_CONFIG = """
[engine]
state_dir = "state"
on_stop = "keep"
dead_man_s = 20
anchor = "anchor.jsonl"
health_interval_s = 1.0
call_timeout_s = 2.0
restart_backoff_s = 0.1
restart_backoff_limit_s = 1.0
[market]
timeframe = "S1"
bars = "{bars}"
poll_s = 0.2
stale_s = 10
[route.symbols]
"USD/JPY" = ["stdio", "http"]
"AUD/USD" = ["http", "stdio"]
"EUR/USD" = ["stdio", "http"]
"GBP/USD" = ["http", "stdio"]
[strategies.flip]
plugin = "flip"
symbols = ["USD/JPY", "AUD/USD"]
[risk]
sizer = {{ plugin = "fixed_quantity", quantity = "{quantity}" }}
[risk.checks]
throttle = false
repeated_order = false
duplicate = false
open_orders = {{ max_orders = 500 }}
[brokers.stdio]
{stdio}
[brokers.http]
server = "http://127.0.0.1:{port}/mcp"
token = "env:{token}"
spelling = {spelling}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one run; ``port`` is the HTTP server's own, behind the proxy."""

    folder: Path
    port: int
    environment: dict[str, str]
    broker: Broker
    mistake: str = ""
    started: set[int] = field(default_factory=set)
    """The processes that this one started, and whose ends it waits for."""

    @property
    def config(self) -> Path:
        return self.folder / "mtquant.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def account(self, name: str) -> Path:
        """The folder of an account's files, wherever its server runs."""
        return self.state / name if name == STDIO else self.folder / name

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "mtquant", *words, "--config", str(self.config)]

    def start(self, words: list[str], *, stdout: Any, stderr: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - as Popen
        """Start one of ours, bearing the run's mark."""
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )
        self.started.add(process.pid)
        return process

    def server(self) -> list[str]:
        """Return the command of the HTTP server, with a mistake in it where one was asked for."""
        words = [MISTAKES, self.mistake] if self.mistake else [self.broker.module]
        words += ["--settings", json.dumps(self.broker.settings), "--state"]
        words += [str(self.account(HTTP)), "--http", str(self.port), "--token", f"env:{TOKEN}"]
        return [sys.executable, "-m", *words]


def prepare(folder: Path, proxy_port: int, broker: Broker, mistake: str = "") -> Place:
    """Write all that the engine reads, and choose the server's port."""
    text = _CONFIG.format(
        quantity=QUANTITY,
        bars=broker.bars,
        stdio="\n".join(f"{key} = {_toml(value)}" for key, value in broker.stdio.items()),
        port=proxy_port,
        token=TOKEN,
        spelling=_toml(broker.spelling),
    )
    (folder / "mtquant.toml").write_text(text, encoding="utf-8")
    plugins = folder / "plugins"
    about = plugins / "chaos_flip-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: chaos-flip\nVersion: 1\n", "utf-8"
    )
    (about / "entry_points.txt").write_text("[mtquant]\nchaos = chaos_flip\n", "utf-8")
    shutil.copy(Path(__file__).with_name("flip.py"), plugins / "chaos_flip.py")
    shutil.copy(Path(__file__).with_name("mistakes.py"), plugins / f"{MISTAKES}.py")
    environment = os.environ | {
        MARK: str(folder),
        TOKEN: secrets.token_hex(16),
        "PYTHONPATH": str(plugins),
        "COLUMNS": "200",
        **broker.environment,
    }
    return Place(folder, free_port(), environment, broker, mistake)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _toml(value: Any) -> str:  # noqa: ANN401 - what JSON holds
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(each)}' for key, each in value.items()) + " }"
    return json.dumps(value)
