"""``mtquant doctor``: what was looked at, as a table or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtquant.clock import SystemClock
from mtquant.doctor import examine
from mtquant.machine import Look, State
from mtquant.plugins import load_catalogue

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}


def show_doctor(path: Path, limit_s: float, *, as_json: bool) -> int:
    """Print what is found, and return 1 where something is wrong."""
    looks: list[Look] = []
    console = Console(stderr=True)

    async def look() -> None:
        with console.status("looking") as status:
            async for each in examine(path, load_catalogue(), SystemClock(), limit_s=limit_s):
                looks.append(each)
                status.update(f"looked at {each.what}")

    anyio.run(look)
    wrong = any(each.state is State.PROBLEM for each in looks)
    if as_json:
        print(json.dumps({"healthy": not wrong, "looks": [asdict(each) for each in looks]}))  # noqa: T201 - for machines
        return int(wrong)
    table = Table()
    for head in ("", "What", "Seen"):
        table.add_column(head, overflow="fold")
    for each in looks:
        seen = Text(each.seen)
        if each.remedy:
            seen.append(f"\n-> {each.remedy}", style="bold")
        table.add_row(Text(each.state.value, style=_STYLES[each.state]), each.what, seen)
    out = Console()
    out.print(table)
    out.print("something is wrong" if wrong else "nothing is wrong", style="bold")
    return int(wrong)
