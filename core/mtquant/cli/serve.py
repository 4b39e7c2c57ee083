"""``mtquant serve``: an installed broker class as an MCP server."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtquant import serving
from mtquant.contract import Broker
from mtquant.plugins import load_catalogue

_EXAMPLE = """example, over HTTP behind a token that may not open positions:
  mtquant serve coindesk --state ./coindesk --http 8765 --token env:COIN_TOKEN=read,reduce
"""


def serve(arguments: list[str]) -> None:
    """Serve the broker plugin that ``arguments`` name, until told to stop."""
    parser = argparse.ArgumentParser(
        prog="mtquant serve",
        description="Serve an installed broker class as an MCP server.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("broker", metavar="NAME", help="the broker plugin")
    parser.add_argument("--account", default="", help="the account's name (that of the plugin)")
    serving.add_options(parser, state="broker-account")
    options = parser.parse_args(arguments)

    def make(settings: Mapping[str, Any], state: Path) -> Broker:
        plugin = load_catalogue().make("broker", options.broker, settings, where="--settings")
        broker: Broker = plugin.broker(options.account or options.broker, str(state))
        return broker

    serving.main(
        parser,
        make,
        account=options.account or options.broker,
        name=f"mtquant-{options.broker}",
        argv=arguments,
    )
