"""The bridge process: consumers on RabbitMQ, and everything they need. Stateless; start as many as you like."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import aio_pika
import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from mode import Service
from pamqp import decode
from pamqp.common import FieldTable

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


def decode_whatever_comes() -> None:
    """Let the AMQP library read messages that it would close its connection for.

    A producer may write bytes that are no UTF-8 into a short string, or a time beyond the year 9999, and RabbitMQ takes
    it. pamqp raises, and aiormq gives up the connection: the broker delivers the same message again, until it reaches
    its delivery limit, and so do all those that were in hand with it, which are dead-lettered though nothing is wrong
    with them. What cannot be read must become a value that the contract's rules can refuse.
    """
    decode.METHODS["shortstr"] = _short_string
    decode.METHODS["table"] = _table
    decode.METHODS["timestamp"] = decode.TABLE_MAPPING[b"T"] = _timestamp


def _short_string(value: bytes) -> tuple[int, str]:
    end = value[0] + 1
    # Surrogates keep the type, which the library relies on, and no rule of the contract lets them through.
    return end, value[1:end].decode(errors="surrogateescape")


def _table(value: bytes) -> tuple[int, FieldTable]:
    """The headers; none when a name is no UTF-8, which AMQP forbids, or when they nest beyond Python's recursion."""
    try:
        return decode.field_table(value)
    except (ValueError, RecursionError):
        return 4 + int.from_bytes(value[:4], "big"), {}


def _timestamp(value: bytes) -> tuple[int, datetime | None]:
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, None


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
        decode_whatever_comes()
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
            try:
                await queue.cancel(tag)
            except (AMQPError, ChannelInvalidStateError) as error:
                _log.info("the channel was gone before its consumer could be cancelled", error=repr(error))
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
