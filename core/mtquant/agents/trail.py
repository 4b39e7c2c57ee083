"""What agents did, in the journal: each call that changed or was refused, and how much was read.

Of what only reads, and of refusals for calling too often, the first of a kind in a minute is put
down at once and the others are counted, so that an agent that polls doesn't fill the journal.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mtquant.agents.outside import outside
from mtquant.clock import SECOND, Clock
from mtquant.journal import Journal
from mtquant.model import to_json
from mtquant.secrets import masked

ARGUMENTS_LIMIT = 1000
"""The most of a call's arguments that is kept, in characters; its digest names the rest."""
_COUNTED_S = 60
_SHORT = 64


class AgentTrail:
    """Writes calls of agents into ``journal``."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._reads: dict[str, Counter[str]] = {}
        self._since = clock.now()

    def called(
        self,
        agent: str,
        tool: str,
        arguments: Mapping[str, Any],
        code: str,
        *,
        seconds: float,
        dry_run: bool,
    ) -> None:
        """Put a call down: what was asked, what it came to, how long it took."""
        given = dict(arguments)
        body = {
            "agent": outside(agent, _SHORT),
            "tool": outside(tool, _SHORT),
            "arguments": outside(_text(masked(given)), ARGUMENTS_LIMIT),
            "digest": hashlib.sha256(_text(given).encode("utf-8", "surrogatepass")).hexdigest(),
            "code": code,
            "ms": round(seconds * 1000, 3),
        }
        self._journal.append("agent_call", body | ({"dry_run": True} if dry_run else {}))

    def read(self, agent: str, tool: str, code: str = "") -> None:
        """Take in a call that changed nothing; ``code`` is why it was refused, if it was."""
        if self._clock.now() - self._since >= _COUNTED_S * SECOND:
            self.settle()
        counted = self._reads.setdefault(outside(agent, _SHORT), Counter())
        key = f"{outside(tool, _SHORT)} {code}".strip()
        if key in counted:
            counted[key] += 1
            return
        counted[key] = 0
        self._journal.append("agent_reads", {"agent": outside(agent, _SHORT), "calls": {key: 1}})

    def settle(self) -> None:
        """Put down what was counted so far."""
        self._since = self._clock.now()
        for agent, counted in self._reads.items():
            calls = {key: number for key, number in counted.items() if number}
            if calls:
                self._journal.append("agent_reads", {"agent": agent, "calls": calls})
        self._reads.clear()

    def refused(self, agent: str, what: str, why: str) -> None:
        """Put down an attempt that came to no tool at all."""
        body = {"agent": outside(agent, _SHORT), "what": outside(what), "why": outside(why)}
        self._journal.append("agent_refused", body)


def _text(arguments: Mapping[str, Any]) -> str:
    """Return arguments as JSON; what isn't such is no reason to lose the trail of it."""
    try:
        return to_json(arguments)
    except (TypeError, ValueError, RecursionError):
        return "(not JSON)"
