"""``mtquant risk``: what the gate would say of an order, and what it said of one that was sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mtquant.cli.reading import journal_of
from mtquant.cli.tables import out
from mtquant.errors import ConfigError
from mtquant.trail import parts


def show_check(answer: dict[str, Any]) -> int:
    """Print what the gate would say, and return 1 where it would refuse."""
    _print_verdict(out(), answer)
    out().print("nothing was sent", style="dim")
    return 0 if answer["approved"] else 1


def explain(path: Path, order: str, broker: str | None, *, as_json: bool) -> None:
    """Print why an order was sent, by its client order id or the broker's id.

    Raises ConfigError where the journal knows no such order, or several.
    """
    found = look_up(path, order, broker)
    if as_json:
        print(json.dumps(found))  # noqa: T201 - for machines
        return
    console = out()
    _print_verdict(console, found["verdict"])
    for each in found["events"]:
        filled = f", {each['filled']} at {each['average_price']}" if each.get("filled") else ""
        why = f": {each['why']}" if each.get("why") else ""
        text = f"{found['client_order_id']} {each['stage']}, {each['status']}{filled}{why}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def look_up(path: Path, order: str, broker: str | None) -> dict[str, Any]:
    """Return the verdict, intent and events of an order, by either of its ids.

    Raises ConfigError where the journal knows no such order, or several.
    """
    with journal_of(path) as folder:
        found = _found(folder, order, broker)
    if found is None:
        remedy = "`mtquant log --kind order` lists those there are."
        raise ConfigError("order", f"the journal knows no {order!r}", remedy)
    return found


def _found(folder: Path, order: str, broker: str | None) -> dict[str, Any] | None:
    """Return an order's verdict, intent and events; None where there is none of that id.

    All files of the journal are looked through. Raises sqlite3.Error.
    """
    cid = _client_order_id(folder, order, broker) or order
    intent: dict[str, Any] | None = None
    events, seq = [], 0
    for part in parts(folder):
        row = part.file.execute(
            "SELECT seq, body FROM entry WHERE kind = 'intent' AND body ->> 'client_order_id' = ?",
            (cid,),
        ).fetchone()
        if row is not None:
            seq, intent = row[0], json.loads(row[1])
        events += part.file.execute(
            "SELECT body FROM entry WHERE kind = 'order' AND body ->> 'client_order_id' = ? "
            "ORDER BY seq",
            (cid,),
        ).fetchall()
    if intent is None:
        return None
    return {
        "client_order_id": cid,
        "intent": intent,
        "verdict": _verdict(folder, seq, intent),
        "events": [json.loads(text) for (text,) in events],
    }


def _client_order_id(folder: Path, order: str, broker: str | None) -> str | None:
    """Return the client order id of what a broker calls ``order``; None where there is none."""
    found: set[tuple[str, str]] = set()
    for part in parts(folder):
        found |= set(
            part.file.execute(
                "SELECT DISTINCT body ->> 'client_order_id', body ->> 'account' FROM entry "
                "WHERE kind = 'order' AND body ->> 'order_id' = ? AND body ->> 'account' = "
                "ifnull(?, body ->> 'account')",
                (order, broker),
            )
        )
    if len(found) > 1:
        where = " and ".join(sorted(account for _, account in found))
        raise ConfigError("order", f"{order!r} is an order at {where}", "Name one with --broker.")
    return next((cid for cid, _ in found), None)


def _verdict(folder: Path, seq: int, intent: dict[str, Any]) -> dict[str, Any] | None:
    """Return the verdict that let an order go: the last before it, of its symbol and account."""
    for part in parts(folder, newest_first=True):
        row = part.file.execute(
            "SELECT body FROM entry WHERE kind = 'verdict' AND seq < ? AND body ->> 'approved' "
            "AND body ->> 'account' = ? AND body ->> '$.signal.instrument' = ? "
            "ORDER BY seq DESC LIMIT 1",
            (seq, intent["account"], intent["instrument"]),
        ).fetchone()
        if row is not None:
            verdict: dict[str, Any] = json.loads(row[0])
            return verdict
    return None


def _print_verdict(console: Console, verdict: dict[str, Any] | None) -> None:
    if verdict is None:
        console.print("no verdict is in the journal: that must not be", style="bold red")
        return
    wish = verdict["signal"]
    console.print(
        f"{wish['strategy_id']}: {wish['reason']}", highlight=False, markup=False, soft_wrap=True
    )
    table = Table("Asked", "Says", "Quantity", "Limit", "Observed", "Why")
    for each in verdict["findings"]:
        quantity = "" if each["verdict"] == "vetoed" else each["quantity"]
        cells = (each["check"], each["verdict"], quantity, each["limit"], each["observed"])
        table.add_row(*cells, each["message"] or each["code"])
    console.print(table)
    answer = "approved" if verdict["approved"] else f"vetoed ({verdict['code']})"
    text = f"{answer} at {verdict['account']}: {verdict['message']}"
    console.print(text, style="" if verdict["approved"] else "red", highlight=False, soft_wrap=True)
