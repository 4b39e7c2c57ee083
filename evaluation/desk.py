"""A trading desk in memory for one task: an engine, two paper accounts, one agent, a record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import anyio

from mtquant.agents.answer import Answer
from mtquant.agents.desk import TOOLS, AgentDesk
from mtquant.clock import Ids, ManualClock, SystemClock, seeded
from mtquant.config import Config
from mtquant.contract import Agent, AgentScope, Broker
from mtquant.control.commands import Commands
from mtquant.control.finding import refresh
from mtquant.decide import Decider
from mtquant.engine import Engine, Wiring
from mtquant.exchange import PaperSettings, Terms, instrument
from mtquant.journal import Journal
from mtquant.ledger import Ledger
from mtquant.link import Link
from mtquant.making import make_gate, make_rules
from mtquant.model import Instruments, Mode, OrderReport, Position
from mtquant.plugins import Catalogue, load_catalogue
from mtquant.pool import Session, Watch
from mtquant.symbols import Spelling
from mtquant.wire import Remote, serve
from mtquant_paper_server.broker import PaperBroker

SYMBOLS = {"desk": ("EUR/USD", "USD/JPY"), "spare": ("EUR/USD", "GBP/USD")}
PRICES: Mapping[str, Any] = {"seed": 3, "bars": 300, "timeframe": "H1"}
PLANTED = "XAU/USD"
_CONFIG: Mapping[str, Any] = {
    "market": {"feed": "live", "timeframe": "H1"},
    "approval": {"expires_s": 86_400},
    "risk": {
        "sizer": {"plugin": "fixed_fraction", "fraction": "0.001"},
        "checks": {"stale_price": False},
    },
}


@cache
def catalogue() -> Catalogue:
    """Return what is installed."""
    return load_catalogue()


class Venue(PaperBroker):
    """A paper account that lists, beside its own, an instrument with a planted description."""

    planted = ""

    async def search_instruments(self, *arguments: Any, **more: Any) -> Instruments:  # noqa: ANN401, D102 - the contract's
        found = await super().search_instruments(*arguments, **more)
        if not self.planted:
            return found
        extra = replace(instrument(PLANTED, Terms()), description=self.planted)
        return replace(found, instruments=(*found.instruments, extra))


class Place:
    """What runs for a task: the desk that the agent is served from, and what it called."""

    def __init__(self, folder: Path, agent: Agent, planted: str = "") -> None:
        self.folder, self.agent = folder, agent
        self.venues: dict[str, Venue] = {}
        self.called: list[tuple[str, Mapping[str, Any], Answer]] = []
        self._planted = planted
        self._clock = ManualClock()
        self._enrolled = agent

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Place]:
        """Run the engine."""
        self.engine = self._engine()
        ready, over = anyio.Event(), anyio.Event()

        async def feed(engine: Engine) -> None:
            for name, symbols in SYMBOLS.items():
                for symbol in symbols:
                    await refresh(engine, name, symbol)
            ready.set()
            await over.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(self.engine.run, feed)
            await ready.wait()
            self.commands = Commands(self.engine)
            self.desk = Recorded(self)
            yield self
            over.set()

    async def prepare(self, step: Mapping[str, Any]) -> None:
        """Bring about what a task finds: its own trades, a halt, a proposal that waits."""
        body = {key: value for key, value in step.items() if key != "do"}
        if step["do"] == "halt":
            await self.commands.run("halt", {"by": "person"} | body)
            return
        powers = {"scopes": tuple(AgentScope), "mode": Mode.AUTO}
        if step["do"] == "propose_trade":
            powers["mode"] = Mode.SEMI
        self._enrolled = self.agent.model_copy(update=powers)
        answer = await AgentDesk.call(self.desk, self.agent.name, step["do"], body, dry_run=False)
        self._enrolled = self.agent
        if answer.error or (answer.value or {}).get("status") == "vetoed":
            raise AssertionError(f"the task can't be prepared: {answer.text}")

    def positions(self) -> list[tuple[str, str, Position]]:
        """Return what the venues hold, by account and symbol."""
        return [
            (name, each.instrument, each)
            for name, venue in self.venues.items()
            for each in venue.exchange.positions()
        ]

    def orders(self) -> list[tuple[str, str, OrderReport]]:
        """Return what works at the venues and protects no position, by account and symbol."""
        return [
            (name, each.instrument, each)
            for name, venue in self.venues.items()
            for each in venue.exchange.orders.values()
            if not each.status.terminal and each.position_id is None
        ]

    def sent(self) -> int:
        """Return how many orders have come to the venues, protections apart."""
        return sum(
            each.client_order_id is not None
            for venue in self.venues.values()
            for each in venue.exchange.orders.values()
        )

    def price(self, symbol: str) -> Decimal:
        """Return what a buyer pays now."""
        (name,) = [name for name, each in SYMBOLS.items() if symbol in each][:1]
        return self.venues[name].exchange.quotes[symbol].ask

    def _engine(self) -> Engine:
        brokers = {
            name: {
                "plugin": "paper",
                "prices": {"plugin": "walk"} | dict(PRICES),
                "symbols": list(symbols),
                "history": 200,
                "instruments": {
                    symbol: {"spread_pips": "3"} for symbol in symbols if symbol == "USD/JPY"
                },
            }
            for name, symbols in SYMBOLS.items()
        }
        config = Config.read({**_CONFIG, "brokers": brokers}, "")
        clock = self._clock
        decider = Decider(
            [],
            make_gate(config, catalogue(), clock),
            Ids(clock, seeded(1)),
            rules=make_rules(config, passive=False),
        )
        return Engine(
            Wiring(
                clock=clock,
                journal=Journal(self.folder / "state", clock),
                decider=decider,
                links={name: self._link(config, name) for name in SYMBOLS},
                preference=config.preference,
                symbols=SYMBOLS["desk"],
                agents=lambda: {self._enrolled.name: self._enrolled},
            )
        )

    def _link(self, config: Config, name: str) -> Link:
        wanted = dict(config.brokers[name].settings) | {"account_id": name}
        source = catalogue().make("source", "walk", PRICES)

        @asynccontextmanager
        async def connect() -> AsyncIterator[Broker]:
            venue = Venue(
                PaperSettings.read(wanted, name), source, self.folder / name, SystemClock()
            )
            venue.planted = self._planted
            self.venues[name] = venue
            self._clock.set(venue.now())
            ledger = Ledger(self.folder / f"{name}.db", SystemClock())
            async with Remote(serve(venue, ledger=ledger)) as remote:
                yield remote

        return Link(name, [Session(name, connect, Watch(), seeded(1))], Spelling())


class Recorded(AgentDesk):
    """The desk that keeps each call and its answer, for the checks."""

    tools = TOOLS

    def __init__(self, place: Place) -> None:
        super().__init__(place.engine, place.commands, catalogue())
        self._place = place

    async def call(
        self, agent: str, tool: str, arguments: Mapping[str, Any], *, dry_run: bool
    ) -> Answer:
        """Call a tool, and keep what was asked and answered."""
        answer = await super().call(agent, tool, arguments, dry_run=dry_run)
        self._place.called.append((tool, dict(arguments), answer))
        return answer
