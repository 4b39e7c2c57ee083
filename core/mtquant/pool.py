"""Connections: start, watch, restart with back-off, and count; one owner task for each server."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup

from mtquant.clock import Random
from mtquant.contract import Broker
from mtquant.errors import BrokerError, ErrorCode, Outcome, Refused, Retry
from mtquant.model import Capabilities, Health, Stream
from mtquant.pins import Pin

T = TypeVar("T")
_FAULTS = {ErrorCode.NOT_CONNECTED, ErrorCode.OUTCOME_UNKNOWN, ErrorCode.INTERNAL}
_KEPT_LATENCIES = 1000
_MOST_DOUBLINGS = 30


class ConnectionState(StrEnum):
    """Healthy takes new exposure; suspect is looked at again before it does; down is gone."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"
    DOWN = "down"


@dataclass(slots=True)
class Statistics:
    """What one connection has done; latencies in seconds, the newest thousand."""

    calls: int = 0
    errors: int = 0
    restarts: int = 0
    connected_since: float | None = None
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_LATENCIES))

    def percentile(self, share: float) -> float | None:
        """Return the latency in seconds that ``share`` of the calls stayed within."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How a connection is watched and brought back; all in seconds.

    A stream of the venue that is silent for ``silence_s`` while trading goes on is told of.
    """

    health_interval_s: float = 30.0
    recheck_s: float = 1.0
    backoff_s: float = 0.5
    backoff_limit_s: float = 30.0
    silence_s: float = 120.0


class Session:
    """One server before an account. :meth:`run` owns the connection; anyone may :meth:`call`.

    ``untrusted`` says why nothing new is to be opened through it, where its tools have changed.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], AbstractAsyncContextManager[Broker]],
        watch: Watch,
        rng: Random,
    ) -> None:
        self.name = name
        self.state = ConnectionState.DOWN
        self.problem = "not started"
        self.statistics = Statistics()
        self.health: Health | None = None
        self.capabilities: Capabilities | None = None
        self.tried = anyio.Event()
        self.untrusted = ""
        self._connect = connect
        self._watch = watch
        self._rng = rng
        self._broker: Broker | None = None
        self._wake = anyio.Event()
        self._on_change: Callable[[], None] | None = None
        self._silent: frozenset[Stream] = frozenset()
        self._trusted: Callable[[str, Pin], str] = lambda _name, _seen: ""

    @property
    def connected(self) -> bool:
        """True while calls can be made, whether or not the session is trusted."""
        return self._broker is not None

    async def call(self, use: Callable[[Broker], Awaitable[T]], *, waits: bool = False) -> T:
        """Make one call. Raises Refused (not_connected, not sent) where there's no connection.

        A call that ``waits`` for something to happen says nothing of latency.
        """
        broker = self._broker
        if broker is None:
            raise Refused(
                ErrorCode.NOT_CONNECTED,
                f"{self.name} is down: {self.problem}",
                outcome=Outcome.NOT_SENT,
                retry=Retry.SAFE,
            )
        started = anyio.current_time()
        self.statistics.calls += 1
        try:
            return await use(broker)
        except BrokerError as error:
            if error.code in _FAULTS:
                self.statistics.errors += 1
                self._suspect(str(error))
            raise
        finally:
            if not waits:
                self.statistics.latencies.append(anyio.current_time() - started)

    def _suspect(self, problem: str) -> None:
        if self.state is ConnectionState.HEALTHY:
            self.state = ConnectionState.SUSPECT
        self.problem = problem
        self._wake.set()
        if self._on_change is not None:
            # At once: the next order must not be routed here in the meantime.
            self._on_change()

    async def run(
        self,
        on_connected: Callable[[], Awaitable[None]],
        on_change: Callable[[], None],
        on_alarm: Callable[[str], None],
        trusted: Callable[[str, Pin], str] = lambda _name, _seen: "",
    ) -> None:
        """Connect, let ``on_connected`` reconcile, watch, and start again when it is lost.

        ``on_change`` is told of each change of state, ``on_alarm`` what people must hear;
        ``trusted`` is shown what the server's tools are, and says why they can't be trusted.
        """
        failures = 0
        self._trusted = trusted
        self._on_change = on_change
        while True:
            since = math.inf
            try:
                async with self._connect() as broker:
                    await self._enter(broker, on_connected)
                    since = anyio.current_time()
                    on_change()
                    self.tried.set()
                    await self._until_lost(broker, on_change, on_alarm)
            except BrokerError as error:
                self.problem = str(error)
            finally:
                self._broker = None
                self.state = ConnectionState.DOWN
                self.statistics.connected_since = None
            on_change()
            self.tried.set()
            if anyio.current_time() - since >= self._watch.backoff_limit_s:
                failures = 0  # it lasted; one that is lost at once is no better than none
            pause = min(self._watch.backoff_limit_s, self._watch.backoff_s * 2**failures)
            failures = min(failures + 1, _MOST_DOUBLINGS)
            # Half of the pause is random, so that many clients don't come back all at once.
            await anyio.sleep(pause * (0.5 + self._rng.random() / 2))
            self.statistics.restarts += 1

    async def _enter(self, broker: Broker, on_connected: Callable[[], Awaitable[None]]) -> None:
        self.capabilities = await broker.get_capabilities()
        self.health = await broker.get_health()
        await self._compare_tools(broker, self.health, self.capabilities)
        if not self.health.connected:
            raise Refused(ErrorCode.NOT_CONNECTED, self.health.reason or "venue not reached")
        self._broker = broker
        self._wake = anyio.Event()
        self.state = ConnectionState.SUSPECT
        await on_connected()
        self.state, self.problem = ConnectionState.HEALTHY, ""
        self.statistics.connected_since = anyio.current_time()

    async def _compare_tools(
        self, broker: Broker, health: Health, capabilities: Capabilities | None
    ) -> None:
        """Show whoever keeps the pins what the server's tools are now."""
        offered = await broker.list_offered()
        if offered and capabilities is not None:
            seen = Pin(tools=offered, version=health.version, environment=capabilities.environment)
            self.untrusted = self._trusted(self.name, seen)

    def _hear_streams(self, health: Health, on_alarm: Callable[[str], None]) -> None:
        """Raise an alarm when a stream falls silent: it can be dead while the others beat."""
        stepped = self.capabilities is not None and self.capabilities.clock == "stepped"
        silent = frozenset(
            each.stream
            for each in health.streams
            if each.age_s is not None and each.age_s > self._watch.silence_s
        )
        if stepped or not health.trading_allowed:
            silent = frozenset()  # time stands still, or the market does
        for stream in sorted(silent - self._silent):
            age = health.age(stream)
            on_alarm(f"{self.name}: the stream of {stream} has been silent for {age:.0f} s")
        self._silent = silent

    async def _until_lost(
        self, broker: Broker, on_change: Callable[[], None], on_alarm: Callable[[str], None]
    ) -> None:
        """Ask for health at each interval, at once after a fault; return after two failures."""
        failed = 0
        while failed < 2:  # noqa: PLR2004 - suspect, then down
            with anyio.move_on_after(
                self._watch.recheck_s if failed else self._watch.health_interval_s
            ):
                await self._wake.wait()
            self._wake = anyio.Event()
            if broker.closed:
                return
            try:
                self.health = await broker.get_health()
                await self._compare_tools(broker, self.health, self.capabilities)
                self._hear_streams(self.health, on_alarm)
                healthy, problem = self.health.connected, self.health.reason
            except BrokerError as error:
                healthy, problem = False, str(error)
            failed = 0 if healthy else failed + 1
            self.state = ConnectionState.HEALTHY if healthy else ConnectionState.SUSPECT
            self.problem = "" if healthy else problem
            on_change()

    def snapshot(self, now: float) -> dict[str, Any]:
        """Return state and statistics, JSON-ready; ``now`` as of ``anyio.current_time``."""
        median, tail = self.statistics.percentile(0.5), self.statistics.percentile(0.99)
        since = self.statistics.connected_since
        return {
            "endpoint": self.name,
            "state": self.state.value,
            "problem": self.problem,
            "calls": self.statistics.calls,
            "errors": self.statistics.errors,
            "restarts": self.statistics.restarts,
            "p50_ms": None if median is None else round(median * 1000, 3),
            "p99_ms": None if tail is None else round(tail * 1000, 3),
            "uptime_s": None if since is None else round(now - since, 1),
            "process_id": self.health.process_id if self.health and self.connected else None,
        }


async def first_able(
    sessions: Sequence[Session], use: Callable[[Broker], Awaitable[T]], *, waits: bool = False
) -> T:
    """Make one call through the best of several servers before the same account.

    It moves on to the next server only where the call provably was not sent, so that an order
    can't go out twice. Raises the last refusal, or the last that a server answered.
    """
    order = {ConnectionState.HEALTHY: 0, ConnectionState.SUSPECT: 1, ConnectionState.DOWN: 2}
    refusal: Refused | None = None
    for session in sorted(sessions, key=lambda each: order[each.state]):
        try:
            return await session.call(use, waits=waits)
        except Refused as error:
            if error.code is not ErrorCode.NOT_CONNECTED or error.outcome is not Outcome.NOT_SENT:
                raise
            # One that a server answered says that a request has left: that must not get lost.
            refusal = refusal if refusal is not None and refusal.answered else error
    raise refusal or Refused(
        ErrorCode.NOT_CONNECTED, "no server is configured", outcome=Outcome.NOT_SENT
    )


def start(
    group: TaskGroup,
    sessions: Sequence[Session],
    on_connected: Callable[[Session], Awaitable[None]],
    on_change: Callable[[], None],
    on_alarm: Callable[[str], None],
    trusted: Callable[[str, Pin], str],
) -> None:
    """Run every session in ``group``; cancelling the group stops the servers it started."""
    for session in sessions:

        async def connected(session: Session = session) -> None:
            await on_connected(session)

        group.start_soon(session.run, connected, on_change, on_alarm, trusted)
