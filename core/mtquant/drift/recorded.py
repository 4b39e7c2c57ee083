"""What a journal tells of a run: signals, orders, executions, bars, persons' acts and outages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mtquant.chain import CARRIED, Row
from mtquant.clock import SECOND, format_time, parse_time
from mtquant.drift.result import ZERO
from mtquant.drift.story import Story
from mtquant.errors import JournalError
from mtquant.model import Bar, CashFlow, CashFlowKind, Fill, Timeframe
from mtquant.trail import read
from mtquant.verifying import verified
from mtquant.volumes import PRESENT

_FILL = TypeAdapter(Fill)
_FLOW = TypeAdapter(CashFlow)
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A start of the engine: when, with which configuration (JSON-ready) and which versions."""

    time: int
    config: Mapping[str, Any]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A bar that a live feed handed on: when, and whether it was traded or warmed up only."""

    bar: Bar
    time: int
    traded: bool


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did, or a breaker that one reset: an entry of the journal."""

    time: int
    entry: int
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in nanoseconds UTC, and what was the matter; both ends belong to it."""

    since: int
    until: int
    why: str

    def has(self, time: int) -> bool:
        """Tell whether ``time`` lies in it."""
        return self.since <= time <= self.until

    def __str__(self) -> str:
        """Say it with its times."""
        until = "the end" if self.until == _NEVER else _second(self.until)
        return f"{self.why}, {_second(self.since)} to {until}"


def _second(time: int) -> str:
    return format_time(time // SECOND * SECOND)


@dataclass(slots=True, kw_only=True)
class Opening:
    """An account as it was first seen."""

    currency: str
    balance: Decimal
    positions: bool


@dataclass(slots=True, kw_only=True)
class Recorded:
    """A journal, read. ``outages`` are by symbol, and under ``""`` for all of them.

    ``first_bars`` are the bars by symbol and opening time as they were first told, ``revised``
    what was told otherwise later. ``financing`` is what the broker said that swaps came to, None
    where he said nothing. ``step`` is the last step of the market that was done.
    """

    folder: Path
    starts: list[Start] = field(default_factory=list)
    story: Story = field(default_factory=Story)
    first_bars: dict[str, dict[int, Told]] = field(default_factory=dict)
    revised: list[Told] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    suggestions: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    openings: dict[str, Opening] = field(default_factory=dict)
    down: list[Span] = field(default_factory=list)
    halted: list[Span] = field(default_factory=list)
    outages: dict[str, list[Span]] = field(default_factory=dict)
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)
    financing: Decimal | None = None
    step: int = 0
    whole: bool = True

    def start_at(self, time: int) -> Start:
        """Return the start that was in force at ``time``."""
        index = bisect_right([each.time for each in self.starts], time)
        return self.starts[max(0, index - 1)]

    @property
    def live(self) -> bool:
        """Tell whether bars came from a live feed, which the journal holds."""
        return bool(self.first_bars)


def recorded(path: Path) -> Recorded:
    """Read the journal at ``path``: a state folder, or the ``journal.db`` in one.

    Its chain is followed first. Raises JournalError where there is none, it isn't what was
    written, or no engine has traded with it.
    """
    folder = (path.parent if path.name == PRESENT else path).resolve()
    if not folder.is_dir():
        raise JournalError(f"{path}: no such folder. Name a state folder, or the {PRESENT} in one")
    if problem := verified(folder).problem:
        raise JournalError(f"{folder}: {problem}. `mtquant audit verify` says how much holds")
    reader = _Reader(Recorded(folder=folder))
    for row, body in read(folder):
        try:
            reader.take(row, body)
        except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            what = "its fields" if isinstance(error, ValidationError) else f"{error!r}"
            raise JournalError(
                f"{folder}: entry {row.seq} ({row.kind}) can't be read: {what}. It is of another "
                "version of mtquant, or damaged: `mtquant audit verify`"
            ) from None
    reader.finish()
    if not reader.found.starts:
        raise JournalError(f"{folder}: the journal tells of no start: nothing was traded")
    return reader.found


class _Reader:
    """Takes entries in, oldest first; ``_since`` are the stretches that haven't ended yet."""

    def __init__(self, found: Recorded) -> None:
        self.found = found
        self._since: dict[tuple[str, str], tuple[int, str]] = {}
        self._stopped: tuple[int, str] | None = None
        self._leaving: dict[str, str] = {}
        self._last = 0
        self._takers: Mapping[str, Callable[[Row, dict[str, Any]], None]] = {
            CARRIED: self._carried,
            "started": self._started,
            "stopped": self._ended,
            "step": self._step,
            "bar": self._bar,
            "signal": lambda row, body: found.story.signal(row.seq, body),
            "verdict": lambda row, body: found.story.verdict(row.time, body),
            "intent": self._intent,
            "order": lambda _, body: found.story.report(body),
            "fill": self._fill,
            "opened": self._opened,
            "halt": self._halt,
            "mode": self._act,
            "suggestion": self._suggestion,
            "suggestion_ended": self._act,
            "breaker": self._breaker,
            "leaving": self._left,
            "left": self._left,
            "change": self._act,
            "cancel_ordered": self._cancel,
            "cash_moved": self._cash,
            "routes": self._routes,
            "feed_paused": self._paused,
            "feed_resumed": self._paused,
            "mismatch": self._differing,
            "reconciled": self._differing,
            "strategy_failed": self._failed,
        }

    def take(self, row: Row, body: dict[str, Any]) -> None:
        """Take one entry in."""
        if row.kind in self._takers:
            self._takers[row.kind](row, body)
        self._last = row.time

    def finish(self) -> None:
        """End what hasn't ended."""
        for kind, name in list(self._since):
            self._end(kind, name, _NEVER)

    # --- what lasts ----------------------------------------------------------------------------

    def _begin(self, kind: str, name: str, time: int, why: str) -> None:
        self._since.setdefault((kind, name), (time, why))

    def _end(self, kind: str, name: str, time: int) -> None:
        begun = self._since.pop((kind, name), None)
        if begun is None:
            return
        span = Span(begun[0], time, begun[1])
        if kind == "halt":
            self.found.halted.append(span)
        else:
            self.found.outages.setdefault(name, []).append(span)

    def _halt(self, row: Row, body: dict[str, Any]) -> None:
        if body["on"]:
            self._begin("halt", "", row.time, f"halted by {body['by']} ({body['why']})")
        else:
            self._end("halt", "", row.time)
        self._act(row, body)

    def _routes(self, row: Row, body: dict[str, Any]) -> None:
        for symbol, account in body["routes"].items():
            if account is None:
                self._begin("route", symbol, row.time, "no account took new exposure")
            else:
                self._end("route", symbol, row.time)

    def _paused(self, row: Row, body: dict[str, Any]) -> None:
        if row.kind == "feed_paused":
            self._begin("feed", body["symbol"], row.time, f"paused: {body['why']}")
        else:
            self._end("feed", body["symbol"], row.time)

    def _differing(self, row: Row, body: dict[str, Any]) -> None:
        name = body["account"]
        if row.kind == "mismatch":
            told = "; ".join(body["differences"])
            self._begin(f"books {name}", "", row.time, f"the books differed at {name} ({told})")
        else:
            self._end(f"books {name}", "", row.time)

    # --- starts and ends -----------------------------------------------------------------------

    def _carried(self, row: Row, _: dict[str, Any]) -> None:
        self.found.whole = row.seq == 1 or bool(self.found.starts)

    def _started(self, row: Row, body: dict[str, Any]) -> None:
        if self.found.starts:
            since, why = self._stopped or (self._last, "it ended without a word")
            self.found.down.append(Span(since, row.time, why))
        self._stopped = None
        versions = {"mtquant": str(body.get("mtquant", "")), **body.get("plugins", {})}
        start = Start(time=row.time, config=dict(body["config"]), versions=versions)
        self.found.starts.append(start)

    def _ended(self, row: Row, _: dict[str, Any]) -> None:
        self._stopped = (row.time, "it was stopped")

    def _step(self, _: Row, body: dict[str, Any]) -> None:
        self.found.step = max(self.found.step, int(body["time"]))

    def _bar(self, row: Row, body: dict[str, Any]) -> None:
        numbers = {name: float(body[name]) for name in ("open", "high", "low", "close", "volume")}
        bar = Bar(
            instrument=str(body["instrument"]),
            timeframe=Timeframe(body["timeframe"]),
            time=parse_time(body["time"]),
            **numbers,
        )
        told = Told(bar=bar, time=row.time, traded=bool(body["traded"]))
        known = self.found.first_bars.setdefault(bar.instrument, {})
        before = known.setdefault(bar.time, told)
        if before.bar != bar:
            self.found.revised.append(told)

    # --- orders and money ----------------------------------------------------------------------

    def _opened(self, _: Row, body: dict[str, Any]) -> None:
        self.found.openings[body["account"]] = Opening(
            currency=str(body["currency"]),
            balance=Decimal(body["balance"]),
            positions=bool(body["positions"]),
        )

    def _intent(self, row: Row, body: dict[str, Any]) -> None:
        self.found.story.intent(row.time, row.seq, body)
        # What is closed to leave an account, the replay closes for the same reason.
        if body.get("person") and self._leaving.get(body["account"]) != body["person"]:
            self._act(row, body)

    def _fill(self, row: Row, body: dict[str, Any]) -> None:
        fill = _FILL.validate_python(body["fill"])
        self.found.story.fill(row.seq, body["account"], fill)

    def _cash(self, row: Row, body: dict[str, Any]) -> None:
        flow = _FLOW.validate_python(body["cash_flow"])
        if flow.kind is CashFlowKind.FINANCING:
            self.found.financing = (self.found.financing or ZERO) + flow.amount
        else:
            self._act(row, body)

    # --- persons -------------------------------------------------------------------------------

    def _act(self, row: Row, body: dict[str, Any]) -> None:
        self.found.acts.append(Act(row.time, row.seq, row.kind, body))

    def _cancel(self, row: Row, body: dict[str, Any]) -> None:
        if self._leaving.get(body["account"]) != body["by"]:
            self._act(row, body)

    def _suggestion(self, _: Row, body: dict[str, Any]) -> None:
        self.found.suggestions[int(body["number"])] = body

    def _breaker(self, row: Row, body: dict[str, Any]) -> None:
        if body.get("by"):
            self._act(row, body)

    def _left(self, row: Row, body: dict[str, Any]) -> None:
        if row.kind == "left":
            self._leaving.pop(body["account"], None)
            return
        self._leaving[body["account"]] = body["by"]
        if body["cause"] == "halt" and Decimal(body["share"]) == 1:
            self._flatten(row, body)

    def _flatten(self, row: Row, body: dict[str, Any]) -> None:
        """Note of the halt behind a withdrawal that it closes what is held, too."""
        acts = self.found.acts
        flat = {"on": True, "by": body["by"], "why": body["why"], "flatten": True}
        if acts and acts[-1].kind == "halt" and acts[-1].time == row.time:
            acts.pop()
        acts.append(Act(row.time, row.seq, "halt", flat))

    def _failed(self, row: Row, body: dict[str, Any]) -> None:
        strategy = str(body["strategy"]).partition(":")[0]
        self.found.failed.setdefault(strategy, (row.time, str(body["problem"])))


def series(found: Recorded, timeframe: Timeframe) -> Iterator[tuple[str, list[Told]]]:
    """Yield each symbol with the bars of ``timeframe`` that the journal holds, oldest first."""
    for symbol, known in found.first_bars.items():
        bars = [told for _, told in sorted(known.items()) if told.bar.timeframe is timeframe]
        if bars:
            yield symbol, bars
