"""The gateway: what a call through it costs, 32 agents and a flood, 100 agents, memory, tokens.

    python benchmarks/gateway.py [--quick] [--minutes 1] [--only SECTION ...] [--check] [--json]

The engine, its gateway and its paper account run as a person would start them, in processes of
their own; the callers are in this one, which takes its share of the machine. Each figure stands
beside a reference of the same run: the broker's server itself, a bare server of the SDK with one
trivial tool, or the same without a load. ``--check`` ends with 1 where a cancel or a halt took 250
ms or longer under the load of 100 agents, or a call failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import round_trip
from gateway_ends import (
    Caller,
    Place,
    agent,
    broker_over_http,
    broker_over_stdio,
    over_http,
    over_stdio,
    resident_mb,
    running,
    table,
)
from mcp import Client, types
from rich.console import Console
from rich.table import Table
from round_trip import TOKEN, http_server

from mtquant.agents.desk import TOOLS, AgentDesk
from mtquant.agents.registry import Registry
from mtquant.assemble import assemble
from mtquant.clock import seeded
from mtquant.config import Config
from mtquant.contract import AgentScope
from mtquant.control.commands import Commands
from mtquant.engine import Engine, Observer
from mtquant.gateway import gateway
from mtquant.plugins import load_catalogue
from mtquant.wire import Remote

AGENTS = 32
MANY, EACH_PER_S = 100, 5.0
WORKERS = 64
"""How many requests of the flooding agent are under way at once."""
IDLE, OWNERS = 500, 10
LIMIT_MS = 250.0
SYMBOL = "EUR/USD"
QUOTE: tuple[str, Mapping[str, Any]] = ("get_quotes", {"symbols": [SYMBOL]})
BARE: tuple[str, Mapping[str, Any]] = ("get_quote", {"symbol": "EURUSD"})
MIX: Sequence[tuple[str, Mapping[str, Any]]] = (
    QUOTE,
    ("get_portfolio", {}),
    QUOTE,
    ("get_risk_status", {}),
    ("list_orders", {}),
    QUOTE,
    ("get_positions", {}),
    ("get_decisions", {"limit": 5}),
    QUOTE,
    ("get_bars", {"symbol": SYMBOL, "timeframe": "S1"}),
)
"""What an agent that watches its trading asks, again and again."""
Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; ``against`` names the reference, and the ratio is ours to it."""

    what: str
    ours: float
    reference: float | None = None
    against: str = ""

    @property
    def ratio(self) -> float | None:
        """Return how often the reference goes into our figure."""
        return round(self.ours / self.reference, 3) if self.reference else None


@dataclass(slots=True)
class Options:
    """How long it measures, and where it writes meanwhile."""

    folder: Path
    quick: bool
    minutes: float
    faults: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return how long a rate is measured."""
        return 2.0 if self.quick else 8.0

    def place(self, name: str) -> Path:
        """Return a new folder."""
        made = self.folder / name
        made.mkdir()
        return made


def ms(took: Sequence[float], part: float) -> float:
    """Return a percentile of ``took``, in seconds, as milliseconds."""
    ordered = sorted(took)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000, 2)


# --- what a call adds --------------------------------------------------------------------------


@asynccontextmanager
async def in_memory(folder: Path) -> AsyncIterator[Client]:
    """Run an engine in this process and connect to its gateway without a transport."""
    registry = Registry(folder)
    registry.add(agent("here"), token=False)
    config = Config.read(table(folder), "benchmark")
    made = assemble(
        config, load_catalogue(), seeded(1), Observer(), passive=True, agents=registry.agents
    )

    async def serve(*, task_status: anyio.abc.TaskStatus[AgentDesk]) -> None:
        async def feed(engine: Engine) -> None:
            task_status.started(AgentDesk(engine, Commands(engine), load_catalogue()))
            await made.feed(engine)

        await made.engine.run(feed)

    async with anyio.create_task_group() as group:
        desk = await group.start(serve)
        async with Client(gateway(desk, TOOLS, agent="here")) as client:
            yield client
        group.cancel_scope.cancel()


async def latency(options: Options) -> list[Row]:
    """Measure get_quotes of one symbol through the gateway, and of the broker's server itself."""
    taken: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(running(options.place("a"), [agent("one")]))
        direct = Remote(broker_over_stdio(options.place("b")))
        await stack.enter_async_context(direct)
        endpoint = await stack.enter_async_context(broker_over_http(options.place("c")))
        far = await stack.enter_async_context(Remote(endpoint))
        clients = {
            "in memory": await stack.enter_async_context(in_memory(options.place("d"))),
            "stdio": await stack.enter_async_context(over_stdio(place, "one")),
            "HTTP": await stack.enter_async_context(over_http(place, "one")),
        }
        tool, asked = QUOTE
        ends: dict[str, Call] = {
            "broker, stdio": partial(direct.get_quotes, ("EURUSD",)),
            "broker, HTTP": partial(far.get_quotes, ("EURUSD",)),
            **{name: partial(one.call_tool, tool, dict(asked)) for name, one in clients.items()},
        }
        for turn in range(3 if options.quick else 9):  # the first one warms up
            for name, call in ends.items():
                for _ in range(40):
                    started = time.perf_counter()
                    await call()
                    if turn:
                        taken.setdefault(name, []).append(time.perf_counter() - started)
    rows = []
    for name in clients:
        behind = "broker, HTTP" if name == "HTTP" else "broker, stdio"
        for label, part in (("p50", 0.5), ("p99", 0.99)):
            ours, reference = ms(taken[name], part), ms(taken[behind], part)
            what = f"get_quotes through the gateway, {name}, {label}, ms"
            rows.append(Row(what, ours, reference, f"the {behind}"))
        rows.append(
            Row(
                f"  which adds to the broker's server over stdio, {name}, p50, ms",
                round(ms(taken[name], 0.5) - ms(taken["broker, stdio"], 0.5), 2),
            )
        )
    return rows


# --- calls a second, and a flood ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rate:
    """What many callers came to within some seconds."""

    per_s: float
    p50_ms: float
    p99_ms: float
    slowest_to_fastest: float


async def rate(
    callers: Sequence[Caller], what: tuple[str, Mapping[str, Any]], seconds: float
) -> Rate:
    """Have each caller call again as soon as it is answered."""
    taken: list[list[float]] = [[] for _ in callers]
    begins = time.perf_counter() + 0.5
    ends = begins + seconds

    async def call(caller: Caller, mine: list[float]) -> None:
        while (started := time.perf_counter()) < ends:
            await caller.call(*what)
            if begins < started and (now := time.perf_counter()) < ends:
                mine.append(now - started)

    async with anyio.create_task_group() as group:
        for caller, mine in zip(callers, taken, strict=True):
            group.start_soon(call, caller, mine)
    counts = [len(mine) for mine in taken]
    every = [each for mine in taken for each in mine]
    return Rate(
        per_s=round(sum(counts) / seconds, 1),
        p50_ms=ms(every, 0.5),
        p99_ms=ms(every, 0.99),
        slowest_to_fastest=round(min(counts) / max(counts), 3),
    )


@asynccontextmanager
async def callers_of(url: str, tokens: Sequence[str]) -> AsyncIterator[list[Caller]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Caller(url, token)) for token in tokens]


@asynccontextmanager
async def flood(
    url: str, token: str, what: tuple[str, Mapping[str, Any]], seconds: float
) -> AsyncIterator[None]:
    """Have a process of its own call as fast as it can meanwhile, with many requests at once."""
    lasts = str(seconds + 3)
    words = [sys.executable, __file__, "--flood", url, token, json.dumps(what), lasts]
    async with await anyio.open_process(words, stdout=None, stderr=None) as process:
        await anyio.sleep(2)  # it starts
        yield
        await process.wait()


async def flooding(
    url: str, token: str, what: tuple[str, Mapping[str, Any]], seconds: float
) -> None:
    """Be that process."""
    ends = time.perf_counter() + seconds

    async def call(caller: Caller) -> None:
        while time.perf_counter() < ends:
            await caller.call(*what)

    async with Caller(url, token) as caller, anyio.create_task_group() as group:
        for _ in range(WORKERS):
            group.start_soon(call, caller)


async def rates(options: Options) -> list[Row]:
    """Measure 32 agents at once, alone and while another one floods."""
    names = [f"agent-{number}" for number in range(AGENTS)]
    seconds = options.seconds
    async with (
        running(options.place("rates"), [agent(each) for each in (*names, "flood")]) as place,
        http_server("http-bare", round_trip.__file__) as bare,
        callers_of(bare, [TOKEN] * AGENTS) as at_bare,
        callers_of(place.url, [place.tokens[each] for each in names]) as ours,
    ):
        plain = await rate(at_bare, BARE, seconds)
        quotes = await rate(ours, QUOTE, seconds)
        status = await rate(ours, ("get_portfolio", {}), seconds)
        async with flood(place.url, place.tokens["flood"], QUOTE, seconds):
            flooded = await rate(ours, QUOTE, seconds)
        async with flood(bare, TOKEN, BARE, seconds):
            plain_flooded = await rate(at_bare, BARE, seconds)
        errors = sum(each.errors for each in ours)
    if errors:
        options.faults.append(f"{errors} calls of {AGENTS} agents failed")
    sdk, self = "a bare SDK server, 32 callers", "the same without the flood"
    kept = round(plain_flooded.per_s / plain.per_s, 3)
    return [
        Row(f"{AGENTS} agents, get_quotes, calls/s", quotes.per_s, plain.per_s, sdk),
        Row(f"{AGENTS} agents, get_portfolio, calls/s", status.per_s, plain.per_s, sdk),
        Row(f"{AGENTS} agents, get_quotes, p99, ms", quotes.p99_ms, plain.p99_ms, sdk),
        Row(f"{AGENTS} agents, slowest / fastest", quotes.slowest_to_fastest,
            plain.slowest_to_fastest, sdk),
        Row("  under a flood, calls/s of the others", flooded.per_s, quotes.per_s, self),
        Row("  under a flood, p99 of the others, ms", flooded.p99_ms, quotes.p99_ms, self),
        Row("  under a flood, slowest / fastest of the others", flooded.slowest_to_fastest,
            quotes.slowest_to_fastest, self),
        Row("  share of the rate that the others keep", round(flooded.per_s / quotes.per_s, 3),
            kept, "a bare SDK server, flooded alike"),
    ]  # fmt: skip


# --- 100 agents, a cancel each second, a halt --------------------------------------------------


@dataclass(slots=True)
class Load:
    """What came of 100 agents; memory in MB by the seconds since the start."""

    taken: list[float] = field(default_factory=list)
    cancels: list[float] = field(default_factory=list)
    halts: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


async def at_pace(
    callers: Sequence[Caller],
    mix: Sequence[tuple[str, Mapping[str, Any]]],
    seconds: float,
    taken: list[float],
) -> None:
    """Have each caller call five times a second, at moments of its own.

    It waits for each answer: one that takes longer than 200 ms makes it late, and the calls less.
    """
    begun = time.perf_counter()

    async def pace(place: int, caller: Caller) -> None:
        for number in range(int(seconds * EACH_PER_S)):
            now = time.perf_counter() - begun
            if now >= seconds:
                return
            due = (number + place / len(callers)) / EACH_PER_S
            await anyio.sleep(max(0.0, due - now))
            await timed(caller, mix[(number + place) % len(mix)], taken)

    async with anyio.create_task_group() as group:
        for place, caller in enumerate(callers):
            group.start_soon(pace, place, caller)


async def timed(
    caller: Caller, what: tuple[str, Mapping[str, Any]], taken: list[float]
) -> dict[str, Any] | None:
    """Call once, and note how long it took."""
    started = time.perf_counter()
    answer = await caller.call(*what)
    taken.append(time.perf_counter() - started)
    return answer


async def cancelling(boss: Caller, taken: list[float], numbers: count[int]) -> None:
    """Each second have an order working, and cancel it."""
    while True:
        await cancelled(boss, taken, next(numbers))
        await anyio.sleep(1)


async def cancelled(boss: Caller, taken: list[float], number: int) -> None:
    """Place an order far below the market and time its cancel."""
    quote = await boss.call(*QUOTE)
    if quote is None:
        return
    bid = float(quote["structuredContent"]["quotes"][0]["bid"])
    name = f"bench-{number}"
    order = {
        "client_order_id": name,
        "symbol": SYMBOL,
        "side": "buy",
        "quantity": str(1000 * (1 + number % 50)),
        "limit_price": f"{bid * 0.995:.5f}",
        "rationale": "to be cancelled",
    }
    placed = await boss.call("place_order", order)
    if placed is not None and placed["structuredContent"]["status"] == "new":
        await timed(boss, ("cancel_order", {"client_order_id": name}), taken)


async def watching(place: Place, memory: list[tuple[float, float]]) -> None:
    """Look at the server's memory again and again."""
    begun = time.perf_counter()
    while True:
        memory.append((time.perf_counter() - begun, resident_mb(place.process_id)))
        await anyio.sleep(1)


async def many(options: Options) -> list[Row]:
    """Measure 100 agents at five calls a second, with cancels meanwhile and halts at the end."""
    names = [f"agent-{number}" for number in range(MANY)]
    seconds = 10.0 if options.quick else options.minutes * 60
    load, rest, plain = Load(), Load(), Load()
    numbers = count()
    async with (
        running(options.place("many"), [agent(each) for each in (*names, "boss")]) as place,
        http_server("http-bare", round_trip.__file__) as bare,
        callers_of(bare, [TOKEN] * MANY) as at_bare,
        callers_of(place.url, [place.tokens[each] for each in names]) as ours,
        callers_of(place.url, [place.tokens["boss"]]) as (boss,),
    ):
        await at_pace(at_bare, (BARE,), min(seconds, 15.0), plain.taken)
        for _ in range(5):
            await cancelled(boss, rest.cancels, next(numbers))
            await anyio.sleep(1)
        await at_pace(ours, MIX, 2.0, [])
        gc.collect()
        gc.disable()  # of this process, which would pause for what the servers don't
        async with anyio.create_task_group() as group:
            group.start_soon(cancelling, boss, load.cancels, numbers)
            group.start_soon(watching, place, load.memory)
            await at_pace(ours, MIX, seconds, load.taken)
            group.cancel_scope.cancel()
        gc.enable()
        await under_load(ours, boss, load)
        errors = sum(each.errors for each in ours)
    if errors or boss.errors:
        said = next((each.said for each in (boss, *ours) if each.said), "")
        counted = f"{errors} calls of {MANY} agents failed, {boss.errors} of the boss"
        options.faults.append(f"{counted}: {said}")
    slow = max(*load.cancels, *load.halts) * 1000
    if slow >= LIMIT_MS:
        options.faults.append(f"a cancel or a halt took {slow:.0f} ms")
    return rows_of(load, rest, plain, seconds, errors)


async def under_load(ours: Sequence[Caller], boss: Caller, load: Load) -> None:
    """Halt under the same load, which none of its agents' calls may outlive."""
    async with anyio.create_task_group() as group:
        group.start_soon(at_pace, ours, MIX, 5.0, [])
        await anyio.sleep(2)
        for _ in range(3):
            await timed(boss, ("halt_trading", {"reason": "a benchmark ends"}), load.halts)


def rows_of(load: Load, rest: Load, plain: Load, seconds: float, errors: int) -> list[Row]:
    """Return what 100 agents came to."""
    sdk = "a bare SDK server, the same load"
    what = f"{MANY} agents at {EACH_PER_S:g} calls/s for {seconds:g} s"
    still = ms(rest.cancels, 0.5)
    kept = [each for each in load.memory if each[0] > seconds / 3]
    times, sizes = np.array([each[0] for each in kept]), np.array([each[1] for each in kept])
    slope = float(np.polyfit(times, sizes, 1)[0]) * 60
    return [
        Row(f"{what}, calls ({errors} errors)", len(load.taken), MANY * EACH_PER_S * seconds,
            "what they wanted"),
        Row("  p50, ms", ms(load.taken, 0.5), ms(plain.taken, 0.5), sdk),
        Row("  p99, ms", ms(load.taken, 0.99), ms(plain.taken, 0.99), sdk),
        Row(f"  {len(load.cancels)} cancels meanwhile, p50, ms", ms(load.cancels, 0.5), still,
            "a cancel at rest"),
        Row("  cancels, p99, ms", ms(load.cancels, 0.99), LIMIT_MS, "the limit"),
        Row("  cancels, longest, ms", ms(load.cancels, 1), LIMIT_MS, "the limit"),
        Row(f"  {len(load.halts)} halts, longest, ms", ms(load.halts, 1), LIMIT_MS, "the limit"),
        Row("  memory at the end, MB", round(load.memory[-1][1], 1), round(load.memory[0][1], 1),
            "at the start"),
        Row("  memory, slope over the last two thirds, MB/min", round(slope, 2)),
    ]  # fmt: skip


# --- memory of idle sessions -------------------------------------------------------------------


async def idle(options: Options) -> list[Row]:
    """Measure 500 sessions of 2025-11-25 that nobody uses, of ten agents."""
    names = [f"agent-{number}" for number in range(OWNERS)]
    async with (
        running(options.place("idle"), [agent(each) for each in names]) as place,
        http_server("http-bare", round_trip.__file__) as bare,
        callers_of(bare, [TOKEN] * OWNERS) as at_bare,
        callers_of(place.url, [place.tokens[each] for each in names]) as ours,
    ):
        empty, plain = await sessions_of(at_bare, round_trip.LAST.pid)
        before, after, streams = await sessions_of(ours, place.process_id, streams=True)
    sdk = "a bare SDK server"
    return [
        Row("memory without a session, MB", round(before, 1), round(empty, 1), sdk),
        Row(f"  {IDLE} idle sessions add, MB", round(after - before, 1), round(plain - empty, 1),
            sdk),
        Row("  and with a stream open on each, MB", round(streams - before, 1),
            round(after - before, 1), "without streams"),
    ]  # fmt: skip


async def sessions_of(
    callers: Sequence[Caller], process_id: int, *, streams: bool = False
) -> list[float]:
    """Return the memory before, with 500 sessions, and with a stream on each of them."""
    for caller in callers:
        await caller.open_session()
    await anyio.sleep(1)
    found = [resident_mb(process_id)]
    opened = [
        (caller, await caller.open_session())
        for _ in range(IDLE // len(callers))
        for caller in callers
    ]
    if not all(key for _, key in opened):
        raise SystemExit("not every session was opened")
    await anyio.sleep(2)
    found.append(resident_mb(process_id))
    if streams:
        async with anyio.create_task_group() as group:
            for caller, key in opened:
                group.start_soon(caller.listen, key)
            await anyio.sleep(5)
            found.append(resident_mb(process_id))
            group.cancel_scope.cancel()
    return found


# --- tokens ------------------------------------------------------------------------------------

READ, PROPOSE, TRADE = AgentScope.READ, AgentScope.PROPOSE, AgentScope.TRADE
SCOPES: Mapping[str, tuple[AgentScope, ...]] = {
    "every": tuple(AgentScope),
    "reader": (READ,),
    "proposer": (READ, PROPOSE),
    "trader": (READ, PROPOSE, TRADE),
}
_TRADE = {"symbol": SYMBOL, "side": "buy"}
_WHY = {"stop_loss": "0.5", "rationale": "The trend of the last month goes on."}
ANSWERS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("get_portfolio", {}),
    QUOTE,
    ("get_bars", {"symbol": SYMBOL, "timeframe": "S1"}),
    ("preview_trade", _TRADE | {"stop_loss": "0.5"}),
    ("propose_trade", _TRADE | _WHY | {"client_order_id": "bench-tokens"}),
    ("get_decisions", {"limit": 5}),
    ("get_risk_status", {}),
)


async def tokens(options: Options) -> list[Row]:
    """Measure what a model has to read: the list of tools, and typical answers."""
    rows: list[Row] = []
    agents = [agent(name, *scopes) for name, scopes in SCOPES.items()]
    async with running(options.place("tokens"), agents) as place:
        full = 0
        for name, scopes in SCOPES.items():
            async with over_http(place, name) as client:
                found = (await client.list_tools()).tools
            size = listed_bytes(found)
            full = full or size
            what = f"tools/list, {len(found)} tools of {'+'.join(scopes)}, bytes"
            rows.append(Row(what, size, full, "that of every scope"))
        async with over_http(place, "every") as client:
            for tool, arguments in ANSWERS:
                answer = await client.call_tool(tool, dict(arguments))
                text = sum(len(each.text.encode()) for each in answer.content
                           if isinstance(each, types.TextContent))  # fmt: skip
                size = len(json.dumps(answer.structured_content, separators=(",", ":")).encode())
                if answer.is_error:
                    options.faults.append(f"{tool} failed: {answer.content}")
                rows.append(Row(f"{tool}, text, bytes", text, size, "its structured content"))
    return [
        Row(f"{each.what} (about {each.ours / 4:,.0f} tokens)", each.ours, each.reference,
            each.against)
        for each in rows
    ]  # fmt: skip


def listed_bytes(tools: Sequence[types.Tool]) -> int:
    """Return how many bytes a list of tools is on the wire."""
    page = types.ListToolsResult(tools=list(tools))
    return len(page.model_dump_json(by_alias=True, exclude_none=True).encode())


SECTIONS: Mapping[str, Callable[[Options], Awaitable[list[Row]]]] = {
    "latency": latency,
    "rates": rates,
    "many": many,
    "idle": idle,
    "tokens": tokens,
}


async def measure(options: Options, sections: Sequence[str]) -> dict[str, list[Row]]:
    """Measure each section, one after the other."""
    return {name: await SECTIONS[name](options) for name in sections}


def show(found: Mapping[str, Sequence[Row]]) -> None:
    """Print a table."""
    shown = Table("what", title="The gateway", title_justify="left")
    for name in ("ours", "reference", "ratio"):
        shown.add_column(name, justify="right")
    shown.add_column("against")
    for rows in found.values():
        for each in rows:
            figures = (each.ours, each.reference, each.ratio)
            shown.add_row(
                each.what, *("" if one is None else f"{one:,g}" for one in figures), each.against
            )
        shown.add_section()
    Console(width=140).print(shown)


def main() -> int:
    """Measure what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter, for a first impression")
    parser.add_argument("--minutes", type=float, default=1, help="how long 100 agents call")
    parser.add_argument("--only", nargs="+", choices=[*SECTIONS], default=[*SECTIONS])
    parser.add_argument("--check", action="store_true", help="exit with 1 where a limit is broken")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flood", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.disable(logging.INFO)
    if given.flood:
        url, token, what, seconds = given.flood
        anyio.run(flooding, url, token, json.loads(what), float(seconds))
        return 0
    with tempfile.TemporaryDirectory() as name:
        options = Options(Path(name), quick=given.quick, minutes=given.minutes)
        found = anyio.run(measure, options, given.only)
    if given.json:
        rows = {
            name: [asdict(each) | {"ratio": each.ratio} for each in one]
            for name, one in found.items()
        }
        sys.stdout.write(json.dumps({"rows": rows, "faults": options.faults}, indent=1) + "\n")
    else:
        show(found)
        for fault in options.faults:
            Console(stderr=True).print(fault, style="red")
    return 1 if given.check and options.faults else 0


if __name__ == "__main__":
    sys.exit(main())
