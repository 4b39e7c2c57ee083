"""The connection to the broker under test, which a case may leave and open anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup, TaskStatus

from mtquant.errors import BrokerError
from mtquant.wire import Remote


@dataclass(frozen=True, slots=True)
class Target:
    """The broker under test: ``connect`` opens a connection, anew after each restart."""

    name: str
    connect: Callable[[], AbstractAsyncContextManager[Remote]]


class Connection:
    """A connection to ``target`` that is held in a task of its own."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._group: TaskGroup
        self._leave: anyio.Event
        self._left: anyio.Event
        self.remote: Remote

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect, and leave in the end; raises BrokerError where that fails."""
        async with anyio.create_task_group() as self._group:
            await self._connect()
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._disconnect()

    async def _connect(self) -> None:
        self._leave, self._left = anyio.Event(), anyio.Event()
        failure: BrokerError | None = await self._group.start(self._keep)
        if failure is not None:
            raise failure

    async def _keep(self, *, task_status: TaskStatus[BrokerError | None]) -> None:
        """Hold the connection in a task of its own: a case leaves it in the middle."""
        connected = False
        try:
            async with self._target.connect() as self.remote:
                connected = True
                task_status.started(None)
                await self._leave.wait()
        except BrokerError as error:
            if not connected:
                task_status.started(error)
        finally:
            self._left.set()

    async def _disconnect(self) -> None:
        self._leave.set()
        await self._left.wait()

    async def restart(self) -> None:
        """Leave the connection, which ends a server that is ours, and open it anew."""
        await self._disconnect()
        await self._connect()

    def another(self) -> AbstractAsyncContextManager[Remote]:
        """Return a second connection: a second server where servers are ours to start."""
        return self._target.connect()
