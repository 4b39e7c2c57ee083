"""What an audit makes of the brokers' own records."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from tests.kernel.fake_broker import order, report_of, resting

from mtquant.audit import audit
from mtquant.errors import ErrorCode, Refused
from mtquant.model import Fill, Fills, OrderReport, OrderStatus, Side
from mtquant.orders import Stage

pytestmark = pytest.mark.anyio
EXECUTION = Fill(
    execution_id="E1",
    order_id="o-c1",
    client_order_id="c1",
    instrument="EURUSD",
    side=Side.BUY,
    quantity=Decimal(1000),
    price=Decimal("1.1"),
    time=0,
)


def engine(stage: Stage, report: OrderReport | None, *fills: Fill) -> Any:  # noqa: ANN401 - what an audit asks of one
    """Return an engine with one order in ``stage``, at a broker that tells this of it."""

    async def look_up(_: str) -> OrderReport:
        if report is None:
            raise Refused(ErrorCode.NOT_FOUND, "no such order")
        return report

    async def list_fills(since: str | None = None) -> Fills:
        return Fills(fills=() if since else fills, next_cursor="1", more=False)

    async def account() -> Any:  # noqa: ANN401 - its money
        return SimpleNamespace(balance=Decimal(0))

    link = SimpleNamespace(name="a", order=look_up, fills=list_fills, account=account)
    holding = SimpleNamespace(quantity=Decimal(1000))
    book = SimpleNamespace(
        executions={each.execution_id for each in fills},
        holdings={"EURUSD": holding} if fills else {},
        balance=Decimal(0),
    )
    ticket = SimpleNamespace(client_order_id="c1", account="a", stage=stage)
    return SimpleNamespace(
        wiring=SimpleNamespace(links={"a": link}),
        desk=SimpleNamespace(tickets={"c1": ticket}),
        book=SimpleNamespace(account=lambda _: book),
    )


@pytest.mark.parametrize("stage", [Stage.REFUSED, Stage.PROVEN_ABSENT])
async def test_what_a_broker_keeps_of_an_order_that_did_nothing_is_no_difference(
    stage: Stage,
) -> None:
    ended = replace(resting(order()), status=OrderStatus.CANCELED, remaining_quantity=Decimal(0))
    assert (await audit(engine(stage, ended))).clean


@pytest.mark.parametrize(
    ("report", "fills"), [(resting(order()), ()), (report_of(order()), (EXECUTION,))]
)
async def test_an_order_that_we_take_for_refused_and_that_acts_is_one(
    report: OrderReport, fills: tuple[Fill, ...]
) -> None:
    found = await audit(engine(Stage.REFUSED, report, *fills))
    assert found.differences == ("c1 lives, and we say refused",)


async def test_an_order_that_its_broker_does_not_know_is_lost() -> None:
    assert (await audit(engine(Stage.ACKNOWLEDGED, None))).lost == ("c1",)
    assert (await audit(engine(Stage.IN_DOUBT, resting(order())))).lost == ("c1",)
