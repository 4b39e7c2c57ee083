"""100,000 calls that no honest client makes: none may reach a broker as an order that isn't valid.

The calls are drawn from the tools' own schemas: right values, nearly right ones, and the values
that the SDK itself lets through (NaN, 1e400, booleans as numbers, names that don't exist).
"""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from mcp.server.context import ServerRequestContext
from mcp.types import CallToolRequestParams
from tests.kernel.fake_broker import FakeBroker

from mtquant.clock import ManualClock, Random, seeded
from mtquant.contract import Broker, Scope, tools_of
from mtquant.errors import Refused
from mtquant.ledger import Ledger
from mtquant.model import (
    Canceled,
    CloseRequest,
    MassCancel,
    ModifyRequest,
    OrderPreview,
    OrderReport,
    OrderRequest,
    Position,
    ProtectionRequest,
    Unchanged,
)
from mtquant.wire.limits import Limits
from mtquant.wire.remote import error_in
from mtquant.wire.server import Desk, InFlight
from mtquant.wire.tools import specs_of

CALLS = 100_000
CANARY = "canary-hostile-value-canary"
HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, 10**400, 1e308, float("nan"), float("inf"), float("-inf"),
    "", " ", "0", "-1", "1e3", "1e400", "NaN", "Infinity", "0x10", "1_000", "\u0661\u0662", "1,5",
    "+1", "1.",
    "market", "MARKET", "buy", "gtc", "EURUSD", "\x00", "a\nb", "\u202eEUR", "é" * 33, "x" * 10_000,
    "../../etc/passwd", "'; DROP TABLE orders; --", "2026-01-01T00:00:00Z", "2026-13-01T00:00:00Z",
    "[1]", '["EURUSD"]', "[", "[" * 5000, "{}", [], [[]], ["EURUSD"], ["x"] * 51, [None], {},
    {"a": 1},
    {"$ref": "#"}, CANARY,
]  # fmt: skip
GOOD: dict[str, list[Any]] = {
    "client_order_id": ["c1", "c-2", "A.b_3"],
    "order_id": ["o1"],
    "position_id": ["p1"],
    "instrument": ["EURUSD"],
    "instruments": [["EURUSD"], '["EURUSD"]'],
    "side": ["buy", "sell"],
    "order_type": ["market", "limit", "stop"],
    "quantity": ["1000", 1000, "0.5"],
    "limit_price": ["1.1", 1.1, None],
    "stop_price": ["1.1", None],
    "stop_loss": ["1.0", None],
    "timeframe": ["M1"],
    "query": ["EUR"],
    "filter": ["all", "instrument"],
    "to": ["2026-01-01T00:00:00Z"],
}


class Recorder(FakeBroker):
    """Notes every request that trades, and refuses it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: list[object] = []

    async def place_order(self, order: OrderRequest) -> OrderReport:
        self.reached.append(order)
        raise Refused("broker_rejected", "no")

    async def close_position(self, close: CloseRequest) -> OrderReport:
        self.reached.append(close)
        raise Refused("broker_rejected", "no")

    async def modify_order(self, change: ModifyRequest) -> OrderReport:
        self.reached.append(change)
        raise Refused("broker_rejected", "no")

    async def set_protection(self, protection: ProtectionRequest) -> Position:
        self.reached.append(protection)
        raise Refused("broker_rejected", "no")

    async def preview_order(self, order: OrderRequest) -> OrderPreview:
        self.reached.append(order)
        raise Refused("broker_rejected", "no")

    async def cancel_orders(
        self,
        filter: MassCancel,  # noqa: A002 - the contract's word
        instrument: str | None = None,  # noqa: ARG002 - the port's
        protections: bool = False,  # noqa: ARG002, FBT001, FBT002
    ) -> Canceled:
        assert isinstance(filter, MassCancel)
        raise Refused("broker_rejected", "no")


def hostile_call(rng: Random, tools: list[str]) -> CallToolRequestParams:
    """Return a call that is right in most fields, so that it gets past the first of them."""
    name = rng.choice(tools)
    arguments: dict[str, Any] = {}
    wrong = rng.choice([0.01, 0.05, 0.3])
    for field in specs_of(Broker)[name].input_schema["properties"]:
        draw = rng.random()
        if draw < wrong:
            arguments[field] = rng.choice(HOSTILE)
        elif draw < 0.9 and field in GOOD:
            arguments[field] = rng.choice(GOOD[field])
    if rng.random() < 0.05:
        arguments[rng.choice(["volume", "password", CANARY, "__class__", ""])] = rng.choice(HOSTILE)
    return CallToolRequestParams.model_construct(name=name, arguments=arguments)


def check_valid(request: object) -> None:
    """Assert that what reached the broker is what the contract promises it."""
    assert isinstance(request, OrderRequest | CloseRequest | ModifyRequest | ProtectionRequest)
    assert 1 <= len(request.client_order_id) <= 32
    assert request.client_order_id.isascii()
    for name in (
        "quantity", "limit_price", "stop_price", "stop_loss", "take_profit", "trailing_stop",
        "max_slippage",
    ):  # fmt: skip
        value = getattr(request, name, None)
        if value is not None and not isinstance(value, Unchanged):
            assert value.is_finite()
            assert 0 < value < 10**18
    for name in ("instrument", "order_id", "position_id"):
        value = getattr(request, name, None)
        assert value is None or (len(value) <= 64 and value.isprintable())


@pytest.mark.slow
def test_a_hundred_thousand_hostile_calls_send_no_invalid_order() -> None:
    rng, broker, clock = seeded(7), Recorder(), ManualClock()
    tools = [name for name, each in tools_of(Recorder).items() if each.scope is not Scope.READ]
    tools += ["preview_order", "get_quotes", "watch_quotes"]
    codes: dict[str, int] = {}

    async def storm() -> None:
        async with anyio.create_task_group() as group:
            calls = InFlight(group)
            for number in range(CALLS):
                if number % 100 == 0:  # a fresh ledger: a taken id would hide what comes after it
                    ledger = Ledger(":memory:", clock)
                    desk = Desk(
                        broker,
                        ledger,
                        scopes=frozenset(Scope),
                        limits=Limits(),
                        live_account=None,
                        compact=False,
                    )
                params = hostile_call(rng, tools)
                params.arguments = {**(params.arguments or {})}
                if "wait_s" in params.arguments or params.name == "watch_quotes":
                    params.arguments["wait_s"] = 0
                    params.arguments.pop("for_s", None)
                context = _Context(calls)
                result = await desk.call_tool(context, params)
                shown = result.model_dump_json()
                assert CANARY not in shown, params
                if result.is_error:
                    error = error_in(result)
                    assert error is not None
                    codes[error.code] = codes.get(error.code, 0) + 1
                    assert len(shown) < 4000
                if number % 100 == 99:
                    ledger.close()

    anyio.run(storm)
    for request in broker.reached:
        check_valid(request)
    assert codes["invalid_argument"] > CALLS / 4
    assert len(broker.reached) > CALLS / 100  # it did get through where it was valid
    print(json.dumps(codes), len(broker.reached))  # noqa: T201 - shown with -s


class _Context(ServerRequestContext[InFlight]):
    def __init__(self, calls: InFlight) -> None:
        self.lifespan_context = calls
