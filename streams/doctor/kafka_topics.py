"""Topics as they are there, and how they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bridge.kafka_access import client_options
from bridge.settings import KafkaSettings
from streams.topics import TopicSpec


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it is there."""

    name: str
    partitions: int
    replicas: int
    """Of the partition that has the fewest."""
    leaderless: int = 0
    """Partitions without a leader."""
    behind: int = 0
    """Partitions of which a replica is not in sync."""
    config: Mapping[str, str] | None = {}
    """None: we may not ask for it."""


async def described(settings: KafkaSettings, specs: Iterable[TopicSpec]) -> list[Topic]:
    """Those topics that are there, as far as we may see them. Raises KafkaError, OSError."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        visible = [
            topic for topic in await admin.describe_topics([spec.name for spec in specs]) if not topic["error_code"]
        ]
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic["topic"]) for topic in visible]
        answers = await admin.describe_configs(resources) if resources else []
    finally:
        await admin.close()
    configs = {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in answers
        for code, _, _, name, entries in answer.resources
        if not code
    }
    return [_topic(topic, configs.get(topic["topic"])) for topic in visible]


def _topic(described: Mapping[str, Any], config: Mapping[str, str] | None) -> Topic:
    partitions = described["partitions"]
    return Topic(
        name=described["topic"],
        partitions=len(partitions),
        replicas=min((len(each["replicas"]) for each in partitions), default=0),
        leaderless=sum(each["leader"] < 0 for each in partitions),
        behind=sum(len(each["isr"]) < len(each["replicas"]) for each in partitions),
        config=config,
    )
