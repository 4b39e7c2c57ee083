"""The whole engine over real MCP in memory: two paper brokers, replayed walks, deaths, restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from mtquant.audit import audit
from mtquant.cli.recorder import Recorder
from mtquant.clock import Ids, ManualClock, SystemClock, seeded
from mtquant.contract import Broker
from mtquant.control.commands import Commands
from mtquant.decide import Decider, Submit
from mtquant.engine import Engine, Wiring
from mtquant.errors import ConfigError, JournalError, OutcomeUnknown
from mtquant.exchange import PaperSettings
from mtquant.feed import Replay
from mtquant.journal import Journal
from mtquant.ledger import Ledger
from mtquant.link import Link
from mtquant.model import OrderReport, OrderRequest, OrderType, Side, TimeInForce
from mtquant.orders import Stage, Ticket
from mtquant.plugins import load_catalogue
from mtquant.pool import ConnectionState, Session, Watch
from mtquant.risk import BreakerRules, Gate
from mtquant.symbols import Spelling, SymbolMap
from mtquant.wire import Remote, serve
from mtquant_paper_server.broker import PaperBroker

pytestmark = pytest.mark.anyio
SYMBOLS = ("EUR/USD", "GBP/USD", "USD/JPY")
CATALOGUE = load_catalogue()
WALK = {"seed": 3, "bars": 260, "timeframe": "H1"}


# Both see the same engine: the second library is the slow tests' to run.
@pytest.fixture(params=["asyncio", pytest.param("trio", marks=pytest.mark.slow)])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Dying(Broker):
    """Hands every call to ``inner``; at the chosen order, dies before or after it is taken."""

    def __init__(self, inner: Broker, venue: Venue) -> None:
        self._inner = inner
        self._venue = venue

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - any tool
        if name in {"place_order", "closed"} or name.startswith("_"):
            return super().__getattribute__(name)
        if super().__getattribute__("_venue").dead:
            raise OutcomeUnknown("the connection is gone")
        return getattr(super().__getattribute__("_inner"), name)

    async def place_order(self, order: OrderRequest) -> OrderReport:
        venue = self._venue
        venue.placed += 1
        if venue.on_place is not None:
            await venue.on_place()
        if venue.placed == venue.dies_at:
            if venue.takes_it:
                await self._inner.place_order(order)
            venue.dead = self.closed = True
            raise OutcomeUnknown("the connection failed before the answer came")
        return await self._inner.place_order(order)


@dataclass
class Venue:
    """One account's server, which outlives engines; ``hold`` keeps it from coming back."""

    name: str
    folder: Path
    spelling: Spelling
    step: str = "1000"
    dies_at: int = -1
    takes_it: bool = True
    placed: int = 0
    dead: bool = False
    held: bool = False
    back: anyio.Event = field(default_factory=anyio.Event)
    on_place: Callable[[], Awaitable[object]] | None = None
    broker: type[Dying] = Dying

    def server(self) -> Any:  # noqa: ANN401 - the SDK's
        settings = PaperSettings.read(
            {
                "account_id": self.name,
                "spelling": self.spelling,
                "commission_per_million": "20",
                "quantity_step": self.step,
                "quantity_min": self.step,
            },
            self.name,
        )
        clock = SystemClock()
        source = CATALOGUE.make("source", "walk", WALK)
        broker = PaperBroker(settings, source, self.folder, clock)
        return serve(broker, ledger=Ledger(self.folder / "ledger.db", clock))

    def connect(self) -> AbstractAsyncContextManager[Broker]:
        @asynccontextmanager
        async def connected() -> AsyncIterator[Broker]:
            if self.held and self.dead:
                await self.back.wait()
            self.dead = False
            async with Remote(self.server()) as remote:
                yield self.broker(remote, self)

        return connected()


@dataclass
class Desk:
    """A folder with two venues, and engines over it one after the other."""

    folder: Path
    endpoints: int = 1
    venues: dict[str, Venue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, spelling, step in (
            ("paper-a", Spelling(suffix=".a"), "1000"),
            ("paper-b", Spelling(separator="_"), "100"),
        ):
            self.venues[name] = Venue(name, self.folder / name, spelling, step)

    @contextmanager
    def engine(self, replay: type[Replay] = Replay) -> Iterator[tuple[Engine, Replay, Recorder]]:
        clock = ManualClock()
        journal = Journal(self.folder / "journal", clock)
        source = CATALOGUE.make("source", "walk", WALK)
        bars = {symbol: source.bars(symbol) for symbol in SYMBOLS}
        clock.set(journal.newest_time() or bars["EUR/USD"].time[0])
        rng = seeded(7)

        def indicator(name: str, settings: Any) -> Any:  # noqa: ANN401 - plugins
            return CATALOGUE.make("indicator", name, settings)

        strategies = [
            CATALOGUE.make(
                "strategy",
                "sma_cross",
                {"fast": 3, "slow": 8},
                strategy_id="trend",
                instruments=(symbol,),
                timeframe=source.timeframe(),
                indicators=indicator,
            )
            for symbol in SYMBOLS
        ]
        gate = Gate(
            CATALOGUE.make("sizer", "fixed_fraction", {"fraction": "0.001"}),
            [CATALOGUE.make("check", name, {}) for name in CATALOGUE.names("check")],
            BreakerRules(),
        )
        recorder = Recorder()
        links = {name: self._link(venue) for name, venue in self.venues.items()}
        engine = Engine(
            Wiring(
                clock=clock,
                journal=journal,
                decider=Decider(strategies, gate, Ids(clock, rng)),
                links=links,
                preference=lambda _: ("paper-a", "paper-b"),
                symbols=SYMBOLS,
                observer=recorder,
            )
        )
        yield engine, replay(bars, clock), recorder

    def _link(self, venue: Venue) -> Link:
        watch = Watch(backoff_s=0.001, recheck_s=0.001)
        sessions = [
            Session(f"{venue.name}#{number}", connect, watch, seeded(number))
            for number, connect in enumerate([venue.connect, *self._spare(venue)])
        ]
        return Link(venue.name, sessions, venue.spelling)

    def _spare(self, venue: Venue) -> list[Callable[[], AbstractAsyncContextManager[Broker]]]:
        @asynccontextmanager
        async def connected() -> AsyncIterator[Broker]:
            async with Remote(venue.server()) as remote:
                yield remote

        return [connected] * (self.endpoints - 1)


def story(recorder: Recorder) -> list[tuple[Any, ...]]:
    return [
        (
            each.account,
            each.fill.time,
            each.fill.instrument,
            each.fill.side,
            each.fill.quantity,
            each.fill.price,
            each.fill.realized_profit,
        )
        for each in recorder.fills
    ]


async def run(desk: Desk, replay: type[Replay] = Replay) -> tuple[Engine, Recorder, Any]:
    found = []
    with desk.engine(replay) as (engine, feed, recorder):

        async def until_the_end(running: Engine) -> None:
            await feed(running)
            found.append(await audit(running))

        await engine.run(until_the_end)
    return engine, recorder, found[0]


async def test_a_quiet_run_trades_on_the_first_choice_and_the_books_agree(tmp_path: Path) -> None:
    engine, recorder, result = await run(Desk(tmp_path))
    assert result.clean, result
    assert len(recorder.fills) > 30
    assert {each.account for each in recorder.fills} == {"paper-a"}
    assert engine.failovers == 0
    assert all(ticket.settled for ticket in engine.desk.tickets.values())


@pytest.mark.slow
async def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    _, first, _ = await run(Desk(tmp_path / "1"))
    _, second, _ = await run(Desk(tmp_path / "2"))
    assert story(first) == story(second)
    assert first.equity == second.equity


@pytest.mark.parametrize("takes_it", [True, False])
@pytest.mark.parametrize(
    "dies_at", [1, *(pytest.param(each, marks=pytest.mark.slow) for each in (6, 15))]
)
async def test_a_broker_that_dies_with_an_order_in_flight(
    tmp_path: Path, *, dies_at: int, takes_it: bool
) -> None:
    desk = Desk(tmp_path)
    desk.venues["paper-a"].dies_at = dies_at
    desk.venues["paper-a"].takes_it = takes_it
    engine, _, result = await run(desk)
    assert result.clean, result
    doubted = [each for each in engine.desk.tickets.values() if each.was_in_doubt]
    expected = Stage.ACKNOWLEDGED if takes_it else Stage.PROVEN_ABSENT
    assert [each.stage for each in doubted] == [expected]


@pytest.mark.slow
async def test_while_a_broker_is_down_new_exposure_goes_to_the_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    victim = desk.venues["paper-a"]
    victim.dies_at, victim.held = 2, True

    class HeldReplay(Replay):
        down = 0

        async def before_step(self, time: int, engine: Engine) -> None:  # noqa: ARG002 - its base's
            self.down += victim.dead
            if self.down == 60:
                victim.back.set()
                while not engine.wiring.links["paper-a"].state().tradable:
                    await anyio.lowlevel.checkpoint()

    engine, recorder, result = await run(desk, HeldReplay)
    assert result.clean, result
    elsewhere = [each for each in recorder.fills if each.account == "paper-b"]
    assert engine.failovers > 0
    assert elsewhere
    # 1,000 is paper-a's step; the order was sized again for the account it went to.
    assert any(each.fill.quantity % 1000 for each in elsewhere)
    settled = [each for each in engine.desk.tickets.values() if each.was_in_doubt]
    assert all(each.settled for each in settled)
    assert not _held_twice(recorder)


def _held_twice(recorder: Recorder) -> list[str]:
    """Return instruments that were held at both accounts at once."""
    held: dict[tuple[str, str], Decimal] = {}
    found = []
    for each in recorder.fills:
        key = (each.account, each.fill.instrument)
        held[key] = held.get(key, Decimal(0)) + each.fill.side.sign * each.fill.quantity
        both = [held.get((name, each.fill.instrument)) for name in ("paper-a", "paper-b")]
        if all(both):
            found.append(each.fill.instrument)
    return found


SLOW = pytest.mark.slow


@pytest.mark.parametrize("crash_at", [pytest.param(each, marks=SLOW) for each in (20, 77, 140)])
async def test_an_engine_that_dies_goes_on_as_if_it_had_not(tmp_path: Path, crash_at: int) -> None:
    _, whole, _ = await run(Desk(tmp_path / "whole"))

    class Crash(Exception):
        pass

    class CrashingReplay(Replay):
        count = 0

        async def before_step(self, time: int, engine: Engine) -> None:  # noqa: ARG002 - its base's
            self.count += 1
            if self.count == crash_at:
                raise Crash

    desk = Desk(tmp_path / "broken")
    with (
        desk.engine(CrashingReplay) as (engine, feed, before),
        pytest.RaisesGroup(Crash, flatten_subgroups=True),
    ):
        await engine.run(feed)
    restarted, after, result = await run(desk)
    assert result.clean, result
    assert restarted.recovered.entries > 0
    assert story(before) + story(after) == story(whole)


@pytest.mark.slow
async def test_two_servers_before_one_account_the_second_takes_over(tmp_path: Path) -> None:
    desk = Desk(tmp_path, endpoints=2)
    victim = desk.venues["paper-a"]
    victim.dies_at, victim.held = 6, True
    engine, recorder, result = await run(desk)
    assert result.clean, result
    first, second = engine.wiring.links["paper-a"].sessions
    assert first.state is ConnectionState.DOWN
    assert second.statistics.calls > 0
    assert {each.account for each in recorder.fills} == {"paper-a"}
    doubted = [each for each in engine.desk.tickets.values() if each.was_in_doubt]
    assert [each.stage for each in doubted] == [Stage.ACKNOWLEDGED]


async def test_nothing_is_sent_when_the_journal_can_not_be_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    sent: list[Ticket] = []
    with desk.engine() as (engine, feed, recorder):
        journal = engine.wiring.journal
        write = journal.append

        def failing(kind: str, body: dict[str, Any], *, durable: bool = False) -> Any:  # noqa: ANN401 - an entry
            if kind == "intent":
                raise JournalError("disk full")
            return write(kind, body, durable=durable)

        journal.append = failing  # type: ignore[method-assign]
        recorder.on_sending = lambda ticket, link: sent.append(ticket)  # type: ignore[method-assign]  # noqa: ARG005
        with pytest.RaisesGroup(JournalError, flatten_subgroups=True):
            await engine.run(feed)
    assert not sent
    assert desk.venues["paper-a"].placed == 0


async def test_a_run_that_is_cancelled_waits_for_the_orders_it_has_handed_out(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    venue = desk.venues["paper-a"]
    sent, answer = anyio.Event(), anyio.Event()

    async def slowly() -> None:
        sent.set()
        await answer.wait()

    venue.on_place = slowly
    with desk.engine() as (engine, feed, _):
        desk_of_orders = engine.desk

        async def until_orders_wait(running: Engine) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(feed, running)
                await sent.wait()
                second = replace(STRANGERS, client_order_id="second", reduce_only=True)
                running._dispatch(Submit(account="paper-a", order=second))
                group.start_soon(anyio.sleep_forever)

        async with anyio.create_task_group() as group:
            group.start_soon(engine.run, until_orders_wait)
            await sent.wait()
            while len(desk_of_orders.tickets) < 2:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                answer.set()
    assert venue.placed == 2
    assert not [each for each in desk_of_orders.tickets.values() if each.stage is Stage.SENT]


async def test_a_run_that_is_cancelled_before_it_begins_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.engine() as (engine, feed, _), anyio.CancelScope() as scope:
        scope.cancel()
        await engine.run(feed)
    assert scope.cancelled_caught
    assert desk.venues["paper-a"].placed == 0


async def test_a_journal_that_fails_in_mid_order_ends_the_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.engine() as (engine, feed, _):
        write = engine.wiring.journal.append

        def failing(kind: str, body: dict[str, Any], *, durable: bool = False) -> Any:  # noqa: ANN401 - an entry
            if kind == "order":
                raise JournalError("disk full")
            return write(kind, body, durable=durable)

        engine.wiring.journal.append = failing  # type: ignore[method-assign]
        with pytest.RaisesGroup(JournalError, flatten_subgroups=True):
            await engine.run(feed)
    assert desk.venues["paper-a"].placed == 1


@pytest.mark.slow
async def test_an_order_is_looked_up_once_the_symbols_are_known(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    venue = desk.venues["paper-a"]

    class Forgetful(Dying):
        async def place_order(self, order: OrderRequest) -> OrderReport:
            report = await super().place_order(order)
            if venue.placed == 2:
                link = engine.wiring.links["paper-a"]
                link.symbols = SymbolMap("paper-a", Spelling(suffix=".a"), ())
                raise OutcomeUnknown("the answer got lost")
            return report

    venue.broker = Forgetful
    with desk.engine() as (engine, feed, recorder):
        await engine.run(feed)
    assert {each.fill.instrument for each in recorder.fills} <= set(SYMBOLS)
    assert not engine.desk.in_doubt()


@pytest.mark.slow
async def test_books_that_differ_block_the_account_and_say_how(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    await run(desk)
    with desk.engine() as (engine, feed, recorder):
        messages: list[str] = []
        recorder.on_tell = lambda told: messages.append(told.message)  # type: ignore[method-assign]
        # A broker whose balance isn't what its executions say: money went that we didn't see go.
        engine.wiring.journal.append("fill", _fill_nobody_made("paper-a"), durable=True)
        await engine.run(feed)
    link = engine.wiring.links["paper-a"]
    assert "the books differ" in link.blocked
    assert "balance: we say" in link.blocked
    assert not link.state().tradable
    assert any("no order goes there" in message for message in messages)


@pytest.mark.slow
async def test_a_person_accepts_the_brokers_record_and_the_account_trades_again(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    await run(desk)
    answers: dict[str, Any] = {}

    class Accepting(Replay):
        async def before_step(self, time: int, engine: Engine) -> None:  # noqa: ARG002 - its base's
            raise AssertionError("every step was done before")

        async def __call__(self, engine: Engine) -> None:
            commands = Commands(engine)
            placed = desk.venues["paper-a"].placed
            answers["before"] = await commands.run("reconcile", {})
            accept = {"broker": "paper-a", "accept": True, "why": "a test", "by": "ann"}
            answers["accepted"] = await commands.run("reconcile", accept)
            link = engine.wiring.links["paper-a"]
            assert (link.agrees, link.blocked) == (True, "")
            with pytest.raises(ConfigError, match="nothing differs at paper-a"):
                await commands.run("reconcile", accept)
            assert desk.venues["paper-a"].placed == placed, "accepting sends no order"

    with desk.engine(Accepting) as (engine, feed, _):
        engine.wiring.journal.append("fill", _fill_nobody_made("paper-a"), durable=True)
        await engine.run(feed)
    before, accepted = answers["before"], answers["accepted"]
    assert not before["agree"]
    assert [each["agrees"] for each in before["accounts"]] == [False, True]
    assert {each["instrument"] for each in before["accounts"][0]["positions"] if each["differs"]}
    assert before["accounts"][0]["balance"]["differs"]
    assert accepted["agree"]
    assert any("balance: we say" in each for each in accepted["accepted"])
    with desk.engine() as (again, feed, _):
        await again.run(feed)
    link = again.wiring.links["paper-a"]
    assert (link.agrees, link.blocked) == (True, ""), "a restart holds the accepted book"


STRANGERS = OrderRequest(
    client_order_id="stranger",
    instrument="EUR/USD",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=Decimal(1000),
    limit_price=Decimal("0.5"),
    time_in_force=TimeInForce.GTC,
)


@pytest.mark.slow
async def test_an_order_in_doubt_is_told_of_with_what_will_be_tried(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    victim = desk.venues["paper-a"]
    victim.dies_at, victim.held = 2, True
    answers: list[dict[str, Any]] = []

    class Asking(Replay):
        async def before_step(self, time: int, engine: Engine) -> None:  # noqa: ARG002 - its base's
            link = engine.wiring.links["paper-a"]
            if victim.dead and not link.connected and not answers:
                answers.append(await Commands(engine).run("orders", {"in_doubt": True}))
                answers.append(await Commands(engine).run("reconcile", {"broker": "paper-a"}))
                await engine.wiring.links["paper-b"].place(STRANGERS)
                answers.append(await Commands(engine).run("reconcile", {"broker": "paper-b"}))
                victim.back.set()

    await run(desk, Asking)
    (row,) = answers[0]["in_doubt"]
    assert (row["account"], row["side"] in {"buy", "sell"}) == ("paper-a", True)
    assert row["why"] == "the connection failed before the answer came"
    assert row["next"] == "when paper-a is connected again"
    assert "fence" in row["tries"]
    assert "isn't connected" in answers[1]["problems"][0]["problem"]
    (books,) = answers[2]["accounts"]
    assert (answers[2]["agree"], books["agrees"]) == (True, True), "it is shown, and no difference"
    (foreign,) = books["foreign_orders"]
    assert (foreign["client_order_id"], foreign["price"]) == ("stranger", "0.5")


def _fill_nobody_made(account: str) -> dict[str, Any]:
    return {
        "account": account,
        "fill": {
            "execution_id": "never",
            "order_id": "never",
            "client_order_id": None,
            "instrument": "EUR/USD",
            "side": "buy",
            "quantity": "1000",
            "price": "1.1",
            "time": "2024-01-01T00:00:00Z",
            "commission": "7",
        },
    }


@pytest.mark.parametrize("flatten", [True, False])
async def test_a_halt_leaves_the_others_where_an_account_is_no_longer_configured(
    tmp_path: Path,
    flatten: bool,  # noqa: FBT001 - a parameter of the case
) -> None:
    journal = Journal(tmp_path / "journal", ManualClock())
    body = {"account": "gone", "balance": "0", "positions": [], "cursor": ""}
    journal.append("opened", body)
    journal.close()
    with Desk(tmp_path).engine() as (engine, _, _):

        async def halt(running: Engine) -> None:
            answer = await Commands(running).run(
                "halt", {"why": "a drill", "by": "ann", "flatten": flatten}
            )
            assert answer["failed"] == [
                {"account": "gone", "problem": "it is not in the configuration any more"}
            ]

        await engine.run(halt)
    assert engine.book.halted
