"""What a bridge tells whoever watches over it: `/livez`, `/readyz`, `/version` and `/metrics`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from bridge.binds import host_and_port
from bridge.exposition import Exposition
from bridge.settings import SettingsError

SHUTDOWN_S: Final = 1.0
"""How long open connections may take to end; nobody waits for an answer of ours for longer."""


class Health:
    """An HTTP server; an async context manager that owns it."""

    def __init__(self, bind: str, unready: Callable[[], str], exposition: Exposition) -> None:
        """`unready` says what keeps the bridge from consuming; empty when nothing does."""
        self._bind = bind
        self._unready = unready
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/version", self._version),
                web.get("/metrics", exposition.get),
            ]
        )
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

    async def _livez(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        if not (why := self._unready()):
            return web.json_response({"status": "ready"})
        problem = {"title": "Not ready", "status": 503, "code": "not-ready", "detail": why}
        return web.json_response(problem, status=503, content_type="application/problem+json")

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": version("big-result-handler")})
