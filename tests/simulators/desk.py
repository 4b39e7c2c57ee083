"""A simulated OANDA without a socket, on prices and a clock that a test moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import httpx2
from tests.simulators.spec import spec

from mtquant import Settings, Source
from mtquant.clock import SECOND, ManualClock, parse_time
from mtquant.model import Bars, Ticks, Timeframe
from mtquant_simulators.oanda import AccountSettings, Limits, OandaSettings, application
from mtquant_simulators.oanda.account import Account

Json = dict[str, Any]
START = parse_time("2024-01-03T12:00:00Z")
MINUTE = 60 * SECOND
NETTING, HEDGING = "101-001-1000001-001", "101-001-1000001-002"
TOKEN = "simulated-oanda-token"  # noqa: S105 - of a simulator
SPREAD = 0.0002
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Script(Source[Settings]):
    """A quote a minute: mids of EUR/USD from a script, USD/JPY and GBP/USD stand still."""

    name = "script"
    description = "prices of a test"

    def __init__(self, mids: Sequence[float]) -> None:
        super().__init__(Settings())
        # At the venue's opening a bar has ended, so two quotes are known.
        self._mids = {
            "EUR/USD": (mids[0], *mids),
            "USD/JPY": (150.0,) * (len(mids) + 1),
            "GBP/USD": (1.25,) * (len(mids) + 1),
        }

    def symbols(self) -> Sequence[str]:
        return tuple(self._mids)

    def timeframe(self) -> Timeframe:
        return Timeframe.M1

    def bars(self, symbol: str) -> Bars:
        mids = tuple(self._mids[symbol])
        return Bars(
            instrument=symbol,
            timeframe=Timeframe.M1,
            time=self._times(symbol),
            open=mids,
            high=mids,
            low=mids,
            close=mids,
            volume=(1.0,) * len(mids),
        )

    def ticks(self, symbol: str) -> Ticks:
        half = SPREAD / 2 * (1 if symbol != "USD/JPY" else 100)
        mids = self._mids[symbol]
        return Ticks(
            instrument=symbol,
            time=self._times(symbol),
            bid=tuple(round(each - half, 5) for each in mids),
            ask=tuple(round(each + half, 5) for each in mids),
        )

    def _times(self, symbol: str) -> tuple[int, ...]:
        return tuple(START + (index - 1) * MINUTE for index in range(len(self._mids[symbol])))


class Desk:
    """The venue as a client of one account sees it; every exchange is held against the spec."""

    def __init__(
        self,
        mids: Sequence[float] = (1.1,) * 100,
        *,
        account: str = NETTING,
        **settings: Any,  # noqa: ANN401 - of OandaSettings
    ) -> None:
        table = {
            "accounts": (AccountSettings(), AccountSettings(account_id=HEDGING, hedging=True)),
            "rebase": False,
            "history": 0,
            "limits": Limits(on=False),
            "terms": {"margin_rate": "0.02"},
        }
        self.clock = ManualClock(START)
        self.app = application(
            OandaSettings.read(table | settings, "settings"), self.clock, Script(mids)
        )
        self.account_id = account
        self.headers: dict[str, str] = {}

    @property
    def account(self) -> Account:
        found = self.app.state.venue.accounts[self.account_id]
        assert isinstance(found, Account)
        return found

    def step(self, minutes: float = 1) -> None:
        """Let venue time pass, which is noticed with the next request."""
        self.clock.set(self.clock.now() + round(minutes * MINUTE))

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: dict[str, str] | None = None,
        *,
        valid: bool = True,
    ) -> httpx2.Response:
        """Send a request to a path below /v3; ``valid`` says that the spec allows it."""

        async def run() -> httpx2.Response:
            transport = httpx2.ASGITransport(self.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://desk") as client:
                return await client.request(
                    method, f"/v3{path}", json=body, params=query, headers=HEADERS | self.headers
                )

        answer = anyio.run(run)
        against = spec()
        if against is not None:
            problems = against.check_request(method, path, query or {}, body) if valid else []
            assert not problems, problems
            if valid or against.find(method, path):
                problems = against.check_answer(method, path, answer.status_code, answer.json())
            assert not problems, (problems, answer.json())
        return answer

    def get(self, path: str = "", status: int = 200, **query: str) -> Json:
        return self._json("GET", path, None, status, query)

    def put(self, path: str, body: object = None, status: int = 200, *, valid: bool = True) -> Json:
        return self._json("PUT", path, body, status, {}, valid=valid)

    def _json(
        self,
        method: str,
        path: str,
        body: object,
        status: int,
        query: dict[str, str],
        *,
        valid: bool = True,
    ) -> Json:
        """Send a request of the account's own and return its answer."""
        where = f"/accounts/{self.account_id}{path}"
        answer = self.call(method, where, body, query, valid=valid)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def order(self, status: int = 201, *, valid: bool = True, **fields: Any) -> Json:  # noqa: ANN401
        """Post an order of EUR_USD, or as the fields say."""
        fields = {"type": "MARKET", "instrument": "EUR_USD"} | fields
        body = {"order": {key: each for key, each in fields.items() if each is not None}}
        return self._json("POST", "/orders", body, status, {}, valid=valid)

    def market(self, units: str, **fields: Any) -> Json:  # noqa: ANN401
        """Post a market order and return its fill."""
        answer = self.order(units=units, **fields)
        fill = answer["orderFillTransaction"]
        assert isinstance(fill, dict)
        return fill

    def replace(self, order_id: str, status: int = 201, **fields: object) -> Json:
        body = {"order": {"instrument": "EUR_USD"} | fields}
        return self._json("PUT", f"/orders/{order_id}", body, status, {})

    def since(self, transaction_id: object) -> list[Json]:
        return list(self.get("/transactions/sinceid", id=str(transaction_id))["transactions"])

    def last(self) -> str:
        return str(self.get("/summary")["lastTransactionID"])

    def summary(self) -> Json:
        return dict(self.get("/summary")["account"])
