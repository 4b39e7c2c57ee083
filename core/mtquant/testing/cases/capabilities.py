"""CAP: what a server says that it is and has, and whether it is so."""

from __future__ import annotations

import json
import re

from mtquant.clock import SECOND, format_time
from mtquant.contract import Broker, Scope, tools_of
from mtquant.model import Environment
from mtquant.testing.bench import Bench, expect
from mtquant.testing.case import case
from mtquant.wire.raw import list_tools

REQUIRED = {
    "get_health",
    "get_capabilities",
    "get_account",
    "search_instruments",
    "get_instrument",
    "get_quotes",
    "get_positions",
    "list_orders",
    "get_order",
    "list_fills",
    "get_changes",
}
TOOL_LIST_LIMIT = 45_000
CLOCK_TOLERANCE_S = 120
_SECRET = re.compile(r"passw|secret|token|api_?key|login|credential|pin$")
_SWITCH = re.compile(r"^(confirm|confirmed|force|dry_?run|live|mode|environment|approved?)$")
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


@case("CAP-001", "The tools every broker has are listed")
async def required_tools(bench: Bench) -> None:
    """Override these methods: reading an account is what every client begins with."""
    listed = {each["name"] for each in await list_tools(bench.remote)}
    missing = sorted(REQUIRED - listed)
    expect(not missing, "every required tool", f"none called {', '.join(missing)}")


@case("CAP-002", "The capabilities name exactly the tools that are listed")
async def same_tools(bench: Bench) -> None:
    """List what is registered, and nothing else."""
    listed = {each["name"] for each in await list_tools(bench.remote)}
    said = set((await bench.remote.get_capabilities()).tools)
    expect(
        listed == said,
        "the same tools in both",
        f"only listed: {sorted(listed - said)}, only declared: {sorted(said - listed)}",
        "List what is registered, and nothing else.",
    )


@case("CAP-003", "The contract version is one that this kit knows")
async def version(bench: Bench) -> None:
    """Serve with a version of mtquant that this kit knows, or update the kit."""
    said = bench.capabilities.contract_version
    expect(re.fullmatch(r"1\.\d+", said), "a version 1.x", repr(said))


@case("CAP-004", "The account's environment is the one that the capabilities tell")
async def environment(bench: Bench) -> None:
    """Take both from the broker's own flag, never from a port, a host or a setting's name."""
    account = await bench.remote.get_account()
    expect(
        account.environment is bench.capabilities.environment,
        str(bench.capabilities.environment),
        str(account.environment),
        "Take both from the broker's own flag, never from a port, a host or a setting's name.",
    )
    expect(account.environment is not Environment.LIVE, "a paper or practice account", "live")


@case("CAP-005", "Every tool has a title, a description and all four hints")
async def described(bench: Bench) -> None:
    """Give every tool a title, a description and the four hints; clients show and trust them."""
    for each in await list_tools(bench.remote):
        hints = each.get("annotations", {})
        lacking = [hint for hint in _HINTS if hint not in hints]
        lacking += [key for key in ("title", "description") if not each.get(key)]
        expect(not lacking, f"all of them for {each['name']}", f"no {', '.join(lacking)}")


@case("CAP-006", "Tools that trade are destructive, the others read-only")
async def hints(bench: Bench) -> None:
    """Mark what trades as destructive: clients ask a person before such calls alone."""
    known = tools_of(Broker)
    for each in await list_tools(bench.remote):
        if each["name"] not in known:
            continue
        trades = known[each["name"]].scope is not Scope.READ
        hint = each.get("annotations", {})
        expect(
            hint.get("readOnlyHint") is not trades and hint.get("destructiveHint") is trades,
            f"{each['name']} to be {'destructive' if trades else 'read-only'}",
            json.dumps(hint),
        )


@case("CAP-007", "Every input schema is a closed object")
async def closed_schemas(bench: Bench) -> None:
    """Set additionalProperties to false: a dropped argument may be the stop-loss."""
    for each in await list_tools(bench.remote):
        schema = each.get("inputSchema", {})
        expect(
            schema.get("type") == "object" and schema.get("additionalProperties") is False,
            f"{each['name']}: type object, additionalProperties false",
            f"{schema.get('type')}, {schema.get('additionalProperties')}",
            "An argument that is dropped in silence may be the stop-loss.",
        )


@case("CAP-008", "No tool takes a secret, switches an account or confirms itself")
async def no_secrets(bench: Bench) -> None:
    """Take secrets from the environment, and approval from a person, not from an argument."""
    for each in await list_tools(bench.remote):
        for name in each.get("inputSchema", {}).get("properties", {}):
            low = name.lower()
            expect(
                not (_SECRET.search(low) or _SWITCH.search(low)),
                "no such argument",
                f"{each['name']}.{name}",
                "Secrets come from the environment; approval comes from a person, not a model.",
            )


@case("CAP-009", "Tool names are verb_noun, at most 32 characters")
async def names(bench: Bench) -> None:
    """Name tools verb_noun in lower case; some clients cut or refuse longer names."""
    for each in await list_tools(bench.remote):
        expect(re.fullmatch(r"[a-z]+(_[a-z]+)+", each["name"]), "verb_noun", each["name"])
        expect(len(each["name"]) <= 32, "at most 32 characters", each["name"])  # noqa: PLR2004


@case("CAP-010", "The list of tools is at most 45 kB")
async def size(bench: Bench) -> None:
    """Shorten descriptions and schemas: a model reads the whole list before it acts."""
    listed = json.dumps(await list_tools(bench.remote), separators=(",", ":"))
    expect(len(listed) <= TOOL_LIST_LIMIT, f"at most {TOOL_LIST_LIMIT} bytes", len(listed))


@case(
    "CAP-011",
    "Times are UTC: the venue's clock is the machine's, give or take two minutes",
    "clock:real",
)
async def clock(bench: Bench) -> None:
    """Convert the server's time to UTC with its own time zone, and set the machine's clock."""
    time, now = (await bench.remote.get_health()).time, bench.clock.now()
    expect(
        abs(time - now) <= CLOCK_TOLERANCE_S * SECOND,
        f"about {format_time(now)}",
        format_time(time),
        "A server's local time was taken for UTC, or its clock is wrong.",
    )


@case("CAP-012", "Who takes orders also finds, lists and cancels them", "tool:place_order")
async def complete(bench: Bench) -> None:
    """Offer the tools that look up and undo, or leave place_order out."""
    needed = {"get_order", "list_orders", "cancel_order", "close_position", "list_fills"}
    missing = needed - set(bench.capabilities.tools)
    expect(not missing, "the tools to undo what place_order does", f"no {sorted(missing)}")


@case("CAP-013", "An instrument offers no order type that the server doesn't")
async def order_types(bench: Bench) -> None:
    """Leave out of Instrument.order_types what get_capabilities doesn't declare."""
    for each in bench.instruments:
        extra = set(each.order_types) - set(bench.capabilities.order_types)
        expect(not extra, f"{each.instrument}: only declared types", sorted(extra))


@case("CAP-014", "An answer has structured content and a text")
async def answers(bench: Bench) -> None:
    """Answer with structured content for programs, and a short text for models."""
    answer = await bench.raw("get_health", {})
    expect(isinstance(answer.content, dict), "structured content", type(answer.content).__name__)
    expect(answer.text, "a short text beside it", "none")


@case("CAP-015", "Health tells that the venue is reached, and why where it can't be traded")
async def health(bench: Bench) -> None:
    """Tell in health what is wrong (connected, trading_allowed, reason), in words."""
    found = await bench.remote.get_health()
    expect(found.connected, "a connection to the venue", f"none ({found.reason})")
    expect(found.trading_allowed or found.reason, "a reason why nothing may be traded", "none")


@case("CAP-016", "No order of the account is unknown to its server")
async def nothing_unknown(bench: Bench) -> None:
    """Look up what was left unknown, by its client order id, until the venue answers."""
    found = await bench.remote.get_health()
    expect(found.unknown_orders == 0, "no unknown orders", found.unknown_orders)


@case("CAP-017", "The account's mode is the one that the capabilities tell")
async def mode(bench: Bench) -> None:
    """Take the mode from the venue's account; a guess closes or doubles positions."""
    account = await bench.remote.get_account()
    said = bench.capabilities.position_mode
    expect(account.position_mode is said, str(said), str(account.position_mode))
