"""What a process finds around itself when it starts: a line each, and in production no start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import pytest
from mode import Service
from structlog.testing import capture_logs

from bridge import broker_check, service, storage_check, surroundings
from bridge.check import Check, fail, ok, warn
from bridge.service import Bridge
from bridge.settings import BridgeSettings, SettingsError
from bridge.surroundings import Look, look_around, looked
from streams.doctor import kafka, rabbitmq
from streams.doctor.kafka_topics import Topic
from streams.settings import DeliverySettings, TrackerSettings
from streams.surroundings import of_delivery, of_tracker
from streams.topics import Topics, TopicSpec

TOPICS = Topics("brh", 8)
DAY_S = 86_400.0
WRONG = fail("kafka.topic-configs", "brh.x has cleanup.policy = delete, not compact", "Alter it.")
ONE_DAY = warn("kafka.replicas", "only two", "Have three.")


def telling(*checks: Check) -> Look:
    async def look() -> Iterable[Check]:
        return checks

    return look


def failing(error: Exception) -> Look:
    async def look() -> Iterable[Check]:
        raise error

    return look


async def silent() -> Iterable[Check]:
    """Somebody who never answers."""
    await asyncio.Event().wait()
    raise AssertionError


def warnings(logs: Sequence[Any]) -> list[tuple[str, str]]:
    """Check and remedy of each."""
    return [(log["check"], log["remedy"]) for log in logs if log["log_level"] == "warning"]


async def test_outside_production_each_finding_is_a_line_and_refuses_nothing() -> None:
    with capture_logs() as logs:
        assert await looked({"Kafka": telling(WRONG, ONE_DAY, ok("kafka.topics", "there"))}, refuse=False) == ""
    assert warnings(logs) == [("kafka.topic-configs", "Alter it."), ("kafka.replicas", "Have three.")]


async def test_in_production_a_failure_refuses_the_start_with_its_remedy_and_a_warning_does_not() -> None:
    with capture_logs() as logs:
        why = await looked({"Kafka": telling(ONE_DAY), "storage": telling(WRONG)}, refuse=True)
    assert why == (
        "BRH_PROFILE=production refuses to start with what is there: "
        "kafka.topic-configs: brh.x has cleanup.policy = delete, not compact. Alter it."
    )
    assert warnings(logs) == [("kafka.replicas", "Have three.")]
    assert await looked({"Kafka": telling(ONE_DAY)}, refuse=True) == ""


async def test_who_cannot_be_asked_or_does_not_answer_is_a_warning_in_every_profile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surroundings, "LOOK_MAX_S", 0.01)
    looks = {"RabbitMQ": failing(OSError("amqp://me:secret@rabbit")), "Kafka": silent, "storage": telling(WRONG)}
    with capture_logs() as logs:
        why = await looked(looks, refuse=True)
    assert [name for name, _ in warnings(logs)] == ["rabbitmq.asked", "kafka.asked"]
    assert "cleanup.policy" in why, "and the others are judged all the same"
    assert "asked" not in why
    assert "secret" not in repr(logs)


async def test_only_production_waits_for_the_answers() -> None:
    class Waiting(Service):
        why = ""

        async def on_start(self) -> None:
            self.why = await look_around(self, profile=self.label, looks={"Kafka": look})

        @property
        def label(self) -> str:
            return profile

    answer = asyncio.Event()

    async def look() -> Iterable[Check]:
        await answer.wait()
        return [WRONG]

    profile = "development"
    async with Waiting() as waiting:
        assert waiting.why == ""
        with capture_logs() as logs:
            answer.set()
            await asyncio.gather(*waiting._futures)
        assert warnings(logs) == [("kafka.topic-configs", "Alter it.")]
    answer.clear()
    profile = "production"
    starting = Waiting()
    start = asyncio.create_task(starting.maybe_start())
    await asyncio.sleep(0)
    assert not start.done()
    answer.set()
    await start
    assert "cleanup.policy" in starting.why
    await starting.stop()


async def test_a_bridge_in_production_consumes_nothing_where_a_limit_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wrong(_settings: BridgeSettings) -> list[Check]:
        return [WRONG]

    async def right(_settings: BridgeSettings) -> list[Check]:
        return [ok("storage.writing", "it may")]

    monkeypatch.setattr(broker_check, "look", wrong)
    monkeypatch.setattr(storage_check, "look", right)
    monkeypatch.setattr(service, "AzureBlobs", None)  # nothing is opened before the answers are there
    with pytest.raises(SettingsError, match=r"refuses to start with what is there: kafka\.topic-configs"):
        await Bridge(BridgeSettings(profile="production")).maybe_start()


# What each of them looks at


def as_made(spec: TopicSpec, **config: str) -> Topic:
    right = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
    return Topic(name=spec.name, partitions=spec.partitions, replicas=3, config={**spec.config, **right, **config})


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The topics of Kafka, `changed` by their names; others are as they should be."""

    def make(changed: Callable[[Topic], Topic] = lambda topic: topic) -> None:
        made = {spec.name: changed(as_made(spec)) for spec in TOPICS.specs()}

        async def described(_settings: Any, specs: Sequence[TopicSpec]) -> list[Topic]:
            return [made[spec.name] for spec in specs]

        monkeypatch.setattr(kafka, "described", described)

    return make


async def found(looks: dict[str, Look]) -> dict[str, str]:
    checks = await looks["Kafka"]()
    return {check.name: check.status for check in checks if check.status != "ok"}


def with_config(name: str, **config: str) -> Callable[[Topic], Topic]:
    def change(topic: Topic) -> Topic:
        if topic.name != name:
            return topic
        return msgspec.structs.replace(topic, config={**(topic.config or {}), **config})

    return change


CHANGELOG = f"{TOPICS.tracker_group}-receipts-changelog"
SHORT = {"retention.ms": "3600000"}


@pytest.mark.parametrize(
    ("changed", "tracker", "delivery"),
    [
        (lambda topic: topic, {}, {}),
        (with_config(CHANGELOG, **{"cleanup.policy": "delete"}), {"kafka.topic-configs": "fail"}, {}),
        (with_config(CHANGELOG, **{"cleanup.policy": "compact,delete"}), {"kafka.topic-configs": "fail"}, {}),
        (
            with_config(TOPICS.events, **SHORT),
            {"kafka.topic-configs": "fail", "kafka.awaiting": "fail"},
            {"kafka.topic-configs": "fail"},
        ),
        (
            with_config(TOPICS.events, **{"retention.ms": "1209600001"}),
            {"kafka.retention": "fail"},
            {"kafka.results": "fail"},
        ),
        (with_config(TOPICS.outcomes, **SHORT), {}, {}),
        (with_config(TOPICS.outcomes, **{"max.message.bytes": "1048588"}), {}, {"kafka.topic-configs": "fail"}),
        (with_config(TOPICS.parked, **SHORT), {}, {}),
        (lambda topic: msgspec.structs.replace(topic, behind=1, leaderless=1), {}, {}),
        (
            lambda topic: msgspec.structs.replace(topic, config=None),
            {"kafka.described": "warn"},
            {"kafka.described": "warn"},
        ),
    ],
)
async def test_each_worker_judges_the_topics_that_it_needs(
    there: Callable[..., None],
    changed: Callable[[Topic], Topic],
    tracker: dict[str, str],
    delivery: dict[str, str],
) -> None:
    there(changed)
    assert await found(of_tracker(TrackerSettings(dedupe_retention_s=14 * DAY_S), TOPICS)) == tracker
    assert await found(of_delivery(DeliverySettings(result_retention_s=15 * DAY_S), TOPICS)) == delivery


@pytest.mark.parametrize(
    ("change", "production"),
    [
        ({"replicas": 1}, {"kafka.replicas": "fail"}),
        ({"replicas": 2}, {"kafka.replicas": "warn"}),
        ({"config": {"min.insync.replicas": "1"}}, {"kafka.min-insync": "fail"}),
        ({"config": {"unclean.leader.election.enable": "true"}}, {"kafka.unclean-election": "fail"}),
    ],
)
async def test_copies_are_asked_for_in_production_only(
    there: Callable[..., None], change: dict[str, Any], production: dict[str, str]
) -> None:
    def changed(topic: Topic) -> Topic:
        config = {**(topic.config or {}), **change.get("config", {})}
        return msgspec.structs.replace(topic, **{**change, "config": config})

    there(changed)
    for profile, expected in (("production", production), ("development", {})):
        assert await found(of_tracker(TrackerSettings(profile=profile), TOPICS)) == expected
        assert await found(of_delivery(DeliverySettings(profile=profile), TOPICS)) == expected


def test_a_delivery_asks_all_three_systems_and_a_tracker_kafka() -> None:
    looks = of_delivery(DeliverySettings(), TOPICS)
    assert set(of_tracker(TrackerSettings(), TOPICS)) == {"Kafka"}
    asked: dict[str, Any] = dict(looks)
    assert asked["RabbitMQ"].func is rabbitmq.look
    assert asked["storage"].func is storage_check.look
