"""OANDA: a v20 account behind its own MCP server."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mtquant.contract import BrokerPlugin, Endpoint, Settings
from mtquant.errors import ConfigError, PluginError


class OandaSettings(Settings):
    """Which account at OANDA, and how its server gets there.

    ``account_id`` is OANDA's number of the account; ``access_token`` refers to the token
    (``env:NAME``, ``file:PATH``, ``keyring:SERVICE/NAME``). ``environment`` chooses OANDA's host;
    a live account is read only unless ``trade_live`` repeats its number. ``url`` is a simulator on
    this machine. ``options`` are further settings of the server: docs/brokers/oanda.md lists them.
    """

    account_id: str
    access_token: str = "env:OANDA_TOKEN"  # noqa: S105 - where it is, not what it is
    environment: Literal["practice", "live"] = "practice"
    trade_live: str = ""
    url: str = ""
    options: Mapping[str, Any] = Field(default_factory=dict)


class Oanda(BrokerPlugin[OandaSettings]):
    """Starts ``mtquant-oanda-server`` for an account; its files lie in the state folder."""

    name = "oanda"

    def endpoints(self, account: str, state_dir: str) -> Sequence[Endpoint]:
        """Return the one server of this account."""
        if importlib.util.find_spec("mtquant_oanda_server") is None:
            raise PluginError(
                "OANDA's server is not installed; in a clone: pip install -e mcp_servers/oanda"
            )
        settings = self.settings
        live = settings.trade_live
        if live and (settings.environment != "live" or live != settings.account_id):
            raise ConfigError(
                f"brokers.{account}.trade_live",
                f"{live!r} is not the number of a live account that is configured here",
                "Set environment = 'live' and account_id to the same number, or leave it out.",
            )
        table = {
            "account_id": settings.account_id,
            "token": settings.access_token,
            "environment": settings.environment,
            "url": settings.url,
            **settings.options,
        }
        command = (
            sys.executable,
            "-m",
            "mtquant_oanda_server",
            "--settings",
            json.dumps(table),
            "--state",
            str(Path(state_dir) / account),
            *(("--live", live) if live else ()),
        )
        return (Endpoint(command=command, environment=self._environment()),)

    def _environment(self) -> Mapping[str, str]:
        """Return the variable that holds the token: a child sees no others of ours."""
        kind, _, name = self.settings.access_token.partition(":")
        value = os.environ.get(name) if kind == "env" else None
        return {name: value} if value else {}

    def spelling(self) -> Mapping[str, Any]:
        """Return how OANDA spells symbols: ``EUR_USD``."""
        return {"separator": "_"}
