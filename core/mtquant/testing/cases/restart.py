"""RST: what survives a server that is stopped and started again in the middle.

A server that is our child process ends and is started anew; one at a URL is left and met again.
"""

from __future__ import annotations

import anyio

from mtquant.errors import ErrorCode
from mtquant.model import ModifyRequest
from mtquant.testing.bench import FAR, NEAR, Bench, expect
from mtquant.testing.case import case
from mtquant.testing.cases.fills import changes_after, newest
from mtquant.testing.cases.orders import LIVE
from mtquant.testing.cases.races import quietly, settled


@case("RST-001", "A working order is there after a restart", "type:limit")
async def order_stays(bench: Bench) -> None:
    """Ask the venue for working orders at the start; what isn't found yet isn't cancelled."""
    order = await bench.resting()
    report = await bench.remote.place_order(order)
    await bench.restart()
    found = await bench.remote.get_order(client_order_id=order.client_order_id)
    expect(found.order_id == report.order_id, report.order_id, found.order_id)
    expect(
        found.status in LIVE,
        "a live order",
        found.status,
        "An order isn't cancelled because it wasn't found at start-up.",
    )


@case("RST-002", "The same order after a restart is the same order", "type:market")
async def id_stays(bench: Bench) -> None:
    """Write ids to disk before sending, in a folder that outlives the process."""
    order = bench.order()
    first = await bench.filled(await bench.remote.place_order(order))
    await bench.restart()
    second = await bench.remote.place_order(order)
    expect(
        second.order_id == first.order_id,
        first.order_id,
        second.order_id,
        "Ids must be kept on disk before an order is sent.",
    )
    position = await bench.position()
    expect(position.quantity == order.quantity, order.quantity, position.quantity)


@case("RST-003", "A cursor from before a restart goes on", "type:market")
async def cursor_stays(bench: Bench) -> None:
    """Make cursors of the venue's own sequence, or keep yours on disk."""
    cursor = await newest(bench)
    first = await bench.bought()
    await bench.restart()
    second = await bench.bought()
    pages = await changes_after(bench, cursor)
    fills = [each.order_id for page in pages for each in page.fills]
    wanted = [first.order_id, second.order_id]
    expect(fills == wanted, wanted, fills)


@case("RST-004", "A position and its protections are there after a restart", "type:market")
async def position_stays(bench: Bench) -> None:
    """Ask the venue for positions at the start, with what protects them."""
    await bench.bought()
    before = await bench.positions()
    await bench.restart()
    after = await bench.positions()
    kept = [(each.position_id, each.side, each.quantity, each.stop_loss) for each in before]
    found = [(each.position_id, each.side, each.quantity, each.stop_loss) for each in after]
    expect(kept == found, kept, found)


@case("RST-005", "An id made void stays void after a restart", "type:market")
async def fence_stays(bench: Bench) -> None:
    """Write tombstones to disk."""
    order = bench.order()
    await bench.refused(
        bench.remote.cancel_order(client_order_id=order.client_order_id), ErrorCode.NOT_FOUND
    )
    await bench.restart()
    await bench.refused(bench.remote.place_order(order))
    expect(not await bench.positions(), "no position", "one")


@case("RST-006", "The balance is the same after a restart", "type:market")
async def balance_stays(bench: Bench) -> None:
    """Read the balance from the venue."""
    await bench.bought()
    before = (await bench.remote.get_account()).balance
    await bench.restart()
    after = (await bench.remote.get_account()).balance
    expect(before == after, before, after)


@case("RST-007", "The tools are the same after a restart")
async def tools_stay(bench: Bench) -> None:
    """Make the list of tools independent of what happened before."""
    before = bench.remote.tools_digest
    await bench.restart()
    expect(before == bench.remote.tools_digest, before, bench.remote.tools_digest)


@case("RST-008", "An order on its way when the server stops is there once, or never", "type:market")
async def order_on_its_way(bench: Bench) -> None:
    """Record an order before it is sent, and look it up at the venue after a restart."""
    order = bench.order()
    async with anyio.create_task_group() as group:
        group.start_soon(quietly, lambda: bench.remote.place_order(order))
        await bench.remote.get_health()  # the order is on its way by now
        await bench.restart()
    await settled(bench, order)


@case("RST-009", "A changed order keeps its change", "tool:modify_order", "type:limit")
async def change_stays(bench: Bench) -> None:
    """Read the order from the venue after a restart, not from an old record."""
    report = await bench.remote.place_order(await bench.resting())
    price = await bench.price(report.side, FAR + NEAR)
    change = ModifyRequest(
        client_order_id=bench.new_id(), order_id=report.order_id, limit_price=price
    )
    await bench.remote.modify_order(change)
    await bench.restart()
    found = await bench.remote.get_order(order_id=report.order_id)
    expect(found.limit_price == price, price, found.limit_price)
