"""The account whose server the demo kills: what it is, how it is hit, and what it says after."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mtquant.engine import Engine


class Victim(Protocol):
    """One account of the demo. ``words`` tell a reader what and where it is."""

    name: str
    words: str
    notes: tuple[str, ...]

    def account(self, paper: dict[str, Any]) -> dict[str, Any]:
        """Return its table under ``brokers``; ``paper`` is that of a plain paper account."""

    def killer(self, process_id: int) -> Sequence[str]:
        """Return the command that says a line, and then kills a server with its next order."""

    async def differences(self, engine: Engine) -> list[str]:
        """Return, in sentences, where its own record isn't our book, asked past its server."""


class PaperVictim(Victim):
    """A paper account in ``folder``; its server's file is its record, and the audit reads that."""

    name = "paper-a"
    words = "paper-a (EURUSD.a), an MCP server in a process of its own"
    notes: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def account(self, paper: dict[str, Any]) -> dict[str, Any]:
        """Return a paper account that spells its symbols in its own way."""
        return paper | {"spelling": {"suffix": ".a"}}

    def killer(self, process_id: int) -> Sequence[str]:
        """Return the command that watches the account's file."""
        file = self._folder / self.name / "account.db"
        return (sys.executable, "-m", "mtquant.cli.kill", str(file), str(process_id))

    async def differences(self, engine: Engine) -> list[str]:
        """Return nothing: the audit has asked its server, which reads its file for each answer."""
        del engine
        return []
