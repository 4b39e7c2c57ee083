"""The commands about files of prices: ``mtquant data check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data = typer.Typer(help="Files of prices.", no_args_is_help=True)


@data.command(epilog="Example: mtquant data check EURUSD60.csv --symbol EUR/USD --repair clean.csv")
def check(  # noqa: PLR0913, PLR0917 - the options of a command
    file: Annotated[Path, typer.Argument(help="CSV, packed by gzip or not, or Parquet.")],
    symbol: Annotated[
        str | None, typer.Option(help="Such as EUR/USD: whole points are told by it.")
    ] = None,
    timeframe: Annotated[
        str | None, typer.Option(help="Such as H1. Without: by the distance of the bars.")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(help="plain, mt4, mt5, histdata or dukascopy, if not found out.")
    ] = None,
    point: Annotated[
        str | None, typer.Option(help="What a whole number is worth, such as 0.00001.")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="Of times that name none: Etc/GMT+5, America/New_York+7. Without: UTC."),
    ] = None,
    repair: Annotated[
        Path | None,
        typer.Option(help="Write what can be used to this new file: .csv, .csv.gz or .parquet."),
    ] = None,
    as_json: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--json", help="Print JSON for machines.")
    ] = False,
) -> None:
    """Say what a file of prices holds, and what is wrong with it where.

    Exit codes: 0 it can be used, or was repaired; 1 it has errors; 2 it can't be read.
    """
    from mtquant.cli.prices import Asked, check_file  # noqa: PLC0415 - --help stays quick

    asked = Asked(
        file=file,
        symbol=symbol,
        timeframe=timeframe,
        dialect=dialect,
        point=point,
        time_zone=time_zone,
        repair=repair,
        as_json=as_json,
    )
    raise typer.Exit(check_file(asked))


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.add_typer(data, name="data")


# A group with one command would take its name away.
data.callback()(lambda: None)
