"""``mtquant gateway``: the MCP server through which LLM agents trade."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gateway(  # noqa: PLR0913, PLR0917 - the options of a command
    agent: Annotated[
        str | None, typer.Option(help="Over stdio: the agent that the client is.")
    ] = None,
    http: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, metavar="PORT", help="Over HTTP instead, on PORT at /mcp."),
    ] = None,
    host: Annotated[str, typer.Option(help="With --http: the address to bind.")] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="With --http: a host name clients may use; repeatable."),
    ] = None,
    tls: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="CHAIN KEY", help="With --http: PEM files of a certificate."),
    ] = None,
    expose: Annotated[  # noqa: FBT002 - a command line flag
        bool,
        typer.Option("--expose", help="Bind beyond this machine though nothing here encrypts."),
    ] = False,
    issuer: Annotated[
        str | None, typer.Option(help="With --http: an OAuth 2.1 server's URL, for its metadata.")
    ] = None,
    dry_run: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--dry-run", help="Look at everything, send nothing.")
    ] = False,
    live: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--live", help="Trade the real accounts that the file names.")
    ] = False,
    confirm: Annotated[
        list[str] | None,
        typer.Option("--confirm", help="A real account's number, instead of typing it."),
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path(
        "mtquant.toml"
    ),
) -> None:
    """Serve LLM agents over MCP, by stdio for one client or by HTTP, until it hangs up or Ctrl-C.

    Where `mtquant run` runs over that configuration the agents reach it; where none does, an
    engine is started that trades for agents alone and no strategy. Exit codes as of `mtquant run`.
    """
    from mtquant.cli.gating import Served, serve  # noqa: PLC0415 - --help stays quick

    wanted = Served(
        agent=agent,
        http=http,
        host=host,
        names=tuple(name or ()),
        tls=tls,
        exposed=expose,
        issuer=issuer,
        dry_run=dry_run,
    )
    raise typer.Exit(serve(config, wanted, live=live, confirmed=confirm or ()))


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(epilog="Example: mtquant gateway --agent claude --config mtquant.toml")(gateway)
