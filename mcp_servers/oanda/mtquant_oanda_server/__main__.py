"""``mtquant-oanda-server``: serve an OANDA account over stdio or HTTP."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtquant import serving
from mtquant.clock import SystemClock
from mtquant.secrets import secret
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.settings import OandaSettings
from mtquant_oanda_server.stepped import SteppedOanda

_EXAMPLE = """example, a practice account whose token is in OANDA_TOKEN:
  mtquant-oanda-server --state ./oanda --settings '{"account_id": "101-004-1234567-001"}'

A live account: "environment": "live" in the settings, and --live with the account's number;
without --live it is read only.
"""


def main() -> None:
    """Read the command line, serve until told to stop, and exit 2 on a wrong setting."""
    serving.main(parser(), make, account="oanda", name="mtquant-oanda", argv=sys.argv[1:])


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    made = argparse.ArgumentParser(
        prog="mtquant-oanda-server",
        description="An OANDA v20 account as an MCP broker server.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serving.add_options(made, state="oanda-account")
    return made


def make(table: Mapping[str, Any], state: Path) -> OandaBroker:
    """Return the account that ``table`` describes; its files go into the folder ``state``."""
    settings = OandaSettings.read(table, "settings")
    settings.check()
    token = secret(settings.token, "settings.token")
    kind = SteppedOanda if settings.stepped else OandaBroker
    return kind(settings, token, SystemClock(), state)


if __name__ == "__main__":
    main()
