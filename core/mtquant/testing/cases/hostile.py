"""HST: arguments that no honest client sends. Each must be refused, and nothing may happen."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from mtquant.testing.bench import Bench, expect
from mtquant.testing.case import case

CANARY = "canary-value-that-must-not-be-echoed"
_ORDER = ("tool:place_order", "type:market")


def _attempt(
    number: str, title: str, field: str, value: object
) -> Callable[[Bench], Awaitable[None]]:
    """Register the case that an order with ``value`` in ``field`` is refused."""

    async def check(bench: Bench) -> None:
        """Check every argument before dispatch: its name, its type, its bounds."""
        arguments: dict[str, Any] = {
            "client_order_id": bench.new_id(),
            "instrument": bench.instrument.instrument,
            "side": "buy",
            "order_type": "market",
            "quantity": str(bench.instrument.quantity_min),
        }
        await _refused(bench, "place_order", arguments | {field: value})

    return case(number, title, *_ORDER)(check)


async def _refused(bench: Bench, tool: str, arguments: dict[str, Any]) -> None:
    answer = await bench.raw(tool, arguments)
    expect(answer.is_error, "a refusal", "a success", "Check every argument before dispatch.")
    if answer.error:
        outcome = answer.error.get("outcome")
        expect(outcome != "unknown", "not_sent or rejected", outcome)
    shown = f"{answer.text}{json.dumps(answer.content, default=str)}{answer.failure}"
    expect(
        CANARY not in shown,
        "an error that doesn't repeat what was sent",
        "the value in the error",
        "It could be a secret, or an instruction to the model that reads it.",
    )
    if bench.trades:
        expect(not (await bench.remote.get_positions()).positions, "no position", "one")
        expect(not await bench.working(), "no working order", "one")


# As text: the client of the SDK writes NaN and infinity as null, which is HST-024.
nan = _attempt("HST-001", "A quantity of NaN", "quantity", "NaN")
infinite = _attempt("HST-002", "A quantity of infinity", "quantity", "Infinity")
huge = _attempt("HST-003", "A quantity of 1e308", "quantity", 1e308)
huge_text = _attempt("HST-004", "A quantity of 1e400, as text", "quantity", "1e400")
negative = _attempt("HST-005", "A negative quantity", "quantity", "-1000")
zero = _attempt("HST-006", "A quantity of zero", "quantity", 0)
true = _attempt("HST-007", "A quantity of true", "quantity", True)  # noqa: FBT003 - the value
words = _attempt("HST-008", "A quantity in words", "quantity", "all of it")
digits = _attempt("HST-009", "A quantity in digits of another script", "quantity", "\u0661\u0660")
array = _attempt("HST-010", "A quantity that is a list", "quantity", ["1000"])
mapping = _attempt("HST-011", "A quantity that is an object", "quantity", {"$ref": "#"})
long = _attempt("HST-012", "An instrument of 10,000 characters", "instrument", "X" * 10_000)
control = _attempt("HST-013", "An instrument with control characters", "instrument", "EUR\x00USD\n")
hidden = _attempt("HST-014", "An instrument with hidden characters", "instrument", "EURUSD\u202e")
blank_id = _attempt("HST-015", "An empty client order id", "client_order_id", "")
long_id = _attempt("HST-016", "A client order id of 33 characters", "client_order_id", "x" * 33)
odd_id = _attempt("HST-017", "A client order id with a space", "client_order_id", "a b")
side = _attempt("HST-018", "A side that is none", "side", "hold")
kind = _attempt("HST-019", "An order type that is none", "order_type", "MARKET ")
stray = _attempt("HST-020", "An argument that the tool doesn't take", "leverage", CANARY)
secret = _attempt("HST-021", "A password as an argument", "password", CANARY)
canary = _attempt("HST-022", "A value that could be a secret, in a known field", "side", CANARY)
date = _attempt("HST-023", "A date that is none", "expire_time", "tomorrow")
nothing = _attempt("HST-024", "A required field that is null", "quantity", None)
price = _attempt("HST-025", "A stop-loss that is not a number", "stop_loss", "NaN")


@case("HST-026", "An order without its required fields", "tool:place_order")
async def empty(bench: Bench) -> None:
    """Check arguments before dispatch; nothing that trades has defaults for these."""
    await _refused(bench, "place_order", {})


@case("HST-027", "A list of instruments as a JSON string is taken as the list")
async def json_string(bench: Bench) -> None:
    """Read a string that begins with a bracket as JSON: some clients send arrays so."""
    name = bench.instrument.instrument
    answer = await bench.raw("get_quotes", {"instruments": json.dumps([name])})
    expect(
        not answer.is_error,
        "the quote",
        answer.error or answer.failure,
        "Some clients send arrays as JSON strings.",
    )


@case("HST-028", "A list of instruments nested a thousand deep")
async def deep(bench: Bench) -> None:
    """Bound depth and length before reading."""
    await _refused(bench, "get_quotes", {"instruments": "[" * 1000 + "]" * 1000})


@case("HST-029", "More instruments than a call takes")
async def too_many(bench: Bench) -> None:
    """Refuse more than 50 instruments."""
    await _refused(bench, "get_quotes", {"instruments": [bench.instrument.instrument] * 51})


@case("HST-030", "A page of a million")
async def page(bench: Bench) -> None:
    """Bound limit, and refuse what is beyond."""
    await _refused(bench, "list_orders", {"limit": 1_000_000})


@case("HST-031", "A page of minus one")
async def negative_page(bench: Bench) -> None:
    """Bound limit, and refuse what is beyond."""
    await _refused(bench, "list_fills", {"limit": -1})


@case("HST-032", "A wait of a day")
async def wait(bench: Bench) -> None:
    """Bound wait_s, and refuse what is beyond."""
    await _refused(bench, "get_changes", {"wait_s": 86_400})


@case("HST-033", "A path as an order id is an order id")
async def path(bench: Bench) -> None:
    """Look ids up as they are; never build paths of them."""
    await _refused(bench, "get_order", {"order_id": "../../etc/passwd"})


@case("HST-034", "Quotes in an id are an id", "tool:cancel_order")
async def injection(bench: Bench) -> None:
    """Bind values to queries; never build queries of them."""
    await _refused(bench, "cancel_order", {"order_id": "'; DROP TABLE orders; --"})
    await bench.remote.list_orders()


@case("HST-035", "A change with an argument that the tool doesn't take", "tool:modify_order")
async def stray_change(bench: Bench) -> None:
    """Check arguments before dispatch, of changes as of orders."""
    change = {"client_order_id": bench.new_id(), "order_id": "1", "volume": CANARY}
    await _refused(bench, "modify_order", change)


@case("HST-036", "A close of a negative quantity", "tool:close_position")
async def negative_close(bench: Bench) -> None:
    """Check arguments before dispatch, of closes as of orders."""
    name = bench.instrument.instrument
    close = {"client_order_id": bench.new_id(), "instrument": name, "quantity": "-1000"}
    await _refused(bench, "close_position", close)


@case("HST-037", "A protection that is not a number", "tool:set_protection")
async def nan_protection(bench: Bench) -> None:
    """Check arguments before dispatch, of protections as of orders."""
    name = bench.instrument.instrument
    protection = {"client_order_id": bench.new_id(), "position_id": name, "stop_loss": "NaN"}
    await _refused(bench, "set_protection", protection)


@case("HST-038", "A mass cancel without saying of what", "tool:cancel_orders")
async def cancels_blank(bench: Bench) -> None:
    """Make filter required: a mass cancel has no default."""
    await _refused(bench, "cancel_orders", {})


@case("HST-039", "A strategy id of 10,000 characters", "tool:place_order", "type:market")
async def long_strategy(bench: Bench) -> None:
    """Bound the length of every text."""
    order = {
        "client_order_id": bench.new_id(),
        "instrument": bench.instrument.instrument,
        "side": "buy",
        "order_type": "market",
        "quantity": str(bench.instrument.quantity_min),
        "strategy_id": "s" * 10_000,
    }
    await _refused(bench, "place_order", order)
