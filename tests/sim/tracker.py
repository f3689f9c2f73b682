"""A tracker: the product's `Assembler` over tables whose changes go to changelogs, and are read again in a recovery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from bridge.contract import events
from streams.assemble import Assembler
from streams.record import Record
from streams.settings import TrackerSettings
from streams.topics import Topics
from tables import effects
from tables.policies import Policies
from tables.receipts import transaction_of
from tests.sim.group import Group
from tests.sim.kafka import Changelog, Kafka, Trouble
from tests.sim.worker import Worker
from tests.sim.world import World

RECOVERED_AT_ONCE: Final = 40
"""Changes that a recovery reads in one step."""


class Table(dict[str, Any]):
    """A table in memory, whose changes are sent to its changelog as they are made."""

    def __init__(self, tracker: Tracker, changelogs: list[Changelog]) -> None:
        super().__init__()
        self._tracker = tracker
        self.changelogs = changelogs

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._send(key, value)

    def pop(self, key: str, *default: Any) -> Any:
        if key in self:
            self._send(key, None)
        return super().pop(key, *default)

    def _send(self, key: str, value: Any) -> None:
        tracker = self._tracker
        tracker.send(self.changelogs[tracker.topics.partition_of(transaction_of(key))], key, value)

    def replay(self, key: str, value: Any) -> None:
        """A change that is read."""
        if value is None:
            super().pop(key, None)
        else:
            super().__setitem__(key, value)

    def drop_ghosts(self) -> None:
        """As `streams.hardened.drop_ghosts`: nothing is sent."""
        mine, topics = self._tracker.assigned, self._tracker.topics
        for key in [key for key in self if topics.partition_of(transaction_of(key)) not in mine]:
            del self[key]


class Tracker(Worker):
    """One process."""

    keeps_ghosts = False
    """A planted bug: rows and index of partitions that went are kept."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        slot: str,
        group: Group,
        kafka: Kafka,
        trouble: Trouble,
        settings: TrackerSettings,
        policies: Policies,
    ) -> None:
        super().__init__(world, name, slot=slot, group=group, logs=kafka.events, kafka=kafka, trouble=trouble)
        self.topics = Topics(settings.namespace, settings.partitions)
        self.rows = Table(self, kafka.receipts)
        self.shown = Table(self, kafka.transactions)
        self._settings = settings
        self.assembler = Assembler(self.rows, self.shown, self, lambda: self.assigned, settings, policies)
        self.on_recovered: Callable[[int], None] = lambda _partition: None
        self._taking = False
        self.begin(self._clock())

    # The outbox

    def deliver(self, effect: effects.Effect) -> None:
        """As `streams.app` sends effects."""
        log = self.kafka.deliveries[self.topics.partition_of(effect.transaction)]
        self.send(log, effect.transaction.encode(), effects.encode(effect), effect)

    def park(self, record: Record, reason: str) -> None:
        """As `streams.app` puts records aside."""
        self.send(self.kafka.parked[0], record.key, record.value, (record, reason))

    # What Faust does

    def poke(self, partition: int) -> None:
        if not self._taking and self.flowing:
            self._taking = True
            self.loop.call_soon(self._take)

    def _take(self) -> None:
        record = self.fetch()
        if record is None:
            self._taking = False
            return
        self.assembler.take(record)
        self.loop.call_soon(self._take)

    async def let_go(self) -> None:
        # The agent is between two records, so Faust waits for nobody; then it commits and flushes.
        await self.commit()
        await self.outstanding.wait()

    async def recover(self, generation: int, partitions: Sequence[int]) -> None:
        """Read the changelogs of these partitions up to where they end now, unless they move again meanwhile."""
        for table in (self.rows, self.shown):
            for partition in partitions:
                changes = list(table.changelogs[partition].changes)
                for place, (key, value) in enumerate(changes):
                    if place % RECOVERED_AT_ONCE == 0:
                        await asyncio.sleep(0)
                        if generation != self.generation:
                            return
                    table.replay(key, value)
        if generation == self.generation and not self.keeps_ghosts:
            for table in (self.rows, self.shown):
                table.drop_ghosts()
            self.assembler.forget()
            for partition in partitions:
                self.on_recovered(partition)

    async def _clock(self) -> None:
        while True:
            await asyncio.sleep(self._settings.tick_interval_s)
            if self.flowing:
                for partition in sorted(self.assigned):
                    if self.assembler.wants_tick(partition):
                        tick = events.Tick(at=self.now())
                        self.send(self.kafka.events[partition], b"", events.encode(tick), tick)
