"""A small Faust app in processes of its own, on stock Faust or on ours, and what it leaves in Kafka as others see it.

app = Counting(bootstrap, folder, kind="stock", mode="agent raises")
await app.prepare()
worker = app.start()
assert await worker.ended() == 70
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.counting_worker import Config, Kind, Worker
from tests.support.world import free_port

_Seen = TypeVar("_Seen")
PAYLOAD_MAX_BYTES = 1_000
"""What the changelog takes in one record."""


class Counting:
    """One app with topics and a group of its own."""

    def __init__(
        self,
        bootstrap: str,
        folder: Path,
        *,
        kind: Kind = "hardened",
        mode: str = "",
        partitions: int = 1,
        layout: Literal["row a number", "row a key"] = "row a number",
        static: bool = True,
        session_s: float = 15,
        stall_s: float = 600,
    ) -> None:
        """`static`: workers have a stable name. `mode`: what goes wrong, by its name in `counting_faults`."""
        self.name = f"t{uuid4().hex[:10]}"
        self.bootstrap = bootstrap
        self.partitions = partitions
        self._folder = folder / f"{kind}-{self.name}"
        self._static = static
        self._options = {"kind": kind, "mode": mode, "layout": layout, "session_s": session_s, "stall_s": stall_s}
        self._ports: dict[int, int] = {}
        self.workers: list[Worker] = []

    @property
    def events_topic(self) -> str:
        return f"{self.name}.events"

    @property
    def changelog(self) -> str:
        return f"{self.name}-rows-changelog"

    async def prepare(self) -> None:
        """Create the topics."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            changelog = {"cleanup.policy": "compact", "max.message.bytes": str(PAYLOAD_MAX_BYTES)}
            await admin.create_topics(
                [
                    NewTopic(self.events_topic, self.partitions, 1),
                    NewTopic(self.changelog, self.partitions, 1, topic_configs=changelog),
                ]
            )
        finally:
            await admin.close()

    async def send(self, numbers: Iterable[int], keys: int = 1) -> None:
        """Events with these numbers, over all partitions; `keys` a partition."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5) as producer:
            acked = []
            for number in numbers:
                partition = number % self.partitions
                key = f"{partition}-{number // self.partitions % keys}"
                sending = await producer.send(self.events_topic, str(number).encode(), key.encode(), partition)
                acked.append(sending)
            await asyncio.gather(*acked)

    async def append(self, number: int, *, transaction: Literal["committed", "aborted", "none"] = "none") -> None:
        """A row of another producer at the end of the changelog, and behind it the marker of its transaction."""
        name = None if transaction == "none" else f"{self.name}-{uuid4().hex}"
        row = json.dumps(f"0/{number}").encode(), json.dumps({"numbers": [number]}).encode()
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, transactional_id=name) as producer:
            if name is not None:
                await producer.begin_transaction()
            await producer.send_and_wait(self.changelog, key=row[0], value=row[1], partition=0)
            if transaction == "committed":
                await producer.commit_transaction()
            elif transaction == "aborted":
                await producer.abort_transaction()

    def start(self, slot: int = 0, *, moved: bool = False, **own: Any) -> Worker:
        """One more worker; one started again in the same slot is the same member, at another address if `moved`.

        `own` are options of this worker alone.
        """
        if moved or slot not in self._ports:
            self._ports[slot] = free_port()
        config = Config(
            name=self.name,
            bootstrap=self.bootstrap,
            folder=str(self._folder / f"slot-{slot}"),
            web_port=self._ports[slot],
            partitions=self.partitions,
            instance=f"{self.name}-{slot}" if self._static else None,
            **{**self._options, **own},
        )
        self.workers.append(Worker(config, dict(os.environ)))
        return self.workers[-1]

    async def start_then_send(self, numbers: Iterable[int], **own: Any) -> Worker:
        """A worker that has nothing to recover and gets events when it is ready.

        Of those that wait when it starts stock Faust may lose any, which is a defect of its own.
        """
        worker = self.start(**own)
        await worker.ready()
        await self.send(numbers)
        return worker

    async def close(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            await worker.kill()

    async def rows(self) -> set[int]:
        """The numbers that a worker would recover: those in the last record of each key of the changelog."""
        last: dict[bytes, bytes | None] = {}
        async with self._consumer() as consumer:
            partitions = [TopicPartition(self.changelog, number) for number in range(self.partitions)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            for partition in partitions:
                while await consumer.position(partition) < ends[partition]:
                    for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, []):
                        last[record.key] = record.value
        return {number for value in last.values() if value for number in msgspec.json.decode(value)["numbers"]}

    async def wait_rows(self, wanted: set[int], timeout_s: float = 120) -> None:
        """Until a worker would recover these numbers and no others."""
        await self._wait(self.rows, lambda seen: seen == wanted, f"rows {wanted}", timeout_s)

    async def committed(self, partition: int = 0) -> int:
        """The offset that the group would go on from; 0 when there is none."""
        async with self._consumer(self.name) as consumer:
            return await consumer.committed(TopicPartition(self.events_topic, partition)) or 0

    async def wait_committed(self, offset: int, timeout_s: float = 120) -> None:
        """Until the group would go on from there, in partition 0."""
        await self._wait(self.committed, lambda seen: seen >= offset, f"committed {offset}", timeout_s)

    async def _wait(
        self, look: Callable[[], Awaitable[_Seen]], fits: Callable[[_Seen], bool], wanted: str, timeout_s: float
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while not fits(seen := await look()):
            if time.monotonic() > deadline:
                logs = "\n".join(f"{worker.folder.name}:\n{worker.log[-4000:]}" for worker in self.workers)
                raise AssertionError(
                    f"{self._options['kind']}: {seen} and not {wanted} within {timeout_s:g} s; its workers:\n{logs}"
                )
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def _consumer(self, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()
