"""Quotes a second that reach one client and twenty, by each way of getting them.

Twenty instruments whose prices change at every look, over HTTP. The reference is asking for all of
them again and again (get_quotes). A stream and a long poll are conflated to 40 batches a second by
design: what they save is the calls, and so the server's processor time, which is measured too.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import round_trip
from rich.console import Console
from rich.table import Table
from round_trip import TOKEN, Trivial, http_server

from mtquant.contract import Endpoint, Scope
from mtquant.model import Quote, QuoteBatch, Quotes
from mtquant.wire import Remote, run_http

SYMBOLS = tuple(f"SYM{number}" for number in range(20))
MOVES = count(1)
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Moving(Trivial):
    """Every look finds new prices."""

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        price = Decimal(next(MOVES)) / 1000
        return Quotes(
            quotes=tuple(
                Quote(instrument=each, bid=price, ask=price, time=0) for each in instruments
            )
        )


class Counter:
    """How many quotes came."""

    def __init__(self) -> None:
        self.quotes = 0

    def on_batch(self, batch: QuoteBatch) -> None:
        self.quotes += len(batch.quotes)


async def asked(remote: Remote, counter: Counter) -> None:
    while True:
        counter.quotes += len((await remote.get_quotes(SYMBOLS)).quotes)


async def long_polled(remote: Remote, counter: Counter) -> None:
    cursor: str | None = None
    while True:
        batch = await remote.watch_quotes(SYMBOLS, since=cursor)
        counter.on_batch(batch)
        cursor = batch.cursor


async def streamed(remote: Remote, counter: Counter) -> None:
    await remote.stream_quotes(SYMBOLS, counter.on_batch)


WAYS: dict[str, Callable[[Remote, Counter], Coroutine[Any, Any, None]]] = {
    "get_quotes, asked": asked,
    "watch_quotes, long poll": long_polled,
    "watch_quotes, stream": streamed,
}


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


async def timed(
    way: Callable[[Remote, Counter], Coroutine[Any, Any, None]], clients: int, seconds: float
) -> tuple[float, float]:
    """Return the quotes a second that reach all clients, and the server's share of a core."""
    counter = Counter()
    async with http_server("http-moving", __file__) as url, AsyncExitStack() as stack:
        endpoint = Endpoint(url=url, token=TOKEN)
        remotes = [
            await stack.enter_async_context(Remote(endpoint, timeout_s=60)) for _ in range(clients)
        ]
        async with anyio.create_task_group() as group:
            for remote in remotes:
                group.start_soon(way, remote, counter)
            await anyio.sleep(2)
            before, busy = counter.quotes, processor_seconds(round_trip.LAST.pid)
            started = anyio.current_time()
            await anyio.sleep(seconds)
            taken = anyio.current_time() - started
            rate = (counter.quotes - before) / taken
            busy = (processor_seconds(round_trip.LAST.pid) - busy) / taken
            group.cancel_scope.cancel()
    return rate, busy


async def measure(seconds: float) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for clients in (1, 20):
        first = 0.0
        for name, way in WAYS.items():
            rate, busy = await timed(way, clients, seconds)
            first = first or rate
            rows.append(
                {
                    "clients": clients,
                    "way": name,
                    "quotes_a_second": round(rate),
                    "ratio": round(rate / first, 2),
                    "server_processor": round(busy, 2),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    if options.serve:
        tokens = {TOKEN: frozenset(Scope)}
        anyio.run(partial(run_http, Moving(), tokens=tokens, port=int(options.serve[1])))
        return
    rows = anyio.run(measure, options.seconds)
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    table = Table("clients", "way", title="Quotes to clients, over HTTP", title_justify="left")
    for name in ("quotes/s, all", "ratio to asked", "server, of a core"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(str(each) for each in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
