"""A delivery: the product's `Courier`, `Window` and `Sweeper` over a group, the storage and the broker of a world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from bridge.blobs import BlobsError
from bridge.contract import events
from bridge.contract.outbound import CloudEvent
from streams.courier import Courier
from streams.post import Post
from streams.record import Record
from streams.settings import DeliverySettings
from streams.sweep import Sweeper
from streams.topics import Topics
from streams.window import Window
from tables import effects
from tests.sim.group import Group
from tests.sim.kafka import Kafka, Trouble
from tests.sim.rabbit import NoticeClient, Rabbit
from tests.sim.storage import BlobClient, Storage, Weather
from tests.sim.worker import Worker
from tests.sim.world import World


class Delivery(Worker):
    """One process."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        slot: str,
        group: Group,
        kafka: Kafka,
        trouble: Trouble,
        storage: Storage,
        weather: Weather,
        rabbit: Rabbit,
        settings: DeliverySettings,
    ) -> None:
        super().__init__(world, name, slot=slot, group=group, logs=kafka.deliveries, kafka=kafka, trouble=trouble)
        self.topics = Topics(settings.namespace, settings.partitions)
        self._settings = settings
        self.blobs = BlobClient(self, storage, weather)
        self._notices = NoticeClient(self, rabbit)
        self._acked: dict[int, int] = {}
        self._more: asyncio.Event | None = None
        self.begin(self._work())

    async def _work(self) -> None:
        """As `streams.delivery.deliver`: what is built there on a running loop is built here on ours."""
        settings: Any = self._settings
        notices: Any = self._notices
        self._more = asyncio.Event()
        self._window = Window(settings.deliveries_in_flight, fail=self.crash)
        self.courier = Courier(self.blobs, Post(notices, self._publish_outcome, settings.instance), settings)
        self.sweeper = Sweeper(
            self.blobs,
            self.courier,
            settings,
            owns=lambda transaction: self.topics.partition_of(transaction) in self.assigned,
            report=self._report,
            fail=self.crash,
            now=self.now,
        )
        self.begin(self._sweep())
        while True:
            record = self.fetch()
            if record is None:
                self._more.clear()
                await self._more.wait()
                continue
            await self._window.put(record.partition, partial(self._carry_out, record), self._done(record))

    def _done(self, record: Record) -> Callable[[], None]:
        def acknowledge() -> None:
            self._acked[record.partition] = record.offset + 1

        return acknowledge

    async def _carry_out(self, record: Record) -> None:
        answer = await self.courier.carry_out(effects.decode(record.value or b""))
        if answer is not None:
            await self._report(answer)

    async def _report(self, answer: events.TransactionEvent) -> None:
        log = self.kafka.events[self.topics.partition_of(answer.transaction)]
        await self.send(log, answer.transaction.encode(), events.encode(answer), answer)

    async def _publish_outcome(self, transaction: str, event: CloudEvent) -> None:
        log = self.kafka.outcomes[self.topics.partition_of(transaction)]
        await self.send(log, transaction.encode(), msgspec.json.encode(event), event)

    async def _sweep(self) -> None:
        """As `streams.sweep.Sweeper` runs as a service."""
        while True:
            await asyncio.sleep(self._settings.sweep_interval_s)
            try:
                await self.sweeper.run_once()
            except BlobsError as error:
                self.world.note(self.name, "sweep broken off", error)

    # What Faust does

    def poke(self, partition: int) -> None:
        if self._more is not None and self.flowing and not self._more.is_set():
            self._more.set()

    async def let_go(self) -> None:
        self._acked = {}
        if hasattr(self, "_window"):
            self._window.forget()

    async def recover(self, generation: int, partitions: Sequence[int]) -> None:
        self._acked = {}

    def done_offsets(self) -> dict[int, int]:
        return dict(self._acked)
