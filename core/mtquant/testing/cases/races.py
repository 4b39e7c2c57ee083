"""IDM, continued: one id in a race, over one connection or two, and callers that leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal

import anyio

from mtquant.errors import BrokerError, ErrorCode
from mtquant.model import OrderReport, OrderRequest, OrderStatus
from mtquant.testing.bench import Bench, expect
from mtquant.testing.case import Failed, case
from mtquant.testing.cases.fills import newest
from mtquant.wire import Remote

COPIES = 10
ROUNDS = 5
SETTLING_S = 25
_NOT_YET = {ErrorCode.OUTCOME_UNKNOWN, ErrorCode.CONFLICT}
"""What a copy may hear while the first is on its way."""


async def quietly(act: Callable[[], Awaitable[object]]) -> None:
    """Do ``act``; that it fails is as good as that it doesn't."""
    try:
        await act()
    except BrokerError:
        return


async def held(bench: Bench) -> Decimal:
    """Return how much is held of the instrument that cases trade."""
    return sum((each.quantity for each in await bench.positions()), Decimal(0))


async def settled(bench: Bench, order: OrderRequest) -> None:
    """Expect an order whose answer was lost to be there once, or to be void for ever."""
    report = await _looked_up(bench, order.client_order_id)
    if report is None:
        await bench.refused(bench.remote.place_order(order))
        wanted = Decimal(0)
    else:
        wanted = await _executed(bench, report)
    got = await held(bench)
    expect(
        got == wanted,
        f"a position of {wanted}, as the order's report says",
        got,
        "An order that its caller took for lost was executed, and recorded as something else.",
    )


async def _executed(bench: Bench, report: OrderReport) -> Decimal:
    """Return how much of an order was executed, after asking for its cancel to learn its fate.

    A market order that still waited for a price to fill at is canceled by that, as it should be.
    """
    report = await bench.ended(report)
    if report.status is not OrderStatus.CANCELED:
        await bench.filled(report)
    return report.filled_quantity


async def _looked_up(bench: Bench, client_order_id: str) -> OrderReport | None:
    """Return the order, None where the server promises that it can never act."""
    cursor = await newest(bench)
    for _ in range(SETTLING_S):
        try:
            return await bench.remote.cancel_order(client_order_id=client_order_id)
        except BrokerError as error:
            if error.code is ErrorCode.NOT_FOUND and error.fenced:
                return None
            expect(
                error.code is ErrorCode.OUTCOME_UNKNOWN,
                "the order, or the promise that it is void (not_found, fenced)",
                error,
                "Look an order whose answer was lost up at the venue; don't guess its fate.",
            )
        await bench.remote.get_changes(since=cursor, wait_s=1)
    raise Failed(
        f"the order's fate within {SETTLING_S} s",
        "outcome_unknown all the while",
        "Look it up again until the venue's settling window has passed.",
    )


@case("IDM-003", "Ten copies of one order at once are one order", "type:market")
async def race(bench: Bench) -> None:
    """Write the id under a unique key before sending; who finds it there waits or is told."""
    order = bench.order()
    reports: list[OrderReport] = []

    async def place() -> None:
        try:
            reports.append(await bench.remote.place_order(order))
        except BrokerError as error:
            codes = {ErrorCode.OUTCOME_UNKNOWN, ErrorCode.CONFLICT}
            expect(error.code in codes, "the order, or that it isn't known yet", error)

    async with anyio.create_task_group() as group:
        for _ in range(COPIES):
            group.start_soon(place)
    expect(len({each.order_id for each in reports}) == 1, "one order", len(reports))
    await bench.filled(reports[0])
    held = sum((each.quantity for each in await bench.positions()), Decimal(0))
    expect(held == order.quantity, f"a position of {order.quantity}", held)


@case("IDM-011", "Copies of a cancel and of its order leave nothing behind", "type:limit")
async def order_against_cancel(bench: Bench) -> None:
    """Decide order and cancel of one id in one place, one after the other."""
    order = await bench.resting()

    async with anyio.create_task_group() as group:
        group.start_soon(quietly, lambda: bench.remote.place_order(order))
        group.start_soon(
            quietly, lambda: bench.remote.cancel_order(client_order_id=order.client_order_id)
        )
    await quietly(lambda: bench.remote.cancel_order(client_order_id=order.client_order_id))
    left = [each.client_order_id for each in (await bench.working()).values()]
    expect(order.client_order_id not in left, "no working order", left)
    await quietly(lambda: bench.remote.place_order(order))
    ended = [
        each.status is OrderStatus.CANCELED
        for each in (await bench.working()).values()
        if each.client_order_id == order.client_order_id
    ]
    expect(not ended, "nothing that a late copy brought back", ended)


@case("IDM-012", "Two connections with one id are one order", "type:market")
async def two_connections(bench: Bench) -> None:
    """Claim an id by one write whose row count is read, in a file that all servers share."""
    orders = [bench.order() for _ in range(ROUNDS)]
    ids: dict[str, set[str]] = {each.client_order_id: set() for each in orders}

    async def place(remote: Remote, order: OrderRequest) -> None:
        try:
            report = await remote.place_order(order)
        except BrokerError as error:
            expect(error.code in _NOT_YET, "the order, or that it isn't known yet", error)
        else:
            ids[order.client_order_id].add(report.order_id)

    async with bench.another() as second:
        for order in orders:
            async with anyio.create_task_group() as group:
                for remote in (bench.remote, second):
                    group.start_soon(place, remote, order)
    for name, found in ids.items():
        expect(len(found) == 1, f"one order for the id {name}", found or "none")
        await bench.filled(await bench.remote.get_order(client_order_id=name))
    wanted = sum((each.quantity for each in orders), Decimal(0))
    got = await held(bench)
    expect(
        got == wanted,
        f"a position of {wanted}",
        got,
        "Claim an id by one write whose row count is read, in a file that all servers share.",
    )


@case("IDM-013", "Two different orders under one id at once: one acts", "type:market")
async def two_contents(bench: Bench) -> None:
    """Compare the second order with the first while that is still on its way."""
    order = bench.order()
    other = replace(order, quantity=order.quantity + bench.instrument.quantity_step)
    done: list[OrderReport] = []

    async def place(wanted: OrderRequest) -> None:
        try:
            done.append(await bench.remote.place_order(wanted))
        except BrokerError as error:
            codes = {ErrorCode.DUPLICATE_MISMATCH, *_NOT_YET}
            expect(error.code in codes, "duplicate_mismatch", error)

    async with anyio.create_task_group() as group:
        group.start_soon(place, order)
        group.start_soon(place, other)
    expect(len(done) == 1, "one order", [each.quantity for each in done])
    report = await bench.filled(done[0])
    got = await held(bench)
    expect(got == report.quantity, f"a position of {report.quantity}", got)


@case("IDM-014", "An order whose caller has left is there once, or never", "type:market")
async def caller_left(bench: Bench) -> None:
    """Bring an order that was begun to its end when its caller leaves, and record it."""
    order = bench.order()
    async with anyio.create_task_group() as group:
        group.start_soon(quietly, lambda: bench.remote.place_order(order))
        await bench.remote.get_health()  # the order is on its way by now
        group.cancel_scope.cancel()
    await settled(bench, order)
