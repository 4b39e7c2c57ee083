"""serve and Remote: schemas, the gate before dispatch, errors, cancellation, stdio."""

# ruff: noqa: ANN401 - the values of parametrised cases are of many types

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool
from tests.kernel.fake_broker import FakeBroker, order, report_of
from trio.testing import MockClock

from mtquant.clock import ManualClock
from mtquant.contract import Broker, Endpoint, Scope, tools_of
from mtquant.errors import BrokerError, ConfigError, ErrorCode, Outcome, OutcomeUnknown, Refused
from mtquant.ledger import Ledger
from mtquant.model import CloseRequest, OrderStatus, Side, Timeframe
from mtquant.wire import Remote, serve
from mtquant.wire.server import GRACE_S
from mtquant.wire.tools import specs_of

pytestmark = pytest.mark.anyio

FAKE = str(Path(__file__).with_name("fake_broker.py"))
VALID = {
    "client_order_id": "c1",
    "instrument": "EURUSD",
    "side": "buy",
    "order_type": "market",
    "quantity": "1000",
}
TRADING = [
    pytest.param(lambda broker: broker.place_order(order()), id="place"),
    pytest.param(
        lambda broker: broker.close_position(CloseRequest(client_order_id="c1", instrument="E")),
        id="close",
    ),
]


class Everything(FakeBroker):
    """Has every tool of the contract, for the size of their list."""


for _name in tools_of(Broker):
    if _name not in tools_of(FakeBroker):

        async def _anything(self: Broker, *_: Any) -> Any:
            raise NotImplementedError

        setattr(Everything, _name, _anything)


async def tools(served: Any) -> list[Tool]:
    async with Client(serve(served) if isinstance(served, Broker) else served) as client:
        return (await client.list_tools()).tools


async def call(broker: FakeBroker, name: str, arguments: dict[str, Any]) -> CallToolResult:
    async with Client(serve(broker)) as client:
        return await client.session.call_tool(name, arguments)


def error_of(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error
    assert result.structured_content is None  # clients hold it against the tool's schema
    (text,) = result.content
    assert isinstance(text, TextContent)
    return dict(json.loads(text.text)["error"])


def stdio(*instructions: str, **environment: str) -> Endpoint:
    return Endpoint(command=(sys.executable, FAKE, "stdio", *instructions), environment=environment)


# --- what the tools look like ----------------------------------------------------------------


async def test_every_tool_of_the_contract_is_described_in_under_45_kilobytes() -> None:
    listed = await tools(Everything())
    assert [each.name for each in listed] == list(tools_of(Broker))
    assert size_of(listed) < 45_000


async def test_the_compact_list_stays_under_20_kilobytes() -> None:
    async with Client(serve(Everything(), compact=True)) as client:
        listed = (await client.list_tools()).tools
    assert [each.name for each in listed] == list(tools_of(Broker))
    assert size_of(listed) < 20_000


def size_of(listed: list[Tool]) -> int:
    """Return the bytes of a tool list as the SDK writes it."""
    page = ListToolsResult(tools=listed)
    return len(page.model_dump_json(by_alias=True, exclude_none=True).encode())


async def test_hints_follow_the_scope_and_every_schema_is_closed() -> None:
    for each in await tools(Everything()):
        reads = tools_of(Broker)[each.name].scope is Scope.READ
        assert each.title
        assert each.description
        assert each.annotations is not None
        assert each.annotations.read_only_hint is reads
        assert each.annotations.destructive_hint is not reads
        assert each.annotations.idempotent_hint is True
        assert each.annotations.open_world_hint is True
        assert each.input_schema["additionalProperties"] is False
        assert each.output_schema is not None
        assert "title" not in json.dumps(each.input_schema)


async def test_a_request_is_taken_flat_and_an_underscore_is_dropped() -> None:
    listed = {each.name: each.input_schema for each in await tools(FakeBroker())}
    assert {"client_order_id", "quantity"} <= set(listed["place_order"]["properties"])
    assert {"from", "to"} <= set(listed["get_bars"]["properties"])
    assert listed["get_bars"]["properties"]["from"]["type"] == ["string", "null"]
    assert listed["get_quotes"]["properties"]["instruments"]["maxItems"] == 50


async def test_a_tool_the_venue_lacks_is_not_listed_and_is_refused_unsent() -> None:
    assert "list_fills" not in {each.name for each in await tools(FakeBroker())}
    error = error_of(await call(FakeBroker(), "list_fills", {}))
    assert (error["code"], error["outcome"]) == ("unsupported", "not_sent")


async def test_tools_outside_the_scopes_do_not_exist() -> None:
    server = serve(FakeBroker(), scopes=frozenset({Scope.READ}))
    assert all(tools_of(Broker)[each.name].scope is Scope.READ for each in await tools(server))
    async with Remote(server) as broker:
        with pytest.raises(Refused, match="does not offer place_order") as caught:
            await broker.place_order(order())
        assert (caught.value.code, caught.value.outcome) == ("unsupported", "not_sent")
        assert "place_order" not in (await broker.get_capabilities()).tools


async def test_modes_auto_and_legacy_answer_alike() -> None:
    answers = []
    for mode in ("auto", "legacy"):
        async with Client(serve(FakeBroker()), mode=mode) as client:
            good = await client.call_tool("place_order", VALID)
            bad = await client.call_tool("place_order", VALID | {"quantity": "-1"})
            listed = (await client.list_tools()).tools
            answers.append((good.structured_content, good.content, error_of(bad), listed))
    assert answers[0] == answers[1]


# --- the gate before dispatch ----------------------------------------------------------------

HOSTILE_NUMBERS = ["NaN", "nan", "1e400", "-1", "0", "", " 1", "1 ", "0x10", "1_000", "١٢", "+-1"]
HOSTILE_NUMBERS += ["Infinity", "9" * 10_000, "1\n", "1\x00", "null", "1,5", "1e5"]
HOSTILE_VALUES = [math.nan, math.inf, -math.inf, True, False, -1, 0, -0.5, 10**400, [], {}, ["1"]]


@pytest.mark.parametrize("value", [*HOSTILE_NUMBERS, *HOSTILE_VALUES, None], ids=repr)
async def test_a_hostile_quantity_never_reaches_the_broker(value: object) -> None:
    broker = FakeBroker()
    error = error_of(await call(broker, "place_order", VALID | {"quantity": value}))
    assert (error["code"], error["outcome"], error["field"]) == (
        "invalid_argument",
        "not_sent",
        "quantity",
    )
    assert not broker.sent


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instrument", "A" * 10_000),
        ("instrument", "EUR\nUSD"),
        ("instrument", "EUR\x00USD"),
        ("instrument", "\ud800"),
        ("instrument", 5),
        ("instrument", None),
        ("client_order_id", ""),
        ("client_order_id", "x" * 33),
        ("client_order_id", "a b"),
        ("client_order_id", "c1\n"),
        ("client_order_id", "../../etc"),
        ("side", "BUY"),
        ("side", "sell; drop"),
        ("order_type", "guess"),
        ("time_in_force", ["gtc"]),
        ("expire_time", "tomorrow"),
        ("expire_time", "2026-13-01T00:00:00Z"),
        ("expire_time", "2026-01-01T00:00:00"),
        ("expire_time", "9999-12-31T23:59:59-23:59"),
        ("expire_time", 1),
        ("reduce_only", "true"),
        ("reduce_only", 1),
        ("limit_price", "NaN"),
        ("limit_price", "-1.1"),
    ],
)
async def test_a_hostile_argument_is_named_and_not_echoed(field: str, value: object) -> None:
    broker = FakeBroker()
    error = error_of(await call(broker, "place_order", VALID | {field: value}))
    assert (error["code"], error["outcome"], error["field"]) == (
        "invalid_argument",
        "not_sent",
        field,
    )
    assert len(error["message"]) < 200
    if isinstance(value, str) and len(value) > 4:
        assert value not in error["message"]
    assert not broker.sent


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["quantity", "limit_price", "stop_loss"])
def test_what_json_cant_spell_is_refused(field: str, value: float) -> None:
    with pytest.raises(Refused, match=field):  # the SDK's client would make it null on its way
        specs_of(FakeBroker)["place_order"].parse(VALID | {field: value})


@pytest.mark.parametrize("name", ["confirm", "quantity_", "__class__", "x" * 10_000, "a\nb"])
async def test_an_unknown_argument_is_refused(name: str) -> None:
    broker = FakeBroker()
    error = error_of(await call(broker, "place_order", VALID | {name: True}))
    assert (error["code"], error["outcome"]) == ("invalid_argument", "not_sent")
    assert len(error["message"]) < 100
    assert not broker.sent


async def test_a_missing_argument_is_named() -> None:
    error = error_of(await call(FakeBroker(), "place_order", VALID | {"side": None}))
    assert error["field"] == "side"
    rest = {key: value for key, value in VALID.items() if key != "instrument"}
    assert error_of(await call(FakeBroker(), "place_order", rest))["field"] == "instrument"


@pytest.mark.parametrize("value", [True, 1e400, math.nan, 5.5, "5", 0, 5001, 10**30, [5]], ids=repr)
async def test_a_hostile_count_is_refused(value: object) -> None:
    broker = FakeBroker()
    arguments = {"instrument": "E", "timeframe": "M1", "count": value}
    assert error_of(await call(broker, "get_bars", arguments))["field"] == "count"
    assert not broker.calls


async def test_arrays_are_taken_as_json_strings_too_but_not_to_any_depth() -> None:
    broker = FakeBroker()
    for good in (["A", "B"], '["A", "B"]'):
        await call(broker, "get_quotes", {"instruments": good})
        assert broker.calls.pop() == ("get_quotes", ("A", "B"))
    for bad in ("A", "[" * 10_000, '{"A": 1}', "[1]", json.dumps(["A"] * 51), ["x" * 65]):
        assert error_of(await call(broker, "get_quotes", {"instruments": bad}))
    assert not broker.calls


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
PLAUSIBLE = JSON | st.sampled_from(
    [
        *VALID.values(),
        *("limit", "stop", "gtc", "2026-01-01T00:00:00Z", "1e5", "-1", "٣", "0.1", 1.5, 10**25),
    ]
)
FIELDS = sorted(specs_of(Broker)["place_order"].input_schema["properties"])


@given(changes=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), PLAUSIBLE))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_sent_the_broker_gets_a_valid_order_or_none(changes: dict[str, Any]) -> None:
    spec = specs_of(FakeBroker)["place_order"]
    try:
        request = spec.parse(VALID | changes)
    except Refused as refusal:
        told = (refusal.code, refusal.outcome)
        assert told == ("invalid_argument", "not_sent")
        return
    assert request.quantity.is_finite()
    assert request.quantity > 0
    for price in (request.limit_price, request.stop_price, request.stop_loss, request.take_profit):
        assert price is None or (price.is_finite() and price > 0)
    assert 0 < len(request.client_order_id) <= 32
    assert len(request.instrument) <= 64
    assert request.instrument.isprintable() or not any(map(str.isspace, request.instrument))
    assert isinstance(request.side, Side)
    # What the gate let through reads back as the same order: no digit is lost on the way.
    assert spec.parse(spec.dump(request)) == request


# --- results and errors ----------------------------------------------------------------------


async def test_results_arrive_as_they_were_sent() -> None:
    broker = FakeBroker()
    async with Remote(serve(broker)) as remote:
        assert await remote.get_quotes(("A",)) == await broker.get_quotes(("A",))
        bars = await remote.get_bars("A", Timeframe.M1, from_=5_000_000_000, count=3)
        assert bars == await broker.get_bars("A", Timeframe.M1, count=3)
        assert broker.calls[2] == ("get_bars", ("A", "M1", 5_000_000_000, None, 3, "mid"))
        asked = order(quantity=Decimal("0.000000000000000001"), limit_price=Decimal("1.10"))
        assert await remote.place_order(asked) == report_of(asked)
        assert broker.sent == [asked]
        assert remote.tools_digest
        assert not remote.closed
    assert remote.closed


async def test_a_long_result_is_in_the_structured_content_alone() -> None:
    arguments = {"instrument": "A", "timeframe": "M1", "count": 5000}
    result = await call(FakeBroker(), "get_bars", arguments)
    (text,) = result.content
    assert isinstance(text, TextContent)
    assert len(text.text) < 100
    assert result.structured_content is not None
    assert len(result.structured_content["time"]) == 5000


@pytest.mark.parametrize(
    "error",
    [
        Refused("insufficient_margin", "no money", broker_code="10019", broker_text="No money"),
        Refused("rate_limited", "slow down", outcome=Outcome.NOT_SENT, retry_after_s=2.5),
        OutcomeUnknown("no answer", verify={"tool": "get_order", "args": {"order_id": "1"}}),
    ],
    ids=repr,
)
async def test_a_brokers_error_arrives_whole(error: BrokerError) -> None:
    broker = FakeBroker()

    def fail() -> None:
        raise error

    broker.before = fail
    async with Remote(serve(broker)) as remote:
        with pytest.raises(type(error)) as caught:
            await remote.place_order(order())
    assert caught.value.payload() == error.payload()


@pytest.mark.parametrize("act", TRADING)
async def test_a_fault_of_a_trading_tool_is_unknown_and_says_nothing(
    act: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker()

    def fail() -> None:
        msg = "canary-in-exception"
        raise RuntimeError(msg)

    broker.after = fail
    async with Remote(serve(broker)) as remote:
        with pytest.raises(OutcomeUnknown) as caught:
            await act(remote)
    assert caught.value.code is ErrorCode.INTERNAL
    assert "canary" not in json.dumps(caught.value.payload())
    assert "canary-in-exception" in caplog.text  # the operator's log has the traceback


async def test_a_fault_of_a_read_is_not_sent() -> None:
    async with Remote(serve(FakeBroker())) as remote:
        with pytest.raises(Refused) as caught:
            await remote.get_quotes(("CRASH",))
        assert (caught.value.code, caught.value.outcome) == ("internal", "not_sent")
        with pytest.raises(Refused, match="failed inside the server"):
            await remote.get_bars("NAN", Timeframe.M1)


@pytest.mark.parametrize(
    "changes",
    [
        {"average_price": None},
        {"status": OrderStatus.NEW, "remaining_quantity": Decimal(5)},
        {"status": OrderStatus.IN_DOUBT},
        {"client_order_id": "another"},
    ],
)
async def test_a_report_that_cant_be_true_is_unknown(changes: dict[str, Any]) -> None:
    broker = FakeBroker()
    broker.make = lambda request: replace(report_of(request), **changes)
    async with Remote(serve(broker)) as remote:
        with pytest.raises(OutcomeUnknown):
            await remote.place_order(order())
        assert (await remote.get_health()).unknown_orders == 1


@pytest.mark.parametrize(
    "answer",
    [
        CallToolResult(content=[], structured_content={"order_id": "1"}),
        CallToolResult(content=[]),
        CallToolResult(content=[], is_error=True),
        CallToolResult(content=[TextContent(text='{"error": {"code": "x"}}')], is_error=True),
        CallToolResult(content=[TextContent(text='{"error": "no"}')], is_error=True),
    ],
    ids=range(5),
)
async def test_a_malformed_answer_is_unknown_for_an_order_and_refused_for_a_read(
    answer: CallToolResult,
) -> None:
    server = serve(FakeBroker())

    async def malformed(*_: Any) -> CallToolResult:
        return answer

    entry = server.get_request_handler("tools/call")
    assert entry is not None
    server.add_request_handler("tools/call", entry.params_type, malformed)
    async with Remote(server) as remote:
        with pytest.raises(OutcomeUnknown, match="malformed") as caught:
            await remote.place_order(order())
        assert caught.value.verify == {"tool": "get_order", "args": {"client_order_id": "c1"}}
        with pytest.raises(Refused, match="malformed") as refused:
            await remote.get_quotes(("A",))
        assert refused.value.outcome is Outcome.NOT_SENT


async def test_fields_of_a_newer_server_are_ignored() -> None:
    server = serve(FakeBroker())
    spec = specs_of(FakeBroker)["place_order"]
    value, _ = spec.dump_result(report_of(order()))

    async def newer(*_: Any) -> CallToolResult:
        return CallToolResult(content=[], structured_content=value | {"invented": 1})

    entry = server.get_request_handler("tools/call")
    assert entry is not None
    server.add_request_handler("tools/call", entry.params_type, newer)
    async with Remote(server) as remote:
        assert await remote.place_order(order()) == report_of(order())


@pytest.mark.parametrize("quantity", [0.1 + 0.2, Decimal("NaN"), "1", None, Decimal("1e-30")])
async def test_an_order_that_would_change_on_its_way_is_not_sent(quantity: Any) -> None:
    broker = FakeBroker()
    async with Remote(serve(broker)) as remote:
        with pytest.raises(Refused) as caught:
            await remote.place_order(order(quantity=quantity))
    assert caught.value.outcome is Outcome.NOT_SENT
    assert not broker.sent


# --- time-outs and cancellation --------------------------------------------------------------


async def test_no_answer_in_time_is_unknown_for_an_order_and_refused_for_a_read() -> None:
    broker = FakeBroker()
    broker.gate = anyio.Event()
    async with Remote(serve(broker), timeout_s=0.05) as remote:
        with pytest.raises(OutcomeUnknown, match="no answer within") as caught:
            await remote.place_order(order())
        assert caught.value.verify == {"tool": "get_order", "args": {"client_order_id": "c1"}}
        with pytest.raises(Refused) as refused:
            await remote.get_quotes(("HANG",))
        assert (refused.value.code, refused.value.retry) == ("not_connected", "safe")
        broker.gate.set()


async def test_an_order_is_not_cut_by_its_callers_cancellation() -> None:
    broker = FakeBroker()
    broker.gate = anyio.Event()
    async with Remote(serve(broker)) as remote:
        async with anyio.create_task_group() as group:
            group.start_soon(remote.place_order, order())
            while not broker.sent:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert group.cancel_scope.cancelled_caught  # it is a cancellation, not an error
        broker.gate.set()
        while not broker.orders:
            await anyio.lowlevel.checkpoint()
        report = await remote.place_order(order())
    assert report.replayed
    assert len(broker.sent) == 1


async def test_a_repeat_while_the_first_is_under_way_sends_nothing() -> None:
    broker = FakeBroker()
    broker.gate = anyio.Event()
    server = serve(broker)
    async with Remote(server) as one, Remote(server) as other:
        async with anyio.create_task_group() as group:
            group.start_soon(one.place_order, order())
            while not broker.sent:
                await anyio.lowlevel.checkpoint()
            with pytest.raises(OutcomeUnknown, match="not known yet"):
                await other.place_order(order())
            broker.gate.set()
        assert (await other.place_order(order())).replayed
    assert len(broker.sent) == 1


@pytest.mark.parametrize(
    "anyio_backend", [("trio", {"clock": MockClock(autojump_threshold=0)})], ids=["virtual time"]
)
async def test_a_hanging_order_is_waited_for_and_then_given_up_as_unknown() -> None:
    broker, ledger = FakeBroker(), Ledger(":memory:", ManualClock())
    start = anyio.current_time()
    async with Remote(serve(broker, ledger=ledger)) as remote:
        with pytest.raises(OutcomeUnknown):
            await remote.place_order(order(instrument="HANG"))
        assert anyio.current_time() - start == pytest.approx(10)
    assert anyio.current_time() - start == pytest.approx(10 + GRACE_S)
    assert ledger.unknown() == 1


async def test_an_error_in_the_callers_own_code_passes_unchanged() -> None:
    with pytest.raises(KeyError):
        async with Remote(serve(FakeBroker())):
            raise KeyError


# --- stdio -----------------------------------------------------------------------------------


async def test_stdio_serves_reads_and_orders() -> None:
    async with Remote(stdio()) as remote:
        assert (await remote.get_quotes(("A",))).quotes[0].instrument == "A"
        assert await remote.place_order(order()) == report_of(order())
        assert (await remote.place_order(order())).replayed
        with pytest.raises(Refused, match="quantity"):
            await remote.place_order(order("c2", quantity=Decimal(-1)))
        async with Remote(serve(FakeBroker())) as memory:
            assert memory.tools_digest == remote.tools_digest


async def test_a_child_killed_in_mid_order_leaves_it_unknown_and_the_remote_closed() -> None:
    async with Remote(stdio("die")) as remote:
        outcomes: list[BrokerError] = []

        async def hang() -> None:
            with pytest.raises(Refused) as caught:
                await remote.get_quotes(("HANG",))
            outcomes.append(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(hang)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(OutcomeUnknown):
                await remote.place_order(order())
        assert outcomes[0].outcome is Outcome.NOT_SENT  # the sibling: a read, safe to repeat
        assert remote.closed
        with pytest.raises(Refused) as caught:
            await remote.place_order(order("c2"))
        assert (caught.value.code, caught.value.outcome) == ("not_connected", "not_sent")


async def test_a_child_killed_between_calls_is_noticed_without_a_call() -> None:
    async with Remote(stdio()) as remote:
        os.kill((await remote.get_health()).process_id, signal.SIGKILL)
        with anyio.fail_after(10):
            while not remote.closed:  # noqa: ASYNC110 - there is no event to wait for
                await anyio.sleep(0.01)
        with pytest.raises(Refused) as caught:
            await remote.place_order(order())
        assert caught.value.outcome is Outcome.NOT_SENT


@pytest.mark.parametrize("command", [("/nonexistent",), ("/bin/false",)])
async def test_a_server_that_does_not_start_is_not_connected(command: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as caught:
        async with Remote(Endpoint(command=command)):
            pytest.fail("it connected")
    assert (caught.value.code, caught.value.outcome) == ("not_connected", "not_sent")


async def test_an_endpoint_that_is_nowhere_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError):
        async with Remote(Endpoint()):
            pytest.fail("it connected")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stdio_server_stops_cleanly_on_a_signal(number: int) -> None:
    discover = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    with subprocess.Popen(
        [sys.executable, FAKE, "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(discover).encode() + b"\n")
        child.stdin.flush()
        assert child.stdout.readline()  # it serves
        child.send_signal(number)
        assert child.wait(10) == 0


async def test_secrets_of_an_endpoint_appear_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "canary-f00ba4"
    endpoint = replace(stdio("die", SECRET=canary), token=canary)
    async with Remote(endpoint) as remote:
        with pytest.raises(OutcomeUnknown) as caught:
            await remote.place_order(order())
    told = [repr(endpoint), repr(remote), repr(caught.value), json.dumps(caught.value.payload())]
    assert canary not in "".join([*told, caplog.text])


def test_importing_mtquant_does_not_import_mcp() -> None:
    code = "import sys, mtquant, mtquant.contract; sys.exit('mcp' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
