"""Keeps what happens in a backtest, and makes round trips, costs and rejections of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from mtquant.backtest.intent import Intent
from mtquant.backtest.result import ZERO, Costs, Rejection, Trade
from mtquant.backtest.stretch.block import Block
from mtquant.backtest.venue import CountingExchange, Paid
from mtquant.clock import SECOND
from mtquant.contract import Verdict
from mtquant.decide import Close, Event, Filled, OrderMoved, Submit, Tell
from mtquant.decide.entries import read_signal
from mtquant.model import Fill, OrderReport, OrderStatus, Reason, Side, Signal
from mtquant.model.arrays import BarArrays
from mtquant.risk import Decision

_EXITS = {
    Reason.STOP_LOSS,
    Reason.TAKE_PROFIT,
    Reason.TRAILING_STOP,
    Reason.MARGIN_CLOSE_OUT,
}


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
                self._reject(intent, code or event.status.value, message or event.reason, "broker")

    def on_signal(self, body: dict[str, Any]) -> None:
        """Keep what a strategy wishes."""
        self.signals.append(read_signal(body))

    def on_decision(self, decision: Decision) -> None:
        """Keep what the gate refused or made smaller."""
        signal = decision.signal
        self._reason[signal.instrument] = signal.reason
        wanted = Intent(signal.time, signal.instrument, signal.strategy_id, "")
        if not decision.approved:
            self._reject(wanted, decision.code, decision.message, "risk")
            return
        for finding in decision.findings:
            if finding.verdict is Verdict.REDUCED:
                self._reject(wanted, finding.code, finding.message, "risk", reduced=True)

    def decided(self, symbol: str, reason: str) -> None:
        """Keep why an order in ``symbol`` was decided on last, in a stretch that was reckoned."""
        self._reason[symbol] = reason

    def _reject(
        self, intent: Intent, code: str, message: str, who: str, *, reduced: bool = False
    ) -> None:
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


@dataclass(slots=True)
class _Open:
    """A round trip that has not ended."""

    first: Fill
    intent: Intent
    most: Decimal = ZERO
    held: Decimal = ZERO
    opened: Decimal = ZERO
    closed: Decimal = ZERO
    entry_value: Decimal = ZERO
    exit_value: Decimal = ZERO
    profit: Decimal = ZERO
    costs: Costs = field(default_factory=Costs)

    def take(self, fill: Fill, quantity: Decimal, share: Decimal, paid: Paid) -> None:
        """Take ``quantity`` of an execution in, which is ``share`` of the whole."""
        change = fill.side.sign * quantity
        if change * self.first.side.sign > 0:
            self.opened += quantity
            self.entry_value += quantity * fill.price
        else:
            self.closed += quantity
            self.exit_value += quantity * fill.price
        self.held += change
        self.most = max(self.most, abs(self.held))
        self.costs += Costs(
            spread=paid.spread * share,
            commission=fill.commission * share,
            slippage=paid.slippage * share,
        )
        self.profit -= fill.commission * share


def round_trips(
    fills: Sequence[Fill],
    exchange: CountingExchange,
    paid_for: Mapping[str, Paid],
    intents: Mapping[str, Intent],
    prices: Mapping[str, BarArrays],
) -> tuple[Trade, ...]:
    """Return the trades that ``fills`` make, oldest exit first; those still open come last.

    A trade goes from flat to flat; an execution that turns a position ends one and begins another.
    """
    trades: list[Trade] = []
    going: dict[str, _Open] = {}
    for fill in fills:
        paid = paid_for.get(fill.execution_id, Paid())
        symbol, left = fill.instrument, fill.quantity
        trade = going.get(symbol)
        if trade is not None and trade.held * fill.side.sign < 0:
            closing = min(left, abs(trade.held))
            trade.take(fill, closing, closing / fill.quantity, paid)
            trade.profit += fill.realized_profit
            left -= closing
            if not trade.held:
                trade.profit += paid.swap
                trade.costs += Costs(swap=-paid.swap)
                trades.append(_ended(trade, fill, prices[symbol]))
                del going[symbol]
        if left:
            intent = intents.get(fill.client_order_id or "") or Intent(fill.time, symbol, "", "")
            trade = going.setdefault(symbol, _Open(fill, intent))
            trade.take(fill, left, left / fill.quantity, paid)
    return tuple(trades) + tuple(
        _still_open(trade, exchange, prices[symbol]) for symbol, trade in going.items()
    )


def _ended(trade: _Open, last: Fill, prices: BarArrays) -> Trade:
    reason = last.reason.value if last.reason in _EXITS and last.reason else "signal"
    return _trade(trade, last.time, trade.exit_value / trade.closed, reason, ZERO, prices)


def _still_open(trade: _Open, exchange: CountingExchange, prices: BarArrays) -> Trade:
    """Value what is held at the last price."""
    symbol, side = trade.first.instrument, trade.first.side
    quote = exchange.quotes[symbol]
    price = quote.bid if side is Side.BUY else quote.ask
    held = [each for each in exchange.positions() if each.instrument == symbol]
    swap = sum((each.swap for each in held), ZERO)
    trade.costs += Costs(swap=-swap)
    profit = swap + sum((each.unrealized_profit for each in held), ZERO)
    return _trade(trade, quote.time, price, "open", profit, prices)


def _trade(
    trade: _Open, ended: int, price: Decimal, reason: str, more: Decimal, prices: BarArrays
) -> Trade:
    entry = trade.entry_value / trade.opened
    side = trade.first.side
    adverse, favourable, bars = _excursions(prices, trade.first.time, ended, float(entry), side)
    stop = trade.intent.stop_loss
    return Trade(
        instrument=trade.first.instrument,
        strategy_id=trade.intent.strategy_id,
        side=side,
        quantity=trade.most,
        entry_time=trade.first.time,
        exit_time=ended,
        entry_price=entry,
        exit_price=price,
        profit=trade.profit + more,
        costs=trade.costs,
        entry_reason=trade.intent.reason,
        exit_reason=reason,
        adverse=adverse,
        favourable=favourable,
        stop_distance=None if stop is None else abs(entry - stop),
        bars=bars,
    )


def _excursions(
    prices: BarArrays, entered: int, ended: int, entry: float, side: Side
) -> tuple[float, float, int]:
    """Return how far the price went against and for the position, and over how many bars.

    The bars are those that closed after the entry and until the exit.
    """
    length = prices.timeframe.seconds * SECOND
    first = int(np.searchsorted(prices.time, entered - length, "right"))
    last = int(np.searchsorted(prices.time, ended - length, "right"))
    if last <= first:
        return 0.0, 0.0, 0
    high, low = float(prices.high[first:last].max()), float(prices.low[first:last].min())
    up, down = max(high - entry, 0.0), max(entry - low, 0.0)
    return (down, up, last - first) if side is Side.BUY else (up, down, last - first)


class LateHistory:
    """The history of a backtest, made when it is first asked for; see :class:`History`.

    ``earned`` is what the account's balance has changed by.
    """

    def __init__(
        self,
        witness: Witnessed,
        exchange: CountingExchange,
        prices: Mapping[str, BarArrays],
        earned: Decimal,
    ) -> None:
        self._witness, self._exchange, self._prices = witness, exchange, prices
        self._earned = earned

    @cached_property
    def _reckoned(self) -> list[list[Fill]]:
        """The executions that were reckoned, stretch by stretch."""
        return [block.fills() for block in self._witness.blocks]

    @cached_property
    def _paid(self) -> dict[str, Paid]:
        found = dict(self._exchange.paid)
        for block in self._witness.blocks:
            found |= block.paid()
        return found

    @cached_property
    def orders(self) -> tuple[OrderReport, ...]:
        """Every order at the exchange, oldest first."""
        found = [*self._exchange.orders.values()]
        for block, fills in zip(self._witness.blocks, self._reckoned, strict=True):
            found += block.orders(fills)
        return tuple(sorted(found, key=lambda each: int(each.order_id[1:])))

    @cached_property
    def fills(self) -> tuple[Fill, ...]:
        """Every execution, oldest first."""
        found = [*chain(self._witness.fills, *self._reckoned)]
        return tuple(sorted(found, key=lambda each: int(each.execution_id[1:])))

    @cached_property
    def round_trips(self) -> tuple[Trade, ...]:
        """The trades."""
        intents = dict(self._witness.intents)
        for block in self._witness.blocks:
            intents |= block.intents()
        return round_trips(self.fills, self._exchange, self._paid, intents, self._prices)

    @cached_property
    def costs(self) -> Costs:
        """What all executions cost together, and the swap."""
        fills = self.fills
        booked = sum((each.realized_profit - each.commission for each in fills), start=ZERO)
        return costs_of(fills, self._paid, self._earned - booked)


def costs_of(fills: Sequence[Fill], paid_for: Mapping[str, Paid], swap: Decimal) -> Costs:
    """Return what all ``fills`` cost together, and the swap."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        paid = paid_for.get(fill.execution_id, Paid())
        sums["spread"] += paid.spread
        sums["slippage"] += paid.slippage
        sums["commission"] += fill.commission
    return Costs(
        spread=sums["spread"],
        slippage=sums["slippage"],
        commission=sums["commission"],
        swap=-swap,
    )
