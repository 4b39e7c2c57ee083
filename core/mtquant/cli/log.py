"""``mtquant log``: what the journal holds, in sentences; also while an engine runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mtquant.cli.reading import journal_of
from mtquant.clock import format_time
from mtquant.errors import ConfigError
from mtquant.trail import parts

SAID = ("told", "verdict", "order", "fill", "agent_call", "agent_refused")
"""The kinds that are shown unless others are asked for."""


def show_log(path: Path, kinds: Sequence[str], last: int, *, as_json: bool) -> None:
    """Print the last entries of the named kinds, oldest first.

    Raises ConfigError where no engine has run here, or the journal has no such kind.
    """
    with journal_of(path) as folder:
        rows = _newest(folder, kinds, last)
    out = Console()
    for time, kind, text in rows:
        body = json.loads(text)
        if as_json:
            print(json.dumps({"time": format_time(time), "kind": kind} | body))  # noqa: T201 - for machines
            continue
        said = _SENTENCES.get(kind, _whole)(body)
        line = f"{format_time(time)[:19].replace('T', ' ')}  {kind:10} {said}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if not rows and not as_json:
        out.print("nothing yet")


def _newest(folder: Path, kinds: Sequence[str], last: int) -> list[tuple[int, str, str]]:
    """Return the last entries of the named kinds, oldest first: from archives, too, if need be.

    Raises ConfigError where no entry is of a kind that is named, sqlite3.Error.
    """
    wanted = kinds or SAID
    marks = ",".join("?" * len(wanted))
    query = f"SELECT time, kind, body FROM entry WHERE kind IN ({marks}) ORDER BY seq DESC LIMIT ?"  # noqa: S608 - placeholders only
    found: list[tuple[int, str, str]] = []
    have: set[str] = set()
    for part in parts(folder, newest_first=True):
        found += part.file.execute(query, (*wanted, last - len(found)))
        if kinds:
            have |= {kind for (kind,) in part.file.execute("SELECT DISTINCT kind FROM entry")}
        if len(found) == last and have >= set(kinds):
            break
    for kind in kinds:
        if kind not in have:
            known = ", ".join(sorted(have))
            raise ConfigError("--kind", f"no entry is {kind!r}", f"Kinds: {known}.")
    return found[::-1]


def _whole(body: dict[str, Any]) -> str:
    return json.dumps(body)


def _verdict(body: dict[str, Any]) -> str:
    answer = "approved" if body["approved"] else f"vetoed ({body['code']})"
    wish = body["signal"]
    why = f"{wish['strategy_id']}: {wish['reason']}"
    return f"{answer} {wish['instrument']} at {body['account']}: {body.get('message', '')} [{why}]"


def _order(body: dict[str, Any]) -> str:
    filled = f", {body['filled']} at {body['average_price']}" if body.get("average_price") else ""
    why = f": {body['why']}" if body["why"] else ""
    return f"{body['client_order_id']} {body['stage']}, {body['status']}{filled}{why}"


def _fill(body: dict[str, Any]) -> str:
    fill = body["fill"]
    what = f"{fill['side']} {fill['quantity']} {fill['instrument']} at {fill['price']}"
    return f"{body['account']}: {what}"


def _cash_moved(body: dict[str, Any]) -> str:
    flow = body["cash_flow"]
    return f"{body['account']}: {flow['kind']} of {flow['amount']}"


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "told": lambda body: str(body["message"]),
    "verdict": _verdict,
    "order": _order,
    "fill": _fill,
    "cash_moved": _cash_moved,
    "suggestion_ended": lambda body: f"suggestion {body['number']} {body['text']}",
    "agent_call": lambda body: f"{body['agent']} called {body['tool']}: {body['code']}",
    "agent_refused": lambda body: f"{body['agent'] or 'nobody'}: {body['what']}: {body['why']}",
    "agent_changed": lambda body: f"{body['agent']} {body['change']} by {body['by']}",
    "mode": lambda body: (
        f"{body['strategy_id']} is {body['mode']} now, by {body['by']}: {body['why']}"
    ),
}
