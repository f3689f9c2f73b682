"""Holding on to a delivery while a system it needs is sick.

Giving a message back at once would only make the broker send all its bytes again, to meet the same outage. So it is
held, and what failed is tried again, each system being asked by one caller at a time once it has failed often enough
(`Breaker`). Held messages count against their lane's prefetch, so nothing new is consumed meanwhile.

The limit counts from the delivery, as the broker's consumer timeout does, and has to be below it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import structlog

from bridge import metrics

_log = structlog.get_logger()
_Result = TypeVar("_Result")

FAILURES_MAX: Final = 3
"""In a row, by any callers, each begun after the one before was known; then the system counts as sick."""
PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 15.0


class HeldTooLong(Exception):
    """The system was sick for longer than a delivery may be held: it goes back to its queue."""


class Breaker:
    """Whether one system is worth asking. Sick: one caller asks at a time, and the pauses between grow."""

    def __init__(self, system: str, sickness: type[Exception]) -> None:
        self.sickness = sickness
        """What says that it could not answer, now."""
        self.system = system
        metrics.SICK.labels(system).set(0)
        self._failures = 0
        self._known = 0
        """Answers and failures that counted: a number in place of an instant, which two of them could share."""
        self._probe = asyncio.Lock()
        self._well = asyncio.Event()
        self._well.set()

    @property
    def sick(self) -> bool:
        """Asked in vain, several times in a row."""
        return not self._well.is_set()

    async def wait_well(self) -> None:
        """Until the system has answered again; at once where it never failed."""
        await self._well.wait()

    async def ask(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Make an attempt, now or when it is this caller's turn to see whether the system is well again.

        Raises what the attempt raises. Sickness is followed by a pause, before the next attempt can be made.
        """
        if self.sick:
            async with self._probe:
                if self.sick:  # nobody has found it well while this caller waited
                    return await self._attempt(attempt)
        return await self._attempt(attempt)

    async def _attempt(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        known = self._known
        try:
            result = await attempt()
        except self.sickness as error:
            # Of many attempts that one blip fails together the first counts: the others began before it was known, and
            # say nothing of what came after it.
            if known == self._known:
                self._known += 1
                self._failures += 1
            if self._failures >= FAILURES_MAX and not self.sick:
                _log.error("system is sick, consuming stops", system=self.system, error=repr(error))
                self._well.clear()
                metrics.SICK.labels(self.system).set(1)
            await asyncio.sleep(self._pause_s())
            raise
        if self.sick:
            _log.warning("system is well again", system=self.system, failures=self._failures)
        self._known += 1
        self._failures = 0
        self._well.set()
        metrics.SICK.labels(self.system).set(0)
        return result

    def _pause_s(self) -> float:
        # Half of it by chance, so that many bridges do not come back at the same moment.
        longest = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(self._failures, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing


class Hold:
    """The patience for one delivery."""

    def __init__(self, limit_s: float, since: float | None = None) -> None:
        """`limit_s` counts from now, or from another moment of the event loop's clock."""
        self._until = (asyncio.get_running_loop().time() if since is None else since) + limit_s

    async def insist(self, breaker: Breaker, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Make attempts until one works. Raises HeldTooLong, and whatever is no sickness of the system."""
        last: Exception | None = None

        async def noted() -> _Result:
            nonlocal last
            try:
                return await attempt()
            except breaker.sickness as error:
                last = error  # here, because the limit may well come in the pause that follows
                raise

        try:
            async with asyncio.timeout_at(self._until) as limit:
                while True:
                    with suppress(breaker.sickness):
                        return await breaker.ask(noted)
        except TimeoutError:
            if not limit.expired():
                raise
            raise HeldTooLong(f"given back to its queue: {last or 'no answer in time'}") from last
