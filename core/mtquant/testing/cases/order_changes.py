"""ORD, continued: changes, previews and mass cancels."""

from __future__ import annotations

from mtquant.errors import ErrorCode
from mtquant.model import MassCancel, ModifyRequest, Side
from mtquant.testing.bench import FAR, NEAR, Bench, expect
from mtquant.testing.case import case
from mtquant.testing.cases.orders import adds_up


@case("ORD-015", "A limit's price is changed, and nothing else", "tool:modify_order", "type:limit")
async def modifies_price(bench: Bench) -> None:
    """Send the order's present values for what the change leaves out."""
    report = await bench.remote.place_order(
        await bench.resting(quantity=bench.instrument.quantity_min + bench.instrument.quantity_step)
    )
    price = await bench.price(Side.BUY, FAR + NEAR)
    change = ModifyRequest(
        client_order_id=bench.new_id(), order_id=report.order_id, limit_price=price
    )
    changed = await bench.remote.modify_order(change)
    expect(changed.limit_price == price, price, changed.limit_price)
    expect(
        changed.quantity == report.quantity,
        f"the quantity {report.quantity}, which was not to change",
        changed.quantity,
        "What a change leaves out stays as it is; it has no default.",
    )
    expect(changed.time_in_force is report.time_in_force, report.time_in_force, changed)


@case("ORD-016", "An order's quantity is changed", "tool:modify_order", "type:limit")
async def modifies_quantity(bench: Bench) -> None:
    """Read quantity as that of the whole order, what has filled included."""
    report = await bench.remote.place_order(await bench.resting())
    more = bench.instrument.quantity_min + bench.instrument.quantity_step
    change = ModifyRequest(client_order_id=bench.new_id(), order_id=report.order_id, quantity=more)
    changed = await bench.remote.modify_order(change)
    expect(changed.quantity == more, more, changed.quantity)
    expect(changed.limit_price == report.limit_price, report.limit_price, changed.limit_price)
    adds_up(changed)


@case("ORD-017", "An order that has ended is not changed", "tool:modify_order", "type:market")
async def modifies_ended(bench: Bench) -> None:
    """Refuse with conflict: an order that has ended can't be changed."""
    report = await bench.bought()
    change = ModifyRequest(
        client_order_id=bench.new_id(), order_id=report.order_id, quantity=report.quantity * 2
    )
    await bench.refused(bench.remote.modify_order(change), ErrorCode.CONFLICT, ErrorCode.NOT_FOUND)


@case("ORD-018", "A preview places nothing", "tool:preview_order", "type:market")
async def previews(bench: Bench) -> None:
    """Compute the preview, or use the venue's own check; send nothing that can act."""
    order = bench.order()
    preview = await bench.remote.preview_order(order)
    expect(preview.quantity == order.quantity, order.quantity, preview.quantity)
    await bench.refused(
        bench.remote.get_order(client_order_id=order.client_order_id), ErrorCode.NOT_FOUND
    )
    expect(not await bench.positions(), "no position", "one")


@case("ORD-019", "A preview refuses what placing would refuse", "tool:preview_order", "type:market")
async def preview_refuses(bench: Bench) -> None:
    """Check an order in one function, which preview and placing share."""
    order = bench.order(quantity=bench.instrument.quantity_min / 2)
    one = await bench.refused(bench.remote.preview_order(order))
    other = await bench.refused(bench.remote.place_order(order))
    expect((one.code, one.field) == (other.code, other.field), other.code, one.code)


@case("ORD-020", "A mass cancel ends every working order", "tool:cancel_orders", "type:limit")
async def cancels_all(bench: Bench) -> None:
    """Cancel each working order, and tell in failed which could not be."""
    orders = [await bench.remote.place_order(await bench.resting()) for _ in range(3)]
    done = await bench.remote.cancel_orders(MassCancel.ALL)
    ended = {each.order_id for each in done.orders}
    expect(ended >= {each.order_id for each in orders}, "all three", ended)
    expect(not await bench.working(), "no working order", "some")


@case(
    "ORD-021",
    "A mass cancel of one instrument leaves the others",
    "tool:cancel_orders",
    "type:limit",
)
async def cancels_some(bench: Bench) -> None:
    """Choose orders by their instrument, in your own spelling."""
    name = bench.instrument.instrument
    kept = None
    other = next((each for each in bench.instruments if each.instrument != name), None)
    mine = await bench.remote.place_order(await bench.resting())
    if other is not None:
        bid = (await bench.remote.get_quotes((other.instrument,))).quotes[0].bid
        limit = bid * (1 - FAR) // other.price_step * other.price_step
        kept = await bench.remote.place_order(
            await bench.resting(
                instrument=other.instrument, quantity=other.quantity_min, limit_price=limit
            )
        )
    await bench.remote.cancel_orders(MassCancel.INSTRUMENT, name)
    left = set(await bench.working())
    expect(mine.order_id not in left, "the order of the instrument cancelled", left)
    expect(kept is None or kept.order_id in left, "the other one left", left)
