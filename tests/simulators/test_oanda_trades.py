"""Trades and positions at the simulated OANDA: closing, protecting, financing, closing out."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from tests.simulators.desk import HEDGING, MINUTE, START, Desk, Json
from tests.simulators.spec import MISSING, PATH

from mtquant.clock import format_time
from mtquant_simulators.oanda.rejects import MESSAGES, NOT_FOUND

PROTECTED: Json = {
    "takeProfitOnFill": {"price": "1.11", "clientExtensions": {"id": "tp"}},
    "stopLossOnFill": {"price": "1.09"},
    "trailingStopLossOnFill": {"distance": "0.02"},
}


def test_what_protects_a_trade_is_created_with_its_fill_in_one_batch() -> None:
    desk = Desk()
    fill = desk.market("1000", **PROTECTED)
    made = desk.since(fill["id"])
    assert {each["type"] for each in made} == {
        "TAKE_PROFIT_ORDER",
        "STOP_LOSS_ORDER",
        "TRAILING_STOP_LOSS_ORDER",
    }
    assert {each["reason"] for each in made} == {"ON_FILL"}
    assert {each["batchID"] for each in made} == {fill["batchID"]}
    assert {each["orderFillTransactionID"] for each in made} == {fill["id"]}
    trade = desk.get(f"/trades/{fill['id']}")["trade"]
    assert trade["takeProfitOrder"]["clientExtensions"] == {"id": "tp"}
    assert trade["trailingStopLossOrder"]["trailingStopValue"] == "1.07990"
    assert desk.get()["account"]["trades"][0]["stopLossOrderID"] == trade["stopLossOrder"]["id"]


@pytest.mark.parametrize(
    ("mids", "kind", "price"),
    [
        ((1.1, 1.1, 1.105, 1.115), "TAKE_PROFIT", "1.11490"),
        ((1.1, 1.1, 1.095, 1.085), "STOP_LOSS", "1.08490"),
    ],
)
def test_a_protection_closes_the_trade_and_the_others_go_with_it(
    mids: tuple[float, ...], kind: str, price: str
) -> None:
    desk = Desk(mids)
    desk.market("1000", **PROTECTED)
    last = desk.last()
    desk.step(3)
    fill, *rest = desk.since(last)
    assert (fill["type"], fill["reason"]) == ("ORDER_FILL", f"{kind}_ORDER")
    assert (fill["price"], fill["units"]) == (price, "-1000")
    assert [each["reason"] for each in rest] == ["LINKED_TRADE_CLOSED"] * 2
    assert {each["batchID"] for each in rest} == {fill["batchID"]}
    assert desk.get("/openTrades")["trades"] == []
    trade = desk.get("/trades", state="CLOSED")["trades"][0]
    assert (trade["averageClosePrice"], trade["realizedPL"]) == (price, fill["pl"])


def test_a_trailing_stop_follows_and_fills() -> None:
    desk = Desk((1.1, 1.1, 1.11, 1.12, 1.114))
    fill = desk.market("1000", trailingStopLossOnFill={"distance": "0.005"})
    desk.step(3)
    (order,) = desk.get("/pendingOrders")["orders"]
    assert order["trailingStopValue"] == "1.11490"
    state = desk.get("/changes", sinceTransactionID=fill["id"])["state"]
    assert state["orders"][0]["trailingStopValue"] == "1.11490"
    desk.step(1)
    assert desk.since(order["id"])[0]["reason"] == "TRAILING_STOP_LOSS_ORDER"


def test_a_stop_loss_by_distance_counts_from_the_price_of_the_fill() -> None:
    desk = Desk()
    fill = desk.market("-1000", stopLossOnFill={"distance": "0.01"})
    trade = desk.get(f"/trades/{fill['id']}")["trade"]
    assert (trade["price"], trade["stopLossOrder"]["price"]) == ("1.09990", "1.10990")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stopLossOnFill": {"price": "1.2"}}, "STOP_LOSS_ON_FILL_LOSS"),
        ({"takeProfitOnFill": {"price": "1.0"}}, "TAKE_PROFIT_ON_FILL_LOSS"),
    ],
)
def test_a_protection_on_the_wrong_side_cancels_the_order(fields: Json, reason: str) -> None:
    answer = Desk().order(units="1", **fields)
    assert answer["orderCancelTransaction"]["reason"] == reason


def test_dependent_orders_are_set_replaced_and_cancelled_at_a_trade() -> None:
    desk = Desk()
    trade_id = desk.market("1000", tradeClientExtensions={"id": "t"})["id"]
    made = desk.put(
        "/trades/@t/orders",
        {"takeProfit": {"price": "1.2"}, "stopLoss": {"distance": "0.05"}},
    )
    assert made["takeProfitOrderTransaction"]["reason"] == "CLIENT_ORDER"
    assert made["stopLossOrderTransaction"]["price"] == "1.05010"
    again = desk.put(
        f"/trades/{trade_id}/orders",
        {"takeProfit": {"price": "1.2"}, "stopLoss": None, "trailingStopLoss": {"distance": "0.1"}},
    )
    assert again["takeProfitOrderCancelTransaction"]["reason"] == "CLIENT_REQUEST_REPLACED"
    assert again["takeProfitOrderTransaction"]["reason"] == "REPLACEMENT"
    assert again["stopLossOrderCancelTransaction"]["reason"] == "CLIENT_REQUEST"
    trade = desk.get(f"/trades/{trade_id}")["trade"]
    assert trade["takeProfitOrder"]["id"] == again["takeProfitOrderTransaction"]["id"]
    assert "stopLossOrder" not in trade
    assert trade["trailingStopLossOrder"]["distance"] == "0.1"
    assert {each["id"] for each in again.values() if isinstance(each, dict)} == set(
        again["relatedTransactionIDs"]
    )


def test_dependent_orders_are_set_all_or_none() -> None:
    desk = Desk()
    trade_id = desk.market("1000")["id"]
    body = {"takeProfit": {"price": "1.2"}, "stopLoss": {"price": "1.000001"}}
    answer = desk.put(f"/trades/{trade_id}/orders", body, 400)
    assert answer["stopLossOrderRejectTransaction"]["rejectReason"] == "PRICE_PRECISION_EXCEEDED"
    assert not desk.get("/pendingOrders")["orders"]
    assert desk.put("/trades/99/orders", body, 404)["errorCode"] == "NO_SUCH_TRADE"


def test_a_protection_whose_price_has_come_fills_at_once() -> None:
    desk = Desk((1.1, 1.1, 1.12, 1.12, 1.12))
    first, second = desk.market("1000")["id"], desk.market("1000")["id"]
    desk.step(2)
    stop = desk.put(f"/trades/{first}/orders", {"stopLoss": {"price": "1.15"}})
    assert stop["stopLossOrderFillTransaction"]["reason"] == "STOP_LOSS_ORDER"
    profit = desk.put(f"/trades/{second}/orders", {"takeProfit": {"price": "1.11"}})
    assert profit["takeProfitOrderFillTransaction"]["pl"] == "19.8000"
    assert desk.get("/openTrades")["trades"] == []


def test_a_take_profit_that_would_lose_is_cancelled() -> None:
    desk = Desk((1.1, 1.1, 1.08, 1.08))
    trade_id = desk.market("1000")["id"]
    desk.step(2)
    answer = desk.put(f"/trades/{trade_id}/orders", {"takeProfit": {"price": "1.07"}})
    assert answer["takeProfitOrderCreatedCancelTransaction"]["reason"] == "LOSING_TAKE_PROFIT"
    assert desk.get(f"/trades/{trade_id}")["trade"]["state"] == "OPEN"


def test_dependent_orders_as_orders_of_their_own() -> None:
    desk = Desk()
    trade_id = desk.market("1000", tradeClientExtensions={"id": "t"})["id"]
    own: Json = {"instrument": None, "type": "TAKE_PROFIT", "price": "1.2"}
    made = desk.order(**own, tradeID=trade_id)["orderCreateTransaction"]
    twice = desk.order(400, **own, clientTradeID="t")
    assert twice["errorCode"] == "TAKE_PROFIT_ORDER_ALREADY_EXISTS"
    desk.order(instrument=None, type="STOP_LOSS", price="1.0", clientTradeID="t")
    desk.order(instrument=None, type="TRAILING_STOP_LOSS", distance="0.1", tradeID=trade_id)
    moved = desk._json(
        "PUT",
        f"/orders/{made['id']}",
        {"order": {"type": "TAKE_PROFIT", "price": "1.3", "tradeID": trade_id}},
        201,
        {},
    )
    assert moved["orderCreateTransaction"]["replacesOrderID"] == made["id"]
    assert desk.get(f"/trades/{trade_id}")["trade"]["takeProfitOrder"]["price"] == "1.30000"
    order_id = moved["orderCreateTransaction"]["id"]
    desk.put(f"/orders/{order_id}/cancel")
    assert "takeProfitOrder" not in desk.get(f"/trades/{trade_id}")["trade"]
    gone = desk.order(404, **own, tradeID="99")
    assert gone["orderRejectTransaction"]["rejectReason"] == "TRADE_DOESNT_EXIST"


def test_a_dependent_order_ends_with_its_time() -> None:
    desk = Desk()
    dated = format_time(START + 5 * MINUTE)
    details = {"price": "1.2", "timeInForce": "GTD", "gtdTime": dated}
    trade_id = desk.market("1000", takeProfitOnFill=details)["id"]
    last = desk.last()
    desk.step(6)
    (ended,) = desk.since(last)
    assert ended["reason"] == "TIME_IN_FORCE_EXPIRED"
    assert ended["batchID"] == ended["id"]
    trade = desk.get(f"/trades/{trade_id}")["trade"]
    assert trade["state"] == "OPEN"
    assert "takeProfitOrder" not in trade


def test_a_trade_is_closed_in_part_and_whole() -> None:
    desk = Desk()
    trade_id = desk.market("1000", **PROTECTED)["id"]
    part = desk.put(f"/trades/{trade_id}/close", {"units": "400"})
    assert part["orderFillTransaction"]["reason"] == "MARKET_ORDER_TRADE_CLOSE"
    assert part["orderFillTransaction"]["tradeReduced"]["units"] == "-400"
    assert part["orderCreateTransaction"]["tradeClose"] == {"tradeID": trade_id, "units": "400"}
    assert len(desk.get("/pendingOrders")["orders"]) == 3
    much = desk.put(f"/trades/{trade_id}/close", {"units": "601"}, 400)
    assert much["errorCode"] == "CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE"
    whole = desk.put(f"/trades/{trade_id}/close", {"units": "ALL"})
    assert whole["orderFillTransaction"]["tradesClosed"][0]["units"] == "-600"
    assert len(whole["relatedTransactionIDs"]) == 5  # with the three that protected it
    gone = desk.put(f"/trades/{trade_id}/close", {}, 404)
    assert gone["orderRejectTransaction"]["rejectReason"] == "TRADE_DOESNT_EXIST"
    assert desk.put("/trades/@x/close", {}, 404)["errorCode"] == "TRADE_DOESNT_EXIST"
    assert desk.get("/pendingOrders")["orders"] == []


def test_a_trade_can_be_found_by_the_id_that_its_client_gave() -> None:
    desk = Desk()
    trade_id = desk.market("1000")["id"]
    desk.put(f"/trades/{trade_id}/clientExtensions", {"clientExtensions": {"id": "mine"}})
    assert desk.get("/trades/@mine")["trade"]["id"] == trade_id
    taken = desk.order(400, units="1", tradeClientExtensions={"id": "mine"})
    assert taken["errorCode"] == "CLIENT_TRADE_ID_ALREADY_EXISTS"
    body = {"clientExtensions": {"tag": "x"}}
    gone = desk.put("/trades/99/clientExtensions", body, 404)
    assert gone["errorCode"] == "TRADE_DOESNT_EXIST"
    empty = desk.put(f"/trades/{trade_id}/clientExtensions", {"clientExtensions": {}}, 400)
    assert empty["errorCode"] == "CLIENT_EXTENSIONS_DATA_MISSING"
    assert desk.get("/trades/99", 404)["errorCode"] == "NO_SUCH_TRADE"


def test_a_position_is_closed_by_side() -> None:
    desk = Desk(account=HEDGING)
    for units in ("1000", "500", "-700"):
        desk.market(units)
    part = desk.put("/positions/EUR_USD/close", {"longUnits": "1200"})
    fill = part["longOrderFillTransaction"]
    assert fill["reason"] == "MARKET_ORDER_POSITION_CLOSEOUT"
    assert (len(fill["tradesClosed"]), fill["tradeReduced"]["units"]) == (1, "-200")
    both = desk.put("/positions/EUR_USD/close", {"longUnits": "ALL", "shortUnits": "ALL"})
    assert both["longOrderFillTransaction"]["units"] == "-300"
    assert both["shortOrderFillTransaction"]["units"] == "700"
    assert desk.get("/openPositions")["positions"] == []
    assert [each["instrument"] for each in desk.get("/positions")["positions"]] == ["EUR_USD"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"longUnits": "ALL", "shortUnits": "ALL"}, "CLOSEOUT_POSITION_DOESNT_EXIST"),
        ({}, "CLOSEOUT_POSITION_INCOMPLETE_SPECIFICATION"),
        ({"longUnits": "101"}, "CLOSEOUT_POSITION_UNITS_EXCEED_POSITION_SIZE"),
        ({"longUnits": "0"}, "UNITS_INVALID"),
    ],
)
def test_a_close_that_is_wrong_closes_nothing(body: Json, reason: str) -> None:
    desk = Desk()
    desk.market("100")
    answer = desk.put("/positions/EUR_USD/close", body, 400)
    assert answer["errorCode"] == reason
    assert desk.get("/positions/EUR_USD")["position"]["long"]["units"] == "100"


def test_financing_is_charged_at_the_end_of_the_day_three_times_on_wednesday() -> None:
    desk = Desk(
        (1.1,) * 700, terms={"margin_rate": "0.02", "swap_long": "-0.0365", "swap_short": "0"}
    )
    desk.market("10000")
    last = desk.last()
    desk.step(11 * 60)
    (charged,) = desk.since(last)
    assert (charged["type"], charged["time"]) == (
        "DAILY_FINANCING",
        "2024-01-03T22:00:00.000000000Z",
    )
    # 10,000 units at 1.1 are worth 11,000; 3.65 % a year are 1.10 a day, and it is a Wednesday.
    assert charged["financing"] == "-3.3000"
    assert charged["positionFinancings"][0]["openTradeFinancings"][0]["financing"] == "-3.3000"
    summary = desk.summary()
    assert (summary["financing"], summary["balance"]) == ("-3.3000", charged["accountBalance"])
    assert desk.get("/openTrades")["trades"][0]["financing"] == "-3.3000"


def test_a_margin_closeout_closes_by_orders_of_the_venue() -> None:
    accounts = ({"account_id": "101-001-1000001-001", "balance": "1000"},)
    desk = Desk((1.1, 1.1, 1.085, 1.085, 1.085), accounts=accounts)
    desk.market("40000", stopLossOnFill={"price": "1.0"})
    last = desk.last()
    desk.step(2)
    entries = desk.since(last)
    assert [each["type"] for each in entries] == ["MARKET_ORDER", "ORDER_FILL", "ORDER_CANCEL"]
    order, fill, cancel = entries
    assert order["marginCloseout"] == {"reason": "MARGIN_CHECK_VIOLATION"}
    assert fill["reason"] == "MARKET_ORDER_MARGIN_CLOSEOUT"
    assert cancel["reason"] == "LINKED_TRADE_CLOSED"
    assert {each["batchID"] for each in entries} == {order["id"]}
    assert desk.get("/openPositions")["positions"] == []


def test_a_margin_call_begins_and_ends() -> None:
    accounts = ({"account_id": "101-001-1000001-001", "balance": "1000"},)
    desk = Desk((1.1, 1.1, 1.09, 1.1, 1.1), accounts=accounts)
    desk.market("40000")
    last = desk.last()
    desk.step(1)
    desk.summary()
    desk.step(1)
    assert [each["type"] for each in desk.since(last)] == ["MARGIN_CALL_ENTER"]
    desk.step(1)
    assert desk.since(last)[-1]["type"] == "MARGIN_CALL_EXIT"


def test_money_is_told_in_the_accounts_currency() -> None:
    desk = Desk()
    fill = desk.market("1000", instrument="USD_JPY")
    assert fill["lossQuoteHomeConversionFactor"] == "0.00666667"
    position = desk.get("/positions/USD_JPY")["position"]
    assert position["unrealizedPL"] == "-0.1333"  # a spread of 0.02 yen on 1,000 units
    assert position["marginUsed"] == "20.0000"


def test_the_ids_have_no_gap_and_the_balance_is_the_sum_of_its_changes() -> None:
    desk = Desk((1.1, 1.1, 1.105, 1.115, 1.09, 1.08, 1.08))
    for units in ("1000", "-300", "500", "-2000", "100"):
        desk.market(units, **PROTECTED if units == "500" else {})
        desk.step(1)
    entries = desk.since(0)
    assert [each["id"] for each in entries] == [str(n + 1) for n in range(len(entries))]
    earned = sum(Decimal(each.get("pl", "0")) for each in entries)
    assert Decimal(desk.summary()["balance"]) == 100_000 + earned
    assert desk.account.balance == desk.account.exchange.balance


def test_changes_are_what_the_transactions_did() -> None:
    desk = Desk()
    trade_id = desk.market("1000", **PROTECTED)["id"]
    since = desk.last()
    desk.order(type="LIMIT", price="1.0", units="1")
    desk.put(f"/trades/{trade_id}/close", {})
    answer = desk.get("/changes", sinceTransactionID=since)
    changes = answer["changes"]
    assert [each["id"] for each in changes["transactions"]] == [
        each["id"] for each in desk.since(since)
    ]
    assert [each["id"] for each in changes["tradesClosed"]] == [trade_id]
    assert len(changes["ordersCreated"]) == 2
    assert len(changes["ordersCancelled"]) == 3
    assert changes["positions"][0]["long"]["units"] == "0"
    assert desk.get("/changes", 416, sinceTransactionID="9999")["errorMessage"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "STOP_LOSS"}, "STOP_LOSS_ORDER_PRICE_AND_DISTANCE_BOTH_MISSING"),
        (
            {"type": "STOP_LOSS", "price": "1.0", "distance": "0.1"},
            "STOP_LOSS_ORDER_PRICE_AND_DISTANCE_BOTH_SPECIFIED",
        ),
        (
            {"type": "STOP_LOSS", "price": "1.0", "guaranteed": True},
            "STOP_LOSS_ORDER_GUARANTEED_NOT_ALLOWED",
        ),
        ({"type": "TRAILING_STOP_LOSS"}, "PRICE_DISTANCE_MISSING"),
        ({"type": "TRAILING_STOP_LOSS", "distance": "0"}, "PRICE_DISTANCE_INVALID"),
        (
            {"type": "TRAILING_STOP_LOSS", "distance": "0.000001"},
            "PRICE_DISTANCE_PRECISION_EXCEEDED",
        ),
        ({"type": "TRAILING_STOP_LOSS", "distance": "0.0004"}, "PRICE_DISTANCE_MINIMUM_NOT_MET"),
        ({"type": "TRAILING_STOP_LOSS", "distance": "1.1"}, "PRICE_DISTANCE_MAXIMUM_EXCEEDED"),
        ({"type": "TAKE_PROFIT"}, "PRICE_MISSING"),
        ({"type": "TAKE_PROFIT", "price": "2", "timeInForce": "FOK"}, "TIME_IN_FORCE_INVALID"),
        (
            {"type": "TAKE_PROFIT", "price": "2", "triggerCondition": "ASK"},
            "TRIGGER_CONDITION_INVALID",
        ),
    ],
)
def test_a_protection_that_is_wrong_is_rejected(fields: Json, reason: str) -> None:
    desk = Desk()
    trade_id = desk.market("1000")["id"]
    answer = desk.order(400, instrument=None, tradeID=trade_id, **fields)
    assert answer["orderRejectTransaction"]["rejectReason"] == reason
    assert desk.get("/pendingOrders")["orders"] == []


def test_two_pending_protections_never_share_a_client_id() -> None:
    desk = Desk()
    named: Json = {"takeProfitOnFill": {"price": "1.2", "clientExtensions": {"id": "tp"}}}
    desk.market("1000", **named)
    answer = desk.order(units="1000", **named)
    reason = answer["orderCancelTransaction"]["reason"]
    assert reason == "TAKE_PROFIT_ON_FILL_CLIENT_ORDER_ID_ALREADY_EXISTS"
    long = {"price": "1.2", "clientExtensions": {"id": "x" * 129}}
    refused = desk.order(400, units="1", takeProfitOnFill=long)
    assert refused["errorCode"] == "TAKE_PROFIT_ON_FILL_CLIENT_ORDER_ID_INVALID"


@pytest.mark.skipif(not PATH.is_file(), reason=MISSING)
def test_every_reason_is_one_that_oanda_describes() -> None:
    described = json.loads(PATH.read_text())["definitions"]["TransactionRejectReason"]["enum"]
    assert set(MESSAGES) <= set(described)
    assert set(MESSAGES) >= NOT_FOUND
