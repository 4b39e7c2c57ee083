"""The paper server: every tool, its clock, its files, and what SIGKILL must not lose."""

# ruff: noqa: ANN401 - settings and arguments are of many types

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from mtquant import serving
from mtquant.clock import SECOND, ManualClock, Random, SystemClock, seeded
from mtquant.contract import Broker, Endpoint, Scope, Settings, Source, tools_of
from mtquant.errors import BrokerError, ConfigError, ErrorCode, Outcome, OutcomeUnknown, Refused
from mtquant.exchange import PaperSettings
from mtquant.ledger import Ledger
from mtquant.model import (
    Bars,
    CloseRequest,
    Fill,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    Stream,
    Timeframe,
)
from mtquant.wire import Remote, run_http, serve
from mtquant_brokers.paper import Paper
from mtquant_paper_server import __main__ as command
from mtquant_paper_server.broker import PaperBroker

pytestmark = pytest.mark.anyio
BEGIN = 1_700_000_040 * SECOND
MINUTE = 60 * SECOND
CLOSES = (1.1, 1.101, 1.102, 1.101, 1.095, 1.097, 1.099, 1.1, 1.103, 1.104)
EURUSD = "EURUSD.a"
SPELLING = {"suffix": ".a"}
TOKEN = "canary-token-of-the-paper-server"  # noqa: S105 - a canary


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Fixed(Source[Settings]):
    """Ten minutes of two symbols, each bar reaching 0.1 % beyond its opening and close."""

    name = "fixed"
    description = "ten minutes"

    def symbols(self) -> Sequence[str]:
        return ("EUR/USD", "USD/JPY")

    def timeframe(self) -> Timeframe:
        return Timeframe.M1

    def bars(self, symbol: str) -> Bars:
        closes = CLOSES if symbol == "EUR/USD" else tuple(100 * each for each in CLOSES)
        opens = (closes[0], *closes[:-1])
        return Bars(
            instrument=symbol,
            timeframe=Timeframe.M1,
            time=tuple(BEGIN + index * MINUTE for index in range(len(closes))),
            open=opens,
            high=tuple(max(pair) + 0.001 for pair in zip(opens, closes, strict=True)),
            low=tuple(min(pair) - 0.001 for pair in zip(opens, closes, strict=True)),
            close=closes,
            volume=(1.0,) * len(closes),
        )


def paper(folder: Path, now: ManualClock | None = None, **table: Any) -> PaperBroker:
    settings = PaperSettings.read({"spelling": SPELLING, "history": 1} | table, "settings")
    return PaperBroker(settings, Fixed(Settings()), folder, now or ManualClock(BEGIN))


@asynccontextmanager
async def remote(broker: Broker, folder: Path) -> AsyncIterator[Broker]:
    with closing(Ledger(folder / "ledger.db", ManualClock(1))) as ledger:
        async with Remote(serve(broker, ledger=ledger)) as connected:
            yield connected


@pytest.fixture(params=["direct", "remote"])
async def account(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    with closing(paper(tmp_path)) as broker:
        if request.param == "direct":
            yield broker
            return
        async with remote(broker, tmp_path) as connected:
            yield connected


def order(client_order_id: str = "a", **changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "client_order_id": client_order_id,
        "instrument": EURUSD,
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": Decimal(10_000),
    }
    return OrderRequest(**(values | changes))


def rests(client_order_id: str, **changes: Any) -> OrderRequest:
    values = {"order_type": OrderType.LIMIT, "limit_price": Decimal("1.05")} | changes
    return order(client_order_id, **values)


async def code_of(call: Any) -> ErrorCode:
    with pytest.raises(BrokerError) as caught:
        await call
    return caught.value.code


# --- every tool ------------------------------------------------------------------------------


def test_it_offers_every_tool_of_the_contract() -> None:
    assert set(tools_of(Broker)) - set(tools_of(PaperBroker)) == {"watch_quotes"}  # serve has it


async def test_it_tells_what_it_is_and_has(account: Broker) -> None:
    health = await account.get_health()
    assert (health.trading_allowed, health.time) == (True, BEGIN + MINUTE)
    assert (health.age(Stream.PRICES), health.process_id) == (0, os.getpid())
    capabilities = await account.get_capabilities()
    assert (capabilities.clock, capabilities.broker) == ("stepped", "paper")
    if isinstance(account, Remote):  # a server says it of its tools, not a broker
        assert set(capabilities.tools) == set(tools_of(Broker))
    (listed,) = (await account.list_accounts()).accounts
    assert listed == await account.get_account() == await account.get_account("paper")
    assert (listed.balance, listed.currency) == (Decimal(100_000), "USD")
    assert await code_of(account.get_account("other")) is ErrorCode.NOT_FOUND


async def test_it_speaks_the_brokers_spelling_everywhere(account: Broker) -> None:
    names = [each.instrument for each in (await account.search_instruments("")).instruments]
    assert names == [EURUSD, "USDJPY.a"]
    page = await account.search_instruments("usd", limit=1)
    rest = await account.search_instruments("usd", limit=1, cursor=page.next_cursor)
    assert [each.instrument for each in page.instruments + rest.instruments] == names
    assert rest.next_cursor is None
    assert (await account.get_instrument(EURUSD)).base == "EUR"
    (quote,) = (await account.get_quotes((EURUSD,))).quotes
    assert (quote.instrument, quote.bid) == (EURUSD, Decimal("1.09995"))
    request = order(stop_loss=Decimal("1.09"), take_profit=Decimal("1.2"))
    report = await account.place_order(request)
    (held,) = (await account.get_positions(EURUSD)).positions
    fills = (await account.list_fills()).fills
    changes = await account.get_changes()
    working = (await account.list_orders()).orders
    advanced = await account.advance_clock(BEGIN + 2 * MINUTE)
    assert [each.reason for each in working] == ["stop_loss", "take_profit"]
    spoken: list[Any] = [
        report,
        held,
        *fills,
        *report.fills,
        *changes.orders,
        *changes.fills,
        *working,
    ]
    assert {each.instrument for each in spoken} == {EURUSD}
    assert {each.position_id for each in spoken} == {EURUSD}
    assert {each.instrument for each in advanced.quotes} == set(names)
    bars = await account.get_bars(EURUSD, Timeframe.M1)
    assert bars.instrument == EURUSD
    assert "EUR/USD" not in repr([*spoken, advanced, bars])
    for call in (
        account.get_instrument("EUR/USD"),
        account.get_quotes(("EURUSD",)),
        account.get_positions("EUR/USD"),
        account.place_order(order("b", instrument="EUR/USD")),
        account.close_position(CloseRequest(client_order_id="d", position_id="EUR/USD")),
    ):
        assert await code_of(call) is ErrorCode.UNKNOWN_INSTRUMENT
    refused = CloseRequest(client_order_id="c", instrument="USDJPY.a")
    with pytest.raises(Refused) as caught:
        await account.close_position(refused)
    assert "USD/JPY" not in caught.value.message


async def test_orders_are_placed_found_listed_closed_and_cancelled(account: Broker) -> None:
    report = await account.place_order(order("a"))
    assert (report.status, report.average_price) == (OrderStatus.FILLED, Decimal("1.10005"))
    assert (await account.get_order(order_id=report.order_id)).fills == report.fills
    assert (await account.get_order(client_order_id="a")).order_id == report.order_id
    for name in "bcd":
        await account.place_order(rests(name))
    page = await account.list_orders(limit=2)
    assert [each.client_order_id for each in page.orders] == ["b", "c"]
    rest = await account.list_orders(limit=2, cursor=page.next_cursor)
    assert [each.client_order_id for each in rest.orders] == ["d"]
    assert rest.next_cursor is None
    cancelled = await account.cancel_order(client_order_id="c")
    assert (cancelled.status, cancelled.reason) == (OrderStatus.CANCELED, Reason.CANCELED_BY_CLIENT)
    (found,) = (await account.list_orders(status=OrderStatus.CANCELED)).orders
    assert found == cancelled
    half = CloseRequest(client_order_id="e", position_id=EURUSD, quantity=Decimal(4000))
    assert (await account.close_position(half)).filled_quantity == 4000
    closed = await account.close_position(CloseRequest(client_order_id="f", instrument=EURUSD))
    assert closed.filled_quantity == 6000
    assert (await account.get_positions()).positions == ()
    first = await account.list_fills(limit=2)
    second = await account.list_fills(since=first.next_cursor, limit=2)
    assert [each.client_order_id for each in first.fills + second.fills] == ["a", "e", "f"]
    assert (first.more, second.more) == (True, False)
    assert (await account.list_fills(since=second.next_cursor)).fills == ()
    assert (await account.list_fills(order_id=closed.order_id)).fills == closed.fills
    assert (await account.list_fills(instrument="USDJPY.a")).fills == ()
    assert await code_of(account.get_order(order_id="O99")) is ErrorCode.NOT_FOUND
    assert await code_of(account.cancel_order(order_id="O99")) is ErrorCode.NOT_FOUND
    assert await code_of(account.get_order()) is ErrorCode.INVALID_ARGUMENT
    assert await code_of(account.close_position(CloseRequest(client_order_id="g")))


async def test_a_close_that_names_two_positions_is_refused(account: Broker) -> None:
    await account.place_order(order("a"))
    close = CloseRequest(client_order_id="b", instrument=EURUSD, position_id="USDJPY.a")
    assert await code_of(account.close_position(close)) is ErrorCode.NOT_FOUND
    assert len((await account.get_positions()).positions) == 1


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "1", "9" * 64])
async def test_a_cursor_of_elsewhere_is_refused(account: Broker, cursor: str) -> None:
    for call in (account.get_changes(cursor), account.list_fills(cursor)):
        assert await code_of(call) is ErrorCode.INVALID_ARGUMENT


async def test_a_client_order_id_acts_once(tmp_path: Path) -> None:
    with closing(paper(tmp_path)) as broker:
        async with remote(broker, tmp_path) as account:
            first = await account.place_order(order("a"))
            assert await account.place_order(order("a")) == replace(first, replayed=True)
            other = order("a", quantity=Decimal(20_000))
            assert await code_of(account.place_order(other)) is ErrorCode.DUPLICATE_MISMATCH
            assert len((await account.list_fills()).fills) == 1
            assert await code_of(account.cancel_order(client_order_id="v")) is ErrorCode.NOT_FOUND
            assert await code_of(account.place_order(order("v"))) is ErrorCode.CONFLICT


# --- the clock -------------------------------------------------------------------------------


async def test_advancing_twice_is_advancing_once(account: Broker) -> None:
    await account.place_order(rests("a", limit_price=Decimal("1.096")))
    to = BEGIN + 5 * MINUTE
    first = await account.advance_clock(to)
    assert await account.advance_clock(to) == first
    assert await account.advance_clock(BEGIN) == first
    assert len((await account.list_fills()).fills) == 1


async def test_a_stop_loss_fills_on_the_way_and_is_reported_once(account: Broker) -> None:
    await account.place_order(order("a", stop_loss=Decimal("1.097")))
    cursor = (await account.get_changes()).cursor
    advanced = await account.advance_clock(BEGIN + 9 * MINUTE)
    changes = await account.get_changes(cursor)
    assert [(each.reason, each.price, each.time) for each in changes.fills] == [
        ("stop_loss", Decimal("1.097"), BEGIN + 5 * MINUTE)
    ]
    assert [(each.reason, each.status) for each in changes.orders] == [
        ("stop_loss", OrderStatus.FILLED)
    ]
    assert changes.cursor == advanced.cursor
    after = await account.get_changes(changes.cursor)
    assert (after.fills, after.orders, after.cursor) == ((), (), changes.cursor)


async def test_a_far_time_is_survived(account: Broker, tmp_path: Path) -> None:
    far = 250_000_000_000 * SECOND  # in the year 9892, beyond what SQLite's integers hold
    assert (await account.advance_clock(far)).time == far
    with closing(paper(tmp_path)) as again:
        assert not (await again.get_health()).trading_allowed


async def test_no_bar_is_shown_before_it_has_ended(account: Broker) -> None:
    for time in range(BEGIN + MINUTE, BEGIN + 12 * MINUTE, MINUTE // 2):
        await account.advance_clock(time)
        bars = await account.get_bars(EURUSD, Timeframe.M1)
        ended = [each for each in Fixed(Settings()).bars("EUR/USD").time if each + MINUTE <= time]
        assert list(bars.time) == ended
        (quote,) = (await account.get_quotes((EURUSD,))).quotes
        assert quote.mid == Decimal(str(bars.close[-1]))


async def test_bars_are_chosen_by_time_and_count(account: Broker) -> None:
    await account.advance_clock(BEGIN + 20 * MINUTE)
    minutes = [BEGIN + index * MINUTE for index in range(10)]

    async def times(**choice: Any) -> list[int]:
        return list((await account.get_bars(EURUSD, Timeframe.M1, **choice)).time)

    assert await times() == minutes
    assert await times(count=3) == minutes[-3:]
    assert await times(from_=minutes[2], to=minutes[7]) == minutes[2:7]
    assert await times(from_=minutes[2] + 1, to=minutes[7] + 1, count=2) == minutes[6:8]
    assert await times(from_=minutes[7], to=minutes[2]) == []
    assert await times(to=BEGIN) == []
    assert await code_of(account.get_bars(EURUSD, Timeframe.H1)) is ErrorCode.UNSUPPORTED


async def test_the_market_is_closed_when_the_prices_have_ended(account: Broker) -> None:
    await account.place_order(order("a"))
    await account.place_order(rests("b"))
    await account.advance_clock(BEGIN + 10 * MINUTE)
    health = await account.get_health()
    assert (health.trading_allowed, health.reason) == (False, "the recorded prices have ended")
    assert await code_of(account.place_order(order("c"))) is ErrorCode.MARKET_CLOSED
    close = CloseRequest(client_order_id="d", instrument=EURUSD)
    assert await code_of(account.close_position(close)) is ErrorCode.MARKET_CLOSED
    report = await account.cancel_order(client_order_id="b")
    assert report.status is OrderStatus.CANCELED


async def test_pages_of_changes_neither_skip_nor_repeat(account: Broker) -> None:
    rng = seeded(5)
    seen: list[str] = []
    newest: dict[str, OrderReport] = {}
    cursor: str | None = None
    for number in range(80):
        if number % 8 == 0:
            await account.advance_clock(BEGIN + MINUTE + number * MINUTE // 10)
        side = rng.choice(list(Side))
        loss = Decimal("1.1") - side.sign * Decimal(rng.randrange(8, 20)) / 1000
        await account.place_order(order(f"n{number}", side=side, stop_loss=loss))
        while rng.random() < 0.7:
            page = await account.get_changes(cursor, limit=rng.randint(1, 4))
            assert int(page.cursor) >= int(cursor or 0)
            cursor = page.cursor
            seen += [each.execution_id for each in page.fills]
            newest |= {each.order_id: each for each in page.orders}
    more = True
    while more:
        page = await account.get_changes(cursor, limit=rng.randint(1, 50))
        cursor, more = page.cursor, page.more
        seen += [each.execution_id for each in page.fills]
        newest |= {each.order_id: each for each in page.orders}
    assert seen == [each.execution_id for each in (await account.list_fills()).fills]
    for status in OrderStatus:
        for each in (await account.list_orders(status=status, limit=1000)).orders:
            assert newest[each.order_id] == each


async def test_a_long_poll_returns_when_something_changes(account: Broker) -> None:
    cursor = (await account.get_changes()).cursor
    got = []

    async def poll() -> None:
        got.append(await account.get_changes(cursor, wait_s=25))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(poll)
            await anyio.wait_all_tasks_blocked()
            assert not got
            await account.place_order(order("a"))
    (changes,) = got
    assert [each.client_order_id for each in changes.fills] == ["a"]
    assert (await account.get_changes(changes.cursor, wait_s=0.01)).orders == ()


async def test_a_long_poll_sees_what_another_process_does(tmp_path: Path) -> None:
    with closing(paper(tmp_path)) as one, closing(paper(tmp_path)) as two:
        got = []

        async def poll() -> None:
            got.append(await one.get_changes(wait_s=25))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(poll)
                await anyio.wait_all_tasks_blocked()
                await two.place_order(order("a"))
        assert [each.client_order_id for each in got[0].fills] == ["a"]


async def test_a_real_clock_passes_by_itself(tmp_path: Path) -> None:
    clock = ManualClock(5 * SECOND)
    with closing(paper(tmp_path, clock, clock="real", speed=60)) as broker:
        assert (await broker.get_health()).time == BEGIN + MINUTE
        assert await code_of(broker.advance_clock(BEGIN)) is ErrorCode.UNSUPPORTED
        await broker.place_order(order("a", stop_loss=Decimal("1.097")))
        clock.set(9 * SECOND)
        changes = await broker.get_changes()
        assert [each.reason for each in changes.fills] == [None, Reason.STOP_LOSS]
        assert (await broker.get_health()).time == BEGIN + 5 * MINUTE
    clock.set(11 * SECOND)
    with closing(paper(tmp_path, clock, clock="real", speed=60)) as again:
        assert (await again.get_health()).time == BEGIN + 7 * MINUTE
        clock.set(100 * SECOND)
        assert await code_of(again.place_order(order("b"))) is ErrorCode.MARKET_CLOSED


async def test_rebased_prices_begin_when_the_account_was_opened(tmp_path: Path) -> None:
    now = 2_000_000_000 * SECOND
    clock = ManualClock(now)
    for _ in range(2):  # the second opening, two minutes later, sees the same market
        with closing(paper(tmp_path, clock, clock="real", rebase=True, history=3)) as broker:
            bars = await broker.get_bars(EURUSD, Timeframe.M1)
            assert bars.time[2] + MINUTE == now
            assert len(bars) == 3 + (clock.now() - now) // MINUTE
        clock.set(now + 2 * MINUTE)


# --- the files -------------------------------------------------------------------------------


async def state(broker: Broker) -> list[Any]:
    orders = [(await broker.list_orders(status=each)).orders for each in OrderStatus]
    changes, fills = await broker.get_changes(), await broker.list_fills()
    positions, account = await broker.get_positions(), await broker.get_account()
    return [orders, changes, fills, positions, account, await broker.get_quotes((EURUSD,))]


async def test_a_restart_finds_the_same_account(tmp_path: Path) -> None:
    later = BEGIN + 3 * MINUTE
    with closing(paper(tmp_path)) as broker:
        await broker.place_order(order("a", stop_loss=Decimal("1.097")))
        await broker.place_order(rests("b", instrument="USDJPY.a", limit_price=Decimal(109)))
        await broker.advance_clock(later)
        before = await state(broker)
        with closing(paper(tmp_path)) as again:
            assert await state(again) == before
            expected = await again.advance_clock(later + 3 * MINUTE)
        assert await broker.advance_clock(later + 3 * MINUTE) == expected
    assert len(before[2].fills) == 1
    assert (tmp_path / "account.db").stat().st_mode & 0o077 == 0


async def test_what_fails_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(paper(tmp_path)) as broker:
        await broker.place_order(order("a", stop_loss=Decimal("1.097")))
        before = await state(broker)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(broker._store, "_write", full)
            with pytest.raises(OSError, match="space"):
                await broker.place_order(order("b"))
            with pytest.raises(OSError, match="space"):
                await broker.advance_clock(BEGIN + 6 * MINUTE)
            assert await state(broker) == before
        await broker.advance_clock(BEGIN + 6 * MINUTE)
        assert [each.reason for each in (await broker.list_fills()).fills] == [
            None,
            Reason.STOP_LOSS,
        ]


def lose(folder: Path, files: str) -> None:
    for file in folder.glob(files):
        file.unlink()


async def test_a_lost_clock_repeats_quiet_steps_alone(tmp_path: Path) -> None:
    """What a power loss may cost; the stop-loss fills in the fifth bar."""
    to = BEGIN + 8 * MINUTE
    with closing(paper(tmp_path)) as broker:
        await broker.place_order(order("a", stop_loss=Decimal("1.097")))
        for time in range(BEGIN, to, MINUTE):
            await broker.advance_clock(time)
        moved, whole = await broker.advance_clock(to), await state(broker)
    lose(tmp_path, "clock.db*")
    with closing(paper(tmp_path)) as again:
        assert (await again.get_health()).time == BEGIN + 5 * MINUTE
        assert await again.advance_clock(to) == moved
        assert await state(again) == whole


def reads(broker: PaperBroker) -> list[str]:
    """Return the statements that read the whole account, as they come."""
    seen: list[str] = []
    broker._store._db.set_trace_callback(
        lambda statement: seen.append(statement) if "body FROM orders" in statement else None
    )
    return seen


async def test_the_account_is_read_again_only_where_the_file_knows_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(paper(tmp_path)) as one, closing(paper(tmp_path)) as two:
        seen = reads(one)
        assert await code_of(one.place_order(order("a", quantity=Decimal(1))))
        await one.place_order(order("b"))
        await one.advance_clock(BEGIN + 2 * MINUTE)
        assert (await one.get_account()).balance == Decimal(100_000)
        assert seen == []
        await two.place_order(order("c"))
        assert len((await one.list_fills()).fills) == 2
        assert len(seen) == 1

        def fails(*_: object) -> None:
            raise Refused(ErrorCode.INTERNAL, "cannot")

        with monkeypatch.context() as patch:
            patch.setattr(one._store, "_write", fails)
            assert await code_of(one.place_order(order("d"))) is ErrorCode.INTERNAL
        assert (await one.get_positions()).positions == (await two.get_positions()).positions
        assert len(seen) == 2


async def test_a_quiet_step_commits_nothing_to_the_account(tmp_path: Path) -> None:
    with closing(paper(tmp_path)) as broker:
        await broker.place_order(order("a", stop_loss=Decimal("1.097")))
        seen: list[str] = []
        broker._store._db.set_trace_callback(seen.append)
        await broker.advance_clock(BEGIN + 3 * MINUTE)
        assert "COMMIT" not in seen
        await broker.advance_clock(BEGIN + 6 * MINUTE)
        assert "COMMIT" in seen


async def test_an_account_that_another_process_holds_is_refused_as_not_sent(
    tmp_path: Path,
) -> None:
    with closing(paper(tmp_path)) as broker:
        broker._store._db.execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(tmp_path / "account.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Refused, match="nothing was done") as caught:
                await broker.place_order(order("a"))
            assert caught.value.outcome is Outcome.NOT_SENT
            other.execute("ROLLBACK")
        await broker.place_order(order("a"))
        assert len((await broker.list_fills()).fills) == 1


def interleave(patch: pytest.MonkeyPatch, broker: PaperBroker, act: Callable[[], object]) -> None:
    """Let another process act just after ``broker`` has looked, and before it acts."""
    look = broker.sync
    acts = [act]

    def looked() -> None:
        look()
        if acts:
            acts.pop()()

    patch.setattr(broker, "sync", looked)


async def test_an_order_meets_the_prices_another_process_has_moved_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(paper(tmp_path)) as one, closing(paper(tmp_path)) as two:
        interleave(monkeypatch, two, lambda: one._advance(BEGIN + 3 * MINUTE))
        report = await two.place_order(order("a"))
        assert (report.average_price, report.submitted_at) == (
            Decimal("1.10205"),
            BEGIN + 3 * MINUTE,
        )
        assert (await one.get_order(client_order_id="a")) == report


async def test_changes_of_an_order_that_another_process_has_just_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(paper(tmp_path)) as one, closing(paper(tmp_path)) as two:

        def places() -> None:
            with one.command():
                one.exchange.place(replace(rests("a"), instrument="EUR/USD"), one._time)

        interleave(monkeypatch, two, places)
        (placed,) = (await two.get_changes()).orders
        assert placed == await one.get_order(client_order_id="a")


async def test_a_bar_is_matched_once_though_two_processes_advance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(paper(tmp_path)) as one, closing(paper(tmp_path)) as two:
        to = BEGIN + 6 * MINUTE

        def moves_and_buys() -> None:
            one._advance(to)
            with one.command():  # the stop lies in bars that are over: they must not reach it
                ours = replace(order("a"), instrument="EUR/USD", stop_loss=Decimal("1.096"))
                one.exchange.place(ours, one._time)

        interleave(monkeypatch, two, moves_and_buys)
        assert (await two.advance_clock(to)).time == to
        assert [each.client_order_id for each in (await two.list_fills()).fills] == ["a"]
        assert len((await two.get_positions()).positions) == 1


def test_settings_that_cannot_price_the_account_are_refused(tmp_path: Path) -> None:
    with closing(paper(tmp_path)) as broker:
        anyio.run(broker.place_order, order("a", instrument="USDJPY.a"))
    with pytest.raises(ConfigError, match="USD/JPY"):
        paper(tmp_path, symbols=["EUR/USD"])
    with pytest.raises(ConfigError, match=r"currency: 'JPY': .* kept in USD"):
        paper(tmp_path, currency="JPY")
    with pytest.raises(ConfigError, match="two symbols alike"):
        paper(tmp_path, spelling={"table": {"EUR/USD": "X", "USD/JPY": "X"}})


# --- SIGKILL ---------------------------------------------------------------------------------

DIES = """
import os, signal, sys
from pathlib import Path
import anyio
sys.path.insert(0, {root!r})
from tests.servers.test_paper import acts, paper

def die(folder, statement):
    broker, left = paper(folder), statement
    def count(_):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    broker._store._db.set_trace_callback(count)
    broker._store._clock.set_trace_callback(count)
    async def run():
        for act in acts(broker):
            await act()
            with open(folder / "acknowledged", "a") as file:
                file.write("x")
    anyio.run(run)

statement, status = 0, 1
while status:
    statement += 1
    folder = Path({folder!r}, str(statement))
    folder.mkdir()
    (folder / "acknowledged").touch()
    child = os.fork()
    if child == 0:
        die(folder, statement)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
"""


def acts(broker: PaperBroker) -> list[Callable[[], Awaitable[Any]]]:
    """Return what a client does: enter, rest, cancel, be stopped out, enter again, close."""
    close = CloseRequest(client_order_id="e", instrument=EURUSD)
    return [
        lambda: broker.place_order(order("a", stop_loss=Decimal("1.097"))),
        lambda: broker.place_order(rests("b")),
        lambda: broker.cancel_order(client_order_id="b"),
        lambda: broker.advance_clock(BEGIN + 3 * MINUTE),
        lambda: broker.advance_clock(BEGIN + 6 * MINUTE),
        lambda: broker.place_order(order("d", take_profit=Decimal("1.2"))),
        lambda: broker.close_position(close),
    ]


async def goes_on(broker: PaperBroker, done: int) -> None:
    """Do what is left to do after ``done`` acts; the first of it may have been done, too."""
    refusals = []
    for number, act in enumerate(acts(broker)[done:]):
        try:
            await act()
        except Refused as refusal:
            refusals.append((number, refusal.code))
    assert refusals in ([], [(0, ErrorCode.DUPLICATE_MISMATCH)], [(0, ErrorCode.NOT_FOUND)])


@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_death_before_any_statement_loses_and_doubles_nothing(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    with closing(paper(tmp_path / "whole")) as broker:
        await goes_on(broker, 0)
        whole = await state(broker)
    (tmp_path / "dies").mkdir()
    root = str(Path(__file__).parents[2])
    script = DIES.format(root=root, folder=str(tmp_path / "dies"))
    with anyio.fail_after(60):
        await anyio.run_process([sys.executable, "-c", script])
    deaths = sorted((tmp_path / "dies").iterdir(), key=lambda each: int(each.name))
    done = [len((each / "acknowledged").read_text()) for each in deaths]
    assert done == sorted(done)
    assert set(done) == set(range(8))
    for folder, acknowledged in zip(deaths, done, strict=True):
        with closing(paper(folder)) as broker:
            await goes_on(broker, acknowledged)
            assert await state(broker) == whole


def server(folder: Path, *arguments: str) -> Endpoint:
    settings = {
        "prices": {"plugin": "walk", "seed": 3, "bars": 4000, "timeframe": "M1"},
        "spelling": SPELLING,
        "commission_per_million": "20",
        "history": 1,
    }
    line = (sys.executable, "-m", "mtquant_paper_server", "--settings", json.dumps(settings))
    return Endpoint(command=(*line, "--state", str(folder), *arguments))


async def resolved(broker: Broker, client_order_id: str) -> OrderReport | None:
    """Look an order up until it is known what became of it."""
    with anyio.fail_after(20):
        while True:
            try:
                return await broker.get_order(client_order_id=client_order_id)
            except OutcomeUnknown:
                await anyio.lowlevel.checkpoint()
            except Refused as refusal:
                if refusal.code is ErrorCode.NOT_FOUND:
                    return None
                raise


@dataclass
class Client:
    """Places orders through three workers until the server dies, and remembers every answer."""

    rng: Random
    acknowledged: dict[str, OrderReport] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    adopted: int = 0
    voided: int = 0
    numbered: int = 0

    async def trade_until_killed(self, broker: Broker) -> None:
        health = await broker.get_health()
        self._left, self._time = self.rng.randint(1, 25), health.time
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(self._work, broker, health.process_id)

    async def _work(self, broker: Broker, process_id: int) -> None:
        while True:
            self.numbered += 1
            name = f"k{self.numbered}"
            try:
                if self.rng.random() < 0.2:
                    self._time += self.rng.randint(1, 5) * MINUTE
                    await broker.advance_clock(self._time)
                self.acknowledged[name] = await broker.place_order(self._order(name))
            except OutcomeUnknown:
                self.lost.add(name)
                return
            except Refused as refusal:
                if refusal.code is ErrorCode.NOT_CONNECTED and refusal.outcome is Outcome.NOT_SENT:
                    return
                raise
            self._left -= 1
            if self._left == 0:
                for _ in range(self.rng.randint(0, 400)):  # the others go on meanwhile
                    await anyio.lowlevel.checkpoint()
                os.kill(process_id, signal.SIGKILL)

    def _order(self, name: str) -> OrderRequest:
        side = self.rng.choice(list(Side))
        if self.rng.random() < 0.5:
            return order(name, side=side, quantity=Decimal(1000 * self.rng.randint(1, 9)))
        away = Decimal(self.rng.randint(0, 200)) / 100_000
        price = Decimal("1.1") - side.sign * away
        return rests(name, side=side, limit_price=price)

    async def check(self, broker: Broker) -> None:
        for name in sorted(self.lost):
            report = await resolved(broker, name)
            if report is not None:
                self.acknowledged[name] = report
                self.adopted += 1
                continue
            self.voided += 1
            with pytest.raises(Refused) as caught:
                await broker.cancel_order(client_order_id=name)
            assert caught.value.fenced
            assert await code_of(broker.place_order(order(name))) is ErrorCode.CONFLICT
        self.lost.clear()
        fills = await every_fill(broker)
        known = {each.execution_id for each in fills}
        assert len(known) == len(fills)
        orders: dict[str, OrderReport] = {}
        for each in await every_order(broker):
            if each.client_order_id is not None:
                assert each.client_order_id not in orders
                orders[each.client_order_id] = each
        assert set(orders) == set(self.acknowledged)
        for name, was in self.acknowledged.items():
            now = orders[name]
            assert (now.order_id, now.quantity) == (was.order_id, was.quantity)
            assert now == replace(was, replayed=False) or not was.status.terminal
            assert {each.execution_id for each in now.fills} <= known
        account = await broker.get_account()
        gained = sum((each.realized_profit - each.commission for each in fills), Decimal(0))
        assert account.balance == Decimal(100_000) + gained


async def every_fill(broker: Broker) -> list[Fill]:
    fills: list[Fill] = []
    cursor, more = None, True
    while more:
        page = await broker.list_fills(since=cursor)
        fills += page.fills
        cursor, more = page.next_cursor, page.more
    return fills


async def every_order(broker: Broker) -> list[OrderReport]:
    orders: list[OrderReport] = []
    for status in OrderStatus:
        cursor = None
        while True:
            page = await broker.list_orders(status=status, limit=1000, cursor=cursor)
            orders += page.orders
            cursor = page.next_cursor
            if cursor is None:
                break
    return orders


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.slow
@pytest.mark.parametrize("kills", [40])
async def test_sigkill_loses_no_acknowledged_order(
    kills: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    client = Client(seeded(kills))
    for _ in range(kills):
        async with Remote(server(tmp_path)) as broker:
            await client.check(broker)
            await client.trade_until_killed(broker)
    async with Remote(server(tmp_path)) as broker:
        await client.check(broker)
        fills = len(await every_fill(broker))
    assert client.acknowledged
    numbers = {
        "kills": kills,
        "acknowledged": len(client.acknowledged) - client.adopted,
        "fills": fills,
        "answer lost, order there": client.adopted,
        "answer lost, order void": client.voided,
    }
    record_property("sigkill", numbers)
    sys.stdout.write(f"{numbers}, acknowledged and lost: 0\n")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
async def test_two_servers_that_race_with_one_id_place_one_order(
    count: int, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        pair = [await stack.enter_async_context(Remote(server(tmp_path))) for _ in range(2)]
        answers: dict[str, list[OrderReport]] = {}

        async def place(broker: Broker, name: str) -> None:
            side = Side.BUY if int(name) % 2 else Side.SELL
            try:
                report = await broker.place_order(order(name, side=side))
            except OutcomeUnknown:  # the other server is still at it
                found = await resolved(broker, name)
                assert found is not None
                report = found
            answers.setdefault(name, []).append(report)

        for number in range(count):
            async with anyio.create_task_group() as group:
                for broker in pair:
                    group.start_soon(place, broker, str(number))
        for one, two in answers.values():
            assert replace(one, replayed=False) == replace(two, replayed=False)
        for broker in pair:
            fills = await every_fill(broker)
            assert sorted(each.client_order_id or "" for each in fills) == sorted(answers)
            assert len(fills) == count


# --- the command -----------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mtquant-paper-server", *arguments])
        with pytest.raises(SystemExit) as caught:
            command.main()
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('{"balance": "much"}', ("settings.balance", "'much'", "Correct")),
        ('{"balanse": "5"}', ("settings.balanse", "no such setting", "balance")),
        ('{"quantity_min": "1500"}', ("multiples of quantity_step", "Correct")),
        ('{"prices": {"plugin": "walks"}}', ("walks",)),
        ('{"prices": {}}', ("prices", "plugin")),
        ('{"prices": {"plugin": "walk", "bars": 0}}', ("settings.prices.bars", "0", "Correct")),
        ('{"symbols": ["EUR/XYZ"]}', ("EUR/XYZ",)),
        ('{"history": 5000}', ("history", "5000 bars", "Take fewer")),
        ('{"rebase": true}', ("rebase", "clock = real")),
        ('{"instruments": {"EUR/USD": {"spread_pips": -1}}}', ("instruments.EUR/USD", "-1")),
        ("{", ("--settings", "Correct")),
        ("[]", ("--settings", "JSON object", "Write")),
        ("@/nowhere/at/all.toml", ("--settings", "/nowhere/at/all.toml")),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    settings: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "--settings", settings, "--state", str(tmp_path / "state"))
    for word in words:
        assert word in line


def test_a_folder_or_a_port_that_cannot_be_had_is_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert "--state" in refused(capsys, "--state", str(blocked))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "account.db").write_text("no database" * 100)
    assert "--state" in refused(capsys, "--state", str(broken))
    fine = ("--state", str(tmp_path / "fine"))
    assert "--token env:MY_TOKEN" in refused(capsys, *fine, "--http", "0")
    assert "not set" in refused(capsys, *fine, "--http", "0", "--token", "env:NOT_THERE_AT_ALL")
    monkeypatch.setenv("PAPER_TOKEN", "short")
    assert "openssl" in refused(capsys, *fine, "--http", "0", "--token", "env:PAPER_TOKEN")


def test_help_shows_an_example_that_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mtquant-paper-server", "--help"])
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 0
    text = capsys.readouterr().out
    example = text[text.index("  mtquant-paper-server --state") :].replace("\\\n", " ")
    monkeypatch.setattr(sys, "argv", shlex.split(example))
    options = command.parser().parse_args(sys.argv[1:])
    settings = PaperSettings.read(serving.read_settings(options.settings), "settings")
    assert (settings.clock, settings.rebase) == ("real", True)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_read_only_offers_no_trading_tool(tmp_path: Path) -> None:
    async with Remote(server(tmp_path, "--read-only")) as broker:
        offered = (await broker.get_capabilities()).tools
        reads = [name for name, each in tools_of(Broker).items() if each.scope is Scope.READ]
        assert sorted(offered) == sorted(reads)
        assert await code_of(broker.place_order(order())) is ErrorCode.UNSUPPORTED
        assert await code_of(broker.advance_clock(BEGIN)) is ErrorCode.UNSUPPORTED
        assert (await broker.get_account()).balance == Decimal(100_000)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_http_answers_its_token_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAPER_TOKEN", TOKEN)
    line = ["--state", str(tmp_path), "--http", "0", "--token", "env:PAPER_TOKEN"]
    line += ["--settings", '{"history": 1}']
    options = command.parser().parse_args(line)
    account = command.make(serving.read_settings(options.settings), tmp_path)

    async def listen(*, task_status: Any) -> None:
        monkeypatch.setattr(serving, "run_http", partial(run_http, task_status=task_status))
        with closing(Ledger(tmp_path / "ledger.db", SystemClock())) as ledger:
            await serving._serve(account, ledger, options, "paper")

    async with anyio.create_task_group() as group:
        url = f"http://127.0.0.1:{await group.start(listen)}/mcp"
        async with Remote(Endpoint(url=url, token=TOKEN)) as broker:
            report = await broker.place_order(order(instrument="EURUSD"))
            assert report.status is OrderStatus.FILLED
        with pytest.raises(Refused) as caught:
            async with Remote(Endpoint(url=url, token="x" * 32)):
                pass
        assert caught.value.code is ErrorCode.AUTH_FAILED
        group.cancel_scope.cancel()


def test_the_plugin_starts_the_server_with_its_settings(tmp_path: Path) -> None:
    plugin = Paper(PaperSettings.read({"spelling": SPELLING, "balance": "5000"}, "broker"))
    (endpoint,) = plugin.endpoints("demo", str(tmp_path))
    values = dict(zip(endpoint.command[3::2], endpoint.command[4::2], strict=True))
    settings = PaperSettings.read(json.loads(values["--settings"]), "settings")
    assert (settings.account_id, settings.balance) == ("demo", Decimal(5000))
    assert (
        settings.spelling.broker_symbol("EUR/USD")
        == plugin.settings.spelling.broker_symbol("EUR/USD")
        == EURUSD
    )
    assert values["--state"] == str(tmp_path / "demo")


def test_the_readme_names_every_setting_and_its_examples_are_valid() -> None:
    readme = Path(__file__).parents[2] / "mcp_servers" / "paper" / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name in PaperSettings.model_fields:
        assert f"`{name}`" in text
    (example,) = (line for line in text.splitlines() if "--settings '" in line)
    PaperSettings.read(json.loads(example.split("'")[1]), "settings")


@pytest.mark.slow
def test_a_client_that_dies_before_its_answer_leaves_no_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    server_of = [sys.executable, "-m", "mtquant_paper_server", "--settings", "{}"]
    opening = {"protocolVersion": "2025-06-18", "capabilities": {}}
    opening["clientInfo"] = {"name": "mortal", "version": "1"}
    with subprocess.Popen(
        server_of,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        os.close(writing)
        assert server.stdin is not None
        assert server.stderr is not None

        def say(**message: object) -> None:
            server.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")  # type: ignore[union-attr]
            server.stdin.flush()  # type: ignore[union-attr]

        say(id=1, method="initialize", params=opening)
        assert b'"result"' in os.read(reading, 1 << 16)
        os.close(reading)
        say(method="notifications/initialized")
        say(id=2, method="tools/list")
        assert server.wait(20) == 0
        assert "Traceback" not in server.stderr.read()
