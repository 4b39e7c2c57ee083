"""What the contract costs: a call through Remote against a bare call of the SDK, in one run.

    python benchmarks/round_trip.py [--calls 400] [--rounds 5] [--json]

Both servers, both clients and all transports are alive at once and take turns, so that whatever
else the machine does falls on all of them. The bare server has one trivial tool.
"""

from __future__ import annotations

import argparse
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from functools import partial
from itertools import count

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from mtquant.contract import Broker, Endpoint, Scope
from mtquant.model import (
    Capabilities,
    Environment,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Quote,
    Quotes,
    Side,
    TimeInForce,
)
from mtquant.wire import Remote, run_http, run_stdio, serve

TOKEN = "benchmark-" * 3
NUMBERS = count()
Call = Callable[[], Awaitable[object]]
LAST: anyio.abc.Process


class BareQuote(BaseModel):
    symbol: str
    bid: str
    ask: str
    time: str


def bare() -> MCPServer:
    app = MCPServer("bare", log_level="ERROR")

    @app.tool()
    async def get_quote(symbol: str) -> BareQuote:
        return BareQuote(symbol=symbol, bid="1.1", ask="1.2", time="2026-01-01T00:00:00Z")

    return app


class Trivial(Broker):
    """Fills every order at once and forgets it."""

    async def get_capabilities(self) -> Capabilities:
        return Capabilities(
            broker="trivial",
            environment=Environment.PAPER,
            order_types=(OrderType.MARKET,),
            time_in_force=tuple(TimeInForce),
        )

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        bid, ask = Decimal("1.1"), Decimal("1.2")
        quotes = tuple(Quote(instrument=each, bid=bid, ask=ask, time=0) for each in instruments)
        return Quotes(quotes=quotes)

    async def place_order(self, order: OrderRequest) -> OrderReport:
        return OrderReport(
            order_id="1",
            client_order_id=order.client_order_id,
            instrument=order.instrument,
            side=order.side,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            quantity=order.quantity,
            filled_quantity=order.quantity,
            remaining_quantity=Decimal(0),
            average_price=Decimal("1.1"),
            status=OrderStatus.FILLED,
            submitted_at=0,
            updated_at=0,
        )


def new_order() -> OrderRequest:
    return OrderRequest(
        client_order_id=f"c{next(NUMBERS)}",
        instrument="EURUSD",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal(1000),
    )


async def place(remote: Remote) -> None:
    await remote.place_order(new_order())


def child(kind: str, port: str) -> None:
    """Serve in this process, as the parent asked."""
    logging.disable(logging.INFO)
    if kind == "stdio-bare":
        bare().run("stdio")
    elif kind == "stdio-ours":
        anyio.run(run_stdio, serve(Trivial()))
    elif kind == "http-bare":
        bare().run("streamable-http", port=int(port))
    else:
        tokens = {TOKEN: frozenset(Scope)}
        anyio.run(partial(run_http, Trivial(), tokens=tokens, port=int(port)))


def command(kind: str, port: int = 0, script: str = __file__) -> tuple[str, ...]:
    return (sys.executable, script, "--serve", kind, str(port))


@asynccontextmanager
async def http_server(kind: str, script: str = __file__) -> AsyncIterator[str]:
    global LAST  # noqa: PLW0603 - whoever measures its memory asks for it
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = command(kind, port, script)
    LAST = process = await anyio.open_process(words, stdout=subprocess.DEVNULL, stderr=None)
    try:
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    break
            except OSError:
                await anyio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        await process.wait()


async def connect(stack: AsyncExitStack) -> dict[str, dict[str, Call]]:
    """Return the calls to be timed, by transport and by kind."""
    bare_http = await stack.enter_async_context(http_server("http-bare"))
    ours_http = await stack.enter_async_context(http_server("http-ours"))
    program, *arguments = command("stdio-bare")
    bare_stdio = stdio_client(StdioServerParameters(command=program, args=arguments))
    ends: dict[str, tuple[Client, Remote]] = {
        "memory": (Client(bare()), Remote(serve(Trivial()))),
        "stdio": (Client(bare_stdio), Remote(Endpoint(command=command("stdio-ours")))),
        "http": (
            Client(streamable_http_client(bare_http)),
            Remote(Endpoint(url=ours_http, token=TOKEN)),
        ),
    }
    calls: dict[str, dict[str, Call]] = {}
    for transport, (client, remote) in ends.items():
        await stack.enter_async_context(client)
        await stack.enter_async_context(remote)
        calls[transport] = {
            "bare SDK": partial(client.call_tool, "get_quote", {"symbol": "EURUSD"}),
            "get_quotes": partial(remote.get_quotes, ("EURUSD",)),
            "place_order": partial(place, remote),
        }
    return calls


async def measure(calls: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    samples: dict[tuple[str, str], list[float]] = {}
    async with AsyncExitStack() as stack:
        timed = await connect(stack)
        for turn in range(rounds + 1):  # the first round warms up
            for transport, kinds in timed.items():
                for name, call in kinds.items():
                    taken = samples.setdefault((transport, name), [])
                    for _ in range(calls if turn else calls // 4):
                        start = time.perf_counter()
                        await call()
                        if turn:
                            taken.append(time.perf_counter() - start)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for (transport, kind), taken in samples.items():
        taken.sort()
        median, tail = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
        result.setdefault(transport, {})[kind] = {
            "p50_ms": round(median * 1000, 3),
            "p99_ms": round(tail * 1000, 3),
        }
    for figures in result.values():
        for each in figures.values():
            each["ratio"] = round(each["p50_ms"] / figures["bare SDK"]["p50_ms"], 2)
    return result


def show(result: dict[str, dict[str, dict[str, float]]]) -> None:
    table = Table("transport", "call", title="Round trips, one caller")
    for name in ("p50 ms", "p99 ms", "p50 / bare SDK"):
        table.add_column(name, justify="right")
    for transport, kinds in result.items():
        for kind, each in kinds.items():
            figures = (f"{each['p50_ms']:.3f}", f"{each['p99_ms']:.3f}", f"{each['ratio']:.2f}")
            table.add_row(transport, kind, *figures)
        table.add_section()
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=400, help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        child(*options.serve)
        return
    logging.disable(logging.INFO)
    result = anyio.run(measure, options.calls, options.rounds)
    if options.json:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
    else:
        show(result)


if __name__ == "__main__":
    main()
