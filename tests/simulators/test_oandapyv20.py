"""The unmodified oandapyV20 client drives every endpoint it knows, over real HTTP.

Its module forexlabs is left out: OANDA took those services down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import oandapyV20.oandapyV20 as v20  # noqa: N813 - its own name
import pytest
import requests
from oandapyV20.contrib.requests import (
    LimitOrderRequest,
    MarketOrderRequest,
    MITOrderRequest,
    StopLossDetails,
    StopLossOrderRequest,
    StopOrderRequest,
    TakeProfitDetails,
    TakeProfitOrderRequest,
    TradeCloseRequest,
    TrailingStopLossOrderRequest,
)
from oandapyV20.endpoints import (
    accounts,
    instruments,
    orders,
    positions,
    pricing,
    trades,
    transactions,
)
from oandapyV20.endpoints.apirequest import APIRequest
from oandapyV20.exceptions import V20Error
from tests.simulators.desk import NETTING, TOKEN, Json
from tests.simulators.served import PATIENCE_S, Served, served
from tests.simulators.spec import spec

MODULES: tuple[ModuleType, ...] = (
    accounts,
    instruments,
    orders,
    positions,
    pricing,
    trades,
    transactions,
)
STREAMS = {"PricingStream", "TransactionsStream"}


class Client:
    """The client, and which of its endpoints it has asked; each answer is held to the spec."""

    def __init__(self, venue: Served) -> None:
        self.venue = venue
        self.driven: set[str] = set()
        self._api = v20.API(TOKEN, environment="desk", request_params={"timeout": PATIENCE_S})
        self._api.client.hooks["response"].append(self._check)

    def _check(self, answer: requests.Response, *_: object, **__: object) -> None:
        against = spec()
        where = urlsplit(str(answer.request.url))
        if against is None or where.path.endswith("/stream"):
            return
        path = where.path.removeprefix("/v3")
        method = str(answer.request.method)
        sent: Any = answer.request.body
        body = json.loads(sent) if sent else None
        problems = against.check_request(method, path, parse_qs(where.query), body)
        problems += against.check_answer(method, path, answer.status_code, answer.json())
        assert not problems, problems

    def ask(self, request: APIRequest) -> Json:
        self.driven.add(type(request).__name__)
        return dict(self._api.request(request))

    def stream(self, request: APIRequest) -> Iterator[Json]:
        self.driven.add(type(request).__name__)
        for line in self._api.request(request):
            against = spec()
            if against is not None:
                path = f"/{request}".removeprefix("/v3")
                assert not against.check_line("GET", path, line), line
            yield line


@contextmanager
def client() -> Iterator[Client]:
    mids = tuple(1.1 + index / 10_000 for index in range(100))
    with served(mids, terms={"margin_rate": "0.02"}) as venue:
        v20.TRADING_ENVIRONMENTS["desk"] = {"api": venue.url, "stream": venue.url}
        try:
            yield Client(venue)
        finally:
            del v20.TRADING_ENVIRONMENTS["desk"]


def known() -> set[str]:
    """Return the endpoints that the client knows."""
    return {
        name
        for each in MODULES
        for name, found in vars(each).items()
        if isinstance(found, type) and issubclass(found, APIRequest) and found is not APIRequest
        if getattr(found, "ENDPOINT", "")
    }


def test_every_endpoint_that_the_client_knows() -> None:
    with client() as drive:
        _accounts(drive)
        _markets(drive)
        _orders(drive)
        _trades(drive)
        _positions(drive)
        _transactions(drive)
        assert drive.driven == known()
        assert len(drive.driven) == 33


def _accounts(drive: Client) -> None:
    assert drive.ask(accounts.AccountList())["accounts"][0]["id"] == NETTING
    assert drive.ask(accounts.AccountDetails(NETTING))["account"]["currency"] == "USD"
    named = {"instruments": "EUR_USD"}
    listed = drive.ask(accounts.AccountInstruments(NETTING, params=named))["instruments"]
    assert [each["name"] for each in listed] == ["EUR_USD"]
    drive.ask(accounts.AccountConfiguration(NETTING, data={"alias": "Mine"}))
    assert drive.ask(accounts.AccountSummary(NETTING))["account"]["alias"] == "Mine"
    changed = drive.ask(accounts.AccountChanges(NETTING, params={"sinceTransactionID": 3}))
    assert changed["changes"]["transactions"][0]["alias"] == "Mine"


def _markets(drive: Client) -> None:
    drive.venue.step(600)
    wanted = {"granularity": "M5", "count": 2, "price": "MBA"}
    found = drive.ask(instruments.InstrumentsCandles("EUR_USD", params=wanted))
    assert len(found["candles"]) == 2
    assert drive.ask(instruments.InstrumentsOrderBook("EUR_USD"))["orderBook"]["buckets"]
    assert drive.ask(instruments.InstrumentsPositionBook("EUR_USD"))["positionBook"]["buckets"]
    both = {"instruments": "EUR_USD,USD_JPY"}
    assert len(drive.ask(pricing.PricingInfo(NETTING, params=both))["prices"]) == 2
    lines = drive.stream(pricing.PricingStream(NETTING, params=both))
    assert {next(lines)["instrument"] for _ in range(2)} == {"EUR_USD", "USD_JPY"}


def _orders(drive: Client) -> None:
    waiting = [
        LimitOrderRequest("EUR_USD", units=100, price=1.05),
        StopOrderRequest("EUR_USD", units=100, price=1.2),
        MITOrderRequest("EUR_USD", units=100, price=1.04),
    ]
    ids = [
        drive.ask(orders.OrderCreate(NETTING, data=each.data))["orderCreateTransaction"]["id"]
        for each in waiting
    ]
    assert len(drive.ask(orders.OrdersPending(NETTING))["orders"]) == 3
    assert len(drive.ask(orders.OrderList(NETTING, params={"count": 2}))["orders"]) == 2
    assert drive.ask(orders.OrderDetails(NETTING, ids[1]))["order"]["type"] == "STOP"
    other = LimitOrderRequest("EUR_USD", units=200, price=1.06)
    replaced = drive.ask(orders.OrderReplace(NETTING, ids[0], data=other.data))
    named = {"clientExtensions": {"id": "mine", "tag": "t", "comment": "c"}}
    fresh = replaced["orderCreateTransaction"]["id"]
    drive.ask(orders.OrderClientExtensions(NETTING, fresh, data=named))
    assert drive.ask(orders.OrderDetails(NETTING, "@mine"))["order"]["units"] == "200"
    for each in (fresh, *ids[1:]):
        drive.ask(orders.OrderCancel(NETTING, each))
    with pytest.raises(V20Error) as refused:
        drive.ask(orders.OrderCancel(NETTING, fresh))
    assert refused.value.code == 404
    assert "ORDER_DOESNT_EXIST" in refused.value.msg


def _market(drive: Client, units: int, **more: Any) -> Json:  # noqa: ANN401 - of the client
    request = MarketOrderRequest("EUR_USD", units=units, **more)
    answer = drive.ask(orders.OrderCreate(NETTING, data=request.data))
    return dict(answer["orderFillTransaction"])


def _trades(drive: Client) -> None:
    trade_id = _market(
        drive,
        1000,
        takeProfitOnFill=TakeProfitDetails(price=1.3).data,
        stopLossOnFill=StopLossDetails(price=1.0).data,
    )["tradeOpened"]["tradeID"]
    bare = _market(drive, 500)["tradeOpened"]["tradeID"]
    for request in (
        TakeProfitOrderRequest(tradeID=bare, price=1.3),
        StopLossOrderRequest(tradeID=bare, price=1.0),
        TrailingStopLossOrderRequest(tradeID=bare, distance=0.2),
    ):
        drive.ask(orders.OrderCreate(NETTING, data=request.data))
    assert len(drive.ask(trades.OpenTrades(NETTING))["trades"]) == 2
    found = drive.ask(trades.TradesList(NETTING, params={"instrument": "EUR_USD"}))
    assert found["trades"][0]["trailingStopLossOrder"]["distance"] == "0.20000"
    drive.ask(trades.TradeClientExtensions(NETTING, bare, data={"clientExtensions": {"id": "t"}}))
    changed = {"takeProfit": {"price": "1.4"}, "stopLoss": None}
    drive.ask(trades.TradeCRCDO(NETTING, bare, data=changed))
    assert drive.ask(trades.TradeDetails(NETTING, "@t"))["trade"]["takeProfitOrder"]
    part = TradeCloseRequest(units=400).data
    drive.ask(trades.TradeClose(NETTING, trade_id, data=part))
    left = drive.ask(trades.TradeDetails(NETTING, trade_id))["trade"]
    assert left["currentUnits"] == "600"


def _positions(drive: Client) -> None:
    assert drive.ask(positions.OpenPositions(NETTING))["positions"][0]["instrument"] == "EUR_USD"
    closing = {"longUnits": "ALL"}  # which PositionCloseRequest of the client refuses
    drive.ask(positions.PositionClose(NETTING, "EUR_USD", data=closing))
    found = drive.ask(positions.PositionDetails(NETTING, "EUR_USD"))["position"]
    assert found["long"]["units"] == "0"
    assert len(drive.ask(positions.PositionList(NETTING))["positions"]) == 1


def _transactions(drive: Client) -> None:
    pages = drive.ask(transactions.TransactionList(NETTING, params={"pageSize": 100}))
    assert pages["count"] == int(pages["lastTransactionID"])
    between = {"from": 1, "to": 5}
    found = drive.ask(transactions.TransactionIDRange(NETTING, params=between))
    assert len(found["transactions"]) == 5
    since = drive.ask(transactions.TransactionsSinceID(NETTING, params={"id": 5}))
    assert since["transactions"][0]["id"] == "6"
    assert drive.ask(transactions.TransactionDetails(NETTING, 1))["transaction"]["type"] == "CREATE"
    lines = drive.stream(transactions.TransactionsStream(NETTING))
    assert next(lines)["type"] == "HEARTBEAT"
    _market(drive, 100)
    assert [next(lines)["type"] for _ in range(2)] == ["MARKET_ORDER", "ORDER_FILL"]
