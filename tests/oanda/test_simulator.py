"""The server as its users run it, before a simulated OANDA over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from mtquant.clock import SystemClock
from mtquant.contract import Endpoint
from mtquant.errors import BrokerError, OutcomeUnknown
from mtquant.model import (
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    Stream,
    TimeInForce,
)
from mtquant.plugins import load_catalogue
from mtquant.testing import all_cases, run, wire
from mtquant.testing.run import Outcome, Run
from mtquant.testing.targets import NEWEST, OLDEST
from mtquant.wire import Remote
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.settings import OandaSettings
from mtquant_simulators.oanda import Faults, Limits, serving
from mtquant_simulators.oanda import OandaSettings as Simulated

TOKEN = "simulated-oanda-token"  # noqa: S105 - the simulator's own
NETTING, HEDGING = "101-001-1000001-001", "101-001-1000001-002"
SKIPS = {
    # Not in v20: ticks, stop-limit orders, trailing stops without a trade, a clock to be moved.
    "tool:get_ticks",
    "type:stop_limit",
    "type:trailing_stop",
    "clock:stepped",
    # The other kind of account.
    "mode:netting",
    "mode:hedging",
}


def endpoint(url: str, account: str, state: Path, **more: object) -> Endpoint:
    """Return the plugin's server of a simulated account."""
    table = {"account_id": account, "url": url, "options": {"settling_window_s": 5, **more}}
    plugin = load_catalogue().make("broker", "oanda", table, where="settings")
    (found,) = plugin.endpoints("main", str(state))
    return Endpoint(command=found.command, environment={"OANDA_TOKEN": TOKEN})


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("protocol", [NEWEST, OLDEST])
@pytest.mark.parametrize("account", [NETTING, HEDGING], ids=["netting", "hedging"])
def test_the_server_keeps_the_contract(account: str, protocol: str, tmp_path: Path) -> None:
    async def scene() -> Run:
        # Cases start servers one after the other, each with a pace of its own, and OANDA counts
        # them together; that one server keeps to a hundred is tested with the venue.
        async with serving(Simulated(limits=Limits(on=False))) as url:
            return await run(wire(endpoint(url, account, tmp_path), protocol=protocol))

    done = anyio.run(scene)
    failed = [f"{e.case.number}: {e.why}" for e in done.results if e.outcome is Outcome.FAILED]
    assert failed == []
    assert len(done.results) == len(all_cases())
    skipped = {
        e.why.removeprefix("not declared: ")
        for e in done.results
        if e.outcome is Outcome.SKIPPED and e.why.startswith("not declared")
    }
    assert skipped <= SKIPS


@asynccontextmanager
async def faulty(url: str) -> AsyncIterator[Callable[..., Any]]:
    """Return what switches the simulator's faults."""
    async with httpx2.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:

        async def switch(**faults: object) -> None:
            answer = await client.put("/admin/faults", json=faults)
            assert answer.is_success, answer.text

        yield switch


def buy(name: str, quantity: int = 1000) -> OrderRequest:
    return OrderRequest(
        client_order_id=name,
        instrument="EUR_USD",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal(quantity),
        time_in_force=TimeInForce.FOK,
    )


async def transactions(url: str, kind: str) -> list[dict[str, Any]]:
    """Return the simulator's own record of what happened to the account."""
    async with httpx2.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:
        path = f"/v3/accounts/{NETTING}/transactions/sinceid"
        answer = await client.get(path, params={"id": "0"})
        return [each for each in answer.json()["transactions"] if each["type"] == kind]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["drop_after", "error_after"])
def test_an_order_that_oanda_took_and_did_not_answer_is_found_and_not_sent_twice(
    fault: str, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with (
            serving(Simulated(admin=True, limits=Limits(on=False))) as url,
            faulty(url) as switch,
        ):
            at = endpoint(url, NETTING, tmp_path)
            async with Remote(at) as desk:
                await desk.get_account()
                await switch(next=[fault])
                with pytest.raises(OutcomeUnknown):
                    await desk.place_order(buy("in-doubt"))
            # The server has ended and a new one starts: what it knows is on disk, and at OANDA.
            async with Remote(at) as desk:
                report = await desk.get_order(client_order_id="in-doubt")
                assert report.status is OrderStatus.FILLED
                assert report.filled_quantity == Decimal(1000)
                again = await desk.place_order(buy("in-doubt"))
                assert (again.order_id, again.replayed) == (report.order_id, True)
                (held,) = (await desk.get_positions()).positions
                assert held.quantity == Decimal(1000)
            (made,) = await transactions(url, "MARKET_ORDER")
            assert made["clientExtensions"]["id"] == "in-doubt"

    anyio.run(scene)


@pytest.mark.slow
def test_an_order_that_oanda_never_took_is_proven_absent_and_made_void(tmp_path: Path) -> None:
    async def scene() -> None:
        async with (
            serving(Simulated(admin=True, limits=Limits(on=False))) as url,
            faulty(url) as switch,
        ):
            at = endpoint(url, NETTING, tmp_path, settling_window_s=1)
            async with Remote(at) as desk:
                await desk.get_account()
                await switch(next=["error_before"])
                with pytest.raises(OutcomeUnknown):
                    await desk.place_order(buy("lost"))
                cursor = (await desk.get_changes()).cursor
                fenced = False
                for _ in range(10):
                    try:
                        await desk.cancel_order(client_order_id="lost")
                    except BrokerError as error:
                        fenced = error.fenced
                    if fenced:
                        break
                    await desk.get_changes(since=cursor, wait_s=0.5)
                assert fenced
                with pytest.raises(BrokerError):
                    await desk.place_order(buy("lost"))
            assert await transactions(url, "MARKET_ORDER") == []

    anyio.run(scene)


@asynccontextmanager
async def near(url: str, **changes: object) -> AsyncIterator[OandaBroker]:
    table = {"account_id": NETTING, "url": url, **changes}
    settings = OandaSettings.read(table, "settings")
    async with OandaBroker(settings, TOKEN, SystemClock()) as broker:
        yield broker


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [Faults(cut_stream_after=2), Faults(silent_stream_after=1)],
    ids=["cut", "silent"],
)
def test_no_execution_is_missed_though_streams_break(faults: Faults) -> None:
    async def scene() -> None:
        quick = Simulated(faults=faults, heartbeat_s=0.2, limits=Limits(on=False))
        async with serving(quick) as url, near(url, silence_s=1.0) as broker:
            cursor = (await broker.get_changes()).cursor
            for number in range(5):
                await broker.place_order(buy(f"id-{number}"))
            page = await broker.get_changes(since=cursor)
            assert [each.client_order_id for each in page.fills] == [f"id-{n}" for n in range(5)]
            assert len(await transactions(url, "ORDER_FILL")) == 5

    anyio.run(scene)


@pytest.mark.slow
def test_what_another_does_to_the_account_comes_by_the_stream() -> None:
    async def scene() -> None:
        async with (
            serving(Simulated(limits=Limits(on=False))) as url,
            near(url) as ours,
            near(url) as theirs,
        ):
            cursor = (await ours.get_changes()).cursor
            async with anyio.create_task_group() as group:
                group.start_soon(theirs.place_order, buy("theirs"))
                page = await ours.get_changes(since=cursor, wait_s=20)
                while not page.fills:  # the order may come before its execution
                    page = await ours.get_changes(since=page.cursor, wait_s=20)
            (found,) = page.fills
            assert found.client_order_id == "theirs"
            health = await ours.get_health()
            age = health.age(Stream.TRANSACTIONS)
            assert age is not None

    anyio.run(scene)
