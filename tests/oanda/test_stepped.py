"""The server before a simulator whose time it moves, and before nothing else."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from tests.oanda.double import ACCOUNT, TOKEN, settings
from tests.simulators.desk import HEDGING, MINUTE, NETTING, START, Script
from tests.simulators.desk import TOKEN as SIMULATED

from mtquant.clock import SystemClock
from mtquant.contract import Endpoint
from mtquant.errors import BrokerError, ConfigError, ErrorCode, Outcome
from mtquant.model import OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from mtquant.testing import all_cases, run, wire
from mtquant.testing.run import Outcome as Ended
from mtquant.testing.run import Run
from mtquant.wire import serve
from mtquant_oanda_server.__main__ import make
from mtquant_oanda_server.settings import OandaSettings
from mtquant_oanda_server.stepped import SteppedOanda
from mtquant_simulators.oanda import OandaSettings as Simulated
from mtquant_simulators.oanda import serving

RISING = (1.1, 1.2, 1.3, 1.3)
STEPPED = {"clock": "stepped", "history": 0}
SKIPS = {
    "tool:get_ticks",
    "type:stop_limit",
    "type:trailing_stop",
    "clock:real",
    "mode:netting",
    "mode:hedging",
}
"""What v20 lacks, and what is of the other kind of clock or account."""


def told(url: str, account: str = NETTING, **changes: object) -> OandaSettings:
    table = {"account_id": account, "url": url, "clock": "stepped", **changes}
    return OandaSettings.read(table, "settings")


@asynccontextmanager
async def stepped(mids: tuple[float, ...] = RISING) -> AsyncIterator[SteppedOanda]:
    simulated = Simulated.read(STEPPED, "settings")
    async with (
        serving(simulated, source=Script(mids)) as url,
        SteppedOanda(told(url), SIMULATED, SystemClock()) as broker,
    ):
        yield broker


def limit(name: str, price: str, **changes: object) -> OrderRequest:
    fields = {
        "client_order_id": name,
        "instrument": "EUR_USD",
        "side": Side.SELL,
        "order_type": OrderType.LIMIT,
        "quantity": Decimal(100),
        "limit_price": Decimal(price),
        "time_in_force": TimeInForce.GTC,
    }
    return OrderRequest(**(fields | changes))  # type: ignore[arg-type]


def test_a_step_fills_what_fills_on_the_way_and_tells_of_one_moment() -> None:
    async def scene() -> None:
        async with stepped() as broker:
            assert (await broker.get_capabilities()).clock == "stepped"
            placed = await broker.place_order(limit("mine", "1.15"))
            before = (await broker.get_changes()).cursor
            moved = await broker.advance_clock(START + MINUTE)
            assert moved.time == moved.account.time == START + MINUTE
            assert (await broker.get_health()).time == START + MINUTE
            page = await broker.get_changes(since=before)
            assert [each.client_order_id for each in page.fills] == ["mine"]
            assert page.fills[0].time == START + MINUTE
            assert page.cursor == moved.cursor
            report = await broker.get_order(order_id=placed.order_id)
            assert report.status is OrderStatus.FILLED
            quotes = {each.instrument: each for each in moved.quotes}
            assert quotes["EUR_USD"].bid == Decimal("1.19990")
            assert (await broker.get_quotes(("EUR_USD",))).quotes == (quotes["EUR_USD"],)

    anyio.run(scene)


def test_what_is_held_is_worth_what_the_step_came_to() -> None:
    async def scene() -> None:
        async with stepped() as broker:
            market = {"order_type": OrderType.MARKET, "limit_price": None, "side": Side.BUY}
            fok = {"time_in_force": TimeInForce.FOK}
            await broker.place_order(limit("mine", "1", **market, **fok))
            before = await broker.get_account()
            moved = await broker.advance_clock(START + MINUTE)
            assert moved.account == await broker.get_account()
            assert moved.account.equity - before.equity == Decimal(10)  # 100 units, ten cents
            assert moved.account.balance == before.balance

    anyio.run(scene)


def test_what_another_moved_is_found_at_the_next_question() -> None:
    async def scene() -> None:
        simulated = Simulated.read(STEPPED, "settings")
        async with (
            serving(simulated, source=Script(RISING)) as url,
            SteppedOanda(told(url), SIMULATED, SystemClock()) as ours,
            SteppedOanda(told(url), SIMULATED, SystemClock()) as theirs,
        ):
            await ours.place_order(limit("mine", "1.15"))
            cursor = (await ours.get_changes()).cursor
            await theirs.advance_clock(START + 2 * MINUTE)
            page = await ours.get_changes(since=cursor, wait_s=20)
            assert [each.client_order_id for each in page.fills] == ["mine"]
            assert (await ours.advance_clock(START + MINUTE)).time == START + 2 * MINUTE

    anyio.run(scene)


def test_an_order_expires_by_the_venues_time() -> None:
    async def scene() -> None:
        async with stepped() as broker:
            gtd = {"time_in_force": TimeInForce.GTD, "expire_time": START + 2 * MINUTE}
            await broker.place_order(limit("gtd", "2", **gtd))
            await broker.advance_clock(START + MINUTE)
            late = {"time_in_force": TimeInForce.GTD, "expire_time": START + MINUTE // 2}
            with pytest.raises(BrokerError) as caught:
                await broker.place_order(limit("late", "2", **late))
            assert "expire_time" in caught.value.message
            await broker.advance_clock(START + 3 * MINUTE)
            report = await broker.get_order(client_order_id="gtd")
            assert report.status is OrderStatus.EXPIRED

    anyio.run(scene)


def test_more_than_a_hundred_steps_a_second_wait_for_no_turn() -> None:
    async def scene() -> None:
        async with stepped((1.1,) * 300) as broker:
            for minute in range(1, 200):
                await broker.advance_clock(START + minute * MINUTE)
            health = await broker.get_health()
            assert (health.rate_limit_left, health.time_offset_s) == (None, None)

    anyio.run(scene)


def test_a_simulator_whose_time_passes_is_refused_before_anything_else_is_asked() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(404, json={"errorMessage": "Not Found"})

    async def scene() -> BrokerError:
        transport = httpx2.MockTransport(answer)
        broker = SteppedOanda(settings(clock="stepped"), TOKEN, SystemClock(), transport=transport)
        async with broker:
            with pytest.raises(BrokerError) as caught:
                await broker.advance_clock(START)
            return caught.value

    error = anyio.run(scene)
    assert (error.code, error.outcome) == (ErrorCode.UNSUPPORTED, Outcome.NOT_SENT)
    assert "http://127.0.0.1:9" in error.message
    assert asked == ["/admin/clock"]


def test_oandas_own_hosts_have_no_clock_to_be_moved(tmp_path: Path) -> None:
    for environment in ("practice", "live"):
        own = {"account_id": ACCOUNT, "clock": "stepped", "environment": environment}
        with pytest.raises(ConfigError, match=r"settings\.clock.*url names none"):
            OandaSettings.read(own, "settings").check()
        with pytest.raises(ConfigError, match=r"settings\.clock"):
            make(own, tmp_path)
        with pytest.raises(ConfigError, match=r"settings\.clock"):
            SteppedOanda(OandaSettings.read(own, "settings"), TOKEN, SystemClock())
    away = {"account_id": ACCOUNT, "clock": "stepped", "url": "https://api-fxtrade.oanda.com"}
    with pytest.raises(ConfigError, match="loopback"):
        OandaSettings.read(away, "settings").check()
    with pytest.raises(ConfigError, match="passes by itself"):
        SteppedOanda(settings(), TOKEN, SystemClock())


def test_the_tool_is_listed_before_a_stepped_simulator_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OANDA_TOKEN", SIMULATED)

    async def offered(clock: str) -> bool:
        simulated = Simulated.read({"clock": clock}, "settings")
        async with serving(simulated) as url:
            made = make({"account_id": NETTING, "url": url, "clock": clock}, tmp_path)
            async with made, Client(serve(made)) as client:
                return "advance_clock" in {each.name for each in (await client.list_tools()).tools}

    assert anyio.run(offered, "stepped")
    assert not anyio.run(offered, "real")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("account", [NETTING, HEDGING], ids=["netting", "hedging"])
def test_the_contract_is_kept_where_time_is_moved(account: str, tmp_path: Path) -> None:
    async def scene() -> Run:
        async with serving(Simulated(clock="stepped")) as url:
            table = told(url, account, settling_window_s=5).model_dump_json()
            words = ("--settings", table, "--state", str(tmp_path))
            command = (sys.executable, "-m", "mtquant_oanda_server", *words)
            return await run(
                wire(Endpoint(command=command, environment={"OANDA_TOKEN": SIMULATED}))
            )

    done = anyio.run(scene)
    failed = [f"{e.case.number}: {e.why}" for e in done.results if e.outcome is Ended.FAILED]
    assert failed == []
    assert len(done.results) == len(all_cases())
    skipped = {
        e.why.removeprefix("not declared: ")
        for e in done.results
        if e.outcome is Ended.SKIPPED and e.why.startswith("not declared")
    }
    assert skipped <= SKIPS
