"""An agent that obeys whoever attacks, a real desk to attack, and an oracle that reads the venue.

The oracle believes nothing that the desk, the book or the gate say: what was executed stands in
the paper accounts' own records, and whose order it was in the journal.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import anyio
from tests.gateway.payloads import CORPUS
from tests.gateway.reading import Venue, catalogue

from mtquant.agents.answer import Answer, Ask
from mtquant.agents.desk import TOOLS, AgentDesk
from mtquant.agents.reading import NAMES
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.registry import Registry
from mtquant.clock import SECOND, Ids, ManualClock, SystemClock, seeded
from mtquant.config import Config
from mtquant.contract import Agent, AgentBudget, AgentScope, Broker, Source
from mtquant.control.commands import Commands
from mtquant.control.finding import refresh
from mtquant.decide import Decider
from mtquant.engine import Engine, Wiring
from mtquant.errors import MtquantError
from mtquant.exchange import PaperSettings
from mtquant.journal import Journal
from mtquant.ledger import Ledger
from mtquant.link import Link
from mtquant.making import make_gate, make_rules
from mtquant.model import Fill, Mode
from mtquant.pool import Session, Watch
from mtquant.symbols import Spelling
from mtquant.wire import Remote, serve

D = Decimal
DAY = 86_400
NOTIONAL = D(100_000)
ORDERS = 12
LOSS = D(2000)
ALLOWED = ("EUR/USD", "USD/JPY")
SYMBOLS = {"desk": ("EUR/USD", "USD/JPY", "GBP/USD"), "spare": ("EUR/USD", "USD/JPY", "GBP/USD")}
DRIFT = D("1.03")
"""How far a price may move, as a factor, between an order's check and its execution."""
CANARY = "canary-S3cr3tBr0kerK3y-0123456789abcdef"
"""A broker's secret, which its error messages quote."""
_R, _P, _T, _A = AgentScope
SCOPES: Mapping[str, tuple[AgentScope, ...]] = {
    "mallory": (_R, _P, _T),
    "eve": (_R, _P, _T),
    "semi": (_R, _P, _T),
    "proposer": (_R, _P),
    "reader": (_R,),
    "boss": (_R, _A),
}
MODES = {"semi": Mode.SEMI, "proposer": Mode.SEMI}
BUDGET = AgentBudget(
    instruments=ALLOWED,
    notional=NOTIONAL,
    orders=ORDERS,
    loss=LOSS,
    strategies=("sma_cross",),
    calls_per_second=1000,
)
_CONFIG: Mapping[str, Any] = {
    "market": {"feed": "live", "timeframe": "H1"},
    "approval": {"max_drift": "0.5"},
    "risk": {
        "sizer": {"plugin": "fixed_fraction", "fraction": "0.0001"},
        # Whatever else would stop an attack is switched off: the budget stands alone.
        "checks": dict.fromkeys(
            (
                "currency_exposure",
                "duplicate",
                "margin",
                "notional",
                "open_orders",
                "order_size",
                "portfolio_risk",
                "position_limit",
                "price_collar",
                "repeated_order",
                "stale_price",
                "throttle",
            ),
            False,
        ),
    },
}
PRICES = {"plugin": "walk", "seed": 3, "bars": 1000, "timeframe": "H1"}
HISTORY = 200


@cache
def prices() -> Source[Any]:
    """Return where the accounts' prices come from: a walk that is walked once for all tests."""
    settings = {key: each for key, each in PRICES.items() if key != "plugin"}
    source: Source[Any] = catalogue().make("source", "walk", settings)
    source.arrays = cache(source.arrays)  # type: ignore[method-assign]
    return source


def agents() -> list[Agent]:
    """Return those who are enrolled at first."""
    return [
        Agent(name=name, scopes=scopes, mode=MODES.get(name, Mode.AUTO), budget=BUDGET)
        for name, scopes in SCOPES.items()
    ]


@dataclass(frozen=True, slots=True)
class Executed:
    """One execution as a venue has it, and whose order it was; ``worth`` is in USD."""

    account: str
    source: str
    opens: bool
    fill: Fill
    worth: Decimal


class Scene:
    """Agents, an engine in memory, and two paper accounts on disk in ``folder``.

    ``heard`` is every text that an agent got, from whatever it tried.
    """

    engine: Engine
    desk: AgentDesk
    commands: Commands

    def __init__(self, folder: Path, **table: Any) -> None:  # noqa: ANN401 - a configuration's
        self.folder = folder
        self.clock = ManualClock()
        self.venues: dict[str, Venue] = {}
        self.heard: list[str] = []
        self.calls = 0
        self.tokens: dict[str, str] = {}
        self.codes: set[str] = set()
        self._table = {**_CONFIG, **table}
        self._runs = 0
        for each in agents():
            self.tokens[each.name] = self.registry.add(each)

    @property
    def registry(self) -> Registry:
        """Return the registry, which lies in the state folder."""
        return Registry(self.folder / "state")

    # --- the engine --------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Scene]:
        """Run an engine on what lies in the folder; at a second time it recovers."""
        self._runs += 1
        engine = self.engine = self._engine()
        ready, over = anyio.Event(), anyio.Event()

        async def feed(_: Engine) -> None:
            await self.refresh()
            ready.set()
            await over.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(engine.run, feed)
            await ready.wait()
            self.commands = Commands(engine)
            self.desk = AgentDesk(engine, self.commands, catalogue())
            self.commands.add(self.desk.commands())
            yield self
            over.set()

    def _engine(self) -> Engine:
        brokers = {
            name: {
                "plugin": "paper",
                "prices": PRICES,
                "symbols": list(symbols),
                "history": HISTORY,
                "balance": "10000000",
            }
            for name, symbols in SYMBOLS.items()
        }
        config = Config.read({**self._table, "brokers": brokers}, "")
        clock = self.clock

        def link(name: str) -> Link:
            wanted = config.brokers[name].settings | {"account_id": name}

            @asynccontextmanager
            async def connect() -> AsyncIterator[Broker]:
                paper = PaperSettings.read(wanted, name)
                venue = Venue(paper, prices(), self.folder / name, SystemClock())
                self.venues[name] = venue
                clock.set(venue.now())
                ledger = Ledger(self.folder / f"{name}.db", SystemClock())
                async with Remote(serve(venue, ledger=ledger)) as remote:
                    yield remote

            return Link(name, [Session(name, connect, Watch(), seeded(1))], Spelling())

        decider = Decider(
            [],
            make_gate(config, catalogue(), clock),
            Ids(clock, seeded(self._runs)),
            rules=make_rules(config, passive=False),
        )
        return Engine(
            Wiring(
                clock=clock,
                journal=Journal(self.folder / "state", clock),
                decider=decider,
                links={name: link(name) for name in SYMBOLS},
                preference=config.preference,
                symbols=SYMBOLS["desk"],
                agents=self.registry.agents,
            )
        )

    def killed(self) -> Scene:
        """Return a scene on what is on disk now: an engine that dies here leaves no more."""
        grave = self.folder.with_name(f"{self.folder.name}-{self._runs}")
        shutil.copytree(self.folder, grave, ignore=shutil.ignore_patterns("journal.lock", "*.pid"))
        after = Scene.__new__(Scene)
        after.__dict__ |= self.__dict__ | {"folder": grave, "venues": {}}
        return after

    async def refresh(self) -> None:
        """Take in every account's money and prices."""
        for name, symbols in SYMBOLS.items():
            for symbol in symbols:
                await refresh(self.engine, name, symbol)

    async def passes(self, seconds: int) -> None:
        """Let time pass at the venues and here, and take in what happened."""
        time = self.clock.now() + seconds * SECOND
        for link in self.engine.wiring.links.values():
            await link.advance(time)
        self.clock.set(time)
        for link in self.engine.wiring.links.values():
            await self.engine.desk.catch_up(link)
        await self.engine.idle()
        await self.refresh()

    # --- what the agent does -----------------------------------------------------------------

    async def call(self, agent: str, tool: str, **arguments: Any) -> Answer:  # noqa: ANN401
        """Call a tool, and keep what came back."""
        return await self.ask(agent, tool, arguments)

    async def ask(
        self, agent: str, tool: str, arguments: Mapping[str, Any], *, dry_run: bool = False
    ) -> Answer:
        """Call a tool with whatever arguments, and keep what came back."""
        self.calls += 1
        answer = await self.desk.call(agent, tool, arguments, dry_run=dry_run)
        self.hear(answer)
        return answer

    async def answer(
        self, agent: str, number: int, digest: str, code: str, *, approve: bool = True
    ) -> Answer:
        """Answer a proposal as the agent's client does."""
        answer = await self.desk.answer(agent, number, digest, approve=approve, code=code)
        self.hear(answer)
        return answer

    def hear(self, answer: Answer) -> None:
        """Keep what an agent was answered, and the codes of what waits now."""
        self.heard.append(json.dumps(answer.dump(), ensure_ascii=False))
        for each in self.engine.book.suggestions.values():
            self.codes.add(self.commands.codes.code(each.number, each.digest))

    async def buy(self, agent: str, name: str, quantity: int, **more: Any) -> Answer:  # noqa: ANN401
        """Place an order for EUR/USD at the market, or as ``more`` says."""
        asked = {"symbol": "EUR/USD", "side": "buy", "quantity": str(quantity)} | more
        return await self.ask(agent, "place_order", {"client_order_id": name} | asked)

    async def read_all(self, agent: str) -> None:
        """Read every resource, and call every tool that needs no argument."""
        for name in (*NAMES, "secrets", "../state/agents.json"):
            self.calls += 1
            try:
                self.heard.append(json.dumps(await self.desk.read(agent, name)))
            except AgentRefused as refused:
                self.heard.append(json.dumps(refused.payload()))
        for name, tool in TOOLS.items():
            if not tool.spec.input_schema.get("required") and not tool.mark.changes:
                await self.ask(agent, name, {})

    async def person(self, command: str, number: int) -> Mapping[str, Any]:
        """Answer a proposal as a person does, in another terminal."""
        body = {"number": number, "by": "person", "why": "said so"}
        done: Mapping[str, Any] = await self.commands.run(command, body)
        return done

    def code(self, number: int) -> str:
        """Return the code that a person would be shown."""
        return self.commands.codes.code(number, self.engine.book.suggestions[number].digest)

    # --- the oracle --------------------------------------------------------------------------

    def journal(self) -> list[tuple[str, dict[str, Any]]]:
        """Return every entry's kind and body."""
        self.engine.wiring.journal.flush()
        return [(each.kind, each.body) for each in self.engine.wiring.journal.entries()]

    async def executed(self) -> list[Executed]:
        """Return every execution at the venues."""
        self.engine.wiring.journal.flush()
        whose = {
            each.body["client_order_id"]: each.body
            for each in self.engine.wiring.journal.entries("agent_request")
            if each.body["client_order_id"]
        }
        found: list[Executed] = []
        for account, venue in self.venues.items():
            for fill in (await venue.list_fills(limit=1000)).fills:
                symbol = venue.ours(fill.instrument)
                request = whose.get(fill.client_order_id or "", {})
                each = fill.price if symbol.endswith("/USD") else D(1)
                found.append(
                    Executed(
                        account=account,
                        source=str(request.get("source", "")),
                        opens=bool(request.get("opens")),
                        fill=fill,
                        worth=fill.quantity * each,
                    )
                )
        return found

    async def judge(self) -> None:
        """Assert that no agent went past its budget, and that nothing secret got out."""
        executed = await self.executed()
        for name in {each.source for each in executed if each.source}:
            self._judge_opened(name, [each for each in executed if each.source == name])
        self._judge_held(executed)
        self._judge_secrets()
        self._judge_trail()

    def _judge_opened(self, source: str, done: list[Executed]) -> None:
        opened = [each for each in done if each.opens]
        for last in opened:
            since = last.fill.time - DAY * SECOND
            day = [each for each in opened if since < each.fill.time <= last.fill.time]
            worth = sum((each.worth for each in day), D(0))
            assert worth <= NOTIONAL * DRIFT, (source, worth)
            assert len({each.fill.order_id for each in day}) <= ORDERS, source
        symbols = {self.venues[each.account].ours(each.fill.instrument) for each in done}
        assert symbols <= set(ALLOWED), (source, symbols)

    @staticmethod
    def _judge_held(executed: list[Executed]) -> None:
        """Follow each position from flat to flat: one agent's alone, and never past its budget."""
        held: dict[tuple[str, str], tuple[str, Decimal, Decimal]] = {}
        for each in sorted(executed, key=lambda each: each.fill.time):
            where = each.account, each.fill.instrument
            owner, net, _ = held.get(where, ("", D(0), D(0)))
            owner = owner if net else each.source
            assert each.source in {owner, ""}, (each.source, owner)
            net += each.fill.side.sign * each.fill.quantity
            held[where] = owner, net, each.worth / each.fill.quantity
            worth = sum(abs(net) * rate for name, net, rate in held.values() if name == owner)
            assert worth <= NOTIONAL * DRIFT, (owner, worth)

    def _judge_secrets(self) -> None:
        secrets = {CANARY, *self.tokens.values()}
        heard = "\n".join(self.heard)
        written = "\n".join(json.dumps(body, ensure_ascii=False) for _, body in self.journal())
        for each in secrets | self.codes:
            assert each not in heard, each
            assert each not in written, each

    def _judge_trail(self) -> None:
        if self._runs > 1:
            return  # what a killed engine had only counted is gone with it
        self.desk._trail.settle()
        counted = 0
        for kind, body in self.journal():
            if kind == "agent_call":
                counted += 1
            elif kind == "agent_reads":
                counted += sum(body["calls"].values())
        assert counted == self.calls


# --- an agent that draws lots -------------------------------------------------------------------

_TRADERS = ("mallory", "mallory", "eve", "semi")
_NEAR = ("0.97", "0.998", "0.9999", "1", "1.0001", "1.002", "1.03")


class Lots:
    """Draws calls of tools and their arguments, some of them hostile; seeded."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        self._draw = seeded(seed)
        self._made = 0
        self.symbol = "EUR/USD"
        self._asks: list[tuple[str, Ask, str]] = []

    async def step(self) -> None:
        """Do one thing: mostly a call, now and then what else goes on in the world."""
        lot = self._draw.random()
        if lot < 0.06:
            await self._scene.passes(self._draw.choice((*(61,) * 6, 3600)))
        elif lot < 0.1 and self._scene.engine.book.suggestions:
            number = self._draw.choice(list(self._scene.engine.book.suggestions))
            with suppress(MtquantError):
                await self._scene.person(self._draw.choice(("approve", "reject")), number)
        elif lot < 0.13 and self._asks:
            await self._answer()
        elif lot < 0.2:
            async with anyio.create_task_group() as group:
                for _ in range(self._draw.randint(2, 8)):
                    group.start_soon(self._call)
        else:
            await self._call()

    async def _call(self) -> None:
        tool = self._draw.choice((*_OFTEN, *TOOLS))
        agent = self._draw.choice((*_TRADERS * 5, *SCOPES, "nobody"))
        self.symbol = self._draw.choice(ALLOWED)
        if tool in {"run_backtest", "halt_trading"}:
            return
        properties = TOOLS[tool].spec.input_schema["properties"]
        required = TOOLS[tool].spec.input_schema.get("required", ())
        asked = {
            name: self._value(name)
            for name in properties
            if name in required or self._draw.random() < 0.15
        }
        if self._draw.random() < 0.03:
            asked[self._text()] = True
        answer = await self._scene.ask(agent, tool, asked, dry_run=self._draw.random() < 0.03)
        if answer.ask is not None:
            self._asks.append((agent, answer.ask, ""))

    async def _answer(self) -> None:
        agent, ask, _ = self._draw.choice(self._asks)
        if self._draw.random() < 0.3:
            agent = self._draw.choice((*SCOPES, "nobody"))
        code = self._text()
        known = ask.number in self._scene.engine.book.suggestions
        if known and self._draw.random() < 0.2:
            code = self._scene.code(ask.number)
        await self._scene.answer(agent, ask.number, ask.digest, code)

    def _value(self, name: str) -> Any:  # noqa: ANN401 - whatever an argument may be
        if self._draw.random() < 0.01:
            return self._draw.choice((self._text(), None, True, -1, float("nan"), "1e400", [], {}))
        return _VALUES.get(name, Lots._text)(self)

    def _text(self) -> str:
        return self._draw.choice(CORPUS).text

    def name(self) -> str:
        """Return an id: a new one, or one that was used before."""
        self._made += 1
        new = self._draw.random() < 0.7  # else one that exists, whosever it is
        return f"n{self._made if new else self._draw.randint(1, self._made)}"

    def price(self) -> str:
        """Return a price near the market's, or far from it."""
        quote = self._scene.engine.book.account("desk").quotes[self.symbol]
        far = self._draw.random() < 0.1
        factor = D(self._draw.choice(("0.001", "0.5", "2", "50") if far else _NEAR))
        return str((quote.ask * factor).quantize(D("0.001")))

    def quantity(self) -> str:
        """Return a size, most of them on the step."""
        return str(1000 * self._draw.choice((1, 2, 3, 5, 8, 10, 15, 30, 60, 120, 1000)))

    def one_of(self, *values: Any) -> Any:  # noqa: ANN401 - whatever is given
        """Return one of ``values``."""
        return self._draw.choice(values)


_OFTEN = (
    *("place_order",) * 12,
    *("propose_trade", "modify_order", "close_position", "set_protection") * 3,
    *("cancel_order", "withdraw_proposal"),
)
_VALUES: Mapping[str, Callable[[Lots], Any]] = {
    "client_order_id": Lots.name,
    "symbol": lambda lots: lots.one_of(*(lots.symbol,) * 12, "GBP/USD", "X"),
    "symbols": lambda lots: [lots.one_of("EUR/USD", "USD/JPY")],
    "side": lambda lots: lots.one_of("buy", "sell"),
    "quantity": Lots.quantity,
    "limit_price": Lots.price,
    "stop_price": Lots.price,
    "stop_loss": Lots.price,
    "take_profit": Lots.price,
    "account": lambda lots: lots.one_of("desk", "desk", "spare", "spare", None, "other"),
    "confidence": lambda lots: lots.one_of(0.0, 0.5, 1.0, 2.0),
    "everything": lambda lots: lots.one_of(False, False, True),
    "timeframe": lambda _: "H1",
    "count": lambda _: 10,
    "limit": lambda _: 5,
    "position_id": lambda lots: lots.one_of(None, "EURUSD", "1"),
}
