"""OANDA's own record of an account, read over v20 and set against our book."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

import httpx2

from mtquant.engine import Engine
from mtquant.model import plain
from mtquant.orders import Stage

_TIMEOUT_S = 10.0
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OandaRecord:
    """What an account's transactions and positions say.

    ``executions`` are the ids of its fills, ``orders`` counts orders by their client id, ``filled``
    and ``held`` are signed units by OANDA's instrument: the sum of the fills, and what is open.
    """

    balance: Decimal
    executions: frozenset[str]
    orders: Counter[str]
    filled: dict[str, Decimal]
    held: dict[str, Decimal]

    @classmethod
    async def read(cls, url: str, account: str, token: str) -> Self:
        """Read the record of ``account`` at ``url``; raises httpx2.HTTPError."""
        async with httpx2.AsyncClient(
            base_url=f"{url}/v3/accounts/{account}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT_S,
        ) as client:
            told = _Told()
            summary = await _get(client, "/summary")
            while told.last < int(summary["lastTransactionID"]):
                page = await _get(client, "/transactions/sinceid", id=str(told.last))
                told.take(page["transactions"])
            positions = await _get(client, "/openPositions")
        return cls(
            balance=Decimal(summary["account"]["balance"]),
            executions=frozenset(told.executions),
            orders=told.orders,
            filled={name: units for name, units in told.filled.items() if units},
            held={
                each["instrument"]: Decimal(each["long"]["units"]) + Decimal(each["short"]["units"])
                for each in positions["positions"]
            },
        )

    def differences(self, engine: Engine, name: str) -> list[str]:
        """Return, in sentences, where our book of the account ``name`` says something else."""
        book = engine.book.account(name)
        theirs = engine.wiring.links[name].symbols.theirs
        ours = {theirs(symbol): each.quantity for symbol, each in book.holdings.items()}
        found = []
        if apart := self.executions ^ book.executions:
            found.append(f"{name}: {len(apart)} executions are in OANDA's record or ours only")
        if self.balance != book.balance:
            found.append(
                f"{name} balance: we say {plain(book.balance)}, OANDA {plain(self.balance)}"
            )
        for what, units in (("holds", self.held), ("has filled", self.filled)):
            found += [
                f"{name} {each}: we hold {plain(ours.get(each, Decimal(0)))}, OANDA {what}"
                f" {plain(units.get(each, Decimal(0)))}"
                for each in sorted({*ours, *units})
                if ours.get(each) != units.get(each)
            ]
        for ticket in engine.desk.tickets.values():
            if ticket.account != name:
                continue
            expected = 1 if ticket.stage is Stage.ACKNOWLEDGED else 0
            count = self.orders[ticket.client_order_id]
            if count != expected:
                order_id = ticket.client_order_id
                found.append(f"{name}: {order_id} is {ticket.stage}, and OANDA has {count} of it")
        return found


@dataclass(slots=True)
class _Told:
    last: int = 0
    executions: set[str] = field(default_factory=set)
    orders: Counter[str] = field(default_factory=Counter)
    filled: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def take(self, transactions: list[Json]) -> None:
        """Fold transactions, each once and in their order."""
        for each in transactions:
            kind = each["type"]
            if kind == "ORDER_FILL":
                self.executions.add(each["id"])
                self.filled[each["instrument"]] += Decimal(each["units"])
            elif kind.endswith("_ORDER") and "clientExtensions" in each:
                self.orders[each["clientExtensions"]["id"]] += 1
            self.last = int(each["id"])


async def _get(client: httpx2.AsyncClient, path: str, **query: str) -> Json:
    answer = await client.get(path, params=query)
    answer.raise_for_status()
    return dict(answer.json())
