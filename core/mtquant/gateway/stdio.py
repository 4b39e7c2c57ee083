"""The gateway for one client that starts it as a process."""

from __future__ import annotations

from collections.abc import Mapping

from mtquant.agents.port import Desk
from mtquant.agents.tool import AgentTool
from mtquant.gateway.server import gateway
from mtquant.wire import run_stdio


async def run_gateway_stdio(
    desk: Desk, tools: Mapping[str, AgentTool], *, agent: str, dry_run: bool = False
) -> None:
    """Serve one client over stdin and stdout, until it hangs up or a signal asks to stop.

    Every call is that of ``agent``: who can start this process needs no token. A line of more than
    1 MiB ends the connection.
    """
    await run_stdio(gateway(desk, tools, agent=agent, dry_run=dry_run))
