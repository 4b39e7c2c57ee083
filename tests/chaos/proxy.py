"""A TCP proxy before a server, which does to connections what networks do.

It cuts them, with and without a reset; delays bytes; swallows those of one direction, so that an
order arrives and its answer never does; holds answers up, half open; holds requests up while new
connections get through, so that an order comes after it was looked up; and refuses.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from enum import StrEnum

import anyio
import anyio.abc

_CHUNK = 65_536
_LOOK_S = 0.02
_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing such a socket resets its connection."""


class Fault(StrEnum):
    """What the network does."""

    CUT = "cut"
    RESET = "reset"
    DELAY = "delay"
    LOSE_REQUESTS = "lose requests"
    LOSE_ANSWERS = "lose answers"
    HALF_OPEN = "half-open"
    LATE_REQUESTS = "late requests"
    REFUSE = "refuse"


@dataclass(eq=False, slots=True)
class _Connection:
    client: anyio.abc.SocketStream
    server: anyio.abc.SocketStream
    poisoned: bool = False
    held: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)


class Proxy:
    """Listens on ``port``, once it serves, and forwards to ``target`` of the loopback."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.target = target
        self.connections = 0
        self.chunks_lost = 0
        self._fault: Fault | None = None
        self._delay_s = 0.0
        self._open: set[_Connection] = set()

    @property
    def open(self) -> int:
        """How many connections go through it now."""
        return len(self._open)

    async def serve(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Forward until cancelled."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        self.port = int(listener.extra(anyio.abc.SocketAttribute.local_port))  # noqa: S610 - a socket's
        async with listener:
            task_status.started()
            await listener.serve(self._connected)

    async def inflict(self, fault: Fault, for_s: float, delay_s: float) -> None:
        """Do ``fault`` for so long; what lost bytes by it is cut afterwards, as TCP would."""
        if fault in {Fault.CUT, Fault.RESET}:
            self._cut(self._open, reset=fault is Fault.RESET)
            return
        self._fault, self._delay_s = fault, delay_s
        try:
            if fault is Fault.REFUSE:
                self._cut(self._open, reset=True)
            for each in self._open:
                each.held = fault is Fault.LATE_REQUESTS
            await anyio.sleep(for_s)
        finally:
            self._fault = None
            for each in self._open:
                each.held = False
        self._cut({each for each in self._open if each.poisoned}, reset=True)

    def _cut(self, connections: set[_Connection], *, reset: bool) -> None:
        for each in list(connections):
            if reset:
                for end in (each.client, each.server):
                    _will_reset(end)
            each.scope.cancel()

    async def _connected(self, client: anyio.abc.SocketStream) -> None:
        if self._fault is Fault.REFUSE:
            _will_reset(client)
            await anyio.aclose_forcefully(client)
            return
        try:
            server = await anyio.connect_tcp("127.0.0.1", self.target)
        except OSError:
            # Nobody listens there: a real network would refuse, or hang.
            _will_reset(client)
            await anyio.aclose_forcefully(client)
            return
        connection = _Connection(client, server)
        self.connections += 1
        self._open.add(connection)
        try:
            with connection.scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._pump, connection, client, server, Fault.LOSE_REQUESTS)
                    group.start_soon(self._pump, connection, server, client, Fault.LOSE_ANSWERS)
        finally:
            self._open.discard(connection)
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(client)
                await anyio.aclose_forcefully(server)

    async def _pump(
        self,
        connection: _Connection,
        source: anyio.abc.SocketStream,
        sink: anyio.abc.SocketStream,
        loses: Fault,
    ) -> None:
        """Forward one direction until it ends; then the other ends as well."""
        try:
            while True:
                data = await source.receive(_CHUNK)
                if self._fault is Fault.DELAY:
                    await anyio.sleep(self._delay_s)
                while self._holds(connection, loses):  # noqa: ASYNC110 - the fault may change
                    await anyio.sleep(_LOOK_S)
                if self._fault is loses or (connection.poisoned and loses is Fault.LOSE_ANSWERS):
                    self.chunks_lost += 1
                    connection.poisoned = True
                    continue
                await sink.send(data)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            connection.scope.cancel()

    def _holds(self, connection: _Connection, loses: Fault) -> bool:
        """Tell whether bytes of this direction wait, to come when the fault is over."""
        if loses is Fault.LOSE_ANSWERS:
            return self._fault is Fault.HALF_OPEN
        return connection.held


def _will_reset(stream: anyio.abc.SocketStream) -> None:
    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket, None)  # noqa: S610 - a socket's
    if raw is not None:
        try:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            return  # it has gone by itself
