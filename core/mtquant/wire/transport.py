"""How a client reaches a server: in memory, over a child's stdio, or over HTTP.

The SDK lets one failed HTTP request kill the client and every call under way, and can't tell a
request that never left from one whose answer was lost. ``Resilient`` cures both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TextIO

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.types import CONNECTION_CLOSED

from mtquant.contract import Endpoint
from mtquant.wire.child import ANSWER_LIMIT, Child

_PING_S = 15
"""A streaming MCP server sends a comment this often; a longer silence means that it is gone."""
_UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_TURNED_AWAY = frozenset({401, 403, 421})


def transport_of(at: Endpoint | Server[Any], errlog: TextIO | None) -> Any:  # noqa: ANN401 - the SDK types it
    """Return what ``mcp.Client`` connects to."""
    if isinstance(at, Server):
        return at
    return Child(at, errlog) if at.url is None else _http(at.url, at.token)


@asynccontextmanager
async def _http(url: str, token: str | None) -> AsyncIterator[Any]:
    async with (
        httpx2.AsyncClient(
            # Unpacked, so that an answer is no larger than it looks.
            headers={"Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {token}"} if token else {}),
            timeout=httpx2.Timeout(5, read=3 * _PING_S),
            transport=Resilient(
                httpx2.AsyncHTTPTransport(
                    limits=httpx2.Limits(max_connections=32, max_keepalive_connections=16)
                )
            ),
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=ANSWER_LIMIT) as streams,
    ):
        yield streams


class Resilient(httpx2.AsyncBaseTransport):
    """Turns what fails below MCP into JSON-RPC errors that say whether the request was sent."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send ``request``; every failure is an answer."""
        try:
            response = await self._inner.handle_async_request(request)
            if response.status_code in _TURNED_AWAY:
                await response.aclose()
                return _failed(request, f"HTTP {response.status_code}", sent=False)
            if response.headers.get("content-type", "").lower().startswith("application/json"):
                return await _read(request, response)
        except httpx2.TransportError as error:
            return _failed(request, type(error).__name__, sent=not isinstance(error, _UNSENT))
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


async def _read(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    """Read a whole answer: a connection lost half-way must fail here, and not later."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > ANSWER_LIMIT:
            await response.aclose()
            return _failed(request, "the answer is too large", sent=True)
    if response.headers.get("content-encoding", "identity") != "identity":
        return _failed(request, "the answer is packed, which was not asked for", sent=True)
    return httpx2.Response(
        response.status_code, request=request, headers=response.headers, content=bytes(body)
    )


def _failed(request: httpx2.Request, reason: str, *, sent: bool) -> httpx2.Response:
    error = {"code": CONNECTION_CLOSED, "message": reason, "data": {"reason": reason, "sent": sent}}
    return httpx2.Response(
        503, request=request, json={"jsonrpc": "2.0", "id": None, "error": error}
    )
