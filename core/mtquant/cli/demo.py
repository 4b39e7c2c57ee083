"""``mtquant demo``: two brokers, 27 years of fixings, and one broker's death on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table as RichTable

from mtquant.assemble import assemble
from mtquant.audit import Audit, audit
from mtquant.cli.oanda_victim import oanda_on_desk
from mtquant.cli.progress import Progressing
from mtquant.cli.recorder import Recorder
from mtquant.cli.summary import accounts, as_json, rows, write_page
from mtquant.cli.victim import PaperVictim, Victim
from mtquant.clock import SystemClock, format_time, seeded
from mtquant.config import Config
from mtquant.decide import Event, OrderMoved, RoutesChanged, Tell
from mtquant.engine import Engine
from mtquant.errors import ConfigError
from mtquant.feed import Replay
from mtquant.link import Link
from mtquant.model import OrderStatus
from mtquant.orders import Ticket
from mtquant.plugins import load_catalogue
from mtquant.report import Mark

SYMBOLS = ["EUR/USD", "GBP/USD", "USD/JPY"]
OUTAGE_STEPS = 60
"""How many fixings pass while the killed broker is down."""
_MARKER = ".mtquant-demo"
NOTES = (
    (
        "Prices are the European Central Bank's daily euro reference rates, one fixing a day "
        "around 14:15 Central European Time; GBP/USD and USD/JPY are crosses of them. Nobody "
        "could trade at them."
    ),
    (
        "An order that a fixing triggers is filled at that fixing, plus or less half a spread of "
        "a pip. A real account would get a later price: the profit shown is not one to expect."
    ),
    (
        "The strategy is a plain crossing of two moving averages: it is here to make orders, not "
        "money."
    ),
)


def settings(folder: Path, victim: Victim) -> dict[str, Any]:
    """Return the demo's configuration."""
    paper: dict[str, Any] = {
        "plugin": "paper",
        "prices": {"plugin": "ecb"},
        "symbols": SYMBOLS,
        "commission_per_million": "20",
    }
    return {
        "engine": {"state_dir": str(folder), "restart_backoff_s": 0.25},
        "market": {"feed": "replay", "timeframe": "D1", "source": {"plugin": "ecb"}},
        "brokers": {
            victim.name: victim.account(paper),
            "paper-b": paper
            | {
                "spelling": {"separator": "_"},
                "quantity_step": "100",
                "quantity_min": "100",
            },
        },
        "route": {
            "prefer": [victim.name, "paper-b"],
            "symbols": {"USD/JPY": ["paper-b", victim.name]},
        },
        "strategies": {
            "trend": {"plugin": "sma_cross", "symbols": SYMBOLS, "fast": 20, "slow": 50}
        },
        "risk": {
            "sizer": {"plugin": "fixed_fraction", "fraction": "0.002"},
            # No borrowing: tight enough that a run of 27 years meets both limits.
            "checks": {"notional": {"max_order": "0.35", "max_gross": "0.4"}},
        },
        "stores": {"csv": {}},
    }


@dataclass(slots=True, kw_only=True)
class Drama(Recorder):
    """Kills the victim while one of its orders is in flight, once, after ``middle``."""

    victim: Victim
    middle: int = 0
    console: Console = field(default_factory=lambda: Console(stderr=True))
    killed_at: int | None = None
    killed_order: str = ""
    back_at: int | None = None
    fate: str = ""
    recovery_s: float | None = None
    _killed: float = 0.0
    _killer: subprocess.Popen[bytes] | None = None
    _was_down: bool = False
    _now: int = 0
    _back: anyio.Event | None = None
    _progress: Progressing | None = None

    def attach(self, progress: Progressing) -> None:
        """Show progress through ``progress``."""
        self._progress = progress

    def on_step(self, time: int, engine: Engine) -> None:
        """Keep the equity, and show how far the run has come."""
        Recorder.on_step(self, time, engine)
        self._now = time
        if self._progress is not None:
            self._progress.step(time, self.equity[-1] if self.equity else None)

    def on_sending(self, ticket: Ticket, link: Link) -> None:
        """Let the chosen order go out, and kill its broker the moment it has taken it."""
        if self.killed_at is not None and self.recovery_s is None and link.name != self.victim.name:
            self.recovery_s = SystemClock().monotonic() - self._killed
        due = self._now >= self.middle and self.killed_at is None
        process = link.sessions[0].health
        if not (due and ticket.opens and link.name == self.victim.name and process):
            return
        killer = subprocess.Popen(  # noqa: S603 - our own module
            self.victim.killer(process.process_id), stdout=subprocess.PIPE
        )
        self._killer = killer
        if killer.stdout is not None:
            killer.stdout.readline()
        self.killed_at, self.killed_order = self._now, ticket.client_order_id
        self._killed = SystemClock().monotonic()
        self.console.print(
            f"  {format_time(self._now)[:10]}  [bold]{self.victim.name} gets SIGKILL with order "
            f"{ticket.client_order_id} in flight[/]",
            highlight=False,
        )

    def on_event(self, event: Event) -> None:
        """Follow the killed broker's order, and its return."""
        Recorder.on_event(self, event)
        if isinstance(event, OrderMoved):
            self._follow(event)
        if isinstance(event, RoutesChanged) and self.killed_at is not None:
            self._was_down |= self.victim.name not in event.tradable
            if self._was_down and self.back_at is None and self.victim.name in event.tradable:
                self.back_at = self._now
                if self._back is not None:
                    self._back.set()

    def _follow(self, event: OrderMoved) -> None:
        settled = event.status is not OrderStatus.IN_DOUBT
        if event.client_order_id == self.killed_order and settled and not self.fate:
            self.fate = "proven absent" if event.absent else f"{event.status}"

    async def wait_until_back(self) -> None:
        """Wait until the victim can be traded again."""
        self._back = anyio.Event()
        if self.back_at is None:
            await self._back.wait()

    def on_tell(self, told: Tell) -> None:
        """Say what happens around the kill."""
        near = self.killed_at is not None and self.back_at is None
        if near and not told.message.startswith("loss breaker"):
            self.console.print(f"  {format_time(self._now)[:10]}  {told.message}", highlight=False)

    def bury(self) -> None:
        """Take leave of the process that killed."""
        if self._killer is not None:
            self._killer.communicate()

    @property
    def marks(self) -> list[Mark]:
        """The outage, as the report marks it."""
        if self.killed_at is None:
            return []
        return [Mark(time=self.killed_at, label=f"{self.victim.name} killed", until=self.back_at)]


def replay_of(drama: Drama) -> type[Replay]:
    """Return a replay that, some steps after the kill, waits for the victim to be back."""

    class Staged(Replay):
        waited = 0

        async def before_step(self, time: int, engine: Engine) -> None:  # noqa: ARG002 - its base's
            if drama.killed_at is not None and drama.back_at is None:
                self.waited += 1
                if self.waited > OUTAGE_STEPS:
                    await drama.wait_until_back()
                    await engine.idle()  # what the return brings about is of this day's prices

    return Staged


def demo(folder: Path, *, oanda: bool, as_json_text: bool) -> int:
    """Run the demo in ``folder`` and return the exit code: 0 only if the books agree.

    With ``oanda`` the broker that dies is OANDA's server, before a simulator that runs meanwhile.
    """
    _prepare(folder)
    on_desk = oanda_on_desk(folder, SYMBOLS) if oanda else nullcontext(PaperVictim(folder))
    with on_desk as victim:
        return _play(folder, victim, as_json_text=as_json_text)


def _play(folder: Path, victim: Victim, *, as_json_text: bool) -> int:
    console = Console(stderr=True)
    out = Console()
    drama = Drama(victim=victim, console=console)
    made = assemble(
        Config.read(settings(folder, victim), "demo"),
        load_catalogue(),
        seeded(1),
        drama,
        replay_of(drama),
    )
    replay = made.feed
    if not isinstance(replay, Replay):
        raise ConfigError("market.feed", "is not a replay", "The demo replays.")
    drama.middle = replay.steps[len(replay.steps) // 2][0]
    dates = sorted(time for series in made.bars.values() for time in series.time)
    first, last = format_time(dates[0])[:10], format_time(dates[-1])[:10]
    console.print(
        f"[bold]mtquant demo[/]: {', '.join(SYMBOLS)}, daily ECB fixings {first} to {last}\n"
        f"two brokers, each an MCP server in a process of its own:\n"
        f"  {victim.words}\n  paper-b (EUR_USD), a paper account",
        highlight=False,
    )
    found: list[Audit] = []

    async def feed(engine: Engine) -> None:
        with Progressing(console, len(replay.steps)) as progress:
            drama.attach(progress)
            await replay(engine)
        audited = await audit(engine)
        own = tuple(await victim.differences(engine))
        found.append(replace(audited, differences=audited.differences + own))

    anyio.run(made.engine.run, feed)
    drama.bury()
    result = found[0]
    summary = rows(made.engine, drama, result)
    page = folder / "report.html"
    write_page(
        page,
        made.engine,
        drama,
        made.bars,
        title="mtquant demo",
        subtitle=f"Moving-average cross on daily ECB fixings, {first} to {last}, "
        f"two brokers, {victim.name} killed on the way",
        summary=summary,
        marks=drama.marks,
        notes=NOTES + victim.notes,
    )
    if as_json_text:
        figures = as_json(made.engine, drama, result)
        figures |= {"recovery_s": drama.recovery_s, "killed_order_fate": drama.fate}
        print(json.dumps(figures))  # noqa: T201 - what --json is for
    else:
        _show(out, made.engine, drama, summary)
        out.print(f"report: {page}", soft_wrap=True, highlight=False)
    for difference in result.differences:
        console.print(f"[bold red]the books differ:[/] {difference}", highlight=False)
    return 0 if result.clean else 1


def _prepare(folder: Path) -> None:
    """Start afresh in a folder that is new, empty or an earlier demo's; no other is touched."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARKER).exists():
            raise ConfigError(
                "--dir", f"{folder} holds files that aren't an earlier demo's", "Choose another."
            )
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _MARKER).touch()


def _show(out: Console, engine: Engine, drama: Drama, summary: list[Any]) -> None:
    table = RichTable(title="Result", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for row in summary:
        table.add_row(row.label, row.value, row.hint)
    out.print(table)
    money = accounts(engine)
    each = RichTable(title="Accounts", title_justify="left")
    for index, name in enumerate(money.head):
        each.add_column(name, justify="left" if index in {0, 3} else "right")
    for line in money.rows:
        each.add_row(*line)
    out.print(each)
    if drama.recovery_s is not None and drama.fate:
        out.print(
            f"{drama.victim.name} died with order {drama.killed_order} in flight; looked up by its "
            f"client order id it was {drama.fate}. First order on the other account "
            f"{drama.recovery_s * 1000:.0f} ms after the kill.",
            highlight=False,
        )
