"""The command ``mtquant``.

Exit codes: 0 done; 1 the run ended, and a check failed (the books differ); 2 a wrong setting or
argument, a missing plugin or a journal that can't be used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mtquant import __version__
from mtquant.errors import MtquantError

app = typer.Typer(
    name="mtquant",
    help="Automated trading over standalone MCP broker servers.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_DEFAULT_CONFIG = Path("mtquant.toml")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(f"mtquant {__version__}")
        raise typer.Exit


@app.command(epilog="Example: mtquant demo --dir my-demo")
def demo(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where its files and the report go.")
    ] = Path("mtquant-demo"),
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Trade 27 years of real fixings through two paper brokers, one of which is killed."""
    from mtquant.cli.demo import demo as run_demo  # noqa: PLC0415 - --help stays quick

    raise typer.Exit(run_demo(folder, as_json_text=as_json))


@app.command(epilog="Example: mtquant init && mtquant run")
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = _DEFAULT_CONFIG,
) -> None:
    """Write a commented configuration that runs as it is."""
    from mtquant.cli.init import write  # noqa: PLC0415 - --help stays quick

    write(path)
    typer.echo(f"{path} written. Next: mtquant run --config {path}")


@app.command(epilog="Example: mtquant run --config mtquant.toml")
def run(config: ConfigPath = _DEFAULT_CONFIG) -> None:
    """Trade a configuration until Ctrl-C, which stops cleanly."""
    from mtquant.cli.run import run as run_engine  # noqa: PLC0415 - --help stays quick

    raise typer.Exit(run_engine(config))


@app.command(epilog="Example: mtquant status --json")
def status(
    config: ConfigPath = _DEFAULT_CONFIG,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show the pool of a running engine: connections, routes, positions, open orders."""
    from mtquant.cli.show import show_status  # noqa: PLC0415 - --help stays quick

    show_status(config, as_json=as_json)


@app.command(epilog="Example: mtquant plugins --json")
def plugins(as_json: AsJson = False) -> None:  # noqa: FBT002 - a command line flag
    """List the plugins on this machine, and what is wrong with those in quarantine."""
    from mtquant.cli.show import show_plugins  # noqa: PLC0415 - --help stays quick

    show_plugins(as_json=as_json)


@app.command(epilog='Example: mtquant breaker --reset paper-a --by Ann --reason "bad data"')
def breaker(
    config: ConfigPath = _DEFAULT_CONFIG,
    reset: Annotated[
        str | None, typer.Option("--reset", help="The account whose breaker is reset.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Who resets it.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    rebase_peak: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--rebase-peak", help="Measure from the last equity, not the old peak.")
    ] = False,
) -> None:
    """Show the loss breaker of each account, or reset one; the engine must be stopped."""
    from mtquant.cli.show import show_breakers  # noqa: PLC0415 - --help stays quick

    show_breakers(config, reset_account=reset, by=by, reason=reason, rebase_peak=rebase_peak)


def main() -> None:
    """Run the command; a user never sees a traceback of a mistake that has a message."""
    try:
        app()
    except MtquantError as error:
        _fail(error)
    except BaseExceptionGroup as group:
        # A task group wraps what its tasks raise.
        ours, others = group.split(MtquantError)
        if ours is None or others is not None:
            raise
        _fail(next(_leaves(ours)))


def _leaves(group: BaseExceptionGroup[MtquantError]) -> Iterator[MtquantError]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def _fail(error: MtquantError) -> None:
    typer.echo(f"mtquant: {error}", err=True)
    sys.exit(2)
