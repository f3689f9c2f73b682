"""The payload queues: stage the bytes, publish the fact, acknowledge the message. The order is the point.

A message leaves its queue only when what it said is in storage and on Kafka, or when it was refused and that was
announced. Large payloads go one by one, while they arrive; small ones are put together by `bridge.gathering`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog

from bridge import metrics, tracing
from bridge.contract.events import PayloadsStaged
from bridge.contract.inbound import SMALL_PAYLOAD_BYTES, PayloadMessage, Rejected
from bridge.crash_points import crash_point
from bridge.envelope import parse_payload
from bridge.frames import Body
from bridge.gathering import Gathering
from bridge.hand import Small
from bridge.hold import HeldTooLong
from bridge.inflow import RefusedBody, StreamedBody, WholeBody
from bridge.intake import Intake
from bridge.lane import Incoming, LaneClosed
from bridge.layout import sub_block_bytes
from bridge.memory import Memory
from bridge.outlets import Outlets
from bridge.settings import BridgeSettings
from bridge.staging import stage_payload, wrong_digest
from bridge.tracing import Note, Notes, Step

_log = structlog.get_logger()
LARGE: Final = "large"


class PayloadIntake(Intake):
    """What happens to payload messages, from their first byte to their acknowledgement."""

    def __init__(
        self, outlets: Outlets, memory: Memory, settings: BridgeSettings, crash: Callable[[Exception], None]
    ) -> None:
        """`crash` ends the process, for what can only be a mistake of ours."""
        super().__init__(outlets, memory, crash)
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._gathering = Gathering(outlets, self._begin)

    def accept(self, queue: str, incoming: Incoming) -> Body:
        """Take a message that begins to arrive on a queue; nothing of its body is there yet."""
        message = parse_payload(incoming.properties, incoming.size, payload_max_bytes=self._settings.payload_max_bytes)
        if isinstance(message, Rejected):
            refused = RefusedBody(memory=self._memory, proceed=incoming.lane.proceed)
            self._begin(self._refuse(queue, incoming, message, refused.release))
            return refused
        if message.size >= SMALL_PAYLOAD_BYTES:
            body = StreamedBody(
                message.size,
                sub_block_bytes(message.total_count),
                memory=self._memory,
                blocks_max=self._settings.blocks_in_flight,
                proceed=incoming.lane.proceed,
            )
            self._begin(_traced(message, self._large(queue, incoming, message, body)))
            return body
        return self._small(queue, incoming, message)

    @property
    def busy(self) -> bool:
        """Something is in hand; small payloads that wait for neighbours have no task yet."""
        return super().busy or self._gathering.busy

    async def give_up(self) -> None:
        """End what is still in hand; what waits for neighbours has no task yet."""
        self._gathering.give_up()
        await super().give_up()

    async def _large(self, queue: str, incoming: Incoming, message: PayloadMessage, body: StreamedBody) -> None:
        hold = self._outlets.hold()
        received = datetime.now(UTC)
        try:
            began_s = self._loop.time()
            staged = await stage_payload(partial(self._outlets.stage_block, hold), message, body)
            if isinstance(staged, Rejected):
                await self._refuse(queue, incoming, staged, body.end, hold)
                return
            metrics.STAGE_SECONDS.labels(LARGE).observe(self._loop.time() - began_s)
            crash_point("bridge.payload-staged")
            await self._outlets.publish(hold, PayloadsStaged(message.transaction, (staged,), received, message.trace))
            crash_point("bridge.payload-published")
            incoming.lane.ack([incoming.tag])
            crash_point("bridge.payload-acked")
            metrics.PAYLOADS.labels(LARGE).inc()
            metrics.PAYLOAD_BYTES.labels(LARGE).inc(message.size)
        except HeldTooLong as error:
            incoming.lane.abort(f"{message.transaction} was {error}")
        except LaneClosed as error:
            _log.info("payload comes again", transaction=message.transaction, reason=str(error))
        finally:
            body.end()

    def _small(self, queue: str, incoming: Incoming, message: PayloadMessage) -> Body:
        def arrived(body: bytes, release: Callable[[], None]) -> None:
            if message.sha256 and (wrong := wrong_digest(message, hashlib.sha256(body).hexdigest())) is not None:
                self._begin(self._refuse(queue, incoming, wrong, release))
            else:
                self._gathering.take(Small(message, body, incoming.lane, incoming.tag, release, self._loop.time()))

        return WholeBody(message.size, memory=self._memory, proceed=incoming.lane.proceed, done=arrived)


def _traced(message: PayloadMessage, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    parent = tracing.of(message.transaction, message.trace)
    said: Notes = {
        Note.TRANSACTION: message.transaction,
        Note.SERIES: message.series,
        Note.ORDINAL: message.ordinal,
        Note.BYTES: message.size,
    }
    return tracing.around(Step.STAGE, parent, said, work)
