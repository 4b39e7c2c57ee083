"""Journals of runs: what an engine writes, written by a shell without a wire."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtquant.assemble import _about
from mtquant.backtest.run import prepare
from mtquant.backtest.shell import Shell, done
from mtquant.backtest.venue import Venue
from mtquant.clock import SECOND, Ids, ManualClock, seeded
from mtquant.config import Config
from mtquant.contract import Source
from mtquant.decide import AccountSeen, BarClosed, Close, Decider, Event, Leave, Record, Submit
from mtquant.feed import bar_body
from mtquant.journal import Journal
from mtquant.making import make_gate, make_rules, make_strategies
from mtquant.model import Bar
from mtquant.plugins import load_catalogue

CATALOGUE = load_catalogue()
LATE = 300_000_000
"""How long after its end a live bar comes, in nanoseconds."""
HOUR = 3600 * SECOND


def table(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - TOML
    """Return a replay's configuration; ``changes`` by dotted keys with __ for the dots."""
    prices = {"plugin": "walk", "seed": 3, "bars": 160, "timeframe": "H1"}
    made: dict[str, Any] = {
        "market": {"feed": "replay", "timeframe": "H1", "source": prices},
        "brokers": {
            "desk": {
                "plugin": "paper",
                "prices": prices,
                "commission_per_million": "20",
                "slippage_pips": "0.2",
            }
        },
        "strategies": {
            "trend": {"plugin": "sma_cross", "symbols": ["EUR/USD"], "fast": 3, "slow": 8}
        },
        "risk": {"sizer": {"plugin": "fixed_fraction", "fraction": "0.001"}},
    }
    made = copy.deepcopy(made)
    for key, value in changes.items():
        *path, last = key.split("__")
        place = made
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return made


class Unheard:
    """A witness that looks away: the journal has it all."""

    time = 0

    def on_event(self, event: Event) -> None: ...
    def on_signal(self, body: object) -> None: ...
    def on_decision(self, decision: object) -> None: ...
    def on_intent(self, effect: object) -> None: ...
    def on_tell(self, told: object) -> None: ...


class Kept:
    """The journal of a run, which may lose some entries."""

    def __init__(self, journal: Journal, loses: Callable[[str, dict[str, Any]], bool]) -> None:
        self._journal, self._loses = journal, loses

    def append(self, kind: str, body: dict[str, Any], *, durable: bool = False) -> None:
        if not self._loses(kind, body):
            self._journal.append(kind, body, durable=durable)

    def flush(self) -> None: ...


class Writing(Shell):
    """A shell whose entries are written where an engine writes them."""

    entries: Kept

    def emit(self, event: Event) -> None:
        for effect in self.decider.on(event):
            match effect:
                case Record():
                    self.entries.append(effect.kind, effect.body, durable=effect.durable)
                case Submit() | Close():
                    self._orders.append((effect, self.desk.register(effect)))
                case Leave() if self._leaving is None:
                    self._leaving = self._withdrawal.leave(self.venue, lambda: None, self._idle)
                case _:
                    pass

    def settle(self) -> None:
        self._go_on_leaving()
        self._send_all()


def never(_kind: str, _body: dict[str, Any]) -> bool:
    return False


@dataclass(kw_only=True)
class Run:
    """A run over a table's prices into ``folder``.

    ``live``: the journal says that its bars came from a live feed. It ``stops`` after so many
    steps. ``acts`` are done after the steps of those numbers, ``late`` are steps whose bars only
    warm up, and between the two steps of ``down`` the engine doesn't run. ``said`` is another
    configuration for the journal.
    """

    folder: Path
    table: dict[str, Any]
    live: bool = False
    source: Source[Any] | None = None
    first: int = 0
    stops: int = 1 << 30
    acts: Mapping[int, Callable[[Writing], None]] = field(default_factory=dict)
    late: Sequence[int] = ()
    down: tuple[int, int] = (-1, -1)
    loses: Callable[[str, dict[str, Any]], bool] = never
    said: dict[str, Any] | None = None
    venue: type[Venue] = Venue
    _told: list[tuple[int, Sequence[Bar]]] = field(default_factory=list)
    _missed: list[tuple[int, Sequence[Bar]]] = field(default_factory=list)

    def write(self) -> Path:
        config = Config.read(self.table, "")
        prepared = prepare(config, CATALOGUE, self.source)
        clock = ManualClock(prepared.steps[0][0] - HOUR)
        journal = Journal(self.folder, clock)
        self.entries = Kept(journal, self.loses)
        gate = make_gate(config, CATALOGUE, clock)
        made = [
            each for name in config.strategies for each in make_strategies(config, CATALOGUE, name)
        ]
        rules = make_rules(config, passive=False)
        decider = Decider(made, gate, Ids(clock, seeded(1)), rules=rules)
        venue = self.venue(prepared.account, prepared.settings, prepared.market)
        shell = Writing(decider, venue, clock, config.preference, Unheard())
        shell.entries = shell.desk._journal = shell._withdrawal._journal = self.entries
        self.about = self.about_it()
        for number, (time, bars) in enumerate(prepared.steps[: self.stops]):
            if number < self.first:
                self._warm_up(shell, time, bars, prepared.steps[self.first][0])
                continue
            if number == self.first:
                self.entries.append("started", self.about)
                shell.start(config.symbols())
            self._step(shell, number, time, bars)
            if number in self.acts:
                self.acts[number](shell)
                shell.settle()
            self.entries.append("step", {"time": clock.now()})
        self.entries.append("stopped", {"open_orders": []})
        journal.close()
        return self.folder

    def about_it(self) -> dict[str, Any]:
        """Return what a start says of itself."""
        return _about(Config.read(self.said or self._said(), ""), CATALOGUE)

    def _said(self) -> dict[str, Any]:
        said = copy.deepcopy(self.table)
        if self.live:
            said["market"] = {"feed": "live", "timeframe": "H1"}
        return said

    def _warm_up(self, shell: Writing, time: int, bars: Sequence[Bar], began: int) -> None:
        shell.clock.set(began - HOUR // 2)
        if self.live:
            for bar in bars:
                self.entries.append("bar", bar_body(bar, traded=False))
        shell.warm_up(time, bars)
        shell.venue.quiet(time)

    def _step(self, shell: Writing, number: int, time: int, bars: Sequence[Bar]) -> None:
        if not self.live:
            shell.step(time, bars)
            return
        since, until = self.down
        if number <= since:
            self._told.append((time, bars))
        if since < number < until:
            self._missed.append((time, bars))
            return
        if number == until:
            # It starts half a bar before, and is told all of the history, and what it missed.
            shell.clock.set(time - HOUR // 2)
            self.entries.append("started", self.about)
            for _, old in (*self._told, *self._missed):
                for bar in old:
                    self.entries.append("bar", bar_body(bar, traded=False))
            for missed, old in self._missed:
                shell.warm_up(missed, old)
        moved = shell.venue.move(time)
        traded = number not in self.late
        shell.clock.set(time + (LATE if traded else 2 * HOUR - 1))
        now = shell.clock.now()
        seen = AccountSeen(
            time=now, name=shell.venue.name, account=moved.account, quotes=moved.quotes
        )
        shell.emit(seen)
        done(shell.desk.catch_up(shell.venue))
        for bar in bars:
            self.entries.append("bar", bar_body(bar, traded=traded))
            shell.emit(BarClosed(time=now, bar=bar, trade=traded))
        shell.settle()
        if number == since:
            self.entries.append("stopped", {"open_orders": []})
