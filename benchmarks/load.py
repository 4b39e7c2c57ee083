"""Calls a second with 32 callers, memory, start-up and the size of the tool list.

The reference is a bare SDK server with one tool, in the same run.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import round_trip
from mcp import Client, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from rich.console import Console
from rich.table import Table
from round_trip import TOKEN, Call, Trivial, command, http_server

from mtquant.contract import Endpoint
from mtquant.exchange import PaperSettings
from mtquant.wire import Remote, serve
from mtquant_brokers.paper import Paper

CALLERS = 32
Row = dict[str, object]


async def rate(call: Call, seconds: float) -> float:
    """Return the calls a second that 32 callers make."""
    done = 0

    async def caller() -> None:
        nonlocal done
        while True:
            await call()
            done += 1

    async with anyio.create_task_group() as group:
        for _ in range(CALLERS):
            group.start_soon(caller)
        await anyio.sleep(0.5)
        before, started = done, time.perf_counter()
        await anyio.sleep(seconds)
        figure = (done - before) / (time.perf_counter() - started)
        group.cancel_scope.cancel()
    return figure


async def throughput(seconds: float) -> list[Row]:
    rows: list[Row] = []
    program, *arguments = command("stdio-bare")
    async with AsyncExitStack() as stack:
        bare_http = await stack.enter_async_context(http_server("http-bare"))
        ours_http = await stack.enter_async_context(http_server("http-ours"))
        stdio = stdio_client(StdioServerParameters(command=program, args=arguments))
        ends: dict[str, tuple[Client, Remote]] = {
            "stdio": (Client(stdio), Remote(Endpoint(command=command("stdio-ours")))),
            "http": (
                Client(streamable_http_client(bare_http)),
                Remote(Endpoint(url=ours_http, token=TOKEN)),
            ),
        }
        for transport, (client, remote) in ends.items():
            await stack.enter_async_context(client)
            await stack.enter_async_context(remote)
            bare = await rate(partial(client.call_tool, "get_quote", {"symbol": "E"}), seconds)
            ours = await rate(partial(remote.get_quotes, ("EURUSD",)), seconds)
            rows.append(row(f"{CALLERS} callers, {transport}, calls/s", ours, bare, 0))
    return rows


def row(what: str, ours: float, bare: float, digits: int) -> Row:
    return {
        "what": what,
        "ours": round(ours, digits),
        "bare SDK": round(bare, digits),
        "ratio": round(ours / bare, 2),
    }


async def listed(compact: bool) -> int:  # noqa: FBT001 - which of the two
    async with Client(serve(EveryTool(), compact=compact)) as client:
        page = types.ListToolsResult(tools=(await client.list_tools()).tools)
        return len(page.model_dump_json(by_alias=True, exclude_none=True).encode())


class EveryTool(Trivial):
    """Has every tool of the contract."""


def every_tool() -> None:
    from mtquant.contract import Broker, tools_of  # noqa: PLC0415 - only here

    for name in tools_of(Broker):
        if name not in tools_of(Trivial):

            async def tool(self: Broker, *_: object) -> None:
                raise NotImplementedError

            setattr(EveryTool, name, tool)


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = (each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def first_answer(endpoint: Endpoint) -> tuple[float, float]:
    """Return seconds from the start of a paper server to its first answer, and its memory."""
    started = time.perf_counter()
    async with Remote(endpoint) as remote:
        health = await remote.get_health()
        taken = time.perf_counter() - started
        await anyio.sleep(1)
        return taken, resident_mb(health.process_id)


async def first_bare() -> tuple[float, float]:
    started = time.perf_counter()
    async with http_server("http-bare") as url, Client(streamable_http_client(url)) as client:
        await client.call_tool("get_quote", {"symbol": "E"})
        taken = time.perf_counter() - started
        await anyio.sleep(1)
        return taken, resident_mb(round_trip.LAST.pid)


async def measure(seconds: float) -> list[Row]:
    rows = await throughput(seconds)
    with tempfile.TemporaryDirectory() as folder:
        settings = PaperSettings.read({"history": 100}, "benchmark")
        (endpoint,) = Paper(settings).endpoints("bench", folder)
        ours, bare = await first_answer(endpoint), await first_bare()
    rows.append(row("paper server, start to first answer, s", ours[0], bare[0], 2))
    rows.append(row("paper server, idle memory, MB", ours[1], bare[1], 0))
    every_tool()
    full, compact = await listed(compact=False), await listed(compact=True)
    rows.append({"what": "tools/list, bytes", "ours": full, "bare SDK": "", "ratio": ""})
    rows.append({"what": "tools/list, compact", "ours": compact, "bare SDK": "", "ratio": ""})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    rows = anyio.run(measure, options.seconds)
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    table = Table("what", title="A server under load and at rest", title_justify="left")
    for name in ("ours", "bare SDK", "ours / bare"):
        table.add_column(name, justify="right")
    for each in rows:
        table.add_row(*(str(value) for value in each.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
