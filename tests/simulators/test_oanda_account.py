"""Accounts, prices, candles and transactions at the simulated OANDA."""

from __future__ import annotations

import pytest
from tests.simulators.desk import HEDGING, MINUTE, NETTING, START, Desk, Json

from mtquant.clock import parse_time
from mtquant.errors import ConfigError
from mtquant_simulators.oanda import AccountSettings, OandaSettings
from mtquant_simulators.oanda.candles import Grid

UTC = "2024-01-03T%s.000000000Z"


def test_the_accounts_and_what_they_are() -> None:
    desk = Desk()
    listed = desk.call("GET", "/accounts").json()["accounts"]
    assert [each["id"] for each in listed] == [NETTING, HEDGING]
    account = desk.get()["account"]
    assert (account["currency"], account["balance"]) == ("USD", "100000.0000")
    assert account["hedgingEnabled"] is False
    assert Desk(account=HEDGING).summary()["hedgingEnabled"] is True


def test_the_first_transactions_open_and_fund_the_account() -> None:
    entries = Desk().since(0)
    assert [each["type"] for each in entries] == ["CREATE", "CLIENT_CONFIGURE", "TRANSFER_FUNDS"]
    assert entries[2]["accountBalance"] == "100000.0000"


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Basic x"])
def test_a_request_needs_the_token(token: str) -> None:
    desk = Desk()
    desk.headers = {"Authorization": token}
    answer = desk.call("GET", "/accounts")
    assert answer.status_code == 401
    assert answer.json()["errorMessage"] == "Insufficient authorization to perform request."


def test_an_account_of_somebody_else_is_forbidden() -> None:
    desk = Desk(account="101-001-1-001")
    assert desk.get("/positions", 401)["errorMessage"] == "The provided request was forbidden."


def test_every_request_has_an_id_and_gives_back_its_clients_own() -> None:
    desk = Desk()
    desk.headers = {"ClientRequestID": "abc"}
    answer = desk.call("GET", "/accounts")
    assert answer.headers["RequestID"].isdigit()
    assert answer.headers["ClientRequestID"] == "abc"
    order = desk.order(units="1")
    assert (
        order["orderCreateTransaction"]["requestID"] == order["orderFillTransaction"]["requestID"]
    )


def test_times_are_written_as_the_client_asks() -> None:
    desk = Desk()
    assert desk.summary()["createdTime"] == UTC % "12:00:00"
    desk.headers = {"Accept-Datetime-Format": "UNIX"}
    assert desk.summary()["createdTime"] == "1704283200.000000000"
    desk.headers = {"Accept-Datetime-Format": "ROMAN"}
    assert desk.summary()["createdTime"] == UTC % "12:00:00"


def test_an_unknown_path_is_404_and_a_wrong_method_405() -> None:
    desk = Desk()
    assert desk.call("DELETE", "/accounts", valid=False).status_code == 405


def test_the_terms_of_the_instruments() -> None:
    desk = Desk()
    listed = desk.get("/instruments", instruments="USD_JPY,EUR_USD")["instruments"]
    assert [each["name"] for each in listed] == ["USD_JPY", "EUR_USD"]
    yen, euro = listed
    assert (yen["pipLocation"], yen["displayPrecision"]) == (-2, 3)
    assert (euro["pipLocation"], euro["displayPrecision"]) == (-4, 5)
    assert (euro["minimumTradeSize"], euro["tradeUnitsPrecision"]) == ("1", 0)
    assert len(desk.get("/instruments")["instruments"]) == 3
    assert desk.get("/instruments", 400, instruments="EUR_XXX")["errorMessage"] == (
        "Invalid value specified for 'instruments'"
    )


def test_an_account_is_renamed_and_its_margin_rate_stays() -> None:
    desk = Desk()
    where = f"/accounts/{NETTING}/configuration"
    done = desk.call("PATCH", where, {"alias": "Mine"}).json()
    assert done["clientConfigureTransaction"]["alias"] == desk.summary()["alias"] == "Mine"
    for body, reason in (
        ({}, "CLIENT_CONFIGURE_DATA_MISSING"),
        ({"marginRate": "2"}, "MARGIN_RATE_INVALID"),
        ({"marginRate": "0.05"}, "MARGIN_RATE_WOULD_TRIGGER_CLOSEOUT"),
    ):
        refused = desk.call("PATCH", where, body)
        assert refused.status_code == 400
        assert refused.json()["clientConfigureRejectTransaction"]["rejectReason"] == reason


def test_prices_and_what_can_be_traded_with_the_margin() -> None:
    desk = Desk()
    body = desk.get("/pricing", instruments="EUR_USD,USD_JPY", includeHomeConversions="true")
    euro, yen = body["prices"]
    assert (euro["bids"][0]["price"], euro["asks"][0]["price"]) == ("1.09990", "1.10010")
    assert (yen["bids"][0]["price"], yen["asks"][0]["price"]) == ("149.990", "150.010")
    assert euro["unitsAvailable"]["default"]["long"] == "4545454"  # 100,000 / (1.1 * 0.02)
    assert {each["currency"] for each in body["homeConversions"]} == {"USD", "JPY"}
    since = body["time"]
    assert desk.get("/pricing", instruments="EUR_USD", since=since)["prices"] == []
    desk.step(1)
    assert len(desk.get("/pricing", instruments="EUR_USD", since=since)["prices"]) == 1
    assert desk.get("/pricing", 400)["errorMessage"]
    assert desk.get("/pricing", 400, instruments="EUR_XXX")["errorMessage"]


def candles(desk: Desk, status: int = 200, **query: str) -> Json:
    where = f"/accounts/{NETTING}/instruments/EUR_USD/candles"
    answer = desk.call("GET", where, None, query)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def test_candles_of_each_side_the_last_incomplete() -> None:
    desk = Desk((1.1, 1.1, 1.101, 1.102, 1.103, 1.104, 1.105, 1.106))
    desk.step(6)
    found = candles(desk, granularity="M5", price="BAM", count="2")["candles"]
    first, last = found
    assert (first["time"], first["complete"]) == (UTC % "12:00:00", True)
    assert (last["time"], last["complete"]) == (UTC % "12:05:00", False)
    assert first["mid"] == {"o": "1.10000", "h": "1.10300", "l": "1.10000", "c": "1.10300"}
    assert set(last) >= {"bid", "ask", "mid"}
    same = desk.call("GET", "/instruments/EUR_USD/candles", None, {"granularity": "M5"})
    assert same.json()["candles"][-1]["mid"] == last["mid"]


def test_candles_by_time() -> None:
    desk = Desk(tuple(1.1 + index / 10_000 for index in range(61)))
    desk.step(60)

    def opens(**query: str) -> list[str]:
        found = candles(desk, 200, granularity="M10", **query)["candles"]
        return [each["time"][11:16] for each in found]

    assert opens(**{"from": UTC % "12:15:00", "count": "2"}) == ["12:10", "12:20"]
    assert opens(**{"from": UTC % "12:15:00", "count": "2", "includeFirst": "false"}) == [
        "12:20",
        "12:30",
    ]
    assert opens(to=UTC % "12:30:00", count="2") == ["12:10", "12:20"]
    assert opens(**{"from": UTC % "12:00:00", "to": UTC % "12:20:00"}) == ["12:00", "12:10"]


@pytest.mark.parametrize(
    "query",
    [
        {"count": "5001"},
        {"count": "0"},
        {"count": "many"},
        {"granularity": "M7"},
        {"price": "X"},
        {"price": "MM"},
        {"from": "yesterday"},
        {"from": "2030-01-01T00:00:00Z"},
        {"from": "2020-01-01T00:00:00Z", "to": "2024-01-01T00:00:00Z", "granularity": "M1"},
        {"from": "2024-01-03T12:00:00Z", "to": "2024-01-03T11:00:00Z"},
        {"from": "2024-01-03T11:00:00Z", "to": "2024-01-03T12:00:00Z", "count": "1"},
        {"alignmentTimezone": "Mars/Base"},
        {"dailyAlignment": "24"},
        {"weeklyAlignment": "Someday"},
        {"smooth": "perhaps"},
    ],
)
def test_candles_that_cannot_be_had(query: dict[str, str]) -> None:
    assert candles(Desk(), 400, **query)["errorMessage"]


@pytest.mark.parametrize(
    ("granularity", "time", "start", "end"),
    [
        ("S5", "2024-03-08T12:00:07Z", "2024-03-08T12:00:05Z", "2024-03-08T12:00:10Z"),
        ("H4", "2024-01-03T12:00:00Z", "2024-01-03T10:00:00Z", "2024-01-03T14:00:00Z"),
        ("D", "2024-01-03T12:00:00Z", "2024-01-02T22:00:00Z", "2024-01-03T22:00:00Z"),
        # Daylight saving began in New York on 10 March 2024: that day has 23 hours.
        ("D", "2024-03-10T12:00:00Z", "2024-03-09T22:00:00Z", "2024-03-10T21:00:00Z"),
        ("W", "2024-01-03T12:00:00Z", "2023-12-29T22:00:00Z", "2024-01-05T22:00:00Z"),
        ("W", "2024-03-10T12:00:00Z", "2024-03-08T22:00:00Z", "2024-03-15T21:00:00Z"),
        ("M", "2024-01-03T12:00:00Z", "2023-12-31T22:00:00Z", "2024-01-31T22:00:00Z"),
        ("M", "2024-03-31T23:00:00Z", "2024-03-31T21:00:00Z", "2024-04-30T21:00:00Z"),
    ],
)
def test_candles_begin_with_new_yorks_days(
    granularity: str, time: str, start: str, end: str
) -> None:
    grid = Grid(granularity)
    assert grid.start(parse_time(time)) == parse_time(start)
    assert grid.end(parse_time(start)) == parse_time(end)


def test_transactions_in_pages_ranges_and_by_type() -> None:
    desk = Desk()
    desk.market("10")
    desk.step(1)
    desk.market("-10")
    page = desk.get("/transactions", pageSize="5")
    assert page["count"] == 7
    assert [each.split("?")[1] for each in page["pages"]] == ["from=1&to=5", "from=6&to=7"]
    later = desk.get("/transactions", 200, **{"from": UTC % "12:00:30"})
    assert later["count"] == 2
    found = desk.get("/transactions/idrange", 200, **{"from": "4", "to": "7", "type": "ORDER_FILL"})
    assert [each["id"] for each in found["transactions"]] == ["5", "7"]
    assert desk.get("/transactions/4")["transaction"]["type"] == "MARKET_ORDER"
    assert desk.get("/transactions", type="FUNDING")["count"] == 1
    assert desk.get("/transactions/99", 404)["errorCode"] == "NO_SUCH_TRANSACTION"
    for path, query, status in (
        ("/transactions/idrange", {"from": "1"}, 400),
        ("/transactions/idrange", {"from": "3", "to": "2"}, 400),
        ("/transactions/idrange", {"from": "1", "to": "99"}, 416),
        ("/transactions/sinceid", {}, 400),
        ("/transactions/sinceid", {"id": "99"}, 416),
        ("/transactions", {"type": "NOTHING"}, 400),
        ("/transactions", {"pageSize": "1001"}, 400),
    ):
        assert desk.get(path, status, **query)["errorMessage"]


def test_two_venues_of_the_same_settings_do_the_same() -> None:
    def story() -> list[Json]:
        desk = Desk((1.1, 1.1, 1.105, 1.115, 1.09, 1.08, 1.08))
        desk.market("1000", trailingStopLossOnFill={"distance": "0.005"})
        desk.order(type="LIMIT", price="1.085", units="100")
        desk.step(6)
        return desk.since(0)

    assert story() == story()


def test_looking_often_or_once_comes_to_the_same() -> None:
    mids = (1.1, 1.1, 1.105, 1.115, 1.09, 1.08, 1.08)
    often, once = Desk(mids), Desk(mids)
    for desk in (often, once):
        desk.market("1000", trailingStopLossOnFill={"distance": "0.005"})
        desk.order(type="LIMIT", price="1.085", units="100")
    for _ in range(12):
        often.step(0.5)
        often.summary()
    once.step(6)
    assert often.since(6)[0]["time"] == once.since(6)[0]["time"]
    assert [each["type"] for each in often.since(0)] == [each["type"] for each in once.since(0)]


@pytest.mark.parametrize(
    "table",
    [
        {"token": "short"},
        {"accounts": ()},
        {"accounts": (AccountSettings(), AccountSettings())},
        {"prices": {}},
        {"speed": 0},
        {"faults": {"drop_after": 2}},
    ],
)
def test_settings_that_are_wrong_are_refused(table: Json) -> None:
    with pytest.raises(ConfigError):
        OandaSettings.read(table, "settings")


def test_more_history_than_there_is_is_refused() -> None:
    with pytest.raises(ConfigError, match="history"):
        Desk((1.1, 1.1), history=100)


def test_recorded_times_can_be_shifted_to_now() -> None:
    desk = Desk((1.1,) * 50, rebase=True, history=20)
    assert desk.summary()["createdTime"] == UTC % "12:00:00"
    found = candles(desk, granularity="M1")["candles"]
    assert found[-1]["time"] == UTC % "11:59:00"
    assert all(parse_time(each["time"]) % MINUTE == 0 for each in found)
    assert START % MINUTE == 0
