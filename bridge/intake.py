"""One message at a time: stage its bytes, publish its fact, acknowledge it. The order is the point.

A message leaves its queue only when what it said is in storage and on Kafka, or when it was refused and that was
announced. While storage or Kafka fail, the message is held and tried again; giving it back at once would only make the
broker send all its bytes anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

import stamina
import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError, ConnectionClosed

from bridge.blobs import Blobs, BlobsError
from bridge.checksums import Piece
from bridge.contract.events import PayloadsStaged, TransactionEvent
from bridge.contract.inbound import Rejected
from bridge.envelope import Properties, parse_header, parse_payload
from bridge.facts import Facts, FactsUnavailable
from bridge.header_record import keep_header
from bridge.notices import Notices, NoticesUnavailable
from bridge.rejection import rejection_event
from bridge.settings import BridgeSettings
from bridge.staging import stage_payload

_log = structlog.get_logger()
_Result = TypeVar("_Result")

_PIECE_BYTES: Final = 256 << 10
_HOLD_FIRST_S: Final = 0.5
_HOLD_PAUSE_MAX_S: Final = 15.0
_OUTAGES: Final = (BlobsError, FactsUnavailable, NoticesUnavailable)


class Intake:
    """What happens to a message, from the queue to its acknowledgement."""

    def __init__(self, blobs: Blobs, facts: Facts, notices: Notices, settings: BridgeSettings) -> None:
        self._blobs = blobs
        self._facts = facts
        self._notices = notices
        self._settings = settings

    async def header(self, message: AbstractIncomingMessage, queue: str) -> None:
        """Take a message of the header queue."""
        # In a thread, because a hostile body of 1 MiB can take half a second to be found out.
        parsed = await asyncio.to_thread(parse_header, properties_of(message), message.body)
        if isinstance(parsed, Rejected):
            await self._reject(message, queue, parsed)
            return
        received = datetime.now(UTC)
        fact = await self._hold(message, lambda: keep_header(self._blobs, parsed, received))
        if fact is not None:
            await self._publish(message, fact)

    async def payload(self, message: AbstractIncomingMessage, queue: str) -> None:
        """Take a message of one of the payload queues."""
        body = message.body
        parsed = parse_payload(properties_of(message), len(body), payload_max_bytes=self._settings.payload_max_bytes)
        if isinstance(parsed, Rejected):
            await self._reject(message, queue, parsed)
            return
        received = datetime.now(UTC)
        in_flight = self._settings.blocks_in_flight
        staged = await self._hold(
            message, lambda: stage_payload(self._blobs, parsed, _pieces(body), blocks_in_flight=in_flight)
        )
        if isinstance(staged, Rejected):
            await self._reject(message, queue, staged)
        elif staged is not None:
            await self._publish(message, PayloadsStaged(parsed.transaction, (staged,), received, parsed.trace))

    async def _publish(self, message: AbstractIncomingMessage, fact: TransactionEvent) -> None:
        published = await self._hold(message, lambda: self._done(self._facts.publish(fact)))
        if published:
            await _settle(message.ack())

    async def _reject(self, message: AbstractIncomingMessage, queue: str, rejected: Rejected) -> None:
        """Announce why, then let the broker dead-letter the message itself, body and all."""
        event = rejection_event(message, queue, rejected, self._settings.instance)
        routing_key = f"message.rejected.{rejected.code}"
        _log.warning(
            "message rejected", queue=queue, code=str(rejected.code), reason=rejected.reason, event_id=event.id
        )
        # Nobody has to listen to rejections: the message in `brh.rejected` is what must not be lost.
        announced = await self._hold(message, lambda: self._done(self._notices.publish(event, routing_key)))
        if announced:
            await _settle(message.reject(requeue=False))

    @staticmethod
    async def _done(work: Awaitable[object]) -> bool:
        await work
        return True

    async def _hold(
        self, message: AbstractIncomingMessage, attempt: Callable[[], Awaitable[_Result]]
    ) -> _Result | None:
        """Try until it works; None when the limit is reached and the message was given back to its queue."""
        retries = stamina.retry_context(
            on=_OUTAGES,
            attempts=None,
            timeout=self._settings.hold_max_s,
            wait_initial=_HOLD_FIRST_S,
            wait_max=_HOLD_PAUSE_MAX_S,
        )
        try:
            async for one in retries:
                with one:
                    return await attempt()
        except _OUTAGES as error:
            _log.exception("held too long, given back to its queue", error=repr(error))
            await _settle(message.nack(requeue=True))
        return None


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


async def _pieces(body: bytes) -> AsyncIterator[Piece]:
    view = memoryview(body)
    for start in range(0, len(view), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]


async def _settle(answer: Awaitable[object]) -> None:
    """Send an acknowledgement; when its channel is gone the broker delivers the message again, which is harmless."""
    try:
        await answer
    except (ChannelInvalidStateError, ConnectionClosed, asyncio.InvalidStateError) as error:
        _log.info("the channel was gone before its message could be settled", error=repr(error))
