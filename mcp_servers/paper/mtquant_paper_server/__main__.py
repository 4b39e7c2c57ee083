"""``mtquant-paper-server``: serve a paper account over stdio or HTTP."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtquant import serving
from mtquant.clock import SystemClock
from mtquant.exchange import PaperSettings
from mtquant.plugins import load_catalogue
from mtquant_paper_server.broker import PaperBroker

_EXAMPLE = """example, a seeded random walk in real time:
  mtquant-paper-server --state ./paper --settings \\
    '{"prices": {"plugin": "walk", "timeframe": "S1"}, "clock": "real", "rebase": true,
      "history": 1000}'
"""


def main() -> None:
    """Read the command line, serve until told to stop, and exit 2 on a wrong setting."""
    serving.main(parser(), make, account="paper", name="mtquant-paper", argv=sys.argv[1:])


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    made = argparse.ArgumentParser(
        prog="mtquant-paper-server",
        description="A paper trading account as an MCP broker server.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serving.add_options(made, state="paper-account")
    return made


def make(table: Mapping[str, Any], state: Path) -> PaperBroker:
    """Return the paper account that ``table`` describes, in the folder ``state``."""
    settings = PaperSettings.read(table, "settings")
    prices = dict(settings.prices)
    name = str(prices.pop("plugin"))
    source = load_catalogue().make("source", name, prices, where="settings.prices")
    return PaperBroker(settings, source, state, SystemClock())


if __name__ == "__main__":
    main()
