"""A simulated OANDA whose time stands until a client moves it."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest
import requests
from tests.simulators.desk import HEADERS, MINUTE, NETTING, START, Desk, Json
from tests.simulators.served import served

from mtquant.clock import format_time

RISING = (1.1, 1.2, 1.3, 1.4)


class Stepped(Desk):
    """A stepped venue; its clock is moved as a client does, not by the test's own."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - of OandaSettings
        super().__init__(RISING, clock="stepped", **settings)

    def control(self, method: str, body: object = None) -> httpx2.Response:
        async def run() -> httpx2.Response:
            transport = httpx2.ASGITransport(self.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://desk") as client:
                return await client.request(method, "/admin/clock", json=body, headers=HEADERS)

        return anyio.run(run)

    def move(self, minutes: float) -> Json:
        to = format_time(START + round(minutes * MINUTE))
        answer = self.control("PUT", {"time": to})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def bid(desk: Desk) -> str:
    (price,) = desk.get("/pricing", instruments="EUR_USD")["prices"]
    return str(price["bids"][0]["price"])


def test_time_stands_until_it_is_moved() -> None:
    desk = Stepped()
    desk.step(60)
    assert bid(desk) == "1.09990"
    assert desk.control("GET").json() == {
        "clock": "stepped",
        "time": "2024-01-03T12:00:00.000000000Z",
        "lastTransactionIDs": {NETTING: "3", "101-001-1000001-002": "3"},
    }
    desk.move(2)
    assert bid(desk) == "1.29990"


def test_a_move_is_answered_when_all_that_it_brought_about_stands() -> None:
    desk = Stepped()
    order = desk.order(type="LIMIT", units="-100", price="1.15")["orderCreateTransaction"]
    moved = desk.move(1)
    assert moved["time"] == "2024-01-03T12:01:00.000000000Z"
    assert moved["lastTransactionIDs"][NETTING] == desk.last()
    assert {each["instrument"] for each in moved["prices"]} == {"EUR_USD", "GBP_USD", "USD_JPY"}
    (filled,) = (each for each in desk.since(order["id"]) if each["type"] == "ORDER_FILL")
    assert (filled["orderID"], filled["time"]) == (order["id"], moved["time"])


def test_an_order_expires_by_the_time_that_was_moved() -> None:
    desk = Stepped()
    until = format_time(START + 90 * MINUTE)
    made = desk.order(type="LIMIT", units="100", price="1.0", timeInForce="GTD", gtdTime=until)[
        "orderCreateTransaction"
    ]
    desk.move(89)
    assert desk.since(made["id"]) == []
    desk.move(91)
    (ended,) = desk.since(made["id"])
    assert (ended["type"], ended["reason"]) == ("ORDER_CANCEL", "TIME_IN_FORCE_EXPIRED")


def test_an_earlier_time_moves_nothing() -> None:
    desk = Stepped()
    desk.move(2)
    assert desk.move(1)["time"] == "2024-01-03T12:02:00.000000000Z"


@pytest.mark.parametrize("body", [{}, {"time": "tomorrow"}, {"time": []}, {"to": "x"}])
def test_a_time_that_is_none_is_refused_and_named(body: Json) -> None:
    desk = Stepped()
    answer = desk.control("PUT", body)
    assert answer.status_code == 400
    assert f"time: {body.get('time')!r} is" in answer.json()["errorMessage"]
    assert desk.control("GET").json()["time"] == "2024-01-03T12:00:00.000000000Z"


def test_where_time_passes_nobody_moves_it() -> None:
    with served(admin=True) as venue:
        where = f"{venue.url}/admin/clock"
        assert requests.get(where, headers=HEADERS, timeout=20).status_code == 404
        body = {"time": "2030-01-01T00:00:00Z"}
        assert requests.put(where, json=body, headers=HEADERS, timeout=20).status_code == 404
    with served(clock="stepped") as venue:
        assert requests.get(f"{venue.url}/admin/clock", timeout=20).status_code == 401


def test_recorded_times_are_kept_and_no_limit_a_second_holds() -> None:
    desk = Stepped(rebase=True, limits={"on": True, "requests_per_s": 1})
    desk.clock.set(START + 10_000 * MINUTE)
    assert [desk.control("GET").json()["time"] for _ in range(3)] == [
        "2024-01-03T12:00:00.000000000Z"
    ] * 3


def test_an_order_whose_answer_is_held_back_was_taken() -> None:
    with served(faults={"next": ("hold_after",)}) as venue:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(
                venue.path("/orders"),
                json={
                    "order": {
                        "type": "MARKET",
                        "instrument": "EUR_USD",
                        "units": "100",
                        "clientExtensions": {"id": "mine"},
                    }
                },
                headers=HEADERS,
                timeout=1,
            )
        assert venue.get("/orders/@mine").json()["order"]["state"] == "FILLED"
        assert venue.order().status_code == 201
