"""``mtquant backtest``: a strategy over history, as a table, a page or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from mtquant.backtest.api import time_named
from mtquant.backtest.card import card_of, compare, read_card
from mtquant.backtest.lookahead import check_lookahead
from mtquant.backtest.result import Result
from mtquant.backtest.run import Prepared, prepare, run
from mtquant.backtest.setup import (
    ACCOUNT,
    configure,
    source_of,
    table_of,
    timeframe_named,
    without_risk,
)
from mtquant.backtest.statistics import statistics
from mtquant.backtest.statistics.rows import WARNINGS
from mtquant.cli.progress import Progressing
from mtquant.cli.tables import out
from mtquant.config import Config, change_setting, load_config
from mtquant.errors import ConfigError
from mtquant.plugins import Catalogue, load_catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asked to be tried; see the command's options."""

    strategy: str | None = None
    symbols: tuple[str, ...] = ()
    data: str = ""
    timeframe: str = ""
    params: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    config: Path | None = None
    again: Path | None = None
    risk: bool = True
    start: str | None = None
    seed: int = 0
    check_lookahead: bool = False
    report: Path | None = None
    beside: tuple[Path, ...] = ()
    card: Path | None = None
    as_json_text: bool = False


def backtest(asked: Asked) -> int:
    """Run what is asked for and show it; 1 where a repeated run differs from its card."""
    catalogue = load_catalogue()
    if asked.beside and asked.report is None:
        raise ConfigError("--beside", "goes with a report", "Add --report FILE.")
    kept = read_card(asked.again) if asked.again is not None else None
    if kept is not None:
        prepared, seed, start = _of_card(kept, asked.again, catalogue)
    else:
        prepared, seed = prepare(config_of(asked, catalogue), catalogue), asked.seed
        start = None if asked.start is None else time_named(asked.start)
    if asked.check_lookahead:
        return _look_for_peeks(prepared, seed, as_json_text=asked.as_json_text)
    result = _run(prepared, seed, start)
    card = card_of(result, start)
    if asked.card is not None:
        asked.card.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    if asked.report is not None:
        others = [_of_card(read_card(path), path, catalogue) for path in asked.beside]
        result.report(asked.report, *(_run(*other) for other in others))
    if asked.as_json_text:
        figures: dict[str, Any] = {"card": card, "statistics": statistics(result).to_dict()}
        print(json.dumps(figures))  # noqa: T201 - what --json is for
    else:
        _show(out(), result, asked)
    if kept is None:
        return 0
    differences = compare(kept, card)
    console = Console(stderr=True)
    for each in differences:
        console.print(each, style="bold red", highlight=False, markup=False, soft_wrap=True)
    if not differences:
        told = f"{asked.again}: the same to the cent"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    return 1 if differences else 0


def _of_card(
    kept: dict[str, Any], path: Path | None, catalogue: Catalogue
) -> tuple[Prepared, int, int | None]:
    """Return the run that a card tells of: what to run, its seed, and when it begins to trade."""
    prepared = prepare(Config.read(kept["config"], f"{path}: config."), catalogue)
    return prepared, int(kept["seed"]), kept["start"]


def config_of(asked: Asked, catalogue: Catalogue) -> Config:
    """Return the configuration that is asked for; raises ConfigError, which says what to change."""
    if asked.config is not None:
        if asked.strategy or asked.data or asked.symbols:
            raise ConfigError(
                "--config", "says strategy, symbols and prices itself", "Leave those out."
            )
        return load_config(asked.config, changes=asked.settings)
    for name, given in (
        ("STRATEGY", asked.strategy),
        ("--symbol", asked.symbols),
        ("--data", asked.data),
        ("--timeframe", asked.timeframe),
    ):
        if not given:
            raise ConfigError(
                name, "is missing", "Name it, or a whole configuration with --config."
            )
    strategy, timeframe = str(asked.strategy), timeframe_named(asked.timeframe)
    catalogue.get("strategy", strategy)
    source = source_of(asked.data, asked.symbols, timeframe, catalogue.names("source"))
    table = table_of(strategy, asked.symbols, timeframe, source=source)
    for prefix, changes in (
        (f"strategies.{strategy}", asked.params),
        (f"brokers.{ACCOUNT}", asked.terms),
    ):
        for change in changes:
            change_setting(table, f"{prefix}.{change}")
    if not asked.risk:
        without_risk(table, catalogue)
    return configure(table, asked.settings)


def _run(prepared: Prepared, seed: int, start: int | None) -> Result:
    with Progressing(Console(stderr=True), len(prepared.steps), talks=False) as progress:
        return run(prepared, seed=seed, start=start, progress=progress.step)


def _look_for_peeks(prepared: Prepared, seed: int, *, as_json_text: bool) -> int:
    """Say whether the strategy sees the future; 1 where it does."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("changing the future", total=None)
        peeks = check_lookahead(
            prepared,
            seed=seed,
            progress=lambda done, all_: bar.update(task, completed=done, total=all_),
        )
    if as_json_text:
        print(json.dumps({"peeks": [asdict(each) for each in peeks]}))  # noqa: T201 - for machines
        return 1 if peeks else 0
    for each in peeks:
        out().print(str(each), highlight=False, markup=False, soft_wrap=True)
    told = (
        f"LOOK-AHEAD: {len(peeks)} changes of the future moved the past. The strategy, or an "
        "indicator that it reads, knows bars that have not closed yet: no result of it is worth "
        "anything."
        if peeks
        else "no look-ahead: whatever came after, the past stayed as it was"
    )
    out().print(told, style="bold red" if peeks else "green", highlight=False, soft_wrap=True)
    return 1 if peeks else 0


def _show(console: Console, result: Result, asked: Asked) -> None:
    stats = result.stats
    table = Table(show_header=False, box=SIMPLE)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for section in stats.rows():
        if section.title == WARNINGS:
            continue
        table.add_row(Text(section.title, style="bold"), "", "")
        for row in section.rows:
            table.add_row(f"  {row.label}", row.value, row.hint)
    console.print(table)
    for each in stats.cautions:
        console.print(
            f"warning: {each.message}",
            style="yellow",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    rate = len(result.time) / result.seconds if result.seconds else 0.0
    console.print(
        f"{len(result.time):,} steps in {result.seconds:.2f} s ({rate:,.0f} a second)",
        style="dim",
        highlight=False,
    )
    for name, path in (("report", asked.report), ("run card", asked.card)):
        if path is not None:
            console.print(f"{name}: {path}", soft_wrap=True, highlight=False, markup=False)
