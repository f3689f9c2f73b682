"""The fence: a worker that may have lost its partitions sends no record about them any more, and ends itself.

Kafka refuses a commit of a member that was put out of its group, but not its records. A worker that stood still
(SIGSTOP, a virtual machine that is moved) goes on where it was, and what it writes then may be older than what the new
owner has written since.

Two things look out for it. A thread of its own sees that the process as a whole stood still; its clock counts a machine
that was suspended. And records that matter leave only under a *lease*: the coordinator of the group has accepted a
heartbeat that was sent a moment ago, so it has not given the partitions away. That covers a worker that is cut off from
the coordinator only, too.

What is left: bytes that were in a socket's buffer when the process stopped; a stop between the look at the lease and
the write; a stop of the machine that its own clock does not count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from streams.hardened.ends import EXIT_FENCE, EXIT_FROZEN, end_process
from streams.hardened.limits import Limits

_POLL_S: Final = 0.05


def clock_s() -> float:
    """Seconds, those included during which the machine was suspended: CLOCK_MONOTONIC leaves them out."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fence:
    """One for a worker."""

    def __init__(self, session_s: float, limits: Limits, is_fenced: Callable[[str], bool]) -> None:
        """`is_fenced` chooses topics by their name."""
        self._frozen_s = session_s * limits.frozen_session_share
        self._lease_s = session_s * limits.fence_session_share
        self._is_fenced = is_fenced
        self.accepted_s: float | None = None
        """When the last heartbeat that the coordinator accepted was sent. None: not a member yet."""

    def watch_clock(self) -> None:
        """Start the thread that ends the process when it stood still."""
        threading.Thread(target=self._watch_clock, name="fence", daemon=True).start()

    def _watch_clock(self) -> None:
        while True:
            before_s = clock_s()
            time.sleep(_POLL_S)
            still_s = clock_s() - before_s
            if still_s > self._frozen_s:
                end_process(EXIT_FROZEN, f"the process stood still for {still_s:.1f} s: others may own its partitions")

    def check(self) -> None:
        """End the process when the lease is over."""
        age_s = clock_s() - self.accepted_s if self.accepted_s is not None else 0.0
        if age_s > self._lease_s:
            end_process(EXIT_FENCE, f"no heartbeat was accepted for {age_s:.1f} s: others may own its partitions")

    def hook_client(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """Faust's `_new_producer`, which makes the client of the producer."""

        def made(*args: Any, **kwargs: Any) -> Any:
            client = make(*args, **kwargs)
            # The last step before a request is written; a batch that is tried again comes by again.
            client._sender._send_produce_req = self._guarded(client._sender._send_produce_req)
            return client

        return made

    def _guarded(self, send: Callable[[int, Any], Awaitable[None]]) -> Callable[[int, Any], Awaitable[None]]:
        async def guarded(node: int, batches: Any) -> None:
            if any(self._is_fenced(partition.topic) for partition in batches):
                self.check()
            await send(node, batches)

        return guarded
