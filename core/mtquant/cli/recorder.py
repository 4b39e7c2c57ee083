"""Keeps what a run shows at its end: equity, fills, moments and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mtquant.decide import Event, Filled, Tell
from mtquant.engine import Engine, Observer
from mtquant.link import Link
from mtquant.model import Fill
from mtquant.orders import Ticket


@dataclass(frozen=True, slots=True)
class AccountFill:
    """An execution and the account it happened at; ``time`` is the market's."""

    account: str
    time: int
    fill: Fill


@dataclass(slots=True)
class Recorder(Observer):
    """An observer that remembers."""

    times: list[int] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    fills: list[AccountFill] = field(default_factory=list)
    moments: list[tuple[int, str]] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)

    def on_step(self, time: int, engine: Engine) -> None:
        """Keep the equity of all accounts together."""
        equity = engine.book.equity()
        if equity is not None:
            self.times.append(time)
            self.equity.append(float(equity))

    def on_event(self, event: Event) -> None:
        """Keep each execution."""
        if isinstance(event, Filled):
            self.fills.append(AccountFill(event.name, event.fill.time, event.fill))

    def on_tell(self, told: Tell) -> None:
        """Count what people were told."""
        self.told[told.level] += 1

    def on_sending(self, ticket: Ticket, link: Link) -> None:
        """Hear of an order about to be sent."""
