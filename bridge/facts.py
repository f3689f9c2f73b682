"""Facts on their way to Kafka: a fact counts as published when all in-sync replicas have it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from bridge import metrics, tracing
from bridge.contract.events import EVENT_MAX_BYTES, TransactionEvent, Watermark, encode, topic_name
from bridge.kafka_access import client_options
from bridge.settings import FactSettings, SettingsError

_log = structlog.get_logger()

LOG_APPEND_TIME: Final = 1
"""Kafka's number for a timestamp that the broker has given."""


class FactsUnavailable(Exception):
    """Kafka did not acknowledge a fact; it may be there or not: publish it again, twice is harmless."""


class Facts:
    """Publishes facts; an async context manager that owns the producer."""

    def __init__(self, settings: FactSettings) -> None:
        self._topic = topic_name(settings.namespace)
        self._partitions = settings.partitions
        self._producer = AIOKafkaProducer(
            **client_options(settings),
            acks="all",
            enable_idempotence=True,
            max_request_size=2 * EVENT_MAX_BYTES,
            request_timeout_ms=int(settings.produce_timeout_s * 1000),
        )

    async def __aenter__(self) -> Self:
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()  # what it began does not end by itself
            raise
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
            with metrics.timed(metrics.FACT_SECONDS):
                await self._producer.send_and_wait(
                    self._topic, encode(event), key=event.transaction.encode(), headers=tracing.carried()
                )
        except KafkaError as error:
            metrics.FACTS_FAILED.inc()
            raise FactsUnavailable(f"a fact of {event.transaction} was not acknowledged: {error!r}") from error

    async def say(self, words: Sequence[Watermark]) -> tuple[datetime, ...] | None:
        """Publish a watermark to each partition, beginning with 0, and wait for all acknowledgements.

        Returns:
            When each was taken, by the clock of the partition's broker. None: that is not known, because a broker did
            not say it (for a record that it already had, or because the topic is stamped by producers).

        Raises:
            FactsUnavailable: one of them was not acknowledged; others may have been.
        """
        answers: list[RecordMetadata | BaseException] = await asyncio.gather(
            *(self._producer.send_and_wait(self._topic, encode(word), partition=at) for at, word in enumerate(words)),
            return_exceptions=True,
        )
        stamps: list[datetime] = []
        for answer in answers:
            if isinstance(answer, KafkaError):
                raise FactsUnavailable(f"a watermark was not acknowledged: {answer!r}") from answer
            if isinstance(answer, BaseException):
                raise answer
            if answer.timestamp_type == LOG_APPEND_TIME:
                stamps.append(datetime.fromtimestamp(answer.timestamp / 1000, UTC))
        return tuple(stamps) if len(stamps) == len(words) else None
