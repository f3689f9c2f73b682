"""An HTTP proxy that does what networks do, at the request that a test names.

async with FaultProxy("http://127.0.0.1:10000") as proxy:
    proxy.plan("PUT", "comp=block&", Fault.RESET_IN_BODY)
    ... a client that talks to proxy.url ...
    assert proxy.planned == []
"""

from __future__ import annotations

import asyncio
import io
from enum import Enum, auto
from typing import NamedTuple, Self

from aiohttp import ClientSession, DummyCookieJar, web
from yarl import URL

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


class Fault(Enum):
    UNAVAILABLE = auto()
    """503 after the whole request was read; the service never sees it."""
    UNAVAILABLE_EARLY = auto()
    """503 before the body was read; the service never sees the request."""
    THROTTLED = auto()
    """429."""
    RESET_IN_BODY = auto()
    """The connection is reset after half of the request's body; the service never sees the request."""
    CUT_REPLY = auto()
    """The service does the work; the connection is reset in place of its reply."""
    TRUNCATED_REPLY = auto()
    """The service does the work; the connection is reset after half of the reply's body."""
    BLOCKS_GONE = auto()
    """400 InvalidBlockList; the service never sees the request."""
    SILENCE = auto()
    """No answer, ever; the service never sees the request."""


class Plan(NamedTuple):
    method: str
    fragment: str
    """Somewhere in the request's path and query."""
    fault: Fault


class Seen(NamedTuple):
    """A request that was forwarded."""

    method: str
    target: str
    body: bytes
    status: int


class FaultProxy:
    def __init__(self, upstream: str) -> None:
        self._upstream = URL(upstream).origin()
        self.planned: list[Plan] = []
        """Faults that have not happened yet; each happens once, to the first request that it fits."""
        self.seen: list[Seen] = []
        self.url = ""

    def plan(self, method: str, fragment: str, fault: Fault, times: int = 1) -> None:
        self.planned += [Plan(method, fragment, fault)] * times

    async def __aenter__(self) -> Self:
        self._session = ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar())
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, auto_decompress=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        match self._next(request):
            case Fault.UNAVAILABLE_EARLY:
                return web.Response(status=503)
            case Fault.UNAVAILABLE:
                await request.read()
                return web.Response(status=503)
            case Fault.THROTTLED:
                await request.read()
                return web.Response(status=429)
            case Fault.BLOCKS_GONE:
                await request.read()
                return web.Response(status=400, headers={"x-ms-error-code": "InvalidBlockList"})
            case Fault.RESET_IN_BODY:
                await request.content.readexactly((request.content_length or 0) // 2)
                return _reset(request)
            case Fault.SILENCE:
                await asyncio.Event().wait()
                raise AssertionError
            case fault:
                return await self._forward(request, fault)

    def _next(self, request: web.Request) -> Fault | None:
        for plan in self.planned:
            if plan.method == request.method and plan.fragment in request.path_qs:
                self.planned.remove(plan)
                return plan.fault
        return None

    async def _forward(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        body = await request.read()
        target = URL(str(self._upstream) + request.rel_url.raw_path_qs, encoded=True)
        async with self._session.request(
            request.method,
            target,
            headers={k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP},
            data=io.BytesIO(body) if body else None,
            skip_auto_headers=["Content-Type"],
            allow_redirects=False,
        ) as reply:
            content = await reply.read()
            headers = {k: v for k, v in reply.headers.items() if k.lower() not in _HOP_BY_HOP}
        self.seen.append(Seen(request.method, request.path_qs, body, reply.status))
        if fault is Fault.CUT_REPLY:
            return _reset(request)
        if fault is Fault.TRUNCATED_REPLY:
            headers["Content-Length"] = str(len(content))
            response = web.StreamResponse(status=reply.status, headers=headers)
            await response.prepare(request)
            await response.write(content[: len(content) // 2])
            return _reset(request)
        return web.Response(status=reply.status, headers=headers, body=content)


def _reset(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response(status=500)  # goes nowhere
