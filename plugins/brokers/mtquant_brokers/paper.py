"""The paper broker: a simulated account behind its own MCP server."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtquant.contract import BrokerPlugin, Endpoint
from mtquant.errors import PluginError
from mtquant.exchange import PaperSettings


class Paper(BrokerPlugin[PaperSettings]):
    """Starts ``mtquant-paper-server`` for an account; its files lie in the state folder."""

    name = "paper"

    def endpoints(self, account: str, state_dir: str) -> Sequence[Endpoint]:
        """Return the one server of this account."""
        if importlib.util.find_spec("mtquant_paper_server") is None:
            raise PluginError(
                "the paper broker's server is not installed; "
                "in a clone: pip install -e mcp_servers/paper"
            )
        settings = self.settings.model_copy(update={"account_id": account})
        command = (
            sys.executable,
            "-m",
            "mtquant_paper_server",
            "--settings",
            settings.model_dump_json(exclude_unset=True),
            "--state",
            str(Path(state_dir) / account),
        )
        return (Endpoint(command=command),)

    def spelling(self) -> Mapping[str, Any]:
        """Return how the account spells symbols."""
        return self.settings.spelling.model_dump()
