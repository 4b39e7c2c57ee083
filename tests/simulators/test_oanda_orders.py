"""Orders at the simulated OANDA: what fills, what waits, what is cancelled and what is rejected."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.simulators.desk import HEDGING, MINUTE, START, Desk, Json

from mtquant.clock import format_time

RISE = (1.1, 1.1, 1.105, 1.11, 1.12, 1.12)
FALL = (1.1, 1.1, 1.095, 1.09, 1.08, 1.08)


def kinds(entries: list[Json]) -> list[str]:
    return [each["type"] for each in entries]


def test_a_market_order_fills_at_the_ask_and_opens_a_trade() -> None:
    desk = Desk()
    answer = desk.order(units="1000", clientExtensions={"id": "mine"})
    created, fill = answer["orderCreateTransaction"], answer["orderFillTransaction"]
    assert created["id"] == fill["orderID"] == fill["batchID"] == "4"
    assert (fill["price"], fill["units"], fill["clientOrderID"]) == ("1.10010", "1000", "mine")
    assert fill["tradeOpened"]["tradeID"] == fill["id"] == answer["lastTransactionID"] == "5"
    assert answer["relatedTransactionIDs"] == ["4", "5"]
    trade = desk.get("/trades/5")["trade"]
    assert (trade["currentUnits"], trade["unrealizedPL"]) == ("1000", "-0.2000")
    order = desk.get("/orders/@mine")["order"]
    assert (order["state"], order["tradeOpenedID"]) == ("FILLED", "5")


def test_201_is_not_filled_an_order_too_large_for_the_margin_is_cancelled() -> None:
    desk = Desk()
    answer = desk.order(units="90000000")
    assert "orderFillTransaction" not in answer
    assert answer["orderCancelTransaction"]["reason"] == "INSUFFICIENT_MARGIN"
    order = desk.get(f"/orders/{answer['orderCreateTransaction']['id']}")["order"]
    assert order["state"] == "CANCELLED"
    assert desk.summary()["marginUsed"] == "0.0000"


def test_an_order_in_a_closed_market_is_cancelled() -> None:
    desk = Desk(terms={"sessions": ("sun 17:00 - mon 17:00",)})
    assert desk.order(units="1")["orderCancelTransaction"]["reason"] == "MARKET_HALTED"
    price = desk.get("/pricing", instruments="EUR_USD")["prices"][0]
    assert (price["tradeable"], price["status"]) == (False, "non-tradeable")


def test_nothing_trades_after_the_last_price() -> None:
    desk = Desk((1.1, 1.1, 1.1))
    desk.step(10)
    assert desk.order(units="1")["orderCancelTransaction"]["reason"] == "MARKET_HALTED"


def test_without_hedging_an_opposite_order_closes_the_oldest_first_and_turns() -> None:
    desk = Desk()
    first, second = desk.market("1000"), desk.market("500")
    fill = desk.market("-1200")
    assert [each["tradeID"] for each in fill["tradesClosed"]] == [first["id"]]
    assert fill["tradeReduced"]["tradeID"] == second["id"]
    assert fill["tradeReduced"]["units"] == "-200"
    assert "tradeOpened" not in fill
    turned = desk.market("-1000")
    assert [each["tradeID"] for each in turned["tradesClosed"]] == [second["id"]]
    assert turned["tradeOpened"]["units"] == "-700"
    position = desk.get("/positions/EUR_USD")["position"]
    assert (position["long"]["units"], position["short"]["units"]) == ("0", "-700")


def test_with_hedging_an_opposite_order_opens_unless_it_says_otherwise() -> None:
    desk = Desk(account=HEDGING)
    long = desk.market("1000")
    short = desk.market("-400")
    assert short["tradeOpened"]["units"] == "-400"
    reduced = desk.market("-300", positionFill="REDUCE_FIRST")
    assert reduced["tradeReduced"]["tradeID"] == long["id"]
    position = desk.get("/openPositions")["positions"][0]
    assert (position["long"]["units"], position["short"]["units"]) == ("700", "-400")
    assert Decimal(position["marginUsed"]) == Decimal("15.4")  # that of the larger side


def test_position_fill_reduce_only_and_open_only() -> None:
    desk = Desk()
    cancelled = desk.order(units="-100", positionFill="REDUCE_ONLY")
    assert "orderFillTransaction" not in cancelled
    desk.market("1000")
    reduced = desk.market("-400", positionFill="REDUCE_ONLY")
    assert reduced["tradeReduced"]["units"] == "-400"
    refused = desk.order(units="-100", positionFill="OPEN_ONLY")
    assert refused["orderCancelTransaction"]["reason"] == "FIFO_VIOLATION"


@pytest.mark.parametrize(
    ("kind", "price", "units", "mids", "at"),
    [
        ("LIMIT", "1.09500", "100", FALL, "1.09010"),
        ("STOP", "1.10500", "100", RISE, "1.10510"),
        ("MARKET_IF_TOUCHED", "1.09500", "100", FALL, "1.09010"),
        ("MARKET_IF_TOUCHED", "1.10500", "100", RISE, "1.10510"),
        ("LIMIT", "1.10500", "-100", RISE, "1.10990"),
        ("STOP", "1.09500", "-100", FALL, "1.09490"),
    ],
)
def test_a_waiting_order_fills_when_its_price_comes(
    kind: str, price: str, units: str, mids: tuple[float, ...], at: str
) -> None:
    desk = Desk(mids)
    answer = desk.order(type=kind, price=price, units=units)
    order_id = answer["orderCreateTransaction"]["id"]
    assert "orderFillTransaction" not in answer
    assert [each["id"] for each in desk.get("/pendingOrders")["orders"]] == [order_id]
    desk.step(5)
    (fill,) = desk.since(order_id)
    assert (fill["type"], fill["reason"]) == ("ORDER_FILL", f"{kind}_ORDER")
    assert fill["price"] == at
    assert not desk.get("/pendingOrders")["orders"]


@pytest.mark.parametrize(("kind", "price"), [("LIMIT", "1.2"), ("STOP", "1.0")])
def test_an_order_whose_price_has_come_fills_at_once(kind: str, price: str) -> None:
    answer = Desk().order(type=kind, price=price, units="100")
    assert answer["orderFillTransaction"]["price"] == "1.10010"
    assert answer["orderFillTransaction"]["reason"] == f"{kind}_ORDER"


@pytest.mark.parametrize("wanted", ["FOK", "IOC"])
@pytest.mark.parametrize(("kind", "price"), [("LIMIT", "1.0"), ("STOP", "1.2")])
def test_an_immediate_order_that_would_wait_is_cancelled(
    kind: str, price: str, wanted: str
) -> None:
    answer = Desk().order(type=kind, price=price, units="100", timeInForce=wanted)
    assert answer["orderCancelTransaction"]["reason"] == "TIME_IN_FORCE_EXPIRED"


def test_orders_end_with_their_time() -> None:
    desk = Desk((1.1,) * 1000)
    dated = format_time(START + 10 * MINUTE)
    desk.order(type="LIMIT", price="1.0", units="1", timeInForce="GTD", gtdTime=dated)
    desk.order(type="LIMIT", price="1.0", units="1", timeInForce="GFD")
    last = desk.last()
    desk.step(11)
    (ended,) = desk.since(last)
    assert (ended["type"], ended["reason"]) == ("ORDER_CANCEL", "TIME_IN_FORCE_EXPIRED")
    assert ended["time"] == "2024-01-03T12:10:00.000000000Z"
    desk.step(12 * 60)  # the trading day ends at 17:00 in New York, which is 22:00 UTC
    assert desk.since(ended["id"])[0]["time"] == "2024-01-03T22:00:00.000000000Z"


def test_a_bound_that_is_violated_cancels_the_order() -> None:
    desk = Desk()
    answer = desk.order(units="100", priceBound="1.1")
    assert answer["orderCancelTransaction"]["reason"] == "BOUNDS_VIOLATION"
    assert desk.market("100", priceBound="1.1001")["price"] == "1.10010"


def test_what_cannot_fill_whole_is_cut_or_cancelled() -> None:
    desk = Desk(terms={"liquidity": "60"})
    whole = desk.order(units="100")
    assert whole["orderCancelTransaction"]["reason"] == "INSUFFICIENT_LIQUIDITY"
    cut = desk.order(units="100", timeInForce="IOC")
    assert cut["orderFillTransaction"]["units"] == "60"


def test_an_order_in_parts_opens_a_trade_each() -> None:
    desk = Desk((1.1, 1.1, 1.09, 1.09, 1.09), terms={"liquidity": "60"})
    order_id = desk.order(type="LIMIT", price="1.095", units="100")["lastTransactionID"]
    desk.step(4)
    fills = desk.since(order_id)
    assert [each["units"] for each in fills] == ["60", "40"]
    assert [each["currentUnits"] for each in desk.get("/openTrades")["trades"]] == ["40", "60"]


def test_replacing_cancels_the_old_and_creates_the_new_in_one_batch() -> None:
    desk = Desk()
    old = desk.order(type="LIMIT", price="1.0", units="1", clientExtensions={"id": "a"})
    old_id = old["orderCreateTransaction"]["id"]
    answer = desk.replace("@a", type="LIMIT", price="1.01", units="2", clientExtensions={"id": "a"})
    created, cancelled = answer["orderCreateTransaction"], answer["orderCancelTransaction"]
    assert cancelled["reason"] == "CLIENT_REQUEST_REPLACED"
    assert cancelled["replacedByOrderID"] == created["id"]
    assert (created["replacesOrderID"], created["cancellingTransactionID"]) == (
        old_id,
        cancelled["id"],
    )
    assert created["batchID"] == cancelled["batchID"]
    assert desk.get(f"/orders/{old_id}")["order"]["replacedByOrderID"] == created["id"]
    assert desk.get("/orders/@a")["order"]["price"] == "1.01000"


def test_a_replacement_that_is_rejected_leaves_the_old_order() -> None:
    desk = Desk()
    order_id = desk.order(type="LIMIT", price="1.0", units="1")["lastTransactionID"]
    answer = desk.replace(order_id, 400, type="LIMIT", price="1.000001", units="2")
    rejected = answer["orderRejectTransaction"]
    assert rejected["rejectReason"] == "PRICE_PRECISION_EXCEEDED"
    assert rejected["intendedReplacesOrderID"] == order_id
    other = desk.replace(order_id, 400, type="STOP", price="1.2", units="2")
    assert other["errorCode"] == "REPLACING_ORDER_INVALID"
    assert desk.get(f"/orders/{order_id}")["order"]["state"] == "PENDING"


def test_cancelling_twice_is_refused_the_second_time() -> None:
    desk = Desk()
    order_id = desk.order(type="LIMIT", price="1.0", units="1")["lastTransactionID"]
    first = desk.put(f"/orders/{order_id}/cancel")["orderCancelTransaction"]
    assert first["reason"] == "CLIENT_REQUEST"
    again = desk.put(f"/orders/{order_id}/cancel", status=404)
    assert again["orderCancelRejectTransaction"]["rejectReason"] == "ORDER_DOESNT_EXIST"
    desk.put("/orders/@nobody/cancel", status=404)
    desk.replace("999", 404, type="LIMIT", price="1.0", units="1")
    assert desk.get("/orders/999", 404)["errorCode"] == "NO_SUCH_ORDER"


def test_a_client_id_may_be_used_again_once_its_order_is_done() -> None:
    desk = Desk()
    desk.order(type="LIMIT", price="1.0", units="1", clientExtensions={"id": "a"})
    taken = desk.order(400, type="LIMIT", price="1.0", units="1", clientExtensions={"id": "a"})
    assert taken["orderRejectTransaction"]["rejectReason"] == "CLIENT_ORDER_ID_ALREADY_EXISTS"
    desk.put("/orders/@a/cancel")
    desk.order(type="LIMIT", price="1.0", units="1", clientExtensions={"id": "a"})


def test_client_extensions_of_an_order_and_of_its_trade_can_be_set() -> None:
    desk = Desk((1.1, 1.1, 1.09, 1.09))
    order_id = desk.order(type="LIMIT", price="1.095", units="1")["lastTransactionID"]
    body = {"clientExtensions": {"id": "o", "tag": "t"}, "tradeClientExtensions": {"id": "x"}}
    desk.put(f"/orders/{order_id}/clientExtensions", body)
    assert desk.get("/orders/@o")["order"]["clientExtensions"] == {"id": "o", "tag": "t"}
    desk.step(3)
    assert desk.get("/trades/@x")["trade"]["currentUnits"] == "1"
    done = desk.put(f"/orders/{order_id}/clientExtensions", body, 404)
    assert done["errorCode"] == "ORDER_DOESNT_EXIST"


def test_orders_are_listed_by_state_instrument_and_id() -> None:
    desk = Desk()
    ids = [
        desk.order(type="LIMIT", price=price, units="1", instrument=name)["lastTransactionID"]
        for name, price in (("EUR_USD", "1.0"), ("GBP_USD", "1.0"), ("EUR_USD", "1.01"))
    ]
    desk.put(f"/orders/{ids[0]}/cancel")

    def listed(**query: str) -> list[str]:
        return [each["id"] for each in desk.get("/orders", 200, **query)["orders"]]

    assert listed() == [ids[2], ids[1]]
    assert listed(state="ALL") == ids[::-1]
    assert listed(state="CANCELLED") == [ids[0]]
    assert listed(instrument="GBP_USD") == [ids[1]]
    assert listed(ids=f"{ids[1]},{ids[0]}") == [ids[1]]
    assert listed(state="ALL", beforeID=ids[2], count="1") == [ids[1]]


LIMIT = {"type": "LIMIT", "price": "1.0", "units": "1"}
TRADE_ID = {"type": "TAKE_PROFIT", "price": "1.2", "instrument": None}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"units": "1", "instrument": None}, "INSTRUMENT_MISSING"),
        ({"units": "1", "instrument": "EUR_XXX"}, "INSTRUMENT_UNKNOWN"),
        ({}, "UNITS_MISSING"),
        ({"units": "0"}, "UNITS_INVALID"),
        ({"units": "1.5"}, "UNITS_PRECISION_EXCEEDED"),
        ({"units": "100000001"}, "UNITS_LIMIT_EXCEEDED"),
        ({"units": "1", "timeInForce": "GTC"}, "TIME_IN_FORCE_INVALID"),
        ({"units": "1", "priceBound": "1.100001"}, "PRICE_BOUND_PRECISION_EXCEEDED"),
        ({"units": "1", "priceBound": "0"}, "PRICE_BOUND_INVALID"),
        ({"units": "1", "clientExtensions": {"id": "x" * 129}}, "CLIENT_ORDER_ID_INVALID"),
        ({"units": "1", "clientExtensions": {"tag": "x" * 129}}, "CLIENT_ORDER_TAG_INVALID"),
        ({"units": "1", "tradeClientExtensions": {"id": "x" * 129}}, "CLIENT_TRADE_ID_INVALID"),
        (LIMIT | {"price": None}, "PRICE_MISSING"),
        (LIMIT | {"price": "0"}, "PRICE_INVALID"),
        (LIMIT | {"price": "1.000001"}, "PRICE_PRECISION_EXCEEDED"),
        (LIMIT | {"timeInForce": "GTD"}, "TIME_IN_FORCE_GTD_TIMESTAMP_MISSING"),
        (
            LIMIT | {"timeInForce": "GTD", "gtdTime": "2020-01-01T00:00:00Z"},
            "TIME_IN_FORCE_GTD_TIMESTAMP_IN_PAST",
        ),
        (LIMIT | {"triggerCondition": "MID"}, "TRIGGER_CONDITION_INVALID"),
        (LIMIT | {"takeProfitOnFill": {}}, "TAKE_PROFIT_ON_FILL_PRICE_MISSING"),
        (
            LIMIT | {"takeProfitOnFill": {"price": "1.000001"}},
            "TAKE_PROFIT_ON_FILL_PRICE_PRECISION_EXCEEDED",
        ),
        (
            LIMIT | {"takeProfitOnFill": {"price": "2", "timeInForce": "FOK"}},
            "TAKE_PROFIT_ON_FILL_TIME_IN_FORCE_INVALID",
        ),
        (
            LIMIT | {"takeProfitOnFill": {"price": "2", "timeInForce": "GTD"}},
            "TAKE_PROFIT_ON_FILL_GTD_TIMESTAMP_MISSING",
        ),
        (LIMIT | {"stopLossOnFill": {}}, "STOP_LOSS_ON_FILL_PRICE_AND_DISTANCE_BOTH_MISSING"),
        (
            LIMIT | {"stopLossOnFill": {"price": "0.9", "distance": "0.1"}},
            "STOP_LOSS_ON_FILL_PRICE_AND_DISTANCE_BOTH_SPECIFIED",
        ),
        (
            LIMIT | {"stopLossOnFill": {"price": "0.9", "guaranteed": True}},
            "STOP_LOSS_ON_FILL_GUARANTEED_NOT_ALLOWED",
        ),
        (
            LIMIT | {"trailingStopLossOnFill": {"distance": "0.0001"}},
            "TRAILING_STOP_LOSS_ON_FILL_PRICE_DISTANCE_MINIMUM_NOT_MET",
        ),
        (
            LIMIT
            | {
                "clientExtensions": {"id": "a"},
                "takeProfitOnFill": {"price": "2", "clientExtensions": {"id": "a"}},
            },
            "ORDERS_ON_FILL_DUPLICATE_CLIENT_ORDER_IDS",
        ),
        (TRADE_ID, "TRADE_ID_UNSPECIFIED"),
        ({"type": "STOP", "units": "1"}, "PRICE_MISSING"),
        ({"type": "MARKET_IF_TOUCHED", "units": "1"}, "PRICE_MISSING"),
        (
            {"type": "STOP_LOSS", "instrument": None, "price": "1.0"},
            "TRADE_ID_UNSPECIFIED",
        ),
        (
            {"type": "TRAILING_STOP_LOSS", "instrument": None, "distance": "0.1"},
            "TRADE_ID_UNSPECIFIED",
        ),
    ],
)
def test_what_is_wrong_is_rejected_with_a_transaction(fields: Json, reason: str) -> None:
    desk = Desk()
    answer = desk.order(400, **fields)
    rejected = answer["orderRejectTransaction"]
    assert rejected["rejectReason"] == answer["errorCode"] == reason
    assert rejected["type"] == f"{fields.get('type', 'MARKET')}_ORDER_REJECT"
    assert answer["lastTransactionID"] == rejected["id"] == "4"
    assert not desk.get("/orders", state="ALL")["orders"]


@pytest.mark.parametrize(
    "fields",
    [
        {"units": "many"},
        {"units": True},
        {"units": "1", "type": "ICEBERG"},
        {"units": "1", "timeInForce": "NEVER"},
        {"units": "1", "instrument": 5},
        {"units": "1", "clientExtensions": "x"},
        {"units": "1", "stopLossOnFill": {"price": "near"}},
        LIMIT | {"gtdTime": "tomorrow"},
        {"units": "NaN"},
        {"units": "1e3"},
    ],
)
def test_what_cannot_be_read_is_refused_without_a_transaction(fields: Json) -> None:
    desk = Desk()
    answer = desk.order(400, valid=False, **fields)
    assert answer["errorMessage"].startswith("Invalid value specified for 'order.")
    assert desk.last() == "3"


def test_a_body_that_is_no_object_is_refused() -> None:
    desk = Desk()
    bodies: tuple[object, ...] = ([], "order", 5)
    for body in bodies:
        answer = desk.call("POST", f"/accounts/{desk.account_id}/orders", body, valid=False)
        assert answer.status_code == 400
    desk._json("POST", "/orders", {}, 400, {})


def test_numbers_are_taken_as_the_texts_that_they_write() -> None:
    assert Desk().order(units=100, valid=False)["orderFillTransaction"]["units"] == "100"
