"""``mtquant audit``: is the journal what was written, what is in it, one order's whole story."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from mtquant.archive import archive
from mtquant.cli.risk import look_up
from mtquant.clock import Clock, ManualClock, SystemClock, format_time, parse_time
from mtquant.config import Config, load_config
from mtquant.errors import ConfigError
from mtquant.journal import Journal
from mtquant.trail import Wanted, export, story
from mtquant.verifying import verified
from mtquant.volumes import PRESENT, archives


def show_verified(path: Path, anchor: Path | None, key: str, *, as_json: bool) -> int:
    """Print whether the chain holds, and return 1 where it doesn't."""
    config = load_config(path)
    place = anchor or (Path(config.engine.anchor) if config.engine.anchor else None)
    found = verified(_folder(config), place, key)
    if as_json:
        answer = {
            "holds": not found.problem,
            "entries": found.entries,
            "first": found.first,
            "files": found.files,
            "head": found.head.hex(),
            "anchor": str(place) if place else None,
            "problem": found.problem,
        }
        print(json.dumps(answer))  # noqa: T201 - for machines
        return int(bool(found.problem))
    out = Console()
    if found.problem:
        out.print(f"BROKEN: {found.problem}", style="bold red", highlight=False, markup=False)
        out.print(f"the {found.entries:,} entries before it hold")
        return 1
    files = f" in {found.files} files" if found.files > 1 else ""
    text = f"all {found.entries:,} entries{files} hold; head {found.head.hex()}"
    out.print(text, highlight=False, soft_wrap=True)
    if found.first > 1:
        text = f"they begin with entry {found.first:,}: those before it were removed, as is told"
        out.print(f"{text} in the journal (engine.retention_days)", highlight=False)
    if place is None:
        text = (
            "without an anchor a journal that was cut off, or made anew as a whole, holds as well: "
            "set engine.anchor"
        )
        out.print(text, style="dim", highlight=False)
    else:
        out.print(f"and they are those anchored in {place}", highlight=False, markup=False)
    return 0


def archive_now(path: Path, *, as_json: bool) -> int:
    """Archive what the journal holds, and remove archives that are older than is kept.

    Returns 1 where something hindered it.
    """
    config = load_config(path)
    folder = _folder(config)
    if not (folder / PRESENT).exists() and not archives(folder):
        raise ConfigError(str(folder), "no engine has run here", f"mtquant run --config {path}")
    clock: Clock = ManualClock() if config.market.feed == "replay" else SystemClock()
    journal = Journal(folder, clock)
    try:
        if isinstance(clock, ManualClock):
            clock.set(journal.newest_time() or 0)
        done = archive(journal, clock, config.engine.retention_days)
    finally:
        journal.close()
    if as_json:
        answer = {
            "archive": str(done.made.path) if done.made else None,
            "removed": [str(each.path) for each in done.removed],
            "problem": done.problem,
        }
        print(json.dumps(answer))  # noqa: T201 - for machines
        return int(bool(done.problem))
    out = Console()
    if done.made is None and not done.problem:
        out.print("nothing was written since the last archive")
    elif done.made is not None:
        text = f"{done.made}: entries {done.made.first:,} to {done.made.last:,}"
        out.print(text, highlight=False, markup=False)
    for each in done.removed:
        days = config.engine.retention_days
        text = f"{each} is removed: its newest entry is older than {days} days; the journal tells"
        out.print(text, highlight=False, markup=False, soft_wrap=True)
    if done.problem:
        out.print(done.problem, style="red", highlight=False, markup=False, soft_wrap=True)
    return int(bool(done.problem))


def exported(
    path: Path,
    form: str,
    file: Path | None,
    since: str | None,
    until: str | None,
    conditions: dict[str, Any],
) -> None:
    """Write the wanted entries to ``file``, or to standard output."""
    if form not in {"jsonl", "csv"}:
        raise ConfigError("--format", f"{form!r} is none", "Write jsonl or csv.")
    wanted = Wanted(since=_time("--since", since), until=_time("--until", until), **conditions)
    lines = export(_folder(load_config(path)), wanted, table=form == "csv")
    if file is None:
        sys.stdout.writelines(lines)
        return
    try:
        with file.open("w", encoding="utf-8", newline="") as out:
            out.writelines(lines)
    except OSError as error:
        raise ConfigError("--out", f"{file}: {error.strerror}", "Choose another.") from None


def _time(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError:
        remedy = "Write it as 2026-11-20 or 2026-11-20T08:00:00Z."
        raise ConfigError(option, f"{text!r} is no time", remedy) from None


def show_story(path: Path, order: str, broker: str | None, *, as_json: bool) -> None:
    """Print one order's story, by its client order id or the broker's id."""
    cid = look_up(path, order, broker)["client_order_id"]
    told = story(_folder(load_config(path)), cid)
    if as_json:
        for row, body in told:
            line = {"entry": row.seq, "time": format_time(row.time), "kind": row.kind}
            print(json.dumps(line | {"body": body}))  # noqa: T201 - for machines
        return
    out = Console()
    for row, body in told:
        time = format_time(row.time)[:19].replace("T", " ")
        for text in _SENTENCES.get(row.kind, _whole)(body):
            out.print(
                f"{time}  {row.kind:15} {text}", highlight=False, markup=False, soft_wrap=True
            )


def _folder(config: Config) -> Path:
    return Path(config.engine.state_dir)


def _whole(body: dict[str, Any]) -> list[str]:
    return [json.dumps(body)]


def _signal(body: dict[str, Any]) -> list[str]:
    direction = {1: "long", -1: "short", 0: "flat"}[body["direction"]]
    return [f"{body['strategy_id']} wants {body['instrument']} {direction}: {body['reason']}"]


def _verdict(body: dict[str, Any]) -> list[str]:
    answer = "approved" if body["approved"] else f"vetoed ({body['code']})"
    found = [f"{answer}: {body.get('message', '')}"]
    found += [
        f"  {each['check']} {each['verdict']} {each['message'] or each['code']}"
        for each in body.get("findings", ())
        if each["verdict"] != "approved"
    ]
    return found


def _intent(body: dict[str, Any]) -> list[str]:
    request = body["request"]
    what = f"{body['side']} {request['quantity']} {body['instrument']}"
    stop = f", stop loss {request['stop_loss']}" if request.get("stop_loss") else ""
    act = "order" if body["opens"] else "close"
    who = f" by {body['person']}" if body.get("person") else ""
    cid = body["client_order_id"]
    return [f"{act} {cid}{who}: {what}{stop} to {body['account']}, on disk before it is sent"]


def _suggestion(body: dict[str, Any]) -> list[str]:
    order = body["order"]
    what = f"{order['side']} {order['quantity']} {order['instrument']} at {body['account']}"
    return [
        f"suggestion {body['number']}: {what}, until {body['expires']}, digest {body['digest']}"
    ]


def _order(body: dict[str, Any]) -> list[str]:
    number = f" as {body['order_id']}" if body.get("order_id") else ""
    filled = f", {body['filled']} at {body['average_price']}" if body.get("average_price") else ""
    why = f": {body['why']}" if body["why"] else ""
    return [f"{body['stage'].replace('_', ' ')}{number}, {body['status']}{filled}{why}"]


def _fill(body: dict[str, Any]) -> list[str]:
    fill = body["fill"]
    cost = f", commission {fill['commission']}" if fill.get("commission") else ""
    what = f"{fill['side']} {fill['quantity']} {fill['instrument']} at {fill['price']}"
    return [f"execution {fill['execution_id']}: {what}{cost}"]


_SENTENCES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "signal": _signal,
    "verdict": _verdict,
    "suggestion": _suggestion,
    "suggestion_ended": lambda body: [f"suggestion {body['number']} {body['text']}"],
    "intent": _intent,
    "order": _order,
    "fill": _fill,
    "told": lambda body: [str(body["message"])],
    "cancel_ordered": lambda body: [f"{body['by']} cancels {body['order_id']}"],
}
