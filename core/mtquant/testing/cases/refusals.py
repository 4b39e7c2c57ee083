"""REF: what is refused, and how a refusal is told."""

from __future__ import annotations

from decimal import Decimal

from mtquant.errors import ErrorCode, Outcome, Retry
from mtquant.model import OrderType, Side
from mtquant.testing.bench import FAR, NEAR, Bench, expect
from mtquant.testing.case import Skipped, case
from mtquant.testing.cases.undeclared import nothing_happened, raw_order

_ERROR_FIELDS = {
    "code",
    "message",
    "outcome",
    "retry",
    "retry_after_s",
    "verify",
    "field",
    "broker",
}


@case("REF-001", "A quantity below the minimum is refused, with the nearest", "type:market")
async def too_small(bench: Bench) -> None:
    """Refuse with invalid_quantity, and name the smallest that is legal."""
    low = bench.instrument.quantity_min
    refusal = await bench.refused(
        bench.remote.place_order(bench.order(quantity=low / 2)),
        ErrorCode.INVALID_QUANTITY,
        field="quantity",
        remedy="A quantity is never raised to the minimum.",
    )
    expect(f"{low:f}".rstrip("0").rstrip(".")[:4] in refusal.message, low, refusal.message)
    await nothing_happened(bench)


@case("REF-002", "A quantity above the maximum is refused", "type:market")
async def too_large(bench: Bench) -> None:
    """Check the largest quantity for every type of order, before sending."""
    high, step = bench.instrument.quantity_max, bench.instrument.quantity_step
    await bench.refused(
        bench.remote.place_order(bench.order(quantity=high + step)),
        ErrorCode.INVALID_QUANTITY,
        ErrorCode.INSUFFICIENT_MARGIN,
        ErrorCode.RISK_DENIED,
        remedy="A size cap holds for market orders too, and nothing is cut down in silence.",
    )
    await nothing_happened(bench)


@case("REF-003", "A quantity off its step is refused, with both neighbours", "type:market")
async def off_step(bench: Bench) -> None:
    """Refuse with invalid_quantity, and name the two nearest that are legal."""
    each = bench.instrument
    low = each.quantity_min
    refusal = await bench.refused(
        bench.remote.place_order(bench.order(quantity=low + each.quantity_step / 2)),
        ErrorCode.INVALID_QUANTITY,
        field="quantity",
        remedy="It is never rounded.",
    )
    for near in (low, low + each.quantity_step):
        expect(f"{near.normalize():f}" in refusal.message, f"{near} named", refusal.message)
    await nothing_happened(bench)


@case("REF-004", "A price off its step is refused, with both neighbours", "type:limit")
async def off_grid(bench: Bench) -> None:
    """Refuse with invalid_price, and name the two nearest that are legal; don't round."""
    order = await bench.resting()
    step = bench.instrument.price_step
    price = (order.limit_price or Decimal(1)) + step / 2
    refusal = await bench.refused(
        bench.remote.place_order(await bench.resting(limit_price=price)),
        ErrorCode.INVALID_PRICE,
        field="limit_price",
    )
    near = f"{(order.limit_price or Decimal(1)).normalize():f}"
    expect(near in refusal.message, f"{near} named", refusal.message)
    await nothing_happened(bench)


@case("REF-005", "A limit order without its price is refused", "type:limit")
async def no_limit(bench: Bench) -> None:
    """Refuse a limit order without limit_price; the market's price is no default."""
    await bench.refused(
        bench.remote.place_order(bench.order(order_type=OrderType.LIMIT)),
        ErrorCode.INVALID_ARGUMENT,
        field="limit_price",
    )
    await nothing_happened(bench)


@case("REF-006", "A market order with a limit price is refused", "type:market")
async def stray_limit(bench: Bench) -> None:
    """Refuse a price that the order's type has no use for."""
    price = await bench.price(Side.BUY, FAR)
    await bench.refused(
        bench.remote.place_order(bench.order(limit_price=price)),
        ErrorCode.INVALID_ARGUMENT,
        field="limit_price",
        remedy="The type isn't guessed from the price: a market order would ignore the limit.",
    )
    await nothing_happened(bench)


@case("REF-007", "A stop on the wrong side of the market is refused", "type:stop")
async def wrong_stop(bench: Bench) -> None:
    """Refuse a stop that would trigger at once."""
    below = await bench.price(Side.BUY, NEAR)
    await bench.refused(
        bench.remote.place_order(bench.order(order_type=OrderType.STOP, stop_price=below)),
        ErrorCode.INVALID_PRICE,
        field="stop_price",
    )
    await nothing_happened(bench)


@case("REF-008", "An order in an unknown instrument is refused", "type:market")
async def unknown(bench: Bench) -> None:
    """Raise unknown_instrument before anything is sent."""
    refusal = await bench.refused(
        bench.remote.place_order(bench.order(instrument="NOSUCH9")),
        ErrorCode.UNKNOWN_INSTRUMENT,
    )
    expect(refusal.outcome is not Outcome.UNKNOWN, "not_sent or rejected", refusal.outcome)


@case("REF-010", "An order beyond the account's money is refused", "type:market")
async def too_dear(bench: Bench) -> None:
    """Map the venue's refusal for lack of money to insufficient_margin."""
    each = bench.instrument
    await bench.refused(
        bench.remote.place_order(bench.order(quantity=each.quantity_max)),
        ErrorCode.INSUFFICIENT_MARGIN,
        ErrorCode.INVALID_QUANTITY,
        ErrorCode.RISK_DENIED,
        ErrorCode.BROKER_REJECTED,
    )
    await nothing_happened(bench)


@case(
    "REF-011",
    "A refusal is an error of the tool, with the contract's error object",
    "tool:place_order",
)
async def told(bench: Bench) -> None:
    """Read the venue's return code, not only the transport's error."""
    arguments = dict(raw_order(bench, OrderType.MARKET, Decimal(1)))
    arguments["quantity"] = str(bench.instrument.quantity_min / 2)
    answer = await bench.raw("place_order", arguments)
    expect(
        answer.is_error,
        "isError true",
        "a success",
        "A refused order reported as a success is the costliest mistake of all: read the"
        " broker's own return code, not only the transport's.",
    )
    lacking = sorted(_ERROR_FIELDS - set(answer.error))
    expect(not lacking, "every field of the error object", f"no {', '.join(lacking)}")
    expect(
        answer.error["code"] in set(ErrorCode), "a code of the closed list", answer.error["code"]
    )
    expect(answer.error["outcome"] in set(Outcome), "a known outcome", answer.error["outcome"])
    expect(answer.error["retry"] in set(Retry), "a known retry", answer.error["retry"])
    expect(
        answer.content is None,
        "the error as text alone",
        "structured content",
        "Clients hold structured content against the tool's schema, and would hide the error.",
    )


@case("REF-012", "A refused order leaves no trace among orders and executions", "type:market")
async def no_trace(bench: Bench) -> None:
    """Don't record as an order what was never one."""
    order = bench.order(quantity=bench.instrument.quantity_min / 2)
    await bench.refused(bench.remote.place_order(order))
    await bench.refused(
        bench.remote.get_order(client_order_id=order.client_order_id), ErrorCode.NOT_FOUND
    )
    await nothing_happened(bench)


@case("REF-013", "An order that never was is not found")
async def never_was(bench: Bench) -> None:
    """Raise not_found; an empty report says that there is such an order."""
    await bench.refused(bench.remote.get_order(client_order_id=bench.new_id()), ErrorCode.NOT_FOUND)
    await bench.refused(bench.remote.get_order(order_id="no-such-order"), ErrorCode.NOT_FOUND)


@case("REF-014", "An order is looked up by one id, neither by none nor by two")
async def one_id(bench: Bench) -> None:
    """Refuse a look-up by neither id, or by both, with invalid_argument."""
    await bench.refused(bench.remote.get_order(), ErrorCode.INVALID_ARGUMENT)
    await bench.refused(
        bench.remote.get_order(order_id="a", client_order_id="b"), ErrorCode.INVALID_ARGUMENT
    )


@case("REF-015", "A tool that doesn't exist is an error")
async def no_tool(bench: Bench) -> None:
    """Answer a tool that isn't registered with an error."""
    answer = await bench.raw("no_such_tool", {})
    expect(answer.is_error, "an error", "a success")


@case("REF-016", "A cancel of an order that never was is not a success", "tool:cancel_order")
async def cancels_nothing(bench: Bench) -> None:
    """Raise not_found: who hears canceled believes that nothing can fill any more."""
    await bench.refused(bench.remote.cancel_order(order_id="no-such-order"), ErrorCode.NOT_FOUND)


@case("REF-017", "A refusal names the field that is wrong", "type:market")
async def names_field(bench: Bench) -> None:
    """Set field to the argument that is wrong, and retry to after_fix or never."""
    refusal = await bench.refused(
        bench.remote.place_order(bench.order(quantity=bench.instrument.quantity_min / 2))
    )
    expect(refusal.field == "quantity", "field quantity", repr(refusal.field))
    expect(refusal.retry is not Retry.SAFE, "not to be repeated as it is", refusal.retry)


@case(
    "REF-019",
    "A protection within the minimum distance is refused",
    "type:market",
    "feature:stop_loss",
)
async def too_near(bench: Bench) -> None:
    """Refuse what is nearer than minimum_stop_distance, or declare the true distance."""
    distance = bench.instrument.minimum_stop_distance
    if distance < bench.instrument.price_step * 2:
        raise Skipped("the instrument declares no minimum_stop_distance")
    quote = await bench.quote()
    await bench.refused(
        bench.remote.place_order(bench.order(stop_loss=bench.on_grid(quote.bid - distance / 2))),
        ErrorCode.INVALID_PRICE,
        field="stop_loss",
        remedy="Declare the distance at which the venue really refuses.",
    )
    await nothing_happened(bench)


@case("REF-020", "The largest quantity holds for a limit order as for a market order", "type:limit")
async def too_large_limit(bench: Bench) -> None:
    """Check the largest quantity for every type of order, before sending."""
    over = bench.instrument.quantity_max + bench.instrument.quantity_step
    await bench.refused(
        bench.remote.place_order(await bench.resting(quantity=over)),
        ErrorCode.INVALID_QUANTITY,
        ErrorCode.INSUFFICIENT_MARGIN,
        ErrorCode.RISK_DENIED,
        remedy="Check the cap before the type is looked at.",
    )
    await nothing_happened(bench)
