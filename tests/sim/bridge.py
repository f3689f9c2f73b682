"""A bridge: the product's intakes, lanes, staging, gathering and watermarks over a broker, a Kafka and a storage."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from bridge import topology
from bridge.contract import events
from bridge.contract.events import TransactionEvent, Watermark
from bridge.facts import FactsUnavailable
from bridge.headers import HeaderIntake
from bridge.lane import LaneClosed
from bridge.lanes import Lanes
from bridge.memory import Memory
from bridge.outlets import Outlets
from bridge.payloads import PayloadIntake
from bridge.service import DRAIN_MAX_S
from bridge.settings import BridgeSettings
from bridge.watermarks import Watermarks
from streams.topics import Topics
from tests.sim.connection import SimConnection
from tests.sim.kafka import Kafka, KafkaError, Log, Pipe, Trouble
from tests.sim.process import Process
from tests.sim.rabbit import NOTICED_S, NoticeClient, Rabbit
from tests.sim.storage import BlobClient, Storage, Weather
from tests.sim.world import World

UNHEARD_MAX_S = 20.0
"""With heartbeats of 5 s and a silence of 40 s, as `bridge.watermarks.unheard_max_s` reckons: 40 * 0.9 - 3 * 5 = 21."""


class SimFacts:
    """What a bridge has of Kafka: `bridge.facts.Facts`."""

    def __init__(self, process: Process, kafka: Kafka, topics: Topics, trouble: Trouble) -> None:
        self._process = process
        self._kafka = kafka
        self._topics = topics
        self._trouble = trouble
        self._pipes: dict[Log, Pipe] = {}

    def _send(self, partition: int, key: bytes, event: events.AnyEvent) -> asyncio.Future[Any]:
        log = self._kafka.events[partition]
        pipe = self._pipes.get(log)
        if pipe is None:
            pipe = self._pipes[log] = Pipe(self._process, log, self._trouble)
        answer = self._process.loop.create_future()
        pipe.send(key, events.encode(event), event, answer)
        return answer

    async def publish(self, event: TransactionEvent) -> None:
        try:
            await self._send(self._topics.partition_of(event.transaction), event.transaction.encode(), event)
        except KafkaError as error:
            raise FactsUnavailable("not acknowledged") from error

    async def say(self, words: Sequence[Watermark]) -> tuple[datetime, ...] | None:
        answers = await asyncio.gather(
            *(self._send(partition, b"", word) for partition, word in enumerate(words)), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, KafkaError):
                raise FactsUnavailable("not acknowledged") from answer
        return tuple(answer.at for answer in answers)

    def cut(self) -> None:
        """The process is gone."""
        for pipe in self._pipes.values():
            pipe.cut()


class SimBridge(Process):
    """One process."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        rabbit: Rabbit,
        kafka: Kafka,
        storage: Storage,
        weather: Weather,
        trouble: Trouble,
        settings: BridgeSettings,
        memory_bytes: int,
    ) -> None:
        super().__init__(world, name)
        self.rabbit = rabbit
        self._settings = settings
        self._memory_bytes = memory_bytes
        self.facts = SimFacts(self, kafka, Topics(settings.namespace, settings.partitions), trouble)
        self._blobs = BlobClient(self, storage, weather)
        self._notices = NoticeClient(self, rabbit)
        self.connections: list[SimConnection] = []
        self._lanes: list[Lanes] = []
        self._intakes: list[HeaderIntake | PayloadIntake] = []
        self._memory: Memory | None = None
        self._stopping = False
        self.begin(self._start())

    async def _start(self) -> None:
        """As `bridge.service.Bridge.on_start`."""
        settings = self._settings
        facts: Any = self.facts
        notices: Any = self._notices
        outlets = Outlets(self._blobs, facts, notices, instance=settings.instance, hold_max_s=settings.hold_max_s)
        memory = self._memory = Memory(self._memory_bytes)
        self._watermarks = Watermarks(facts, self.name, settings, unheard_max_s=UNHEARD_MAX_S, crash=self.crash)
        try:
            await self._watermarks.start()
        except FactsUnavailable as error:
            self.exit(repr(error))
        for lanes in self._consumers(outlets, memory):
            self._watermarks.follow(lanes)
            self._lanes.append(lanes)
            try:
                await lanes.start()
            except (LaneClosed, OSError) as error:
                self.exit(repr(error))

    def _consumers(self, outlets: Outlets, memory: Memory) -> list[Lanes]:
        settings = self._settings
        headers = HeaderIntake(outlets, memory, self.crash)
        payloads = PayloadIntake(outlets, memory, settings, self.crash)
        self._intakes = [headers, payloads]
        kinds: Any = (
            (topology.HEADERS, headers, 1, settings.header_prefetch),
            (topology.PAYLOADS, payloads, settings.lanes, 1),
            (topology.SMALL_PAYLOADS, payloads, 1, settings.small_prefetch),
        )
        address: Any = _Address()
        return [
            Lanes(
                address,
                queue,
                count=count,
                prefetch=prefetch,
                accept=partial(intake.accept, queue),
                name=self.name,
                storage=outlets.storage,
                crash=self.crash,
                gave_back=self._watermarks.gave_back,
            )
            for queue, intake, count, prefetch in kinds
        ]

    @property
    def held_bytes(self) -> int:
        """Of bodies."""
        return self._memory.held_bytes if self._memory is not None else 0

    @property
    def busy(self) -> bool:
        """Something is in hand."""
        return bool(self.held_bytes) or any(intake.busy for intake in self._intakes)

    def stop(self) -> None:
        """As SIGTERM does."""
        if not self._stopping and self._intakes:
            self._stopping = True
            self.begin(self._stop())

    async def _stop(self) -> None:
        """As `bridge.service.Bridge.on_stop`."""
        for lanes in self._lanes:
            lanes.drain()
        await asyncio.gather(*(intake.finish(DRAIN_MAX_S) for intake in self._intakes))
        await asyncio.gather(*(lanes.stop() for lanes in self._lanes))
        await asyncio.gather(*(intake.give_up() for intake in self._intakes))
        await self._watermarks.stop()
        self.exit("stopped")

    async def connect(self, connection: Any) -> Any:
        await asyncio.sleep(0)
        if self.rabbit.down:
            raise OSError("connection refused")
        return None, connection

    def opened(self, connection: SimConnection) -> None:
        """A connection is about to consume."""
        self.connections = [each for each in self.connections if each.closed is None]
        self.connections.append(connection)

    def freeze(self) -> None:
        super().freeze()
        for connection in self.connections:
            self.world.after(self.world.chance.uniform(NOTICED_S * 2 / 3, NOTICED_S), self._noticed, connection)

    def _noticed(self, connection: SimConnection) -> None:
        if self.frozen and self.alive:
            connection.given_up()

    def ended(self) -> None:
        for connection in self.connections:
            connection.process_ended()
        self.facts.cut()


class _Address:
    """Where the broker is; nobody looks."""

    host, port, tls = "rabbit", 5672, None
