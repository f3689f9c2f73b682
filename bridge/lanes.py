"""A number of lanes on one queue, kept open: what closes is opened again, after a pause that grows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from bridge import metrics
from bridge.amqp_address import AmqpAddress
from bridge.frames import Body
from bridge.hold import Breaker
from bridge.lane import Incoming, Lane, LaneClosed

_log = structlog.get_logger()

PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0
STEADY_S: Final = 60.0
"""A lane that lived so long begins again with the first pause."""
SICK_MAX_S: Final = 60.0
"""Of waiting for sick storage; then the next delivery is what finds out."""


class Lanes:
    """The lanes of one bridge on one queue."""

    def __init__(
        self,
        address: AmqpAddress,
        queue: str,
        *,
        count: int,
        prefetch: int,
        accept: Callable[[Incoming], Body],
        name: str,
        storage: Breaker,
        crash: Callable[[Exception], None],
        gave_back: Callable[[], None] = lambda: None,
    ) -> None:
        """`prefetch`, `accept` and `gave_back` as for `Lane.open`; while `storage` is sick, lanes are opened slowly.

        `crash` ends the process, for what can only be a mistake of ours: nobody would open that lane any more.
        """
        self._address = address
        self.queue = queue
        self._prefetch = prefetch
        self._accept = accept
        self._names = [f"{name} {queue} {number}" for number in range(1, count + 1)]
        self._storage = storage
        self._crash = crash
        self._gave_back = gave_back
        metrics.begin(metrics.LANES_CLOSED, [queue])
        self._may_open = asyncio.Event()
        self._may_open.set()
        self._given_up = 0
        self._open: dict[str, Lane] = {}
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open all lanes, and keep them open. Raises LaneClosed and OSError when one cannot be opened at first."""
        for name in self._names:
            self._open[name] = await self._lane(name)
        self._keepers = [asyncio.create_task(self._keep(name)) for name in self._names]
        for keeper in self._keepers:
            keeper.add_done_callback(self._ended)

    @property
    def open(self) -> list[Lane]:
        """Those that are open now."""
        return [lane for lane in self._open.values() if not lane.closed]

    @property
    def wanted(self) -> int:
        """How many there should be."""
        return len(self._names)

    def give_up(self, reason: str) -> None:
        """Cut all lanes, and open none before `resume`."""
        self._may_open.clear()
        self._given_up += 1
        for lane in self._open.values():
            lane.abort(reason)

    def resume(self) -> None:
        """Lanes may be opened again; more than once is harmless."""
        self._may_open.set()

    def drain(self) -> None:
        """Take nothing new, and open nothing."""
        for keeper in self._keepers:
            keeper.cancel()
        for lane in self._open.values():
            lane.drain()

    async def stop(self) -> None:
        """Let go; what is not settled goes back to the queue."""
        self.drain()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(lane.close() for lane in self._open.values()))

    def _ended(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and isinstance(error := keeper.exception(), Exception):
            self._crash(error)

    async def _keep(self, name: str) -> None:
        longest_s, pause_s = PAUSE_FIRST_S, 0.0  # the pause is drawn when the lane closes or cannot be opened
        while True:
            if (lane := self._open.get(name)) is not None:
                began = asyncio.get_running_loop().time()
                why = await lane.wait_closed()
                del self._open[name]
                metrics.LANES_CLOSED.labels(self.queue).inc()
                if asyncio.get_running_loop().time() - began > STEADY_S:
                    longest_s = PAUSE_FIRST_S
                pause_s = _drawn(longest_s)
                _log.warning("lane closed", lane=name, reason=str(why), code=why.code, again_in_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)
            longest_s = min(PAUSE_MAX_S, 2 * longest_s)
            # Somebody has to ask, and when every delivery in hand has been given back there is nobody else.
            with suppress(TimeoutError):
                async with asyncio.timeout(SICK_MAX_S):
                    await self._storage.wait_well()
            try:
                self._open[name] = await self._lane(name)
            except (LaneClosed, OSError) as error:
                pause_s = _drawn(longest_s)
                _log.warning("lane cannot be opened", lane=name, error=repr(error), again_in_s=round(pause_s, 1))

    async def _lane(self, name: str) -> Lane:
        await self._may_open.wait()
        before = self._given_up
        lane = await Lane.open(
            self._address,
            self.queue,
            prefetch=self._prefetch,
            accept=self._accept,
            name=name,
            gave_back=self._gave_back,
        )
        if self._given_up > before:
            lane.abort("given up while it was being opened")
        return lane


def _drawn(longest_s: float) -> float:
    """Half of a pause by chance, so that a broker that comes back does not meet all lanes at once."""
    return longest_s * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing
