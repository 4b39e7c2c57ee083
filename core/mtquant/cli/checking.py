"""The commands that look at the installation, the configuration and the brokers' symbols."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_HERE = Path("mtquant.toml")

symbols = typer.Typer(help="The brokers' symbols, and ours.", no_args_is_help=True)
settings = typer.Typer(help="The configuration.", no_args_is_help=True)


def doctor(
    config: ConfigPath = _HERE,
    limit_s: Annotated[
        float, typer.Option("--limit", help="Seconds that a broker's server may take.")
    ] = 20.0,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Look for what is wrong: Python, plugins, brokers, clocks, disk, permissions.

    Exit codes: 0 nothing is; 1 something is. No order is ever sent.
    """
    from mtquant.cli.looks import show_doctor  # noqa: PLC0415 - --help stays quick

    raise typer.Exit(show_doctor(config, limit_s, as_json=as_json))


@symbols.command("list", epilog="Example: mtquant symbols list --search EUR")
def symbols_list(
    config: ConfigPath = _HERE,
    search: Annotated[str, typer.Option(help="Only symbols that contain this.")] = "",
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List every symbol, and how each broker spells it."""
    from mtquant.cli.symbols import list_symbols  # noqa: PLC0415 - --help stays quick

    list_symbols(config, search, as_json=as_json)


@symbols.command("map", epilog="Example: mtquant symbols map EUR/USD")
def symbols_map(
    symbol: Annotated[str, typer.Argument(help="Such as EUR/USD.")],
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show one symbol at each broker: its spelling, steps, size, margin and hours."""
    from mtquant.cli.symbols import map_symbol  # noqa: PLC0415 - --help stays quick

    map_symbol(config, symbol, as_json=as_json)


@symbols.command("check", epilog="Example: mtquant symbols check")
def symbols_check(
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Compare what the brokers say of the symbols that strategies trade.

    Exit codes: 0 nothing that matters differs; 1 something does, or a symbol isn't listed.
    """
    from mtquant.cli.symbols import check_symbols  # noqa: PLC0415 - --help stays quick

    raise typer.Exit(check_symbols(config, as_json=as_json))


@settings.command("check", epilog="Example: mtquant config check -c mtquant.toml")
def config_check(
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Validate everything that can be without a connection; exit code 2 where it is wrong."""
    from mtquant.cli.settings import check_config  # noqa: PLC0415 - --help stays quick

    check_config(config, as_json=as_json)


@settings.command("show", epilog="Example: mtquant config show --json")
def config_show(
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Print the whole configuration, with defaults filled in and secrets masked."""
    from mtquant.cli.settings import show_config  # noqa: PLC0415 - --help stays quick

    show_config(config, as_json=as_json)


def log(
    config: ConfigPath = _HERE,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only entries of this kind; repeatable.")
    ] = None,
    last: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 20,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show the journal's last entries: orders, fills, and why the gate said yes or no."""
    from mtquant.cli.log import show_log  # noqa: PLC0415 - --help stays quick

    show_log(config, kind or (), last, as_json=as_json)


audit = typer.Typer(help="Whether the journal is what was written, and what is in it.")


@audit.command("verify", epilog="Example: mtquant audit verify --anchor /mnt/other/anchor.jsonl")
def audit_verify(
    config: ConfigPath = _HERE,
    anchor: Annotated[
        Path | None, typer.Option(help="The anchor's file, if not the configured one.")
    ] = None,
    key: Annotated[
        str, typer.Option(help="The public key to trust, if not the one in the anchor.")
    ] = "",
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Follow the hash chain through archives and journal; exit code 1 where it is broken."""
    from mtquant.cli.trail import show_verified  # noqa: PLC0415 - --help stays quick

    raise typer.Exit(show_verified(config, anchor, key, as_json=as_json))


@audit.command("archive", epilog="Example: mtquant audit archive")
def audit_archive(
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Close the journal into an archive and begin a new one; the engine must be stopped.

    Exit codes: 0 done; 1 something hindered it, and was left as it is.
    """
    from mtquant.cli.trail import archive_now  # noqa: PLC0415 - --help stays quick

    raise typer.Exit(archive_now(config, as_json=as_json))


@audit.command("show", epilog="Example: mtquant audit show O12")
def audit_show(
    order: Annotated[str, typer.Argument(help="The client order id, or the broker's id.")],
    broker: Annotated[str | None, typer.Option("--broker", help="Only at this account.")] = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Tell one order's whole story: signal, verdict, intent, replies, executions."""
    from mtquant.cli.trail import show_story  # noqa: PLC0415 - --help stays quick

    show_story(config, order, broker, as_json=as_json)


@audit.command("export", epilog="Example: mtquant audit export --format csv --strategy trend")
def audit_export(  # noqa: PLR0913, PLR0917 - the options of a command
    config: ConfigPath = _HERE,
    form: Annotated[str, typer.Option("--format", help="jsonl or csv.")] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="A file; unless told, standard output.")] = None,
    since: Annotated[
        str | None, typer.Option(help="From this time on, such as 2026-11-20T08:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only entries of this kind; repeatable.")
    ] = None,
    order: Annotated[str, typer.Option(help="Only of this client order id.")] = "",
    strategy: Annotated[str, typer.Option(help="Only of this strategy.")] = "",
    by: Annotated[str, typer.Option(help="Only of this person or agent.")] = "",
) -> None:
    """Write entries of the journal as JSON lines or CSV, with their hashes."""
    from mtquant.cli.trail import exported  # noqa: PLC0415 - --help stays quick

    conditions = {"kinds": tuple(kind or ()), "order": order, "strategy": strategy, "by": by}
    exported(config, form, out, since, until, conditions)


def watch(
    config: ConfigPath = _HERE,
    once: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--once", help="Print it once and leave.")
    ] = False,
) -> None:
    """Show a running engine: quotes, positions, orders, risk and its log; Ctrl-C leaves."""
    from mtquant.cli.watch import watch as show_watch  # noqa: PLC0415 - --help stays quick

    try:
        show_watch(config, once=once)
    except KeyboardInterrupt:
        raise typer.Exit from None


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command(epilog="Example: mtquant doctor -c mtquant.toml")(doctor)
    app.command(epilog="Example: mtquant watch")(watch)
    app.command(epilog="Example: mtquant log --kind verdict --last 5")(log)
    app.add_typer(audit, name="audit")
    app.add_typer(symbols, name="symbols")
    app.add_typer(settings, name="config")
