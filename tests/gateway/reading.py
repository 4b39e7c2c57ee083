"""A real engine over paper accounts in memory, for the tools of agents that read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from mtquant.agents.tool import AgentTool, Caller
from mtquant.clock import SECOND, Ids, ManualClock, SystemClock, seeded
from mtquant.config import Config
from mtquant.contract import Agent, AgentBudget, AgentScope, Broker
from mtquant.control.finding import refresh
from mtquant.decide import AgentOrdered, AgentsEnrolled, Decider
from mtquant.engine import Engine, Wiring
from mtquant.exchange import PaperSettings
from mtquant.journal import Journal
from mtquant.ledger import Ledger
from mtquant.link import Link
from mtquant.making import make_gate, make_rules
from mtquant.model import Instrument, OrderRequest, OrderType, Side, Signal
from mtquant.plugins import Catalogue, load_catalogue
from mtquant.pool import Session, Watch
from mtquant.symbols import Spelling
from mtquant.wire import Remote, serve
from mtquant_paper_server.broker import PaperBroker

D = Decimal
HISTORY = 1500
BUDGET = AgentBudget(
    instruments=("EUR/USD", "USD/JPY"),
    notional=D(500_000),
    orders=20,
    loss=D(2000),
    strategies=("sma_cross",),
)
AGENT = Agent(name="claude", scopes=(AgentScope.READ, AgentScope.TRADE), mode="auto", budget=BUDGET)
OTHER = AGENT.model_copy(update={"name": "other"})
BOSS = AGENT.model_copy(update={"name": "boss", "scopes": (AgentScope.READ, AgentScope.ADMIN)})
CLAUDE = Caller(AGENT)


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


class Venue(PaperBroker):
    """A paper account whose answers a test may bend; ``asked`` counts calls for bars."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments)
        self.asked = 0
        self.bend: Callable[[str, Any], Any] = lambda _, answer: answer
        self.listed: list[Instrument] = []

    async def get_quotes(self, instruments: tuple[str, ...]) -> Any:  # noqa: ANN401
        return self.bend("get_quotes", await super().get_quotes(instruments))

    async def get_bars(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        self.asked += 1
        return self.bend("get_bars", await super().get_bars(*arguments, **more))

    async def search_instruments(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        found = await super().search_instruments(*arguments, **more)
        return replace(found, instruments=(*found.instruments, *self.listed))


class Place:
    """An engine that runs, and its venues by account."""

    def __init__(self, engine: Engine, venues: Mapping[str, Venue]) -> None:
        self.engine, self.venues = engine, venues

    async def see(self, account: str = "desk", symbol: str = "EUR/USD") -> None:
        """Take in money and prices."""
        await refresh(self.engine, account, symbol)

    async def moved(self, hours: int) -> None:
        """Let ``hours`` pass at every account, and take in what happened."""
        time = self.engine.wiring.clock.now() + hours * 3600 * SECOND
        for link in self.engine.wiring.links.values():
            await link.advance(time)
        self.engine.wiring.clock.set(time)  # type: ignore[attr-defined]
        for link in self.engine.wiring.links.values():
            await self.engine.desk.catch_up(link)

    async def order(
        self, source: str, quantity: int, number: int, *, why: str = "", symbol: str = "EUR/USD"
    ) -> None:
        """Send an agent's order through the gate."""
        await self.see(symbol=symbol)
        now = self.engine.wiring.clock.now()
        order = OrderRequest(
            client_order_id=f"c{number}",
            instrument=symbol,
            side=Side.BUY if quantity > 0 else Side.SELL,
            order_type=OrderType.MARKET,
            quantity=D(abs(quantity)),
            stop_loss=D("1.0") if quantity > 0 else None,
        )
        signal = Signal(
            strategy_id=source,
            instrument=symbol,
            time=now,
            direction=order.side.sign,
            reason=why or "because",
        )
        self.engine.emit(
            AgentOrdered(
                time=now,
                account="desk",
                signal=signal,
                order=order,
                request=f"r{number}",
                digest="d",
                asks=False,
            )
        )
        await self.engine.idle()


async def read(
    folder: Path,
    use: Callable[[Place], Awaitable[None]],
    *,
    hostile: list[Instrument] | None = None,
    table: Mapping[str, Any] | None = None,
) -> None:
    """Run an engine over the accounts desk (EUR/USD, USD/JPY) and spare (EUR/USD, GBP/USD)."""
    prices = {"plugin": "walk", "seed": 3, "bars": 2000, "timeframe": "H1"}
    symbols = {"desk": ["EUR/USD", "USD/JPY"], "spare": ["EUR/USD", "GBP/USD"]}
    brokers = {
        name: {"plugin": "paper", "prices": prices, "symbols": each, "history": HISTORY}
        for name, each in symbols.items()
    }
    made: dict[str, Any] = {
        "market": {"feed": "live", "timeframe": "H1"},
        "brokers": brokers,
        "risk": {"sizer": {"plugin": "fixed_fraction", "fraction": "0.001"}},
    } | dict(table or {})
    config = Config.read(made, "")
    source = catalogue().make("source", "walk", {k: v for k, v in prices.items() if k != "plugin"})
    clock = ManualClock()
    venues: dict[str, Venue] = {}

    def link(name: str) -> Link:
        settings = PaperSettings.read(config.brokers[name].settings | {"account_id": name}, name)

        @asynccontextmanager
        async def connect() -> AsyncIterator[Broker]:
            venue = venues[name] = Venue(settings, source, folder / name, SystemClock())
            venue.listed = list(hostile or ()) if name == "spare" else []
            clock.set(venue.now())
            ledger = Ledger(folder / f"{name}.db", SystemClock())
            async with Remote(serve(venue, ledger=ledger)) as remote:
                yield remote

        return Link(name, [Session(name, connect, Watch(), seeded(1))], Spelling())

    decider = Decider(
        [],
        make_gate(config, catalogue(), clock),
        Ids(clock, seeded(5)),
        rules=make_rules(config, passive=False),
    )
    engine = Engine(
        Wiring(
            clock=clock,
            journal=Journal(folder / "state", clock),
            decider=decider,
            links={name: link(name) for name in symbols},
            preference=config.preference,
            symbols=("EUR/USD", "USD/JPY"),
        )
    )

    async def feed(engine: Engine) -> None:
        agents = {each.name: each for each in (AGENT, OTHER, BOSS)}
        engine.emit(AgentsEnrolled(time=clock.now(), agents=agents))
        for name, each in symbols.items():
            await refresh(engine, name, each[0])
        await use(Place(engine, venues))

    await engine.run(feed)


def told(tool: AgentTool, answer: object) -> tuple[dict[str, Any], int]:
    """Return a tool's answer as agents get it, and its size in bytes."""
    value, text = tool.spec.dump_result(answer)
    return value, len(text.encode())


def listed(tools: Mapping[str, AgentTool]) -> int:
    """Return how many bytes ``tools`` take in the list of tools."""
    rows = [
        {
            "name": name,
            "title": each.mark.title,
            "description": each.spec.description,
            "inputSchema": each.spec.input_schema,
            "outputSchema": each.spec.output_schema,
        }
        for name, each in tools.items()
    ]
    return len(json.dumps(rows, separators=(",", ":")).encode())
