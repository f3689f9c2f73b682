"""A connection of a command to RabbitMQ; what goes wrong on it becomes an error with a remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, ChannelNotFoundEntity, DeliveryError

from streams.cli.errors import EXIT_FAILED, EXIT_NOT_READY, CliError

CONNECT_TIMEOUT_S: Final = 20

AGAIN: Final = "Run the same command again: what has arrived already is absorbed."


@asynccontextmanager
async def opened(amqp_url: str, name: str) -> AsyncIterator[AbstractChannel]:
    """A channel with confirms on a connection of its own. Raises CliError, also for what is done with the channel."""
    try:
        connection = await aio_pika.connect(
            amqp_url, timeout=CONNECT_TIMEOUT_S, client_properties={"connection_name": name}
        )
    except (AMQPError, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise CliError(
            f"RabbitMQ cannot be reached: {reason}",
            code="amqp-unreachable",
            remedy="Check that it runs and that BRH_AMQP_URL is right.",
            exit_code=EXIT_NOT_READY,
        ) from error
    try:
        async with connection:
            # The connection is not restored after a failure: only the caller knows what to do again.
            yield await connection.channel(publisher_confirms=True, on_return_raises=True)
    except (ChannelNotFoundEntity, DeliveryError) as error:
        raise CliError(
            f"RabbitMQ did not take a message: {error}",
            code="not-taken",
            remedy=f"Run `brh setup` if exchange or queues are missing. {AGAIN}",
            exit_code=EXIT_FAILED,
        ) from error
    except (AMQPError, ChannelInvalidStateError, ConnectionError) as error:
        raise CliError(
            f"The connection to RabbitMQ was lost: {error}",
            code="amqp-lost",
            remedy=AGAIN,
            exit_code=EXIT_NOT_READY,
        ) from error


async def inspected(amqp_url: str, queue: str) -> int:
    """How many messages wait in a queue. Raises CliError."""
    async with opened(amqp_url, "brh dlq") as channel:
        try:
            found = await channel.get_queue(queue, ensure=True)
        except ChannelNotFoundEntity:
            message = f"RabbitMQ has no queue {queue}"
            raise CliError(message, code="no-queue", remedy="Run `brh setup`.", exit_code=EXIT_FAILED) from None
        return found.declaration_result.message_count or 0
