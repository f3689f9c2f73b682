"""Kafka: topics that are cut alike, kept long enough, and held by more than one broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aiokafka.errors import KafkaError

from bridge.binds import is_loopback
from bridge.check import Check, fail, joined, ok, warn
from bridge.contract.inbound import TIMEOUT_MAX_S
from bridge.production import REPLICAS_MIN as REPLICAS_IN_PRODUCTION
from bridge.settings import FactSettings, KafkaSettings
from streams.doctor import kafka_clock
from streams.doctor.kafka_topics import Topic, described
from streams.topics import Topics, TopicSpec

ANSWER_TIMEOUT_S: Final = 30.0
REPLICAS_MIN: Final = 3
IN_SYNC_MIN: Final = 2
RESULTS_MARGIN_S: Final = 86_400.0
"""How much longer than events results are kept, at least."""
_ANSWERED: Final = "kafka.answers"
_UNLIMITED: Final = "-1"
_AT_LEAST: Final = frozenset({"max.message.bytes", "retention.ms"})
"""More of it than we ask for is right too."""


async def examine(settings: FactSettings, dedupe_retention_s: float, watermark_interval_s: float) -> list[Check]:
    """Everything about Kafka. The interval is that at which bridges write to every partition."""
    topics = Topics(settings.namespace, settings.partitions)
    reached = encrypted(settings.kafka_security_protocol, settings.kafka_bootstrap)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            found = await described(settings, topics.specs())
    except (KafkaError, OSError, TimeoutError) as error:
        remedy = "Check that it runs, and that BRH_KAFKA_BOOTSTRAP is right."
        return [fail(_ANSWERED, f"Kafka does not answer: {error or type(error).__name__}", remedy), reached]
    checks = [ok(_ANSWERED, "it lets us in"), reached, *judge(topics, found, dedupe_retention_s, settings.profile)]
    for events in (topic for topic in found if topic.name == topics.events):
        checks.append(await kafka_clock.examine(settings, events.name, events.partitions, watermark_interval_s))
    return checks


def encrypted(protocol: str, bootstrap: str) -> Check:
    """Whether what leaves this machine can be read on the way."""
    hosts = [each.strip().rpartition(":")[0].strip("[]") for each in bootstrap.split(",")]
    if protocol.endswith("SSL") or all(map(is_loopback, hosts)):
        return ok("kafka.encrypted", "TLS" if protocol.endswith("SSL") else "loopback")
    detail = "the connection leaves this machine in the clear"
    return warn("kafka.encrypted", detail, "Set BRH_KAFKA_SECURITY_PROTOCOL to SASL_SSL or SSL.")


def judge(
    topics: Topics, found: Sequence[Topic], dedupe_retention_s: float, profile: str = "development"
) -> Iterator[Check]:
    """All that can be said of the topics."""
    there = {topic.name: topic for topic in found}
    yield _there(topics.specs(), there)
    if not found:
        return
    yield _described(found)
    yield from as_made(topics.specs(), found)
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
    yield from durable(found, profile)
    if (events := there.get(topics.events)) is not None and events.config is not None:
        yield remembered(events, dedupe_retention_s)
        yield outlasts_waiting(events)


async def look(
    settings: KafkaSettings, profile: str, specs: Sequence[TopicSpec]
) -> tuple[list[Check], dict[str, Topic]]:
    """What a worker needs of the topics that it reads and writes; and these topics, for what only it can judge.

    Whether a broker is down is not looked at: that passes. Raises KafkaError, OSError.
    """
    found = await described(settings, specs)
    there = {topic.name: topic for topic in found}
    checks = [_there(specs, there), _described(found), *as_made(specs, found)]
    if profile == "production":
        checks += durable(found, profile)
    return checks, there


def as_made(specs: Sequence[TopicSpec], found: Sequence[Topic]) -> Iterator[Check]:
    """Topics that are there, against what `brh setup` makes."""
    wanted = {spec.name: spec for spec in specs}
    yield joined(
        "kafka.partitions",
        "as many as BRH_PARTITIONS says wherever transactions are",
        (
            f"{topic.name} has {topic.partitions} partitions, not {wanted[topic.name].partitions}"
            for topic in found
            if topic.partitions != wanted[topic.name].partitions
        ),
        "Set BRH_PARTITIONS to what is there, or use a new BRH_NAMESPACE: who owns a transaction follows from it.",
    )
    yield from _of_configs(
        "kafka.topic-configs",
        "as `brh setup` makes them",
        [text for topic in found for text in _differing(wanted[topic.name], topic)],
        "Alter these configs with kafka-configs: `brh setup` does not change what is there.",
        found,
    )


def remembered(events: Topic, dedupe_retention_s: float) -> Check:
    """A closed transaction must be remembered for as long as its messages can be read again."""
    kept_s = _kept_s(events)
    if dedupe_retention_s < kept_s:
        return fail(
            "kafka.retention",
            f"events are kept for {kept_s:,.0f} s, closed transactions remembered for {dedupe_retention_s:,.0f}",
            f"Set BRH_DEDUPE_RETENTION_S higher, or retention.ms of {events.name} lower: a replay could open one.",
        )
    return ok("kafka.retention", "closed transactions are remembered for as long as their events are kept")


def outlasts_waiting(events: Topic) -> Check:
    """The events of a transaction must be there for as long as it may wait, whoever has to read them again."""
    kept_s = _kept_s(events)
    if kept_s < TIMEOUT_MAX_S:
        return fail(
            "kafka.awaiting",
            f"events are kept for {kept_s:,.0f} s, and a transaction may wait for {TIMEOUT_MAX_S:,}",
            f"Set retention.ms of {events.name} higher: `brh setup` makes it 14 days.",
        )
    return ok("kafka.awaiting", "events are kept for longer than a transaction may wait")


def results_outlast(events: Topic, result_retention_s: float) -> Check:
    """A duplicate that is as late as its topic allows must find the outcome. 0: results are never removed."""
    least_s = _kept_s(events) + RESULTS_MARGIN_S
    if result_retention_s and result_retention_s < least_s:
        return fail(
            "kafka.results",
            f"results are removed after {result_retention_s:,.0f} s, and events kept for {_kept_s(events):,.0f}",
            f"Set BRH_RESULT_RETENTION_S a day higher than that, or retention.ms of {events.name} lower.",
        )
    return ok("kafka.results", "outcomes are kept for longer than events")


def durable(found: Sequence[Topic], profile: str) -> Iterator[Check]:
    """Whether what is acknowledged outlives a broker. The profile says how many replicas there must be."""
    few = sorted({topic.replicas for topic in found if topic.replicas < REPLICAS_MIN})
    refused = profile == "production" and few and few[0] < REPLICAS_IN_PRODUCTION
    yield joined(
        "kafka.replicas",
        f"{REPLICAS_MIN} or more of every topic",
        [f"some topics have only {few[0]}: what is acknowledged is lost with {'it' if few[0] == 1 else 'them'}"]
        if few
        else [],
        f"Outside development set BRH_REPLICATION_FACTOR to {REPLICAS_MIN} before `brh setup`, on that many brokers.",
        status="fail" if refused else "warn",
    )
    # With one replica there is nothing that could be out of sync.
    several = [topic for topic in found if topic.replicas >= REPLICAS_MIN]
    loose = [topic.name for topic in several if topic.config is not None and _in_sync_min(topic.config) < IN_SYNC_MIN]
    yield from _of_configs(
        "kafka.min-insync",
        "an acknowledged record is on two brokers" if several else "nothing to compare",
        [f"{name} has min.insync.replicas below {IN_SYNC_MIN}" for name in loose],
        f"Set min.insync.replicas = {IN_SYNC_MIN}: a record is acknowledged when one broker has it.",
        found,
    )
    unclean = [t.name for t in found if (t.config or {}).get("unclean.leader.election.enable") == "true"]
    yield from _of_configs(
        "kafka.unclean-election",
        "off",
        [f"on for {name}" for name in unclean],
        "Set unclean.leader.election.enable = false: a replica that is behind would drop acknowledged records.",
        found,
    )


def _there(specs: Sequence[TopicSpec], there: Mapping[str, Topic]) -> Check:
    absent = (f"{spec.name} is missing" for spec in specs if spec.name not in there)
    return joined("kafka.topics", "all are there", absent, "Run `brh setup`, or allow us to describe them.")


def _described(found: Sequence[Topic]) -> Check:
    return joined(
        "kafka.described",
        "we may ask for the configs of every topic",
        (f"not known: we may not ask for the configs of {topic.name}" for topic in found if topic.config is None),
        "Allow DescribeConfigs on these topics, as ops/kafka-acls.sh does.",
        status="warn",
    )


def _of_configs(name: str, right: str, wrong: Sequence[str], remedy: str, found: Sequence[Topic]) -> Iterator[Check]:
    """Not that all is right where some could not be asked for: that is said by another check."""
    if wrong or all(topic.config is not None for topic in found):
        yield joined(name, right, wrong, remedy)


def _differing(spec: TopicSpec, topic: Topic) -> Iterator[str]:
    if topic.config is None:
        return
    for name, wanted in spec.config.items():
        there = topic.config.get(name, "")
        if there == wanted or (name in _AT_LEAST and _is_more(there, wanted)):
            continue
        yield f"{topic.name} has {name} = {there or 'nothing'}, not {wanted}"


def _is_more(there: str, wanted: str) -> bool:
    return there == _UNLIMITED or (there.isdecimal() and int(there) >= int(wanted))


def _in_sync_min(config: Mapping[str, str]) -> int:
    return int(config.get("min.insync.replicas", "1"))


def _kept_s(topic: Topic) -> float:
    kept = (topic.config or {}).get("retention.ms", _UNLIMITED)
    return float("inf") if kept == _UNLIMITED else int(kept) / 1_000
