"""The simulated OANDA of a run: its command, what goes wrong there, and its record of accounts.

Its record is all that is believed of what happened: each account's transactions, folded here once
more and more simply than any server does, and its state, over REST and past every proxy.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx2
from tests.chaos.brokers import OANDA_IDS, OANDA_TOKEN, simulated_oanda
from tests.chaos.place import Place
from tests.chaos.truth import Exchange, Trail, opened, unknown_to

from mtquant.clock import parse_time

Json = dict[str, Any]
USUAL: Mapping[str, Any] = {"slow_s": 0.02}
"""An order takes as long as at a venue: else hardly a signal would come in the middle of one."""
BROKEN = "the line broke after OANDA acted"
_REASONS = {
    "the line to OANDA broke": BROKEN,
    "OANDA failed (HTTP": "OANDA failed after it acted",
    "OANDA did not answer in time": "no answer in time",
    "no answer within": "no answer in time",
    "the connection failed": "the server died, or the line to it",
    "the engine ended": "the engine died",
}
"""Why an answer was lost, by what the journal says."""
_READY_S = 30.0
_LOOK_S = 0.1
_READINGS = 20
_ZERO = Decimal(0)


class Oanda:
    """The OANDA at ``port``."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {OANDA_TOKEN}"},
            timeout=10.0,
        )
        self._records = {name: Record() for name in OANDA_IDS}

    async def aclose(self) -> None:
        """Close the connections to it."""
        await self._client.aclose()

    def command(self) -> list[str]:
        """Return what starts it."""
        words = ["-m", "mtquant", "simulate", "oanda", "--port", str(self.port)]
        return [sys.executable, *words, "--settings", json.dumps(simulated_oanda())]

    async def ready(self) -> None:
        """Return once it answers, and behaves as on any day."""
        with anyio.fail_after(_READY_S):
            while True:
                try:
                    await self.suffer(USUAL)
                except httpx2.ConnectError:
                    await anyio.sleep(_LOOK_S)
                else:
                    return

    async def suffer(self, faults: Mapping[str, Any]) -> None:
        """Let ``faults``, and no others, go wrong from now on."""
        answer = await self._client.put("/admin/faults", json={**USUAL, **faults})
        answer.raise_for_status()

    async def read(self, name: str, folder: Path) -> Exchange:
        """Return an account as OANDA has it; ``folder`` is its server's.

        Raises OSError where no moment's account could be had.
        """
        account, record = f"/v3/accounts/{OANDA_IDS[name]}", self._records[name]
        try:
            for _ in range(_READINGS):
                path, since = f"{account}/transactions/sinceid", {"id": str(len(record.entries))}
                for each in (await self._get(path, since))["transactions"]:
                    record.take(each)
                state = (await self._get(account))["account"]
                if state["lastTransactionID"] == str(len(record.entries)):
                    return record.exchange(state, unknown_to(folder))
        except httpx2.HTTPError as error:
            raise OSError(f"OANDA doesn't answer: {type(error).__name__}") from error
        raise OSError("OANDA's account never stood still")

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        answer = await self._client.get(path, params=query)
        answer.raise_for_status()
        found: Json = answer.json()
        return found


@dataclass(slots=True)
class Record:
    """The transactions of one account, folded in their order."""

    entries: list[Json] = field(default_factory=list)
    orders: dict[str, Json] = field(default_factory=dict)
    fills: list[Json] = field(default_factory=list)

    def take(self, entry: Json) -> None:
        """Take in the next transaction."""
        if int(entry["id"]) != len(self.entries) + 1:
            raise OSError(f"OANDA's transaction {entry['id']} follows {len(self.entries)}")
        self.entries.append(entry)
        kind = entry["type"]
        if kind == "ORDER_FILL":
            self.orders[entry["orderID"]]["status"] = "filled"
            self.fills.append(_fill(entry, self.orders[entry["orderID"]]["client_order_id"]))
        elif kind == "ORDER_CANCEL":
            order = self.orders[entry["orderID"]]
            order["status"] = "canceled"
            order["at_once"] = entry["batchID"] == order["batch"]
        elif kind.endswith("_ORDER"):
            self.orders[entry["id"]] = {
                "order_id": entry["id"],
                "client_order_id": (entry.get("clientExtensions") or {}).get("id"),
                "status": "new",
                "batch": entry["batchID"],
            }

    def exchange(self, state: Json, unknown: list[str]) -> Exchange:
        """Return the account; ``state`` is OANDA's own sum of the transactions."""
        positions: dict[str, Decimal] = defaultdict(Decimal)
        for each in state["positions"]:
            units = Decimal(each["long"]["units"]) + Decimal(each["short"]["units"])
            positions[_symbol(each["instrument"])] += units
        return Exchange(
            {key: dict(each) for key, each in self.orders.items()},
            list(self.fills),
            dict(positions),
            Decimal(state["balance"]),
            unknown,
            Counter(each["execution_id"] for each in self.fills),
        )


def _fill(entry: Json, client_order_id: str | None) -> Json:
    units = Decimal(entry["units"])
    return {
        "execution_id": entry["id"],
        "client_order_id": client_order_id,
        "instrument": _symbol(entry["instrument"]),
        "side": "buy" if units > 0 else "sell",
        "quantity": abs(units),
        "price": entry["price"],
        "time": parse_time(entry["time"]),
        "commission": Decimal(entry["commission"]) + Decimal(entry["guaranteedExecutionFee"]),
        "realized_profit": Decimal(entry["pl"]) + Decimal(entry["financing"]),
    }


def _symbol(instrument: str) -> str:
    return instrument.replace("_", "/")


def doubted(trail: Trail, reason: str) -> int:
    """Count the orders that came in doubt for ``reason``."""
    return sum(_reason(why) == reason for why in trail.doubted.values())


def _reason(why: str) -> str:
    return next((told for text, told in _REASONS.items() if text in why), why)


def found_by_extensions(
    trail: Trail, exchanges: Mapping[str, Exchange], place: Place
) -> Counter[str]:
    """Count the orders in doubt that OANDA has, and that their client extensions alone found.

    OANDA never answered their server with an order's number: what it said was lost, and why is
    counted. Each is at OANDA once.
    """
    found: Counter[str] = Counter()
    for name, exchange in exchanges.items():
        lost = _unanswered(place.account(name))
        for cid, why in trail.doubted.items():
            stage, _ = trail.ends.get(cid, ("", ""))
            if cid in lost and stage == "acknowledged" and len(exchange.by_client_id[cid]) == 1:
                found[_reason(why)] += 1
    return found


def _unanswered(folder: Path) -> set[str]:
    """Return the client order ids that a server sent, and that OANDA told it no order of."""
    with closing(opened(folder / "intents.db")) as database:
        found = database.execute("SELECT client_order_id FROM intents WHERE order_id = ''")
        return {str(cid) for (cid,) in found}
