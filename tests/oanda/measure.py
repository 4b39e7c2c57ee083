"""Figures of the server against the simulator: ``python -m tests.oanda.measure``.

Each is a ratio to a named reference of the same run: a bare oandapyV20 call, in a thread, to the
same simulator, which answers from this process.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
from oandapyV20 import API
from oandapyV20.endpoints.accounts import AccountSummary
from oandapyV20.endpoints.orders import OrderCreate
from tests.oanda.double import Double, desk, until
from tests.oanda.test_simulator import NETTING, TOKEN, buy, endpoint
from tests.oanda.test_soak import TICKS, Ticks

from mtquant.clock import SystemClock
from mtquant.model import OrderRequest, QuoteBatch, Side
from mtquant.wire import Remote
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.settings import OandaSettings
from mtquant_simulators.oanda import Limits, serving
from mtquant_simulators.oanda import OandaSettings as Simulated

CALLS, SECONDS = 200, 20
PAUSE_S = 0.012
"""Between two calls: OANDA takes 100 requests a second, and the server keeps to that."""
CLOCK = SystemClock()


async def timed(act: Callable[[int], Awaitable[object]], times: int = CALLS) -> tuple[float, float]:
    """Return the 50th and the 99th percentile of ``act``, in milliseconds."""
    taken = []
    for number in range(times):
        started = CLOCK.monotonic()
        await act(number)
        taken.append(1000 * (CLOCK.monotonic() - started))
        await anyio.sleep(PAUSE_S)
    taken.sort()
    return taken[len(taken) // 2], taken[int(0.99 * len(taken))]


def turn(name: str, number: int) -> OrderRequest:
    """Return an order to buy a unit or to sell it again, so that no trades pile up."""
    return replace(buy(name, 1), side=Side.SELL if number % 2 else Side.BUY)


def tell(what: str, found: tuple[float, float], against: tuple[float, float] | None = None) -> None:
    ratio = "" if against is None else f"  {found[0] / against[0]:.2f} of bare oandapyV20"
    sys.stdout.write(f"{what:<46} p50 {found[0]:7.2f} ms  p99 {found[1]:7.2f} ms{ratio}\n")


def resident_kb(pid: int) -> int:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


async def bare(url: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what a read and an order cost by oandapyV20 alone, at the netting account."""
    api = API(access_token=TOKEN, environment="practice")
    # It takes no address of its own: its table of hosts is what it reads.
    from oandapyV20.oandapyV20 import TRADING_ENVIRONMENTS  # noqa: PLC0415 - read here alone

    TRADING_ENVIRONMENTS["practice"] = {"api": url, "stream": url}

    async def read(_: int) -> None:
        await anyio.to_thread.run_sync(api.request, AccountSummary(NETTING))

    async def order(number: int) -> None:
        units = "1" if number % 2 else "-1"
        body = {"order": {"type": "MARKET", "instrument": "EUR_USD", "units": units}}
        await anyio.to_thread.run_sync(api.request, OrderCreate(NETTING, data=body))

    await read(0)
    return await timed(read), await timed(order)


async def calls() -> None:
    """Measure calls, on a quiet market."""
    async with serving(Simulated(limits=Limits(on=False))) as url:
        read, order = await bare(url)
        tell("read, bare oandapyV20", read)
        tell("market order, bare oandapyV20", order)
        near = OandaSettings(account_id=NETTING, url=url)
        async with OandaBroker(near, TOKEN, CLOCK) as broker:
            await broker.get_account()
            await anyio.sleep(2)  # the streams are open by then
            tell("get_account, our broker", await timed(lambda _: broker.get_account()), read)
            placed = await timed(lambda n: broker.place_order(turn(f"near-{n}", n)))
            tell("place_order, our broker", placed, order)
        with tempfile.TemporaryDirectory() as folder:
            async with Remote(endpoint(url, NETTING, Path(folder))) as desk:
                await desk.get_account()
                await anyio.sleep(2)
                health = await timed(lambda _: desk.get_quotes(()))
                tell("MCP alone: a call that asks nothing", health)
                tell("get_account, over MCP", await timed(lambda _: desk.get_account()), read)
                placed = await timed(lambda n: desk.place_order(turn(f"wire-{n}", n)))
                tell("place_order, over MCP with the ledger", placed, order)


async def stream() -> None:
    """Measure quotes, on a market that moves as fast as the simulator can."""
    settings = Simulated(
        limits=Limits(on=False),
        poll_s=0.001,
        conflate_s=0,
        speed=100,
        prices={"plugin": "walk", "timeframe": "S1", "bars": 100_000},
    )
    with tempfile.TemporaryDirectory() as folder:
        async with serving(settings) as url, Remote(endpoint(url, NETTING, Path(folder))) as desk:
            found = (await desk.search_instruments("")).instruments
            pid = (await desk.get_health()).process_id
            before, seen = resident_kb(pid), list[QuoteBatch]()
            await desk.stream_quotes(
                tuple(each.instrument for each in found), seen.append, for_s=SECONDS
            )
            moved = sum(len(each.quotes) for each in seen)
            sys.stdout.write(f"quotes a second, stream to client: {moved / SECONDS:.0f}")
            sys.stdout.write(f" in {len(seen) / SECONDS:.0f} batches\n")
            sys.stdout.write(f"server's memory: {before} kB, after: {resident_kb(pid)} kB\n")


async def lines() -> None:
    """Measure how fast the stream's lines become quotes, with no network in between."""
    double, ticks = Double(), Ticks()
    double.price_streams = [ticks]
    async with desk(double, silence_s=60) as broker:
        await broker.get_quotes(("EUR_USD",))
        started = CLOCK.monotonic()
        await until(lambda: ticks.sent == TICKS)
        taken = CLOCK.monotonic() - started
    sys.stdout.write(f"lines of the price stream taken in: {TICKS / taken:.0f} a second\n")


async def main() -> None:
    await lines()
    await calls()
    await stream()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(f"this process, with the simulator in it: {peak} kB at most\n")


if __name__ == "__main__":
    anyio.run(main)
