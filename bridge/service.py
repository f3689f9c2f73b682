"""The bridge process: consumers on RabbitMQ, and everything they need. Stateless; start as many as you like."""

from __future__ import annotations

import asyncio
import os
import socket
from functools import partial
from typing import Any, Final

import aio_pika
import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from mode import Service

from bridge import topology
from bridge.amqp_address import AmqpAddress
from bridge.azure_blobs import AzureBlobs
from bridge.broker_check import check_broker
from bridge.decoding import decode_whatever_comes
from bridge.facts import Facts
from bridge.headers import HeaderIntake
from bridge.lane import LaneClosed
from bridge.lanes import Lanes
from bridge.layout import MIB, sub_block_bytes
from bridge.memory import Memory
from bridge.notices import RECONNECT_S, Notices
from bridge.outlets import Outlets
from bridge.payloads import PayloadIntake
from bridge.settings import BridgeSettings, SettingsError

_log = structlog.get_logger()

DRAIN_MAX_S: Final = 30.0
"""How long a stopping bridge finishes what it has in hand; what is left is delivered again by the broker."""


class Bridge(Service):
    """RabbitMQ's messages become blocks in storage and facts on Kafka."""

    def __init__(self, settings: BridgeSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._name = settings.bridge_id or f"{socket.gethostname()}-{os.getpid()}"
        self._connection: AbstractRobustConnection | None = None
        self._headers: tuple[AbstractQueue, str] | None = None
        self._in_hand: set[asyncio.Task[None]] = set()
        self._lanes: list[Lanes] = []
        self._payloads: PayloadIntake | None = None

    async def on_start(self) -> None:
        """Connect to all three systems, then begin to consume."""
        decode_whatever_comes()
        settings = self._settings
        address = AmqpAddress.parse(settings.amqp_url)
        blobs = await self.add_async_context(AzureBlobs(settings))
        facts = await self.add_async_context(Facts(settings))
        notices = await self.add_async_context(Notices(settings.amqp_url, f"brh bridge {self._name} (notices)"))
        outlets = Outlets(blobs, facts, notices, instance=settings.instance, hold_max_s=settings.hold_max_s)
        memory = Memory(settings.memory_mb * MIB)
        memory.touch(settings.lanes * settings.blocks_in_flight * sub_block_bytes(1))
        await self._consume_headers(HeaderIntake(outlets, topology.HEADERS))
        _log.info("bridge begins to consume", bridge=self._name)
        payloads = self._payloads = PayloadIntake(outlets, memory, settings, self._broken)
        for queue, count, prefetch in (
            (topology.PAYLOADS, settings.lanes, 1),
            (topology.SMALL_PAYLOADS, 1, settings.small_prefetch),
        ):
            lanes = Lanes(
                address,
                queue,
                count=count,
                prefetch=prefetch,
                accept=partial(payloads.accept, queue),
                name=f"brh bridge {self._name}",
                storage=outlets.storage,
                crash=self._broken,
            )
            try:
                await lanes.start()
            except (LaneClosed, OSError) as error:
                raise SettingsError(f"queue {queue} cannot be consumed ({error}): run `brh setup`") from error
            self._lanes.append(lanes)
        self.add_future(check_broker(settings.rabbitmq_management_url))  # whoever does not answer must not delay us
        _log.info("bridge is consuming", lanes=settings.lanes, memory_mb=settings.memory_mb)

    async def on_stop(self) -> None:
        """Take nothing new, finish what is in hand, then let go."""
        if self._headers is not None:
            queue, tag = self._headers
            try:
                await queue.cancel(tag)
            except (AMQPError, ChannelInvalidStateError) as error:
                _log.info("the channel was gone before its consumer could be cancelled", error=repr(error))
        for lanes in self._lanes:
            lanes.drain()
        if self._payloads is not None:
            await self._payloads.finish(DRAIN_MAX_S)
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=DRAIN_MAX_S)
        for lanes in self._lanes:
            await lanes.stop()
        if self._connection is not None:
            await self._connection.close()

    async def _consume_headers(self, intake: HeaderIntake) -> None:
        self._connection = await aio_pika.connect_robust(
            self._settings.amqp_url.get_secret_value(),
            client_properties={"connection_name": f"brh bridge {self._name} (headers)"},
            reconnect_interval=RECONNECT_S,
        )
        channel = await self._connection.channel()
        await channel.set_qos(prefetch_count=self._settings.header_prefetch)
        # ensure=True: the library restores only consumers of queues that it has seen declared.
        queue = await channel.get_queue(topology.HEADERS, ensure=True)

        async def on_message(message: AbstractIncomingMessage) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._in_hand.add(task)
                task.add_done_callback(self._in_hand.discard)
            try:
                await intake.take(message)
            except Exception as error:  # a bug: leave the message unacknowledged and end, rather than lose it quietly
                _log.exception("bridge ends", queue=topology.HEADERS)
                await self.crash(error)

        self._headers = (queue, await queue.consume(on_message))

    def _broken(self, error: Exception) -> None:
        _log.error("bridge ends", exc_info=error)
        self.add_future(self.crash(error))
