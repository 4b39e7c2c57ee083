"""The command that compares a run with its replay: ``mtquant drift``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def drift(
    journal: Annotated[Path, typer.Argument(help="The state folder of the run.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Replay with this one, not with the journal's."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE instead of the configuration's; repeatable."),
    ] = None,
    as_json: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--json", help="Print JSON for machines.")
    ] = False,
) -> None:
    """Replay a live or paper run, and say what of it differs from the replay, and why.

    Exit codes: 0 nothing differs; 1 something does; 2 it can't be read, or not be replayed.
    """
    from rich.console import Console  # noqa: PLC0415 - --help stays quick

    from mtquant.cli.drifting import show  # noqa: PLC0415
    from mtquant.drift import drift_of  # noqa: PLC0415

    found = drift_of(journal, config=config, changes=change or ())
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    else:
        show(Console(), found)
    raise typer.Exit(1 if found.differences else 0)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: mtquant drift mtquant-state --config backtest.toml")(drift)
