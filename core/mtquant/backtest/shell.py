"""The shell of a backtest: the decider and the order desk that trade live, driven step by step.

What an engine does with tasks, connections and a journal on disk is done here at once, in the same
order: every step of the market moves the account, what has changed there is taken in, the
strategies decide, and their orders are sent one after the other before the next step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Protocol, TypeVar

from mtquant.backtest.venue import Venue
from mtquant.clock import ManualClock
from mtquant.decide import (
    AccountSeen,
    BarClosed,
    Close,
    Decider,
    Event,
    Leave,
    Record,
    RoutesChanged,
    Submit,
    Tell,
)
from mtquant.errors import MtquantError
from mtquant.model import Bar
from mtquant.orders import OrderDesk, Ticket
from mtquant.risk import Decision
from mtquant.withdraw import Withdrawal

T = TypeVar("T")


class Witness(Protocol):
    """Hears what happens in a backtest, at ``time``."""

    time: int

    def on_event(self, event: Event) -> None:
        """Hear of an event after the decider took it in."""

    def on_signal(self, body: dict[str, Any]) -> None:
        """Hear what a strategy wishes, as the journal would keep it."""

    def on_decision(self, decision: Decision) -> None:
        """Hear what the gate decided."""

    def on_intent(self, effect: Submit | Close) -> None:
        """Hear of an order that is about to be sent."""

    def on_tell(self, told: Tell) -> None:
        """Hear what people are told."""


class _Wait:
    """What a coroutine waits for here: that the shell goes on with it."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class _Unwritten:
    """A journal that keeps nothing: a backtest is made again from its run card."""

    def append(self, kind: str, body: dict[str, Any], *, durable: bool = False) -> None:
        """Take an entry in."""

    def flush(self) -> None:
        """Do nothing: nothing is on disk."""


class Shell:
    """One decider and one account on recorded prices."""

    def __init__(
        self,
        decider: Decider,
        venue: Venue,
        clock: ManualClock,
        preference: Callable[[str], Sequence[str]],
        witness: Witness,
    ) -> None:
        self.decider, self.venue, self.clock, self.witness = decider, venue, clock, witness
        self.book = decider.book
        self._preference = preference
        entries = _Unwritten()
        self.desk = OrderDesk(entries, clock, self.book, self._take, self.tell)
        self._withdrawal = Withdrawal(
            self.book,
            self.desk,
            entries,
            clock,
            decider.ids,
            self.emit,
            self.tell,
            pause=self._pause,
        )
        self._orders: deque[tuple[Submit | Close, Ticket]] = deque()
        self._leaving: Coroutine[Any, Any, None] | None = None

    @property
    def busy(self) -> bool:
        """True while an order waits to be sent, or the account is being left."""
        return bool(self._orders) or self._leaving is not None

    def start(self, symbols: Sequence[str]) -> None:
        """Open the account, as an engine does when it has connected."""
        venue = self.venue
        done(self.desk.reconcile(venue))
        first = {symbol: self._preference(symbol) for symbol in symbols}
        listed = venue.instruments
        self.emit(
            RoutesChanged(
                time=self.clock.now(),
                tradable=frozenset({venue.name}),
                instruments={venue.name: listed},
                routes={
                    symbol: venue.name if symbol in listed and venue.name in names else None
                    for symbol, names in first.items()
                },
            )
        )

    def warm_up(self, time: int, bars: Sequence[Bar]) -> None:
        """Let the strategies hear bars from before the account opens; nothing is traded."""
        for bar in bars:
            self.emit(BarClosed(time=time, bar=bar, trade=False))

    def step(self, time: int, bars: Sequence[Bar]) -> None:
        """Come to ``time``, at which ``bars`` have closed, and do all that follows from it."""
        venue = self.venue
        moved = venue.move(time)
        self.clock.set(time)
        self.emit(
            AccountSeen(time=time, name=venue.name, account=moved.account, quotes=moved.quotes)
        )
        if moved.cursor != self.desk.cursors.get(venue.name):
            done(self.desk.catch_up(venue))
        for bar in bars:
            self.emit(BarClosed(time=time, bar=bar))
        self._go_on_leaving()
        self._send_all()

    def emit(self, event: Event) -> None:
        """Take one event to the decider, and set what follows going."""
        self.witness.time = event.time
        for effect in self.decider.on(event):
            match effect:
                case Record():
                    if effect.decision is not None:
                        self.witness.on_decision(effect.decision)
                    elif effect.kind == "signal":
                        self.witness.on_signal(effect.body)
                case Tell():
                    self.tell(effect)
                case Submit() | Close():
                    self.witness.on_intent(effect)
                    self._orders.append((effect, self.desk.register(effect)))
                case Leave() if self._leaving is None:
                    self._leaving = self._withdrawal.leave(self.venue, _nothing, self._idle)
        self.witness.on_event(event)

    def tell(self, told: Tell) -> None:
        """Pass on what people are told."""
        self.witness.on_tell(told)

    def _take(self, event: Event) -> None:
        self.emit(event)

    def _send_all(self) -> None:
        while self._orders:
            effect, ticket = self._orders.popleft()
            done(self.desk.send(self.venue, effect, ticket))

    # --- getting out -------------------------------------------------------------------------

    def _go_on_leaving(self) -> None:
        """Go on with leaving the account, as far as it comes in this step."""
        while self._leaving is not None:
            try:
                self._leaving.send(None)
            except StopIteration:
                self._leaving = None
                return
            if not self._orders:
                return  # it waits before it tries again: until the next step
            self._send_all()

    @staticmethod
    async def _idle() -> None:
        await _Wait()

    @staticmethod
    async def _pause(_: float) -> None:
        await _Wait()


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing, and return what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    coroutine.close()
    raise MtquantError("a backtest's account made its caller wait")


def _nothing() -> None:
    """Nobody waits for a first try here: it is made in the step it belongs to."""
