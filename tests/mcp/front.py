"""A loopback front that adds a bearer token to each request: the public suite can't send one.

Requests are read one by one, because a connection carries many; answers pass as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio
from anyio.abc import SocketStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream

LONGEST_HEAD = 1 << 16


async def front(
    to: int, token: str, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Listen on a free loopback port, which is told, and forward to the port ``to``."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - anyio's
    task_status.started(port)
    await listener.serve(partial(_forward, to, token))


async def _forward(to: int, token: str, client: SocketStream) -> None:
    async with (
        client,
        await anyio.connect_tcp("127.0.0.1", to) as server,
        anyio.create_task_group() as group,
    ):
        group.start_soon(_answers, server, client, group.cancel_scope.cancel)
        try:
            await _requests(client, server, token)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            group.cancel_scope.cancel()


async def _requests(client: SocketStream, server: SocketStream, token: str) -> None:
    stream = BufferedByteReceiveStream(client)
    while True:
        head = await stream.receive_until(b"\r\n\r\n", LONGEST_HEAD)
        first, *lines = head.split(b"\r\n")
        fields = {
            name.strip().lower(): value for name, _, value in (x.partition(b":") for x in lines)
        }
        lines.append(f"Authorization: Bearer {token}".encode())
        await server.send(b"\r\n".join([first, *lines]) + b"\r\n\r\n")
        length = int(fields.get(b"content-length", b"0"))
        if length:
            await server.send(await stream.receive_exactly(length))


async def _answers(server: SocketStream, client: SocketStream, end: Callable[[], None]) -> None:
    try:
        async for chunk in server:
            await client.send(chunk)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    finally:
        end()
