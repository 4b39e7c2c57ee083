"""The port between the wire and the engine's desk of agents.

:class:`mtquant.agents.desk.AgentDesk` is it in the engine's own process,
:class:`mtquant.agents.reached.ReachedDesk` over the channel to a running engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mtquant.agents.answer import Answer


class Desk(Protocol):
    """What the gateway asks. Nothing of it raises but AgentRefused; ``agent`` is a name.

    Who isn't enrolled, or no more, is refused at each of these.
    """

    async def offered(self, agent: str) -> Sequence[str]:
        """Return the names of the tools within the agent's scopes."""

    async def call(
        self, agent: str, tool: str, arguments: Mapping[str, Any], *, dry_run: bool
    ) -> Answer:
        """Call a tool and return its answer, or the error that it came to."""

    async def answer(
        self, agent: str, number: int, digest: str, *, approve: bool, code: str
    ) -> Answer:
        """Take in what a person answered in the agent's client, and return the order's answer.

        A no counts as it is. A yes counts only with the code that ``mtquant suggestions`` shows the
        person, which nothing that the agent may ask ever tells.
        """

    async def read(self, agent: str, name: str) -> Mapping[str, Any]:
        """Return the resource ``name`` (portfolio, risk, quotes, journal), JSON-ready."""

    async def marks(self, agent: str) -> Mapping[str, str]:
        """Return, by resource name, what changes whenever the resource does."""

    async def refuse(self, agent: str, what: str, why: str) -> None:
        """Put an attempt that the gateway itself refused into the trail; ``agent`` may be empty."""
