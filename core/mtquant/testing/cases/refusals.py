"""REF: what is refused, and how a refusal is told."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mtquant.errors import ErrorCode, Outcome, Retry
from mtquant.model import OrderType, Side
from mtquant.testing.bench import FAR, NEAR, Bench, expect
from mtquant.testing.case import Failed, Skipped, case

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


async def _nothing_happened(bench: Bench) -> None:
    expect(not await bench.positions(), "no position", "one")
    expect(not await bench.working(), "no working order", "one")


@case("REF-001", "A quantity below the minimum is refused, with the nearest", "type:market")
async def too_small(bench: Bench) -> None:
    low = bench.instrument.quantity_min
    refusal = await bench.refused(
        bench.remote.place_order(bench.order(quantity=low / 2)),
        ErrorCode.INVALID_QUANTITY,
        field="quantity",
        remedy="A quantity is never raised to the minimum.",
    )
    expect(f"{low:f}".rstrip("0").rstrip(".")[:4] in refusal.message, low, refusal.message)
    await _nothing_happened(bench)


@case("REF-002", "A quantity above the maximum is refused", "type:market")
async def too_large(bench: Bench) -> None:
    high, step = bench.instrument.quantity_max, bench.instrument.quantity_step
    await bench.refused(
        bench.remote.place_order(bench.order(quantity=high + step)),
        ErrorCode.INVALID_QUANTITY,
        ErrorCode.INSUFFICIENT_MARGIN,
        ErrorCode.RISK_DENIED,
        remedy="A size cap holds for market orders too, and nothing is cut down in silence.",
    )
    await _nothing_happened(bench)


@case("REF-003", "A quantity off its step is refused, with both neighbours", "type:market")
async def off_step(bench: Bench) -> None:
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
    await _nothing_happened(bench)


@case("REF-004", "A price off its step is refused, with both neighbours", "type:limit")
async def off_grid(bench: Bench) -> None:
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
    await _nothing_happened(bench)


@case("REF-005", "A limit order without its price is refused", "type:limit")
async def no_limit(bench: Bench) -> None:
    await bench.refused(
        bench.remote.place_order(bench.order(order_type=OrderType.LIMIT)),
        ErrorCode.INVALID_ARGUMENT,
        field="limit_price",
    )
    await _nothing_happened(bench)


@case("REF-006", "A market order with a limit price is refused", "type:market")
async def stray_limit(bench: Bench) -> None:
    price = await bench.price(Side.BUY, FAR)
    await bench.refused(
        bench.remote.place_order(bench.order(limit_price=price)),
        ErrorCode.INVALID_ARGUMENT,
        field="limit_price",
        remedy="The type isn't guessed from the price: a market order would ignore the limit.",
    )
    await _nothing_happened(bench)


@case("REF-007", "A stop on the wrong side of the market is refused", "type:stop")
async def wrong_stop(bench: Bench) -> None:
    below = await bench.price(Side.BUY, NEAR)
    await bench.refused(
        bench.remote.place_order(bench.order(order_type=OrderType.STOP, stop_price=below)),
        ErrorCode.INVALID_PRICE,
        field="stop_price",
    )
    await _nothing_happened(bench)


@case("REF-008", "An order in an unknown instrument is refused", "type:market")
async def unknown(bench: Bench) -> None:
    refusal = await bench.refused(
        bench.remote.place_order(bench.order(instrument="NOSUCH9")),
        ErrorCode.UNKNOWN_INSTRUMENT,
    )
    expect(refusal.outcome is not Outcome.UNKNOWN, "not_sent or rejected", refusal.outcome)


@case(
    "REF-009",
    "An order type that isn't declared is refused, not sent as another",
    "tool:place_order",
)
async def undeclared_type(bench: Bench) -> None:
    left = [each for each in OrderType if each not in bench.capabilities.order_types]
    if not left:
        raise Skipped("nothing to refuse: every order type is declared")
    quote = await bench.quote()
    answer = await bench.raw("place_order", _raw(bench, left[0], quote.bid))
    if not answer.is_error:
        raise Failed("a refusal (unsupported)", "success")
    expect(answer.error.get("code") == "unsupported", "unsupported", answer.error)
    await _nothing_happened(bench)


def _raw(bench: Bench, kind: OrderType, price: Decimal) -> Mapping[str, Any]:
    arguments: dict[str, Any] = {
        "client_order_id": bench.new_id(),
        "instrument": bench.instrument.instrument,
        "side": "buy",
        "order_type": kind.value,
        "quantity": str(bench.instrument.quantity_min),
    }
    if kind in {OrderType.LIMIT, OrderType.STOP_LIMIT}:
        arguments["limit_price"] = str(price)
    if kind in {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED}:
        arguments["stop_price"] = str(price)
    if kind is OrderType.TRAILING_STOP:
        arguments["trailing_stop"] = str(bench.instrument.pip_size * 100)
    return arguments


@case("REF-010", "An order beyond the account's money is refused", "type:market")
async def too_dear(bench: Bench) -> None:
    each = bench.instrument
    await bench.refused(
        bench.remote.place_order(bench.order(quantity=each.quantity_max)),
        ErrorCode.INSUFFICIENT_MARGIN,
        ErrorCode.INVALID_QUANTITY,
        ErrorCode.RISK_DENIED,
        ErrorCode.BROKER_REJECTED,
    )
    await _nothing_happened(bench)


@case(
    "REF-011",
    "A refusal is an error of the tool, with the contract's error object",
    "tool:place_order",
)
async def told(bench: Bench) -> None:
    arguments = dict(_raw(bench, OrderType.MARKET, Decimal(1)))
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
    expect(answer.text, "the error as text too", "none")


@case("REF-012", "A refused order leaves no trace among orders and executions", "type:market")
async def no_trace(bench: Bench) -> None:
    order = bench.order(quantity=bench.instrument.quantity_min / 2)
    await bench.refused(bench.remote.place_order(order))
    await bench.refused(
        bench.remote.get_order(client_order_id=order.client_order_id), ErrorCode.NOT_FOUND
    )
    await _nothing_happened(bench)


@case("REF-013", "An order that never was is not found")
async def never_was(bench: Bench) -> None:
    await bench.refused(bench.remote.get_order(client_order_id=bench.new_id()), ErrorCode.NOT_FOUND)
    await bench.refused(bench.remote.get_order(order_id="no-such-order"), ErrorCode.NOT_FOUND)


@case("REF-014", "An order is looked up by one id, neither by none nor by two")
async def one_id(bench: Bench) -> None:
    await bench.refused(bench.remote.get_order(), ErrorCode.INVALID_ARGUMENT)
    await bench.refused(
        bench.remote.get_order(order_id="a", client_order_id="b"), ErrorCode.INVALID_ARGUMENT
    )


@case("REF-015", "A tool that doesn't exist is an error")
async def no_tool(bench: Bench) -> None:
    answer = await bench.raw("no_such_tool", {})
    expect(answer.is_error, "an error", "a success")


@case("REF-016", "A cancel of an order that never was is not a success", "tool:cancel_order")
async def cancels_nothing(bench: Bench) -> None:
    await bench.refused(bench.remote.cancel_order(order_id="no-such-order"), ErrorCode.NOT_FOUND)


@case("REF-017", "A refusal names the field that is wrong", "type:market")
async def names_field(bench: Bench) -> None:
    refusal = await bench.refused(
        bench.remote.place_order(bench.order(quantity=bench.instrument.quantity_min / 2))
    )
    expect(refusal.field == "quantity", "field quantity", repr(refusal.field))
    expect(refusal.retry is not Retry.SAFE, "not to be repeated as it is", refusal.retry)
