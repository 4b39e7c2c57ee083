"""FIL: executions, and the cursors that bring them."""

from __future__ import annotations

from decimal import Decimal

import anyio

from mtquant.clock import SECOND
from mtquant.errors import ErrorCode
from mtquant.model import Changes, Fill, Side
from mtquant.testing.bench import CENTS, Bench, expect
from mtquant.testing.case import case

PAGES = 200


async def changes_after(bench: Bench, since: str | None, limit: int = 1000) -> list[Changes]:
    """Return the pages of changes after ``since``, to the last."""
    pages: list[Changes] = []
    while len(pages) < PAGES:
        page = await bench.remote.get_changes(since=since, limit=limit)
        pages.append(page)
        since = page.cursor
        if not page.more:
            break
    return pages


async def newest(bench: Bench) -> str:
    """Return the cursor after all that has happened."""
    return (await changes_after(bench, None))[-1].cursor


async def fills_by_pages(bench: Bench, limit: int, since: str | None = None) -> list[Fill]:
    """Return executions after ``since``, read by pages of ``limit``."""
    found: list[Fill] = []
    for _ in range(PAGES * 5):
        page = await bench.remote.list_fills(since=since, limit=limit)
        found += page.fills
        since = page.next_cursor
        if not page.more:
            break
    return found


@case("FIL-001", "An order's executions add up to what has filled", "type:market")
async def add_up(bench: Bench) -> None:
    """Keep each execution with the ids of its order."""
    report = await bench.bought()
    fills = (await bench.remote.list_fills(order_id=report.order_id)).fills
    total = sum((each.quantity for each in fills), Decimal(0))
    expect(total == report.filled_quantity, report.filled_quantity, total)
    for each in fills:
        expect(each.side is report.side, report.side, each.side)
        expect(each.client_order_id == report.client_order_id, report.client_order_id, each)
        expect(each.order_id == report.order_id, report.order_id, each.order_id)


@case("FIL-002", "Executions by pages of one are those of one page", "type:market")
async def pages(bench: Bench) -> None:
    """Order executions as they happened, and make the cursor the last one's place."""
    since = (await bench.remote.list_fills(limit=1000)).next_cursor
    for side in (Side.BUY, Side.SELL, Side.BUY):
        await bench.bought(side=side)
    whole = [each.execution_id for each in await fills_by_pages(bench, 1000, since)]
    single = [each.execution_id for each in await fills_by_pages(bench, 1, since)]
    expect(len(whole) >= 3, "three executions", len(whole))  # noqa: PLR2004
    expect(single == whole, whole, single, "A cursor neither skips nor repeats.")


@case("FIL-003", "A cursor brings only what came after it", "type:market")
async def since(bench: Bench) -> None:
    """Return only what came after the cursor."""
    first = await bench.bought()
    cursor = await fills_cursor(bench)
    second = await bench.bought()
    found = {each.order_id for each in (await bench.remote.list_fills(since=cursor)).fills}
    expect(first.order_id not in found, "no execution from before", found)
    expect(second.order_id in found, second.order_id, found)


async def fills_cursor(bench: Bench) -> str:
    """Return the cursor after the last execution."""
    cursor: str | None = None
    while True:
        page = await bench.remote.list_fills(since=cursor)
        cursor = page.next_cursor
        if not page.more:
            return cursor


@case("FIL-004", "Execution ids are unique", "type:market")
async def unique(bench: Bench) -> None:
    """Use the venue's execution id, or make one of order and sequence."""
    for side in (Side.BUY, Side.SELL):
        await bench.bought(side=side)
    names = [each.execution_id for each in await fills_by_pages(bench, 1000)]
    expect(len(names) == len(set(names)), "each once", f"{len(names) - len(set(names))} repeated")


@case("FIL-005", "Changes bring an order and its execution", "type:market")
async def changed(bench: Bench) -> None:
    """Record the order's state and its execution before the order is answered."""
    cursor = await newest(bench)
    report = await bench.bought()
    pages = await changes_after(bench, cursor)
    orders = {each.order_id: each for page in pages for each in page.orders}
    fills = {each.order_id for page in pages for each in page.fills}
    expect(report.order_id in orders, report.order_id, sorted(orders))
    expect(report.order_id in fills, f"an execution of {report.order_id}", sorted(fills))
    state = orders[report.order_id].status
    expect(state is report.status, f"its newest state, {report.status}", state)


@case("FIL-006", "Changes by pages of one skip and repeat no execution", "type:market")
async def changed_pages(bench: Bench) -> None:
    """Advance the cursor by what was returned, no more and no less."""
    cursor = await newest(bench)
    for side in (Side.BUY, Side.SELL, Side.BUY):
        await bench.bought(side=side)
    whole = [f.execution_id for page in await changes_after(bench, cursor) for f in page.fills]
    single = [f.execution_id for page in await changes_after(bench, cursor, 1) for f in page.fills]
    expect(single == whole, whole, single)


@case("FIL-007", "Nothing new is an empty answer with a cursor that still works")
async def nothing_new(bench: Bench) -> None:
    """Return the same cursor where nothing is new."""
    cursor = await newest(bench)
    page = await bench.remote.get_changes(since=cursor)
    expect(not page.orders and not page.fills and not page.more, "nothing", page)
    again = await bench.remote.get_changes(since=page.cursor)
    expect(not again.orders and not again.fills, "nothing", again)


@case("FIL-008", "A long poll ends when something happens", "type:market")
async def long_poll(bench: Bench) -> None:
    """Wake who waits in get_changes when an order or execution is recorded."""
    cursor = await newest(bench)
    pages: list[Changes] = []

    async def wait() -> None:
        pages.append(await bench.remote.get_changes(since=cursor, wait_s=20))

    with anyio.move_on_after(10) as late:
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await bench.remote.get_health()  # the poll is on its way by now
            report = await bench.bought()
    expect(not late.cancelled_caught, "an answer when the order filled", "silence for 10 s")
    seen = {each.order_id for page in pages for each in page.orders}
    expect(report.order_id in seen, report.order_id, seen)


@case("FIL-009", "A cursor from elsewhere is refused")
async def strange_cursor(bench: Bench) -> None:
    """Refuse a cursor that this server has not given, or that lies ahead."""
    for ask in (bench.remote.get_changes, bench.remote.list_fills):
        await bench.refused(
            ask(since="no-such-cursor"),
            ErrorCode.INVALID_ARGUMENT,
            remedy="Starting over in silence repeats executions; starting at the end loses them.",
        )


@case("FIL-010", "Executions are listed by instrument", "type:market")
async def by_instrument(bench: Bench) -> None:
    """Choose executions by instrument, in your own spelling."""
    report = await bench.bought()
    name = bench.instrument.instrument
    found = await fills_by_name(bench, name)
    expect({each.instrument for each in found} == {name}, f"only {name}", found[:2])
    expect(report.order_id in {each.order_id for each in found}, report.order_id, "not there")


async def fills_by_name(bench: Bench, name: str) -> list[Fill]:
    """Return every execution in an instrument."""
    found: list[Fill] = []
    cursor: str | None = None
    while True:
        page = await bench.remote.list_fills(since=cursor, instrument=name)
        found += page.fills
        cursor = page.next_cursor
        if not page.more:
            return found


@case("FIL-011", "Executions of an unknown instrument are an error, not an empty list")
async def by_unknown(bench: Bench) -> None:
    """Raise unknown_instrument before looking for executions."""
    await bench.refused(bench.remote.list_fills(instrument="NOSUCH9"), ErrorCode.UNKNOWN_INSTRUMENT)


@case("FIL-012", "Executions from a time to another lie between them", "type:market")
async def by_time(bench: Bench) -> None:
    """Include an execution at from, and leave out one at to."""
    report = await bench.bought()
    (fill,) = (await bench.remote.list_fills(order_id=report.order_id)).fills[:1]
    inside = await bench.remote.list_fills(
        order_id=report.order_id, from_=fill.time, to=fill.time + 1
    )
    before = await bench.remote.list_fills(order_id=report.order_id, to=fill.time)
    expect(fill in inside.fills, "the execution from its own time on", inside.fills)
    expect(fill not in before.fills, "no execution before its time", before.fills)


@case("FIL-013", "An execution's price is one at which the market was", "type:market")
async def fair_price(bench: Bench) -> None:
    """Report the price that was paid, in the quote currency, by the unit."""
    before = await bench.quote()
    report = await bench.bought()
    after = await bench.quote()
    low, high = min(before.bid, after.bid), max(before.ask, after.ask)
    room = (high - low) * 100 + bench.instrument.pip_size * 100
    got = report.average_price
    expect(got is not None and low - room <= got <= high + room, f"about {before.ask}", got)


@case("FIL-014", "An execution is not from the future", "type:market")
async def not_ahead(bench: Bench) -> None:
    """Convert the venue's time of the execution to UTC."""
    report = await bench.bought()
    now = (await bench.remote.get_health()).time
    for each in (await bench.remote.list_fills(order_id=report.order_id)).fills:
        expect(each.time <= now + 2 * SECOND, f"no later than {now}", each.time)


@case("FIL-015", "The balance moves by what the changes tell", "type:market")
async def accounted_for(bench: Bench) -> None:
    """Tell whatever moves the balance: executions with profit and commission, and cash flows."""
    cursor, before = await newest(bench), (await bench.remote.get_account()).balance
    await bench.bought()
    await bench.close(await bench.position())
    after = (await bench.remote.get_account()).balance
    pages = await changes_after(bench, cursor)
    fills = {each.execution_id: each for page in pages for each in page.fills}
    flows = {each.cash_flow_id: each for page in pages for each in page.cash_flows}
    told = sum((each.realized_profit - each.commission for each in fills.values()), Decimal(0))
    told += sum((each.amount for each in flows.values()), Decimal(0))
    expect(abs(after - before - told) <= CENTS, f"{told}, as the changes say", after - before)
