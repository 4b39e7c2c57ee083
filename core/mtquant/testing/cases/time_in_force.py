"""TIF: how long orders live."""

from __future__ import annotations

from mtquant.clock import SECOND, format_time
from mtquant.errors import ErrorCode
from mtquant.model import OrderStatus, OrderType, Side, TimeInForce
from mtquant.testing.bench import FAR, NEAR, Bench, expect
from mtquant.testing.case import Failed, Skipped, case
from mtquant.testing.cases.orders import LIVE

DAY_S = 86_400


async def _now(bench: Bench) -> int:
    return (await bench.remote.get_health()).time


@case("TIF-001", "A good-till-cancelled order rests", "type:limit", "tif:gtc")
async def gtc(bench: Bench) -> None:
    """Send gtc as the venue's own gtc, and report it."""
    report = await bench.remote.place_order(await bench.resting(time_in_force=TimeInForce.GTC))
    expect(report.status in LIVE, "a live order", report.status)
    expect(report.time_in_force is TimeInForce.GTC, "gtc", report.time_in_force)


@case("TIF-002", "A day order rests", "type:limit", "tif:day")
async def day(bench: Bench) -> None:
    """Send day as the venue's own, or don't declare it."""
    report = await bench.remote.place_order(await bench.resting(time_in_force=TimeInForce.DAY))
    expect(report.status in LIVE, "a live order", report.status)
    expect(report.time_in_force is TimeInForce.DAY, "day", report.time_in_force)


@case("TIF-003", "A good-till-date order rests, with its date", "type:limit", "tif:gtd")
async def gtd(bench: Bench) -> None:
    """Pass the date on in the venue's time zone, and report it in UTC."""
    expires = await _now(bench) + DAY_S * SECOND
    order = await bench.resting(time_in_force=TimeInForce.GTD, expire_time=expires)
    report = await bench.remote.place_order(order)
    expect(report.status in LIVE, "a live order", report.status)
    expect(
        report.expire_time == expires,
        format_time(expires),
        report.expire_time and format_time(report.expire_time),
    )


@case("TIF-004", "A good-till-date order needs its date", "type:limit", "tif:gtd")
async def gtd_needs(bench: Bench) -> None:
    """Refuse gtd without expire_time; there is no default date."""
    order = await bench.resting(time_in_force=TimeInForce.GTD)
    await bench.refused(
        bench.remote.place_order(order), ErrorCode.INVALID_ARGUMENT, field="expire_time"
    )


@case("TIF-005", "A date in the past is refused", "type:limit", "tif:gtd")
async def gtd_past(bench: Bench) -> None:
    """Compare expire_time with the venue's time before sending."""
    past = await _now(bench) - DAY_S * SECOND
    order = await bench.resting(time_in_force=TimeInForce.GTD, expire_time=past)
    await bench.refused(
        bench.remote.place_order(order), ErrorCode.INVALID_ARGUMENT, field="expire_time"
    )


@case("TIF-006", "A good-till-date order expires", "type:limit", "tif:gtd", "clock:stepped")
async def gtd_expires(bench: Bench) -> None:
    """Report an order that reached its date as expired."""
    expires = await _now(bench) + 10 * SECOND
    order = await bench.resting(time_in_force=TimeInForce.GTD, expire_time=expires)
    report = await bench.remote.place_order(order)
    await bench.step(60)
    after = await bench.remote.get_order(order_id=report.order_id)
    expect(after.status is OrderStatus.EXPIRED, "expired", after.status)
    expect(report.order_id not in await bench.working(), "no working order", "it still works")


@case(
    "TIF-007", "An immediate-or-cancel order that can't fill never rests", "type:limit", "tif:ioc"
)
async def ioc(bench: Bench) -> None:
    """Report what is left of an ioc order as canceled, with the reason."""
    await _never_rests(bench, TimeInForce.IOC)


@case("TIF-008", "A fill-or-kill order that can't fill never rests", "type:limit", "tif:fok")
async def fok(bench: Bench) -> None:
    """Report a fok order that could not fill as canceled, with the reason."""
    await _never_rests(bench, TimeInForce.FOK)


async def _never_rests(bench: Bench, tif: TimeInForce) -> None:
    report = await bench.remote.place_order(await bench.resting(time_in_force=tif))
    expect(
        report.status in {OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED},
        "an order that has ended",
        report.status,
        "An order the venue ended is canceled with its reason, never a success.",
    )
    expect(report.filled_quantity == 0, "nothing filled", report.filled_quantity)
    expect(report.reason is not None or report.reason_text, "why it ended", "no reason")
    expect(report.order_id not in await bench.working(), "no working order", "it rests")


@case("TIF-009", "An immediate-or-cancel order that can fill does", "type:limit", "tif:ioc")
async def ioc_fills(bench: Bench) -> None:
    """Send ioc as the venue's own ioc; some symbols don't take it."""
    await _fills(bench, TimeInForce.IOC)


@case("TIF-010", "A fill-or-kill order that can fill does, whole", "type:limit", "tif:fok")
async def fok_fills(bench: Bench) -> None:
    """Fill a fok order whole or not at all; some symbols don't take it."""
    await _fills(bench, TimeInForce.FOK)


async def _fills(bench: Bench, tif: TimeInForce) -> None:
    limit = await bench.price(Side.BUY, -NEAR)
    order = bench.order(order_type=OrderType.LIMIT, limit_price=limit, time_in_force=tif)
    report = await bench.filled(await bench.remote.place_order(order))
    expect(report.filled_quantity == order.quantity, order.quantity, report.filled_quantity)


@case("TIF-011", "A time in force that isn't declared is refused", "type:limit")
async def undeclared(bench: Bench) -> None:
    """Refuse what get_capabilities doesn't declare, with unsupported."""
    offered = bench.capabilities.time_in_force
    left = [each for each in TimeInForce if each not in offered and each is not TimeInForce.GTD]
    if not left:
        raise Skipped("nothing to refuse: every time in force is declared")
    limit = await bench.price(Side.BUY, FAR)
    answer = await bench.raw(
        "place_order",
        {
            "client_order_id": bench.new_id(),
            "instrument": bench.instrument.instrument,
            "side": "buy",
            "order_type": "limit",
            "quantity": str(bench.instrument.quantity_min),
            "limit_price": str(limit),
            "time_in_force": left[0].value,
        },
    )
    if not answer.is_error:
        raise Failed("a refusal (unsupported)", "success", "Never send what the venue lacks.")
    expect(answer.error.get("code") == "unsupported", "unsupported", answer.error)


@case("TIF-012", "An expiry date goes with good-till-date alone", "type:limit", "tif:gtc")
async def stray_date(bench: Bench) -> None:
    """Refuse expire_time with any time in force but gtd."""
    expires = await _now(bench) + DAY_S * SECOND
    order = await bench.resting(time_in_force=TimeInForce.GTC, expire_time=expires)
    await bench.refused(
        bench.remote.place_order(order),
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.UNSUPPORTED,
        remedy="An argument that has no effect is refused, not dropped.",
    )


@case("TIF-013", "An immediate-or-cancel market order fills", "type:market", "tif:ioc")
async def market_ioc(bench: Bench) -> None:
    """Take ioc for market orders too, or don't declare it."""
    await bench.bought(time_in_force=TimeInForce.IOC)


@case("TIF-014", "A fill-or-kill market order fills whole", "type:market", "tif:fok")
async def market_fok(bench: Bench) -> None:
    """Take fok for market orders too, or don't declare it."""
    report = await bench.bought(time_in_force=TimeInForce.FOK)
    expect(report.filled_quantity == report.quantity, report.quantity, report.filled_quantity)
