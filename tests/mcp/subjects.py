"""What is held against the MCP project's suites: the paper server, and the gateway of an engine.

Each runs as a process of its own, as a person would start it, and is told apart by a bearer token.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import anyio

from mtquant.agents.registry import Registry
from mtquant.contract import Agent, AgentBudget, AgentScope
from mtquant.model import Mode

TOKEN = "conformance-token-of-a-paper-account"  # noqa: S105 - of a server that lives a minute
PAPER = (
    *(sys.executable, "-m", "mtquant_paper_server"),
    *("--settings", '{"prices": {"plugin": "walk"}, "history": 100}'),
)
_PROGRAM = (sys.executable, "-m", "mtquant")
_CONFIG = """\
[engine]
state_dir = "state"
[market]
feed = "live"
timeframe = "S1"
[brokers.paper]
plugin = "paper"
symbols = ["EUR/USD", "USD/JPY"]
clock = "real"
rebase = true
history = 1000
prices = { plugin = "walk", timeframe = "S1", bars = 10000 }
"""
_ORDER = ("side=buy", "quantity=10000", "symbol=EUR/USD")
_REFUSED = 5
"""The inspector's exit code where a tool answers with an error."""


@dataclass(frozen=True, slots=True)
class Look:
    """A call of the inspector's command line: ``says`` stands in what it prints."""

    over: str
    words: tuple[str, ...]
    code: int = 0
    says: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that listens on ``port``; each run of a suite comes with a token of ``tokens``."""

    name: str
    port: int
    tokens: Sequence[str]
    looks: Sequence[Look]


@asynccontextmanager
async def paper_server(folder: Path, runs: int) -> AsyncIterator[Subject]:
    """Run a paper server, which knows one token."""
    port = await free_port()
    words = [*PAPER, "--state", str(folder / "served"), "--http", str(port)]
    words += ["--token", "env:CONFORMANCE_TOKEN"]
    looks = [
        look
        for over, at in (
            ("stdio", (*PAPER, "--state", str(folder / "inspected"))),
            ("http", _url(port, TOKEN)),
        )
        for look in (
            Look(over, (*at, "--method", "tools/list", "--strict"), says="place_order"),
            Look(over, (*at, *_paper_order(1000, f"i-{over}")), says="structuredContent"),
            Look(over, (*at, *_paper_order(1, f"r-{over}")), _REFUSED),
        )
    ]
    async with _running(words, port, folder / "log", {"CONFORMANCE_TOKEN": TOKEN}):
        yield Subject("paper server", port, [TOKEN] * runs, looks)


def _paper_order(quantity: int, name: str) -> tuple[str, ...]:
    given = ("instrument=EURUSD", "side=buy", "order_type=market", f"quantity={quantity}")
    return _call("place_order", *given, f"client_order_id={name}")


@asynccontextmanager
async def gateway(folder: Path, runs: int) -> AsyncIterator[Subject]:
    """Run an engine on a paper account with agents before it; each run is that of another one.

    One agent would come to the limits of agents: its open sessions, its calls that are refused.
    """
    port = await free_port()
    config = folder / "mtquant.toml"
    config.write_text(_CONFIG)
    registry = Registry(folder / "state")
    tokens = [registry.add(_agent(f"suite-{number}")) for number in range(runs)]
    token = registry.add(_agent("inspector"))
    registry.add(_agent("reader", AgentScope.READ), token=False)
    words = [*_PROGRAM, "run", "--config", str(config), "--gateway", str(port)]
    looks = _looks_at_gateway(config, port, token)
    async with _running(words, port, folder / "log"):
        yield Subject("gateway", port, tokens, looks)


def _agent(name: str, *scopes: AgentScope) -> Agent:
    budget = AgentBudget(
        instruments=("*",),
        notional=Decimal(1_000_000),
        orders=100,
        loss=Decimal(10_000),
        strategies=("*",),
        calls_per_second=1000,
    )
    return Agent(name=name, scopes=scopes or tuple(AgentScope), mode=Mode.AUTO, budget=budget)


def _looks_at_gateway(config: Path, port: int, token: str) -> list[Look]:
    # The inspector takes an option --config for its own: the command finds the file where it runs.
    stdio = ("--cwd", str(config.parent), *_PROGRAM, "gateway", "--agent")
    modern = ("--protocol-era", "modern")
    looks = [
        look
        for over, at in (
            ("stdio", (*stdio, "inspector")),
            ("http", _url(port, token)),
            ("http 2026-07-28", (*_url(port, token), *modern)),
        )
        for look in (
            Look(over, (*at, "--method", "tools/list", "--strict"), says="propose_trade"),
            Look(over, (*at, *_call("get_portfolio")), says="structuredContent"),
            Look(over, (*at, *_call("get_quotes", 'symbols=["EUR/USD"]')), says='"EUR/USD"'),
            Look(over, (*at, *_call("preview_trade", *_ORDER)), says="structuredContent"),
            Look(over, (*at, *_gateway_order(over)), says='"filled"'),
            Look(over, (*at, *_gateway_order(over)), says='"filled"'),
            Look(over, (*at, *_call("get_order", "client_order_id=none-such")), _REFUSED),
            Look(over, (*at, "--method", "resources/list"), says="mtquant://portfolio"),
            Look(over, (*at, "--method", "resources/read", "--uri", "mtquant://risk")),
            Look(over, (*at, "--method", "prompts/list"), says="morning_briefing"),
        )
    ]
    order = _gateway_order("reader")
    return [*looks, Look("stdio", (*stdio, "reader", *order), _REFUSED, "tool_not_found")]


def _gateway_order(over: str) -> tuple[str, ...]:
    name = over.replace(" ", "-")
    return _call("place_order", *_ORDER, "stop_loss=0.5", f"client_order_id=i-{name}")


def _call(tool: str, *arguments: str) -> tuple[str, ...]:
    named = ("--tool-arg", *arguments) if arguments else ()
    return ("--method", "tools/call", "--tool-name", tool, *named)


def _url(port: int, token: str) -> tuple[str, ...]:
    bearer = f"Authorization: Bearer {token}"
    return (f"http://127.0.0.1:{port}/mcp", "--transport", "http", "--header", bearer)


@asynccontextmanager
async def _running(
    words: Sequence[str], port: int, log: Path, more: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[None]:
    with log.open("w") as said:
        process = await anyio.open_process(
            words, env=os.environ | more, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    async with process:
        try:
            if not await _listens(process, port):
                raise SystemExit(f"{' '.join(words)} does not listen:\n{_said(log)}")
            yield
        finally:
            if process.returncode is None:
                process.terminate()


async def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        return int(listener.extra(anyio.abc.SocketAttribute.local_port))  # noqa: S610 - anyio's


def _said(log: Path) -> str:
    return log.read_text(errors="replace")


async def _listens(process: anyio.abc.Process, port: int) -> bool:
    for _ in range(600):
        try:
            async with await anyio.connect_tcp("127.0.0.1", port):
                return True
        except OSError:
            if process.returncode is not None:
                break
            await anyio.sleep(0.1)
    return False
