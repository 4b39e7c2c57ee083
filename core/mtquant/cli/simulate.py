"""The commands that put a venue on the desk: ``mtquant simulate oanda``."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from mtquant.errors import ConfigError

simulate = typer.Typer(help="Venues on your desk, to trade against offline.", no_args_is_help=True)


@simulate.command(epilog="Example: mtquant simulate oanda --data EUR/USD=eurusd-m1.csv --speed 60")
def oanda(  # noqa: PLR0913, PLR0917 - the options of a command
    data: Annotated[
        list[str] | None,
        typer.Option(help="SYMBOL=FILE of bars, CSV or Parquet; repeatable. Without: invented."),
    ] = None,
    timeframe: Annotated[str, typer.Option(help="The length of the bars in --data.")] = "M1",
    ticks: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--ticks", help="The files hold quotes: time, bid, ask.")
    ] = False,
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")] = 8020,
    token: Annotated[
        str | None, typer.Option(help="The bearer token: env:NAME or file:PATH.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds a second.")] = 1.0,
    faults: Annotated[
        list[str] | None,
        typer.Option(help="KEY=VALUE, such as drop_after=0.1; repeatable."),
    ] = None,
    settings: Annotated[str, typer.Option(help="Any other settings, as JSON.")] = "{}",
    attached: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--attached", help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Serve OANDA's v20 REST and streaming API on this machine, until Ctrl-C.

    Exit codes: 0 stopped; 2 a wrong setting, file or port.
    """
    try:
        command = importlib.import_module("mtquant_simulators.oanda.command")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "simulate oanda",
            f"{error.name} isn't installed",
            "Install mtquant with its simulators.",
        ) from None
    command.run(
        command.Wanted(
            data=tuple(data or ()),
            timeframe=timeframe,
            ticks=ticks,
            port=port,
            token=token,
            speed=speed,
            faults=tuple(faults or ()),
            settings=settings,
            attached=attached,
        )
    )


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.add_typer(simulate, name="simulate")


# A group with one command would take its name away; more simulators are to come.
simulate.callback()(lambda: None)
