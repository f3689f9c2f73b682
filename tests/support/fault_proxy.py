"""An HTTP proxy that does what networks do, at the request that a test names.

async with FaultProxy("http://127.0.0.1:10000") as proxy:
    proxy.plan("PUT", "comp=block&", Fault.RESET_IN_BODY)
    ... a client that talks to proxy.url ...
    assert proxy.planned == []
    proxy.rule = lambda request: Fault.UNAVAILABLE
    ... and nothing works until ...
    proxy.heal()
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Callable
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
    BROKEN = auto()
    """500 after the whole request was read; the service never sees it."""
    THROTTLED = auto()
    """429 with Retry-After."""
    RESET_IN_BODY = auto()
    """The connection is reset after half of the request's body; the service never sees the request."""
    CUT_REPLY = auto()
    """The service does the work; the connection is reset in place of its reply."""
    TRUNCATED_REPLY = auto()
    """The service does the work; the connection is reset after half of the reply's body."""
    HALF_REPLY = auto()
    """The service does the work; the connection ends in the head of its reply."""
    BLOCKS_GONE = auto()
    """400 InvalidBlockList; the service never sees the request."""
    SILENCE = auto()
    """No answer, ever; the service never sees the request. `heal` resets the connection."""
    SLOW = auto()
    """The service is asked `SLOW_S` after the whole request was read."""
    STALL = auto()
    """The second half of the request's body is read `SLOW_S` after the first."""


SLOW_S = 0.3
_ANSWERS = {
    Fault.UNAVAILABLE: (503, {}),
    Fault.BROKEN: (500, {}),
    Fault.THROTTLED: (429, {"Retry-After": "1"}),
    Fault.BLOCKS_GONE: (400, {"x-ms-error-code": "InvalidBlockList"}),
}


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
    def __init__(self, upstream: str, *, keep_bodies: bool = True) -> None:
        """`keep_bodies`: of the requests in `seen`."""
        self._upstream = URL(upstream).origin()
        self._keep_bodies = keep_bodies
        self.planned: list[Plan] = []
        """Faults that have not happened yet; each happens once, to the first request that it fits."""
        self.seen: list[Seen] = []
        self.url = ""
        self.rule: Callable[[web.Request], Fault | None] | None = None
        """What happens to each request for which nothing is planned."""
        self.faults: Counter[Fault] = Counter()
        """Those that happened."""
        self._healed = asyncio.Event()

    def heal(self) -> None:
        """Nothing bad happens any more; who waits for an answer gets none."""
        self.rule, self.planned = None, []
        self._healed.set()
        self._healed = asyncio.Event()

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
        fault = self._next(request)
        if fault is not None:
            self.faults[fault] += 1
        match fault:
            case Fault.UNAVAILABLE_EARLY:
                return web.Response(status=503)
            case Fault.UNAVAILABLE | Fault.BROKEN | Fault.THROTTLED | Fault.BLOCKS_GONE:
                await request.read()
                status, headers = _ANSWERS[fault]
                return web.Response(status=status, headers=headers)
            case Fault.RESET_IN_BODY:
                await request.content.readexactly((request.content_length or 0) // 2)
                return _reset(request)
            case Fault.SILENCE:
                await self._healed.wait()
                return _reset(request)
            case Fault.SLOW:
                body = await request.read()
                await asyncio.sleep(SLOW_S)
                return await self._forward(request, body, fault)
            case Fault.STALL:
                half = await request.content.readexactly((request.content_length or 0) // 2)
                await asyncio.sleep(SLOW_S)
                return await self._forward(request, half + await request.read(), fault)
            case _:
                return await self._forward(request, await request.read(), fault)

    def _next(self, request: web.Request) -> Fault | None:
        for plan in self.planned:
            if plan.method == request.method and plan.fragment in request.path_qs:
                self.planned.remove(plan)
                return plan.fault
        return self.rule(request) if self.rule is not None else None

    async def _forward(self, request: web.Request, body: bytes, fault: Fault | None) -> web.StreamResponse:
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
        self.seen.append(Seen(request.method, request.path_qs, body if self._keep_bodies else b"", reply.status))
        if fault is Fault.CUT_REPLY:
            return _reset(request)
        if fault is Fault.HALF_REPLY:
            assert request.transport is not None
            request.transport.write(f"HTTP/1.1 {reply.status} Done\r\nContent-Le".encode())
            request.transport.close()
            return web.Response(status=500)  # goes nowhere
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
