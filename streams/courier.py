"""Carry out one delivery: commit the series, decide, tell, mark as told. Each step finds out what is done already.

The order is the promise: nobody is told of what cannot be read, and the marker is written only when the broker has
confirmed. A crash between telling and marking tells again, with the same id and the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from bridge.blobs import Blobs, BlobsError, BlobsRefused
from bridge.contract.events import Delivered, DeliveryRefused
from bridge.contract.outbound import CloudEvent, Problem, SeriesResult, Stage, Told, from_rfc3339, rfc3339
from bridge.notices import Notices, NoticesUnavailable
from streams.commit import Unassembled, assemble
from streams.notification import notification, routing_key
from streams.outcome import Decided, find_outcome, find_told, mark_told, write_outcome
from streams.settings import DeliverySettings
from tables.effects import Deliver

_log = structlog.get_logger()

PublishOutcome = Callable[[str, CloudEvent], Awaitable[None]]
"""Put a CloudEvent on the outcomes topic under a transaction id, and wait for the acknowledgement."""


class Courier:
    """Delivers transactions; any number at once."""

    def __init__(
        self, blobs: Blobs, notices: Notices, publish_outcome: PublishOutcome, settings: DeliverySettings
    ) -> None:
        self._blobs = blobs
        self._notices = notices
        self._publish_outcome = publish_outcome
        self._settings = settings

    async def deliver(self, effect: Deliver) -> Delivered | DeliveryRefused:
        """What came of the effect; every failure that may pass is a refusal, and the tracker asks again."""
        limit_s = self._settings.delivery_attempt_s
        unclear: dict[str, tuple[int, ...]] = {}
        try:
            async with asyncio.timeout(limit_s):
                return await self._deliver(effect)
        except Unassembled as error:
            problem, unclear = error.problem, error.unclear
        except BlobsError as error:
            code = "storage-refused" if isinstance(error, BlobsRefused) else "storage-unavailable"
            problem = _problem(code, "Blob storage did not do its part", str(error), "assemble")
        except NoticesUnavailable as error:
            problem = _problem("notification-unconfirmed", "The notification was not confirmed", str(error), "notify")
        except TimeoutError:
            detail = f"The attempt took longer than {limit_s:g} s."
            problem = _problem("delivery-timeout", "A delivery took too long", detail, "assemble")
        _log.warning("delivery refused", transaction=effect.transaction, code=problem.code, detail=problem.detail)
        return DeliveryRefused(effect.transaction, effect.id, problem, unclear)

    async def _deliver(self, effect: Deliver) -> Delivered:
        decided = await find_outcome(self._blobs, effect.transaction)
        if decided is None:
            decided = await write_outcome(self._blobs, effect, await self._series(effect))
        told = await find_told(self._blobs, effect.transaction)
        if told is None:
            told = await mark_told(self._blobs, effect.transaction, await self._tell(decided))
        outcome = decided.outcome
        return Delivered(
            transaction=effect.transaction,
            outcome=outcome.outcome,
            outcome_uri=outcome.outcome_uri,
            outcome_etag=decided.etag,
            completed=from_rfc3339(outcome.timestamps.completed),
            told=from_rfc3339(told.told_at),
            notification_id=told.notification_id,
            problem=outcome.problem,
        )

    async def _series(self, effect: Deliver) -> tuple[SeriesResult, ...]:
        if effect.outcome == "Completed":
            return await assemble(self._blobs, effect, self._settings.commits_in_flight)
        return tuple(SeriesResult(s.series, s.total_count, 0, s.content_type, ()) for s in effect.series)

    async def _tell(self, decided: Decided) -> Told:
        event = notification(decided, self._settings.instance)
        transaction, reply_to = decided.outcome.transaction_id, decided.audience.reply_to
        await self._publish_outcome(transaction, event)
        if not await self._notices.publish(event, routing_key(decided.outcome)):
            raise NoticesUnavailable("no queue takes notifications: run `brh setup`")
        if reply_to is not None and not await self._notices.publish(event, "", queue=reply_to):
            # Whoever waited there has gone; the others have been told, and a missing queue must not undo that.
            _log.warning("the queue in reply_to does not exist", transaction=transaction, reply_to=reply_to)
        return Told(notification_id=event.id, told_at=rfc3339(datetime.now(UTC)))


def _problem(code: str, title: str, detail: str, stage: Stage) -> Problem:
    return Problem(
        code=code,
        title=title,
        detail=detail,
        stage=stage,
        occurred_at=rfc3339(datetime.now(UTC)),
        retryable=True,
        terminal=False,
    )
