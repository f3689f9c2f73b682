"""Everything the product needs in the three systems, created where it is missing: `brh setup`."""

from __future__ import annotations

import aio_pika
import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from bridge import topology
from bridge.azure_blobs import AzureBlobs
from bridge.kafka_access import client_options
from bridge.settings import AmqpSettings, BlobSettings, KafkaSettings
from streams.topics import Topics, TopicSpec

TOPIC_ALREADY_EXISTS = 36
CREATE_TIMEOUT_MS = 30_000


class ProvisionError(Exception):
    """Something that is needed could not be created, or is there with other properties."""


class Provisioned(msgspec.Struct, frozen=True):
    """What was created; empty lists when everything was there."""

    rabbitmq: list[str]
    kafka: list[str]
    blob: list[str]


async def provision_rabbitmq(settings: AmqpSettings) -> list[str]:
    """Exchanges, queues and bindings. Raises bridge.topology.TopologyError."""
    async with await aio_pika.connect(settings.amqp_url.get_secret_value()) as connection:
        return await topology.declare(connection)


async def provision_kafka(settings: KafkaSettings, topics: Topics) -> list[str]:
    """Topics. Raises ProvisionError when one is there with another number of partitions."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        return await _create_topics(admin, topics.specs(), settings.replication_factor)
    finally:
        await admin.close()


async def provision_blob(settings: BlobSettings) -> list[str]:
    """The container."""
    async with AzureBlobs(settings) as blobs:
        return [settings.blob_container] if await blobs.create_container() else []


async def _create_topics(admin: AIOKafkaAdminClient, specs: tuple[TopicSpec, ...], replicas: int) -> list[str]:
    wanted = [NewTopic(spec.name, spec.partitions, replicas, topic_configs=spec.config) for spec in specs]
    answer = await admin.create_topics(wanted, timeout_ms=CREATE_TIMEOUT_MS)
    created = []
    for name, code, *detail in answer.topic_errors:
        if code == 0:
            created.append(name)
        elif code != TOPIC_ALREADY_EXISTS:
            raise ProvisionError(f"topic {name}: {for_code(code).__name__} {' '.join(filter(None, detail))}".strip())
    there = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics([s.name for s in specs])}
    for spec in specs:
        # A topic that was created a moment ago may not be in the metadata yet; it has the partitions it was given.
        if spec.name not in created and there.get(spec.name, spec.partitions) != spec.partitions:
            raise ProvisionError(
                f"topic {spec.name} has {there[spec.name]} partitions, not {spec.partitions}: their number decides who "
                "owns a transaction and is fixed for life; set BRH_PARTITIONS to what is there, or use a new namespace"
            )
    return created
