"""What each server's tools were when it was first met: a server that was replaced shows by it.

The digests lie in ``pins.json`` in the state folder, readable by its owner alone, and outlast a
restart. A change is told once. Where the account is real money, or was when it was last looked at,
nothing new is opened there until a person accepts the change: a version is only the server's word.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from mtquant.contract import Level, Settings
from mtquant.model import Environment

FILE = "pins.json"
_PLAY = {Environment.PAPER, Environment.PRACTICE}


class Pin(Settings):
    """A server as it was met: the SHA-256 of its list of tools, its version, what it trades.

    ``accepted`` is false from a change on that a person has to accept, until he does.
    """

    tools: str
    version: str
    environment: Environment
    accepted: bool = True


class _File(Settings):
    version: int = Field(1, ge=1, le=1)
    pins: Mapping[str, Pin] = Field(default_factory=dict)


class Pins:
    """The pins in the state folder ``folder``, by the name of the server.

    ``note`` writes into the journal, ``tell`` tells people. A file that can't be read or written
    is told of once; then a server is held to what it was since this start.
    """

    def __init__(
        self,
        folder: Path,
        note: Callable[[str, dict[str, Any]], object],
        tell: Callable[[Level, str], None],
    ) -> None:
        self._path = folder / FILE
        self._note, self._tell = note, tell
        self._pins: dict[str, Pin] | None = None
        self._failed = False

    def look(self, account: str, server: str, seen: Pin) -> str:
        """Return why ``server``, before ``account``, isn't trusted with new exposure, or nothing.

        A server without a list that can change, such as one in this process, isn't held to one.
        """
        known = self._known().get(server)
        if known is None:
            self._keep(server, seen)
            return ""
        if known.tools != seen.tools:
            known = self._change(account, server, known, seen)
        elif known.version != seen.version:
            known = known.model_copy(update={"version": seen.version})
            self._keep(server, known)
        if known.accepted:
            return ""
        return (
            f"the tools of {server} have changed and nobody has accepted it: make sure that this "
            f"is the server you trust, then mtquant reconcile --broker {account} --accept --why ..."
        )

    def _change(self, account: str, server: str, known: Pin, seen: Pin) -> Pin:
        play = {known.environment, seen.environment} <= _PLAY
        environment = seen.environment if play else Environment.LIVE
        kept = seen.model_copy(update={"accepted": play, "environment": environment})
        self._keep(server, kept)
        upgraded = known.version != seen.version
        body = {
            "account": account,
            "server": server,
            "before": known.tools,
            "after": seen.tools,
            "version_before": known.version,
            "version_after": seen.version,
            "accepted": play,
        }
        self._note("pin_changed", body)
        what = f"the tools of {server} have changed since they were first listed"
        if upgraded:
            what += f" (version {known.version or '?'} before, {seen.version or '?'} now)"
        rest = "" if play else f"; nothing new is opened at {account} until a person accepts it"
        level = Level.WARNING if upgraded else Level.ALARM
        self._tell(level, f"{what}: make sure that this is the server you trust{rest}")
        return kept

    def accept(self, account: str, server: str, by: str, why: str) -> bool:
        """Trust ``server`` as it is now; return False where nothing had to be accepted."""
        known = self._known().get(server)
        if known is None or known.accepted:
            return False
        body = {"account": account, "server": server, "tools": known.tools, "by": by, "why": why}
        self._note("pin_accepted", body)
        self._keep(server, known.model_copy(update={"accepted": True}))
        self._tell(Level.INFO, f"the changed tools of {server} are accepted by {by}: {why}")
        return True

    def _known(self) -> dict[str, Pin]:
        if self._pins is None:
            self._pins = {}
            try:
                table = json.loads(self._path.read_text(encoding="utf-8"))
                self._pins = dict(_File.model_validate(table).pins)
            except FileNotFoundError:
                pass
            except (OSError, ValueError, RecursionError) as error:
                self._fail(error)
        return self._pins

    def _keep(self, server: str, pin: Pin) -> None:
        pins = self._known()
        pins[server] = pin
        body = {"version": 1, "pins": {key: each.model_dump() for key, each in pins.items()}}
        fresh = self._path.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(body, file, indent=1)
            fresh.replace(self._path)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            why = getattr(error, "strerror", None) or type(error).__name__
            self._tell(
                Level.ALARM,
                f"{self._path} can't be used ({why}): whether a server's tools have changed since "
                "the last start isn't known. Mend it, or take it away",
            )
