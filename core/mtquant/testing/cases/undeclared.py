"""REF, continued: what a broker doesn't declare it refuses, asked past our own client's check."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mtquant.model import Feature, OrderType
from mtquant.testing.bench import FAR, Bench, expect
from mtquant.testing.case import Failed, Skipped, case


async def nothing_happened(bench: Bench) -> None:
    """Expect neither a position nor a working order."""
    expect(not await bench.positions(), "no position", "one")
    expect(not await bench.working(), "no working order", "one")


def raw_order(bench: Bench, kind: OrderType, price: Decimal) -> Mapping[str, Any]:
    """Return the arguments of an order of ``kind`` for the smallest quantity."""
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


@case(
    "REF-009",
    "An order type that isn't declared is refused, not sent as another",
    "tool:place_order",
)
async def undeclared_type(bench: Bench) -> None:
    """Refuse an undeclared type with unsupported; never send it as another."""
    left = [each for each in OrderType if each not in bench.capabilities.order_types]
    if not left:
        raise Skipped("nothing to refuse: every order type is declared")
    quote = await bench.quote()
    answer = await bench.raw("place_order", raw_order(bench, left[0], quote.bid))
    if not answer.is_error:
        raise Failed(
            "a refusal (unsupported)", "success", "Never send a type the venue lacks as another."
        )
    expect(answer.error.get("code") == "unsupported", "unsupported", answer.error)
    await nothing_happened(bench)


_BY_FEATURE: Mapping[Feature, tuple[str, str | bool]] = {
    Feature.STOP_LOSS: ("stop_loss", "below"),
    Feature.TAKE_PROFIT: ("take_profit", "above"),
    Feature.TRAILING_STOP: ("trailing_stop", "distance"),
    Feature.REDUCE_ONLY: ("reduce_only", True),
    Feature.POSITION_EFFECT: ("position_effect", "close"),
    Feature.MAX_SLIPPAGE: ("max_slippage", "distance"),
}


@case(
    "REF-018",
    "A feature that isn't declared is refused, not dropped",
    "tool:place_order",
    "type:market",
)
async def undeclared_feature(bench: Bench) -> None:
    """Declare the feature, or refuse its field with unsupported."""
    lacking = [each for each in _BY_FEATURE if each not in bench.capabilities.features]
    if not lacking:
        raise Skipped("nothing to refuse: every feature is declared")
    quote = await bench.quote()
    prices = {
        "below": str(bench.on_grid(quote.bid * (1 - FAR))),
        "above": str(bench.on_grid(quote.ask * (1 + FAR))),
        "distance": str(bench.on_grid(quote.bid * FAR)),
    }
    for each in lacking:
        field, value = _BY_FEATURE[each]
        order = dict(raw_order(bench, OrderType.MARKET, quote.bid))
        order[field] = prices.get(value, value) if isinstance(value, str) else value
        answer = await bench.raw("place_order", order)
        expect(
            answer.is_error and answer.error.get("code") == "unsupported",
            f"a refusal (unsupported) of {field}",
            answer.error or "success",
            "A stop-loss that is dropped in silence is worse than none: declare it or refuse it.",
        )
    await nothing_happened(bench)
