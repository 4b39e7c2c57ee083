"""The command ``mtquant``.

Exit codes: 0 done; 1 the run ended, and a check failed (the books differ); 2 a wrong setting or
argument, a missing plugin or a journal that can't be used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mtquant import __version__
from mtquant.cli import agents, checking, data, drift, gateway, optimize, simulate, trading
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
PROFILE = "MTQUANT_PROFILE"
_DEFAULT_CONFIG = Path("mtquant.toml")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(envvar=PROFILE, help="A [profile.NAME] of the configuration, laid over it."),
    ] = None,
) -> None:
    if profile is not None:
        os.environ[PROFILE] = profile
    if version:
        typer.echo(f"mtquant {__version__}")
        raise typer.Exit


@app.command(epilog="Example: mtquant demo --dir my-demo")
def demo(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where its files and the report go.")
    ] = Path("mtquant-demo"),
    oanda: Annotated[  # noqa: FBT002 - a command line flag
        bool,
        typer.Option(
            "--oanda",
            help="Let OANDA's server be the broker that is killed, before a simulated OANDA on"
            " this machine: no account, no network.",
        ),
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Trade 27 years of real fixings through two paper brokers, one of which is killed.

    Exit codes: 0 the books agree; 1 they differ; 2 something is missing or a folder isn't empty.
    """
    from mtquant.cli.demo import demo as run_demo  # noqa: PLC0415 - --help stays quick

    raise typer.Exit(run_demo(folder, oanda=oanda, as_json_text=as_json))


@app.command(epilog="Example: mtquant init && mtquant run")
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = _DEFAULT_CONFIG,
) -> None:
    """Write a commented configuration that runs as it is."""
    from mtquant.cli.init import write  # noqa: PLC0415 - --help stays quick

    write(path)
    typer.echo(f"{path} written. Next: mtquant run --config {path}")


@app.command(epilog="Example: mtquant run --config mtquant.toml --set strategies.trend.fast=5")
def run(
    config: ConfigPath = _DEFAULT_CONFIG,
    live: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--live", help="Trade the real accounts that the file names.")
    ] = False,
    confirm: Annotated[
        list[str] | None,
        typer.Option("--confirm", help="A real account's number, instead of typing it."),
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE instead of the file's; repeatable.")
    ] = None,
    gateway: Annotated[
        int | None,
        typer.Option(help="Serve LLM agents over HTTP on this port: `mtquant agents` has them."),
    ] = None,
) -> None:
    """Trade a configuration until Ctrl-C, which asks whether to keep or close positions.

    Exit codes: 0 stopped cleanly; 1 an order is left in doubt; 2 a wrong setting, or another
    engine holds the journal.
    """
    from mtquant.cli.run import run as run_engine  # noqa: PLC0415 - --help stays quick

    code = run_engine(
        config, live=live, confirmed=confirm or (), changes=change or (), gateway=gateway
    )
    raise typer.Exit(code)


@app.command(
    epilog="Example: mtquant backtest sma_cross --symbol EUR/USD --data ecb --timeframe D1"
    " --param fast=10 --report backtest.html"
)
def backtest(  # noqa: PLR0913, PLR0917 - the options of a command
    strategy: Annotated[str | None, typer.Argument(help="A strategy plugin.")] = None,
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", help="What is traded; repeatable.")
    ] = None,
    data: Annotated[
        str, typer.Option("--data", help="A file, SYMBOL=FILE,..., or the name of a source.")
    ] = "",
    timeframe: Annotated[str, typer.Option("--timeframe", help="That of the bars: H1.")] = "",
    param: Annotated[
        list[str] | None,
        typer.Option("--param", help="A setting of the strategy, KEY=VALUE; repeatable."),
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(
            "--account", help="A term of the account, such as spread_pips=0.8; repeatable."
        ),
    ] = None,
    risk: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--risk/--no-risk", help="Whether the gate checks what is ordered.")
    ] = True,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting: KEY=VALUE with a dotted key; repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="A whole configuration instead.")
    ] = None,
    again: Annotated[
        Path | None, typer.Option("--again", help="A run card: run it again, and compare.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="Trade from here on; bars before only warm up.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order ids; the account has its own.")] = 0,
    check_lookahead: Annotated[  # noqa: FBT002 - a command line flag
        bool,
        typer.Option(
            "--check-lookahead",
            help="Instead of a result: change the future, and see whether the past moves.",
        ),
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write the report page here.")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--beside", help="A run card: its run beside this in the report; repeatable."),
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Write the run card here.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Trade a strategy over history: the live decisions and rules, without a server.

    Exit codes: 0 done; 1 a repeated run differs from its card, or the strategy sees the future;
    2 a wrong setting, or prices that can't be read.
    """
    from mtquant.cli.backtest import Asked  # noqa: PLC0415 - --help stays quick
    from mtquant.cli.backtest import backtest as run_backtest  # noqa: PLC0415

    asked = Asked(
        strategy=strategy,
        symbols=tuple(symbol or ()),
        data=data,
        timeframe=timeframe,
        params=tuple(param or ()),
        terms=tuple(account or ()),
        settings=tuple(change or ()),
        config=config,
        again=again,
        risk=risk,
        start=start,
        seed=seed,
        check_lookahead=check_lookahead,
        report=report,
        beside=tuple(beside or ()),
        card=card,
        as_json_text=as_json,
    )
    raise typer.Exit(run_backtest(asked))


@app.command(epilog="Example: mtquant status --json")
def status(
    config: ConfigPath = _DEFAULT_CONFIG,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show the pool of a running engine: connections, routes, positions, open orders."""
    from mtquant.cli.show import show_status  # noqa: PLC0415 - --help stays quick

    show_status(config, as_json=as_json)


@app.command(epilog="Example: mtquant plugins strategy sma_cross")
def plugins(
    kind: Annotated[str | None, typer.Argument(help="Only this kind, such as strategy.")] = None,
    name: Annotated[str | None, typer.Argument(help="What can be set of this one.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List the plugins on this machine, or what can be set of one, with types and bounds."""
    from mtquant.cli.show import show_plugin, show_plugins  # noqa: PLC0415 - --help stays quick

    if kind is not None and name is not None:
        show_plugin(kind, name, as_json=as_json)
    else:
        show_plugins(kind, as_json=as_json)


@app.command(epilog="Example: mtquant new broker my_broker && pip install -e my_broker")
def new(
    kind: Annotated[str, typer.Argument(help="broker, strategy, check or indicator.")],
    name: Annotated[str, typer.Argument(help="What to call it: a Python name.")],
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to write it.")] = None,
) -> None:
    """Write a plugin of your own: an installable distribution whose tests pass."""
    from mtquant.cli.new import write as write_new  # noqa: PLC0415 - --help stays quick

    target = write_new(kind, name, folder)
    typer.echo(f'{target} written. Next: pip install -e "{target}[test]" && pytest {target}')


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def serve(context: typer.Context) -> None:
    """Serve an installed broker class as an MCP server: mtquant serve NAME --help."""
    from mtquant.cli.serve import serve as run_server  # noqa: PLC0415 - --help stays quick

    run_server(context.args)


@app.command(epilog="Example: mtquant conformance paper --matrix paper.md")
def conformance(  # noqa: PLR0913, PLR0917 - the options of a command
    name: Annotated[str | None, typer.Argument(help="A broker plugin.")] = None,
    command: Annotated[str | None, typer.Option(help="Or a server's command.")] = None,
    url: Annotated[str | None, typer.Option(help="Or a server's URL.")] = None,
    token: Annotated[
        str | None, typer.Option(help="Its bearer token: env:NAME or file:PATH.")
    ] = None,
    account: Annotated[str, typer.Option(help="What to call the account.")] = "conformance",
    settings: Annotated[str, typer.Option(help="The plugin's settings, as JSON.")] = "{}",
    case: Annotated[
        list[str] | None, typer.Option("--case", help="Only this case or group; repeatable.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    badge: Annotated[Path | None, typer.Option(help="Write an SVG badge here.")] = None,
    matrix: Annotated[Path | None, typer.Option(help="Write a capability matrix here.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Check a broker against the contract, on a paper or practice account."""
    from mtquant.cli.conformance import Asked  # noqa: PLC0415 - --help stays quick
    from mtquant.cli.conformance import conformance as run_kit  # noqa: PLC0415

    asked = Asked(
        name=name,
        command=command,
        url=url,
        token=token,
        account=account,
        settings=settings,
        only=tuple(case or ()),
        junit=junit,
        badge=badge,
        matrix=matrix,
        as_json_text=as_json,
    )
    raise typer.Exit(run_kit(asked))


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
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show the loss breaker of each account, or reset one; the engine must be stopped."""
    from mtquant.cli.show import Reset, show_breakers  # noqa: PLC0415 - --help stays quick

    wanted = Reset(account=reset, by=by, reason=reason, rebase_peak=rebase_peak) if reset else None
    show_breakers(config, wanted, as_json=as_json)


trading.register(app)
checking.register(app)
simulate.register(app)
data.register(app)
drift.register(app)
optimize.register(app)
agents.register(app)
gateway.register(app)


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
