"""Small payloads from lanes that are not there, and all that happens to them, in the order in which it happens."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from bridge import gathering
from bridge.blobs import BlobsUnavailable, Committed
from bridge.checksums import Piece, crc64, hex16
from bridge.contract.events import PayloadsStaged, Staged
from bridge.contract.inbound import PayloadMessage, Trace
from bridge.facts import FactsUnavailable
from bridge.gathering import Gathering
from bridge.hand import Small
from bridge.lane import LaneClosed
from bridge.layout import BlockId, part_name, part_of
from bridge.memory import Memory
from bridge.memory_blobs import MemoryBlobs
from bridge.outlets import Outlets

NO_TRACE = Trace()


def content_of(transaction: str, series: str, ordinal: int, size: int) -> bytes:
    return f"{transaction}/{series}/{ordinal}|".encode().ljust(size, b".")[:size]


class FakeLane:
    """Records what it is told; settles nothing any more once it is closed."""

    def __init__(self, world: Gathered) -> None:
        self._world = world
        self.acked: list[int] = []
        self.aborted: list[str] = []
        self.closed = False
        self._tags = 0

    def next_tag(self) -> int:
        self._tags += 1
        return self._tags

    def ack(self, tags: Iterable[int]) -> None:
        if self.closed:
            raise LaneClosed("cut")
        tags = list(tags)
        self._world.log.append(("ack", self, tuple(tags)))
        self.acked += tags

    def abort(self, reason: str) -> None:
        self.closed = True
        self.aborted.append(reason)


class FakeIncoming:
    """What the intake knows of a message."""

    def __init__(self, lane: FakeLane) -> None:
        self.lane = lane
        self.tag = lane.next_tag()


class Gathered:
    """One bridge's small payloads, with storage in memory and a Kafka that is a list; both fail when told to."""

    def __init__(self, *, hold_max_s: float = 60) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.blobs = MemoryBlobs()
        self.memory = Memory(1 << 30)
        self.storage_fails = self.kafka_fails = 0
        """So many more attempts fail."""
        self.facts: list[PayloadsStaged] = []
        self.requests = 0
        self.most_requests = 0
        self._under_way = 0
        self.taken: dict[tuple[FakeLane, int], tuple[PayloadMessage, bytes]] = {}
        outlets: Any = Outlets(self, self, self, instance="test", hold_max_s=hold_max_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self.gathering = Gathering(outlets, self._begin)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    # The systems.

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        self._under_way += 1
        self.most_requests = max(self.most_requests, self._under_way)
        await asyncio.sleep(0)
        self._under_way -= 1
        self.requests += 1
        if self.storage_fails:
            self.storage_fails -= 1
            raise BlobsUnavailable("storage is sick")
        await self.blobs.stage_block(name, block, pieces)
        self.log.append(("block", name, block))

    async def publish(self, event: PayloadsStaged) -> None:
        await asyncio.sleep(0)
        if self.kafka_fails:
            self.kafka_fails -= 1
            raise FactsUnavailable("Kafka is sick")
        self.facts.append(event)
        self.log.append(("fact", event))

    # The lanes.

    def lane(self) -> FakeLane:
        return FakeLane(self)

    def take(
        self,
        lane: FakeLane,
        ordinal: int,
        *,
        total_count: int = 1_000,
        transaction: str = "t-1",
        series: str = "cashflows",
        size: int = 30,
        trace: Trace = NO_TRACE,
        other: bytes = b"",
    ) -> None:
        """A payload has arrived on a lane; `other` is what is different about its content."""
        content = other + content_of(transaction, series, ordinal, size)
        message = PayloadMessage(transaction, series, ordinal, total_count, len(content), None, trace)
        incoming: Any = FakeIncoming(lane)
        self.taken[lane, incoming.tag] = message, content
        grant = self.memory.request(len(content), lambda: None, buffers=False).grant
        assert grant is not None
        self.gathering.take(
            Small(message, content, incoming.lane, incoming.tag, grant.release, asyncio.get_running_loop().time())
        )

    async def settle(self) -> None:
        """Everything that was taken is done with, one way or the other."""
        async with asyncio.timeout(10):
            while self._tasks or self.gathering.busy:
                await asyncio.sleep(0)
                for task in [task for task in self._tasks if task.done()]:
                    self._tasks.remove(task)
                    await task
        assert self.memory.held_bytes == 0

    # What must hold.

    def assert_laws(self) -> None:
        """Blocks were stored before a fact named them, facts published before what they report was acknowledged.

        And each payload was acknowledged once, and reported as often as it came.
        """
        stored: set[tuple[str, BlockId]] = set()
        reported: Counter[tuple[str, str, int, int, int, str]] = Counter()
        acked: set[tuple[FakeLane, int]] = set()
        came: Counter[tuple[str, str, int, int, int, str]] = Counter()
        for entry in self.log:
            match entry:
                case ("block", name, block):
                    stored.add((name, block))
                case ("fact", PayloadsStaged() as event):
                    for staged in event.staged:
                        assert {(name, block) for name, block in blocks_of(event, staged)} <= stored
                        for at, (size, crc) in enumerate(zip(staged.sizes, staged.crc64s, strict=True)):
                            ordinal = staged.first + at
                            key = event.transaction, staged.series, ordinal, staged.total_count, size, crc
                            reported[key] += 1
                case ("ack", lane, tags):
                    for tag in tags:
                        assert (lane, tag) not in acked, "acknowledged twice"
                        acked.add((lane, tag))
                        message, content = self.taken[lane, tag]
                        crc = hex16(crc64([content]))
                        key = (message.transaction, message.series, message.ordinal, message.total_count)
                        came[*key, len(content), crc] += 1
                    assert came <= reported, "acknowledged before it was reported"
        assert acked == {(lane, tag) for lane, tag in self.taken if not lane.closed}

    async def result(self, transaction: str, series: str, total_count: int, part: int = 0) -> bytes:
        """The bytes of a part, from the largest runs that were reported."""
        runs = {
            (staged.first, staged.count): staged.blocks
            for event in self.facts
            for staged in event.staged
            if (event.transaction, staged.series, staged.total_count) == (transaction, series, total_count)
            and part_of(staged.first, total_count) == part
        }
        covered: set[int] = set()
        chosen: list[BlockId] = []
        for (first, count), blocks in sorted(runs.items(), key=lambda run: -run[0][1]):
            ordinals = set(range(first, first + count))
            assert not ordinals & covered or ordinals <= covered, "runs are nested or disjoint"
            if not ordinals <= covered:
                chosen += [BlockId(total_count, first, count, 0, 1, int(crc, 16)) for crc in blocks]
                covered |= ordinals
        name = part_name(transaction, series, part)
        done = await self.blobs.commit(name, sorted(chosen), content_type="application/x-test", metadata={})
        assert isinstance(done, Committed)
        return b"".join([chunk async for chunk in self.blobs.stream(name, done.etag)])


def blocks_of(event: PayloadsStaged, staged: Staged) -> list[tuple[str, BlockId]]:
    """Where the blocks that a fact names must be; of an empty payload its marker, which is named by nothing."""
    name = part_name(event.transaction, staged.series, part_of(staged.first, staged.total_count))
    if not staged.blocks:
        return [(name, gathering.marker_id(staged.total_count, staged.first))]
    total_count, first, count = staged.total_count, staged.first, staged.count
    return [(name, BlockId(total_count, first, count, 0, 1, int(crc, 16))) for crc in staged.blocks]
