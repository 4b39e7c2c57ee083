"""The paper account on bids and asks, on ticks, and on a bad day."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mtquant.clock import SECOND, ManualClock, parse_time
from mtquant.contract import Broker
from mtquant.errors import BrokerError, OutcomeUnknown, Refused
from mtquant.exchange import PaperSettings
from mtquant.model import (
    CashFlowKind,
    OrderRequest,
    OrderType,
    PriceSide,
    Side,
    Stream,
    Timeframe,
)
from mtquant.plugins import load_catalogue
from mtquant.wire import Remote, serve
from mtquant_paper_server.broker import PaperBroker

pytestmark = pytest.mark.anyio
START = parse_time("2026-01-05T00:00:00Z")
MINUTE = 60 * SECOND
D = Decimal


def paper(folder: Path, prices: dict[str, Any], **table: Any) -> PaperBroker:  # noqa: ANN401 - settings
    settings = PaperSettings.read({"prices": prices} | table, "test")
    given = dict(prices)
    source = load_catalogue().make("source", given.pop("plugin"), given, where="prices")
    return PaperBroker(settings, source, folder / "account", ManualClock(START))


def bars_file(folder: Path, name: str, *rows: str) -> str:
    path = folder / name
    lines = ["time,open,high,low,close"]
    lines += [f"2026-01-05T00:0{index}:00Z,{row}" for index, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def order(name: str, **changes: Any) -> OrderRequest:  # noqa: ANN401 - fields of many types
    fields: dict[str, Any] = {
        "client_order_id": name,
        "instrument": "EURUSD",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": D(1000),
    }
    return OrderRequest(**(fields | changes))


async def test_orders_meet_the_side_they_trade_at(tmp_path: Path) -> None:
    prices = {
        "plugin": "csv",
        "timeframe": "M1",
        "files": {
            "EUR/USD": bars_file(tmp_path, "bid.csv", "1.1,1.1,1.1,1.1", "1.1,1.104,1.1,1.1")
        },
        "ask_files": {
            "EUR/USD": bars_file(
                tmp_path, "ask.csv", "1.102,1.102,1.102,1.102", "1.102,1.106,1.102,1.102"
            )
        },
    }
    with closing(paper(tmp_path, prices, history=1)) as account:
        bought = await account.place_order(order("a"))
        assert bought.average_price == D("1.102")
        waits = await account.place_order(
            order("b", order_type=OrderType.STOP, stop_price=D("1.1055"))
        )
        await account.advance_clock(START + 2 * MINUTE)
        assert (await account.get_order(waits.order_id)).average_price == D("1.1055")
        for side, close in ((PriceSide.BID, 1.1), (PriceSide.ASK, 1.102), (PriceSide.MID, 1.101)):
            bars = await account.get_bars("EURUSD", Timeframe.M1, price=side)
            assert bars.close[-1] == pytest.approx(close)
        with pytest.raises(Refused, match="mid, bid and ask"):
            await account.get_bars("EURUSD", Timeframe.M1, price=PriceSide.LAST)


async def test_orders_meet_every_tick_and_ticks_are_told(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text(
        "time,bid,ask\n"
        "2026-01-05T00:00:01Z,1.1000,1.1002\n"
        "2026-01-05T00:00:02Z,1.0900,1.0902\n"
        "2026-01-05T00:00:03Z,1.1100,1.1102\n"
        "2026-01-05T00:01:01Z,1.1100,1.1102\n"
    )
    prices = {"plugin": "csv", "timeframe": "M1", "tick_files": {"EUR/USD": str(path)}}
    with closing(paper(tmp_path, prices)) as account:
        await account.advance_clock(START + SECOND)
        waits = await account.place_order(
            order("a", order_type=OrderType.LIMIT, limit_price=D("1.095"))
        )
        await account.advance_clock(START + 3 * SECOND)
        filled = await account.get_order(waits.order_id)
        assert (filled.average_price, filled.updated_at) == (D("1.0902"), START + 2 * SECOND)
        ticks = await account.get_ticks("EURUSD")
        assert ticks.bid == (1.1, 1.09, 1.11)
        assert (await account.get_ticks("EURUSD", count=1)).time == (START + 3 * SECOND,)
        assert (await account.get_ticks("EURUSD", to=START + 2 * SECOND)).bid == (1.1,)
        assert (await account.get_health()).age(Stream.PRICES) == 0


WALK = {"plugin": "walk", "timeframe": "S1", "bars": 1000}
REAL = {"clock": "real", "rebase": True, "history": 100}


def faulty(folder: Path, **faults: Any) -> PaperBroker:  # noqa: ANN401 - settings
    return paper(folder, WALK, faults=faults, **REAL)


async def outcome(broker: Broker, name: str) -> str:
    try:
        return (await broker.place_order(order(name))).status.value
    except BrokerError as error:
        return str(error.broker_code or error.code)


async def test_faults_repeat_from_their_seed(tmp_path: Path) -> None:
    told = []
    for number, seed in enumerate((1, 1, 2)):
        with closing(faulty(tmp_path / str(number), seed=seed, reject=0.3, requote=0.3)) as account:
            told.append([await outcome(account, f"o{index}") for index in range(30)])
    assert told[0] == told[1]
    assert told[0] != told[2]
    assert set(told[0]) == {"filled", "FAULT_REJECT", "FAULT_REQUOTE"}


async def test_an_order_taken_in_silence_is_found_and_not_sent_again(tmp_path: Path) -> None:
    with closing(faulty(tmp_path, silent=1.0)) as account:
        async with Remote(serve(account)) as remote:
            with pytest.raises(OutcomeUnknown) as unknown:
                await remote.place_order(order("a"))
            assert unknown.value.verify == {
                "tool": "get_order",
                "args": {"client_order_id": "a"},
            }
            found = await remote.get_order(client_order_id="a")
            assert found.status == "filled"
            assert (await remote.place_order(order("a"))).order_id == found.order_id
            (position,) = (await remote.get_positions()).positions
            assert position.quantity == D(1000)


@pytest.mark.parametrize(("fault", "age"), [("freeze_after_s", 0.0), ("prices_die_after_s", 50.0)])
async def test_prices_stop_and_only_a_dead_stream_ages(
    fault: str, age: float, tmp_path: Path
) -> None:
    clock = ManualClock(START)
    settings = PaperSettings.read({"prices": WALK, "faults": {fault: 10}} | REAL, "test")
    given = {key: value for key, value in WALK.items() if key != "plugin"}
    source = load_catalogue().make("source", "walk", given, where="prices")
    with closing(PaperBroker(settings, source, tmp_path / "account", clock)) as account:
        symbol = (await account.search_instruments("")).instruments[0].instrument
        clock.set(START + 5 * SECOND)
        before = (await account.get_quotes((symbol,))).quotes
        clock.set(START + 10 * SECOND)
        stopped = (await account.get_quotes((symbol,))).quotes
        clock.set(START + 60 * SECOND)
        assert (await account.get_quotes((symbol,))).quotes == stopped != before
        health = await account.get_health()
        assert (health.connected, health.age(Stream.PRICES)) == (True, age)


async def test_an_account_of_another_mode_is_refused(tmp_path: Path) -> None:
    from mtquant.errors import ConfigError  # noqa: PLC0415 - only here

    paper(tmp_path, WALK).close()
    with pytest.raises(ConfigError, match="kept in netting"):
        paper(tmp_path, WALK, position_mode="hedging")


async def test_swaps_survive_a_restart(tmp_path: Path) -> None:
    table = {"swap_long": "-1", "history": 1}
    prices = {"plugin": "walk", "timeframe": "H1", "bars": 200}
    with closing(paper(tmp_path, prices, **table)) as account:
        await account.place_order(order("a", quantity=D(100_000)))
        now = (await account.get_health()).time
        await account.advance_clock(now + 72 * 3600 * SECOND)
        balance = (await account.get_account()).balance
        (position,) = (await account.get_positions()).positions
        assert position.swap < 0
    with closing(paper(tmp_path, prices, **table)) as account:
        assert (await account.get_account()).balance == balance
        (again,) = (await account.get_positions()).positions
        assert again.swap == position.swap


async def test_swaps_are_told_as_financing_and_the_balance_moves_by_what_is_told(
    tmp_path: Path,
) -> None:
    table = {"swap_long": "-1", "history": 1, "commission_per_million": "20"}
    prices = {"plugin": "walk", "timeframe": "H1", "bars": 200}
    with closing(paper(tmp_path, prices, **table)) as account:
        before = (await account.get_account()).balance
        first = (await account.get_changes()).cursor
        await account.place_order(order("a", quantity=D(100_000)))
        now = (await account.get_health()).time
        await account.advance_clock(now + 72 * 3600 * SECOND)
        balance = (await account.get_account()).balance
        (position,) = (await account.get_positions()).positions
        told = await account.get_changes(first)
    assert {each.kind for each in told.cash_flows} == {CashFlowKind.FINANCING}
    assert sum(each.amount for each in told.cash_flows) == position.swap
    earned = sum(each.realized_profit - each.commission for each in told.fills)
    assert balance - before == earned + position.swap
    with closing(paper(tmp_path, prices, **table)) as account:  # and again after a restart
        again = await account.get_changes(first)
        assert again.cash_flows == told.cash_flows
        assert (await account.get_changes(again.cursor)).cash_flows == ()
        pages = await account.get_changes(first, limit=2)
        assert pages.more
