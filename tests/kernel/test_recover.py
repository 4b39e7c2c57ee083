"""What the journal tells after a restart is what the book knew before it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.kernel.test_persons import (
    FLAT,
    LONG,
    SHORT,
    Listener,
    Puppet,
    Scene,
    Second,
    close,
    orders,
    strategy,
    two,
)

from mtquant.book import Book
from mtquant.clock import SECOND, ManualClock
from mtquant.combine import CombineRules
from mtquant.comparison import Compared, Comparison
from mtquant.contract import Strategy
from mtquant.decide import (
    Accepted,
    Close,
    Effect,
    Event,
    Filled,
    HaltSet,
    ModeSet,
    OrderMoved,
    Record,
    Submit,
)
from mtquant.journal import Journal
from mtquant.model import Mode, OrderStatus, OrderType, Side
from mtquant.orders import FILL, POSITIONS, OrderDesk, Stage
from mtquant.recover import recover

D = Decimal


def deaf(_: object) -> None:
    """Nobody listens."""


class Journaled(Scene):
    """A scene whose effects are journaled as an engine journals them."""

    def __init__(self, folder: Path, *strategies: Strategy[Any], **rules: Any) -> None:  # noqa: ANN401
        self.clock = ManualClock(1_700_000_000 * SECOND)
        self.journal = Journal(folder, self.clock)
        self.desk = OrderDesk(self.journal, self.clock, Book(), deaf, deaf)
        self.sent: list[Submit | Close] = []
        body: dict[str, Any] = {"account": "a", "cursor": "0", "balance": "100000"}
        body["positions"] = POSITIONS.dump_python((), mode="json")
        self.journal.append("opened", body)
        super().__init__(*strategies, **rules)

    def send(self, event: Event) -> list[Effect]:
        self.clock.set(self.time)
        if isinstance(event, Filled):
            body = {"account": "a", "fill": FILL.dump_python(event.fill, mode="json")}
            self.journal.append("fill", body)
        if isinstance(event, OrderMoved):
            stage = Stage.PROVEN_ABSENT if event.absent else Stage.ACKNOWLEDGED
            body = {"client_order_id": event.client_order_id, "stage": stage.value}
            self.journal.append("order", body | {"status": event.status.value})
        found = super().send(event)
        for effect in found:
            if isinstance(effect, Record):
                self.journal.append(effect.kind, effect.body)
            elif isinstance(effect, Submit | Close):
                self.desk.register(effect)
                self.sent.append(effect)
        return found

    def recovered(self) -> Book:
        book = Book()
        recover(self.journal, book, OrderDesk(self.journal, self.clock, book, deaf, deaf))
        return book


def remembered(book: Book) -> dict[str, Any]:
    """Return what of a book must survive: all but prices, routes and what people were told."""
    account = book.account("a")
    return {
        "wishes": book.wishes,
        "targets": {
            symbol: (each.signal, each.strategies, each.spent)
            for symbol, each in book.targets.items()
        },
        "states": book.states,
        "modes": book.modes,
        "suggestions": book.suggestions,
        "outcomes": book.outcomes,
        "answered": book.answered,
        "halted": book.halted,
        "holdings": account.holdings,
        "external": account.external,
        "balance": account.balance,
        "ids": (account.our_ids, account.person_ids),
        "sent": list(account.sent),
        "working": {name: each.side for name, each in account.working.items()},
        "exposed": [
            (each.instrument, each.quantity, each.working, each.opposed)
            for each in account.exposures.all()
        ],
        "trades": (account.trades.opened_by, account.trades.records, account.trades.closed),
    }


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Journaled]:
    made = Journaled(tmp_path, strategy(Puppet, "p"), strategy(Second, "q"))
    yield made
    made.journal.close()


def act(scene: Journaled, what: str, number: int) -> None:  # noqa: C901 - a list of acts
    """Do one thing of a trader's day."""
    says = (LONG, SHORT, FLAT, 0.0)
    if what == "bar":
        two(scene, says[number % 4], says[number // 4 % 4])
    elif what == "fill" and scene.sent:
        scene.fill(scene.sent.pop(0))
    elif what == "absent" and scene.sent:
        gone = scene.sent.pop(0)
        request = gone.order if isinstance(gone, Submit) else gone.close
        scene.send(
            OrderMoved(
                time=scene.time,
                name="a",
                client_order_id=request.client_order_id,
                status=OrderStatus.REJECTED,
                absent=True,
            )
        )
    elif what == "mode":
        mode = list(Mode)[number % 3]
        name = "pq"[number // 3 % 2]
        scene.send(ModeSet(time=scene.time, strategy_id=name, mode=mode, by="ann"))
    elif what == "answer":
        for waiting in list(scene.book.suggestions):
            scene.answer(waiting, approved=bool(number % 2))
    elif what == "order":
        scene.order(Side.BUY if number % 2 else Side.SELL, 1000 * (1 + number % 3))
    elif what == "limit":
        scene.order(Side.BUY, 1000, order_type=OrderType.LIMIT, limit_price=D("0.9"))
    elif what == "close" and scene.book.account("a").holdings:
        close(scene, 1000)
    elif what == "halt":
        scene.send(HaltSet(time=scene.time, on=bool(number % 2), by="ann", why="a test"))
    elif what == "accept":
        accept(scene, 1000 * (number - 15))
    elif what == "wait":
        scene.time += 400 * SECOND
        scene.see()


def accept(scene: Journaled, theirs: int) -> None:
    """A person accepts that the broker shows ``theirs`` of EUR/USD, and a little less money."""
    account = scene.book.account("a")
    held = account.holdings.get("EUR/USD")
    compared = Compared(
        instrument="EUR/USD",
        ours=held.quantity if held else D(0),
        strategies=account.ours("EUR/USD"),
        theirs=D(theirs),
        average_price=D("1.2"),
    )
    comparison = Comparison(
        account="a",
        positions=(compared,),
        our_balance=account.balance,
        their_balance=account.balance - 1,
    )
    scene.send(Accepted(time=scene.time, by="ann", why="a test", comparison=comparison))


DAY = ["bar", "bar", "bar", "fill", "fill", "mode", "answer", "order", "limit", "close"]
DAY += ["wait", "absent", "halt", "accept"]
ACTS = st.tuples(st.sampled_from(DAY), st.integers(0, 30))


@given(st.lists(ACTS, max_size=30), st.sampled_from(["weighted", "priority", "unanimous"]))
@example([("bar", 0), ("answer", 1), ("absent", 0)], "weighted")
@example([("order", 1), ("fill", 0), ("bar", 0)], "weighted")
@example([("bar", 0), ("fill", 0), ("accept", 15), ("bar", 5)], "weighted")
@example([("bar", 0), ("fill", 0), ("accept", 30), ("order", 1), ("fill", 0)], "weighted")
@settings(max_examples=60, deadline=None)
def test_the_book_after_a_restart_is_the_book_before_it(
    acts: list[tuple[str, int]], rule: str
) -> None:
    with TemporaryDirectory() as folder:
        scene = Journaled(
            Path(folder),
            strategy(Puppet, "p"),
            strategy(Second, "q"),
            modes={"p": Mode.SEMI},
            combine=CombineRules.model_validate({"rule": rule}),
        )
        try:
            for what, number in acts:
                act(scene, what, number)
            assert remembered(scene.recovered()) == remembered(scene.book)
        finally:
            scene.journal.close()


def test_what_a_strategy_kept_is_there(tmp_path: Path) -> None:
    scene = Journaled(tmp_path, strategy(Listener, "l"))
    scene.bar(0.0)

    assert scene.recovered().states == {"l:EUR/USD": {"bars": 1, "fills": 0, "quotes": 0}}
    scene.journal.close()


def test_a_waiting_suggestion_can_be_approved_after_a_restart(tmp_path: Path) -> None:
    scene = Journaled(tmp_path, modes={"p": Mode.SEMI})
    scene.bar(LONG)
    book = scene.recovered()
    scene.journal.close()

    again = Scene(book=book, modes={"p": Mode.SEMI})
    again.time = scene.time
    again.see()

    (sent,) = orders(again.answer())
    assert isinstance(sent, Submit)
    assert orders(again.answer()) == []


def test_wishes_of_a_strategy_that_is_no_longer_configured_are_forgotten(
    scene: Journaled,
) -> None:
    two(scene, LONG, SHORT)
    book = scene.recovered()
    alone = Scene(strategy(Puppet, "p"), book=book)

    alone.decider.hearing.settle(book)

    assert list(book.wishes["EUR/USD"]) == ["p"]
    assert book.targets["EUR/USD"].signal.direction == 1
