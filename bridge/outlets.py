"""What the intake needs of the world, with the patience that each of it deserves.

Three systems, each with its own breaker: sick storage must not keep a header's fact from Kafka.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from bridge.blobs import Blobs, BlobsError
from bridge.checksums import Piece
from bridge.contract.events import TransactionEvent
from bridge.facts import Facts, FactsUnavailable
from bridge.hold import Breaker, Hold
from bridge.layout import BlockId
from bridge.notices import Notices, NoticesUnavailable
from bridge.rejection import Refused, rejection_event

_log = structlog.get_logger()


class Outlets:
    """Storage, Kafka and the notices of one bridge."""

    def __init__(self, blobs: Blobs, facts: Facts, notices: Notices, *, instance: str, hold_max_s: float) -> None:
        self.blobs = blobs
        self.storage = Breaker("blob storage", BlobsError)
        self._facts = facts
        self._kafka = Breaker("Kafka", FactsUnavailable)
        self._notices = notices
        self._outbound = Breaker("RabbitMQ's outbound exchange", NoticesUnavailable)
        self._instance = instance
        self._hold_max_s = hold_max_s

    def hold(self, since: float | None = None) -> Hold:
        """For what was delivered now, or at another moment of the event loop's clock."""
        return Hold(self._hold_max_s, since)

    async def stage_block(self, hold: Hold, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        """Store a block. Raises HeldTooLong."""
        await hold.insist(self.storage, lambda: self.blobs.stage_block(name, block, pieces))

    async def publish(self, hold: Hold, event: TransactionEvent) -> None:
        """Have a fact acknowledged by Kafka. Raises HeldTooLong."""
        await hold.insist(self._kafka, lambda: self._facts.publish(event))

    async def announce(self, hold: Hold, refused: Refused) -> None:
        """Tell the world why a message was refused. Raises HeldTooLong."""
        event = rejection_event(refused, self._instance)
        code = str(refused.why.code)
        _log.warning("message rejected", queue=refused.queue, code=code, reason=refused.why.reason, event_id=event.id)
        # Nobody has to listen to rejections: the message in `brh.rejected` is what must not be lost.
        await hold.insist(self._outbound, lambda: self._notices.publish(event, f"message.rejected.{code}"))
