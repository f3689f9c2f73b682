"""What a delivery tells whoever watches over it: `/livez`, `/readyz`, `/version`, `/metrics`, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import faust
from aiohttp import web

from bridge.answer_headers import add_headers
from bridge.exposition import Exposition
from bridge.health import health_routes
from bridge.metrics import Kind
from streams.answers import Handler
from streams.hardened import standing

_WHY: Final = {"joining": "it joins its group", "recovering": "its group rebalances", "stopping": "it ends"}


class DeliveryHealth:
    """Of one delivery."""

    def __init__(self, app: faust.App) -> None:
        self._app = app
        self._takes = False

    def serve(self, look: Callable[[], None]) -> None:
        """From the app's web server; `look` sets what is asked for when somebody looks."""
        server: web.Application = self._app.web.web_app  # type: ignore[attr-defined]  # the aiohttp driver's
        routes = health_routes(self.unready, Exposition(Kind.DELIVERY, look))
        server.router.add_routes(routes)
        paths = frozenset(route.path for route in routes)

        @web.middleware
        async def nothing_else(request: web.Request, handler: Handler) -> web.StreamResponse:
            """Faust's own pages tell of its topics and workers to whoever asks."""
            if request.path not in paths:
                raise web.HTTPNotFound
            return await handler(request)

        server.middlewares.append(nothing_else)
        server.on_response_prepare.append(add_headers)

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Inside, storage and RabbitMQ were reached, and effects are taken."""
        self._takes = True
        try:
            yield
        finally:
            self._takes = False

    def unready(self) -> str:
        """What keeps it from carrying effects out; empty when nothing does.

        One that has no partition, because others have them all, is ready. So is one that is refused by a system: that
        passes, and nobody else would do better.
        """
        stage = standing(self._app, joined=self._app.rebalancing_count > 0).stage
        if stage != "running":
            return _WHY[stage]
        return "" if self._takes else "it has not reached storage and RabbitMQ yet"
