"""RabbitMQ's exchanges, queues and bindings: their names, and how they are declared."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import aio_pika
import msgspec
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

INBOUND_EXCHANGE: Final = "brh.in"
OUTBOUND_EXCHANGE: Final = "brh.out"
DEAD_LETTER_EXCHANGE: Final = "brh.dead"

HEADERS: Final = "brh.headers"
PAYLOADS: Final = "brh.payloads"
SMALL_PAYLOADS: Final = "brh.payloads.small"
REJECTED: Final = "brh.rejected"
ORPHANS: Final = "brh.orphans"
NOTIFICATIONS: Final = "brh.notifications"
CONSUMED: Final = (HEADERS, PAYLOADS, SMALL_PAYLOADS)
"""What bridges read."""

DELIVERY_LIMIT: Final = 50
"""How often a message may be given back before it is dead-lettered. Every lost connection counts for all messages that
were in hand, so it is generous; but it is a limit, because without one a quorum queue rewrites the whole payload into
its log each time a message is given back."""

LOOKS_MAX: Final = 1_000_000
"""How often somebody may look at a message that was put aside. Each look counts as a delivery; without a limit here
RabbitMQ 4 has one of 20, and drops what reaches it."""

_QUORUM: Final = {"x-queue-type": "quorum"}
_PUT_ASIDE: Final = {**_QUORUM, "x-delivery-limit": LOOKS_MAX}
_INTAKE: Final = {
    **_QUORUM,
    "x-delivery-limit": DELIVERY_LIMIT,
    "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
    # A refused message leaves its queue only when `brh.rejected` has confirmed it.
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


class TopologyError(Exception):
    """RabbitMQ has something of this name with other properties: remove it, or use another virtual host."""


class _Queue(msgspec.Struct, frozen=True):
    name: str
    arguments: dict[str, Any]
    exchange: str | None = None
    binding: str = "#"


EXCHANGES: Final = {INBOUND_EXCHANGE: "topic", OUTBOUND_EXCHANGE: "topic", DEAD_LETTER_EXCHANGE: "topic"}
QUEUES: Final = (
    _Queue(HEADERS, _INTAKE, INBOUND_EXCHANGE, "header.#"),
    _Queue(PAYLOADS, _INTAKE, INBOUND_EXCHANGE, "payload.#"),
    _Queue(SMALL_PAYLOADS, _INTAKE, INBOUND_EXCHANGE, "small.#"),
    _Queue(REJECTED, _PUT_ASIDE, DEAD_LETTER_EXCHANGE),
    _Queue(ORPHANS, _PUT_ASIDE),
    _Queue(NOTIFICATIONS, _QUORUM, OUTBOUND_EXCHANGE, "transaction.#"),
)


async def declare(connection: AbstractConnection) -> list[str]:
    """Declare what is missing; again is harmless.

    Returns the names of what was created. Raises TopologyError when something is there with other properties.
    """
    created = []
    for name, kind in EXCHANGES.items():
        if not await _has_exchange(connection, name):
            created.append(name)
        async with connection.channel() as channel:
            try:
                await channel.declare_exchange(name, aio_pika.ExchangeType(kind), durable=True)
            except ChannelPreconditionFailed as error:
                raise TopologyError(f"exchange {name}: {error}") from error
    for queue in QUEUES:
        if not await _has_queue(connection, queue.name):
            created.append(queue.name)
        async with connection.channel() as channel:
            try:
                declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
            except ChannelPreconditionFailed as error:
                raise TopologyError(f"queue {queue.name}: {error}") from error
            if queue.exchange is not None:
                await declared.bind(queue.exchange, queue.binding)
    return created


async def missing(connection: AbstractConnection, exchanges: Collection[str], queues: Collection[str]) -> list[str]:
    """Those that are not there. Asking takes no permission."""
    absent = [name for name in sorted(exchanges) if not await _has_exchange(connection, name)]
    return absent + [name for name in sorted(queues) if not await _has_queue(connection, name)]


async def _has_exchange(connection: AbstractConnection, name: str) -> bool:
    # A passive declaration that finds nothing closes its channel, so each asks on its own.
    async with connection.channel() as channel:
        try:
            await channel.get_exchange(name, ensure=True)
        except ChannelNotFoundEntity:
            return False
        return True


async def _has_queue(connection: AbstractConnection, name: str) -> bool:
    async with connection.channel() as channel:
        try:
            await channel.get_queue(name, ensure=True)
        except ChannelNotFoundEntity:
            return False
        return True
