"""A small Faust app in processes of its own, on stock Faust or on ours, and what it leaves in Kafka as others see it.

app = Counting(bootstrap, folder, kind="stock", mode="agent raises")
await app.prepare()
worker = app.start()
assert await worker.ended() == 70
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.world import free_port

Kind = Literal["stock", "hardened"]
PAYLOAD_MAX_BYTES = 1_000
"""What the changelog takes in one record."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker is told, as JSON in its environment."""

    name: str
    bootstrap: str
    folder: str
    web_port: int
    kind: Kind
    mode: str
    partitions: int
    layout: Literal["row a number", "row a key"]
    """What a table row holds: one number for ever, or all numbers of a key, written anew with each."""
    instance: str | None
    session_s: float


class Status(msgspec.Struct, frozen=True):
    """What a worker says of itself, several times a second."""

    ready: bool
    partitions: list[int]
    """Of the events, that the group has given to it."""
    row_partitions: list[int]
    """Of the rows that it has in memory."""


class Worker:
    """One process."""

    def __init__(self, config: Config, env: dict[str, str]) -> None:
        self.config = config
        self.folder = Path(config.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._status = self.folder / "status.json"
        self._status.unlink(missing_ok=True)
        self._log = self.folder / "app.log"
        argv = [sys.executable, "-m", "tests.support.counting_app", "worker", "-l", "info"]
        own = {**env, "COUNTING": msgspec.json.encode(config).decode()}
        self.began_s = time.monotonic()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(argv, env=own, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def status(self) -> Status | None:
        try:
            return msgspec.json.decode(self._status.read_bytes(), type=Status)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def lines(self, name: str) -> list[str]:
        """Of a file that the worker writes about what happened in it."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    async def ready(self, timeout_s: float = 60) -> float:
        """Seconds from the start until tables are recovered and events flow."""
        await self.until(lambda: (found := self.status()) is not None and found.ready, timeout_s, "ready")
        return time.monotonic() - self.began_s

    async def ended(self, timeout_s: float = 60) -> int:
        """The exit code, when it ends by itself."""
        await self.until(lambda: self.process.poll() is not None, timeout_s, "ended", alive=False)
        return self.process.returncode

    async def until(self, probe: Callable[[], object], timeout_s: float, what: str, *, alive: bool = True) -> None:
        """Poll until the probe is true; fails with the log of the worker."""
        deadline = time.monotonic() + timeout_s
        while not probe():
            if alive and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before {what}:\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not {what} within {timeout_s:g} s:\n{self.log[-4000:]}")
            await asyncio.sleep(0.02)

    def touch(self, name: str) -> None:
        """For a fault that waits for a file."""
        (self.folder / name).touch()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended(timeout_s)

    async def kill(self) -> None:
        """SIGKILL, also to one that is stopped."""
        if self.process.poll() is None:
            self.process.kill()
            await self.ended()


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
        session_s: float = 6,
    ) -> None:
        """`static`: workers have a stable name. `mode`: what goes wrong, by its name in `counting_faults`."""
        self.name = f"t{uuid4().hex[:10]}"
        self.bootstrap = bootstrap
        self.partitions = partitions
        self._folder = folder / f"{kind}-{self.name}"
        self._static = static
        self._options = {"kind": kind, "mode": mode, "layout": layout, "session_s": session_s}
        self._ports: dict[int, int] = {}
        self.workers: list[Worker] = []

    @property
    def events_topic(self) -> str:
        return f"{self.name}.events"

    @property
    def changelog(self) -> str:
        return f"{self.name}-rows-changelog"

    async def prepare(self, events: int = 0) -> None:
        """Create the topics, and send so many events."""
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
        if events:
            await self.send(range(events))

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

    def start(self, slot: int = 0, *, moved: bool = False, mode: str | None = None) -> Worker:
        """One more worker; one started again in the same slot is the same member, at another address if `moved`.

        `mode` is that of this worker alone.
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
            **{**self._options, **({} if mode is None else {"mode": mode})},
        )
        self.workers.append(Worker(config, dict(os.environ)))
        return self.workers[-1]

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

    async def wait_rows(self, wanted: set[int], timeout_s: float = 60) -> None:
        async with asyncio.timeout(timeout_s):
            while await self.rows() != wanted:
                await asyncio.sleep(0.1)

    async def committed(self, partition: int = 0) -> int:
        """The offset that the group would go on from; 0 when there is none."""
        async with self._consumer(self.name) as consumer:
            return await consumer.committed(TopicPartition(self.events_topic, partition)) or 0

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
