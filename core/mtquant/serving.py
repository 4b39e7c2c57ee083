"""What every server command shares: its options, and how a broker is served by them.

A server's ``__main__`` is then a few lines: ``add_options`` to a parser, make the broker, ``run``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sqlite3
import sys
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import anyio

from mtquant.clock import SystemClock
from mtquant.config import secret
from mtquant.contract import Broker, Scope
from mtquant.errors import ConfigError, MtquantError
from mtquant.ledger import Ledger
from mtquant.wire import run_http, run_stdio, serve
from mtquant.wire.limits import Limits

Make = Callable[[Mapping[str, Any], Path], Broker]
"""Makes a broker of its settings and the folder of its files."""


def add_options(parser: argparse.ArgumentParser, *, state: str) -> None:
    """Add the options that every server has; ``state`` is the folder unless one is given."""
    parser.add_argument("--settings", default="{}", help="a JSON object, or @FILE of TOML")
    parser.add_argument(
        "--state", type=Path, default=Path(state), help="folder of the account's files"
    )
    parser.add_argument("--read-only", action="store_true", help="offer no tool that trades")
    parser.add_argument(
        "--live", metavar="ACCOUNT", help="trade this live account; without it none is traded"
    )
    parser.add_argument("--compact", action="store_true", help="list tools without their answers")
    limits = parser.add_argument_group("limits that no client lifts")
    limits.add_argument("--largest-order", type=_decimal, metavar="UNITS", help="in base units")
    limits.add_argument("--orders-per-minute", type=int, metavar="N")
    limits.add_argument("--calls-per-second", type=float, metavar="N")
    limits.add_argument("--instruments", default="", metavar="A,B", help="the only ones traded")
    http = parser.add_argument_group("over HTTP instead of stdio")
    http.add_argument("--http", type=_port, metavar="PORT", help="serve on PORT at /mcp")
    http.add_argument(
        "--token",
        action="append",
        default=[],
        metavar="REFERENCE[=SCOPES]",
        help="a bearer token, env:NAME or file:PATH, and what it opens: read,reduce,trade",
    )
    http.add_argument("--host", default="127.0.0.1", help="the address to bind (127.0.0.1)")
    http.add_argument("--name", action="append", default=[], help="a host name clients may use")
    http.add_argument("--tls", nargs=2, metavar=("CHAIN", "KEY"), help="PEM files")
    http.add_argument(
        "--expose", action="store_true", help="bind beyond loopback though nothing here encrypts"
    )


def main(
    parser: argparse.ArgumentParser, make: Make, *, account: str, name: str, argv: list[str]
) -> None:
    """Serve what ``make`` makes until told to stop; exit 2, with one line, on a wrong setting."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        run(parser.parse_args(argv), make, account=account, name=name)
    except MtquantError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        sys.exit(2)


def run(options: argparse.Namespace, make: Make, *, account: str, name: str) -> None:
    """Serve the broker that ``make`` makes, as ``options`` say, until told to stop.

    Raises ConfigError where an option is wrong. ``account`` is the one in the ledger.
    """
    settings = read_settings(options.settings)
    state: Path = options.state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        broker = make(settings, state)
        ledger = Ledger(
            state / "ledger.db", SystemClock(), account=str(settings.get("account_id", account))
        )
    except (OSError, sqlite3.Error) as error:
        problem = f"{str(state)!r} can't be opened: {error}"
        raise ConfigError("--state", problem, "Name a folder that you may write to.") from None
    try:
        anyio.run(_serve, broker, ledger, options, name)
    finally:
        ledger.close()


async def _serve(broker: Broker, ledger: Ledger, options: argparse.Namespace, name: str) -> None:
    scopes = frozenset({Scope.READ}) if options.read_only else frozenset(Scope)
    async with broker:
        server = serve(
            broker,
            ledger=ledger,
            scopes=scopes,
            limits=_limits(options),
            live_account=options.live,
            compact=options.compact,
            name=name,
        )
        if options.http is None:
            await run_stdio(server)
            return
        if not options.token:
            raise ConfigError("--token", "is missing", "HTTP needs one: --token env:MY_TOKEN")
        try:
            await run_http(
                server,
                tokens=dict(_token(each, scopes) for each in options.token),
                port=options.http,
                host=options.host,
                tls=options.tls and tuple(options.tls),
                exposed=options.expose,
                names=options.name,
            )
        except OSError as error:
            problem = f"port {options.http} can't be had: {error.strerror}"
            raise ConfigError("--http", problem, "Choose another.") from None


def read_settings(text: str) -> dict[str, Any]:
    """Return the settings that ``text`` holds: JSON, or ``@FILE`` of TOML."""
    try:
        if text.startswith("@"):
            return tomllib.loads(Path(text[1:]).read_text(encoding="utf-8"))
        table = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError("--settings", f"can't be read: {error}", "Correct it.") from None
    if not isinstance(table, dict):
        raise ConfigError("--settings", "is no JSON object", 'Write {"balance": "5000"}.')
    return table


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(
        largest_order=options.largest_order,
        orders_per_minute=options.orders_per_minute,
        instruments=frozenset(each for each in options.instruments.split(",") if each),
        calls_per_second=options.calls_per_second,
    )


def _token(text: str, offered: frozenset[Scope]) -> tuple[str, frozenset[Scope]]:
    """Read ``REFERENCE[=SCOPES]``: the token itself, and the scopes it opens."""
    reference, _, scopes = text.partition("=")
    try:
        wanted = frozenset(Scope(each) for each in scopes.split(",")) if scopes else offered
    except ValueError:
        known = ", ".join(Scope)
        raise ConfigError("--token", f"{scopes!r} is no scope", f"Scopes are {known}.") from None
    return secret(reference, "--token"), wanted & offered


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError from None
    if not (value.is_finite() and value > 0):
        raise ValueError
    return value


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 1 << 16:
        raise ValueError
    return port
