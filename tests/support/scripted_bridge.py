"""The intake of payloads with a broker that follows a script; storage, Kafka and the notices fail when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from bridge.blobs import BlobsUnavailable
from bridge.checksums import Piece
from bridge.contract.events import MessageRefused, PayloadsStaged
from bridge.contract.outbound import CloudEvent
from bridge.facts import FactsUnavailable
from bridge.frames import Body
from bridge.lane import Incoming, Lane
from bridge.layout import MIB, BlockId
from bridge.memory import Memory
from bridge.memory_blobs import MemoryBlobs
from bridge.notices import NoticesUnavailable
from bridge.outlets import Outlets
from bridge.payloads import PayloadIntake
from bridge.settings import BridgeSettings
from tests.support.scripted_broker import ScriptedBroker, message


def payload(tag: int, content: bytes, *, ordinal: int = 1, total_count: int = 10, **headers: Any) -> list[bytes]:
    found = {"brh_series_type": "cashflows", "brh_ordinal": ordinal, "brh_total_count": total_count, **headers}
    return message(tag, content, message_type="brh.payload.v1", correlation_id="t-1", headers=found)


class Bridge:
    """One intake; `log` says what happened in which order."""

    def __init__(self, hold_max_s: float) -> None:
        self.broker = ScriptedBroker()
        self.blobs = MemoryBlobs()
        self.memory = Memory(64 * MIB)
        self.storage_fails = self.kafka_fails = self.notices_fail = 0
        self.spared = 0
        """Blocks that are stored before storage begins to fail."""
        self.log: list[str] = []
        self.facts: list[PayloadsStaged] = []
        self.refusals: list[MessageRefused] = []
        self.notices: list[CloudEvent] = []
        self.crashes: list[Exception] = []
        both: Any = self
        self.outlets = Outlets(both, both, _Notices(self), instance="test", hold_max_s=hold_max_s)
        settings = BridgeSettings(blocks_in_flight=2, payload_max_bytes=256 * MIB)
        self.intake = PayloadIntake(self.outlets, self.memory, settings, self.crashes.append)

    async def stage_block(self, name: str, block: BlockId, pieces: Sequence[Piece]) -> None:
        if self.spared:
            self.spared -= 1
        elif self.storage_fails:
            self.storage_fails -= 1
            raise BlobsUnavailable("storage is sick")
        await self.blobs.stage_block(name, block, pieces)
        self.log.append("stored")

    async def publish(self, event: PayloadsStaged | MessageRefused) -> None:
        if self.kafka_fails:
            self.kafka_fails -= 1
            raise FactsUnavailable("Kafka is sick")
        if isinstance(event, MessageRefused):
            self.refusals.append(event)
            self.log.append("refusal reported")
            return
        self.facts.append(event)
        self.log.append("reported")

    async def lane(self) -> Lane:
        address, log = self.broker.address(), self.log
        lane = await Lane.open(address, "queue", prefetch=10, accept=self.accept, name="lane")
        send = lane._connection.send
        lane._connection.send = lambda *sent, **to: (log.append("settled"), send(*sent, **to))
        return lane

    def accept(self, incoming: Incoming) -> Body:
        return self.intake.accept("queue", incoming)

    async def ended(self, lane: Lane) -> str:
        async with asyncio.timeout(10):
            why = str(await lane.wait_closed())
            await self.intake.finish(10)
        assert self.memory.held_bytes == 0
        assert self.broker.settled == []
        return why


class _Notices:
    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def publish(self, event: CloudEvent, routing_key: str) -> None:
        if self._bridge.notices_fail:
            self._bridge.notices_fail -= 1
            raise NoticesUnavailable("nobody listens")
        self._bridge.notices.append(event)
        self._bridge.log.append(routing_key)
