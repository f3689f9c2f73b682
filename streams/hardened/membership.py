"""This worker as a member of its group: what the coordinator's answers mean for the fence, and the way back in.

A static member that was started again gets the assignment of the one before it, at once and without a rebalance. In
that stands the address of the one before, and its tables. Stock Faust asserts that they are its own: where they are
not, because another port was free, the exception ends the coordination, and the worker waits for ever. Here it leaves
the group and joins it anew, which tells everybody the new address.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import RebalanceInProgressError
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.group import HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest

from streams.hardened.ends import EXIT_FENCE, end_process
from streams.hardened.fence import Fence, clock_s

_OK: Final = 0
_REBALANCING: Final = RebalanceInProgressError.errno
_REFUSED: Final = (
    "the group does not know this member any more: it was silent for longer than its session, or another process has "
    "the same name (BRH_WORKER_ID)"
)

log = logging.getLogger(__name__)


class Membership:
    """One for a worker."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._synced = False

    def hook_subscribe(self, thread: Any) -> Callable[..., Awaitable[None]]:
        """The consumer thread's `subscribe`: the last step before the worker joins its group."""
        subscribe = thread.subscribe
        hooked = False

        async def subscribed(**topics: Any) -> None:
            nonlocal hooked
            coordinator = thread._consumer._coordinator
            if not hooked and isinstance(coordinator, GroupCoordinator):
                self._hook(coordinator)
                hooked = True
            await subscribe(**topics)

        return subscribed

    def _hook(self, coordinator: Any) -> None:
        ask, reset_generation = coordinator._send_req, coordinator.reset_generation

        async def asked(request: Any) -> Any:
            sent_s = clock_s()
            answer = await ask(request)
            if isinstance(request, HeartbeatRequest) and answer.error_code in {_OK, _REBALANCING}:
                # While a group rebalances, its members keep their partitions until they have joined again.
                self._fence.accepted_s = sent_s
            elif isinstance(request, SyncGroupRequest) and answer.error_code == _OK:
                first, self._synced = not self._synced, True
                if first and not _fits(coordinator, answer.member_assignment):
                    log.warning("leaves the group and joins it again: its last assignment is that of another address")
                    await ask(LeaveGroupRequest(coordinator.group_id, coordinator.member_id))
                    coordinator.generation = OffsetCommitRequest.DEFAULT_GENERATION_ID
                    reset_generation()
                    return SimpleNamespace(error_code=_REBALANCING)  # which means: join again
                self._fence.accepted_s = sent_s
            return answer

        def refused() -> None:
            if coordinator.generation > 0 and not coordinator._closing.done():
                end_process(EXIT_FENCE, _REFUSED)
            reset_generation()

        coordinator._send_req = asked
        coordinator.reset_generation = refused


def _fits(coordinator: Any, assignment: bytes) -> bool:
    """Whether Faust's assignor can live with an assignment that may have been made for another process."""
    (assignor,) = coordinator._assignors
    try:
        assignor.on_assignment(ConsumerProtocol.ASSIGNMENT.decode(assignment))
    except AssertionError:
        return False
    return True
