"""Kafka: topics that are cut alike, kept long enough, and held by more than one broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from bridge.binds import is_loopback
from bridge.kafka_access import client_options
from bridge.settings import FactSettings
from streams.doctor.check import Check, fail, joined, ok, warn
from streams.topics import Topics, TopicSpec

ANSWER_TIMEOUT_S: Final = 30.0
REPLICAS_MIN: Final = 3
IN_SYNC_MIN: Final = 2
_ANSWERED: Final = "kafka.answers"
_UNLIMITED: Final = "-1"
_AT_LEAST: Final = frozenset({"max.message.bytes", "retention.ms"})
"""More of it than we ask for is right too."""


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
    config: Mapping[str, str] = {}


async def examine(settings: FactSettings, dedupe_retention_s: float) -> list[Check]:
    """Everything about Kafka."""
    topics = Topics(settings.namespace, settings.partitions)
    reached = encrypted(settings.kafka_security_protocol, settings.kafka_bootstrap)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            found = await _topics(settings, topics.specs())
    except (KafkaError, OSError, TimeoutError) as error:
        remedy = "Check that it runs, and that BRH_KAFKA_BOOTSTRAP is right."
        return [fail(_ANSWERED, f"Kafka does not answer: {error or type(error).__name__}", remedy), reached]
    return [ok(_ANSWERED, "it lets us in"), reached, *judge(topics, found, dedupe_retention_s)]


def encrypted(protocol: str, bootstrap: str) -> Check:
    """Whether what leaves this machine can be read on the way."""
    hosts = [each.strip().rpartition(":")[0].strip("[]") for each in bootstrap.split(",")]
    if protocol.endswith("SSL") or all(map(is_loopback, hosts)):
        return ok("kafka.encrypted", "TLS" if protocol.endswith("SSL") else "loopback")
    detail = "the connection leaves this machine in the clear"
    return warn("kafka.encrypted", detail, "Set BRH_KAFKA_SECURITY_PROTOCOL to SASL_SSL or SSL.")


def judge(topics: Topics, found: Sequence[Topic], dedupe_retention_s: float) -> Iterator[Check]:
    """All that can be said of the topics."""
    specs = {spec.name: spec for spec in topics.specs()}
    there = {topic.name: topic for topic in found}
    missing = [name for name in specs if name not in there]
    yield joined("kafka.topics", "all are there", (f"{name} is missing" for name in missing), "Run `brh setup`.")
    if not found:
        return
    yield joined(
        "kafka.partitions",
        f"{topics.partitions} wherever transactions are",
        (
            f"{topic.name} has {topic.partitions} partitions, not {specs[topic.name].partitions}"
            for topic in found
            if topic.partitions != specs[topic.name].partitions
        ),
        "Set BRH_PARTITIONS to what is there, or use a new BRH_NAMESPACE: who owns a transaction follows from it.",
    )
    yield joined(
        "kafka.topic-configs",
        "as `brh setup` makes them",
        (text for topic in found for text in _differing(specs[topic.name], topic)),
        "Alter these configs with kafka-configs: `brh setup` does not change what is there.",
    )
    yield joined(
        "kafka.leaders",
        "every partition has one",
        (f"{topic.leaderless} partitions of {topic.name} have none" for topic in found if topic.leaderless),
        "Start the brokers that are down.",
    )
    yield joined(
        "kafka.in-sync",
        "all replicas are",
        (f"{topic.behind} partitions of {topic.name} have replicas behind" for topic in found if topic.behind),
        "Look for a broker that is down or slow.",
        status="warn",
    )
    yield from _durable(found)
    if (events := there.get(topics.events)) is not None:
        yield remembered(events, dedupe_retention_s)


def remembered(events: Topic, dedupe_retention_s: float) -> Check:
    """A closed transaction must be remembered for as long as its messages can be read again."""
    kept = events.config.get("retention.ms", _UNLIMITED)
    kept_s = float("inf") if kept == _UNLIMITED else int(kept) / 1_000
    if dedupe_retention_s < kept_s:
        return fail(
            "kafka.retention",
            f"events are kept for {kept_s:,.0f} s, closed transactions remembered for {dedupe_retention_s:,.0f}",
            f"Set BRH_DEDUPE_RETENTION_S higher, or retention.ms of {events.name} lower: a replay could open one.",
        )
    return ok("kafka.retention", "closed transactions are remembered for as long as their events are kept")


def _differing(spec: TopicSpec, topic: Topic) -> Iterator[str]:
    for name, wanted in spec.config.items():
        there = topic.config.get(name, "")
        if there == wanted or (name in _AT_LEAST and _is_more(there, wanted)):
            continue
        yield f"{topic.name} has {name} = {there or 'nothing'}, not {wanted}"


def _is_more(there: str, wanted: str) -> bool:
    return there == _UNLIMITED or (there.isdecimal() and int(there) >= int(wanted))


def _durable(found: Sequence[Topic]) -> Iterator[Check]:
    few = sorted({topic.replicas for topic in found if topic.replicas < REPLICAS_MIN})
    yield joined(
        "kafka.replicas",
        f"{REPLICAS_MIN} or more of every topic",
        [f"some topics have only {few[0]}: what is acknowledged is lost with {'it' if few[0] == 1 else 'them'}"]
        if few
        else [],
        f"Outside development set BRH_REPLICATION_FACTOR to {REPLICAS_MIN} before `brh setup`, on that many brokers.",
        status="warn",
    )
    # With one replica there is nothing that could be out of sync.
    several = [topic for topic in found if topic.replicas >= REPLICAS_MIN]
    loose = [topic.name for topic in several if int(topic.config.get("min.insync.replicas", "1")) < IN_SYNC_MIN]
    yield joined(
        "kafka.min-insync",
        "an acknowledged record is on two brokers" if several else "nothing to compare",
        (f"{name} has min.insync.replicas below {IN_SYNC_MIN}" for name in loose),
        f"Set min.insync.replicas = {IN_SYNC_MIN}: a record is acknowledged when one broker has it.",
    )
    unclean = [topic.name for topic in found if topic.config.get("unclean.leader.election.enable") == "true"]
    yield joined(
        "kafka.unclean-election",
        "off",
        (f"on for {name}" for name in unclean),
        "Set unclean.leader.election.enable = false: a replica that is behind would drop acknowledged records.",
    )


async def _topics(settings: FactSettings, specs: Iterable[TopicSpec]) -> list[Topic]:
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        described = [
            topic for topic in await admin.describe_topics([spec.name for spec in specs]) if not topic["error_code"]
        ]
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic["topic"]) for topic in described]
        answers = await admin.describe_configs(resources) if resources else []
    finally:
        await admin.close()
    configs = {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in answers
        for _, _, _, name, entries in answer.resources
    }
    return [_topic(topic, configs.get(topic["topic"], {})) for topic in described]


def _topic(described: Mapping[str, Any], config: Mapping[str, str]) -> Topic:
    partitions = described["partitions"]
    return Topic(
        name=described["topic"],
        partitions=len(partitions),
        replicas=min((len(each["replicas"]) for each in partitions), default=0),
        leaderless=sum(each["leader"] < 0 for each in partitions),
        behind=sum(len(each["isr"]) < len(each["replicas"]) for each in partitions),
        config=config,
    )
