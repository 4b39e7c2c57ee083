"""Somebody at the command line: resting orders, changes, cancels and closes through the engine.

Where an order has long been in doubt and its account never had it, he says so: he has rung up.

Strategies send orders that end at once. What rests at a venue, is changed, cancelled, filled while
its cancel is on the way, or ended by somebody else, is a person's. He has an instrument of his own,
so that what the strategies want there stays what is held.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anyio

from mtquant.control.commands import Commands
from mtquant.engine import Engine
from mtquant.errors import MtquantError
from mtquant.model import Quote

if TYPE_CHECKING:
    from tests.simulation.world import World

SYMBOL = "GBP/USD"
_ENOUGH = 4000
"""From this position on he closes: what a bar lets be filled must be enough to get out."""
_LEAVING_S = 300.0
_SURE_S = 60.0
"""After so long in doubt no copy of an order is on its way any more."""


class Person:
    """Acts at random, until the faults end; then he gets out."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = world.plan.generator("person")
        self._doubts: dict[str, float] = {}

    async def trade(self, engine: Engine) -> None:
        """Do something every few seconds."""
        while not self._world.plan.calm:
            await anyio.sleep(1 + 12 * self._chance.random())
            if not self._world.plan.calm:
                await self._act(engine)

    async def leave(self, engine: Engine) -> None:
        """Cancel and close until nothing is left."""
        with anyio.move_on_after(_LEAVING_S):
            while True:
                working = await self._mine(engine, "orders")
                held = await self._mine(engine, "positions")
                if working == [] and held == []:
                    return
                for each in working or ():
                    order, broker = each["order_id"], each["account"]
                    await self._say(engine, "cancel", order=order, broker=broker, by="person")
                if held:
                    await self._say(engine, "close", symbol=SYMBOL, by="person")
                await anyio.sleep(1)

    async def _mine(self, engine: Engine, what: str) -> list[dict[str, Any]] | None:
        """Return what works or is held in his instrument, None where not every account answers."""
        answer = await self._say(engine, what)
        if not answer or answer["problems"]:
            return None
        return [each for each in answer[what] if each["instrument"] == SYMBOL]

    def _untrue(self, engine: Engine) -> str | None:
        """Return an order in doubt of which he knows by now that its account never had it."""
        now, accounts = anyio.current_time(), self._world.accounts
        for ticket in engine.desk.in_doubt():
            since = self._doubts.setdefault(ticket.client_order_id, now)
            known = accounts[ticket.account].exchange.by_client_id
            if now - since > _SURE_S and ticket.client_order_id not in known:
                return ticket.client_order_id
        return None

    async def _act(self, engine: Engine) -> None:
        untrue = self._untrue(engine)
        if untrue is not None:
            why = "the dealing desk never had it"
            await self._say(engine, "reconcile", settle=untrue, why=why, by="person")
            return
        chance, broker = self._chance, self._chance.choice((None, *self._world.accounts))
        working = [
            each.client_order_id
            for account in engine.book.accounts.values()
            for each in account.working.values()
            if each.instrument == SYMBOL
        ]
        held = sum(
            abs(account.holdings[SYMBOL].quantity)
            for account in engine.book.accounts.values()
            if SYMBOL in account.holdings
        )
        drawn = chance.random()
        if working and drawn < 0.45:
            changed: dict[str, Any] = {"quantity": 1000}
            if chance.random() < 0.8:
                changed = {chance.choice(("limit", "limit", "stop")): self._near(engine, 0)}
            await self._say(engine, "modify", target=chance.choice(working), **changed, by="person")
        elif working and drawn < 0.6:
            await self._say(engine, "cancel", order=chance.choice(working), by="person")
        elif held >= _ENOUGH or (held and drawn < 0.7):
            await self._say(engine, "close", symbol=SYMBOL, by="person")
        else:
            await self._say(engine, "order", **self._order(engine), broker=broker, by="person")

    def _order(self, engine: Engine) -> dict[str, Any]:
        kind = self._chance.choice(("market", "limit", "limit", "limit", "stop"))
        side = self._chance.choice((1, -1))
        asked: dict[str, Any] = {
            "side": "buy" if side > 0 else "sell",
            "symbol": SYMBOL,
            "quantity": 1000 * self._chance.randint(1, 2),
        }
        # On the side where it rests: a limit below the market buys later, a stop above it.
        away = {"market": 0, "limit": -side, "stop": side}[kind]
        return asked if kind == "market" else asked | {kind: self._near(engine, away)}

    def _near(self, engine: Engine, away: int) -> Decimal:
        """Return a price above or below the market, or either, which it may reach in some hours."""
        quote: Quote | None = next(
            (
                account.quotes[SYMBOL]
                for account in engine.book.accounts.values()
                if SYMBOL in account.quotes
            ),
            None,
        )
        around = Decimal(1) if quote is None else quote.bid
        away = away or self._chance.choice((1, -1))
        return round(around * (1 + Decimal(away * self._chance.randint(3, 40)) / 10_000), 5)

    async def _say(self, engine: Engine, command: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - a command's
        said = {name: value for name, value in arguments.items() if value is not None}
        try:
            answer = await Commands(engine).run(command, said)
        except MtquantError as error:
            self._world.note(f"person: {command} {said}: {error}")
            return {}
        if command not in {"orders", "positions"}:
            self._world.note(f"person: {command} {said}: done")
        return dict(answer)
