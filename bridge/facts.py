"""Facts on their way to Kafka: a fact counts as published when all in-sync replicas have it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from bridge.contract.events import EVENT_MAX_BYTES, TransactionEvent, encode, topic_name
from bridge.settings import BridgeSettings, SettingsError

_log = structlog.get_logger()


class FactsUnavailable(Exception):
    """Kafka did not acknowledge a fact; it may be there or not: publish it again, twice is harmless."""


class Facts:
    """Publishes facts; an async context manager that owns the producer."""

    def __init__(self, settings: BridgeSettings) -> None:
        self._topic = topic_name(settings.namespace)
        self._partitions = settings.partitions
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            acks="all",
            enable_idempotence=True,
            max_request_size=2 * EVENT_MAX_BYTES,
            request_timeout_ms=int(settings.produce_timeout_s * 1000),
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        try:
            found = len(await self._producer.partitions_for(self._topic))
        except KafkaError as error:
            await self._producer.stop()
            raise SettingsError(f"topic {self._topic} cannot be read ({error!r}): run `brh setup`") from error
        if found != self._partitions:
            # Another count would send a transaction to another owner than its earlier facts.
            await self._producer.stop()
            raise SettingsError(f"BRH_PARTITIONS is {self._partitions}, but {self._topic} has {found}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def publish(self, event: TransactionEvent) -> None:
        """Publish and wait for the acknowledgement. Raises FactsUnavailable."""
        try:
            await self._producer.send_and_wait(self._topic, encode(event), key=event.transaction.encode())
        except KafkaError as error:
            raise FactsUnavailable(f"a fact of {event.transaction} was not acknowledged: {error!r}") from error
