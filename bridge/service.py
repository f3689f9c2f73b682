"""The bridge process: consumers on RabbitMQ, and everything they need. Stateless; start as many as you like."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aio_pika
import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustConnection
from mode import Service

from bridge import topology
from bridge.azure_blobs import AzureBlobs
from bridge.facts import Facts
from bridge.intake import Intake
from bridge.notices import RECONNECT_S, Notices
from bridge.settings import BridgeSettings

_log = structlog.get_logger()

DRAIN_MAX_S: Final = 30.0
"""How long a stopping bridge finishes what it has in hand; what is left is delivered again by the broker."""

Handler = Callable[[AbstractIncomingMessage, str], Awaitable[None]]


class Bridge(Service):
    """RabbitMQ's messages become blocks in storage and facts on Kafka."""

    def __init__(self, settings: BridgeSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._name = settings.bridge_id or f"{socket.gethostname()}-{os.getpid()}"
        self._in_hand: set[asyncio.Task[None]] = set()
        self._consumers: list[tuple[AbstractQueue, str]] = []
        self._connection: AbstractRobustConnection | None = None

    async def on_start(self) -> None:
        """Connect to all three systems, then begin to consume."""
        settings = self._settings
        blobs = await self.add_async_context(AzureBlobs(settings))
        facts = await self.add_async_context(Facts(settings))
        notices = await self.add_async_context(Notices(settings.amqp_url, f"brh bridge {self._name} (notices)"))
        intake = Intake(blobs, facts, notices, settings)
        self._connection = await aio_pika.connect_robust(
            settings.amqp_url.get_secret_value(),
            client_properties={"connection_name": f"brh bridge {self._name}"},
            reconnect_interval=RECONNECT_S,
        )
        await self._consume(topology.HEADERS, settings.header_prefetch, intake.header)
        await self._consume(topology.SMALL_PAYLOADS, settings.small_prefetch, intake.payload)
        await self._consume(topology.PAYLOADS, settings.lanes, intake.payload)
        _log.info("bridge is consuming", bridge=self._name)

    async def on_stop(self) -> None:
        """Take nothing new, finish what is in hand, then let go."""
        for queue, tag in self._consumers:
            await queue.cancel(tag)
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=DRAIN_MAX_S)
        if self._connection is not None:
            await self._connection.close()

    async def _consume(self, name: str, prefetch: int, handler: Handler) -> None:
        if self._connection is None:
            raise RuntimeError("start the bridge first")
        channel = await self._connection.channel()
        await channel.set_qos(prefetch_count=prefetch)
        # ensure=True: the library restores only consumers of queues that it has seen declared.
        queue = await channel.get_queue(name, ensure=True)

        async def on_message(message: AbstractIncomingMessage) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._in_hand.add(task)
                task.add_done_callback(self._in_hand.discard)
            try:
                await handler(message, name)
            except Exception as error:  # a bug: leave the message unacknowledged and end, rather than lose it quietly
                _log.exception("bridge ends", queue=name)
                await self.crash(error)

        self._consumers.append((queue, await queue.consume(on_message)))
