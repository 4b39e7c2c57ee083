"""What becomes of an order that was turned away, or of which two reports cross."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.kernel.fake_broker import FakeBroker, order
from tests.kernel.test_reconcile import EUR, ORDER, START, Desk, anyio_backend

from mtquant.contract import Broker
from mtquant.decide import Submit
from mtquant.errors import (
    BrokerError,
    ErrorCode,
    Outcome,
    OutcomeUnknown,
    ReconciliationError,
    Refused,
)
from mtquant.model import (
    Changes,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from mtquant.orders import Stage, Ticket
from mtquant.pool import first_able
from mtquant.wire import Remote, serve

__all__ = ["anyio_backend"]
D = Decimal
VOID = Refused("not_found", "there is none, and never will be", fenced=True)
UNSENT = {"outcome": Outcome.NOT_SENT}


def report(status: OrderStatus, filled: int = 0) -> OrderReport:
    return OrderReport(
        order_id="O1",
        client_order_id="c1",
        instrument=EUR,
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=D(1000),
        time_in_force=TimeInForce.FOK,
        status=status,
        filled_quantity=D(filled),
        remaining_quantity=D(1000 - filled),
        average_price=D("1.1") if filled else None,
        submitted_at=START,
        updated_at=START,
    )


def answered(code: str, **details: Any) -> Refused:  # noqa: ANN401 - an error's
    error = Refused(code, "no", **details)
    error.answered = True
    return error


class Line:
    """What an account's server answers to an order and to its fence; counts the fences."""

    def __init__(self, desk: Desk, placed: object, fenced: object = VOID) -> None:
        self.fences = 0

        async def place(_: OrderRequest) -> OrderReport:
            return _said(placed)

        async def fence(_: str) -> OrderReport:
            self.fences += 1
            return _said(fenced)

        desk.link.place, desk.link.fence = place, fence  # type: ignore[method-assign, assignment]


def _said(what: Any) -> OrderReport:  # noqa: ANN401 - a report, or what is raised
    if isinstance(what, Exception):
        raise what
    assert isinstance(what, OrderReport)
    return what


@pytest.fixture
def desk(tmp_path: Path) -> Any:  # noqa: ANN401 - pytest's
    made = Desk(tmp_path)
    yield made
    made.journal.close()


async def send(desk: Desk) -> Ticket:
    effect = Submit(account="a", order=ORDER)
    ticket = desk.desk.register(effect)
    await desk.desk.send(desk.link, effect, ticket)
    return ticket


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("refusal", "stage", "fences"),
    [
        (answered("rate_limited", **UNSENT), Stage.REFUSED, 1),
        (answered("not_connected", **UNSENT), Stage.PROVEN_ABSENT, 1),
        (answered("broker_rejected"), Stage.REFUSED, 0),
        (answered("conflict", fenced=True, **UNSENT), Stage.PROVEN_ABSENT, 0),
        (Refused("not_connected", "no line", **UNSENT), Stage.PROVEN_ABSENT, 0),
        (Refused("unsupported", "not offered", **UNSENT), Stage.REFUSED, 0),
    ],
    ids=lambda each: str(each) if not isinstance(each, Refused) else f"{each.code}-{each.answered}",
)
async def test_an_id_that_a_server_left_free_is_made_void_before_its_order_is_done_with(
    desk: Desk, refusal: Refused, stage: Stage, fences: int
) -> None:
    line = Line(desk, refusal)
    ticket = await send(desk)
    assert (ticket.stage, ticket.settled, line.fences) == (stage, True, fences)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "failure",
    [
        OutcomeUnknown("no answer"),
        Refused("not_connected", "no line", **UNSENT),
        answered("rate_limited", **UNSENT),
        Refused("not_found", "not seen, yet"),
    ],
    ids=lambda each: str(each.code),
)
async def test_an_order_whose_id_cant_be_made_void_is_in_doubt(
    desk: Desk, failure: BrokerError
) -> None:
    Line(desk, answered("rate_limited", **UNSENT), failure)
    ticket = await send(desk)
    assert ticket.stage is Stage.IN_DOUBT
    assert ticket.doubt is not None
    assert "rate_limited" in ticket.doubt.why
    assert "can't be made void" in ticket.doubt.why


@pytest.mark.anyio
async def test_an_order_that_was_refused_and_lives_after_all_is_taken_for_what_it_is(
    desk: Desk,
) -> None:
    Line(desk, answered("rate_limited", **UNSENT), report(OrderStatus.CANCELED))
    ticket = await send(desk)
    assert (ticket.stage, ticket.status) == (Stage.ACKNOWLEDGED, OrderStatus.CANCELED)


@pytest.mark.anyio
async def test_of_two_reports_that_cross_the_older_reopens_nothing(desk: Desk) -> None:
    Line(desk, report(OrderStatus.CANCELED))
    ticket = await send(desk)
    working = desk.book.account("a").working
    assert not working
    await desk.desk._take_report(desk.link, report(OrderStatus.NEW))
    assert ticket.status is OrderStatus.CANCELED
    assert not working


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [report(OrderStatus.NEW), OutcomeUnknown("cut off")],
    ids=["an older report", "none"],
)
async def test_what_is_heard_of_an_order_while_its_answer_is_awaited_isnt_forgotten(
    desk: Desk, answer: object
) -> None:
    line = Line(desk, answer)

    async def changes(since: str | None, wait_s: float = 0) -> Changes:  # noqa: ARG001 - its base's
        return Changes(orders=(report(OrderStatus.CANCELED),), fills=(), cursor="1", more=False)

    async def place(_: OrderRequest) -> OrderReport:
        await desk.desk.catch_up(desk.link)
        return _said(answer)

    desk.link.place, desk.link.changes = place, changes  # type: ignore[method-assign, assignment]
    ticket = await send(desk)
    assert (ticket.stage, ticket.status) == (Stage.ACKNOWLEDGED, OrderStatus.CANCELED)
    assert not desk.book.account("a").working
    assert not desk.told
    assert line.fences == 0


@pytest.mark.anyio
async def test_an_order_whose_answer_was_lost_is_asked_for_though_its_end_was_heard(
    desk: Desk,
) -> None:
    asked: list[str] = []
    gone = Refused("not_connected", "gone", **UNSENT)
    said: list[object] = [OutcomeUnknown("cut off"), gone, report(OrderStatus.CANCELED)]

    async def place(_: OrderRequest) -> OrderReport:
        desk.desk.tickets["c1"].heard = report(OrderStatus.CANCELED)
        raise OutcomeUnknown("the server died")

    async def look_up(client_order_id: str) -> OrderReport:
        asked.append(client_order_id)
        return _said(said.pop(0))

    desk.link.place, desk.link.order = place, look_up  # type: ignore[method-assign, assignment]
    ticket = await send(desk)
    assert (ticket.stage, ticket.status) == (Stage.ACKNOWLEDGED, OrderStatus.CANCELED)

    for number in (1, 2, 3):
        assert desk.desk.asks("a"), "its server may not know it yet"
        await desk.desk.settle(desk.link)
        assert asked == ["c1"] * number
    assert not desk.desk.asks("a")
    await desk.desk.settle(desk.link)
    assert len(asked) == 3


@pytest.mark.anyio
async def test_a_report_of_the_order_in_another_instrument_is_not_believed(desk: Desk) -> None:
    Line(desk, replace(report(OrderStatus.CANCELED), instrument="EURUSD.a"))
    with pytest.raises(ReconciliationError, match=r"has order c1 in EURUSD\.a"):
        await send(desk)
    assert [each.client_order_id for each in desk.desk.in_doubt()] == ["c1"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("looked_up", "stage", "by_person"),
    [
        (OutcomeUnknown("no answer"), Stage.REFUSED, True),
        (Refused("not_connected", "no line", **UNSENT), Stage.REFUSED, True),
        (report(OrderStatus.CANCELED), Stage.ACKNOWLEDGED, False),
        (VOID, Stage.PROVEN_ABSENT, False),
    ],
    ids=["silent", "away", "found", "void"],
)
async def test_a_doubt_ends_on_a_persons_word_only_where_the_broker_has_none(
    desk: Desk, looked_up: object, stage: Stage, *, by_person: bool
) -> None:
    Line(desk, OutcomeUnknown("cut off"))
    ticket = await send(desk)
    assert ticket.stage is Stage.IN_DOUBT

    async def order(_: str) -> OrderReport:
        return _said(looked_up)

    desk.link.order = order  # type: ignore[method-assign, assignment]
    await desk.desk.settle_by_person(desk.link, ticket, "ann", "the dealing desk says so")
    assert ticket.stage is stage
    entries = [each.body for each in desk.journal.entries("settled_by_person")]
    assert [(each["client_order_id"], each["by"]) for each in entries] == [
        ("c1", "ann")
    ] * by_person
    assert not desk.book.account("a").working
    desk.restart()
    assert desk.desk.tickets["c1"].stage is stage
    assert not desk.book.account("a").working


class Pausing(FakeBroker):
    """Says that it is too fast, having done nothing."""

    async def place_order(self, _: OrderRequest) -> OrderReport:
        raise Refused("rate_limited", "too fast", outcome=Outcome.NOT_SENT)


@pytest.mark.anyio
async def test_what_a_server_answers_is_told_from_what_never_left() -> None:
    async with Remote(serve(Pausing())) as remote:
        with pytest.raises(Refused) as said:
            await remote.place_order(order())
    assert (said.value.code, said.value.answered) == (ErrorCode.RATE_LIMITED, True)
    with pytest.raises(Refused) as local:
        await remote.place_order(order())
    assert (local.value.code, local.value.answered) == (ErrorCode.NOT_CONNECTED, False)


@pytest.mark.anyio
@pytest.mark.parametrize("first", [True, False])
async def test_of_several_servers_one_that_answered_is_not_forgotten(*, first: bool) -> None:
    class Server:
        state = "down"

        def __init__(self, error: Refused) -> None:
            self.error = error

        async def call(self, use: Callable[[Broker], Any], *, waits: bool = False) -> Any:  # noqa: ANN401, ARG002 - as the pool
            raise self.error

    errors = [answered("not_connected", **UNSENT), Refused("not_connected", "no line", **UNSENT)]
    servers: Any = [Server(each) for each in (errors if first else errors[::-1])]
    with pytest.raises(Refused) as said:
        await first_able(servers, lambda it: it.get_account())
    assert said.value.answered
