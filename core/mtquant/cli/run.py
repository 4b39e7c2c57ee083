"""``mtquant run``: trade a configuration until it is told to stop."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import anyio
from anyio.abc import TaskStatus
from rich.console import Console

from mtquant.assemble import Assembled, assemble
from mtquant.cli.recorder import Recorder
from mtquant.cli.summary import accounts, currency
from mtquant.clock import format_time, seeded
from mtquant.config import load_config
from mtquant.contract import Level
from mtquant.decide import Event, OrderMoved, Tell
from mtquant.engine import Engine
from mtquant.orders import unsettled
from mtquant.plugins import load_catalogue

_STYLES = {Level.INFO: "", Level.WARNING: "yellow", Level.ALARM: "bold red"}


class Talking(Recorder):
    """Says what happens, a line each."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def on_tell(self, told: Tell) -> None:
        """Print what people are told."""
        self._console.print(told.message, style=_STYLES[told.level], highlight=False, markup=False)

    def on_event(self, event: Event) -> None:
        """Print each order's end, and keep its executions."""
        super().on_event(event)
        if isinstance(event, OrderMoved) and event.status.terminal:
            self._console.print(
                f"{format_time(event.time)[:19]}  {event.name}  order {event.client_order_id} "
                f"{event.status}",
                highlight=False,
                markup=False,
            )


def run(path: Path) -> int:
    """Run the configuration at ``path``; return 0, or 1 where an order is left in doubt."""
    console = Console(stderr=True)
    config = load_config(path)
    talking = Talking(console)
    made = assemble(config, load_catalogue(), seeded(None), talking)
    console.print(
        f"{', '.join(config.brokers)}: starting; state in {config.engine.state_dir}",
        highlight=False,
        soft_wrap=True,
    )
    anyio.run(_until_stopped, made, console)
    return _farewell(made.engine, talking)


async def _until_stopped(made: Assembled, console: Console) -> None:
    """Run until a signal: while starting it ends everything, later it ends the feed first."""
    scopes: list[anyio.CancelScope] = []

    async def feed(engine: Engine) -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            _greet(engine, console)
            await made.feed(engine)

    async with anyio.create_task_group() as group:
        scopes.append(group.cancel_scope)
        await group.start(_stop_on_signal, scopes, console)
        await made.engine.run(feed)
        group.cancel_scope.cancel()


async def _stop_on_signal(
    scopes: list[anyio.CancelScope],
    console: Console,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    if sys.platform == "win32":
        task_status.started()
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            console.print("stopping: no new orders; waiting for those under way")
            scopes[-1].cancel()
            return


def _greet(engine: Engine, console: Console) -> None:
    if engine.recovered.entries:
        console.print(f"recovered from {engine.recovered.entries:,} journal entries")
    for link in engine.wiring.links.values():
        state = link.state()
        text = "ready" if state.tradable else f"not traded: {state.why}"
        console.print(f"{link.name}: {text}", highlight=False, markup=False)


def _farewell(engine: Engine, recorder: Recorder) -> int:
    out = Console()
    left = unsettled(engine.desk.tickets)
    out.print("stopped; the journal is closed and the servers have ended", highlight=False)
    table = accounts(engine)
    for name, balance, equity, held in table.rows:
        out.print(
            f"{name}: balance {balance}, equity {equity} {currency(engine)}; {held}",
            highlight=False,
        )
    out.print(f"{len(engine.desk.tickets)} orders, {len(recorder.fills)} fills in this run")
    if not left:
        out.print("open orders: none")
    for ticket in left:
        out.print(
            f"open order: {ticket.client_order_id} {ticket.instrument} at {ticket.account}: "
            f"{ticket.stage}",
            highlight=False,
        )
    return 1 if engine.desk.in_doubt() else 0
