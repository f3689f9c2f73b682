"""What a tracker and a delivery look at around themselves when they start, with the eyes of the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from bridge import storage_check
from bridge.check import Check
from bridge.surroundings import Look
from streams.doctor import kafka, rabbitmq
from streams.settings import DeliverySettings, TrackerSettings
from streams.topics import Topics, TopicSpec


def of_tracker(settings: TrackerSettings, topics: Topics) -> dict[str, Look]:
    """Kafka alone: of storage it reads only what it has forgotten, and it does not log in to RabbitMQ."""
    return {"Kafka": partial(_topics_of_tracker, settings, topics)}


def of_delivery(settings: DeliverySettings, topics: Topics) -> dict[str, Look]:
    """All three systems."""
    return {
        "Kafka": partial(_topics_of_delivery, settings, topics),
        "RabbitMQ": partial(rabbitmq.look, settings),
        "storage": partial(storage_check.look, settings),
    }


async def _topics_of_tracker(settings: TrackerSettings, topics: Topics) -> Sequence[Check]:
    specs = [spec for spec in topics.specs() if spec.name in topics.of_tracker]
    checks, there = await kafka.look(settings, settings.profile, specs)
    if (events := there.get(topics.events)) is not None and events.config is not None:
        checks += [kafka.remembered(events, settings.dedupe_retention_s), kafka.outlasts_waiting(events)]
    return checks


async def _topics_of_delivery(settings: DeliverySettings, topics: Topics) -> Sequence[Check]:
    specs = {spec.name: spec for spec in topics.specs()}
    outcomes = _kept_as_consumers_like(specs[topics.outcomes])
    checks, there = await kafka.look(
        settings, settings.profile, [specs[topics.events], specs[topics.deliveries], outcomes]
    )
    if (events := there.get(topics.events)) is not None and events.config is not None:
        checks.append(kafka.results_outlast(events, settings.result_retention_s))
    return checks


def _kept_as_consumers_like(outcomes: TopicSpec) -> TopicSpec:
    # Nothing of ours reads outcomes, so how long they are there puts no result at risk.
    return msgspec.structs.replace(outcomes, config={**outcomes.config, "retention.ms": "0"})
