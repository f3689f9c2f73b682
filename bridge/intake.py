"""What headers and payloads have in common on their way in: work that is finished before the process ends, refusals."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import structlog
from structlog.contextvars import bind_contextvars

from bridge import metrics
from bridge.contract.inbound import Rejected, RejectionCode
from bridge.crash_points import crash_point
from bridge.frames import Body
from bridge.hold import HeldTooLong, Hold
from bridge.lane import Incoming, Lane, LaneClosed
from bridge.memory import Memory
from bridge.outlets import Outlets
from bridge.rejection import Refused, Rejection

_log = structlog.get_logger()

POLL_S: Final = 0.005
"""How often somebody who waits looks for work that has no task yet."""


class Intake(ABC):
    """Messages from their first byte to their acknowledgement; what becomes of them is up to each kind."""

    def __init__(self, outlets: Outlets, memory: Memory, crash: Callable[[Exception], None]) -> None:
        """`crash` ends the process, for what can only be a mistake of ours."""
        self._outlets = outlets
        self._memory = memory
        self._crash = crash
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.begin(metrics.REJECTED, RejectionCode)

    @abstractmethod
    def accept(self, queue: str, incoming: Incoming) -> Body:
        """Take a message that begins to arrive on a queue; nothing of its body is there yet."""

    @property
    def busy(self) -> bool:
        """Something is in hand."""
        return bool(self._tasks)

    async def finish(self, timeout_s: float) -> None:
        """Wait for what is in hand; what is not done in time is delivered again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.busy:
                    if self._tasks:
                        await asyncio.wait(self._tasks)
                    else:
                        await asyncio.sleep(POLL_S)

    async def give_up(self) -> None:
        """End what is still in hand. To be called when no lane is open any more: nothing of it can be settled then."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            # Leave the message unacknowledged and end, rather than lose it quietly.
            self._crash(error)

    def _refuse(
        self, queue: str, incoming: Incoming, why: Rejected, release: Callable[[], None], hold: Hold | None = None
    ) -> Coroutine[Any, Any, None]:
        """Announce why, tell its transaction, then let the broker dead-letter the message itself, body and all.

        `hold` is that of the delivery, where it has been held for something else before.
        """
        # Before anything is waited for: properties may fill a frame, and are not kept until somebody listens.
        refused = Refused(queue, incoming.routing_key, incoming.properties, incoming.size, why)
        rejection = self._outlets.rejection(refused)
        return self._reject(incoming.lane, incoming.tag, rejection, release, hold or self._outlets.hold())

    async def _reject(
        self, lane: Lane, tag: int, rejection: Rejection, release: Callable[[], None], hold: Hold
    ) -> None:
        if (fact := rejection.fact) is not None:
            bind_contextvars(transaction=fact.transaction)
        try:
            await self._outlets.announce(hold, rejection)
            crash_point("bridge.rejection-announced")
            if fact is not None:
                await self._outlets.publish(hold, fact)
                crash_point("bridge.refusal-published")
            lane.reject(tag)
            crash_point("bridge.message-rejected")
            metrics.REJECTED.labels(rejection.code).inc()
        except HeldTooLong as error:
            lane.abort(f"a rejection was {error}")
        except LaneClosed as error:
            _log.info("rejected message comes again", event_id=rejection.event.id, reason=str(error))
        finally:
            release()
