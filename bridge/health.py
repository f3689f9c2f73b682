"""What a process tells whoever watches over it: `/livez`, `/readyz`, `/version` and `/metrics`; a bridge's server."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from bridge.answer_headers import add_headers
from bridge.binds import host_and_port
from bridge.exposition import Exposition
from bridge.settings import SettingsError

SHUTDOWN_S: Final = 1.0
"""How long open connections may take to end; nobody waits for an answer of ours for longer."""


def health_routes(unready: Callable[[], str], exposition: Exposition) -> list[web.RouteDef]:
    """For an HTTP server; `unready` says what keeps the process from its work, empty when nothing does."""

    async def livez(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        if not (why := unready()):
            return web.json_response({"status": "ready"})
        problem = {"title": "Not ready", "status": 503, "code": "not-ready", "detail": why}
        return web.json_response(problem, status=503, content_type="application/problem+json")

    async def of_release(_: web.Request) -> web.Response:
        return web.json_response({"version": version("big-result-handler")})

    return [
        web.get("/livez", livez),
        web.get("/readyz", readyz),
        web.get("/version", of_release),
        web.get("/metrics", exposition.get),
    ]


class Health:
    """A bridge's HTTP server; an async context manager that owns it."""

    def __init__(self, bind: str, unready: Callable[[], str], exposition: Exposition) -> None:
        """`unready` says what keeps the bridge from consuming; empty when nothing does."""
        self._bind = bind
        app = web.Application()
        app.add_routes(health_routes(unready, exposition))
        app.on_response_prepare.append(add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        host, port = host_and_port(self._bind)
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise SettingsError(f"BRH_BRIDGE_BIND: {self._bind} cannot be listened on ({error.strerror})") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
