"""A worker of a group: how Faust, as `streams.hardened` leaves it, feeds the product's host logic and commits.

This is a model: Faust itself is not here. What it promises is what `streams.hardened` makes of it and its tests on real
Kafka show: nothing flows during a recovery; a commit waits for every record that was handed over before it; a record
that fails, and an agent that fails, end the process without a commit; positions begin at what is committed, or at the
beginning. `Outstanding` is the product's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from streams.hardened.outstanding import Outstanding
from streams.record import Record
from tests.sim.group import Group
from tests.sim.kafka import Changelog, Kafka, Log, Pipe, Trouble
from tests.sim.process import Process
from tests.sim.world import World

COMMIT: int = 32
COMMIT_S = 2.8


class Worker(Process):
    """A member of a group that reads one topic."""

    def __init__(
        self, world: World, name: str, *, slot: str, group: Group, logs: list[Log], kafka: Kafka, trouble: Trouble
    ) -> None:
        super().__init__(world, name)
        self.slot = slot
        self.group = group
        self.logs = logs
        self.kafka = kafka
        self._trouble = trouble
        self._pipes: dict[Log | Changelog, Pipe] = {}
        self.assigned: set[int] = set()
        self.generation = -1
        self.positions: dict[int, int] = {}
        """Offset of the next record to take, of each partition that flows."""
        self.flowing = False
        self.outstanding = Outstanding()
        for log in logs:
            log.readers.append(self)

    # Life

    def start(self, *, static: bool) -> None:
        """Join the group."""
        self.group.join(self.slot, self, static=static)
        self.begin(self._commit_now_and_then())

    def ended(self) -> None:
        for pipe in self._pipes.values():
            pipe.cut()
        for log in self.logs:
            log.readers.remove(self)
        self.group.silent(self.slot, self)

    def leave(self) -> None:
        """As SIGTERM does: `streams.worker` ends without a farewell to anybody but the group."""
        self.end("stopped")
        self.group.leave(self.slot, self)

    def freeze(self) -> None:
        super().freeze()
        self.group.silent(self.slot, self)

    def thaw(self) -> None:
        super().thaw()
        if not self.group.is_member(self.slot, self):
            self.unknown()

    def unknown(self) -> None:
        """The group does not know us: `streams.hardened` ends the process when it hears of it, some steps from now."""
        if self.alive:
            self.world.after(self.world.chance.uniform(0.0, 3.0), self.end, "put out of its group")

    # Sending

    def send(self, log: Log | Changelog, key: Any, value: Any, said: object = None) -> asyncio.Future[Any]:
        """Hand a record over to the producer, as Faust's `send_soon` does; the future is its acknowledgement."""
        future = self.loop.create_future()
        pipe = self._pipes.get(log)
        if pipe is None:
            pipe = self._pipes[log] = Pipe(self, log, self._trouble)
        self.outstanding.hook_send_soon(lambda tracked: pipe.send(key, value, said, tracked))(future)
        return future

    # Membership

    def revoke(self, attempt: int) -> None:
        self.loop.call_soon(self._begin_revoke, attempt)

    def _begin_revoke(self, attempt: int) -> None:
        self.flowing = False
        self.begin(self._let_go(attempt))

    async def _let_go(self, attempt: int) -> None:
        await self.let_go()
        self.world.fly(COMMIT, self.group.rejoin, self.slot, self, attempt)

    async def let_go(self) -> None:
        """Finish before partitions move."""

    def assign(self, generation: int, partitions: Sequence[int]) -> None:
        self.loop.call_soon(self._begin_assigned, generation, partitions)

    def _begin_assigned(self, generation: int, partitions: Sequence[int]) -> None:
        self.flowing = False
        self.generation, self.assigned = generation, set(partitions)
        self.positions = {}
        self.begin(self._take_over(generation, partitions))

    async def _take_over(self, generation: int, partitions: Sequence[int]) -> None:
        await self.recover(generation, partitions)
        if generation == self.generation:
            for partition in partitions:
                committed = self.group.committed.get(partition, 0)
                self.positions[partition] = max(committed, self.logs[partition].first)
            self.world.note(self.name, "flows from", self.positions)
            self.flowing = True
            self.poke(-1)

    async def recover(self, generation: int, partitions: Sequence[int]) -> None:
        """Rebuild what these partitions need."""

    # Reading

    def poke(self, partition: int) -> None:
        """There may be more to read."""

    def fetch(self) -> Record | None:
        """The next record of any partition, whose turn chance decides; None where there is none."""
        if not self.flowing:
            return None
        waiting = [
            partition
            for partition, position in self.positions.items()
            if max(position, self.logs[partition].first) < self.logs[partition].end
            and self.logs[partition].down_until_s <= self.world.now_s
        ]
        if not waiting:
            return None
        partition = waiting[int(self.world.chance.random() * len(waiting))] if len(waiting) > 1 else waiting[0]
        log = self.logs[partition]
        record = log.get(max(self.positions[partition], log.first))
        self.positions[partition] = record.offset + 1
        return record

    @property
    def behind(self) -> bool:
        """There is more to read."""
        return any(position < self.logs[partition].end for partition, position in self.positions.items())

    # Commits

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            await self.commit()

    async def commit(self) -> None:
        """Commit what is done, when every record that was handed over before this moment has been acknowledged."""
        generation, offsets = self.generation, self.done_offsets()
        await self.outstanding.wait()
        if offsets:
            self.world.fly(COMMIT, self._arrive, generation, offsets)

    def done_offsets(self) -> dict[int, int]:
        """Of each partition the offset behind what is done."""
        return dict(self.positions)

    def _arrive(self, generation: int, offsets: dict[int, int]) -> None:
        if self.world.happens(self._trouble.commits_lost):
            self.world.fault("kafka commit lost")
        elif not self.group.commit(self.slot, self, generation, offsets):
            self.world.note(self.name, "may not commit", offsets)
        else:
            self.world.note(self.name, "commits", offsets)
