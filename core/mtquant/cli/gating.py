"""Serving agents over MCP: in front of an engine that runs already, or of one started for it.

Over stdio, stdout belongs to the client: everything for people goes to stderr.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import TaskStatus
from rich.console import Console

from mtquant.agents.desk import TOOLS, AgentDesk
from mtquant.agents.port import Desk
from mtquant.agents.reached import ReachedDesk
from mtquant.agents.registry import Registry
from mtquant.cli.run import Beside, Run, confirm, keep
from mtquant.config import Config, GatewayTable, load_config
from mtquant.control.reach import reach
from mtquant.errors import ConfigError

_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How agents are served: ``agent`` over stdio, or all over HTTP on the port ``http``."""

    agent: str | None = None
    http: int | None = None
    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    tls: tuple[str, str] | None = None
    exposed: bool = False
    issuer: str | None = None
    dry_run: bool = False


def serve(path: Path, wanted: Served, *, live: bool, confirmed: Sequence[str]) -> int:
    """Serve agents over the configuration at ``path`` until the client hangs up or a signal.

    Return 0, or 1 where an order is left in doubt. Raises ConfigError where an option is wrong,
    nobody is enrolled under that name, or the configuration replays recorded bars.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    console = Console(stderr=True)
    config = load_config(path)
    registry = Registry(Path(config.engine.state_dir))
    _check(wanted, registry, console)
    if _engine_runs(config):
        _say(console, "an engine runs: agents reach it, and it says what may be traded")
        anyio.run(_bridge, config, wanted, registry, console)
        return 0
    if config.market.feed == "replay":
        raise ConfigError(
            "market.feed",
            "'replay' gives no prices to trade at now, and no engine runs",
            'Set feed = "live", or start `mtquant run` with this file first.',
        )
    if live:
        confirm(config, console, confirmed)
    beside = _over_http(wanted, registry, console) if wanted.agent is None else _over_stdio(wanted)
    return keep(
        Run(
            config=config,
            path=path,
            console=console,
            out=console,
            live=live,
            passive=True,
            beside=beside,
        )
    )


def mounted(config: Config, console: Console) -> Beside:
    """Return what serves agents over HTTP beside a run, as ``[gateway]`` says."""
    table = config.gateway
    wanted = Served(
        http=table.http,
        host=table.host,
        names=table.names,
        issuer=table.issuer,
        dry_run=table.dry_run,
    )
    registry = Registry(Path(config.engine.state_dir))
    _check(wanted, registry, console)
    return _over_http(wanted, registry, console)


def _check(wanted: Served, registry: Registry, console: Console) -> None:
    if (wanted.agent is None) == (wanted.http is None):
        problem = "both are given" if wanted.agent else "neither is given"
        remedy = "--agent NAME serves one client over stdio, --http PORT all agents by token."
        raise ConfigError("--agent, --http", problem, remedy)
    if wanted.http is not None:
        from mtquant.wire.listen import check_binding  # noqa: PLC0415 - heavy: mcp

        check_binding(wanted.host, wanted.tls, exposed=wanted.exposed)
    if wanted.issuer is not None:
        GatewayTable.read({"issuer": wanted.issuer}, "gateway")
    known = registry.agents()
    if wanted.agent is not None:
        _check_stdio(wanted)
        if wanted.agent not in known:
            remedy = f"Enrol it: mtquant agents add {wanted.agent}. Agents: "
            remedy += f"{', '.join(known) or 'none'}."
            raise ConfigError("--agent", f"no agent {wanted.agent!r}", remedy)
    elif not any(registry.has_token(name) for name in known):
        _say(console, "no agent has a token yet, so nobody can come in: mtquant agents add NAME")


def _check_stdio(wanted: Served) -> None:
    plain = Served(agent=wanted.agent, dry_run=wanted.dry_run)
    if wanted != plain:
        problem = "--host, --name, --tls, --expose or --issuer is given, and it serves over stdio"
        raise ConfigError("--agent", problem, "They belong to --http PORT.")


def _engine_runs(config: Config) -> bool:
    """Tell whether an engine runs over this configuration; raises Reached where it hangs."""
    return anyio.run(reach, Path(config.engine.state_dir), "agents", {}, _LIMIT_S) is not None


async def _bridge(config: Config, wanted: Served, registry: Registry, console: Console) -> None:
    """Serve agents from the desk of the engine that runs."""
    async with ReachedDesk(Path(config.engine.state_dir), TOOLS) as desk:
        if wanted.agent is None:
            await _http(desk, wanted, registry, console, signals=True)
        else:
            await _stdio(desk, wanted)


def _over_stdio(wanted: Served) -> Beside:
    async def beside(desk: AgentDesk, *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        await _stdio(desk, wanted)
        # The client may end this process soon: what is under way comes to its end first.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    return beside


def _over_http(wanted: Served, registry: Registry, console: Console) -> Beside:
    async def beside(desk: AgentDesk, *, task_status: TaskStatus[None]) -> None:
        await _http(desk, wanted, registry, console, signals=False, task_status=task_status)

    return beside


async def _stdio(desk: Desk, wanted: Served) -> None:
    from mtquant.gateway import run_gateway_stdio  # noqa: PLC0415 - heavy: mcp

    await run_gateway_stdio(desk, TOOLS, agent=wanted.agent or "", dry_run=wanted.dry_run)


async def _http(
    desk: Desk,
    wanted: Served,
    registry: Registry,
    console: Console,
    *,
    signals: bool,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve over HTTP, say where, and tell ``task_status``."""
    from mtquant.gateway import run_gateway_http  # noqa: PLC0415 - heavy: mcp

    class Listening(TaskStatus[int]):
        def started(self, value: int | None = None) -> None:
            scheme = "https" if wanted.tls else "http"
            text = f"agents are served at {scheme}://{wanted.host}:{value}/mcp"
            _say(console, text + (" (dry run: nothing is sent)" if wanted.dry_run else ""))
            task_status.started()

    try:
        await run_gateway_http(
            desk,
            TOOLS,
            authenticate=_authenticate(registry),
            port=wanted.http or 0,
            host=wanted.host,
            tls=wanted.tls,
            exposed=wanted.exposed,
            names=wanted.names,
            issuer=wanted.issuer,
            dry_run=wanted.dry_run,
            signals=signals,
            task_status=Listening(),
        )
    except OSError as error:
        problem = f"port {wanted.http} of {wanted.host} can't be had: {error.strerror}"
        raise ConfigError("--http", problem, "Choose another.") from None


def _authenticate(registry: Registry) -> Callable[[str], str | None]:
    def authenticate(token: str) -> str | None:
        found = registry.of_token(token)
        return found.name if found else None

    return authenticate


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
