"""Keeps what a run shows at its end: equity, fills, moments and counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mtquant.decide import Event, Filled
from mtquant.engine import Engine, Observer
from mtquant.model import Fill


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
    _held: dict[tuple[str, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def on_step(self, time: int, engine: Engine) -> None:
        """Keep the equity of all accounts together."""
        equity = engine.book.equity()
        if equity is not None:
            self.times.append(time)
            self.equity.append(float(equity))

    def on_record(self, kind: str, body: Mapping[str, Any]) -> None:
        """Count the gate's vetoes."""
        if kind == "verdict" and not body["approved"]:
            self.vetoes += 1

    def on_event(self, event: Event) -> None:
        """Keep each execution."""
        if isinstance(event, Filled):
            key = (event.name, event.fill.instrument)
            change = event.fill.side.sign * event.fill.quantity
            opens = self._held[key] * change >= 0
            self._held[key] += change
            self.fills.append(AccountFill(event.name, event.fill, opens))
