"""Keeps what happens in a backtest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mtquant.backtest.intent import Intent
from mtquant.backtest.result import Rejection
from mtquant.backtest.stretch.block import Block
from mtquant.contract import Verdict
from mtquant.decide import Close, Event, Filled, OrderMoved, Submit, Tell
from mtquant.decide.entries import read_signal
from mtquant.model import Fill, OrderStatus, Signal
from mtquant.risk import Decision


@dataclass(slots=True)
class Witnessed:
    """A witness that remembers."""

    signals: list[Signal] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    told: list[tuple[int, str, str]] = field(default_factory=list)
    intents: dict[str, Intent] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    time: int = 0
    _reason: dict[str, str] = field(default_factory=dict)

    def on_event(self, event: Event) -> None:
        """Keep executions, and orders that the exchange refused."""
        if isinstance(event, Filled):
            self.fills.append(event.fill)
        elif isinstance(event, OrderMoved) and event.status in {
            OrderStatus.REJECTED,
            OrderStatus.CANCELED,
        }:
            intent = self.intents.get(event.client_order_id)
            if intent is not None:
                code, _, message = event.reason.partition(": ")
                self.reject(intent, code or event.status.value, message or event.reason, "broker")

    def on_signal(self, body: dict[str, Any]) -> None:
        """Keep what a strategy wishes."""
        self.signals.append(read_signal(body))

    def on_decision(self, decision: Decision) -> None:
        """Keep what the gate refused or made smaller."""
        signal = decision.signal
        self._reason[signal.instrument] = signal.reason
        wanted = Intent(signal.time, signal.instrument, signal.strategy_id, "")
        if not decision.approved:
            self.reject(wanted, decision.code, decision.message, "risk")
            return
        for finding in decision.findings:
            if finding.verdict is Verdict.REDUCED:
                self.reject(wanted, finding.code, finding.message, "risk", reduced=True)

    def decided(self, symbol: str, reason: str) -> None:
        """Keep why an order in ``symbol`` was decided on last, in a stretch that was reckoned."""
        self._reason[symbol] = reason

    def reject(
        self, intent: Intent, code: str, message: str, who: str, *, reduced: bool = False
    ) -> None:
        """Keep that what was intended came to nothing now, or to less where it was ``reduced``."""
        self.rejections.append(
            Rejection(
                time=self.time,
                instrument=intent.instrument,
                strategy_id=intent.strategy_id,
                code=code,
                message=message,
                who=who,
                reduced=reduced,
            )
        )

    def on_intent(self, effect: Submit | Close) -> None:
        """Keep why an order is sent."""
        request = effect.order if isinstance(effect, Submit) else effect.close
        symbol = effect.order.instrument if isinstance(effect, Submit) else effect.symbol
        self.intents[request.client_order_id] = Intent(
            self.time,
            symbol,
            effect.person or request.strategy_id or "",
            self._reason.get(symbol, ""),
            effect.order.stop_loss if isinstance(effect, Submit) else None,
        )

    def on_tell(self, told: Tell) -> None:
        """Keep what people were told."""
        self.told.append((self.time, told.level.value, told.message))
