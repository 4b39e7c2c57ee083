"""The shell: feeds the decider, performs its effects, and keeps the connections.

Start-up is recovery: replay the journal, connect, reconcile, and only then trade.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from mtquant.anchor import Anchor
from mtquant.clock import SECOND, Clock, format_time
from mtquant.contract import Agent, Level, Notifier, Store
from mtquant.decide import (
    AgentsEnrolled,
    CancelOrder,
    Close,
    Decider,
    Effect,
    Event,
    Filled,
    Leave,
    Record,
    RoutesChanged,
    Submit,
    Tell,
)
from mtquant.errors import BrokerError, ConfigError, JournalError, ReconciliationError
from mtquant.journal import Journal
from mtquant.link import Link
from mtquant.orders import OrderDesk, Ticket, unsettled
from mtquant.pins import Pin, Pins
from mtquant.pool import ConnectionState, Session, start
from mtquant.reconcile import Reconciler
from mtquant.recover import Recovered, recover
from mtquant.route import routes
from mtquant.withdraw import Withdrawal

_DOUBT_PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
_START_LIMIT_S = 60.0
_FLUSH_INTERVAL_S = 0.25
_ANCHOR_INTERVAL_S = 10.0
_TOLD_KEPT = 100


class Observer:
    """Told of what happens, for progress and reports; override what you want to see."""

    def on_step(self, time: int, engine: Engine) -> None:
        """Hear that the market moved to ``time`` and all that follows from it was done."""

    def on_sending(self, ticket: Ticket, link: Link) -> None:
        """Hear that an order, whose intent is on disk, is about to be sent."""

    def on_record(self, kind: str, body: Mapping[str, Any]) -> None:
        """Hear what the decider puts into the journal, just before it is there."""

    def on_event(self, event: Event) -> None:
        """Hear of an event after the decider took it in."""

    def on_tell(self, told: Tell) -> None:
        """Hear what people are told."""


@dataclass(slots=True)
class Wiring:
    """What an engine is made of; :mod:`mtquant.assemble` makes it from a configuration.

    ``adopt``: what an account holds at first sight is taken over as the strategies'.
    ``live_accounts``: by our name for it, the number of each real account that may be traded.
    ``about`` goes into the journal at each start: versions and the configuration in force.
    ``agents`` returns who may trade through the gateway, as it stands now.
    """

    clock: Clock
    journal: Journal
    decider: Decider
    links: Mapping[str, Link]
    preference: Callable[[str], Sequence[str]]
    symbols: Sequence[str]
    stores: Sequence[Store[Any]] = ()
    notifiers: Sequence[Notifier[Any]] = ()
    observer: Observer = field(default_factory=Observer)
    status_file: Path | None = None
    adopt: bool = False
    live_accounts: Mapping[str, str] = field(default_factory=dict)
    anchor: Anchor | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    agents: Callable[[], Mapping[str, Agent]] = dict


class Engine:
    """One running engine over one journal; ``endings`` are called before the journal is closed."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.book = wiring.decider.book
        self.desk = OrderDesk(
            wiring.journal,
            wiring.clock,
            self.book,
            self._take,
            self.tell,
            sending=self._about_to_send,
            adopt=wiring.adopt,
        )
        self.recovered = Recovered(0, None)
        self.failovers = 0
        self.endings: list[Callable[[], None]] = []
        self.told: deque[dict[str, str]] = deque(maxlen=_TOLD_KEPT)
        self._lanes: dict[str, MemoryObjectSendStream[tuple[Submit | Close, Ticket]]] = {}
        self._sending = 0
        self._idle = anyio.Event()
        self._settling: set[str] = set()
        self.next_looks: dict[str, int] = {}
        self._leaving: set[str] = set()
        self.withdrawal = Withdrawal(
            self.book,
            self.desk,
            wiring.journal,
            wiring.clock,
            wiring.decider.ids,
            self.emit,
            self.tell,
        )
        self.reconciler = Reconciler(
            self.book,
            self.desk,
            wiring.clock,
            self.emit,
            self.tell,
            self._changed,
            self.settle_doubts,
            wiring.live_accounts,
            Pins(wiring.journal.folder, wiring.journal.append, self._say),
        )
        self._broken_stores: set[str] = set()
        self._group: TaskGroup | None = None
        self._stopping = False
        self._flushed = 0.0
        self._anchored = -math.inf
        self._unanchored = self._unstated = False

    async def run(
        self,
        feed: Callable[[Engine], Awaitable[None]],
        first: Callable[[Engine], object] | None = None,
    ) -> None:
        """Recover, connect, trade until ``feed`` ends or this is cancelled, and stop cleanly.

        ``first`` is done before any broker is asked for anything: a halt doesn't wait for one.

        Raises JournalError where the journal fails: nothing is sent without it.
        """
        try:
            self.recovered = recover(self.wiring.journal, self.book, self.desk)
            self.wiring.journal.append("started", dict(self.wiring.about), durable=True)
            self.wiring.decider.hearing.settle(self.book)
            self.enrol()
            if first is not None:
                first(self)
            shelter = anyio.CancelScope(shield=True)
            async with anyio.create_task_group() as around:
                try:
                    group = await self._shelter(around, shelter)
                    self._group = self.reconciler.group = group
                    for link in self.wiring.links.values():
                        self._open_lane(group, link)
                        self._start(group, link)
                    await self._first_connections()
                    for link in self.wiring.links.values():
                        if self.book.account(link.name).leaving is not None:
                            self._leave(link)
                    await feed(self)
                finally:
                    self._stopping = True
                    with anyio.CancelScope(shield=True):
                        await self.idle()
                    # From here on nothing is begun: whoever looks for the group finds none.
                    self._group = self.reconciler.group = None
                    shelter.cancel()
        finally:
            self._close()

    @staticmethod
    async def _shelter(around: TaskGroup, shelter: anyio.CancelScope) -> TaskGroup:
        """Return a group that a cancelled run doesn't cut off in the middle of an order.

        It ends with ``shelter``. Not by ``around.start``, which would wait for ever where the run
        is cancelled before it: the group is out of that cancellation's reach.
        """
        groups: list[TaskGroup] = []
        ready = anyio.Event()

        async def hold() -> None:
            with shelter:
                async with anyio.create_task_group() as group:
                    groups.append(group)
                    ready.set()
                    await anyio.sleep_forever()

        around.start_soon(hold)
        await ready.wait()
        return groups[0]

    def _start(self, group: TaskGroup, link: Link) -> None:
        async def connected(session: Session) -> None:
            others = [each for each in link.sessions if each is not session]
            if link.blocked or not any(each.state is ConnectionState.HEALTHY for each in others):
                async with link.lock:
                    await self.reconciler.reconcile(link)

        def alarm(message: str) -> None:
            self._say(Level.ALARM, message)

        def trusted(server: str, seen: Pin) -> str:
            return self.reconciler.pins.look(link.name, server, seen)

        start(group, link.sessions, connected, self._changed, alarm, trusted)

    async def _first_connections(self) -> None:
        """Wait until every server has been tried once; those that fail go on trying."""
        with anyio.move_on_after(_START_LIMIT_S):
            for link in self.wiring.links.values():
                for session in link.sessions:
                    await session.tried.wait()
        self._changed()

    def _changed(self) -> None:
        """Tell the decider which accounts can be traded, and where new exposure goes now."""
        states = {name: link.state() for name, link in self.wiring.links.items()}
        going = routes(self.wiring.symbols, self.wiring.preference, states)
        if going != self.book.routes:
            self.wiring.journal.append("routes", {"routes": going})
        self.emit(
            RoutesChanged(
                time=self.wiring.clock.now(),
                tradable=frozenset(name for name, state in states.items() if state.tradable),
                instruments={name: link.instruments() for name, link in self.wiring.links.items()},
                routes=going,
                differing={name: link.differing for name, link in self.wiring.links.items()},
            )
        )
        self._keep_status()

    def enrol(self) -> None:
        """Take in who the agents are now. Where that can't be read, nobody is one."""
        agents: Mapping[str, Agent] = {}
        try:
            agents = self.wiring.agents()
        except ConfigError as error:
            if self.book.agents:
                self.tell(Tell(level=Level.ALARM, message=f"no agent is known: {error}"))
        if agents != self.book.agents:
            self.emit(AgentsEnrolled(time=self.wiring.clock.now(), agents=agents))

    def emit(self, event: Event) -> tuple[Effect, ...]:
        """Take one event to the decider, set what follows going, and return what that was."""
        effects = self.wiring.decider.on(event)
        for effect in effects:
            match effect:
                case Record():
                    self.wiring.observer.on_record(effect.kind, effect.body)
                    self.wiring.journal.append(effect.kind, effect.body, durable=effect.durable)
                case Tell():
                    self.tell(effect)
                case Submit() | Close():
                    self._dispatch(effect)
                case CancelOrder() if effect.account in self.wiring.links:
                    self._cancel(effect)
                case Leave() if effect.account in self.wiring.links:
                    self._leave(self.wiring.links[effect.account])
        if isinstance(event, Filled):
            account, fill = event.name, event.fill
            self._store(lambda it: it.fill(account, fill))
        self.wiring.observer.on_event(event)
        return effects

    def _take(self, event: Event) -> None:
        self.emit(event)

    def _about_to_send(self, ticket: Ticket) -> None:
        self.wiring.observer.on_sending(ticket, self.wiring.links[ticket.account])

    def _say(self, level: Level, message: str) -> None:
        self.tell(Tell(level=level, message=message))

    def tell(self, told: Tell) -> None:
        """Tell people; a notifier that fails stops nobody."""
        self.wiring.journal.append("told", {"level": told.level, "message": told.message})
        now = format_time(self.wiring.clock.now())
        self.told.append({"time": now, "level": told.level.value, "message": told.message})
        self.wiring.observer.on_tell(told)
        for notifier in self.wiring.notifiers:
            try:
                notifier.notify(told.level, told.message)
            except Exception as error:  # noqa: BLE001 - a stranger's notifier may raise anything
                body = {"notifier": notifier.name, "problem": type(error).__name__}
                self.wiring.journal.append("notifier_failed", body)

    def _store(self, use: Callable[[Store[Any]], None]) -> None:
        """Use every store that still works; one that fails is told of once and left alone."""
        for store in self.wiring.stores:
            if store.name in self._broken_stores:
                continue
            try:
                use(store)
            except Exception as error:  # noqa: BLE001 - a stranger's store may raise anything
                self._broken_stores.add(store.name)
                message = f"store {store.name} failed and is no longer used: {error}"
                self.tell(Tell(level=Level.ALARM, message=message))

    def _dispatch(self, effect: Submit | Close) -> None:
        """Write down an order's intent and hand it to its account's lane.

        An engine that is past its end sends nothing: what was wished is decided afresh at the next
        start.
        """
        if self._group is None or self._group.cancel_scope.cancel_called:
            return
        ticket = self.desk.register(effect)
        first_choice = self.wiring.preference(ticket.instrument)[0]
        if isinstance(effect, Submit) and effect.account != first_choice:
            self.failovers += 1
        self._sending += 1
        self._lanes[effect.account].send_nowait((effect, ticket))

    def _cancel(self, effect: CancelOrder) -> None:
        """Cancel an order; the decider says so again where it works on."""
        if self._group is None:
            return
        link = self.wiring.links[effect.account]
        self._sending += 1

        async def cancel() -> None:
            body = {
                "account": link.name,
                "order_id": effect.client_order_id,
                "by": "the gate",
                "why": effect.why,
            }
            self.wiring.journal.append("cancel_ordered", body, durable=True)
            self.book.account(link.name).note_message(self.wiring.clock.now())
            try:
                await link.fence(effect.client_order_id)
            except BrokerError as error:
                message = f"{link.name}: order {effect.client_order_id} isn't cancelled: {error}"
                self.tell(Tell(level=Level.ALARM, message=message))
            finally:
                self._sending -= 1
                self._awake()

        self._group.start_soon(cancel)

    def _leave(self, link: Link) -> None:
        """See to it that an account is left; :meth:`idle` waits for the first try."""
        if self._group is None or link.name in self._leaving:
            return
        self._leaving.add(link.name)
        self._sending += 1

        waited_for = True

        def tried() -> None:
            nonlocal waited_for
            self._sending -= waited_for
            waited_for = False
            self._awake()

        async def leave() -> None:
            try:
                await self.withdrawal.leave(link, tried, self._next_answer)
            finally:
                self._leaving.discard(link.name)
                tried()

        self._group.start_soon(leave)

    def _awake(self) -> None:
        """Wake everybody who waits for an answer."""
        answered, self._idle = self._idle, anyio.Event()
        answered.set()

    async def _next_answer(self) -> None:
        await self._idle.wait()

    def _open_lane(self, group: TaskGroup, link: Link) -> None:
        """One order at a time goes to an account; a slow broker holds up no other."""
        send, receive = anyio.create_memory_object_stream[tuple[Submit | Close, Ticket]](100_000)
        self._lanes[link.name] = send

        async def lane() -> None:
            with send, receive:
                try:
                    async for effect, ticket in receive:
                        await self._send(link, effect, ticket)
                finally:
                    # Nobody sends what waits now: it is in doubt at the next start.
                    self._sending -= receive.statistics().current_buffer_used
                    self._awake()

        group.start_soon(lane)

    async def _send(self, link: Link, effect: Submit | Close, ticket: Ticket) -> None:
        try:
            async with link.lock:
                await self.desk.send(link, effect, ticket)
        except (BrokerError, ReconciliationError) as error:
            # The order is acknowledged, but its executions can't be had: the book isn't to be
            # trusted until the next reconciliation.
            self.block(link, str(error))
        finally:
            self._sending -= 1
            self._awake()
        self.settle_doubts()

    def block(self, link: Link, why: str) -> None:
        """Send nothing more to an account until it has been reconciled again: that is tried on."""
        self.reconciler.block(link, why)
        self._changed()

    async def idle(self) -> None:
        """Wait until every order that was handed out has been answered or is in doubt."""
        while self._sending:
            await self._next_answer()

    async def left(self) -> None:
        """Wait until every account that is to be left is."""
        while self._leaving:
            await self._next_answer()

    def settle_doubts(self) -> None:
        """See to it that every account with an order in doubt is asked until it isn't."""
        for name, link in self.wiring.links.items():
            if self._group is not None and name not in self._settling and self.desk.asks(name):
                self._settling.add(name)
                self._group.start_soon(self._settle, link)

    async def _settle(self, link: Link) -> None:
        """Look up, with growing pauses, while the account is connected.

        When it isn't, the next connection's reconciliation does it.
        """
        attempt = 0
        while self.desk.asks(link.name) and link.connected:
            pause = _DOUBT_PAUSES_S[min(attempt, len(_DOUBT_PAUSES_S) - 1)]
            self.next_looks[link.name] = self.wiring.clock.now() + int(pause * SECOND)
            await anyio.sleep(pause)
            attempt += 1
            try:
                async with link.lock:
                    await self.reconciler.learn(link)
                    await self.desk.settle(link)
            except (BrokerError, ReconciliationError) as error:
                body = {"account": link.name, "problem": str(error)}
                self.wiring.journal.append("settle_failed", body)
        self._settling.discard(link.name)
        self.next_looks.pop(link.name, None)

    async def stepped(self, time: int) -> None:
        """Close a step of the market: wait for its orders, keep equity, report.

        The journal is flushed a few times a second: what is lost of it by a crash is asked of
        the brokers again, or decided again, on restart. Intents never wait for this.
        """
        await self.idle()
        self.keep(time)

    def keep(self, time: int) -> None:
        """Keep equity, flush the journal and write the status, without waiting for orders."""
        for name, book in self.book.accounts.items():
            equity = book.equity()
            if equity is not None:
                self._store(partial(_keep_equity, time, name, book.balance, equity))
        self.wiring.journal.append("step", {"time": time})
        if anyio.current_time() - self._flushed >= _FLUSH_INTERVAL_S:
            self._flushed = anyio.current_time()
            self.wiring.journal.flush()
            self._anchor()
            self._keep_status()
        self.wiring.observer.on_step(time, self)

    def _anchor(self, *, last: bool = False) -> None:
        """Write the journal's head down elsewhere, now and then and at the end.

        A place that fails stops no trading: it is an alarm, once until it works again.
        """
        anchor, now = self.wiring.anchor, anyio.current_time()
        if anchor is None or not (last or now - self._anchored >= _ANCHOR_INTERVAL_S):
            return
        self._anchored = now
        journal = self.wiring.journal
        try:
            anchor.note(self.wiring.clock.now(), journal.seq, journal.head)
        except JournalError as error:
            if not self._unanchored and not last:
                self.tell(Tell(level=Level.ALARM, message=str(error)))
            self._unanchored = True
        else:
            self._unanchored = False

    def snapshot(self) -> dict[str, Any]:
        """Return the pool's and the book's state, JSON-ready."""
        now = anyio.current_time()
        return {
            "time": format_time(self.wiring.clock.now()),
            "process_id": os.getpid(),
            "stopped": self._stopping,
            "accounts": [
                {
                    "account": link.name,
                    "tradable": link.state().tradable,
                    "why": link.state().why,
                    "differs": link.compared.sentences if link.compared else [],
                    "endpoints": [session.snapshot(now) for session in link.sessions],
                }
                for link in self.wiring.links.values()
            ],
            "routes": self.book.routes,
            "open_orders": [
                {
                    "client_order_id": each.client_order_id,
                    "account": each.account,
                    "instrument": each.instrument,
                    "stage": each.stage.value,
                }
                for each in unsettled(self.desk.tickets)
            ],
            "positions": [
                {
                    "account": name,
                    "instrument": symbol,
                    "quantity": str(held.quantity),
                    "average_price": str(held.average_price),
                }
                for name, book in self.book.accounts.items()
                for symbol, held in book.holdings.items()
            ],
        }

    def _keep_status(self) -> None:
        """Write the snapshot where ``mtquant status`` reads it, whole or not at all.

        A disk that refuses stops no trading here: it is an alarm, once until it works again.
        """
        try:
            self._write_status()
        except OSError as error:
            if not self._unstated:
                self.tell(Tell(level=Level.ALARM, message=f"the status can't be written: {error}"))
            self._unstated = True
        else:
            self._unstated = False

    def _write_status(self) -> None:
        path = self.wiring.status_file
        if path is None:
            return
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.snapshot()), encoding="utf-8")
        fresh.replace(path)

    def _close(self) -> None:
        self._stopping = True
        try:
            for last in self.endings:
                last()
            body = {"open_orders": [each.client_order_id for each in unsettled(self.desk.tickets)]}
            self.wiring.journal.append("stopped", body, durable=True)
            self._anchor(last=True)
        except JournalError:
            pass
        finally:
            self._store(lambda it: it.close())
            with suppress(OSError):  # if its disk refuses as well, the journal says so next
                self._write_status()
            self.wiring.journal.close()


def _keep_equity(
    time: int, account: str, balance: Decimal, equity: Decimal, store: Store[Any]
) -> None:
    store.equity(time, account, balance, equity)
