"""The header queue: keep the header, publish its fact, acknowledge the message. The order is the point."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError, ConnectionClosed

from bridge.contract.inbound import HeaderMessage, Rejected
from bridge.envelope import Properties, parse_header
from bridge.header_record import keep_header
from bridge.hold import HeldTooLong, Hold
from bridge.outlets import Outlets
from bridge.rejection import Refused

_log = structlog.get_logger()


class HeaderIntake:
    """What happens to a header message, from the queue to its acknowledgement."""

    def __init__(self, outlets: Outlets, queue: str) -> None:
        self._outlets = outlets
        self._queue = queue

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Take one message."""
        hold = self._outlets.hold()
        # In a thread, because a hostile body of 1 MiB can take half a second to be found out.
        parsed = await asyncio.to_thread(parse_header, properties_of(message), message.body)
        try:
            if isinstance(parsed, Rejected):
                await self._reject(message, hold, parsed)
            else:
                await self._keep(message, hold, parsed)
        except HeldTooLong as error:
            _log.error("header held too long", error=str(error))
            await _settle(message.nack(requeue=True))

    async def _keep(self, message: AbstractIncomingMessage, hold: Hold, header: HeaderMessage) -> None:
        received = datetime.now(UTC)
        blobs = self._outlets.blobs
        fact = await hold.insist(self._outlets.storage, lambda: keep_header(blobs, header, received))
        await self._outlets.publish(hold, fact)
        await _settle(message.ack())

    async def _reject(self, message: AbstractIncomingMessage, hold: Hold, why: Rejected) -> None:
        """Announce why, then let the broker dead-letter the message itself, body and all."""
        refused = Refused(self._queue, message.routing_key or "", properties_of(message), len(message.body), why)
        await self._outlets.announce(hold, self._outlets.rejection(refused))
        await _settle(message.reject(requeue=False))


def properties_of(message: AbstractIncomingMessage) -> Properties:
    """What the contract reads of a message's properties."""
    return Properties(
        type=message.type,
        correlation_id=message.correlation_id,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        message_id=message.message_id,
        app_id=message.app_id,
        reply_to=message.reply_to,
        headers=message.headers,
    )


async def _settle(answer: Awaitable[object]) -> None:
    """Send an acknowledgement; when its channel is gone the broker delivers the message again, which is harmless."""
    try:
        await answer
    except (ChannelInvalidStateError, ConnectionClosed, asyncio.InvalidStateError) as error:
        _log.info("the channel was gone before its message could be settled", error=repr(error))
