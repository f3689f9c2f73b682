"""What may happen to events that wait when a worker of `counting_app` starts, made certain: found by their names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

from streams.hardened import HardenedApp
from tests.support.counting_faults import Fault

TRIED_S = 2.0
"""How long the door is held open for what must not come through; stock Faust always comes."""


class Start(Fault):
    """What they share."""

    async def until(self, happened: Callable[[], bool]) -> None:
        """Ours does not let it happen, so it is waited for a while only."""
        tries = TRIED_S / 0.02 if isinstance(self.app, HardenedApp) else float("inf")
        while not happened() and (tries := tries - 1) > 0:
            await asyncio.sleep(0.02)


class NoneActive(Start):
    """While the client waits for records of changelogs, the recovery ends and leaves no partition active."""

    name = "none active"

    def install(self) -> None:
        self.waiting = self.fetched = False
        self.looked = 0
        fetch, look = AIOKafkaConsumerThread._fetch_records, Consumer._wait_next_records
        apply = self.rows.on_changelog_event

        async def applied(event: Any) -> None:
            await apply(event)
            await self.until(lambda: self.waiting)  # or the recovery would end before the client waits

        async def fetched(thread: Any, client: Any, active: set[Any], **limits: Any) -> Any:
            if not any(partition.topic.endswith("-changelog") for partition in active) or self.fetched:
                return await fetch(thread, client, active, **limits)
            if records := await fetch(thread, client, active, **limits):
                return records
            self.waiting = True
            await self.until(lambda: not active)
            self.fetched = True
            return await fetch(thread, client, active, **limits)

        async def looked(consumer: Any, timeout: float) -> Any:
            self.looked += self.fetched
            return await look(consumer, timeout)

        self.rows.on_changelog_event = applied
        AIOKafkaConsumerThread._fetch_records = fetched
        Consumer._wait_next_records = looked
        self.app.on_rebalance_complete.connect(self.hold, weak=False)

    async def hold(self, *args: Any, **kwargs: Any) -> None:
        await self.until(lambda: self.looked > 0)  # what came of it has been dropped


STARTS = {kind.name: kind for kind in (NoneActive,)}
