"""The metrics of one process as Prometheus reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import generate_latest

from bridge.metrics import REGISTRIES, TASKS, Kind

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """`GET /metrics` of a process of this kind."""

    def __init__(self, kind: Kind, look: Callable[[], None] = lambda: None) -> None:
        """`look` sets the gauges that nobody sets when they change; it must be quick, and is called for each answer."""
        self._kind = kind
        self._look = look

    def text(self) -> bytes:
        """All metrics."""
        self._look()
        return generate_latest(REGISTRIES[self._kind])

    async def get(self, _: web.Request) -> web.Response:
        """The handler."""
        TASKS.set(len(asyncio.all_tasks()))
        return web.Response(body=self.text(), headers={"Content-Type": CONTENT_TYPE})
