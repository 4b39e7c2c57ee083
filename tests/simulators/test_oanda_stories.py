"""Random stories at the simulated OANDA: whatever is traded, its books agree with themselves."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random

import pytest
from tests.simulators.desk import HEDGING, NETTING, Desk, Json

STEPS = 60
NAMES = ("EUR_USD", "USD_JPY")


def mids(rng: Random) -> tuple[float, ...]:
    price, found = 1.1, []
    for _ in range(STEPS + 2):
        found.append(round(price, 5))
        price *= 1 + rng.uniform(-0.004, 0.004)
    return tuple(found)


def act(desk: Desk, rng: Random) -> None:
    """Ask for something that may be taken, may be cancelled, or may be refused."""
    near = float(desk.account.quote("EUR/USD").mid)
    price = f"{near * rng.uniform(0.99, 1.01):.5f}"
    units = str(rng.choice((-1, 1)) * rng.randrange(1, 300_000))
    protected: Json = {
        name: details
        for name, details in (
            ("takeProfitOnFill", {"price": f"{near * rng.uniform(0.99, 1.02):.5f}"}),
            ("stopLossOnFill", {"distance": f"{rng.uniform(0.001, 0.02):.5f}"}),
            ("trailingStopLossOnFill", {"distance": f"{rng.uniform(0.001, 0.02):.5f}"}),
        )
        if rng.random() < 0.3
    }
    trades = desk.account.open_trades()
    waiting = desk.account.pending()
    what = rng.randrange(9)
    where = f"/accounts/{desk.account_id}"
    if what < 3:
        body = {"type": "MARKET", "instrument": "EUR_USD", "units": units, **protected}
        desk.call("POST", f"{where}/orders", {"order": body})
    elif what < 5:
        kind = rng.choice(("LIMIT", "STOP", "MARKET_IF_TOUCHED"))
        body = {"type": kind, "instrument": "EUR_USD", "units": units, "price": price}
        body["positionFill"] = rng.choice(("DEFAULT", "REDUCE_FIRST", "REDUCE_ONLY", "OPEN_ONLY"))
        desk.call("POST", f"{where}/orders", {"order": body | protected})
    elif what == 5 and waiting:
        desk.call("PUT", f"{where}/orders/{rng.choice(waiting)['id']}/cancel")
    elif what == 6 and trades:
        trade = rng.choice(trades)
        size = str(rng.randrange(1, int(abs(trade.current)) + 1))
        desk.call("PUT", f"{where}/trades/{trade.id}/close", {"units": size})
    elif what == 7 and trades:
        changes = {"stopLoss": rng.choice((None, {"price": price})), "takeProfit": {"price": price}}
        desk.call("PUT", f"{where}/trades/{rng.choice(trades).id}/orders", changes)
    elif trades:
        side = "long" if trades[0].current > 0 else "short"
        desk.call("PUT", f"{where}/positions/EUR_USD/close", {f"{side}Units": "ALL"})


def check(desk: Desk) -> None:
    account = desk.account
    entries = account.ledger.entries
    assert [each["id"] for each in entries] == [str(n + 1) for n in range(len(entries))]
    assert [each["time"] for each in entries] == sorted(each["time"] for each in entries)
    for entry, before in zip(entries[1:], entries, strict=False):
        # A batch is one stretch, named after its first.
        begins = entry["batchID"] == entry["id"]
        assert begins or entry["batchID"] == before["batchID"], entry
        assert begins or entry["time"] == before["time"]
    assert account.balance == account.exchange.balance
    changed = sum(Decimal(each.get("pl", "0")) for each in entries if each["type"] == "ORDER_FILL")
    financed = sum(Decimal(e["financing"]) for e in entries if e["type"] == "DAILY_FINANCING")
    assert 100_000 + changed + financed == account.balance
    held = {each.position_id: each for each in account.exchange.positions()}
    assert {each.position_id for each in account.open_trades()} == held.keys()
    for trade in account.open_trades():
        position = held[trade.position_id]
        assert trade.current == position.side.sign * position.quantity
    if not account.own.hedging:
        sides = {(each.symbol, each.side) for each in account.open_trades()}
        assert len(sides) == len({symbol for symbol, _ in sides})
    working = {
        order_id for order_id, order in account.exchange.orders.items() if not order.status.terminal
    }
    assert len(working) == len(account.pending())
    assert {e["id"] for e in account.pending()} == {
        each for each, order in account.orders.items() if order["state"] == "PENDING"
    }


def check_fills(desk: Desk) -> None:
    """Every order ended once, and trades were made and ended by nothing but the fills."""
    units: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for each in desk.since(0):
        if each["type"] == "ORDER_CANCEL":
            ended[each["orderID"]] += 1
        if each["type"] != "ORDER_FILL":
            continue
        ended[each["orderID"]] += 1
        parts = [*each.get("tradesClosed", ())]
        parts += [each[key] for key in ("tradeOpened", "tradeReduced") if key in each]
        assert sum(int(part["units"]) for part in parts) == int(each["units"])
        for part in parts:
            units[part["tradeID"]] += int(part["units"])
    assert not [each for each, times in ended.items() if times > 1]
    open_trades = {
        each["id"]: int(each["currentUnits"]) for each in desk.get("/openTrades")["trades"]
    }
    assert {key: value for key, value in units.items() if value} == open_trades


@pytest.mark.parametrize("account", [NETTING, HEDGING])
@pytest.mark.parametrize("seed", range(4))
def test_the_books_agree_whatever_is_traded(seed: int, account: str) -> None:
    rng = Random(seed)  # noqa: S311 - a story to repeat
    desk = Desk(mids(rng), account=account)
    for _ in range(STEPS):
        act(desk, rng)
        if rng.random() < 0.7:
            desk.step(1)
        if rng.random() < 0.1:
            since = rng.randrange(1, int(desk.account.ledger.last) + 1)
            desk.get("/changes", sinceTransactionID=str(since))
        check(desk)
    desk.get()
    check_fills(desk)
