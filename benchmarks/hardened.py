"""What the hardening costs: the same table, written from the same records, by stock Faust and by ours.

And what a stable name is worth: how long it takes until a worker that was killed is ready again.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.measured import Machine, cpu_s
from benchmarks.sides import Figures, Side
from tests.support.world import free_port

EVENTS: Final = 80_000
PARTITIONS: Final = 4
SESSION_S: Final = 15
DONE_S: Final = 300.0
READY: Final = "begins to take events"
HELD: Final = "is held"
HOLD: Final = b"hold"
"""The record that holds the worker until there is a file."""
SHAPES: Final = {"a row a record": 1, "100 rows a record": 100}
_POLL_S: Final = 0.005


class Plan(msgspec.Struct, frozen=True):
    """What a worker is told, as JSON in its environment."""

    name: str
    ours: bool
    bind: str
    settings: dict[str, Any]
    go: str
    """The file that lets a held worker go."""


class Table:
    """The topics of one measurement, and the worker that fills the one from the other."""

    def __init__(self, bootstrap: str, folder: Path, *, ours: bool, named: bool = False) -> None:
        """`named`: the worker is a static member of its group."""
        self.bootstrap = bootstrap
        self.name = f"b{uuid4().hex[:10]}"
        self.events = [TopicPartition(f"{self.name}.events", number) for number in range(PARTITIONS)]
        self.rows = [TopicPartition(f"{self.name}-rows-changelog", number) for number in range(PARTITIONS)]
        self._log = folder / f"{self.name}.log"
        settings = {
            "kafka_bootstrap": bootstrap,
            "partitions": PARTITIONS,
            "session_timeout_s": SESSION_S,
            "worker_id": "w" if named else "",
            "data_dir": str(folder),
        }
        self._go = folder / f"{self.name}.go"
        plan = Plan(self.name, ours, f"127.0.0.1:{free_port()}", settings, str(self._go))
        self._env = {**os.environ, "PLAN": msgspec.json.encode(plan).decode()}

    async def create(self) -> None:
        """The topics."""
        changelog = {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics(
                [
                    NewTopic(self.events[0].topic, PARTITIONS, 1),
                    NewTopic(self.rows[0].topic, PARTITIONS, 1, topic_configs=changelog),
                ]
            )
        finally:
            await admin.close()

    async def send(self, values: Iterable[bytes]) -> None:
        """Records in turn to all partitions."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5) as producer:
            for number, value in enumerate(values):
                await producer.send(self.events[0].topic, value, partition=number % PARTITIONS)
            await producer.flush()

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A process that is ready; killed in the end."""
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.hardened_app", "worker", "--loglevel", "info"],
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.wait_told(READY, process)
            yield process
        finally:
            process.kill()
            process.wait()

    def wait_told(self, word: str, process: subprocess.Popen[bytes]) -> None:
        """Until the worker has told it."""
        deadline = time.monotonic() + DONE_S
        while word not in (told := self._log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker has not told {word!r}:\n{told[-2000:]}")
            time.sleep(_POLL_S)

    def go(self) -> None:
        """Let a held worker go."""
        self._go.touch()

    async def until_written(self, rows: int) -> float:
        """Seconds by the broker's clock from the first row to the last."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        ) as consumer:
            consumer.assign(self.rows)
            deadline = time.monotonic() + DONE_S
            while (written := sum((ends := await consumer.end_offsets(self.rows)).values())) < rows:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{written} of {rows} rows:\n{self._log.read_text()[-2000:]}")
                await asyncio.sleep(_POLL_S)
            stamps = []
            for partition in self.rows:
                for offset in (0, ends[partition] - 1):
                    consumer.seek(partition, offset)
                    stamps.append((await consumer.getone(partition)).timestamp)
        return (max(stamps) - min(stamps)) / 1_000


def hardened(machine: Machine) -> dict[str, Side]:
    """One row from each record, as from payloads that come alone, and a hundred, as from a run of them."""
    return {
        f"{name}, {shape}": partial(_filled, machine, ours=ours, rows=rows)
        for shape, rows in SHAPES.items()
        for name, ours in (("stock Faust", False), ("ours", True))
    }


def restart(machine: Machine) -> dict[str, Side]:
    """A worker that was killed, and one without anything to recover is started in its place."""
    return {
        "stock Faust, without a name": partial(_killed, machine, ours=False, named=False),
        "ours, without a name": partial(_killed, machine, ours=True, named=False),
        "ours, with a name": partial(_killed, machine, ours=True, named=True),
    }


def _filled(machine: Machine, *, ours: bool, rows: int) -> Figures:
    with TemporaryDirectory(prefix="brh-bench-") as folder:
        table = Table(machine.env["BRH_KAFKA_BOOTSTRAP"], Path(folder), ours=ours)
        asyncio.run(table.create())
        with table.worker() as process:
            # All records are there before the first is taken, and they come when the worker is ready: of those that
            # wait when it starts stock Faust may lose some.
            asyncio.run(table.send([HOLD]))
            table.wait_told(HELD, process)
            asyncio.run(table.send(_records(EVENTS // rows, rows)))
            machine.wait_quiet()
            pids = {"itself": process.pid, "kafka": machine.pids["kafka"]}
            before = cpu_s(pids)
            table.go()
            seconds = asyncio.run(table.until_written(EVENTS))
            after = cpu_s(pids)
    used = {f"{name}_cpu_us_per_event": (after[name] - before[name]) / EVENTS * 1e6 for name in pids}
    return {"seconds": seconds, "events_per_s": EVENTS / seconds, **used}


def _records(records: int, rows: int) -> Iterator[bytes]:
    for number in range(records):
        yield msgspec.json.encode([f"{number}-{row}" for row in range(rows)])


def _killed(machine: Machine, *, ours: bool, named: bool) -> Figures:
    with TemporaryDirectory(prefix="brh-bench-") as folder:
        table = Table(machine.env["BRH_KAFKA_BOOTSTRAP"], Path(folder), ours=ours, named=named)
        asyncio.run(table.create())
        with table.worker():
            pass
        began = time.monotonic()
        with table.worker():
            return {"seconds": time.monotonic() - began}
