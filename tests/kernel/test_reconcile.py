"""Books that differ: what is blocked, how it heals, and what a person accepts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from tests.kernel.test_persons import FLAT, LONG, Scene, close, orders, told

from mtquant import reconcile
from mtquant.clock import SECOND, Ids, ManualClock, seeded
from mtquant.comparison import Compared, Comparison, strategies_part
from mtquant.contract import BreakerLevel, Settings, Sizer
from mtquant.decide import (
    Accepted,
    CashFlowExpected,
    Close,
    Decider,
    Event,
    RoutesChanged,
    Submit,
    Tell,
)
from mtquant.errors import (
    ConfigError,
    ErrorCode,
    Outcome,
    OutcomeUnknown,
    ReconciliationError,
    Refused,
)
from mtquant.exchange import Terms, instrument
from mtquant.journal import Journal
from mtquant.link import Link
from mtquant.model import (
    Account,
    CashFlow,
    CashFlowKind,
    Changes,
    Environment,
    Fill,
    OrderRequest,
    OrderType,
    Position,
    PositionMode,
    Side,
    TimeInForce,
)
from mtquant.orders import OrderDesk, Stage
from mtquant.pins import Pins
from mtquant.reconcile import Reconciler
from mtquant.recover import recover
from mtquant.risk import BreakerRules, Gate
from mtquant.route import AccountState, choose
from mtquant.symbols import Spelling

D = Decimal
START = 1_768_219_200 * SECOND
EUR = "EUR/USD"
ORDER = OrderRequest(
    client_order_id="c1",
    instrument=EUR,
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=D(1000),
    time_in_force=TimeInForce.FOK,
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "PAUSES_S", (0.001,))


def fill(number: int, quantity: int, *, cid: str | None = None, commission: str = "0") -> Fill:
    return Fill(
        execution_id=f"E{number}",
        order_id=f"O{number}",
        client_order_id=cid,
        instrument=EUR,
        side=Side.BUY if quantity > 0 else Side.SELL,
        quantity=D(abs(quantity)),
        price=D("1.1"),
        time=START,
        commission=D(commission),
    )


class Broker(Link):
    """An account as its broker tells of it: what it holds, its money, and what it did."""

    def __init__(self) -> None:
        super().__init__("a", (), Spelling())
        self.symbols.instruments = {EUR: instrument(EUR, Terms())}
        self.held: dict[str, tuple[Decimal, ...]] = {}
        self.balance = D(100_000)
        self.executions: list[Fill] = []
        self.flows: tuple[CashFlow, ...] = ()
        self.wrong: Exception | None = None
        self.online = True
        self.asked = 0

    @property
    def connected(self) -> bool:
        return self.online

    def fail(self) -> None:
        self.asked += 1
        if self.wrong is not None:
            raise self.wrong

    async def account(self) -> Account:
        self.fail()
        return Account(
            account_id="x",
            currency="USD",
            environment=Environment.PAPER,
            position_mode=PositionMode.HEDGING,
            balance=self.balance,
            equity=self.balance,
            margin_used=D(0),
            margin_available=self.balance,
            time=START,
        )

    async def positions(self) -> tuple[Position, ...]:
        self.fail()
        return tuple(
            Position(
                position_id=f"P{symbol}{number}",
                instrument=symbol,
                side=Side.BUY if quantity > 0 else Side.SELL,
                quantity=abs(quantity),
                average_price=D("1.2"),
                unrealized_profit=D(0),
                opened_at=START,
            )
            for symbol, quantities in self.held.items()
            for number, quantity in enumerate(quantities)
        )

    async def working_orders(self) -> tuple[Any, ...]:
        return ()

    async def changes(self, since: str | None, wait_s: float = 0) -> Changes:  # noqa: ARG002 - its base's
        start = int(since or 0)
        return Changes(
            orders=(),
            fills=tuple(self.executions[start:]),
            cursor=str(len(self.executions)),
            more=False,
            cash_flows=self.flows,
        )

    async def order(self, client_order_id: str) -> Any:  # noqa: ANN401 - never answers
        raise OutcomeUnknown(f"no answer about {client_order_id}")


class Nothing(Sizer[Settings]):
    name = "none"

    def size(self, *_: object) -> Decimal:
        return D(0)


class Desk:
    """A reconciler over one broker, with a real book and a real journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(START)
        self.link = Broker()
        self.told: list[Tell] = []
        self.effects: list[Any] = []
        self.journal = Journal(folder, self.clock)
        self.begin()

    def begin(self) -> None:
        gate = Gate(Nothing(Settings()), [], BreakerRules())
        self.decider = Decider([], gate, Ids(self.clock, seeded(1)))
        self.book = self.decider.book
        self.desk = OrderDesk(self.journal, self.clock, self.book, self.emit, self.tell)
        recover(self.journal, self.book, self.desk)
        self.reconciler = Reconciler(
            self.book,
            self.desk,
            self.clock,
            self.emit,
            self.tell,
            self.changed,
            lambda: None,
            {"a": "x"},
            Pins(
                self.folder,
                self.journal.append,
                lambda level, text: self.tell(Tell(level=level, message=text)),
            ),
        )

    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal(self.folder, self.clock)
        self.begin()

    def emit(self, event: Event) -> None:
        for each in self.decider.on(event):
            self.effects.append(each)
            if isinstance(each, Tell):
                self.tell(each)
            elif not isinstance(each, Submit | Close):
                self.journal.append(each.kind, each.body, durable=each.durable)  # type: ignore[union-attr]

    def tell(self, told: Tell) -> None:
        self.told.append(told)

    def changed(self) -> None:
        self.emit(
            RoutesChanged(
                time=START,
                tradable=frozenset(),
                instruments={"a": self.link.symbols.instruments},
                routes={},
                differing={"a": self.link.differing},
            )
        )

    async def compare(self) -> None:
        await self.reconciler.compare(self.link)

    @property
    def messages(self) -> list[str]:
        return [each.message for each in self.told]

    @property
    def remembered(self) -> tuple[Any, ...]:
        account = self.book.account("a")
        exposed = {each.instrument: each.quantity for each in account.exposures.all()}
        return account.holdings, account.external, account.balance, account.expected, exposed


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    await made.compare()
    yield made
    made.journal.close()


@pytest.mark.parametrize(
    ("had", "theirs", "stays"),
    [
        (1000, 3000, 1000),
        (1000, 600, 600),
        (1000, 0, 0),
        (1000, -500, 0),
        (-1000, -600, -600),
        (-1000, -3000, -1000),
        (-1000, 500, 0),
        (0, 500, 0),
        (0, -500, 0),
    ],
)
def test_strategies_never_hold_more_than_there_is(had: int, theirs: int, stays: int) -> None:
    assert strategies_part(D(had), D(theirs)) == stays


@pytest.mark.anyio
async def test_a_position_that_differs_blocks_its_symbol_and_nothing_else(desk: Desk) -> None:
    desk.link.held = {EUR: (D(3000),)}
    await desk.compare()

    assert desk.link.blocked == ""
    assert list(desk.link.differing) == [EUR]
    assert (
        "EUR/USD: we say 0, they say 3000; nothing is opened in EUR/USD there"
        in (desk.messages[-1])
    )
    account = desk.book.account("a")
    (exposure,) = account.exposures.all()
    assert exposure.quantity == 3000, "limits count what may be there"
    assert account.holdings == {}
    differs = {symbol: str(each) for symbol, each in desk.link.differing.items()}
    state = AccountState(
        name="a", tradable=True, symbols=frozenset({EUR, "USD/JPY"}), differs=differs
    )
    assert choose(EUR, ["a"], {"a": state}) is None
    assert choose("USD/JPY", ["a"], {"a": state}) == "a"


@pytest.mark.anyio
async def test_a_balance_that_differs_blocks_the_account(desk: Desk) -> None:
    desk.link.balance = D(99_000)
    await desk.compare()

    assert "balance: we say 100000, they say 99000" in desk.link.blocked
    assert "no order goes there" in desk.messages[-1]


@pytest.mark.anyio
async def test_money_that_the_broker_tells_of_is_no_difference(desk: Desk) -> None:
    flow = CashFlow(cash_flow_id="T1", kind=CashFlowKind.FINANCING, amount=D("-7.25"), time=START)
    desk.link.flows, desk.link.balance = (flow,), D("99992.75")
    await desk.compare()
    await desk.compare()
    assert (desk.link.agrees, desk.link.blocked) == (True, "")
    entries = [each.body for each in desk.journal.entries("cash_moved")]
    assert [(each["account"], each["cash_flow"]["amount"]) for each in entries] == [("a", "-7.25")]
    desk.restart()
    assert desk.book.account("a").balance == D("99992.75")


@pytest.mark.anyio
async def test_what_moved_the_money_is_heard_of_before_the_money_is_judged(desk: Desk) -> None:
    flow = CashFlow(cash_flow_id="T1", kind=CashFlowKind.WITHDRAWAL, amount=D(-60_000), time=START)
    desk.link.flows, desk.link.balance = (flow,), D(40_000)
    await desk.desk.see(desk.link, await desk.link.account())
    breaker = desk.book.account("a").breaker
    assert breaker is not None
    assert breaker.level is BreakerLevel.NORMAL


@pytest.mark.anyio
async def test_several_positions_in_a_symbol_are_compared_by_their_net(desk: Desk) -> None:
    desk.link.held = {EUR: (D(3000), D(-3000))}
    await desk.compare()
    assert desk.link.agrees

    desk.link.held = {EUR: (D(3000), D(-1000), D(500))}
    await desk.compare()
    assert str(desk.link.compared) == "EUR/USD: we say 0, they say 2500"


@pytest.mark.anyio
async def test_what_is_accepted_is_external_and_a_restart_holds_the_same_book(desk: Desk) -> None:
    desk.link.held = {EUR: (D(3000),), "USD/JPY": (D(-2000),)}
    desk.link.balance = D(99_000)
    await desk.compare()

    accepted = await desk.reconciler.accept(desk.link, "ann", "the broker's own desk")

    account = desk.book.account("a")
    assert account.external == {EUR: D(3000), "USD/JPY": D(-2000)}
    assert account.ours(EUR) == account.ours("USD/JPY") == 0
    assert account.balance == 99_000
    assert (desk.link.blocked, desk.link.agrees, account.differing) == ("", True, {})
    assert desk.messages[-1] == "a: the books agree again"
    assert len(accepted.sentences) == 3
    (entry,) = desk.journal.entries("accepted")
    assert (entry.body["by"], entry.body["why"]) == ("ann", "the broker's own desk")
    assert entry.body["balance"] == {"before": "100000", "after": "99000"}
    assert entry.body["positions"][0] == {
        "instrument": EUR,
        "before": "0",
        "after": "3000",
        "average_price": "1.2",
        "strategies_before": "0",
        "strategies_after": "0",
    }
    assert not [each for each in desk.effects if isinstance(each, Submit | Close)]

    before = desk.remembered
    desk.restart()
    assert desk.remembered == before
    await desk.compare()
    assert desk.link.agrees


@pytest.mark.anyio
async def test_what_is_gone_is_gone_from_what_isnt_the_strategies_first(desk: Desk) -> None:
    desk.book.account("a").our_ids.add("c1")
    desk.link.executions = [fill(1, 5000, cid="c1"), fill(2, 1000, cid="stranger")]
    desk.link.held = {EUR: (D(5500),)}
    await desk.compare()
    assert str(desk.link.compared) == "EUR/USD: we say 6000, they say 5500"
    await desk.reconciler.accept(desk.link, "ann", "so be it")
    account = desk.book.account("a")
    assert (account.ours(EUR), account.external) == (D(5000), {EUR: D(500)})

    desk.link.held = {}
    await desk.reconciler.accept(desk.link, "ann", "closed by hand")

    assert not account.holdings
    assert not account.external
    assert desk.link.agrees


@pytest.mark.anyio
async def test_a_fill_that_comes_after_is_not_counted_twice_unseen(desk: Desk) -> None:
    """The execution behind a difference that was accepted shows as the next difference."""
    desk.link.held = {EUR: (D(3000),)}
    await desk.reconciler.accept(desk.link, "ann", "early")
    desk.link.executions = [fill(1, 3000)]

    await desk.compare()

    assert str(desk.link.compared) == "EUR/USD: we say 6000, they say 3000"


@pytest.mark.anyio
@pytest.mark.parametrize("times", [1, 10])
async def test_an_execution_between_the_questions_is_not_accepted_as_well(
    desk: Desk, times: int
) -> None:
    positions = desk.link.positions

    async def it_fills_just_before() -> tuple[Position, ...]:
        count = len(desk.link.executions) + 1
        if count <= times:
            desk.link.executions.append(fill(count, 1000))
            desk.link.held = {EUR: (D(1000 * count),)}
        return await positions()

    desk.link.positions = it_fills_just_before  # type: ignore[method-assign]
    if times == 1:
        assert (await desk.desk.compare_at_rest(desk.link)).agrees
    else:
        with pytest.raises(ReconciliationError, match="a trades while it is compared"):
            await desk.desk.compare_at_rest(desk.link)


@pytest.mark.anyio
async def test_nothing_is_accepted_while_an_order_is_in_doubt(desk: Desk) -> None:
    ticket = desk.desk.register(Submit(account="a", order=ORDER))
    desk.link.balance = D(99_000)
    with pytest.raises(ConfigError, match=r"order c1 \(EUR/USD\) at a is being sent"):
        await desk.reconciler.accept(desk.link, "ann", "why not")

    desk.restart()
    ticket = desk.desk.tickets["c1"]
    assert ticket.stage is Stage.IN_DOUBT
    with pytest.raises(ConfigError, match=r"order c1 \(EUR/USD\) at a is in doubt"):
        await desk.reconciler.accept(desk.link, "ann", "why not")

    assert list(desk.journal.entries("accepted")) == []
    assert ticket.doubt is not None
    assert (ticket.doubt.since, ticket.doubt.looks) == (START, 1)
    assert ticket.doubt.last == "not looked up: no answer about c1"


@pytest.mark.anyio
async def test_nothing_is_accepted_where_nothing_differs(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="nothing differs at a"):
        await desk.reconciler.accept(desk.link, "ann", "why not")


@pytest.mark.anyio
async def test_it_is_compared_again_until_a_late_fill_heals_it_and_people_are_told_once(
    desk: Desk,
) -> None:
    desk.link.held = {EUR: (D(3000),)}
    async with anyio.create_task_group() as group:
        desk.reconciler.group = group
        await desk.compare()
        asked = desk.link.asked
        with anyio.fail_after(5):
            while desk.link.asked < asked + 20:
                await anyio.lowlevel.checkpoint()
        assert [each for each in desk.messages if "differ" in each] == [desk.messages[-1]]
        assert len(list(desk.journal.entries("mismatch"))) == 1

        desk.link.executions = [fill(1, 3000)]
        # The group ends when nothing is compared any more.
    assert desk.link.agrees
    assert desk.messages[-1] == "a: the books agree again"
    assert desk.book.account("a").differing == {}


@pytest.mark.anyio
async def test_a_record_that_cant_be_read_blocks_until_it_can(desk: Desk) -> None:
    async with anyio.create_task_group() as group:
        desk.reconciler.group = group
        desk.link.wrong = Refused(ErrorCode.NOT_CONNECTED, "gone", outcome=Outcome.NOT_SENT)
        with pytest.raises(Refused):
            await desk.compare()
        assert desk.link.blocked == "not reconciled: gone"
        desk.link.wrong = None
    assert (desk.link.blocked, desk.link.agrees) == ("", True)


@pytest.mark.anyio
async def test_it_isnt_repeated_for_an_account_that_is_gone(desk: Desk) -> None:
    async with anyio.create_task_group() as group:
        desk.reconciler.group = group
        desk.link.held = {EUR: (D(3000),)}
        await desk.compare()
        desk.link.online = False
    assert not desk.link.agrees


@pytest.mark.anyio
async def test_a_deposit_that_was_told_of_and_came_unseen_is_no_difference(desk: Desk) -> None:
    account = desk.book.account("a")
    account.see(await desk.link.account())
    flow = CashFlowExpected(time=START, account="a", amount=D(5000), by="ann", why="more")
    desk.emit(flow)
    desk.link.balance = D(105_000)

    await desk.compare()

    assert desk.link.agrees
    assert (account.balance, account.expected) == (D(105_000), None)


@pytest.mark.anyio
async def test_a_deposit_that_is_still_expected_is_measured_from_what_was_accepted(
    desk: Desk,
) -> None:
    account = desk.book.account("a")
    desk.link.balance = D(99_000)
    account.see(await desk.link.account())
    flow = CashFlowExpected(time=START, account="a", amount=D(5000), by="ann", why="more")
    desk.emit(flow)
    await desk.compare()
    await desk.reconciler.accept(desk.link, "ann", "fees")

    assert account.expected is not None
    assert account.expected.gap == 0, "and not the 1,000 that were accepted"


@pytest.mark.anyio
async def test_an_order_whose_executions_cant_be_had_is_looked_up_and_not_forgotten(
    desk: Desk,
) -> None:
    effect = Submit(account="a", order=ORDER)
    ticket = desk.desk.register(effect)
    report = SimpleNamespace(
        client_order_id="c1", order_id="O1", instrument=EUR, fills=(), filled_quantity=D(1000)
    )

    async def place(_: OrderRequest) -> Any:  # noqa: ANN401
        return report

    async def fills(**_: object) -> Any:  # noqa: ANN401
        raise OutcomeUnknown("the answer was cut off")

    desk.link.place, desk.link.fills = place, fills  # type: ignore[method-assign, assignment]
    with pytest.raises(OutcomeUnknown):
        await desk.desk.send(desk.link, effect, ticket)

    assert desk.desk.in_doubt("a") == [ticket]
    assert "order c1 (EUR/USD) at a is in doubt: the answer was cut off" in desk.messages[-1]


def differing(ours: int, theirs: int) -> dict[str, Compared]:
    found = Compared(
        instrument=EUR,
        ours=D(ours),
        strategies=D(ours),
        theirs=D(theirs),
        average_price=D("1.1"),
    )
    return {EUR: found}


def differs(scene: Scene, found: dict[str, Compared]) -> None:
    scene.book.account("a").differ(found)


def test_the_gate_opens_nothing_there_and_closes_all_the_same() -> None:
    scene = Scene()
    (bought,) = orders(scene.order(Side.BUY, 2000))
    scene.fill(bought)
    differs(scene, differing(2000, 3000))

    refused = scene.order(Side.BUY, 1000)
    assert orders(refused) == []
    assert "books_differ" in str(refused)
    assert len(orders(close(scene, 1000))) == 1


def test_a_strategys_wish_waits_and_is_met_once_the_books_agree() -> None:
    scene = Scene()
    differs(scene, differing(0, 3000))
    waiting = scene.bar(LONG)
    assert orders(waiting) == []
    assert "waiting: the books differ at a: EUR/USD: we say 0, they say 3000" in told(waiting)

    differs(scene, {})
    assert len(orders(scene.bar(LONG))) == 1


def test_a_strategy_closes_what_it_holds_although_the_books_differ() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    held = int(scene.book.account("a").ours(EUR))
    differs(scene, differing(held, held + 1000))

    (closing,) = orders(scene.bar(FLAT))
    assert isinstance(closing, Close)
    assert closing.close.quantity == held


def test_accepting_sends_nothing_although_a_wish_waits() -> None:
    scene = Scene()
    differs(scene, differing(0, 3000))
    scene.bar(LONG)
    comparison = Comparison(
        account="a",
        positions=tuple(differing(0, 3000).values()),
        our_balance=D(0),
        their_balance=D(0),
    )

    found = scene.send(Accepted(time=scene.time, by="ann", why="mine", comparison=comparison))

    assert orders(found) == []
    assert "accepted by ann (mine): EUR/USD: we say 0, they say 3000" in told(found)
    assert scene.book.account("a").external == {EUR: D(3000)}
    assert scene.book.account("a").differing == {}


def test_a_trade_whose_position_is_gone_belongs_to_nobody_any_more() -> None:
    scene = Scene()
    (bought,) = orders(scene.bar(LONG))
    scene.fill(bought)
    account = scene.book.account("a")
    assert account.trades.opened_by == {EUR: "p"}

    account.accept(EUR, D(0), D(0), D(0))

    assert account.trades.opened_by == {}
    assert account.ours(EUR) == 0
