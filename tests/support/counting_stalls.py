"""How a worker of `counting_app` may fall silent once there is a file `now`: one class each, found by its name."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.group import HeartbeatRequest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer

from tests.support.counting_faults import Fault


class Stall(Fault):
    """What they share."""

    @property
    def now(self) -> bool:
        return (self.folder / "now").exists()


class AgentWaits(Stall):
    name = "agent waits for ever"

    async def before(self, event: Any, number: int) -> None:
        if self.now:
            await self.file("never")


class LoopBlocked(Stall):
    name = "loop is blocked"

    def install(self) -> None:
        self.app.timer(0.1)(self.block)

    async def block(self) -> None:
        while self.now:
            time.sleep(1)  # noqa: ASYNC251  # what is tried


class CommitsDoNothing(Stall):
    name = "commits do nothing"

    def install(self) -> None:
        commit = Consumer._commit

        async def committed(consumer: Any, offsets: Any) -> Any:
            return True if self.now else await commit(consumer, offsets)

        Consumer._commit = committed


class FetcherDies(Stall):
    name = "fetcher dies"

    def install(self) -> None:
        fetch = AIOKafkaConsumerThread._fetch_records

        async def fetched(thread: Any, *args: Any, **kwargs: Any) -> Any:
            if self.now:
                self.write("silent", "")  # until then a request may be under way that brings events
                await self.file("never")
            return await fetch(thread, *args, **kwargs)

        AIOKafkaConsumerThread._fetch_records = fetched


class ChangelogIsSilent(Stall):
    name = "changelog is silent"

    def install(self) -> None:
        fetch = AIOKafkaConsumerThread._fetch_records

        async def fetched(thread: Any, client: Any, active: Any, **kwargs: Any) -> Any:
            heard = {partition for partition in active if not partition.topic.endswith("-changelog")}
            if heard:
                return await fetch(thread, client, heard, **kwargs)
            await asyncio.sleep(1)
            return {}

        AIOKafkaConsumerThread._fetch_records = fetched


class HeartbeatsEnd(Stall):
    name = "heartbeats end"

    def install(self) -> None:
        ask = GroupCoordinator._send_req

        async def asked(coordinator: Any, request: Any) -> Any:
            if self.now and isinstance(request, HeartbeatRequest):
                await self.file("never")
            return await ask(coordinator, request)

        GroupCoordinator._send_req = asked


class NeverTakenIn(Stall):
    name = "never taken in"

    def install(self) -> None:
        async def ensured(*args: Any) -> None:
            await self.file("never")

        GroupCoordinator.ensure_active_group = ensured


class KafkaGone(Stall):
    name = "kafka is gone"

    def install(self) -> None:
        send = AIOKafkaClient.send

        async def sent(*args: Any, **kwargs: Any) -> Any:
            if self.now:
                raise KafkaConnectionError
            return await send(*args, **kwargs)

        AIOKafkaClient.send = sent


STALLS = {
    kind.name: kind
    for kind in (
        AgentWaits,
        LoopBlocked,
        CommitsDoNothing,
        FetcherDies,
        ChangelogIsSilent,
        HeartbeatsEnd,
        NeverTakenIn,
        KafkaGone,
    )
}
