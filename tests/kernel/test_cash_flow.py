"""Deposits and withdrawals that a person or the broker tells of are neither profit nor loss."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from mtquant.book import Book
from mtquant.clock import SECOND, Ids, ManualClock, seeded
from mtquant.contract import BreakerLevel, Settings, Sizer
from mtquant.decide import (
    AccountSeen,
    CashFlowExpected,
    CashMoved,
    Decider,
    Effect,
    Opened,
    Record,
    RoutesChanged,
    Tell,
)
from mtquant.journal import Journal
from mtquant.model import Account, CashFlow, CashFlowKind, Environment, PositionMode
from mtquant.orders import CASH_FLOW, OrderDesk
from mtquant.recover import recover
from mtquant.risk import BreakerRules, Gate

D = Decimal
START = 1_768_219_200 * SECOND


class Nothing(Sizer[Settings]):
    name = "none"

    def size(self, *_: object) -> Decimal:
        return D(0)


class Scene:
    """A decider before one account of 100,000, and its journal."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(START)
        self.folder = folder
        self.balance = D(100_000)
        self.journal = Journal(folder, self.clock)
        self.decider = self.made(Book())
        self.send(
            RoutesChanged(time=START, tradable=frozenset({"a"}), instruments={"a": {}}, routes={})
        )
        body = {"account": "a", "balance": "100000", "positions": [], "cursor": ""}
        self.journal.append("opened", body)
        self.send(Opened(time=START, name="a", account=self.account(), positions=()))
        self.see()

    def made(self, book: Book) -> Decider:
        gate = Gate(Nothing(Settings()), [], BreakerRules())
        return Decider([], gate, Ids(self.clock, seeded(1)), book=book)

    def account(self, equity: Decimal | None = None) -> Account:
        return Account(
            account_id="x",
            currency="USD",
            environment=Environment.PAPER,
            position_mode=PositionMode.NETTING,
            balance=self.balance,
            equity=self.balance if equity is None else equity,
            margin_used=D(0),
            margin_available=self.balance,
            time=self.clock.now(),
        )

    def send(self, event: object) -> list[Effect]:
        found = list(self.decider.on(event))  # type: ignore[arg-type]
        for each in found:
            if isinstance(each, Record):
                self.journal.append(each.kind, each.body, durable=each.durable)
        return found

    def see(self, equity: Decimal | None = None) -> list[Effect]:
        self.clock.set(self.clock.now() + SECOND)
        seen = AccountSeen(time=self.clock.now(), name="a", account=self.account(equity), quotes=())
        return self.send(seen)

    def expect(self, amount: int, why: str = "rent") -> list[Effect]:
        return self.send(
            CashFlowExpected(
                time=self.clock.now(), account="a", amount=D(amount), by="ann", why=why
            )
        )

    def move(self, amount: int, kind: str = "", number: int = 1) -> list[Effect]:
        """Tell what the broker says moved, as the order desk does."""
        told = CashFlow(
            cash_flow_id=f"T{number}",
            kind=CashFlowKind(kind or ("deposit" if amount > 0 else "withdrawal")),
            amount=D(amount),
            time=self.clock.now(),
        )
        body = {"account": "a", "cash_flow": CASH_FLOW.dump_python(told, mode="json")}
        self.journal.append("cash_moved", body)
        return self.send(CashMoved(time=self.clock.now(), name="a", cash_flow=told))

    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal(self.folder, self.clock)
        book = Book()
        desk = OrderDesk(self.journal, self.clock, book, lambda _: None, lambda _: None)
        recover(self.journal, book, desk)
        self.decider = self.made(book)

    @property
    def level(self) -> BreakerLevel:
        breaker = self.decider.book.account("a").breaker
        assert breaker is not None
        return breaker.level

    @property
    def loss(self) -> Decimal:
        breaker = self.decider.book.account("a").breaker
        assert breaker is not None
        return breaker.losses["peak"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def told(effects: list[Effect]) -> str:
    return " ".join(each.message for each in effects if isinstance(each, Tell))


def test_a_withdrawal_that_was_told_of_is_no_loss(scene: Scene) -> None:
    assert "a withdrawal of 50,000.00 USD is expected, by ann: rent" in told(scene.expect(-50_000))
    assert "has come" not in told(scene.see()), "not before the balance shows it"
    scene.balance = D(50_000)
    assert "a: a withdrawal of 50,000.00 USD has come" in told(scene.see())
    assert (scene.level, scene.loss) == (BreakerLevel.NORMAL, D(0))
    assert scene.decider.book.account("a").gap() == 0
    scene.balance = D(47_000)
    scene.see()
    assert scene.loss == D("0.06"), "measured on what is left"


def test_one_that_nobody_told_of_looks_like_a_loss(scene: Scene) -> None:
    scene.balance = D(50_000)
    scene.see()
    assert scene.level is BreakerLevel.HALTED


def test_a_deposit_hides_no_loss(scene: Scene) -> None:
    scene.balance = D(94_000)
    scene.see()
    assert scene.level is BreakerLevel.WARNED
    scene.expect(94_000)
    scene.balance = D(188_000)
    scene.see()
    assert scene.level is BreakerLevel.WARNED
    assert abs(scene.loss - D("0.06")) < D("1e-20")


def test_it_counts_once(scene: Scene) -> None:
    scene.expect(-10_000)
    scene.balance = D(90_000)
    scene.see()
    scene.balance = D(80_000)
    scene.see()
    assert scene.level is not BreakerLevel.NORMAL


@pytest.mark.parametrize(
    ("change", "comes"),
    [
        ("-10000", True), ("-10200", True), ("-9800", True), ("-10201", False), ("-9799", False),
        ("10000", False), ("-20000", False), ("0", False),
    ],
)  # fmt: skip
def test_it_has_come_when_the_balance_changed_by_about_as_much(
    scene: Scene,
    change: str,
    comes: bool,  # noqa: FBT001 - a parameter of the case
) -> None:
    scene.expect(-10_000)
    scene.balance += D(change)
    assert ("has come" in told(scene.see())) is comes


def test_what_was_there_before_between_the_brokers_balance_and_ours_does_not_count(
    scene: Scene,
) -> None:
    scene.balance = D(99_000)  # a swap that no execution told of
    scene.see()
    scene.expect(-1_000)
    assert "has come" not in told(scene.see())
    scene.balance = D(98_000)
    assert "has come" in told(scene.see())


def test_it_can_be_called_off_and_changed(scene: Scene) -> None:
    scene.expect(-10_000)
    assert "it takes the place of a withdrawal of 10,000.00 USD" in told(scene.expect(-5_000))
    assert "no cash flow is expected, by ann: rent" in told(scene.expect(0))
    scene.balance = D(95_000)
    assert "has come" not in told(scene.see())


def test_a_restart_forgets_neither_what_is_expected_nor_what_has_come(scene: Scene) -> None:
    scene.expect(-50_000)
    scene.restart()
    expected = scene.decider.book.account("a").expected
    assert expected is not None
    assert (expected.amount, expected.by, expected.why) == (D(-50_000), "ann", "rent")
    scene.balance = D(50_000)
    scene.see()
    assert scene.level is BreakerLevel.NORMAL
    scene.restart()
    book = scene.decider.book.account("a")
    assert book.expected is None
    assert book.balance == 50_000
    scene.see()
    assert (scene.level, scene.loss) == (BreakerLevel.NORMAL, D(0))


def test_while_it_is_waited_for_a_loss_is_a_loss(scene: Scene) -> None:
    scene.expect(-50_000)
    scene.see(equity=D(84_000))
    assert scene.level is BreakerLevel.HALTED


@pytest.mark.parametrize("amount", [-50_000, 50_000])
@pytest.mark.parametrize("restarts", [False, True])
def test_what_the_broker_says_was_paid_is_no_profit_and_no_loss(
    scene: Scene,
    amount: int,
    restarts: bool,  # noqa: FBT001 - a parameter of the case
) -> None:
    assert f"a: {'deposit' if amount > 0 else 'withdrawal'} of" in told(scene.move(amount))
    book = scene.decider.book.account("a")
    assert book.balance == 100_000 + amount
    if restarts:
        scene.restart()
    scene.balance += amount
    scene.see()
    if restarts:
        scene.restart()
    assert (scene.level, scene.loss) == (BreakerLevel.NORMAL, D(0))
    scene.balance -= (100_000 + amount) * 6 / D(100)
    scene.see()
    assert abs(scene.loss - D("0.06")) < D("1e-20"), "measured on what is there"


def test_an_answer_from_before_is_judged_as_it_is(scene: Scene) -> None:
    scene.move(50_000)
    scene.see()
    assert (scene.level, scene.loss) == (BreakerLevel.NORMAL, D(0)), "not a loss of 50,000"
    scene.balance += 50_000
    scene.see()
    assert (scene.level, scene.loss) == (BreakerLevel.NORMAL, D(0))


def test_a_deposit_that_the_equity_showed_before_is_counted_once(scene: Scene) -> None:
    scene.balance += 50_000
    scene.see()
    scene.move(50_000)
    scene.see()
    scene.restart()
    scene.see()
    assert (scene.level, scene.loss) == (BreakerLevel.NORMAL, D(0))
    assert scene.decider.book.account("a").balance == 150_000


@pytest.mark.parametrize("first", ["person", "broker"])
def test_what_a_person_and_the_broker_tell_of_counts_once(scene: Scene, first: str) -> None:
    scene.expect(-50_000)
    if first == "broker":
        scene.move(-50_010)
    scene.balance -= 50_010
    scene.see()
    if first == "person":
        scene.restart()
        scene.move(-50_010)
    scene.see()
    scene.restart()
    book = scene.decider.book.account("a")
    assert book.expected is None
    assert (book.balance, book.anticipated, book.paid) == (D(49_990), D(0), D(0))
    assert scene.level is BreakerLevel.NORMAL
    assert scene.loss < D("0.001")
    scene.move(-20_000, number=2)
    assert scene.decider.book.account("a").balance == 29_990


def test_financing_is_a_cost_and_no_news(scene: Scene) -> None:
    assert not told(scene.move(-6_000, "financing"))
    scene.balance -= 6_000
    scene.see()
    assert scene.level is BreakerLevel.WARNED
    assert scene.decider.book.account("a").gap() == 0


def test_a_cash_flow_that_is_told_twice_counts_once(scene: Scene) -> None:
    scene.move(1_000)
    assert not scene.move(1_000)
    scene.restart()
    assert scene.decider.book.account("a").balance == 101_000
