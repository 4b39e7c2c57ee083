"""A scripted OANDA: answers by method and path, in the shapes of its own description."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio.lowlevel
import httpx2

from mtquant.clock import Clock, SystemClock, seeded
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.settings import OandaSettings

ACCOUNT = "101-004-1234567-001"
TOKEN = "a-token-that-must-never-be-shown"  # noqa: S105 - for these tests alone
TIME = "2026-11-20T12:00:00.000000000Z"
Json = dict[str, Any]
Answer = Callable[[httpx2.Request], httpx2.Response]


def settings(**changes: object) -> OandaSettings:
    table = {"account_id": ACCOUNT, "url": "http://127.0.0.1:9", **changes}
    return OandaSettings.read(table, "settings")


def ok(body: Json, status: int = 200) -> Answer:
    return lambda _: httpx2.Response(status, json=body)


async def until(true: Callable[[], bool]) -> None:
    """Let other tasks run until ``true`` holds."""
    with anyio.fail_after(5):
        while not true():
            await anyio.lowlevel.checkpoint()


class Silence(httpx2.AsyncByteStream):
    """A stream's body: some lines, and then nothing until it is closed."""

    def __init__(self, *lines: Json, ends: bool = False) -> None:
        self._lines, self._ends = lines, ends
        self.closed = anyio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for each in self._lines:
            yield json.dumps(each).encode() + b"\n"
        if not self._ends:
            await self.closed.wait()

    async def aclose(self) -> None:
        self.closed.set()


def transaction(number: int, kind: str, **fields: object) -> Json:
    base = {"id": str(number), "time": TIME, "accountID": ACCOUNT, "batchID": str(number)}
    return base | {"type": kind} | fields


def market(number: int, client_id: str | None, units: str = "1000", **fields: object) -> Json:
    extensions = {"clientExtensions": {"id": client_id}} if client_id else {}
    return transaction(
        number,
        "MARKET_ORDER",
        instrument="EUR_USD",
        units=units,
        timeInForce="FOK",
        positionFill="DEFAULT",
        reason="CLIENT_ORDER",
        **extensions,
        **fields,
    )


def limit(number: int, client_id: str, units: str = "1000", **fields: object) -> Json:
    return transaction(
        number,
        "LIMIT_ORDER",
        instrument="EUR_USD",
        units=units,
        price="1.05000",
        timeInForce="GTC",
        positionFill="DEFAULT",
        reason="CLIENT_ORDER",
        clientExtensions={"id": client_id},
        **fields,
    )


def fill(number: int, order: int, units: str = "1000", **fields: object) -> Json:
    return transaction(
        number,
        "ORDER_FILL",
        **{
            "orderID": str(order),
            "instrument": "EUR_USD",
            "units": units,
            "price": "1.10010",
            "pl": "0.0",
            "financing": "0.0",
            "commission": "0.0",
            "accountBalance": "100000.0",
            "reason": "MARKET_ORDER",
            "tradeOpened": {"tradeID": str(number), "units": units},
        }
        | fields,
    )


def cancel(number: int, order: int, reason: str, **fields: object) -> Json:
    return transaction(number, "ORDER_CANCEL", orderID=str(order), reason=reason, **fields)


def price(
    instrument: str = "EUR_USD", bid: str = "1.10000", ask: str = "1.10010", time: str = TIME
) -> Json:
    return {
        "type": "PRICE",
        "instrument": instrument,
        "time": time,
        "tradeable": True,
        "bids": [{"price": bid, "liquidity": 1000000}],
        "asks": [{"price": ask, "liquidity": 1000000}],
    }


class Double(httpx2.AsyncBaseTransport):
    """OANDA for one account. ``answers`` maps a method and the end of a path to what is answered.

    ``seen`` are the requests that came; ``book`` are the account's transactions.
    """

    def __init__(self, *, hedging: bool = False) -> None:
        self.seen: list[httpx2.Request] = []
        self.book: list[Json] = []
        self.trades: list[Json] = []
        self.prices = {"EUR_USD": price()}
        self.priced_at = ""
        """The time of an answer with prices; empty for one that tells none."""
        self.hedging = hedging
        self.price_streams: list[Silence] = []
        self.transaction_streams: list[Silence] = []
        self.answers: dict[tuple[str, str], Answer] = {}

    @property
    def last(self) -> str:
        return self.book[-1]["id"] if self.book else "0"

    def sent(self, method: str, end: str) -> list[httpx2.Request]:
        return [each for each in self.seen if each.method == method and each.url.path.endswith(end)]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.seen.append(request)
        path = request.url.path
        for (method, end), answer in self.answers.items():
            if method == request.method and path.endswith(end):
                return answer(request)
        return await self._standing(request, path.removeprefix(f"/v3/accounts/{ACCOUNT}"))

    async def _standing(  # noqa: C901 - a branch for each path
        self, request: httpx2.Request, path: str
    ) -> httpx2.Response:
        query = request.url.params
        if path.endswith("/stream"):
            waiting = self.price_streams if "pricing" in path else self.transaction_streams
            return httpx2.Response(200, stream=waiting.pop(0) if waiting else Silence())
        body: Json
        if path == "":
            body = {"account": self.summary() | {"orders": [], "trades": self.trades}}
        elif path == "/summary":
            body = {"account": self.summary()}
        elif path == "/instruments":
            body = {"instruments": [instrument()]}
        elif path == "/pricing":
            wanted = query["instruments"].split(",")
            body = {"prices": [self.prices[each] for each in wanted if each in self.prices]}
            if self.priced_at:
                body["time"] = self.priced_at
        elif path == "/transactions/sinceid":
            after = int(query["id"])
            body = {"transactions": [each for each in self.book if int(each["id"]) > after]}
        elif path == "/transactions/idrange":
            first, last = int(query["from"]), int(query["to"])
            found = [each for each in self.book if first <= int(each["id"]) <= last]
            body = {"transactions": found}
        elif path == "/changes":
            after = int(query["sinceTransactionID"])
            new = [each for each in self.book if int(each["id"]) > after]
            money = ("NAV", "unrealizedPL", "marginUsed", "marginAvailable")
            summary = self.summary()
            state = {key: summary[key] for key in money if key in summary}
            body = {"changes": {"transactions": new}, "state": state | {"trades": []}}
        elif path == "/openTrades":
            body = {"trades": self.trades}
        elif path == "/pendingOrders":
            body = {"orders": []}
        else:
            return httpx2.Response(404, json={"errorMessage": "no such thing"})
        return httpx2.Response(200, json=body | {"lastTransactionID": self.last})

    def summary(self) -> Json:
        return {
            "id": ACCOUNT,
            "currency": "USD",
            "balance": "100000.0",
            "NAV": "100000.0",
            "marginUsed": "0.0",
            "marginAvailable": "100000.0",
            "marginRate": "0.02",
            "hedgingEnabled": self.hedging,
            "lastTransactionID": self.last,
        }


def instrument(name: str = "EUR_USD") -> Json:
    return {
        "name": name,
        "type": "CURRENCY",
        "displayName": name.replace("_", "/"),
        "pipLocation": -4,
        "displayPrecision": 5,
        "tradeUnitsPrecision": 0,
        "minimumTradeSize": "1",
        "maximumOrderUnits": "100000000",
        "marginRate": "0.0333",
    }


@asynccontextmanager
async def desk(
    double: Double,
    clock: Clock | None = None,
    **changes: Any,  # noqa: ANN401 - the settings
) -> AsyncIterator[OandaBroker]:
    """Return a broker before ``double``."""
    broker = OandaBroker(
        settings(**changes), TOKEN, clock or SystemClock(), transport=double, rng=seeded(1)
    )
    async with broker:
        yield broker
