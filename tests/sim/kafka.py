"""Kafka in a world: logs that the broker stamps, and producers whose records arrive in order, late, or nobody knows.

A broker's clock may be wrong, and another one when the leader of a partition changes. Records of a process that has
been killed may still arrive, because they were in the kernel's hands. Offsets of a group are kept apart from the logs
(`tests.sim.group`), so they can be lost without them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

from aiokafka.errors import KafkaError, RequestTimedOutError

from streams.record import Record
from streams.topics import Topics
from tests.sim.process import Process
from tests.sim.world import Actor, World

ACK: Final = 21


class Reader(Protocol):
    """Who wants to know that there is more."""

    def poke(self, partition: int) -> None:
        """There is a new record."""


class Log:
    """One partition of a topic."""

    def __init__(self, world: World, topic: str, number: int) -> None:
        self.world = world
        self.topic = topic
        self.number = number
        self.first = 0
        """Offset of the first record that is kept."""
        self.records: list[Record] = []
        self.said: list[object] = []
        """The object that each record was made from, where whoever sent it had one."""
        self.skew_s = 0.0
        """How much the clock of its leader is ahead."""
        self.down_until_s = 0.0
        self.made = 0
        """How often the topic was made anew."""
        self.readers: list[Reader] = []
        self.on_append: Callable[[Log, Record, object], None] = lambda _log, _record, _said: None

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return self.first + len(self.records)

    def append(self, key: bytes | None, value: bytes | None, said: object) -> Record:
        """Take a record, and stamp it."""
        at = self.world.now() + timedelta(seconds=self.skew_s)
        record = Record(self.number, self.end, at, key, value)
        self.records.append(record)
        self.said.append(said)
        self.world.mix(value or b"")
        self.on_append(self, record, said)
        for reader in self.readers:
            reader.poke(self.number)
        return record

    def get(self, offset: int) -> Record:
        """The record at an offset that is kept."""
        return self.records[offset - self.first]

    def drop_before(self, offset: int) -> int:
        """What retention does; how many records went."""
        count = max(0, min(offset, self.end) - self.first)
        del self.records[:count], self.said[:count]
        self.first += count
        return count


class Change(NamedTuple):
    """A record of a changelog; None is a tombstone."""

    key: str
    value: Any


class Changelog:
    """One partition of a table's topic."""

    def __init__(self, world: World, topic: str, number: int) -> None:
        self.world = world
        self.topic = topic
        self.number = number
        self.changes: list[Change] = []
        self.down_until_s = 0.0
        self.made = 0
        """How often the topic was made anew."""

    def append(self, key: str, value: object, _said: object) -> int:
        """Take a change."""
        self.changes.append(Change(key, value))
        self.world.mix(key.encode())
        return len(self.changes)

    def compact(self) -> int:
        """Keep the newest of each key, and no tombstones; how many went."""
        newest = {change.key: place for place, change in enumerate(self.changes)}
        kept = [c for place, c in enumerate(self.changes) if newest[c.key] == place and c.value is not None]
        gone = len(self.changes) - len(kept)
        self.changes = kept
        return gone


class Trouble:
    """How likely what can go wrong with a record is."""

    def __init__(self) -> None:
        self.lost = 0.0
        """It does not arrive; the producer is told so."""
        self.unacknowledged = 0.0
        """It arrives, and the producer is told that it may not have."""
        self.slow = 0.0
        """The connection to the leader stalls."""
        self.commits_lost = 0.0
        """A commit of offsets fails."""


class Pipe(Actor):
    """What one process sends to one partition, in order.

    As aiokafka does, one batch at a time: nothing follows a record that failed before the process has heard of it.
    """

    def __init__(self, process: Process, log: Log | Changelog, trouble: Trouble) -> None:
        super().__init__(process.world.next_number())
        self._world = process.world
        self._process = process
        self.log = log
        self._trouble = trouble
        self._queue: deque[tuple[int, Any, Any, object, asyncio.Future[Any]]] = deque()
        self._stalled = False
        self._failed = False
        """The process has still to hear that a record failed."""

    def send(self, key: Any, value: Any, said: object, answer: asyncio.Future[Any]) -> None:
        """Hand a record over; `answer` is what becomes of it."""
        if self._process.alive:
            self._queue.append((self.log.made, key, value, said, answer))
            if not self._stalled:
                self._world.wake(self)

    def cut(self) -> None:
        """The process is gone; some of what it had sent is in other hands already."""
        kept = self._world.chance.randint(0, len(self._queue)) if self._queue and not self._failed else 0
        while len(self._queue) > kept:
            self._queue.pop()
        if not self._queue:
            self._world.rest(self)

    def step(self) -> None:
        world, trouble, log = self._world, self._trouble, self.log
        if log.down_until_s > world.now_s:
            self._stall(log.down_until_s - world.now_s)
            return
        if trouble.slow and world.happens(trouble.slow):
            world.fault("kafka slow")
            self._stall(world.chance.uniform(0.05, 5.0))
            return
        made, key, value, said, answer = self._queue.popleft()
        if not self._queue:
            world.rest(self)
        if made != log.made:
            return  # a producer names a topic by its id, and there is none of this id any more
        if world.happens(trouble.lost):
            world.fault("kafka record lost")
            self._fail(answer)
            return
        result = log.append(key, value, said)
        if world.happens(trouble.unacknowledged):
            world.fault("kafka acknowledgement lost")
            self._fail(answer)
        else:
            world.fly(ACK, _done, answer, result)

    def _fail(self, answer: asyncio.Future[Any]) -> None:
        self._world.rest(self)
        self._stalled = self._failed = True
        answer.add_done_callback(self._heard)
        self._world.fly(ACK, _fail, answer)

    def _heard(self, _answer: asyncio.Future[Any]) -> None:
        """Called after whoever ends the process by it."""
        self._failed = False
        self._resume()

    def _stall(self, for_s: float) -> None:
        self._world.rest(self)
        self._stalled = True
        self._world.after(for_s, self._resume)

    def _resume(self) -> None:
        self._stalled = False
        if self._queue:
            self._world.wake(self)


def _done(answer: asyncio.Future[Any], result: object) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(RequestTimedOutError())


class Kafka:
    """All topics."""

    def __init__(self, world: World, partitions: int) -> None:
        self.world = world
        self.partition_of = Topics("brh", partitions).partition_of
        self.events = [Log(world, "events", number) for number in range(partitions)]
        self.deliveries = [Log(world, "deliveries", number) for number in range(partitions)]
        self.outcomes = [Log(world, "outcomes", number) for number in range(partitions)]
        self.parked = [Log(world, "parked", 0)]
        self.receipts = [Changelog(world, "receipts", number) for number in range(partitions)]
        self.transactions = [Changelog(world, "transactions", number) for number in range(partitions)]

    def lose(self) -> None:
        """Everything that was ever said; the topics are made anew."""
        for log in (*self.events, *self.deliveries, *self.outcomes, *self.parked):
            log.records.clear()
            log.said.clear()
            log.first = 0
            log.made += 1
        for changelog in (*self.receipts, *self.transactions):
            changelog.changes.clear()
            changelog.made += 1


__all__ = ["Change", "Changelog", "Kafka", "KafkaError", "Log", "Pipe", "Reader", "Trouble"]
