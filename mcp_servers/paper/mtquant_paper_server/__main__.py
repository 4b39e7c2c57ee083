"""``mtquant-paper-server``: serve a paper account over stdio or HTTP."""

from __future__ import annotations

import argparse
import json
import logging
import sqlite3
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio

from mtquant.clock import SystemClock
from mtquant.config import secret
from mtquant.contract import Scope
from mtquant.errors import ConfigError, MtquantError
from mtquant.exchange import PaperSettings
from mtquant.ledger import Ledger
from mtquant.plugins import load_catalogue
from mtquant.wire import run_http, run_stdio, serve
from mtquant_paper_server.broker import PaperBroker

_EXAMPLE = """example, a seeded random walk in real time:
  mtquant-paper-server --state ./paper --settings \\
    '{"prices": {"plugin": "walk", "timeframe": "S1"}, "clock": "real", "rebase": true,
      "history": 1000}'
"""


def main() -> None:
    """Read the command line, serve until told to stop, and exit 2 on a wrong setting."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        anyio.run(_serve, _arguments())
    except MtquantError as error:
        sys.stderr.write(f"mtquant-paper-server: {error}\n")
        sys.exit(2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mtquant-paper-server",
        description="A paper trading account as an MCP broker server.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--settings", default="{}", help="a JSON object, or @FILE of TOML")
    parser.add_argument(
        "--state", type=Path, default=Path("paper-account"), help="folder of the account's files"
    )
    parser.add_argument("--read-only", action="store_true", help="offer no tool that trades")
    parser.add_argument("--http", type=_port, metavar="PORT", help="serve on 127.0.0.1:PORT/mcp")
    parser.add_argument(
        "--token", metavar="REFERENCE", help="the bearer token for --http: env:NAME or file:PATH"
    )
    return parser.parse_args()


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 1 << 16:
        raise ValueError
    return port


def _settings(text: str) -> dict[str, Any]:
    try:
        if text.startswith("@"):
            return tomllib.loads(Path(text[1:]).read_text(encoding="utf-8"))
        table = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError("--settings", f"can't be read: {error}", "Correct it.") from None
    if not isinstance(table, dict):
        raise ConfigError("--settings", "is no JSON object", 'Write {"balance": "5000"}.')
    return table


async def _serve(arguments: argparse.Namespace) -> None:
    settings = PaperSettings.read(_settings(arguments.settings), "settings")
    prices = dict(settings.prices)
    name = str(prices.pop("plugin"))
    source = load_catalogue().make("source", name, prices, where="settings.prices")
    clock = SystemClock()
    try:
        broker = PaperBroker(settings, source, arguments.state, clock)
        ledger = Ledger(arguments.state / "ledger.db", clock, account=settings.account_id)
    except (OSError, sqlite3.Error) as error:
        problem = f"{str(arguments.state)!r} can't be opened: {error}"
        raise ConfigError("--state", problem, "Name a folder that you may write to.") from None
    with closing(broker), closing(ledger):
        await _run(broker, ledger, arguments)


async def _run(broker: PaperBroker, ledger: Ledger, arguments: argparse.Namespace) -> None:
    scopes = frozenset({Scope.READ}) if arguments.read_only else frozenset(Scope)
    server = serve(broker, ledger=ledger, scopes=scopes, name="mtquant-paper")
    if arguments.http is None:
        await run_stdio(server)
        return
    if arguments.token is None:
        raise ConfigError("--token", "is missing", "HTTP needs one: --token env:PAPER_TOKEN")
    token = secret(arguments.token, "--token")
    try:
        await run_http(server, tokens={token: scopes}, port=arguments.http)
    except OSError as error:
        problem = f"port {arguments.http} can't be had: {error.strerror}"
        raise ConfigError("--http", problem, "Choose another.") from None


if __name__ == "__main__":
    main()
