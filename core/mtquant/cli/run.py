"""``mtquant run``: trade a configuration until it is told to stop."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import TaskStatus
from rich.console import Console

from mtquant.agents.desk import AgentDesk
from mtquant.agents.registry import Registry
from mtquant.agents.serving import desk_commands
from mtquant.assemble import Assembled, assemble
from mtquant.cli.asking import person
from mtquant.cli.dead_man import watched
from mtquant.cli.preflight import preflight
from mtquant.cli.recorder import Recorder
from mtquant.cli.summary import accounts, currency
from mtquant.clock import format_time, seeded
from mtquant.config import Config, load_config
from mtquant.contract import Level
from mtquant.control.arguments import CloseArguments, StopArguments
from mtquant.control.channel import serve_channel
from mtquant.control.commands import Commands
from mtquant.control.trading import Trading
from mtquant.decide import Event, OrderMoved, RoutesChanged, Tell
from mtquant.doctor import local
from mtquant.engine import Engine
from mtquant.errors import BrokerError, ConfigError, MtquantError
from mtquant.machine import State
from mtquant.orders import unsettled
from mtquant.plugins import load_catalogue

_STYLES = {Level.INFO: "", Level.WARNING: "yellow", Level.ALARM: "bold red"}
_QUESTION = (
    "\nStop: [k]eep the positions, with their stops; [c]lose what the strategies hold; "
    "or [g]o on? [k] "
)


class Talking(Recorder):
    """Says what happens, a line each."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._tradable: frozenset[str] = frozenset()
        self._following = False

    def follow(self) -> None:
        """Say from now on which accounts come and go; the preflight told how they stood."""
        self._following = True

    def on_tell(self, told: Tell) -> None:
        """Print what people are told."""
        self._console.print(
            told.message,
            style=_STYLES[told.level],
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

    def on_event(self, event: Event) -> None:
        """Print each order's end, and keep its executions."""
        super().on_event(event)
        if isinstance(event, RoutesChanged):
            self._changed(event)
        if isinstance(event, OrderMoved) and event.status.terminal:
            self._console.print(
                f"{format_time(event.time)[:19]}  {event.name}  order {event.client_order_id} "
                f"{event.status}",
                highlight=False,
                markup=False,
            )

    def _changed(self, event: RoutesChanged) -> None:
        """Say which accounts take orders again, or no longer."""
        before, self._tradable = self._tradable, event.tradable
        for name in sorted(before ^ event.tradable) if self._following else ():
            state = "ready" if name in event.tradable else "takes no orders now"
            self._console.print(f"{name}: {state}", highlight=False, markup=False)


@dataclass(slots=True)
class Stopping:
    """How the run ends: ``close`` what the strategies hold first, or keep it."""

    close: bool = False
    by: str = ""
    asked: anyio.Event = field(default_factory=anyio.Event)

    def ask(self, *, close: bool, by: str) -> None:
        """End the run."""
        self.close, self.by = close, by
        self.asked.set()


class Beside(Protocol):
    """What is served beside the feed; the run ends when it does."""

    async def __call__(self, desk: AgentDesk, *, task_status: TaskStatus[None]) -> None:
        """Serve agents from ``desk``; tell ``task_status`` as soon as that is so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of ``config``, which lies at ``path``.

    ``console`` is told what happens, ``out`` how it ended. ``live`` lets the named real accounts
    be traded; ``passive``: no strategy trades.
    """

    config: Config
    path: Path
    console: Console
    out: Console
    live: bool = False
    passive: bool = False
    beside: Beside | None = None


def run(
    path: Path,
    *,
    live: bool,
    confirmed: Sequence[str],
    changes: Sequence[str] = (),
    gateway: int | None = None,
) -> int:
    """Run the configuration at ``path``.

    Return 0, or 1 where an order is left in doubt. ``live`` lets real accounts be traded whose
    number is ``confirmed``, or typed. ``changes`` are settings that differ from the file's, as
    KEY=VALUE. Agents are served over HTTP on the port ``gateway``, or on that of the file.
    """
    console = Console(stderr=True)
    if gateway is not None:
        changes = [*changes, f"gateway.http={gateway}"]
    config = load_config(path, changes=changes)
    beside = None
    if config.gateway.http is not None:
        from mtquant.cli.gating import mounted  # noqa: PLC0415 - heavy, and seldom wanted

        beside = mounted(config, console)
    if live:
        confirm(config, console, confirmed)
    return keep(
        Run(config=config, path=path, console=console, out=Console(), live=live, beside=beside)
    )


def keep(wanted: Run) -> int:
    """Trade until asked to stop; return 0, or 1 where an order is left in doubt."""
    config, console = wanted.config, wanted.console
    talking = Talking(console)
    made = assemble(
        config,
        load_catalogue(),
        seeded(None),
        talking,
        live=wanted.live,
        passive=wanted.passive,
        agents=Registry(Path(config.engine.state_dir)).agents,
    )
    console.print(
        f"{', '.join(config.brokers)}: starting; state in {config.engine.state_dir}",
        highlight=False,
        soft_wrap=True,
    )
    _look(config, wanted.path, console)
    anyio.run(_until_stopped, made, talking, wanted)
    return _farewell(made.engine, talking, wanted.out)


def _look(config: Config, path: Path, console: Console) -> None:
    """Say what the doctor finds wrong on this machine, before anything is opened."""
    for look in local(config, path, load_catalogue()):
        if look.state is not State.OK:
            style = "bold red" if look.state is State.PROBLEM else "yellow"
            text = f"{look.what}: {look.seen}. {look.remedy}"
            console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def confirm(config: Config, console: Console, confirmed: Sequence[str]) -> None:
    """Have every real account's number typed; raises ConfigError where it isn't, or is another."""
    named = {name: each.live_account for name, each in config.brokers.items() if each.live_account}
    if not named:
        remedy = 'Set brokers.NAME.live_account = "NUMBER".'
        raise ConfigError("--live", "no broker names a real account", remedy)
    for name, number in named.items():
        if number in confirmed:
            continue
        if not sys.stdin.isatty():
            remedy = f"Add --confirm {number}, or run it on a terminal."
            raise ConfigError("--live", f"account {number} isn't confirmed", remedy)
        console.print(f"{name}: orders will move REAL MONEY in account {number}.", style="bold red")
        typed = input("Type the account's number to trade it: ").strip()
        if typed != number:
            raise ConfigError("--live", f"{typed!r} is not account {number}", "Nothing was sent.")


async def _until_stopped(made: Assembled, talking: Talking, wanted: Run) -> None:
    """Run until asked to stop; a signal while starting ends everything."""
    config, console = wanted.config, wanted.console
    stopping = Stopping()
    started = anyio.Event()

    async def feed(engine: Engine) -> None:
        await preflight(engine, console)
        talking.follow()
        started.set()
        async with (
            anyio.create_task_group() as group,
            _channel(engine, config, stopping) as desk,
        ):
            scope = group.cancel_scope

            async def until_asked() -> None:
                await stopping.asked.wait()
                console.print("stopping: no new orders; waiting for those under way")
                scope.cancel()

            group.start_soon(until_asked)
            if wanted.beside is not None:
                await group.start(_serve, wanted.beside, desk, stopping)
            await made.feed(engine)
            scope.cancel()
        if stopping.close:
            with anyio.CancelScope(shield=True):
                await _close_all(engine, stopping.by, console)

    async with anyio.create_task_group() as group, watched(config, wanted.path):
        begun = started.is_set
        group.start_soon(_on_signal, stopping, config, begun, group.cancel_scope, console)
        await made.engine.run(feed)
        group.cancel_scope.cancel()


async def _serve(
    beside: Beside, desk: AgentDesk, stopping: Stopping, *, task_status: TaskStatus[None]
) -> None:
    """Serve agents, and end the run where that ends by itself."""
    await beside(desk, task_status=task_status)
    stopping.ask(close=False, by="the agent's client")


@asynccontextmanager
async def _channel(engine: Engine, config: Config, stopping: Stopping) -> AsyncIterator[AgentDesk]:
    """Answer the commands of persons, and of gateways, while the engine runs."""

    async def stop(asked: StopArguments) -> None:
        stopping.ask(close=asked.close, by=asked.by)

    commands = Commands(engine, stop)
    desk = AgentDesk(engine, commands, load_catalogue())
    commands.add(desk.commands())
    commands.add(desk_commands(desk))
    async with anyio.create_task_group() as group:
        await group.start(serve_channel, commands, Path(config.engine.state_dir))
        yield desk
        group.cancel_scope.cancel()


async def _on_signal(
    stopping: Stopping,
    config: Config,
    begun: Callable[[], bool],
    everything: anyio.CancelScope,
    console: Console,
) -> None:
    """Stop on Ctrl-C, after asking what to do with positions; a second one keeps them."""
    if sys.platform == "win32":
        return
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        asking = False
        async for number in signals:
            if not begun():
                everything.cancel()
                return
            choice = config.engine.on_stop
            ask = choice == "ask" and number == signal.SIGINT and sys.stdin.isatty()
            if asking or not ask:
                stopping.ask(close=choice == "close", by=person())
                return
            asking = True
            answer = await _typed(console, signals)
            asking = False
            if answer != "g":
                stopping.ask(close=answer == "c", by=person())
                return
            console.print("going on")


async def _typed(console: Console, signals: AsyncIterator[signal.Signals]) -> str:
    """Return k, c or g; another signal meanwhile is k."""
    answers: list[str] = []
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            typed = await anyio.to_thread.run_sync(input, _QUESTION, abandon_on_cancel=True)
            answers.append(typed.strip().lower()[:1] or "k")
            group.cancel_scope.cancel()

        async def hear() -> None:
            async for _ in signals:
                console.print("\nkeeping the positions")
                answers.append("k")
                group.cancel_scope.cancel()
                return

        group.start_soon(ask)
        group.start_soon(hear)
    return answers[0] if answers else "k"


async def _close_all(engine: Engine, by: str, console: Console) -> None:
    """Close what the strategies hold, and say what could not be closed."""
    engine.wiring.decider.pursuit.stop()
    trading = Trading(engine)
    for name, book in engine.book.accounts.items():
        for symbol in list(book.holdings):
            quantity = abs(book.ours(symbol))
            if not quantity:
                continue
            asked = CloseArguments(symbol=symbol, quantity=quantity, broker=name, by=by)
            try:
                answer = await trading.close(asked)
                rows = [row.get("status", row["verdict"]) for row in answer["closed"]]
                console.print(f"{name}: closing {symbol}: {', '.join(rows)}", highlight=False)
            except (MtquantError, BrokerError) as error:
                text = f"{name}: {symbol} could not be closed: {error}"
                console.print(text, style="bold red", highlight=False, markup=False)
    await engine.idle()  # an order is answered before its fills are in the journal


def _farewell(engine: Engine, recorder: Recorder, out: Console) -> int:
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
