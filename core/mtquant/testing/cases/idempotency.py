"""IDM: one client order id acts at most once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from mtquant.errors import ErrorCode
from mtquant.model import CloseRequest, ModifyRequest, OrderReport
from mtquant.testing.bench import FAR, NEAR, Bench, expect
from mtquant.testing.case import case


async def _fills_of(bench: Bench, report: OrderReport) -> Decimal:
    fills = (await bench.remote.list_fills(order_id=report.order_id)).fills
    return sum((each.quantity for each in fills), Decimal(0))


@case("IDM-001", "The same order under the same id fills once", "type:market")
async def once(bench: Bench) -> None:
    """Answer a copy from the record, with replayed true; send nothing."""
    order = bench.order()
    first = await bench.filled(await bench.remote.place_order(order))
    second = await bench.remote.place_order(order)
    expect(second.order_id == first.order_id, first.order_id, second.order_id)
    expect(second.replayed, "a replayed report", "one that isn't")
    held = sum((each.quantity for each in await bench.positions()), Decimal(0))
    expect(held == order.quantity, f"a position of {order.quantity}", held)


@case("IDM-002", "Another order under the same id is refused", "type:market")
async def mismatch(bench: Bench) -> None:
    """Compare a copy with what is recorded; another order under the id is refused."""
    order = bench.order()
    await bench.filled(await bench.remote.place_order(order))
    other = replace(order, quantity=order.quantity + bench.instrument.quantity_step)
    await bench.refused(bench.remote.place_order(other), ErrorCode.DUPLICATE_MISMATCH)


@case("IDM-004", "The same number written otherwise is the same order", "type:market")
async def same_number(bench: Bench) -> None:
    """Hash the canonical order: 1.50 and 1.5 are one number."""
    order = bench.order()
    await bench.filled(await bench.remote.place_order(order))
    again = await bench.remote.place_order(
        replace(order, quantity=order.quantity.quantize(Decimal("0.000")))
    )
    expect(again.replayed, "a replayed report", "a new order")


@case("IDM-005", "A close under the same id closes once", "type:market")
async def closes_once(bench: Bench) -> None:
    """Record closes under their ids as orders are."""
    await bench.bought(quantity=bench.instrument.quantity_min * 2)
    position = await bench.position()
    named = (
        {"instrument": position.instrument}
        if bench.netting
        else {"position_id": position.position_id}
    )
    partial = "partial_close" in bench.capabilities.features
    close = CloseRequest(
        client_order_id=bench.new_id(),
        quantity=bench.instrument.quantity_min if partial else None,
        **named,
    )
    first = await bench.filled(await bench.remote.close_position(close))
    second = await bench.remote.close_position(close)
    expect(second.order_id == first.order_id, first.order_id, second.order_id)
    left = sum((each.quantity for each in await bench.positions()), Decimal(0))
    expect(left == position.quantity - first.quantity, "closed once", f"{left} left")


@case("IDM-006", "A change under the same id acts once", "tool:modify_order", "type:limit")
async def changes_once(bench: Bench) -> None:
    """Record changes under their ids, so that a late copy of an old one does nothing."""
    report = await bench.remote.place_order(await bench.resting())
    price = await bench.price(report.side, FAR + NEAR)
    change = ModifyRequest(
        client_order_id=bench.new_id(), order_id=report.order_id, limit_price=price
    )
    await bench.remote.modify_order(change)
    back = ModifyRequest(
        client_order_id=bench.new_id(), order_id=report.order_id, limit_price=report.limit_price
    )
    await bench.remote.modify_order(back)
    await bench.remote.modify_order(change)
    now = await bench.remote.get_order(order_id=report.order_id)
    expect(
        now.limit_price == report.limit_price,
        f"the price {report.limit_price} of the newer change",
        now.limit_price,
        "A late copy of an old change must not undo a newer one.",
    )


@case("IDM-007", "An id that was cancelled before it was seen can never act", "type:market")
async def fenced(bench: Bench) -> None:
    """Keep a tombstone for an id that was cancelled before it was seen."""
    order = bench.order()
    cancelled = await bench.refused(
        bench.remote.cancel_order(client_order_id=order.client_order_id), ErrorCode.NOT_FOUND
    )
    expect(cancelled.fenced, "the promise that it is void (fenced)", cancelled.payload())
    await bench.refused(
        bench.remote.place_order(order),
        remedy="Keep a tombstone: a late copy of a lost order must not act.",
    )
    expect(not await bench.positions(), "no position", "one")


@case("IDM-008", "A refused order stays refused under its id", "type:market")
async def stays_refused(bench: Bench) -> None:
    """Refuse a copy as the first was; a refused order leaves no position behind."""
    order = bench.order(quantity=bench.instrument.quantity_min / 2)
    first = await bench.refused(bench.remote.place_order(order))
    second = await bench.refused(bench.remote.place_order(order))
    expect(first.code is second.code, first.code, second.code)
    expect(not await bench.positions(), "no position", "one")


@case("IDM-009", "An id of 32 characters of every kind is kept whole", "type:market")
async def whole_id(bench: Bench) -> None:
    """Map the id where the venue's own field is shorter; a cut id finds nothing."""
    name = f"A.b_c-{bench.new_id()}"[:32].ljust(32, "z")
    await bench.filled(await bench.remote.place_order(bench.order(client_order_id=name)))
    found = await bench.remote.get_order(client_order_id=name)
    expect(
        found.client_order_id == name,
        name,
        found.client_order_id,
        "Where the venue's own field is shorter, map the id; a cut id finds nothing.",
    )


@case("IDM-010", "Ids that differ in case are two orders", "type:limit")
async def case_matters(bench: Bench) -> None:
    """Compare ids byte for byte; map them where the venue ignores case."""
    name = bench.new_id()
    upper = await bench.resting(client_order_id=f"{name[:30]}X")
    lower = replace(upper, client_order_id=f"{name[:30]}x")
    one, two = await bench.remote.place_order(upper), await bench.remote.place_order(lower)
    expect(one.order_id != two.order_id, "two orders", "one")
