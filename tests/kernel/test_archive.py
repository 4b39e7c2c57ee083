"""Archiving: the journal begins anew, and nothing that recovery rebuilds is another afterwards."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kernel import test_persons
from tests.kernel.test_persons import Puppet, Scene, Second, strategy
from tests.kernel.test_recover import ACTS, Journaled, act, deaf, remembered

from mtquant.archive import DAY, archive, due
from mtquant.book import (
    AccountBook,
    AgentRequest,
    Book,
    ExpectedFlow,
    Holding,
    Leaving,
    Suggestion,
    Target,
)
from mtquant.clock import SECOND, Ids, ManualClock, seeded
from mtquant.combine import CombineRules
from mtquant.contract import (
    Agent,
    AgentBudget,
    AgentScope,
    BreakerLevel,
    ClosedTrade,
    Sent,
    TradeRecord,
)
from mtquant.errors import JournalError
from mtquant.exposures import Exposures
from mtquant.journal import Journal
from mtquant.model import Mode, OrderRequest, OrderStatus, OrderType, Side, Signal, to_json
from mtquant.orders import Doubt, OrderDesk, Stage, Ticket
from mtquant.recover import recover
from mtquant.risk import BreakerState
from mtquant.snapshot import KEPT, restore, snapshot
from mtquant.trades import Trades
from mtquant.trail import Wanted, export, rows
from mtquant.verifying import verified
from mtquant.volumes import Archive, archives

D = Decimal
START = 1_700_000_000 * SECOND

ASKED_AGAIN = {
    (Book, "routes"): "follows from the connections",
    (Book, "paused"): "follows from the prices",
    (Book, "time"): "is the time of the first event",
    (Book, "covariance"): "is folded from history at each start",
    (AccountBook, "account"): "the broker is asked",
    (AccountBook, "tradable"): "follows from the connections",
    (AccountBook, "instruments"): "the broker is asked",
    (AccountBook, "quotes"): "the broker is asked",
    (AccountBook, "portfolio"): "is made with the account's book",
    (AccountBook, "differing"): "the books are compared at each connection",
    (Ticket, "heard"): "a journal is left when no order is on its way: it is looked up afresh",
}
"""The fields that recovery doesn't rebuild, and why not. All others have to be carried."""


def deep(value: Any) -> Any:  # noqa: ANN401 - whatever a book holds
    """Return all of a book, or of a part of it, in plain values that compare by content."""
    if isinstance(value, Exposures):
        return {each.instrument: repr(each) for each in value.all()}
    if isinstance(value, Trades):
        return {name: deep(each) for name, each in vars(value).items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        kept = [name for name in names if (type(value), name) not in ASKED_AGAIN]
        return {name: deep(getattr(value, name)) for name in kept}
    if isinstance(value, dict):
        return {name: deep(each) for name, each in value.items()}
    return value


def recovered(journal: Journal) -> tuple[Book, OrderDesk, int | None]:
    book = Book()
    desk = OrderDesk(journal, ManualClock(), book, deaf, deaf)
    return book, desk, recover(journal, book, desk).step


def everything(journal: Journal) -> dict[str, Any]:
    """Return all that recovery makes of a journal."""
    book, desk, step = recovered(journal)
    return {"book": deep(book), "tickets": deep(desk.tickets), "step": step} | {
        "cursors": desk.cursors
    }


# --- what is carried -----------------------------------------------------------------------------


@given(
    st.lists(st.one_of(ACTS, st.just(("archive", 0)), st.just(("archive", 1))), max_size=30),
    st.sampled_from(["weighted", "priority", "unanimous"]),
)
@settings(max_examples=30, deadline=None)
def test_recovery_is_the_same_after_archiving_however_often(
    acts: list[tuple[str, int]], rule: str
) -> None:
    with TemporaryDirectory() as folder:
        scene = day(Path(folder), rule)
        made = 0
        for what, number in [*acts, ("archive", 0)]:
            if what != "archive":
                act(scene, what, number)
                scene.journal.append("step", {"time": scene.time})
                continue
            before = everything(scene.journal)
            made += archive(scene.journal, scene.clock, 0).made is not None
            assert everything(scene.journal) == before
        assert remembered(scene.recovered()) == remembered(scene.book)
        assert len(archives(Path(folder))) == made > 0
        scene.journal.close()
        assert verified(Path(folder)).files == made + 1
        assert not verified(Path(folder)).problem


@given(st.lists(ACTS, max_size=20), st.lists(ACTS, max_size=15))
@settings(max_examples=20, deadline=None)
def test_trading_goes_on_the_same_from_an_archived_journal(
    before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    with TemporaryDirectory() as name:
        whole, again = Path(name, "whole"), Path(name, "again")
        scene = day(whole, "weighted")
        for what, number in before:
            act(scene, what, number)
        scene.journal.close()
        shutil.copytree(whole, again)
        journal = Journal(again, scene.clock)
        archive(journal, scene.clock, 0)
        journal.close()
        assert traded_on(whole, scene.time, after) == traded_on(again, scene.time, after)


def day(folder: Path, rule: str) -> Journaled:
    test_persons.NUMBERS = count(1)
    combine = CombineRules.model_validate({"rule": rule})
    voices = strategy(Puppet, "p"), strategy(Second, "q")
    return Journaled(folder, *voices, modes={"p": Mode.SEMI}, combine=combine)


def traded_on(folder: Path, time: int, acts: list[tuple[str, int]]) -> list[str]:
    """Recover a journal, trade on from there, and return all that follows from it, in words."""
    test_persons.NUMBERS = count(10_000)
    journal = Journal(folder, ManualClock(time))
    book, _, _ = recovered(journal)
    journal.close()
    scene = Scene(strategy(Puppet, "p"), strategy(Second, "q"), book=book, modes={"p": Mode.SEMI})
    scene.decider.ids = Ids(ManualClock(), seeded(2))
    scene.time = time
    sent = Sends(scene)
    for what, number in acts:
        act(cast("Journaled", sent), what, number)
    return [repr(each) for each in scene.effects]


class Sends:
    """A scene that keeps what it sent, for the acts of a day."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.sent: list[Any] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._scene, name)


def unheard(book: Book) -> OrderDesk:
    """Return a desk that nobody listens to, and that writes nothing."""
    return OrderDesk(cast("Journal", None), ManualClock(), book, deaf, deaf)


def full() -> tuple[Book, OrderDesk]:
    """Return a book and a desk in which nothing that is carried is as it is when it is new."""
    signal = Signal(
        strategy_id="p", instrument="EUR/USD", time=START, direction=1, reason="so",
        stop_distance=D("0.0010000000000000000001"), take_profit_distance=D("0.5"), confidence=0.1,
    )  # fmt: skip
    order = OrderRequest(
        client_order_id="C9", instrument="EUR/USD", side=Side.BUY, order_type=OrderType.MARKET,
        quantity=D(5), strategy_id="p",
    )  # fmt: skip
    book = Book()
    desk = unheard(book)
    book.wishes = {"EUR/USD": {"q": dataclasses.replace(signal, strategy_id="q"), "p": signal}}
    book.targets = {"EUR/USD": Target(signal, ("p", "q"), spent=True, waiting="for a price")}
    book.states = {"p:EUR/USD": {"n": 1, "list": [1.5, None]}}
    book.modes = {"p": (Mode.SEMI, Mode.AUTO)}
    book.suggestions[3] = Suggestion(
        number=3, account="a", order=order, signal=signal, price=D("1.1"), created=START,
        expires=START + 7, digest="ab12", verdict="buy 5", request="r1",
    )  # fmt: skip
    book.agents = {
        "claude": Agent(
            name="claude", scopes=(AgentScope.TRADE,), mode=Mode.AUTO,
            budget=AgentBudget(currency="EUR", instruments=("*",), notional=D("0.5"), orders=3),
        )
    }  # fmt: skip
    book.note_request(
        AgentRequest(
            source="agent:claude", request="r1", digest="cd34", account="a", instrument="EUR/USD",
            opens=True, time=START, client_order_id="C1", suggestion=3,
        )
    )  # fmt: skip
    book.outcomes = {1: "expired", 2: "rejected by ann"}
    book.answered = {"EUR/USD": (-1, START + 5)}
    book.halted = "by ann: a test"
    account = book.account("a")
    account.balance = D("100.10") / 3
    account.breaker = BreakerState(
        level=BreakerLevel.WARNED, time=START, equity=D("9.90"), peak=D(1) / 7,
        day=date(2026, 1, 2), day_anchor=D(10), week=date(2025, 12, 29), week_anchor=D(11),
        below_since=START + 1, probation_until=START + 2, week_limited=True, reset_by="ann",
        reset_reason="why not",
    )  # fmt: skip
    account.holdings = {"EUR/USD": Holding(D(-5), D(1) / 3), "USD/JPY": Holding(D(7), D("155.5"))}
    for symbol, held in account.holdings.items():
        account.exposures.hold(symbol, held.quantity)
    account.external = {"EUR/USD": D("-2.50"), "GBP/USD": D(0)}
    account.executions, account.our_ids, account.person_ids = {"E2", "E1"}, {"C1"}, {"person-1"}
    account.sent = (
        Sent(
            time=START, client_order_id="C1", strategy_id="p", instrument="EUR/USD",
            side=Side.SELL, quantity=D("1.5"), notional=D("1.65"), filled=START + 4,
        ),
    )  # fmt: skip
    account.messages = (START, START + 1)
    account.leaving = Leaving(
        account="a", share=D("0.3"), cancel=True, cause="halt", by="ann", why="so",
        stay={"T1": D(1) / 3},
    )  # fmt: skip
    account.expected = ExpectedFlow(amount=D("-50.5"), gap=D(1), by="ann", why="rent")
    account.cash_flows, account.paid, account.anticipated = {"T2", "T1"}, D("-7.50"), D(3)
    account.trades.opened_by = {"EUR/USD": "p"}
    account.trades.records = {"q": TradeRecord(wins=1, losses=2, won=D("3.5"), lost=D(4))}
    account.trades.closed.append(ClosedTrade(time=START, strategy_id="q", profit=D("-0.7")))
    account.trades._profit = {"EUR/USD": D(1) / 9}
    desk.cursors = {"a": "17"}
    ticket = Ticket(
        client_order_id="C1", account="a", instrument="EUR/USD", side=Side.SELL,
        quantity=D("1.50"), opens=True, time=START, stage=Stage.IN_DOUBT,
        status=OrderStatus.IN_DOUBT, was_in_doubt=True,
        doubt=Doubt(START + 3, "no answer", looks=2, last="not found"),
    )  # fmt: skip
    desk.tickets = {"C1": ticket}
    return book, desk


def fields(value: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401
    """Yield each field of all dataclasses in ``value``: its name, its value and its default."""
    if isinstance(value, dict):
        for each in value.values():
            yield from fields(each, where)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from fields(each, where)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for each in dataclasses.fields(value):
            if (type(value), each.name) in ASKED_AGAIN:
                continue
            default = each.default
            if each.default_factory is not dataclasses.MISSING:
                default = each.default_factory()
            found = getattr(value, each.name)
            yield f"{where}{type(value).__name__}.{each.name}", found, default
            yield from fields(found)


FOLLOWS = {"AccountBook.working", "AccountBook.exposures", "AccountBook.trades"}
"""Made anew from what else is carried, or looked at one by one below."""


def test_no_field_of_the_book_or_the_desk_is_forgotten() -> None:
    book, desk = full()
    for where in (book, desk.tickets):
        for name, value, default in fields(where):
            if name.startswith(("OrderRequest.", "Signal.")) or name in FOLLOWS:
                continue
            hint = f"{name}: carry it in mtquant.snapshot, and give it a value in full()"
            assert value != default, hint
    assert set(vars(Trades())) == {"opened_by", "records", "closed", "_profit"}
    assert all(vars(book.account("a").trades).values())
    private = {name for name in vars(desk) if name.startswith("_")}
    assert set(vars(desk)) - private == {"tickets", "cursors"}

    state = json.loads(to_json(snapshot(book, desk, START + 9, START)))
    again = Book()
    after = unheard(again)

    assert restore(state, again, after) == START + 9
    # The order is in the tickets, and works for that.
    (order,) = again.account("a").working.values()
    book.account("a").work(order)
    assert deep(again) == deep(book)
    assert deep(after.tickets) == deep(desk.tickets)
    assert after.cursors == desk.cursors
    assert list(again.wishes["EUR/USD"]) == ["q", "p"], "whose wish came first counts on ties"
    assert again.account("a").balance.as_tuple() == book.account("a").balance.as_tuple()


def test_a_state_of_a_later_version_is_refused_in_words() -> None:
    book, desk = full()
    state = snapshot(book, desk, None, START) | {"version": 2}
    with pytest.raises(JournalError, match=r"a state of version 2.*use the one that wrote it"):
        restore(state, Book(), desk)


def test_only_orders_that_nothing_can_come_of_are_ever_dropped_and_their_ids_stay() -> None:
    book, desk = full()
    (doubted,) = desk.tickets.values()
    for name, age, stage, status in (
        ("old", KEPT, Stage.ACKNOWLEDGED, OrderStatus.FILLED),
        ("refused", KEPT, Stage.REFUSED, OrderStatus.REJECTED),
        ("young", KEPT - 1, Stage.ACKNOWLEDGED, OrderStatus.FILLED),
        ("resting", 9 * KEPT, Stage.ACKNOWLEDGED, OrderStatus.NEW),
        ("sent", 9 * KEPT, Stage.SENT, OrderStatus.PENDING_NEW),
    ):
        desk.tickets[name] = dataclasses.replace(
            doubted, client_order_id=name, time=START - age, stage=stage, status=status, doubt=None
        )
        book.account("a").our_ids.add(name)
    again = Book()
    after = unheard(again)
    restore(json.loads(to_json(snapshot(book, desk, None, START))), again, after)
    assert list(after.tickets) == ["C1", "young", "resting", "sent"]
    assert again.account("a").our_ids == {"C1", "old", "refused", "young", "resting", "sent"}
    assert again.account("a").executions == {"E1", "E2"}


# --- the act -------------------------------------------------------------------------------------


def long(folder: Path, number: int, clock: ManualClock | None = None) -> Journal:
    """Return an open journal of ``number`` entries more."""
    journal = Journal(folder, clock or ManualClock(START))
    for each in range(number):
        journal.append("halt", {"on": True, "by": "ann", "why": f"number {each}"}, durable=True)
    return journal


def test_an_archive_is_one_file_that_nobody_writes_and_numbers_and_chain_go_on(
    tmp_path: Path,
) -> None:
    journal = long(tmp_path, 5)
    head = journal.head
    made = archive(journal, ManualClock(START), 0).made
    assert made is not None
    assert [each.name for each in (tmp_path / "archive").iterdir()] == ["journal-1-5.db"]
    assert made.path.stat().st_mode & 0o777 == 0o400
    (carried,) = journal.entries()
    assert (carried.seq, carried.kind) == (6, "carried")
    assert carried.body["before"] == {"entry": 5, "head": head.hex(), "file": "journal-1-5.db"}
    assert journal.append("halt", {"on": False, "by": "", "why": ""}).seq == 7
    journal.close()
    found = verified(tmp_path)
    assert (found.entries, found.files, found.problem) == (7, 2, "")


def test_what_was_not_written_to_since_is_not_archived_again(tmp_path: Path) -> None:
    journal = long(tmp_path, 0)
    clock = ManualClock(START)
    assert archive(journal, clock, 0).made is None
    journal.close()
    journal = long(tmp_path, 1)
    assert archive(journal, clock, 0).made is not None
    assert archive(journal, clock, 0).made is None
    journal.close()


def test_it_is_due_above_the_number_that_is_set_and_never_at_zero(tmp_path: Path) -> None:
    journal = long(tmp_path, 5)
    assert [due(journal, number) for number in (0, 4, 5, 6)] == [False, True, False, False]
    archive(journal, ManualClock(START), 0)
    assert not due(journal, 1), "what is archived doesn't count"
    journal.close()


def test_while_somebody_reads_it_nothing_is_archived_and_it_goes_on_as_it_was(
    tmp_path: Path,
) -> None:
    journal = long(tmp_path, 3)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as reader:
        reader.execute("SELECT count(*) FROM entry").fetchone()
        problem = archive(journal, ManualClock(START), 0).problem
        assert "can't be archived: somebody reads it; try again" in problem
        assert journal.append("halt", {"on": False, "by": "", "why": ""}, durable=True).seq == 4
    assert archive(journal, ManualClock(START), 0).made is not None
    journal.close()
    assert verified(tmp_path).entries == 5


KILLED = """
import os, shutil, sys
from pathlib import Path
from mtquant.archive import archive
from mtquant.clock import ManualClock
from mtquant.journal import Journal

source, place = Path(sys.argv[1]), Path(sys.argv[2])

def died(folder, at):
    journal = Journal(folder, ManualClock(1_700_000_001_000_000_000))
    calls = 0
    def counted(frame, event, called):
        nonlocal calls
        if event != "c_call":
            return
        owner = called.__self__
        if getattr(owner, "__name__", "") == "posix" or type(owner).__module__ == "sqlite3":
            calls += 1
            if calls == at:
                os._exit(9)
    body = Journal.archive
    def watched(self, state):
        sys.setprofile(counted)
        try:
            return body(self, state)
        finally:
            sys.setprofile(None)
    Journal.archive = watched
    archive(journal, ManualClock(), 0)
    os._exit(0)

at = 1
while True:
    shutil.copytree(source, place / str(at))
    child = os.fork()
    if not child:
        died(place / str(at), at)
    if not os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        break
    at += 1
"""


KILLED_ANY_TIME = """
import os, shutil, signal, sys, time
from pathlib import Path
from mtquant.archive import archive
from mtquant.clock import ManualClock, seeded
from mtquant.journal import Journal

source, place, rng = Path(sys.argv[1]), Path(sys.argv[2]), seeded(1)
for at in range(100):
    shutil.copytree(source, place / str(at))
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        body = Journal.archive
        def told(self, state):
            os.write(go, b".")
            return body(self, state)
        Journal.archive = told
        archive(Journal(place / str(at), ManualClock(1_700_000_001_000_000_000)), ManualClock(), 0)
        os._exit(0)
    os.read(ready, 1)
    time.sleep(rng.random() * float(sys.argv[3]))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def killed(folder: Path, script: str, *words: str) -> list[Path]:
    """Return the folders that a journal's is after dying at many points of archiving it."""
    journal = long(folder / "whole", 3)
    archive(journal, ManualClock(START), 0)
    journal.close()
    long(folder / "whole", 3).close()
    (folder / "died").mkdir()
    command = [sys.executable, "-c", script, str(folder / "whole"), str(folder / "died"), *words]
    subprocess.run(command, check=True, timeout=90)
    return sorted((folder / "died").iterdir(), key=lambda each: int(each.name))


def test_a_journal_that_is_damaged_is_not_archived(tmp_path: Path) -> None:
    long(tmp_path, 3).close()
    tamper(tmp_path / "journal.db", "UPDATE entry SET body = '{}' WHERE seq = 2")
    journal = Journal(tmp_path, ManualClock(START))
    with pytest.raises(JournalError, match=r"entry 2 .* is not what was written"):
        archive(journal, ManualClock(START), 0)
    journal.close()
    assert not archives(tmp_path)


def test_who_reads_while_it_is_archived_reads_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, looks = long(tmp_path, 3), count()

    def listed(folder: Path) -> list[Archive]:
        found = archives(folder)
        if not next(looks):
            archive(journal, ManualClock(START), 0)
        return found

    monkeypatch.setattr("mtquant.trail.archives", listed)
    assert [row.seq for row in rows(tmp_path)] == [1, 2, 3, 4]
    journal.close()


@pytest.mark.slow
@pytest.mark.parametrize("words", [(KILLED,), (KILLED_ANY_TIME, "0.03")])
def test_a_kill_at_any_step_leaves_the_old_journal_or_the_new_one(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    found = killed(tmp_path, *words)
    journal = Journal(tmp_path / "whole", ManualClock(START))
    before = everything(journal)
    journal.close()
    ends = set()
    for folder in found:
        # For those who only read, and for the next engine.
        seen = verified(folder)
        assert (seen.problem, seen.entries in {7, 8}) == ("", True), folder
        journal = Journal(folder, ManualClock(START))
        ends.add((journal.first, journal.seq))
        assert everything(journal) == before
        assert not (folder / "journal.next").exists()
        assert all(each.path.stat().st_mode & 0o777 == 0o400 for each in archives(folder))
        archive(journal, ManualClock(START), 0)
        journal.append("halt", {"on": False, "by": "", "why": ""}, durable=True)
        journal.close()
        assert not verified(folder).problem
        assert [each.last for each in archives(folder)] == [3, 7]
        shutil.rmtree(folder)
    assert ends == {(4, 7), (8, 8)}
    assert len(found) > 20


def test_a_kill_between_the_two_renames_is_finished_by_the_next_start(tmp_path: Path) -> None:
    journal = long(tmp_path, 3)
    archive(journal, ManualClock(START), 0)
    before = everything(journal)
    journal.close()
    (tmp_path / "journal.db").rename(tmp_path / "journal.next")
    (tmp_path / "archive" / "journal-1-3.db").chmod(0o644)
    assert verified(tmp_path).entries == 4, "who only reads finds it as well"
    journal = Journal(tmp_path, ManualClock(START))
    assert everything(journal) == before
    assert (journal.first, journal.seq) == (4, 4)
    journal.close()
    assert (tmp_path / "archive" / "journal-1-3.db").stat().st_mode & 0o777 == 0o400


def test_a_new_journal_that_never_came_to_be_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "journal.next").write_bytes(b"SQLite format 3")
    long(tmp_path, 2).close()
    assert verified(tmp_path).entries == 2


# --- what is kept, and for how long --------------------------------------------------------------


@pytest.fixture
def years(tmp_path: Path) -> Journal:
    """Return a journal with an archive of each of three years: entries 1-2, 3-5, 6-8."""
    clock = ManualClock(START)
    journal = long(tmp_path, 0, clock)
    for _ in range(3):
        journal.append("halt", {"on": True, "by": "ann", "why": "a year"})
        journal.append("halt", {"on": False, "by": "ann", "why": "a year"})
        archive(journal, clock, 0)
        clock.set(clock.now() + 365 * DAY)
    journal.append("halt", {"on": True, "by": "ann", "why": "now"}, durable=True)
    return journal


def test_archives_are_removed_when_they_are_too_old_and_each_is_told_of_before(
    tmp_path: Path, years: Journal
) -> None:
    clock = ManualClock(START + 3 * 365 * DAY)
    done = archive(years, clock, 800)
    assert [str(each) for each in done.removed] == ["archive/journal-1-2.db"]
    assert done.problem == ""
    (told,) = years.entries("archive_removed")
    assert (told.body["file"], told.body["first"], told.body["last"]) == ("journal-1-2.db", 1, 2)
    years.append("halt", {"on": False, "by": "", "why": ""})
    assert len(archive(years, clock, 400).removed) == 1
    years.close()
    found = verified(tmp_path)
    assert (found.problem, found.first, found.files) == ("", 6, 4)
    lines = [json.loads(line)["entry"] for line in export(tmp_path, Wanted())]
    assert lines == list(range(6, 6 + found.entries))


def test_an_archive_that_nobody_told_of_is_missing(tmp_path: Path, years: Journal) -> None:
    years.close()
    (tmp_path / "archive" / "journal-1-2.db").unlink()
    assert verified(tmp_path).problem == (
        "entries 1 to 2 are missing: their archive isn't there, and no entry tells that it was "
        "removed"
    )
    (tmp_path / "archive" / "journal-6-8.db").unlink()
    lacks = "entries 6 to 8 are missing: archive/journal-6-8.db isn't there"
    assert verified(tmp_path).problem == lacks


def test_what_was_removed_must_be_what_the_rest_goes_on_from(
    tmp_path: Path, years: Journal
) -> None:
    body = {"file": "journal-1-2.db", "first": 1, "last": 2, "head": "00" * 32}
    years.append("archive_removed", body, durable=True)
    years.close()
    (tmp_path / "archive" / "journal-1-2.db").unlink()
    told = "what follows entry 2 doesn't go on from what was removed"
    assert verified(tmp_path).problem == told


def test_one_more_than_was_told_of_is_missing(tmp_path: Path, years: Journal) -> None:
    archive(years, ManualClock(START + 3 * 365 * DAY), 800)
    years.close()
    (tmp_path / "archive" / "journal-3-5.db").unlink()
    assert verified(tmp_path).problem.startswith("entries 3 to 5 are missing")


def test_an_archive_that_is_not_what_was_archived_is_evidence_and_stays(
    tmp_path: Path, years: Journal
) -> None:
    tamper(tmp_path / "archive" / "journal-1-2.db", "UPDATE entry SET hash = zeroblob(32)")
    done = archive(years, ManualClock(START + 3 * 365 * DAY), 1)
    assert done.removed == ()
    assert "journal-1-2.db is kept, for it isn't what was archived" in done.problem
    (tmp_path / "archive" / "journal-1-2.db").chmod(0o600)
    (tmp_path / "archive" / "journal-1-2.db").write_bytes(b"rubbish")
    assert (
        "journal-1-2.db is kept, for it can't be looked"
        in archive(years, ManualClock(START + 3 * 365 * DAY), 1).problem
    )
    years.close()


def test_a_removal_that_was_broken_off_is_done_the_next_time(
    tmp_path: Path, years: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Path.unlink

    def refuses(path: Path, *, missing_ok: bool = False) -> None:
        if path.parent.name == "archive":
            raise PermissionError(13, "Permission denied")
        really(path, missing_ok=missing_ok)

    clock = ManualClock(START + 3 * 365 * DAY)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuses)
        problem = archive(years, clock, 800).problem
        assert problem == "archive/journal-1-2.db can't be removed: Permission denied"
    assert not verified(tmp_path).problem, "it is told of, and still there"
    assert archive(years, clock, 800).removed
    years.close()
    assert verified(tmp_path).problem == ""


# --- what is done to archives --------------------------------------------------------------------


def tamper(path: Path, *statements: str) -> None:
    """Do to a file what whoever owns the disk can do."""
    path.chmod(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for name in ("entry_no_update", "entry_no_delete"):
            file.execute(f"DROP TRIGGER IF EXISTS {name}")
        for statement in statements:
            file.execute(statement)


def edited(place: Path) -> None:
    tamper(place / "journal-3-5.db", "UPDATE entry SET body = '{}' WHERE seq = 4")


def cut(place: Path) -> None:
    tamper(place / "journal-3-5.db", "DELETE FROM entry WHERE seq = 5")


def emptied(place: Path) -> None:
    tamper(place / "journal-3-5.db", "DELETE FROM entry")


def swapped(place: Path) -> None:
    first, second = place / "journal-1-2.db", place / "journal-3-5.db"
    first.rename(place / "x")
    second.rename(first)
    (place / "x").rename(second)


def renamed(place: Path) -> None:
    (place / "journal-3-5.db").rename(place / "journal-3-4.db")


def forged(place: Path) -> None:
    """Another journal's archive, whole and with a chain of its own."""
    (place / "journal-1-2.db").unlink()
    journal = Journal(place / "other", ManualClock(START))
    journal.append("halt", {"on": False, "by": "eve", "why": "x"})
    journal.append("halt", {"on": False, "by": "eve", "why": "x"})
    made = archive(journal, ManualClock(START), 0).made
    journal.close()
    assert made is not None
    made.path.rename(place / "journal-1-2.db")


def shortened(place: Path) -> None:
    path = place / "journal-3-5.db"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:4096])


def torn(place: Path) -> None:
    path = place / "journal-3-5.db"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:5000])


def blank(place: Path) -> None:
    (place / "journal-3-5.db").unlink()
    (place / "journal-3-5.db").touch()


@pytest.mark.parametrize(
    ("act_on", "problem"),
    [
        (edited, "archive/journal-3-5.db: entry 4 (halt) is not what was written"),
        (cut, "archive/journal-3-5.db ends at entry 4: entries 5 to 5 are missing"),
        (emptied, "archive/journal-3-5.db holds no entry; 3 to 5 are missing"),
        (swapped, "archive/journal-1-2.db begins with entry 3: it isn't the file of that name"),
        (renamed, "archive/journal-3-4.db ends at entry 5: it isn't the file of that name"),
        (forged, "journal-3-5.db doesn't go on from archive/journal-1-2.db: one of them isn't"),
        (shortened, "archive/journal-3-5.db can't be read after entry 2: "),
        (torn, "archive/journal-3-5.db can't be read after entry 2: its first entry is damaged"),
        (blank, "archive/journal-3-5.db holds no journal"),
    ],
)
def test_what_is_done_to_an_archive_is_told_with_its_name_and_entries(
    tmp_path: Path, years: Journal, act_on: Callable[[Path], None], problem: str
) -> None:
    years.close()
    assert not verified(tmp_path).problem
    act_on(tmp_path / "archive")
    found = verified(tmp_path)
    assert problem in found.problem
    assert found.entries == (0 if act_on is swapped else 3 if act_on is edited else found.entries)


def test_a_journal_that_is_gone_or_older_than_its_archives_is_not_traded_on(
    tmp_path: Path,
) -> None:
    journal = long(tmp_path, 3)
    journal.close()
    copy = (tmp_path / "journal.db").read_bytes()
    journal = long(tmp_path, 2)
    archive(journal, ManualClock(START), 0)
    journal.close()
    (tmp_path / "journal.db").write_bytes(copy)
    told = "journal.db begins with entry 1, which archive/journal-1-5.db holds already"
    assert verified(tmp_path).problem == told
    with pytest.raises(JournalError, match=r"begins with entry 1, which .*-5\.db holds already"):
        Journal(tmp_path, ManualClock(START))
    (tmp_path / "journal.db").unlink()
    with pytest.raises(JournalError, match=r"journal\.db is missing.*Bring back a copy"):
        Journal(tmp_path, ManualClock(START))
    assert "is missing: archive/journal-1-5.db is there" in verified(tmp_path).problem
