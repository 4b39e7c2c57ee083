"""The accounts' own records beside the journal: nothing that the engine says of itself is believed.

A paper account's record is its file, OANDA's is what it answers (:mod:`tests.chaos.oanda`).

What must hold when all is at rest:

- each client order id is at one account at most, once, and its executions sum to no more than was
  meant; no execution is listed twice;
- what the journal says of an order is so: acknowledged with the status that its account says, and
  refused or proven absent only where no account has it; none is in doubt any more;
- whatever an account has is in the journal, and the other way about: each order of ours, and each
  execution, to the last figure;
- positions and balance that the journal's executions come to are the account's;
- what a strategy held was never more than it wanted, and never at both accounts at once: a wish
  that was sent twice, under two ids, would show here;
- no server's ledger has an order whose fate it doesn't know;
- what a person was answered is true.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.chaos.brokers import BALANCE
from tests.chaos.place import QUANTITY, STRATEGIES

_ZERO = Decimal(0)
_ENDED = {"filled", "canceled", "rejected", "expired"}
_FIGURES = ("quantity", "price", "commission", "realized_profit")


@dataclass(slots=True)
class Exchange:
    """One account, as its own record has it.

    An order that ended within the request that made it, and filled nothing, has ``at_once``.
    """

    orders: dict[str, dict[str, Any]]
    fills: list[dict[str, Any]]
    positions: dict[str, Decimal]
    balance: Decimal
    unknown: list[str]
    listed: Counter[str] = field(default_factory=Counter)

    @property
    def by_client_id(self) -> dict[str, list[dict[str, Any]]]:
        found = defaultdict(list)
        for each in self.orders.values():
            if each["client_order_id"] is not None:
                found[each["client_order_id"]].append(each)
        return found


@dataclass(slots=True)
class Trail:
    """The journal, folded once more and more simply than the engine does."""

    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)
    doubted: dict[str, str] = field(default_factory=dict)
    """What was ever in doubt, and why."""
    repeated: list[str] = field(default_factory=list)
    fills: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    balance: dict[str, Decimal] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)

    def take(self, kind: str, body: dict[str, Any]) -> None:
        self.kinds[kind] += 1
        if kind == "started":
            # An order without an answer in the journal is in doubt for the engine that reads it.
            for cid in self.intents.keys() - self.ends.keys():
                self.doubted.setdefault(cid, "the engine ended before the answer")
        elif kind == "intent":
            if body["client_order_id"] in self.intents:
                self.repeated.append(f"the journal has two intents {body['client_order_id']}")
            self.intents[body["client_order_id"]] = body
        elif kind == "order":
            self.ends[body["client_order_id"]] = (body["stage"], body["status"])
            if body["stage"] == "in_doubt":
                self.doubted.setdefault(body["client_order_id"], body["why"])
        elif kind == "fill":
            mine, fill = self.fills[body["account"]], body["fill"]
            if fill["execution_id"] in mine:
                self.repeated.append(f"the journal has execution {fill['execution_id']} twice")
            mine[fill["execution_id"]] = fill
        elif kind == "opened":
            self.balance[body["account"]] = Decimal(body["balance"])


@dataclass(slots=True)
class Verdict:
    """What was found; all empty where all is well."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.differences)

    def __str__(self) -> str:
        parts = [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("differs", self.differences),
        ]
        return "; ".join(f"{name}: {each}" for name, found in parts for each in found)


def read_exchange(folder: Path) -> Exchange:
    """Read an account's file beside the server that may be writing it."""
    with closing(opened(folder / "account.db")) as database:
        database.execute("BEGIN")  # one moment's account
        rows = database.execute("SELECT body FROM orders").fetchall()
        orders = {each["order_id"]: each for each in (json.loads(body) for (body,) in rows)}
        found = database.execute("SELECT fill FROM changes WHERE fill IS NOT NULL ORDER BY seq")
        fills = [json.loads(body) for (body,) in found]
        meta = dict(database.execute("SELECT key, value FROM meta"))
        positions: dict[str, Decimal] = defaultdict(Decimal)
        for (body,) in database.execute("SELECT body FROM positions"):
            each = json.loads(body)
            positions[each["instrument"]] += _signed(each)
    return Exchange(
        orders,
        fills,
        dict(positions),
        Decimal(meta.get("balance", BALANCE)),
        unknown_to(folder),
        Counter(each["execution_id"] for each in fills),
    )


def unknown_to(folder: Path) -> list[str]:
    """Return the orders whose fate the ledger of an account's server doesn't know."""
    with closing(opened(folder / "ledger.db")) as database:
        query = "SELECT client_order_id FROM orders WHERE state IN ('pending', 'unknown')"
        return [str(cid) for (cid,) in database.execute(query)]


def read_trail(folder: Path) -> Trail:
    """Read the journal's committed rows."""
    trail = Trail()
    with closing(opened(folder / "journal.db")) as database:
        for kind, body in database.execute("SELECT kind, body FROM entry ORDER BY seq"):
            trail.take(kind, json.loads(body))
    return trail


def opened(path: Path) -> sqlite3.Connection:
    """Return a file of another process, to be read only."""
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)


def _signed(each: Mapping[str, Any]) -> Decimal:
    return Decimal(each["quantity"]) * (1 if each["side"] in {"buy", "long"} else -1)


def compare(
    trail: Trail, exchanges: Mapping[str, Exchange], promises: Mapping[str, str]
) -> Verdict:
    """Set the journal, and what persons were promised, beside the accounts' files."""
    found = Verdict(duplicated=list(trail.repeated))
    taken = {name: each.by_client_id for name, each in exchanges.items()}
    _compare_orders(trail, taken, found)
    for name, exchange in exchanges.items():
        _compare_account(name, trail, exchange, found)
        found.lost += [f"the ledger of {name} doesn't know of {cid}" for cid in exchange.unknown]
    _compare_quantities(trail, exchanges, found)
    _watch_strategies(exchanges, found)
    for cid, status in promises.items():
        living = [each for orders in taken.values() for each in orders.get(cid, ())]
        now = [each["status"] for each in living]
        if not now and status != "rejected":
            found.lost.append(f"{cid}, which a person was told is {status}, is nowhere")
        elif status == "rejected" and all(map(_did_nothing, living)):
            continue
        elif status in _ENDED and now and now != [status]:
            found.differences.append(f"{cid}, which a person was told is {status}, is {now}")
    return found


def _compare_orders(
    trail: Trail, taken: Mapping[str, dict[str, list[dict[str, Any]]]], found: Verdict
) -> None:
    for cid, intent in trail.intents.items():
        stage, status = trail.ends.get(cid, ("sent", "pending_new"))
        living = [(name, each) for name, orders in taken.items() for each in orders.get(cid, ())]
        if len(living) > 1:
            where = [f"{each['order_id']} at {name}" for name, each in living]
            found.duplicated.append(f"{cid} is {' and '.join(where)}")
        if stage in {"sent", "in_doubt"}:
            found.lost.append(f"{cid} at {intent['account']} is {stage} still")
        elif stage == "acknowledged":
            if not any(name == intent["account"] for name, _ in living):
                found.lost.append(f"{cid} is acknowledged, and {intent['account']} hasn't got it")
            elif status != living[0][1]["status"]:
                text = f"{cid} is {status} for us and {living[0][1]['status']} at"
                found.differences.append(f"{text} {living[0][0]}")
        elif not all(_did_nothing(each) for _, each in living):
            text = f"{cid} is {stage} for us, and lives: {living[0][1]['status']}"
            found.differences.append(f"{text} at {living[0][0]}")
    for name, orders in taken.items():
        found.lost += [
            f"{name} has {cid}, of which the journal has no intent"
            for cid in orders.keys() - trail.intents.keys()
        ]


def _did_nothing(order: Mapping[str, Any]) -> bool:
    """Tell whether an order may be called refused: a server may see its end as that."""
    return order["status"] == "rejected" or bool(order.get("at_once"))


def _compare_account(name: str, trail: Trail, exchange: Exchange, found: Verdict) -> None:
    found.duplicated += [
        f"{name} lists execution {each} {count} times"
        for each, count in exchange.listed.items()
        if count > 1
    ]
    theirs = {each["execution_id"]: each for each in exchange.fills}
    ours = trail.fills[name]
    for each in sorted(theirs.keys() - ours.keys()):
        found.lost.append(f"execution {each} at {name} isn't in the journal")
    for each in sorted(ours.keys() - theirs.keys()):
        found.differences.append(f"the journal has execution {each}, which {name} hasn't")
    for key in theirs.keys() & ours.keys():
        mine, their = ours[key], theirs[key]
        same = all(Decimal(mine[figure]) == Decimal(their[figure]) for figure in _FIGURES)
        if not same or (mine["side"], mine["instrument"]) != (their["side"], their["instrument"]):
            found.differences.append(f"execution {key} at {name}: {mine} is not {their}")
    held = _held(ours.values())
    for symbol in sorted({*held, *exchange.positions}):
        mine_, their_ = held.get(symbol, _ZERO), exchange.positions.get(symbol, _ZERO)
        if mine_ != their_:
            found.differences.append(f"{name} {symbol}: we hold {mine_}, they say {their_}")
    earned = sum((_earned(each) for each in ours.values()), _ZERO)
    balance = trail.balance.get(name, _ZERO) + earned
    if balance != exchange.balance:
        found.differences.append(f"{name} balance: {balance} by us, {exchange.balance} by them")


def _held(fills: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    held: dict[str, Decimal] = defaultdict(Decimal)
    for each in fills:
        held[each["instrument"]] += _signed(each)
    return held


def _earned(fill: Mapping[str, Any]) -> Decimal:
    return Decimal(fill["realized_profit"]) - Decimal(fill["commission"])


def _compare_quantities(trail: Trail, exchanges: Mapping[str, Exchange], found: Verdict) -> None:
    """No intent executed more than it says, over all accounts together."""
    done: dict[str, Decimal] = defaultdict(Decimal)
    for exchange in exchanges.values():
        for each in exchange.fills:
            if each["client_order_id"] is not None:
                done[each["client_order_id"]] += Decimal(each["quantity"])
    for cid, quantity in done.items():
        intent = trail.intents.get(cid)
        if intent is not None and quantity > Decimal(intent["request"]["quantity"]):
            wanted = intent["request"]["quantity"]
            found.duplicated.append(f"{cid} executed {quantity}, and {wanted} were meant")


def _watch_strategies(exchanges: Mapping[str, Exchange], found: Verdict) -> None:
    """Follow what strategies hold, execution by execution, in the order of their times.

    An order goes to one account after what closed at the other was heard of, so that their
    times never overlap.
    """
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    every = [(each, name) for name, exchange in exchanges.items() for each in exchange.fills]
    for each, name in sorted(every, key=lambda one: str(one[0]["time"])):
        symbol = each["instrument"]
        if symbol not in STRATEGIES:
            continue
        held[name, symbol] += _signed(each)
        if abs(held[name, symbol]) > QUANTITY:
            text = f"{name} holds {held[name, symbol]} {symbol} for a strategy that wants"
            found.duplicated.append(f"{text} {QUANTITY}, with {each['execution_id']}")
        if all(held[other, symbol] for other in exchanges):
            text = f"a strategy holds {symbol} at both accounts, with {each['execution_id']}"
            found.duplicated.append(f"{text} at {name}")


def settled(trail: Trail) -> Counter[str]:
    """Count what became of the orders that were ever in doubt."""
    return Counter(trail.ends.get(cid, ("unknown", ""))[0] for cid in trail.doubted)
