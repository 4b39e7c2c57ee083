"""Keeps what a run shows at its end: equity, fills, moments and counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mtquant.clock import parse_time
from mtquant.contract import BreakerLevel
from mtquant.decide import Event, Filled
from mtquant.engine import Engine, Observer
from mtquant.model import Fill
from mtquant.report import LevelChange, Ruling


@dataclass(frozen=True, slots=True)
class AccountFill:
    """An execution, the account it happened at, and whether it opened or added to a position."""

    account: str
    fill: Fill
    opens: bool


@dataclass(slots=True)
class Recorder(Observer):
    """An observer that remembers."""

    times: list[int] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    fills: list[AccountFill] = field(default_factory=list)
    vetoes: int = 0
    rulings: list[Ruling] = field(default_factory=list)
    levels: list[LevelChange] = field(default_factory=list)
    _held: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def on_step(self, time: int, engine: Engine) -> None:
        """Keep the equity of all accounts together."""
        equity = engine.book.equity()
        if equity is not None:
            self.times.append(time)
            self.equity.append(float(equity))

    def on_record(self, kind: str, body: Mapping[str, Any]) -> None:
        """Keep what the gate refused or made smaller, and each breaker's changes of level."""
        if kind == "breaker":
            self._take_level(body)
        if kind != "verdict":
            return
        if not body["approved"]:
            self.vetoes += 1
        for finding in body.get("findings", ()):
            # What the breaker makes smaller is told by its level.
            if finding["verdict"] == "approved" or finding["check"] == "breaker":
                continue
            self.rulings.append(
                Ruling(
                    time=parse_time(body["signal"]["time"]),
                    account=body["account"],
                    symbol=body["signal"]["instrument"],
                    vetoed=finding["verdict"] == "vetoed",
                    code=finding["code"],
                    message=finding["message"],
                )
            )

    def _take_level(self, body: Mapping[str, Any]) -> None:
        name, level = body["account"], BreakerLevel[body["state"]["level"]]
        known = next((each.level for each in reversed(self.levels) if each.account == name), None)
        if known is not level:
            time = parse_time(body["state"]["time"])
            self.levels.append(LevelChange(time=time, account=name, level=level))

    def on_event(self, event: Event) -> None:
        """Keep each execution."""
        if isinstance(event, Filled):
            key = (event.name, event.fill.instrument)
            change = event.fill.side.sign * event.fill.quantity
            opens = self._held[key] * change >= 0
            self._held[key] += change
            self.fills.append(AccountFill(event.name, event.fill, opens))
