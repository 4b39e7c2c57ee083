"""ORD: orders from their placing to their end."""

from __future__ import annotations

from decimal import Decimal

from mtquant.errors import ErrorCode
from mtquant.model import (
    OrderReport,
    OrderStatus,
    OrderType,
    QuantityUnit,
    Side,
)
from mtquant.testing.bench import FAR, NEAR, Bench, expect
from mtquant.testing.case import Skipped, case

STEPS = 240
STEP_S = 60
LIVE = {OrderStatus.NEW, OrderStatus.PENDING_NEW, OrderStatus.PARTIALLY_FILLED}


def adds_up(report: OrderReport) -> None:
    """Expect a report to be one that can be true."""
    if report.status in LIVE:
        whole = report.filled_quantity + report.remaining_quantity
        expect(report.quantity == whole, f"filled + remaining = {report.quantity}", whole)
    if report.filled_quantity:
        average = report.average_price
        expect(average is not None and average > 0, "an average price of what has filled", average)
        total = sum((each.quantity for each in report.fills), Decimal(0))
        if report.fills:
            expect(total == report.filled_quantity, report.filled_quantity, f"fills of {total}")


@case("ORD-001", "A market order to buy fills, and its report adds up", "type:market")
async def buys(bench: Bench) -> None:
    """Report what the venue executed: quantities, average price, side and fills."""
    order = bench.order()
    report = await bench.filled(await bench.remote.place_order(order))
    adds_up(report)
    expect(report.filled_quantity == order.quantity, order.quantity, report.filled_quantity)
    expect(report.side is Side.BUY, "side buy", report.side)


@case("ORD-002", "A market order to sell fills, and its report adds up", "type:market")
async def sells(bench: Bench) -> None:
    """Send the side that was asked for, and report it."""
    report = await bench.bought(side=Side.SELL)
    adds_up(report)
    expect(report.side is Side.SELL, "side sell", report.side)


@case("ORD-003", "A filled order opens a position of its side and size", "type:market")
async def opens(bench: Bench) -> None:
    """Show a position as soon as the order that opened it is reported filled."""
    report = await bench.bought()
    held = await bench.position()
    expect((held.side, held.quantity) == (Side.BUY, report.quantity), report.quantity, held)


@case("ORD-004", "An order is found by its client order id and by its order id", "type:market")
async def found(bench: Bench) -> None:
    """Carry the client order id at the broker: it is how an order in doubt is found."""
    order = bench.order()
    report = await bench.filled(await bench.remote.place_order(order))
    for found in (
        await bench.remote.get_order(client_order_id=order.client_order_id),
        await bench.remote.get_order(order_id=report.order_id),
    ):
        expect(found.order_id == report.order_id, report.order_id, found.order_id)
        expect(
            found.client_order_id == order.client_order_id,
            order.client_order_id,
            found.client_order_id,
            "Carry the id at the broker: it is how an order in doubt is found.",
        )


@case("ORD-005", "A limit order away from the market rests whole", "type:limit")
async def rests(bench: Bench) -> None:
    """Report a resting order as new, with its whole quantity remaining."""
    order = await bench.resting()
    report = await bench.remote.place_order(order)
    expect(report.status in LIVE, "a live order", report.status)
    adds_up(report)
    expect(report.limit_price == order.limit_price, order.limit_price, report.limit_price)
    expect(report.order_id in await bench.working(), "the order among the working", "not there")


@case("ORD-006", "A cancelled order is cancelled, not only asked to be", "type:limit")
async def cancels(bench: Bench) -> None:
    """Report a cancel as done when the venue confirms it, not when it is sent."""
    report = await bench.remote.place_order(await bench.resting())
    cancelled = await bench.remote.cancel_order(order_id=report.order_id)
    expect(cancelled.status is OrderStatus.CANCELED, "canceled", cancelled.status)
    again = await bench.remote.get_order(order_id=report.order_id)
    expect(
        again.status is OrderStatus.CANCELED,
        "canceled, looked up",
        again.status,
        "Report a cancel as done when the venue confirms it, not when it is sent.",
    )
    expect(report.order_id not in await bench.working(), "no working order", "it still works")


@case("ORD-007", "An order is cancelled by its client order id", "type:limit")
async def cancels_by_id(bench: Bench) -> None:
    """Find the order by its client order id, then cancel it by the venue's own."""
    order = await bench.resting()
    await bench.remote.place_order(order)
    cancelled = await bench.remote.cancel_order(client_order_id=order.client_order_id)
    expect(cancelled.status is OrderStatus.CANCELED, "canceled", cancelled.status)


@case("ORD-008", "Cancelling twice is cancelling once", "type:limit")
async def cancels_twice(bench: Bench) -> None:
    """Answer a cancel of a cancelled order with its report."""
    report = await bench.remote.place_order(await bench.resting())
    first = await bench.remote.cancel_order(order_id=report.order_id)
    second = await bench.remote.cancel_order(order_id=report.order_id)
    expect(first.status is second.status, first.status, second.status)


@case("ORD-009", "Cancelling a filled order undoes nothing", "type:market")
async def cancels_filled(bench: Bench) -> None:
    """Answer with the report of the filled order; a cancel closes no position."""
    report = await bench.bought()
    again = await bench.remote.cancel_order(order_id=report.order_id)
    expect(again.status is OrderStatus.FILLED, "filled", again.status)
    expect(await bench.positions(), "the position", "none")


@case("ORD-010", "A stop order rests beyond the market", "type:stop")
async def stops(bench: Bench) -> None:
    """Send a stop as a stop, and report its stop_price as asked for."""
    price = await bench.price(Side.BUY, -FAR)
    report = await bench.remote.place_order(
        bench.order(order_type=OrderType.STOP, stop_price=price)
    )
    expect(report.status in LIVE, "a live order", report.status)
    expect(report.order_type is OrderType.STOP, "type stop", report.order_type)
    expect(report.stop_price == price, price, report.stop_price)


@case("ORD-011", "A stop-limit order rests with both of its prices", "type:stop_limit")
async def stop_limits(bench: Bench) -> None:
    """Tell trigger (stop_price) from limit (limit_price): brokers name them differently."""
    stop = await bench.price(Side.BUY, -FAR)
    order = bench.order(order_type=OrderType.STOP_LIMIT, stop_price=stop, limit_price=stop)
    report = await bench.remote.place_order(order)
    expect(report.status in LIVE, "a live order", report.status)
    got = (report.stop_price, report.limit_price)
    expect(got == (stop, stop), (stop, stop), got)


@case("ORD-012", "A market-if-touched order rests before the market", "type:market_if_touched")
async def touched(bench: Bench) -> None:
    """Send it as the venue's own touched order, or don't declare the type."""
    price = await bench.price(Side.BUY, FAR)
    report = await bench.remote.place_order(
        bench.order(order_type=OrderType.MARKET_IF_TOUCHED, stop_price=price)
    )
    expect(report.status in LIVE, "a live order", report.status)
    expect(report.order_type is OrderType.MARKET_IF_TOUCHED, "its own type", report.order_type)


@case("ORD-013", "A trailing stop rests at its distance from the market", "type:trailing_stop")
async def trails(bench: Bench) -> None:
    """Report the distance as trailing_stop, and where the stop stands now as stop_price."""
    quote = await bench.quote()
    distance = bench.on_grid(quote.ask * FAR)
    report = await bench.remote.place_order(
        bench.order(order_type=OrderType.TRAILING_STOP, trailing_stop=distance)
    )
    expect(report.status in LIVE, "a live order", report.status)
    expect(report.trailing_stop == distance, distance, report.trailing_stop)
    stands = report.stop_price
    expect(stands is not None and stands > quote.ask, "a level above the ask", stands)


@case("ORD-014", "A limit order beyond the market fills at its limit or better", "type:limit")
async def marketable(bench: Bench) -> None:
    """Pass the limit to the venue; a limit order never fills beyond it."""
    limit = await bench.price(Side.BUY, -NEAR)
    order = bench.order(order_type=OrderType.LIMIT, limit_price=limit)
    report = await bench.filled(await bench.remote.place_order(order))
    expect(
        report.average_price is not None and report.average_price <= limit,
        f"at most {limit}",
        report.average_price,
    )
    expect(
        report.order_type is OrderType.LIMIT,
        "type limit",
        report.order_type,
        "The type is what was asked for; it isn't guessed from the price.",
    )


@case("ORD-022", "An order in lots is one in base units, never rounded", "type:limit")
async def lots(bench: Bench) -> None:
    """Multiply lots by the contract size in decimals, and refuse what is off the step."""
    each = bench.instrument
    order = await bench.resting(
        quantity=each.quantity_min / each.contract_size, quantity_unit=QuantityUnit.LOTS
    )
    if order.quantity * each.contract_size != each.quantity_min:
        raise Skipped("the smallest order is no finite number of lots")
    report = await bench.remote.place_order(order)
    expect(report.quantity == each.quantity_min, each.quantity_min, report.quantity)


@case("ORD-023", "A report repeats what was asked for", "type:limit")
async def repeats(bench: Bench) -> None:
    """Report the order as the venue has it, by the contract's own words."""
    order = await bench.resting(side=Side.SELL)
    report = await bench.remote.place_order(order)
    for name in ("instrument", "side", "order_type", "quantity", "limit_price", "time_in_force"):
        asked, got = getattr(order, name), getattr(report, name)
        expect(asked == got, f"{name} {asked}", got)


@case("ORD-024", "Orders by pages of one are those of one page", "type:limit")
async def pages(bench: Bench) -> None:
    """Keep the order of the list from page to page, and begin after the cursor."""
    for _ in range(3):
        await bench.remote.place_order(await bench.resting())
    whole = list(await bench.working())
    found: list[str] = []
    cursor: str | None = None
    for _ in range(len(whole) + 1):
        page = await bench.remote.list_orders(limit=1, cursor=cursor)
        found += [each.order_id for each in page.orders]
        cursor = page.next_cursor
        if cursor is None:
            break
    expect(found == whole, whole, found)


@case("ORD-025", "A limit fills when the market comes to it", "type:limit", "clock:stepped")
async def fills_later(bench: Bench) -> None:
    """Fill at the limit or better, and report the price of the fill."""
    quote = await bench.quote()
    report = await bench.remote.place_order(
        bench.order(order_type=OrderType.LIMIT, limit_price=bench.on_grid(quote.bid))
    )
    report = await until_ended(bench, report)
    average = report.average_price
    expect(average is not None and average <= quote.bid, f"at most {quote.bid}", average)


async def until_ended(bench: Bench, report: OrderReport) -> OrderReport:
    """Move the clock until a working order has filled, and return its report."""
    for _ in range(STEPS):
        if report.status is OrderStatus.FILLED:
            return report
        expect(report.status in LIVE, "a live or filled order", report.status)
        await bench.step(STEP_S)
        report = await bench.remote.get_order(order_id=report.order_id)
    raise Skipped(f"the price did not come so far in {STEPS} minutes of the venue's time")


@case("ORD-026", "A stop fills when the market comes to it", "type:stop", "clock:stepped")
async def stop_fills(bench: Bench) -> None:
    """Fill at the stop or beyond it, and report the price of the fill."""
    each = bench.instrument
    stop = bench.on_grid((await bench.quote()).ask + each.pip_size + each.minimum_stop_distance)
    report = await bench.remote.place_order(bench.order(order_type=OrderType.STOP, stop_price=stop))
    report = await until_ended(bench, report)
    average = report.average_price
    expect(
        average is not None and average >= stop,
        f"at least {stop}",
        average,
        "A stop to buy fills at its price or, where the market has passed it, above.",
    )


@case("ORD-027", "A cursor of orders from elsewhere is refused")
async def strange_cursor(bench: Bench) -> None:
    """Refuse a cursor that this server has not given."""
    await bench.refused(
        bench.remote.list_orders(cursor="no-such-cursor"),
        ErrorCode.INVALID_ARGUMENT,
        remedy="Starting over in silence shows orders twice, or hides some.",
    )
