"""CloudEvents on their way to RabbitMQ's outbound exchange, on a connection that consumes nothing.

A broker in alarm stops reading from connections that publish; were deliveries acknowledged on the same connection, the
acknowledgements would wait as well.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import aio_pika
import msgspec
import structlog
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError
from pydantic import SecretStr

from bridge import metrics
from bridge.contract.outbound import CLOUDEVENT_CONTENT_TYPE, CloudEvent
from bridge.topology import OUTBOUND_EXCHANGE

_log = structlog.get_logger()

CONFIRM_TIMEOUT_S = 30.0
"""How long a confirmation may take, a new connection included; a broker in alarm confirms nothing until it is over."""
RECONNECT_S = 1.0


class NoticesUnavailable(Exception):
    """RabbitMQ did not confirm a message; it may be there or not: send it again, with the same id."""


class Notices:
    """Publishes CloudEvents; an async context manager that owns its connection."""

    def __init__(self, amqp_url: SecretStr, name: str) -> None:
        self._url = amqp_url
        self._name = name
        self._connection: AbstractRobustConnection | None = None
        self._channel: AbstractRobustChannel | None = None

    async def __aenter__(self) -> Self:
        self._connection = await aio_pika.connect_robust(
            self._url.get_secret_value(),
            client_properties={"connection_name": self._name},
            reconnect_interval=RECONNECT_S,
        )
        # Without on_return_raises a message that no queue takes would count as published.
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel = channel
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def publish(self, event: CloudEvent, routing_key: str, *, queue: str | None = None) -> bool:
        """Publish an event and wait for its confirmation.

        Args:
            event: what to say; its id is the message's id as well.
            routing_key: on the outbound exchange.
            queue: publish to this queue instead.

        Returns:
            False when no queue takes messages of this kind.

        Raises:
            NoticesUnavailable: not confirmed in time.
        """
        message = aio_pika.Message(
            msgspec.json.encode(event),
            content_type=CLOUDEVENT_CONTENT_TYPE,
            message_id=event.id,
            correlation_id=event.correlationid,
            type=event.type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        if self._channel is None:
            raise RuntimeError("enter the context first")
        try:
            # Around all of it: the library's own limit does not hold while it waits for a new connection.
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                exchange = (
                    self._channel.default_exchange
                    if queue is not None
                    else await self._channel.get_exchange(OUTBOUND_EXCHANGE, ensure=False)
                )
                with metrics.timed(metrics.NOTICE_SECONDS):
                    await exchange.publish(message, queue or routing_key, mandatory=True)
        except PublishError:
            return False
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            raise _unconfirmed(event, error) from error
        except (AMQPError, ChannelInvalidStateError, DeliveryError, OSError, TimeoutError) as error:
            raise _unconfirmed(event, error) from error
        return True


def _is_cancelled() -> bool:
    """Whether it is us who have to stop: the library raises the same where it gives up a connection."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _unconfirmed(event: CloudEvent, error: BaseException) -> NoticesUnavailable:
    return NoticesUnavailable(f"{event.type} {event.id} was not confirmed: {error!r}")
