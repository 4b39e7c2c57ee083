"""``mtquant conformance``: does a broker keep the contract, and if not, where not?"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from mtquant.config import secret
from mtquant.contract import BrokerPlugin, Endpoint
from mtquant.errors import BrokerError, ConfigError, PluginError
from mtquant.model import Capabilities
from mtquant.plugins import load_catalogue
from mtquant.serving import read_settings
from mtquant.testing import Case, Group, Result, all_cases, near, wire
from mtquant.testing import run as run_cases
from mtquant.testing.connection import Target
from mtquant.testing.report import (
    as_badge,
    as_json,
    as_junit,
    as_matrix,
    as_shield,
    count,
    offers,
)
from mtquant.testing.run import Outcome, Run
from mtquant.testing.targets import NEWEST, OLDEST

_COLOURS = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.SKIPPED: "dim"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command was asked: where the broker is, which cases, what to write."""

    name: str | None = None
    command: str | None = None
    url: str | None = None
    token: str | None = None
    account: str = "conformance"
    settings: str = "{}"
    only: tuple[str, ...] = ()
    junit: Path | None = None
    badge: Path | None = None
    matrix: Path | None = None
    as_json_text: bool = False


def conformance(asked: Asked) -> int:
    """Run the kit, print what came of it, and return 1 where a case failed, else 0."""
    cases = _chosen(asked.only)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        targets = _targets(asked, folder)
        try:
            runs = _run(targets, cases, quiet=asked.as_json_text)
        except BrokerError as error:
            raise ConfigError(
                "the broker under test",
                f"can't be used: {error}",
                "Start its server by hand to see why, and give a paper or practice account.",
            ) from None
    _write(asked, runs)
    if asked.as_json_text:
        typer.echo(json.dumps(as_json(runs), ensure_ascii=False, indent=2))
    else:
        _print(runs)
    return 1 if count(runs)[Outcome.FAILED] else 0


def _chosen(only: tuple[str, ...]) -> tuple[Case, ...]:
    """Return the cases that numbers or groups name, all where none is named."""
    cases = all_cases()
    if not only:
        return cases
    words = {each.upper() for each in only}
    groups = {each.value for each in Group if {each.value, each.name} & words}
    known = {each.number for each in cases} | {x for each in Group for x in (each.value, each.name)}
    for word in sorted(words - known):
        raise ConfigError(
            "--case",
            f"{word!r} is neither a case nor a group",
            f"Groups are {', '.join(each.name.lower() for each in Group)}.",
        )
    return tuple(each for each in cases if each.number in words or each.group.value in groups)


def _targets(asked: Asked, folder: Path) -> list[Target]:
    given = [each for each in (asked.name, asked.command, asked.url) if each]
    if len(given) != 1:
        raise ConfigError(
            "conformance", f"{len(given)} brokers are named", "Give NAME, --command or --url."
        )
    if asked.command:
        endpoint = Endpoint(command=_words(asked.command))
        return [wire(endpoint, protocol=each) for each in (NEWEST, OLDEST)]
    if asked.url:
        token = secret(asked.token, "--token") if asked.token else None
        endpoint = Endpoint(url=asked.url, token=token)
        return [wire(endpoint, protocol=each) for each in (NEWEST, OLDEST)]
    return _of_plugin(asked, folder)


def _words(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError("--command", f"can't be read: {error}", "Close the quotes.") from None


def _of_plugin(asked: Asked, folder: Path) -> list[Target]:
    """Return the plugin's class near at hand, if it has one, and its server."""
    table = read_settings(asked.settings)
    plugin: BrokerPlugin[Any] = load_catalogue().make(
        "broker", asked.name or "", table, where="--settings"
    )
    found: list[Target] = []
    for number, protocol in enumerate((NEWEST, OLDEST)):
        state = folder / f"{number}"
        try:
            plugin.broker(asked.account, str(state / "probe"))
        except PluginError:
            pass  # its server is a program of its own
        else:
            at = state / "near"
            at.mkdir(parents=True)
            made = near(lambda at=at: plugin.broker(asked.account, str(at)), at, protocol=protocol)  # type: ignore[misc]
            found.append(made)
        (endpoint, *_) = plugin.endpoints(asked.account, str(state / "wire"))
        found.append(wire(endpoint, protocol=protocol))
    return found


def _run(targets: Sequence[Target], cases: Sequence[Case], *, quiet: bool) -> list[Run]:
    runs: list[Run] = []
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}"))
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        for target in targets:
            task = progress.add_task(target.name, total=len(cases))

            def on_result(_: Result, task: Any = task) -> None:  # noqa: ANN401 - rich's
                progress.advance(task)

            async def act(target: Target = target, told: Any = on_result) -> Run:  # noqa: ANN401
                return await run_cases(target, cases, on_result=told)

            runs.append(anyio.run(act))
    return runs


def _print(runs: Sequence[Run]) -> None:
    console = Console()
    declared = runs[0].capabilities
    table = Table(
        title=f"{declared.broker}: contract {declared.contract_version}", title_justify="left"
    )
    table.add_column("case", no_wrap=True)
    table.add_column("promise")
    for run in runs:
        table.add_column(run.target.replace(", ", "\n"))
    table.add_column("not declared, or why")
    group = None
    for results in zip(*(run.results for run in runs), strict=True):
        case = results[0].case
        if group not in {None, case.group}:
            table.add_section()
        group = case.group
        verdicts = [f"[{_COLOURS[one.outcome]}]{one.outcome}[/]" for one in results]
        why = {one.why for one in results if one.outcome is Outcome.SKIPPED}
        told = "; ".join(sorted(why)).removeprefix("not declared: ")
        table.add_row(case.number, case.title, *verdicts, Text(told, style="dim"))
    console.print(table)
    _print_matrix(console, declared)
    for run in runs:
        failures: dict[str, list[str]] = {}
        for each in run.results:
            if each.outcome is Outcome.FAILED:
                failures.setdefault(each.why, []).append(each.case.number)
        for text, numbered in failures.items():
            console.print(f"[red]{', '.join(numbered)}[/] {run.target}", highlight=False)
            console.print(f"    {text}", markup=False, highlight=False)
    numbers = count(runs)
    console.print(
        f"{numbers[Outcome.PASSED]} passed, {numbers[Outcome.FAILED]} failed, "
        f"{numbers[Outcome.SKIPPED]} skipped, against {len(runs)} targets",
        highlight=False,
    )


def _print_matrix(console: Console, declared: Capabilities) -> None:
    table = Table(title="capabilities", title_justify="left")
    for name in ("", "offered", "not offered"):
        table.add_column(name)
    for row in offers(declared):
        table.add_row(*row)
    console.print(table)


def _write(asked: Asked, runs: Sequence[Run]) -> None:
    shield = asked.badge is not None and asked.badge.suffix == ".json"
    for path, made in (
        (asked.junit, as_junit),
        (asked.badge, as_shield if shield else as_badge),
        (asked.matrix, as_matrix),
    ):
        if path is None:
            continue
        try:
            path.write_text(made(runs), encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                str(path), f"can't be written: {error.strerror}", "Name another file."
            ) from None
