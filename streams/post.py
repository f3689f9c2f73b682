"""Who is told what: the outbound exchange, the queue in `reply_to`, for outcomes Kafka as well; operators of orphans.

Every call returns when all of them have confirmed. Doing it again sends the same ids and the same bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from bridge.contract.outbound import CloudEvent, Orphaned, Told, rfc3339
from bridge.crash_points import crash_point
from bridge.notices import Notices, NoticesUnavailable
from bridge.topology import ORPHANS
from streams.notification import notice, notification, orphan_record, routing_key
from streams.outcome import Decided
from tables.effects import Announce

_log = structlog.get_logger()

PublishOutcome = Callable[[str, CloudEvent], Awaitable[None]]
"""Put a CloudEvent on the outcomes topic under a transaction id, and wait for the acknowledgement."""


class Post:
    """Tells; raises NoticesUnavailable when RabbitMQ did not confirm."""

    def __init__(self, notices: Notices, publish_outcome: PublishOutcome, instance: str) -> None:
        """`instance`: what the `source` of the events names."""
        self._notices = notices
        self._publish_outcome = publish_outcome
        self._instance = instance

    async def tell(self, decided: Decided) -> Told:
        """Tell an outcome; the marker to write then."""
        event, outcome = notification(decided, self._instance), decided.outcome
        await self._publish_outcome(outcome.transaction_id, event)
        crash_point("delivery.outcome-published")
        await self._publish(event, routing_key(outcome.outcome, outcome.transaction_type), decided.audience.reply_to)
        crash_point("delivery.outcome-told")
        return Told(notification_id=event.id, told_at=rfc3339(datetime.now(UTC)))

    async def tell_orphans(self, decided: Decided, orphaned: Orphaned) -> None:
        """Tell what came and is in no result; nobody else will ever see it again."""
        if not await self._notices.publish(orphan_record(decided, orphaned, self._instance), "", queue=ORPHANS):
            raise NoticesUnavailable(f"there is no queue {ORPHANS}: run `brh setup`")

    async def announce(self, effect: Announce) -> None:
        """Tell what is no outcome."""
        event = notice(effect, self._instance)
        await self._publish(event, routing_key(effect.kind, effect.transaction_type), effect.reply_to)

    async def _publish(self, event: CloudEvent, key: str, reply_to: str | None) -> None:
        if not await self._notices.publish(event, key):
            raise NoticesUnavailable("no queue takes notifications: run `brh setup`")
        crash_point("delivery.exchange-told")
        if reply_to is not None and not await self._notices.publish(event, "", queue=reply_to):
            # Whoever waited there has gone; the others have been told, and a missing queue must not undo that.
            _log.warning("the queue in reply_to does not exist", transaction=event.subject, reply_to=reply_to)
