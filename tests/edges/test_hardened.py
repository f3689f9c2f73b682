"""Faust, hardened, on a real Kafka: what stock Faust acknowledges and loses is read again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.hardened import EXIT_AGENT, EXIT_SEND
from tests.support.world import free_port

pytestmark = pytest.mark.timeout(180)
EVENTS = 20


class CountingApp:
    """`tests/support/counting_app.py` with topics of its own; its changelog refuses records above 1,000 bytes."""

    def __init__(self, bootstrap: str, folder: Path, mode: str) -> None:
        self.name = f"t{uuid4().hex[:10]}"
        self.bootstrap = bootstrap
        own = {"APP": self.name, "BOOTSTRAP": bootstrap, "FOLDER": str(folder), "MODE": mode}
        self.env = {**os.environ, **own, "WEB_PORT": str(free_port())}
        self.log = folder / "app.log"

    async def prepare(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            changelog = {"cleanup.policy": "compact", "max.message.bytes": "1000"}
            await admin.create_topics(
                [
                    NewTopic(f"{self.name}.events", 1, 1),
                    NewTopic(f"{self.name}-rows-changelog", 1, 1, topic_configs=changelog),
                ]
            )
        finally:
            await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=0) as producer:
            for number in range(EVENTS):
                await producer.send_and_wait(f"{self.name}.events", str(number).encode())

    def start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "tests.support.counting_app", "worker", "-l", "info"]
        with self.log.open("ab") as log:
            return subprocess.Popen(argv, env=self.env, stdout=log, stderr=log)

    async def rows(self) -> set[int]:
        """What is in the changelog."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            partition = TopicPartition(f"{self.name}-rows-changelog", 0)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            found: set[int] = set()
            while await consumer.position(partition) < end:
                for record in (await consumer.getmany(partition, timeout_ms=500)).get(partition, []):
                    found.add(json.loads(record.value)["number"])
            return found
        finally:
            await consumer.stop()

    async def committed(self) -> int:
        """The offset that the group would go on from."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.name, enable_auto_commit=False)
        await consumer.start()
        try:
            return await consumer.committed(TopicPartition(f"{self.name}.events", 0)) or 0
        finally:
            await consumer.stop()


@pytest.mark.parametrize(("mode", "code"), [("raise", EXIT_AGENT), ("refused row", EXIT_SEND)])
async def test_what_an_agent_or_a_record_fails_on_is_read_again(
    stack_env: dict[str, str], tmp_path: Path, mode: str, code: int
) -> None:
    """The process ends with the code, its offset not past the failure; after a restart no event is missing."""
    app = CountingApp(stack_env["BRH_KAFKA_BOOTSTRAP"], tmp_path, mode)
    await app.prepare()
    ended = await asyncio.to_thread(app.start().wait, 60)
    assert ended == code, app.log.read_text()
    assert await app.committed() <= 5
    assert 5 not in await app.rows()
    again = app.start()
    try:
        async with asyncio.timeout(60):
            while await app.rows() != set(range(EVENTS)):
                await asyncio.sleep(0.1)
    finally:
        again.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(again.wait, 30) == 0
