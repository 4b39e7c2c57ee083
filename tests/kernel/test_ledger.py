"""The ledger: one client order id acts at most once, whatever fails in between."""

# ruff: noqa: ANN401 - the values of parametrised cases are of many types

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.kernel.fake_broker import (
    SETTLING_S,
    FakeBroker,
    FileBroker,
    order,
    report_of,
    resting,
)

from mtquant.clock import SECOND, ManualClock
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused
from mtquant.ledger import SENDING_S, Ledger, State
from mtquant.model import Changes, CloseRequest, OrderStatus
from mtquant.wire.guard import Guard

pytestmark = pytest.mark.anyio

FAKE = str(Path(__file__).with_name("fake_broker.py"))


class Desk:
    """A broker, a ledger on disk and the guard between them; ``restart`` forgets all but disk."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock, self.broker = str(path), ManualClock(), FakeBroker()
        self.ledger = Ledger(self.path, self.clock)
        self.guard = Guard(self.broker, self.ledger)

    def restart(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.path, self.clock)
        self.guard = Guard(self.broker, self.ledger)

    def state(self, client_order_id: str = "c1") -> State | None:
        row = self.ledger.find(client_order_id)
        return row.state if row is not None else None

    def pass_time(self, seconds: float) -> None:
        self.clock.set(self.clock.now() + round(seconds * SECOND))

    async def lose(self, client_order_id: str = "c1", **changes: Any) -> None:
        """Send an order whose answer, and whose arrival, is lost."""
        self.broker.before = lambda: _raise(OutcomeUnknown("timed out"))
        with pytest.raises(OutcomeUnknown):
            await self.guard.place_order(order(client_order_id, **changes))
        self.broker.before = lambda: None


def _raise(error: BaseException) -> None:
    raise error


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "ledger.db")
    yield made
    made.ledger.close()


# --- the same id again -----------------------------------------------------------------------


async def test_the_same_order_again_is_answered_from_the_record(desk: Desk) -> None:
    first = await desk.guard.place_order(order())
    again = await desk.guard.place_order(order(quantity=Decimal("1000.000")))
    assert not first.replayed
    assert again == replace(first, replayed=True)
    desk.restart()
    assert await desk.guard.place_order(order()) == again
    assert len(desk.broker.sent) == 1


async def test_a_working_order_is_answered_as_it_is_now(desk: Desk) -> None:
    desk.broker.make = resting
    assert (await desk.guard.place_order(order())).status is OrderStatus.NEW
    desk.broker.reach(report_of(order()))
    again = await desk.guard.place_order(order())
    assert (again.status, again.replayed) == (OrderStatus.FILLED, True)
    desk.broker.looking_fails = Refused("not_connected", "gone", outcome=Outcome.NOT_SENT)
    assert (await desk.guard.place_order(order())).replayed
    assert len(desk.broker.sent) == 1


@pytest.mark.parametrize(
    "other",
    [
        order(quantity=Decimal(1001)),
        order(reduce_only=True),
        CloseRequest(client_order_id="c1", instrument="EURUSD"),
    ],
    ids=["quantity", "reduce_only", "tool"],
)
async def test_the_same_id_for_another_order_is_refused(desk: Desk, other: Any) -> None:
    await desk.guard.place_order(order())
    act = desk.guard.close_position if isinstance(other, CloseRequest) else desk.guard.place_order
    with pytest.raises(Refused) as caught:
        await act(other)
    assert caught.value.code is ErrorCode.DUPLICATE_MISMATCH
    assert len(desk.broker.sent) == 1


async def test_a_close_acts_once_too(desk: Desk) -> None:
    close = CloseRequest(client_order_id="c1", position_id="p1")
    await desk.guard.close_position(close)
    assert (await desk.guard.close_position(close)).replayed
    assert len(desk.broker.sent) == 1


async def test_a_rejection_is_repeated_from_the_record(desk: Desk) -> None:
    refusal = Refused("insufficient_margin", "no money", broker_code="10019")
    desk.broker.before = lambda: _raise(refusal)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await desk.guard.place_order(order())
        assert caught.value.payload() == refusal.payload()
        desk.restart()
    assert len(desk.broker.sent) == 1
    with pytest.raises(Refused) as looked_up:
        await desk.guard.get_order(client_order_id="c1")
    assert (looked_up.value.code, looked_up.value.fenced) == ("not_found", True)


async def test_an_order_that_was_not_sent_may_be_sent_again_under_its_id(desk: Desk) -> None:
    desk.broker.before = lambda: _raise(Refused("not_connected", "no", outcome=Outcome.NOT_SENT))
    with pytest.raises(Refused):
        await desk.guard.place_order(order())
    with pytest.raises(Refused) as looked_up:
        await desk.guard.get_order(client_order_id="c1")
    assert (looked_up.value.code, looked_up.value.fenced) == ("not_found", False)
    with pytest.raises(Refused, match="another order"):
        await desk.guard.place_order(order(quantity=Decimal(1)))
    desk.broker.before = lambda: None
    assert not (await desk.guard.place_order(order())).replayed
    assert len(desk.broker.sent) == 2


# --- unknown orders --------------------------------------------------------------------------


async def test_an_unknown_order_that_is_found_is_adopted(desk: Desk) -> None:
    desk.broker.after = lambda: _raise(OutcomeUnknown("timed out"))
    with pytest.raises(OutcomeUnknown):
        await desk.guard.place_order(order())
    assert desk.ledger.unknown() == 1
    report = await desk.guard.place_order(order())
    assert (report.replayed, report.status) == (True, OrderStatus.FILLED)
    assert desk.ledger.unknown() == 0
    assert len(desk.broker.sent) == 1


@pytest.mark.parametrize("ask", ["place_order", "get_order", "cancel_order"])
async def test_absence_is_believed_only_after_the_settling_window(desk: Desk, ask: str) -> None:
    await desk.lose()

    async def again() -> object:
        if ask == "place_order":
            return await desk.guard.place_order(order())
        return await getattr(desk.guard, ask)(client_order_id="c1")

    desk.pass_time(SETTLING_S)
    with pytest.raises(OutcomeUnknown) as early:
        await again()
    assert early.value.retry_after_s == 0
    desk.pass_time(0.001)
    with pytest.raises(Refused) as late:
        await again()
    assert (late.value.code, late.value.outcome, late.value.fenced) == (
        "not_found",
        "rejected",
        True,
    )
    with pytest.raises(Refused) as copy:
        await desk.guard.place_order(order())
    assert (copy.value.code, copy.value.outcome, copy.value.fenced) == (
        "conflict",
        "rejected",
        True,
    )
    assert len(desk.broker.sent) == 1


async def test_a_lookup_that_fails_proves_nothing(desk: Desk) -> None:
    await desk.lose()
    desk.pass_time(SETTLING_S + 1)
    for error in (
        Refused("not_connected", "gone", outcome=Outcome.NOT_SENT),
        Refused("unsupported", "no such tool", outcome=Outcome.NOT_SENT),
        OutcomeUnknown("timed out"),
    ):
        desk.broker.looking_fails = error
        with pytest.raises(OutcomeUnknown):
            await desk.guard.place_order(order())
    assert desk.state() is State.UNKNOWN


async def test_a_weak_match_is_not_adopted(desk: Desk) -> None:
    await desk.lose()
    desk.broker.get_order = lambda **_: _returns(report_of(order("c9")))  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown, match="another client_order_id"):
        await desk.guard.place_order(order())
    assert desk.state() is State.UNKNOWN


async def _returns(value: Any) -> Any:
    return value


async def test_an_order_that_turns_up_after_all_is_adopted(desk: Desk) -> None:
    await desk.lose()
    desk.pass_time(SETTLING_S + 1)
    with pytest.raises(Refused):
        await desk.guard.get_order(client_order_id="c1")
    desk.broker.reach(report_of(order()))
    await desk.guard.get_order(client_order_id="c1")
    assert (await desk.guard.place_order(order())).replayed
    assert len(desk.broker.sent) == 1


async def test_an_unknown_order_that_can_be_looked_up_keeps_no_other_off(desk: Desk) -> None:
    await desk.lose()
    desk.restart()
    desk.broker.reach(report_of(order()))  # and whoever sent it heard of it, and asks no more
    assert (await desk.guard.place_order(order("c2"))).status is OrderStatus.FILLED
    assert desk.state() is State.DONE
    assert [each.client_order_id for each in desk.broker.sent] == ["c1", "c2"]


async def test_what_the_changes_tell_of_is_unknown_no_more(desk: Desk) -> None:
    await desk.lose()

    async def changes(**_: Any) -> Changes:
        return Changes(cursor="1", orders=(report_of(order()),), fills=(), more=False)

    desk.broker.get_changes = changes  # type: ignore[method-assign, assignment]
    await desk.guard.get_changes()
    assert desk.state() is State.DONE
    assert (await desk.guard.get_health()).unknown_orders == 0


async def test_an_unknown_order_keeps_new_risk_off_its_instrument(desk: Desk) -> None:
    await desk.lose()
    desk.restart()
    assert (await desk.guard.get_health()).unknown_orders == 1
    with pytest.raises(Refused, match="look that order up") as caught:
        await desk.guard.place_order(order("c2"))
    assert (caught.value.code, caught.value.outcome) == ("conflict", "not_sent")
    assert caught.value.verify == {"tool": "get_order", "args": {"client_order_id": "c1"}}
    await desk.guard.place_order(order("c3", reduce_only=True))
    await desk.guard.place_order(order("c4", instrument="GBPUSD"))
    await desk.guard.close_position(CloseRequest(client_order_id="c5", instrument="EURUSD"))
    desk.pass_time(SETTLING_S + 1)
    with pytest.raises(Refused):
        await desk.guard.get_order(client_order_id="c1")
    assert not (await desk.guard.place_order(order("c2"))).replayed
    assert (await desk.guard.get_health()).unknown_orders == 0


async def test_an_unknown_close_of_a_position_may_be_any_instrument(desk: Desk) -> None:
    desk.broker.before = lambda: _raise(OutcomeUnknown("timed out"))
    with pytest.raises(OutcomeUnknown):
        await desk.guard.close_position(CloseRequest(client_order_id="c1", position_id="p"))
    with pytest.raises(Refused, match="c1"):
        await desk.guard.place_order(order("c2"))


async def test_a_call_that_hangs_counts_as_unknown_and_is_not_given_up(desk: Desk) -> None:
    desk.broker.gate = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(desk.guard.place_order, order())
        while not desk.broker.sent:
            await anyio.lowlevel.checkpoint()
        assert desk.ledger.unknown() == 0
        desk.pass_time(SENDING_S + SETTLING_S + 1)
        assert desk.ledger.unknown() == 1
        with pytest.raises(Refused, match="c1"):
            await desk.guard.place_order(order("c2"))
        with pytest.raises(OutcomeUnknown):  # it may still reach the venue: never void
            await desk.guard.get_order(client_order_id="c1")
        desk.broker.gate.set()
    assert desk.state() is State.DONE


# --- the fence -------------------------------------------------------------------------------


async def test_cancelling_an_id_never_seen_makes_it_void_for_ever(desk: Desk) -> None:
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await desk.guard.cancel_order(client_order_id="c1")
        assert (caught.value.code, caught.value.outcome, caught.value.fenced) == (
            "not_found",
            "rejected",
            True,
        )
        desk.restart()
    for _ in range(2):
        with pytest.raises(Refused) as late:
            await desk.guard.place_order(order())
        assert (late.value.code, late.value.outcome, late.value.fenced) == (
            "conflict",
            "rejected",
            True,
        )
    assert not desk.broker.sent


async def test_cancelling_an_order_that_was_not_sent_makes_it_void(desk: Desk) -> None:
    desk.broker.before = lambda: _raise(Refused("not_connected", "no", outcome=Outcome.NOT_SENT))
    with pytest.raises(Refused):
        await desk.guard.place_order(order())
    with pytest.raises(Refused) as caught:
        await desk.guard.cancel_order(client_order_id="c1")
    assert caught.value.fenced
    with pytest.raises(Refused, match="void"):
        await desk.guard.place_order(order())
    assert len(desk.broker.sent) == 1


async def test_an_order_the_ledger_never_saw_is_cancelled_at_the_broker(desk: Desk) -> None:
    desk.broker.reach(resting(order()))
    report = await desk.guard.cancel_order(client_order_id="c1")
    assert report.status is OrderStatus.CANCELED


async def test_an_order_the_ledger_lost_and_then_saw_is_not_sent_again(desk: Desk) -> None:
    desk.broker.reach(report_of(order()))
    await desk.guard.get_order(client_order_id="c1")
    assert (await desk.guard.place_order(order())).replayed
    assert not desk.broker.sent


async def test_a_fence_the_broker_did_not_confirm_promises_nothing(desk: Desk) -> None:
    desk.broker.looking_fails = Refused("not_connected", "gone", outcome=Outcome.NOT_SENT)
    with pytest.raises(Refused) as caught:
        await desk.guard.cancel_order(client_order_id="c1")
    assert not caught.value.fenced
    with pytest.raises(Refused, match="void"):  # yet no late copy acts
        await desk.guard.place_order(order())


async def test_a_cancel_is_recorded(desk: Desk) -> None:
    desk.broker.make = resting
    await desk.guard.place_order(order())
    canceled = await desk.guard.cancel_order(client_order_id="c1")
    assert await desk.guard.place_order(order()) == replace(canceled, replayed=True)


@pytest.mark.parametrize("ids", [{}, {"order_id": "1", "client_order_id": "c1"}])
async def test_one_id_and_one_only_is_asked_for(desk: Desk, ids: dict[str, str]) -> None:
    for act in (desk.guard.get_order, desk.guard.cancel_order):
        with pytest.raises(Refused, match="either"):
            await act(**ids)


async def test_an_order_is_found_by_the_brokers_id_too(desk: Desk) -> None:
    placed = await desk.guard.place_order(order())
    assert await desk.guard.get_order(order_id=placed.order_id) == placed


# --- restarts, crashes, two processes --------------------------------------------------------


async def test_a_ledger_that_cant_be_written_lets_nothing_out(desk: Desk) -> None:
    desk.ledger.close()
    with pytest.raises(Refused, match="ledger") as caught:
        await desk.guard.place_order(order())
    assert caught.value.outcome is Outcome.NOT_SENT
    assert not desk.broker.sent


async def test_a_disk_that_fails_before_the_send_lets_nothing_out(desk: Desk) -> None:
    desk.ledger._db.execute("PRAGMA query_only = ON")
    with pytest.raises(Refused, match="ledger"):
        await desk.guard.place_order(order())
    desk.ledger._db.execute("PRAGMA query_only = OFF")
    assert not (await desk.guard.place_order(order())).replayed
    assert len(desk.broker.sent) == 1


async def test_a_disk_that_fails_after_the_send_leaves_the_order_unknown(desk: Desk) -> None:
    desk.broker.after = lambda: desk.ledger._db.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.Error):  # serve answers it as internal, outcome unknown
        await desk.guard.place_order(order())
    desk.ledger._db.execute("PRAGMA query_only = OFF")
    assert desk.ledger.unknown() == 1
    assert (await desk.guard.place_order(order())).replayed
    assert len(desk.broker.sent) == 1


async def test_accounts_in_one_file_do_not_meet(tmp_path: Path) -> None:
    path, broker = str(tmp_path / "ledger.db"), FakeBroker()
    for account in ("a", "b"):
        ledger = Ledger(path, ManualClock(), account=account)
        assert not (await Guard(broker, ledger).place_order(order())).replayed
        ledger.close()


async def test_a_pending_row_of_a_process_that_lives_is_left_alone(desk: Desk) -> None:
    desk.broker.gate = anyio.Event()
    second = Ledger(desk.path, desk.clock)
    other = Guard(desk.broker, second)
    async with anyio.create_task_group() as group:
        group.start_soon(desk.guard.place_order, order())
        while not desk.broker.sent:
            await anyio.lowlevel.checkpoint()
        desk.pass_time(SETTLING_S + 1)
        for ask in (other.place_order(order()), other.get_order(client_order_id="c1")):
            with pytest.raises(OutcomeUnknown):
                await ask
        assert desk.state() is State.PENDING
        desk.broker.gate.set()
    assert (await other.place_order(order())).replayed
    assert len(desk.broker.sent) == 1
    second.close()


def test_many_may_open_one_file_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def open_one(_: int) -> int:
        together.wait(10)
        ledger = Ledger(str(tmp_path / "ledger.db"), ManualClock())
        together.wait(10)
        ledger.close()
        return ledger._owner

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(open_one, range(8))) == set(range(8))


CRASHES = [
    # where, orders at the venue, what place_order of the same id answers after the restart,
    # and after the settling window
    ("before pending", 0, "placed", "placed"),
    ("after pending", 0, ErrorCode.OUTCOME_UNKNOWN, ErrorCode.NOT_FOUND),
    ("after send", 1, "replayed", "replayed"),
    ("after record", 1, "replayed", "replayed"),
]


@pytest.mark.parametrize(("where", "at_venue", "at_once", "later"), CRASHES)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_kill_9_at_every_step(
    tmp_path: Path, where: str, at_venue: int, at_once: str, later: str
) -> None:
    path, venue = tmp_path / "ledger.db", tmp_path / "venue"
    child = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, FAKE, "crash", where, path, venue], check=False, capture_output=True
    )
    assert child.returncode == -9
    broker = FileBroker(venue)
    assert len(venue.read_text().split() if venue.exists() else []) == at_venue
    clock = ManualClock()
    ledger = Ledger(str(path), clock)
    assert ledger.unknown() == (0 if where in ("before pending", "after record") else 1)

    async def answer() -> str:
        try:
            report = await Guard(broker, ledger).place_order(order())
        except BrokerError as error:
            return error.code
        return "replayed" if report.replayed else "placed"

    if later != "placed":
        assert await answer() == at_once
        clock.set(round((SETTLING_S + 1) * SECOND))
    assert await answer() == later
    assert len(broker.sent) == (1 if later == "placed" else 0)  # never sent a second time
    ledger.close()


@pytest.mark.slow
def test_two_processes_race_for_a_thousand_ids_and_each_is_sent_once(tmp_path: Path) -> None:
    ids, path, venue = 1000, tmp_path / "ledger.db", tmp_path / "venue"
    children = [
        subprocess.Popen(
            [sys.executable, FAKE, "race", path, venue],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers: Counter[str] = Counter()
    winners = set()
    for number in range(-1, ids):  # both get each id at the same time; -1 is their start
        for child in children:
            if number >= 0:
                _tell(child, f"id{number}")
        said = [_hear(child) for child in children]
        answers.update(said)
        winners |= {place for place, each in enumerate(said) if each == "placed"}
    for child in children:
        child.communicate(timeout=10)
        assert child.returncode == 0
    assert Counter(venue.read_text().split()) == Counter(f"id{n}" for n in range(ids))
    assert answers.pop("ready") == len(children)
    assert answers["placed"] == ids
    assert set(answers) <= {"placed", "replayed", "outcome_unknown"}
    assert winners == {0, 1}  # it was a race


def _tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{line}\n")
    child.stdin.flush()


def _hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().rstrip()


class SetClock(ManualClock):
    """A clock whose wall time somebody sets; what measures durations goes on."""

    ahead = 0.0

    def now(self) -> int:
        return super().now() + round(self.ahead * SECOND)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
async def test_a_wall_clock_that_is_set_neither_proves_nor_delays_anything(
    tmp_path: Path, jump_s: float
) -> None:
    desk = Desk(tmp_path / "ledger.db")
    desk.ledger.close()
    desk.clock = clock = SetClock(7200 * SECOND)
    desk.restart()
    await desk.lose()
    clock.ahead = jump_s
    with pytest.raises(OutcomeUnknown):
        await desk.guard.get_order(client_order_id="c1")
    clock.set(ManualClock.now(clock) + round((SETTLING_S + 0.001) * SECOND))
    with pytest.raises(Refused, match="it is void"):
        await desk.guard.get_order(client_order_id="c1")
    desk.ledger.close()


async def test_a_restart_waits_anew_before_not_found_is_a_proof(desk: Desk) -> None:
    await desk.lose()
    desk.pass_time(SETTLING_S + 1)
    desk.restart()
    with pytest.raises(OutcomeUnknown):
        await desk.guard.get_order(client_order_id="c1")
    desk.pass_time(SETTLING_S + 0.001)
    with pytest.raises(Refused, match="it is void"):
        await desk.guard.get_order(client_order_id="c1")
