"""CON: several calls at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal

import anyio

from mtquant.errors import BrokerError
from mtquant.model import OrderReport, OrderStatus
from mtquant.testing.bench import Bench, expect
from mtquant.testing.case import case
from mtquant.testing.cases.fills import newest

AT_ONCE = 10


async def together(acts: list[Callable[[], Awaitable[object]]]) -> list[object]:
    """Run ``acts`` at once, and return what each returned or raised."""
    results: list[object] = [None] * len(acts)

    async def run(index: int) -> None:
        try:
            results[index] = await acts[index]()
        except BrokerError as error:
            results[index] = error

    async with anyio.create_task_group() as group:
        for index in range(len(acts)):
            group.start_soon(run, index)
    return results


@case("CON-001", "Ten orders at once are ten orders", "type:limit")
async def orders(bench: Bench) -> None:
    """Match each answer of the venue to its own request, by id."""
    wanted = [await bench.resting() for _ in range(AT_ONCE)]
    found = await together(
        [(lambda order=each: bench.remote.place_order(order)) for each in wanted]  # type: ignore[misc]
    )
    reports = [each for each in found if isinstance(each, OrderReport)]
    expect(len(reports) == AT_ONCE, f"{AT_ONCE} reports", found)
    expect(len({each.order_id for each in reports}) == AT_ONCE, "an id each", reports)
    asked = {each.client_order_id for each in wanted}
    got = {each.client_order_id for each in reports}
    expect(asked == got, "each answer for its own order", got)


@case("CON-002", "Reads at once are each answered with their own", "tool:get_quotes")
async def reads(bench: Bench) -> None:
    """Match each answer of the venue to its own request, by id."""
    name = bench.instrument.instrument
    acts: list[Callable[[], Awaitable[object]]] = []
    for _ in range(AT_ONCE):
        acts += [bench.remote.get_account, lambda: bench.remote.get_instrument(name)]
    found = await together(acts)
    failed = [each for each in found if isinstance(each, BrokerError)]
    expect(not failed, "no failure", failed[:1])


@case("CON-003", "A waiting read holds up no other call")
async def waiting(bench: Bench) -> None:
    """Await in get_changes; don't hold a lock or a thread that others need."""
    cursor = await newest(bench)
    with anyio.move_on_after(15) as late:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: bench.remote.get_changes(since=cursor, wait_s=20))
            for _ in range(3):
                await bench.remote.get_account()
            group.cancel_scope.cancel()
    expect(not late.cancelled_caught, "answers meanwhile", "silence for 15 s")


@case("CON-004", "Cancels of one order at once agree", "type:limit")
async def cancels(bench: Bench) -> None:
    """Answer each cancel with the order's state once the venue confirms it."""
    report = await bench.remote.place_order(await bench.resting())
    found = await together(
        [lambda: bench.remote.cancel_order(order_id=report.order_id) for _ in range(3)]
    )
    states = [each.status for each in found if isinstance(each, OrderReport)]
    expect(states and set(states) == {OrderStatus.CANCELED}, "canceled each time", found)


@case("CON-005", "A cancel against a fill ends in one of the two", "type:limit")
async def cancel_against_fill(bench: Bench) -> None:
    """Report what the venue says became of the order; either may win."""
    limit = await bench.price(bench.order().side, Decimal("-0.01"))
    order = await bench.resting(limit_price=limit)
    await together(
        [
            lambda: bench.remote.place_order(order),
            lambda: bench.remote.cancel_order(client_order_id=order.client_order_id),
        ]
    )
    held = sum((each.quantity for each in await bench.positions()), Decimal(0))
    try:
        report = await bench.remote.get_order(client_order_id=order.client_order_id)
    except BrokerError:
        expect(held == 0, "no position of an order that never was", held)
        return
    expect(
        held == report.filled_quantity,
        f"a position of what its report says has filled, {report.filled_quantity}",
        held,
    )


@case("CON-006", "Closes of one position at once close it once", "type:market")
async def closes(bench: Bench) -> None:
    """Close what is held when the close acts, never what was held before."""
    await bench.bought()
    position = await bench.position()
    await together([lambda: bench.close(position) for _ in range(3)])
    left = await bench.positions()
    expect(not left, "no position, and none the other way", left)
