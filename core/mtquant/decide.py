"""The one place where the flow is written: events in, effects out.

``Decider.on`` holds no clock, does no input or output and rolls no dice: the same events give the
same effects, in a backtest, on paper and live. The shell around it feeds the events and performs
the effects.

    bar -> strategy -> signal -> target -> gate [breaker > sizing > checks] -> order
    fill, report -> book -> (target not yet met?) -> gate -> order
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from mtquant.book import AccountBook, Book, Target, Working
from mtquant.clock import SECOND, Ids, format_time
from mtquant.contract import BreakerLevel, Level, RiskState, Strategy
from mtquant.model import (
    Account,
    Bar,
    CloseRequest,
    Fill,
    Instrument,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    Quote,
    Side,
    Signal,
    TimeInForce,
    plain,
)
from mtquant.risk import BreakerState, Decision, Gate, step

EQUITY_MAX_AGE_S = 10
"""Equity older than this counts as a breaker at REDUCING (order-safety rules for the breaker)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarClosed:
    """A bar closed; ``trade`` is False while history warms the strategies up."""

    time: int
    bar: Bar
    trade: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """First sight of an account: what it holds now isn't ours."""

    time: int
    name: str
    account: Account
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSeen:
    """An account's money and prices, as its broker tells them."""

    time: int
    name: str
    account: Account
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotesSeen:
    """Prices of an account's broker, as they come."""

    time: int
    name: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """An execution at an account."""

    time: int
    name: str
    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMoved:
    """One of our orders changed its state. ``absent``: proven never to have lived."""

    time: int
    name: str
    client_order_id: str
    status: OrderStatus
    reason: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesChanged:
    """Which accounts can be traded, what they list, and where new exposure goes."""

    time: int
    tradable: frozenset[str]
    instruments: Mapping[str, Mapping[str, Instrument]]
    routes: Mapping[str, str | None]


Event = BarClosed | Opened | AccountSeen | QuotesSeen | Filled | OrderMoved | RoutesChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Send an order that the gate approved. The instrument is spelled our way."""

    account: str
    order: OrderRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close our position in an instrument, spelled our way; ``side`` is the closing side."""

    account: str
    side: Side
    close: CloseRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Put an entry into the journal; durably where it must survive us."""

    kind: str
    body: dict[str, Any]
    durable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Tell people."""

    level: Level
    message: str


Effect = Submit | Close | Record | Tell


@dataclass(slots=True)
class Decider:
    """Strategies, the gate and the book, folded over events."""

    strategies: Sequence[Strategy[Any]]
    gate: Gate
    ids: Ids
    book: Book = field(default_factory=Book)
    _out: list[Effect] = field(default_factory=list)

    def on(self, event: Event) -> tuple[Effect, ...]:
        """Take one event in and return what is to be done about it, in order."""
        self.book.time = max(self.book.time, event.time)
        self._out = []
        match event:
            case BarClosed():
                self._bar(event)
            case Opened():
                self._opened(event)
            case AccountSeen():
                self._account_seen(event)
            case QuotesSeen():
                self._take_quotes(event.name, event.quotes)
            case Filled():
                self._filled(event)
            case OrderMoved():
                self._order_moved(event)
            case RoutesChanged():
                self._routes_changed(event)
        return tuple(self._out)

    def _bar(self, event: BarClosed) -> None:
        for strategy in self.strategies:
            if strategy.instrument != event.bar.instrument:
                continue
            signal = strategy.step(event.bar)
            if signal is not None and event.trade:
                self._record("signal", signal_body(signal))
                self.book.targets[signal.instrument] = Target(signal)
        if event.trade:
            self._pursue(event.bar.instrument)

    def _opened(self, event: Opened) -> None:
        book = self.book.account(event.name)
        book.account, book.balance = event.account, event.account.balance
        for each in event.positions:
            book.adopt(each)
            self._tell(
                Level.WARNING,
                f"{event.name} already holds {each.side} {plain(each.quantity)} "
                f"{each.instrument}: not ours, and no order is sent in it there until it is flat",
            )

    def _take_quotes(self, name: str, quotes: tuple[Quote, ...]) -> None:
        self.book.account(name).quotes.update((quote.instrument, quote) for quote in quotes)

    def _account_seen(self, event: AccountSeen) -> None:
        book = self.book.account(event.name)
        book.account = event.account
        self._take_quotes(event.name, event.quotes)
        equity = event.account.equity
        before = book.breaker
        after = step(before, self.gate.rules, equity, event.time)
        book.breaker = after
        level = before.level if before else BreakerLevel.NORMAL
        if before is None or _anchors(before) != _anchors(after):
            body = {"account": event.name, "state": after.to_dict()}
            self._record("breaker", body, durable=after.level != level)
        if after.level == level:
            return
        rising = after.level > level
        self._tell(
            Level.ALARM if rising else Level.INFO,
            f"loss breaker of {event.name} {'rose' if rising else 'fell'} from {level.name} to "
            f"{after.level.name} at equity {equity:,.2f} {event.account.currency}",
        )

    def _filled(self, event: Filled) -> None:
        if self.book.account(event.name).fold(event.fill):
            self._pursue(event.fill.instrument)

    def _order_moved(self, event: OrderMoved) -> None:
        book = self.book.account(event.name)
        working = book.working.get(event.client_order_id)
        if working is None:
            return
        if not event.status.terminal:
            book.working[event.client_order_id] = replace(working, status=event.status)
            return
        del book.working[event.client_order_id]
        target = self.book.targets.get(working.instrument)
        if event.absent and working.opens and target is not None:
            # It never lived, so the wish still stands: the gate looks at it afresh, at the next
            # bar or when the account is back.
            target.spent = False
        if event.status is OrderStatus.FILLED:
            self._pursue(working.instrument)

    def _routes_changed(self, event: RoutesChanged) -> None:
        for name, instruments in event.instruments.items():
            book = self.book.account(name)
            book.tradable = name in event.tradable
            book.instruments = instruments
        self.book.routes = dict(event.routes)
        for symbol in self.book.targets:
            self._pursue(symbol)

    def _pursue(self, symbol: str) -> None:
        """Send what brings our position in ``symbol`` to its target, one step at a time."""
        target = self.book.targets.get(symbol)
        if target is None or self._busy(symbol):
            return
        held = [
            (book, book.ours(symbol)) for book in self.book.accounts.values() if book.ours(symbol)
        ]
        wrong = [(book, had) for book, had in held if had * target.signal.direction <= 0]
        for book, quantity in wrong:
            self._close(book, symbol, quantity, target)
        if wrong or held or target.signal.direction == 0 or target.spent:
            return
        self._open(symbol, target)

    def _busy(self, symbol: str) -> bool:
        return any(
            each.instrument == symbol
            for book in self.book.accounts.values()
            for each in book.working.values()
        )

    def _close(self, book: AccountBook, symbol: str, quantity: Decimal, target: Target) -> None:
        """Close at the account that holds the position: anywhere else it would open one."""
        if not book.tradable:
            self._wait(target, f"{symbol}: the position is held at {book.name}, which is down")
            return
        held = book.holdings.get(symbol)
        if held is None or held.quantity * quantity <= 0:
            # Netted away by somebody else's trades: an order of ours would open the other way.
            self._wait(target, f"{symbol}: trades that aren't ours outweigh ours at {book.name}")
            return
        size = min(abs(quantity), abs(held.quantity))
        side = Side.SELL if quantity > 0 else Side.BUY
        decision = self.gate.review_reduction(
            target.signal, book.name, side, size, self._state(book, symbol)
        )
        self._record("verdict", decision.payload())
        close = CloseRequest(
            client_order_id=self.ids.new(),
            instrument=symbol,
            quantity=size,
            strategy_id=target.signal.strategy_id,
        )
        self._work(book, close.client_order_id, symbol, side, size, opens=False)
        self._out.append(Close(account=book.name, side=side, close=close))

    def _open(self, symbol: str, target: Target) -> None:
        name = self.book.routes.get(symbol)
        if name is None:
            self._wait(target, f"{symbol}: no account takes new exposure now")
            return
        book = self.book.account(name)
        target.spent, target.waiting = True, ""
        decision = self._review(book, symbol, target.signal)
        if decision is None:
            return
        self._record("verdict", decision.payload())
        proposal = decision.proposal
        if not decision.approved or proposal is None:
            self._tell(Level.WARNING, f"vetoed {symbol}: {decision.message}")
            return
        order = OrderRequest(
            client_order_id=self.ids.new(),
            instrument=symbol,
            side=proposal.side,
            order_type=OrderType.MARKET,
            quantity=proposal.quantity,
            time_in_force=TimeInForce.FOK,
            stop_loss=proposal.stop_loss,
            take_profit=proposal.take_profit,
            strategy_id=target.signal.strategy_id,
        )
        self._work(book, order.client_order_id, symbol, order.side, order.quantity, opens=True)
        self._out.append(Submit(account=name, order=order))

    def _review(self, book: AccountBook, symbol: str, signal: Signal) -> Decision | None:
        state = self._state(book, symbol)
        if state is None:
            self._tell(Level.WARNING, f"vetoed {symbol}: nothing is known of {book.name} yet")
            return None
        if book.external.get(symbol):
            body = {"signal": signal_body(signal), "account": book.name, "approved": False}
            self._record("verdict", body | {"code": "external_position"})
            self._tell(
                Level.WARNING,
                f"vetoed {symbol}: {book.name} holds {plain(book.external[symbol])} that isn't "
                "ours",
            )
            return None
        return self.gate.review(signal, book.name, state)

    def _state(self, book: AccountBook, symbol: str) -> RiskState | None:
        instrument = book.instruments.get(symbol)
        if book.account is None or instrument is None:
            return None
        return RiskState(
            time=self.book.time,
            account=book.account,
            instrument=instrument,
            quote=book.quotes.get(symbol),
            quote_rate=book.rate(instrument.quote),
            exposures=book.exposures(),
            breaker=self._level(book.breaker, book.account),
        )

    def _level(self, breaker: BreakerState | None, account: Account) -> BreakerLevel:
        """Return the breaker's level; stale or missing equity counts as REDUCING at least."""
        fresh = self.book.time - account.time <= EQUITY_MAX_AGE_S * SECOND
        if breaker is None or not fresh:
            return max(BreakerLevel.REDUCING, breaker.level if breaker else BreakerLevel.NORMAL)
        return breaker.level

    def _work(
        self,
        book: AccountBook,
        cid: str,
        symbol: str,
        side: Side,
        quantity: Decimal,
        *,
        opens: bool,
    ) -> None:
        book.our_ids.add(cid)
        book.working[cid] = Working(
            client_order_id=cid,
            instrument=symbol,
            side=side,
            quantity=quantity,
            opens=opens,
            status=OrderStatus.PENDING_NEW,
        )

    def _wait(self, target: Target, why: str) -> None:
        if target.waiting != why:
            target.waiting = why
            self._tell(Level.WARNING, f"waiting: {why}")

    def _record(self, kind: str, body: dict[str, Any], *, durable: bool = False) -> None:
        self._out.append(Record(kind=kind, body=body, durable=durable))

    def _tell(self, level: Level, message: str) -> None:
        self._out.append(Tell(level=level, message=message))


def _anchors(state: BreakerState) -> tuple[object, ...]:
    """Return what a restart must not forget; a lost later equity only makes it stricter."""
    return (state.level, state.peak, state.day, state.day_anchor, state.week_anchor)


def signal_body(signal: Signal) -> dict[str, Any]:
    """Return a signal as the journal keeps it."""
    return {
        "strategy_id": signal.strategy_id,
        "instrument": signal.instrument,
        "time": format_time(signal.time),
        "direction": signal.direction,
        "reason": signal.reason,
        "stop_distance": _text(signal.stop_distance),
        "take_profit_distance": _text(signal.take_profit_distance),
        "confidence": signal.confidence,
    }


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
