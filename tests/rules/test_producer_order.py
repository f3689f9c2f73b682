"""Nothing follows a record that failed: the process ends before aiokafka sends the next batch of its partition.

So the rows of a changelog are without holes: where one is, those before it are, too, and an owner that recovers them
cannot take a later fact for the first one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError, RecordTooLargeError, RequestTimedOutError
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import Sender
from aiokafka.structs import TopicPartition

from streams.hardened import outstanding

CHANGELOG = TopicPartition("changelog", 0)


class Broker:
    """A client whose first request fails; it notes what has happened by each of them."""

    def __init__(self, error: KafkaError, happened: list[str]) -> None:
        self._error = error
        self.happened = happened
        self.asked = asyncio.Event()

    def leader_for_partition(self, _: TopicPartition) -> int:
        return 0

    def force_metadata_update(self) -> asyncio.Future[bool]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    async def _maybe_wait_metadata(self) -> None:
        pass

    async def send(self, _node: int, _request: object) -> None:
        self.happened.append("batch sent")
        self.asked.set()
        await asyncio.sleep(0)
        raise self._error


@pytest.mark.parametrize("error", [RequestTimedOutError(), RecordTooLargeError()], ids=["expired", "refused"])
async def test_a_process_ends_before_anything_follows_a_record_that_failed(
    error: KafkaError, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    broker: Any = Broker(error, happened)
    monkeypatch.setattr(outstanding, "end_process", lambda *_: happened.append("process ends"))
    # A batch of one record, too old to be tried again.
    accumulator = MessageAccumulator(broker, 1, 0, -1.0)
    sender = Sender(
        broker, acks=-1, txn_manager=None, message_accumulator=accumulator, retry_backoff_ms=1, request_timeout_ms=1_000
    )
    await sender.start()

    async def send(_topic: str, value: bytes) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = await accumulator.add_message(CHANGELOG, None, value, 10)
        return future

    tracked = outstanding.Outstanding().hook_send(send)
    await tracked("changelog", b"first")
    second = asyncio.create_task(tracked("changelog", b"second"))
    async with asyncio.timeout(10):
        await broker.asked.wait()
        broker.asked.clear()
        await broker.asked.wait()
    assert happened == ["batch sent", "process ends", "batch sent"]
    await second
    await sender.close()
