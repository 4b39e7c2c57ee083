"""What benchmarks/gateway.py measures: an engine behind a gateway, its broker's server, callers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, Self

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from mtquant.agents.registry import Registry
from mtquant.config import Config
from mtquant.contract import Agent, AgentBudget, AgentScope, Endpoint
from mtquant.exchange import PaperSettings
from mtquant.model import Mode
from mtquant_brokers.paper import Paper

PROGRAM = (sys.executable, "-m", "mtquant")
TOKEN = "benchmark-" * 3
SYMBOLS = ["EUR/USD", "GBP/USD", "USD/JPY"]
PAPER: dict[str, Any] = {
    "symbols": SYMBOLS,
    "clock": "real",
    "rebase": True,
    "history": 1000,
    "prices": {"plugin": "walk", "timeframe": "S1", "bars": 10_000},
}
_VERSION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
_START_S = 60
_IDS = count(1)


def table(folder: Path) -> dict[str, Any]:
    """Return the configuration of an engine on one paper account, with its state in ``folder``."""
    return {
        "engine": {"state_dir": str(folder)},
        "market": {"feed": "live", "timeframe": "S1"},
        "brokers": {"paper": {"plugin": "paper"} | PAPER},
        "risk": {"sizer": {"plugin": "fixed_fraction", "fraction": "0.001"}},
    }


def agent(name: str, *scopes: AgentScope) -> Agent:
    """Return an agent whom no budget of its own holds up."""
    budget = AgentBudget(
        instruments=("*",),
        notional=Decimal(10**9),
        orders=100_000,
        loss=Decimal(10**6),
        strategies=("*",),
        calls_per_second=1000,
    )
    return Agent(name=name, scopes=scopes or tuple(AgentScope), mode=Mode.AUTO, budget=budget)


@dataclass(frozen=True, slots=True)
class Place:
    """An engine that runs: its gateway's URL, its agents' tokens, its process."""

    folder: Path
    url: str
    tokens: Mapping[str, str]
    process_id: int


@asynccontextmanager
async def running(folder: Path, agents: Sequence[Agent]) -> AsyncIterator[Place]:
    """Start `mtquant run --gateway` with ``agents`` enrolled, as a process of its own."""
    registry = Registry(folder / "state")
    tokens = {each.name: registry.add(each) for each in agents}
    config = folder / "mtquant.toml"
    config.write_text(_toml(table(folder / "state")))
    Config.read(table(folder / "state"), "benchmark")
    port = await free_port()
    words = [*PROGRAM, "run", "--config", str(config), "--gateway", str(port)]
    async with _process(words, port, folder / "log") as process:
        yield Place(folder, f"http://127.0.0.1:{port}/mcp", tokens, process.pid)


@asynccontextmanager
async def broker_over_http(folder: Path) -> AsyncIterator[Endpoint]:
    """Start the paper server that stands behind the engine once more, by itself, over HTTP."""
    port = await free_port()
    words = [*broker_over_stdio(folder).command, "--http", str(port), "--token", "env:BENCHMARK"]
    async with _process(words, port, folder / "log"):
        yield Endpoint(url=f"http://127.0.0.1:{port}/mcp", token=TOKEN)


def broker_over_stdio(folder: Path) -> Endpoint:
    """Return how to start the paper server that stands behind the engine, by itself."""
    (endpoint,) = Paper(PaperSettings.read(PAPER, "benchmark")).endpoints("bench", str(folder))
    return endpoint


@asynccontextmanager
async def over_http(place: Place, name: str) -> AsyncIterator[Client]:
    """Connect to the gateway over HTTP as the agent called ``name``."""
    headers = {"authorization": f"Bearer {place.tokens[name]}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(place.url, http_client=http)) as client,
    ):
        yield client


@asynccontextmanager
async def over_stdio(place: Place, name: str) -> AsyncIterator[Client]:
    """Start `mtquant gateway` before the engine that runs, as a desktop client would."""
    words = ["gateway", "--config", str(place.folder / "mtquant.toml"), "--agent", name]
    program, *arguments = (*PROGRAM, *words)
    with (place.folder / "stdio.log").open("w") as said:
        stdio = stdio_client(StdioServerParameters(command=program, args=arguments), errlog=said)
        async with Client(stdio) as client:
            yield client


class Caller:
    """Calls tools by plain HTTP requests, which cost this process less than an MCP client does.

    ``errors`` counts what came back as anything but a result, ``said`` is the last one's text.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self.errors = 0
        self.said = ""
        self._http = httpx2.AsyncClient(
            headers={
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
                "authorization": f"Bearer {token}",
            },
            timeout=60,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=128),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
        """Call a tool of 2026-07-28; return its result, None where that is an error."""
        params = {"name": tool, "arguments": arguments, "_meta": _META}
        headers = {
            "mcp-protocol-version": _VERSION,
            "mcp-method": "tools/call",
            "mcp-name": tool,
        }
        result: dict[str, Any] = {}
        with suppress(httpx2.TransportError, ValueError):
            answer = await self._post("tools/call", params, headers)
            result = answer.json().get("result", {})
        if not result or result.get("isError"):
            self.errors += 1
            self.said = str(result.get("content", "no answer"))
            return None
        return result

    async def open_session(self) -> str:
        """Open a session of 2025-11-25 and return its id, empty where it was refused."""
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        }
        answer = await self._post("initialize", params, {})
        key = answer.headers.get("mcp-session-id", "")
        if key:
            body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            await self._http.post(self._url, json=body, headers={"mcp-session-id": key})
        return str(key)

    async def listen(self, key: str) -> None:
        """Hold the stream of a session open, on which nothing comes, until cancelled."""
        headers = {"mcp-session-id": key, "mcp-protocol-version": "2025-11-25"}
        async with self._http.stream("GET", self._url, headers=headers) as answer:
            async for _ in answer.aiter_bytes():
                pass

    async def _post(
        self, method: str, params: Mapping[str, Any], headers: Mapping[str, str]
    ) -> httpx2.Response:
        body = {"jsonrpc": "2.0", "id": next(_IDS), "method": method, "params": params}
        return await self._http.post(self._url, content=json.dumps(body), headers=headers)


@asynccontextmanager
async def _process(words: Sequence[str], port: int, log: Path) -> AsyncIterator[anyio.abc.Process]:
    with log.open("w") as said:
        process = await anyio.open_process(
            words,
            env=os.environ | {"BENCHMARK": TOKEN},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    async with process:
        try:
            await _listening(process, port, log)
            yield process
        finally:
            if process.returncode is None:
                process.terminate()


async def _listening(process: anyio.abc.Process, port: int, log: Path) -> None:
    with anyio.move_on_after(_START_S):
        while process.returncode is None:
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    return
            except OSError:
                await anyio.sleep(0.05)
    raise SystemExit(f"a server doesn't listen:\n{await anyio.Path(log).read_text()}")


async def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        return int(listener.extra(anyio.abc.SocketAttribute.local_port))  # noqa: S610 - anyio's


def resident_mb(process_id: int) -> float:
    """Return how much memory a process takes, in MB."""
    status = Path(f"/proc/{process_id}/status").read_text()
    (line,) = (each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _toml(tables: Mapping[str, Any]) -> str:
    """Return ``tables`` as TOML, whose values JSON writes, but for tables within tables."""

    def value(found: object) -> str:
        if isinstance(found, Mapping):
            rows = ", ".join(f"{key} = {value(each)}" for key, each in found.items())
            return f"{{ {rows} }}"
        return json.dumps(found)

    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {value(each)}\n" for key, each in rows.items())
        for name, rows in tables.items()
    )
