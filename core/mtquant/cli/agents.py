"""``mtquant agents``: which LLM agents there are, what each may do, and what it used of that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
Name = Annotated[str, typer.Argument(help="Small letters, digits, - and _.")]
By = Annotated[str | None, typer.Option("--by", help="Who says so, for the journal; else you.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="What its tools may do: read, propose, trade, admin; repeatable."),
]
Mode = Annotated[
    str | None,
    typer.Option(
        help="What becomes of its orders that open: semi (each waits for you), auto (sent, with"
        " scope trade) or manual (looked at by the gate, never sent)."
    ),
]
Instruments = Annotated[
    list[str] | None,
    typer.Option("--instrument", help="What it may open: EUR/USD, * for all, none; repeatable."),
]
Notional = Annotated[
    str | None, typer.Option(help="The most that it may open within 24 hours, and hold.")
]
Orders = Annotated[
    str | None, typer.Option(help="How many orders that open it may send within 24 hours.")
]
Loss = Annotated[str | None, typer.Option(help="What it may lose within 24 hours.")]
Currency = Annotated[str | None, typer.Option(help="Of --notional and --loss: USD.")]
Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", help="What it may backtest: a plugin, * for all; repeatable."),
]
Calls = Annotated[
    str | None, typer.Option("--calls-per-second", help="How often it may call tools.")
]
_HERE = Path("mtquant.toml")

agents = typer.Typer(invoke_without_command=True)


@agents.callback(epilog="Example: mtquant agents --json")
def _list(
    context: typer.Context,
    config: ConfigPath = _HERE,
    as_json: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--json", help="Print JSON for machines.")
    ] = False,
) -> None:
    """List the LLM agents: what each may do, what it used of its budget today, what is left.

    A running engine knows what was used; without one the budgets are listed alone.
    """
    if context.invoked_subcommand is not None:
        return
    from mtquant.cli.enrolling import show_agents  # noqa: PLC0415 - --help stays quick

    show_agents(config, as_json=as_json)


@agents.command(
    epilog="Example: mtquant agents add claude --scope read --scope propose --instrument EUR/USD"
    " --notional 50000 --orders 20 --loss 500"
)
def add(  # noqa: PLR0913, PLR0917 - the options of a command
    name: Name,
    scope: Scopes = None,
    mode: Mode = None,
    instrument: Instruments = None,
    notional: Notional = None,
    orders: Orders = None,
    loss: Loss = None,
    currency: Currency = None,
    strategy: Strategies = None,
    calls_per_second: Calls = None,
    no_token: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--no-token", help="Make none: it may come over stdio only.")
    ] = False,
    by: By = None,
    config: ConfigPath = _HERE,
) -> None:
    """Enrol an LLM agent, and print its token once; what isn't given, it may not.

    Unless told otherwise it may read alone, its mode is semi, its money is USD, and it may call 10
    times a second.
    """
    from mtquant.cli.enrolling import enrol  # noqa: PLC0415 - --help stays quick

    given = _given(
        scopes=scope,
        mode=mode,
        instruments=instrument,
        notional=notional,
        orders=orders,
        loss=loss,
        currency=currency,
        strategies=strategy,
        calls_per_second=calls_per_second,
    )
    enrol(config, name, given, token=not no_token, by=by)


@agents.command(epilog="Example: mtquant agents change claude --notional 20000 --instrument '*'")
def change(  # noqa: PLR0913, PLR0917 - the options of a command
    name: Name,
    scope: Scopes = None,
    mode: Mode = None,
    instrument: Instruments = None,
    notional: Notional = None,
    orders: Orders = None,
    loss: Loss = None,
    currency: Currency = None,
    strategy: Strategies = None,
    calls_per_second: Calls = None,
    by: By = None,
    config: ConfigPath = _HERE,
) -> None:
    """Change what an agent may do, from its next call on; what isn't given stays as it is."""
    from mtquant.cli.enrolling import alter  # noqa: PLC0415 - --help stays quick

    given = _given(
        scopes=scope,
        mode=mode,
        instruments=instrument,
        notional=notional,
        orders=orders,
        loss=loss,
        currency=currency,
        strategies=strategy,
        calls_per_second=calls_per_second,
    )
    alter(config, name, given, by=by)


@agents.command(epilog="Example: mtquant agents renew claude")
def renew(name: Name, by: By = None, config: ConfigPath = _HERE) -> None:
    """Print a new token of an agent, once; the one before opens nothing any more."""
    from mtquant.cli.enrolling import renew as renew_token  # noqa: PLC0415 - --help stays quick

    renew_token(config, name, by=by)


@agents.command(epilog="Example: mtquant agents revoke claude")
def revoke(name: Name, by: By = None, config: ConfigPath = _HERE) -> None:
    """Take an agent away: its next call is refused. Its positions stay, with their stops."""
    from mtquant.cli.enrolling import revoke as revoke_agent  # noqa: PLC0415 - --help stays quick

    revoke_agent(config, name, by=by)


def _given(**options: object) -> dict[str, Any]:
    """Return the options that were given."""
    return {key: value for key, value in options.items() if value is not None}


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.add_typer(agents, name="agents")
