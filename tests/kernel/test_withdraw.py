"""Getting out of an account: everything, by ticket, however often it takes, once and not twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from mtquant import withdraw
from mtquant.book import Book, Leaving, Working
from mtquant.clock import Ids, ManualClock, seeded
from mtquant.decide import CloseOrdered, Event, Left, Tell
from mtquant.errors import ErrorCode, Refused
from mtquant.exchange import Terms, instrument
from mtquant.journal import Journal
from mtquant.model import OrderStatus, Position, Side
from mtquant.orders import Stage
from mtquant.withdraw import Withdrawal

pytestmark = pytest.mark.anyio
D = Decimal


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(withdraw, "PAUSES_S", (0.0,))


def position(number: int, quantity: int, symbol: str = "EUR/USD") -> Position:
    return Position(
        position_id=f"P{number}",
        instrument=symbol,
        side=Side.BUY if quantity > 0 else Side.SELL,
        quantity=D(abs(quantity)),
        average_price=D("1.1"),
        unrealized_profit=D(0),
        opened_at=0,
    )


@dataclass
class Account:
    """A broker's account: what it holds, what works there, and what goes wrong, in order."""

    held: list[Position] = field(default_factory=list)
    orders: dict[str, str | None] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    netting: bool = False
    name: str = "a"
    canceled: list[str] = field(default_factory=list)

    def fails(self, what: str) -> None:
        if self.wrong and self.wrong[0] == what:
            self.wrong.pop(0)
            raise Refused(ErrorCode.NOT_CONNECTED, f"{what} can't be had")

    async def positions(self) -> tuple[Position, ...]:
        self.fails("positions")
        return tuple(self.held)

    async def working_orders(self) -> list[Any]:
        self.fails("orders")
        return [
            SimpleNamespace(order_id=each, position_id=protects)
            for each, protects in self.orders.items()
        ]

    async def cancel(self, order_id: str) -> None:
        self.fails(f"cancel {order_id}")
        del self.orders[order_id]
        self.canceled.append(order_id)


class Scene:
    """A withdrawal from one account, whose closes are filled, or not, as they are told."""

    def __init__(self, account: Account, folder: Path) -> None:
        self.account = account
        self.book = Book()
        self.clock = ManualClock()
        self.journal = Journal(folder, self.clock)
        self.tickets: dict[str, Any] = {}
        self.closed: list[CloseOrdered] = []
        self.told: list[str] = []
        self.tried = 0
        self.refuse = 0
        terms = {symbol: instrument(symbol, Terms()) for symbol in ("EUR/USD", "USD/JPY")}
        self.book.account("a").list_instruments(terms)
        self.withdrawal = self.made()

    def made(self) -> Withdrawal:
        desk: Any = SimpleNamespace(tickets=self.tickets)
        return Withdrawal(
            self.book,
            desk,
            self.journal,
            self.clock,
            Ids(self.clock, seeded(1)),
            self.emit,
            self.tell,
        )

    def tell(self, told: Tell) -> None:
        self.told.append(told.message)

    def emit(self, event: Event) -> None:
        if isinstance(event, Left):
            self.book.account("a").leaving = None
            return
        assert isinstance(event, CloseOrdered)
        self.closed.append(event)
        self.tickets[event.close.client_order_id] = SimpleNamespace(stage=Stage.SENT)

    async def answer(self) -> None:
        """Answer every close that was handed out: filled, or refused."""
        for event in self.closed:
            ticket = self.tickets[event.close.client_order_id]
            if ticket.stage is not Stage.SENT:
                continue
            ticket.stage = Stage.REFUSED if self.refuse else Stage.ACKNOWLEDGED
            if self.refuse:
                self.refuse -= 1
                continue
            for number, each in enumerate(self.account.held):
                by_symbol = event.close.instrument == each.instrument
                if by_symbol or event.close.position_id == each.position_id:
                    left = each.quantity - (event.close.quantity or each.quantity)
                    self.account.held[number] = replace(each, quantity=left)
            self.account.held = [each for each in self.account.held if each.quantity]

    async def leave(self, share: str = "1", *, cancel: bool = True) -> None:
        self.book.account("a").leaving = Leaving(
            account="a",
            share=D(share),
            cancel=cancel,
            cause="halt",
            by="ann",
            why="a drill",
        )
        await self.go_on()

    async def go_on(self) -> None:
        link: Any = self.account
        with anyio.fail_after(5):
            await self.withdrawal.leave(link, self.on_tried, self.answer)

    def on_tried(self) -> None:
        self.tried += 1

    @property
    def done(self) -> bool:
        return self.book.account("a").leaving is None


@contextmanager
def leaving(folder: Path, account: Account) -> Iterator[Scene]:
    scene = Scene(account, folder)
    yield scene
    scene.journal.close()


async def test_everything_held_is_closed_by_ticket_and_what_would_open_is_cancelled(
    tmp_path: Path,
) -> None:
    account = Account(
        [position(1, 5000), position(2, -3000), position(3, 2000, "USD/JPY")],
        {"O1": None, "O2": "P1"},
    )
    with leaving(tmp_path, account) as scene:
        await scene.leave()
        assert scene.done
        assert account.held == []
        assert account.canceled == ["O1"], "a stop protects until its position is gone"
        closes = [(each.close.position_id, each.side, each.close.quantity) for each in scene.closed]
        assert closes == [
            ("P1", Side.SELL, D(5000)),
            ("P2", Side.BUY, D(3000)),
            ("P3", Side.SELL, D(2000)),
        ]
        assert {each.by for each in scene.closed} == {"ann"}
        assert scene.tried == 1
        assert [each.kind for each in scene.journal.entries("cancel_ordered")]


async def test_a_netting_account_is_closed_by_symbol(tmp_path: Path) -> None:
    account = Account([position(1, 5000)], netting=True)
    with leaving(tmp_path, account) as scene:
        await scene.leave()
        (only,) = scene.closed
        assert (only.close.instrument, only.close.position_id) == ("EUR/USD", None)
        assert account.held == []


@pytest.mark.parametrize("wrong", [["orders"], ["positions"] * 3, ["orders", "positions"]])
async def test_a_broker_that_is_down_is_tried_again_and_people_are_told(
    tmp_path: Path, wrong: list[str]
) -> None:
    with leaving(tmp_path, Account([position(1, 5000)], wrong=list(wrong))) as scene:
        await scene.leave()
        assert scene.done
        assert len(scene.closed) == 1
        assert scene.tried == 1
        assert f"a is not left yet: {wrong[0]} can't be had; trying on (a drill)" in scene.told[0]
        assert scene.withdrawal.problems == {}


async def test_one_order_that_cannot_be_cancelled_holds_up_nothing_else(tmp_path: Path) -> None:
    account = Account(
        [position(1, 5000)], {"O1": None, "O2": None}, wrong=["cancel O1", "cancel O1"]
    )
    with leaving(tmp_path, account) as scene:
        await scene.leave()
        assert account.canceled == ["O2", "O1"]
        assert len(scene.closed) == 1
        assert scene.done


async def test_a_refused_close_is_sent_again_under_another_id(tmp_path: Path) -> None:
    with leaving(tmp_path, Account([position(1, 5000)])) as scene:
        scene.refuse = 2
        await scene.leave()
        assert scene.account.held == []
        assert len({each.close.client_order_id for each in scene.closed}) == 3
        assert scene.told == ["a is not left yet: 5000 EUR/USD to be closed; trying on (a drill)"]


async def test_half_is_closed_once_also_by_an_engine_that_comes_after(tmp_path: Path) -> None:
    account = Account([position(1, 4000), position(2, 2000)])
    with leaving(tmp_path, account) as scene:
        scene.refuse = 10**9
        with anyio.move_on_after(0.05):  # it dies while its closes are refused
            await scene.leave("0.5")
        stay = scene.book.account("a").leaving
        assert stay is not None
        assert stay.stay == {"P1": D(2000), "P2": D(1000)}
        assert [each.body["stay"] for each in scene.journal.entries("leaving_stay")] == [
            {"P1": "2000", "P2": "1000"}
        ]
        scene.refuse = 0
        scene.withdrawal = scene.made()
        await scene.go_on()
        assert [each.quantity for each in account.held] == [2000, 1000]
        await scene.go_on()
        assert [each.quantity for each in account.held] == [2000, 1000], "once"


async def test_what_is_less_than_a_step_stays(tmp_path: Path) -> None:
    with leaving(tmp_path, Account([position(1, 1)])) as scene:
        step = scene.book.account("a").instruments["EUR/USD"].quantity_step
        scene.account.held = [replace(position(1, 1), quantity=3 * step)]
        await scene.leave("0.5")
        assert scene.account.held[0].quantity == 2 * step


async def test_cancelling_alone_closes_nothing(tmp_path: Path) -> None:
    account = Account([position(1, 5000)], {"O1": None}, wrong=["positions"])
    with leaving(tmp_path, account) as scene:
        await scene.leave("0")
        assert scene.done
        assert account.canceled == ["O1"]
        assert scene.closed == []
        assert account.wrong == ["positions"], "it wasn't even asked for"


async def test_it_ends_when_it_is_called_off(tmp_path: Path) -> None:
    with leaving(tmp_path, Account([position(1, 5000)])) as scene:
        scene.refuse = 10**9
        tell = scene.tell

        def called_off(told: Tell) -> None:
            tell(told)
            scene.book.account("a").leaving = None

        scene.tell = called_off  # type: ignore[method-assign]
        scene.withdrawal = scene.made()
        await scene.leave()
        assert len(scene.closed) == 1
        assert scene.withdrawal.problems == {}


async def test_it_is_not_done_while_an_order_may_still_come_to_open_something(
    tmp_path: Path,
) -> None:
    with leaving(tmp_path, Account()) as scene:
        book = scene.book.account("a")
        order = Working(
            client_order_id="c1",
            instrument="EUR/USD",
            side=Side.BUY,
            quantity=D(1000),
            opens=True,
            status=OrderStatus.IN_DOUBT,
        )
        book.work(order)
        tell = scene.tell

        def filled(told: Tell) -> None:
            tell(told)
            book.done("c1")
            scene.account.held.append(position(1, 1000))

        scene.tell = filled  # type: ignore[method-assign]
        scene.withdrawal = scene.made()
        await scene.leave()
        assert "what became of order c1 is not known yet" in scene.told[0]
        assert [each.close.position_id for each in scene.closed] == ["P1"]
        assert scene.account.held == []
