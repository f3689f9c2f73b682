"""The header queue: keep the header, publish its fact, acknowledge the message. The order is the point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from bridge import metrics, tracing
from bridge.contract.inbound import HeaderMessage, Rejected, RejectionCode
from bridge.crash_points import crash_point
from bridge.envelope import check_header, parse_header
from bridge.frames import Body
from bridge.header_record import keep_header
from bridge.hold import HeldTooLong, Hold
from bridge.inflow import RefusedBody, WholeBody
from bridge.intake import Intake
from bridge.lane import Incoming, LaneClosed
from bridge.tracing import Note, Step
from bridge.unreadable import Unreadable

_log = structlog.get_logger()


class HeaderIntake(Intake):
    """What happens to header messages, from their first byte to their acknowledgement."""

    def accept(self, queue: str, incoming: Incoming) -> Body:
        """Take a message that begins to arrive on a queue; nothing of its body is there yet."""
        if (wrong := check_header(incoming.properties, incoming.size)) is not None:
            refused = RefusedBody(memory=self._memory, proceed=incoming.lane.proceed)
            self._begin(self._refuse(queue, incoming, wrong, refused.release))
            return refused
        hold = self._outlets.hold()

        def arrived(body: bytes, release: Callable[[], None]) -> None:
            self._begin(self._take(queue, incoming, body, hold, release))

        return WholeBody(incoming.size, memory=self._memory, proceed=incoming.lane.proceed, done=arrived)

    async def _take(self, queue: str, incoming: Incoming, body: bytes, hold: Hold, release: Callable[[], None]) -> None:
        try:
            # In a thread, because a hostile body of 1 MiB can take half a second to be found out.
            parsed = await asyncio.to_thread(parse_header, incoming.properties, body)
            if isinstance(parsed, Rejected):
                await self._refuse(queue, incoming, parsed, release, hold)
                return
            crash_point("bridge.header-parsed")
            with tracing.span(
                Step.HEADER, tracing.of(parsed.transaction, parsed.trace), {Note.TRANSACTION: parsed.transaction}
            ):
                await self._keep(parsed, hold)
            incoming.lane.ack([incoming.tag])
            crash_point("bridge.header-acked")
            metrics.HEADERS.inc()
        except Unreadable as error:
            why = f"the header that was accepted first cannot be read: {error}"
            await self._refuse(queue, incoming, Rejected(RejectionCode.RECORD_UNREADABLE, why), release, hold)
        except HeldTooLong as error:
            incoming.lane.abort(f"a header was {error}")
        except LaneClosed as error:
            _log.info("header comes again", transaction=incoming.properties.correlation_id, reason=str(error))
        finally:
            release()

    async def _keep(self, message: HeaderMessage, hold: Hold) -> None:
        received, blobs = datetime.now(UTC), self._outlets.blobs
        fact = await hold.insist(self._outlets.storage, lambda: keep_header(blobs, message, received))
        crash_point("bridge.header-kept")
        await self._outlets.publish(hold, fact)
        crash_point("bridge.header-published")
