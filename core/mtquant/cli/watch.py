"""``mtquant watch``: a running engine in a terminal, from 80 columns by 24 lines up."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mtquant.config import load_config
from mtquant.control.reach import reach
from mtquant.errors import ConfigError

_PAUSE_S = 0.5
_STAGES = {"in_doubt": "bold red"}
_STYLES = {"warning": "yellow", "alarm": "bold red"}
_BREAKERS = {"NORMAL": "", "WARNED": "yellow", "REDUCING": "bold yellow", "HALTED": "bold red"}


def watch(path: Path, *, once: bool) -> None:
    """Show the engine over the configuration at ``path`` until Ctrl-C, or only once.

    Raises ConfigError where none runs.
    """
    anyio.run(_watch, path, once)


async def _watch(path: Path, once: bool) -> None:  # noqa: FBT001 - handed through by anyio.run
    folder = Path(load_config(path).engine.state_dir)
    console = Console()
    seen = await _overview(folder, path)
    if once:
        console.print(screen(seen, console.width, 24))
        return
    with Live(screen(seen, console.width, console.height), console=console, screen=True) as live:
        while True:
            await anyio.sleep(_PAUSE_S)
            try:
                seen = await _overview(folder, path)
            except ConfigError:
                seen["stopped"] = True
            live.update(screen(seen, console.width, console.height))


async def _overview(folder: Path, path: Path) -> dict[str, Any]:
    seen = await reach(folder, "overview", {})
    if seen is None:
        remedy = f"mtquant run --config {path}"
        raise ConfigError(str(folder), "no engine runs here", remedy)
    return seen


def screen(seen: dict[str, Any], width: int, height: int) -> RenderableType:
    """Return the whole picture of an engine's overview for a terminal of that size."""
    lines = max(height, 24) - 3
    upper = max(8, lines // 3)
    middle = max(6, lines // 4)
    log = max(5, lines - upper - middle)
    layout = Layout()
    layout.split_column(
        Layout(_head(seen), size=1),
        Layout(name="upper", size=upper),
        Layout(_panel("Positions and orders", _positions(seen, middle - 2)), size=middle),
        Layout(_panel("Log", _log(seen, log - 2, width - 2)), size=log),
        Layout(_foot(seen), size=1),
    )
    layout["upper"].split_row(
        Layout(_panel("Quotes", _quotes(seen, upper - 3)), ratio=5),
        Layout(_panel("Risk", _risk(seen)), ratio=6),
    )
    return layout if Console().is_terminal else Group(*_flat(seen, width))


def _flat(seen: dict[str, Any], width: int) -> list[RenderableType]:
    """Return the same one under the other, for a pipe."""
    return [
        _head(seen),
        _panel("Quotes", _quotes(seen, 50)),
        _panel("Risk", _risk(seen)),
        _panel("Positions and orders", _positions(seen, 50)),
        _panel("Log", _log(seen, 20, width - 2)),
        _foot(seen),
    ]


def _panel(title: str, inside: RenderableType) -> Panel:
    return Panel(inside, title=title, title_align="left", padding=0)


def _head(seen: dict[str, Any]) -> Text:
    state = "STOPPED" if seen["stopped"] else f"running, process {seen['process_id']}"
    style = "bold red" if seen["stopped"] else "bold"
    if seen.get("halted"):
        return Text(f"HALTED {seen['halted']}   mtquant resume", style="bold white on red")
    text = Text(f"mtquant  {seen['time'][:19].replace('T', ' ')} UTC  {state}", style=style)
    for each in seen["accounts"]:
        if not each["tradable"]:
            text.append(f"  {each['account']}: {each['why']}", style="yellow")
        elif each["differs"]:
            text.append(f"  {each['account']}: the books differ: {each['differs'][0]}", "bold red")
    return text


def _foot(seen: dict[str, Any]) -> Text:
    waiting = seen["suggestions"]
    if waiting:
        numbers = ", ".join(str(each["number"]) for each in waiting)
        return Text(f"suggestions wait: {numbers}   mtquant suggestions", style="bold yellow")
    return Text("Ctrl-C leaves; the engine goes on. mtquant todo, orders, positions", style="dim")


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    for index, head in enumerate(heads):
        table.add_column(head, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _quotes(seen: dict[str, Any], rows: int) -> RenderableType:
    table = _table("Symbol", "Bid", "Ask", "Wanted")
    wanted = {each["instrument"]: each for each in seen["targets"]}
    words = {1: "long", -1: "short", 0: "flat"}
    for each in seen["quotes"][:rows]:
        symbol = each["instrument"]
        target = wanted.get(symbol)
        text = words[target["direction"]] if target else "-"
        if target and target["mode"] != "auto":
            text += f" {target['mode']}"
        text = "paused" if symbol in seen["paused"] else text
        table.add_row(symbol, each["bid"], each["ask"], text)
    return table


def _risk(seen: dict[str, Any]) -> RenderableType:
    table = _table("Account", "Equity", "Day", "Peak", "Breaker")
    for each in seen["money"]:
        equity = "-" if each["equity"] is None else f"{Decimal(each['equity']):,.2f}"
        losses = each["losses"]
        day, peak = losses.get("day"), losses.get("peak", losses.get("drawdown"))
        table.add_row(
            each["account"],
            equity,
            "-" if day is None else f"{-day:+.2%}",
            "-" if peak is None else f"{-peak:+.2%}",
            Text(each["breaker"].lower(), style=_BREAKERS.get(each["breaker"], "")),
        )
    return table


def _positions(seen: dict[str, Any], rows: int) -> RenderableType:
    table = _table("Account", "Symbol", "Quantity", "Price", "State")
    # What is under way comes first: an order in doubt must not be hidden by what is merely held.
    lines = [
        (
            each["account"],
            each["instrument"],
            "",
            "",
            Text(each["stage"].replace("_", " "), style=_STAGES.get(each["stage"], "")),
        )
        for each in seen["open_orders"]
    ]
    lines += [
        (
            each["account"],
            each["instrument"],
            f"{Decimal(each['quantity']):,}",
            f"{Decimal(each['average_price']):.7g}",
            Text("held"),
        )
        for each in seen["positions"]
    ]
    for line in lines[: rows - 1]:
        table.add_row(*line)
    return table if lines else Text("flat, and no open order", style="dim")


def _log(seen: dict[str, Any], rows: int, width: int) -> RenderableType:
    text = Text(no_wrap=True, overflow="ellipsis")
    for each in seen["log"][-rows:]:
        line = f"{each['time'][11:19]}  {each['message']}"
        text.append(line[:width] + "\n", style=_STYLES.get(each["level"], ""))
    return text
