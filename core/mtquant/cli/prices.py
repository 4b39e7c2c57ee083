"""``mtquant data check``: what a file of prices holds, as a table or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from mtquant.clock import format_time
from mtquant.data import Change, Finding, Inspection, Place, Reading, inspect, nothing, read, write
from mtquant.data.times import spoken
from mtquant.errors import ConfigError
from mtquant.model import Timeframe

_STYLES = {"error": "bold red", "warning": "yellow"}
_FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command was asked for, as it was typed."""

    file: Path
    symbol: str | None
    timeframe: str | None
    dialect: str | None
    point: str | None
    time_zone: str | None
    repair: Path | None
    as_json: bool


def check_file(asked: Asked) -> int:
    """Print what is in the file; return 1 where it has errors that weren't repaired.

    Raises ConfigError where it can't be read, or the repaired file can't be written.
    """
    reading = Reading(
        symbol=asked.symbol,
        dialect=asked.dialect,
        point=_point(asked.point),
        time_zone=asked.time_zone,
    )
    found = inspect(read(asked.file, reading), _timeframe(asked.timeframe))
    written = None
    if asked.repair is not None and not found.left:
        if not len(found.repaired):
            raise nothing(found.repaired)
        write(found.repaired, asked.repair)
        written = asked.repair
    if asked.as_json:
        print(json.dumps(_as_json(found, written)))  # noqa: T201 - for machines
    else:
        _print(found, asked, written)
    return 0 if written is not None or found.usable else 1


def _point(text: str | None) -> Decimal | None:
    try:
        found = None if text is None else Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if found is not None and not found.is_finite():
        raise ConfigError("--point", f"{text!r} is no number", "Such as 0.00001.")
    return found


def _timeframe(text: str | None) -> Timeframe | None:
    try:
        return None if text is None else Timeframe(text)
    except ValueError:
        raise ConfigError(
            "--timeframe", f"{text!r} is none", f"Use {', '.join(Timeframe)}."
        ) from None


def _print(found: Inspection, asked: Asked, written: Path | None) -> None:
    out = Console()

    def say(text: str, style: str = "") -> None:
        out.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    for line in _summary(found):
        say(line)
    if found.findings:
        out.print(_grid(found.findings, found.table.unit))
    if not found.findings:
        say("nothing is wrong", "bold")
    elif found.usable:
        say("it can be used; look at the warnings", "bold")
    else:
        say("it can't be used as it is", "bold red")
    if asked.repair is not None:
        _print_repair(found, written, say)
    elif not found.usable:
        hint = "bars nearer to each other than the timeframe can't be repaired"
        say(hint if found.left else "--repair NEW.csv writes what can be used")


def _summary(found: Inspection) -> list[str]:
    table = found.table
    lines = [f"{table.where}: {table.dialect}"]
    if len(table):
        first, last = int(table.time.min()), int(table.time.max())
        what = table.dialect.what
        if found.timeframe is not None:
            told = "" if found.told else " (by their distance)"
            what = f"bars of {found.timeframe}{told}"
        lines.append(f"{len(table):,} {what}, {spoken(first)} to {spoken(last)} UTC")
    else:
        lines.append(f"no {table.dialect.what}")
    if table.naive:
        lines.append(f"times name no zone: taken for {table.time_zone or 'UTC'}")
    lines += table.notes
    if table.dialect.unread:
        lines.append(f"not read: {', '.join(table.dialect.unread)}")
    return lines


def _grid(findings: Sequence[Finding], unit: str) -> Grid:
    grid = Grid()
    grid.add_column("")
    grid.add_column("Count", justify="right")
    grid.add_column("What", overflow="fold", ratio=3)
    grid.add_column("Where first", overflow="fold", ratio=2)
    for each in findings:
        what = Text(each.sentence)
        what.append(f"\n-> {each.remedy}", style="bold")
        grid.add_row(
            Text(str(each.severity), style=_STYLES[each.severity]),
            f"{each.count:,}",
            what,
            Text("\n".join(_spoken(place, unit) for place in each.places[:_FEW]) or "everywhere"),
        )
    return grid


def _spoken(place: Place, unit: str) -> str:
    moment = "" if place.time is None else f", {spoken(place.time)}"
    value = place.value if place.field == "time" else f"{place.field} {place.value or 'empty'}"
    if place.time is not None and value == format_time(place.time):
        return f"{unit} {place.line}{moment}"
    return f"{unit} {place.line}{moment}: {value}"


def _print_repair(found: Inspection, written: Path | None, say: Any) -> None:  # noqa: ANN401 - a printer
    if written is None:
        say("not repaired: what stays wrong is not for a program to decide", "bold red")
        return
    for each in found.changes:
        first = ", ".join(f"{found.table.unit} {place.line}" for place in each.places[:_FEW])
        more = ", ..." if each.count > _FEW else ""
        say(f"{each.sentence}: {each.count:,} ({first}{more})")
    if not found.changes:
        say("there was nothing to repair")
    say(f"{written}: {len(found.repaired):,} {found.table.dialect.what} written", "bold")


def _as_json(found: Inspection, written: Path | None) -> dict[str, Any]:
    table = found.table
    return {
        "file": table.where,
        "usable": found.usable,
        "dialect": table.dialect.layout.value,
        "what": table.dialect.what,
        "columns": list(table.dialect.columns),
        "not_read": list(table.dialect.unread),
        "timeframe": found.timeframe,
        "count": len(table),
        "first": format_time(int(table.time.min())) if len(table) else None,
        "last": format_time(int(table.time.max())) if len(table) else None,
        "time_zone": (table.time_zone or "UTC") if table.naive else None,
        "notes": list(table.notes),
        "findings": [
            {"severity": each.severity, "remedy": each.remedy} | _counted(each)
            for each in found.findings
        ],
        "repaired": None if written is None else str(written),
        "changes": [] if written is None else [_counted(each) for each in found.changes],
    }


def _counted(each: Finding | Change) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "count": each.count,
        "sentence": each.sentence,
        "places": [
            {
                "line": place.line,
                "time": None if place.time is None else format_time(place.time),
                "field": place.field,
                "value": place.value,
            }
            for place in each.places
        ],
    }
