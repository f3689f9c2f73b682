"""What the intake needs of the world, with the patience that each of it deserves.

Three systems, each with its own breaker: sick storage must not keep a header's fact from Kafka.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from bridge import metrics
from bridge.blobs import Blobs, BlobsError
from bridge.checksums import Piece
from bridge.contract.events import TransactionEvent
from bridge.crash_points import crash_point
from bridge.facts import Facts, FactsUnavailable
from bridge.hold import Breaker, Hold
from bridge.layout import BlockId
from bridge.notices import Notices, NoticesUnavailable
from bridge.rejection import Refused, Rejection, rejection

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

    @property
    def sick(self) -> list[str]:
        """Systems that fail."""
        return [each.system for each in (self.storage, self._kafka, self._outbound) if each.sick]

    def hold(self, since: float | None = None) -> Hold:
        """For what was delivered now, or at another moment of the event loop's clock."""
        return Hold(self._hold_max_s, since)

    async def stage_block(self, hold: Hold, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        """Store a block. Raises HeldTooLong."""
        with metrics.BLOCKS_IN_FLIGHT.track_inprogress():
            await hold.insist(self.storage, lambda: self.blobs.stage_block(name, block, pieces))
        crash_point("bridge.block-staged")

    async def publish(self, hold: Hold, event: TransactionEvent) -> None:
        """Have a fact acknowledged by Kafka. Raises HeldTooLong."""
        await hold.insist(self._kafka, lambda: self._facts.publish(event))

    def rejection(self, refused: Refused) -> Rejection:
        """The announcement that a message was refused; it keeps little of the message itself."""
        made = rejection(refused, self._instance)
        code, reason = str(refused.why.code), refused.why.reason
        _log.warning(
            "message rejected", queue=refused.queue, code=code, reason=reason, event_id=made.event.id, **_said(refused)
        )
        return made

    async def announce(self, hold: Hold, rejection: Rejection) -> None:
        """Tell the world why a message was refused. Raises HeldTooLong."""
        # Nobody has to listen to rejections: the message in `brh.rejected` is what must not be lost.
        await hold.insist(self._outbound, lambda: self._notices.publish(rejection.event, rejection.routing_key))


def _said(refused: Refused) -> dict[str, object]:
    """What the message says it is, whatever that may be."""
    found = refused.properties
    said = {
        "transaction": found.correlation_id,
        "series": found.headers.get("brh_series_type"),
        "ordinal": found.headers.get("brh_ordinal"),
    }
    return {name: value for name, value in said.items() if value is not None}
