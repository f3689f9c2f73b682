"""`GET /v1/transactions/{id}/events`: Server-Sent Events for whoever wants to see a transaction as it goes.

Each client has a loop of its own that looks at what the transaction shows, whoever owns it just then. There is no
queue: a client is told what is there when it can be told, and one whose buffers are full for long is dropped.
While nobody knows the transaction, because its partition moves, nothing is said.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import web

from streams import queries
from streams.answers import RETRY_AFTER_S, Refused
from streams.following import Following
from streams.own import id_of
from streams.queries import Row
from streams.routing import NotReady

TICK_S: Final = 0.6
"""Between two messages to a client: fewer than two a second."""
HEARTBEAT_S: Final = 15.0
"""After so much silence a comment shows that we are still there: proxies close what is silent for a minute."""
SLOW_MAX_S: Final = 5.0
"""How long a client may not read, when what it has not read fills its buffers."""
SEND_BUFFER_BYTES: Final = 64 << 10
"""In the kernel for each client; by default it grows to megabytes, and a client that does not read would look well."""

_HEARTBEAT: Final = b": still here\n\n"
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold messages back until it has enough of them
}

_log = structlog.get_logger()


class EventStreams:
    """All clients of this tracker."""

    def __init__(self, row_of: Callable[[str], Awaitable[Row]], streams_max: int) -> None:
        """`row_of` raises Refused, NotReady."""
        self._row_of = row_of
        self._max = streams_max
        self._stopping = asyncio.Event()
        self.open = 0
        """Clients that are being told something."""

    async def stop(self, _: web.Application) -> None:
        """End all streams, so that the server may end."""
        self._stopping.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One client, for as long as it and the transaction stay."""
        transaction_id = id_of(request)
        following = Following(request.headers.get("Last-Event-ID"))
        row = await self._row_of(transaction_id)
        if following.has_all(row):
            return web.Response(status=204)  # by which a browser knows not to come again
        if self.open >= self._max:
            detail = f"{self._max} clients follow transactions at this tracker (BRH_API_STREAMS_MAX): ask another one."
            problem = queries.problem(503, "too-many-streams", "Too many clients follow transactions", detail)
            raise Refused(problem, {"Retry-After": str(RETRY_AFTER_S)})
        self.open += 1
        try:
            response = web.StreamResponse(headers=_HEADERS)
            await response.prepare(request)
            client = _Client(request, response)
            with suppress(ConnectionError):  # it has gone
                if (first := following.next(row)) is not None:
                    await client.write(first.wire)
                await self._go_on(client, following, transaction_id)
            return response
        finally:
            self.open -= 1

    async def _go_on(self, client: _Client, following: Following, transaction_id: str) -> None:
        while not following.done:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_S)
            if self._stopping.is_set() or client.gone:
                return
            try:
                message = following.next(await self._row_of(transaction_id))
            except NotReady:
                message = None
            except Refused:
                return  # it was forgotten; whoever comes back is told so
            if message is not None:
                await client.write(message.wire)
            elif client.silent_s > HEARTBEAT_S:
                await client.write(_HEARTBEAT)


class _Client:
    """The connection to one client."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        assert request.transport is not None, "its headers were sent a moment ago"
        self._transport = request.transport
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._wrote_s = self._loop.time()
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    @property
    def gone(self) -> bool:
        return self._transport.is_closing()

    @property
    def silent_s(self) -> float:
        """Since it was told something."""
        return self._loop.time() - self._wrote_s

    async def write(self, data: bytes) -> None:
        self._wrote_s = self._loop.time()
        try:
            async with asyncio.timeout(SLOW_MAX_S):
                await self._response.write(data)
        except TimeoutError:
            _log.info("a client that follows a transaction does not read, and is dropped")
            self._transport.abort()
