"""What the doctor makes of what it is told: each finding is made by the answer that it is for, and by no other."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from bridge import broker_check, storage_check
from bridge.check import Check
from bridge.topology import CONSUMED, DELIVERY_LIMIT, PAYLOADS, QUEUES
from streams.doctor import here, kafka, kafka_clock, rabbitmq, storage
from streams.doctor.kafka_clock import Stamps
from streams.doctor.kafka_topics import Topic
from streams.doctor.storage import Account
from streams.settings import ClientSettings
from streams.topics import Topics

TOPICS = Topics("brh", 8)
DAY_S = 86_400.0


def not_ok(checks: Iterable[Check]) -> dict[str, str]:
    """Findings, by name."""
    return {check.name: check.status for check in checks if check.status != "ok"}


# RabbitMQ


def queue(name: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
    nodes = ["a", "b", "c"]
    return {"name": name, "arguments": arguments, "durable": True, "members": nodes, "online": nodes, **more}


def all_queues(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    """As `brh setup` declares them on three nodes; `changed` by name, with _ for dots."""
    return [{**queue(each.name, each.arguments), **changed.get(each.name.replace(".", "_"), {})} for each in QUEUES]


def test_queues_as_they_should_be_are_fine() -> None:
    assert not_ok(rabbitmq.queues(all_queues())) == {}


PAYLOAD_ARGUMENTS = next(each.arguments for each in QUEUES if each.name == PAYLOADS)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"arguments": {}}, {"rabbitmq.queue-arguments": "fail"}),
        ({"arguments": {**PAYLOAD_ARGUMENTS, "x-delivery-limit": 3}}, {"rabbitmq.queue-arguments": "fail"}),
        ({"arguments": {**PAYLOAD_ARGUMENTS, "x-queue-type": "classic"}}, {"rabbitmq.queue-arguments": "fail"}),
        ({"durable": False}, {"rabbitmq.queue-arguments": "fail"}),
        ({"online": ["a"]}, {"rabbitmq.queue-members": "fail"}),
        ({"online": ["a", "b"]}, {}),
        ({"members": ["a"], "online": ["a"]}, {"rabbitmq.replicas": "warn"}),
        ({"name": "other"}, {"rabbitmq.queues": "fail"}),
    ],
)
def test_a_queue_that_differs_is_found(change: dict[str, Any], found: dict[str, str]) -> None:
    assert not_ok(rabbitmq.queues(all_queues(brh_payloads=change))) == found


def test_what_is_missing_is_said_once_and_nothing_is_said_of_it_besides() -> None:
    checks = list(rabbitmq.queues([]))
    assert [check.name for check in checks] == ["rabbitmq.queues"]
    assert all(each.name in checks[0].detail for each in QUEUES)
    assert DELIVERY_LIMIT > 0


def policies(milliseconds: int) -> dict[str, Any]:
    """All queues that bridges read with a limit."""
    limited = {"effective_policy_definition": {"consumer-timeout": milliseconds}}
    return {name.replace(".", "_"): limited for name in CONSUMED}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"brh_payloads": {"arguments": {"x-consumer-timeout": 900_000}}}, "fail"),
        ({"brh_payloads": {"effective_policy_definition": {"consumer-timeout": 1_259_999}}}, "fail"),
        (policies(1_259_999), "fail"),
        (policies(1_260_000), "ok"),
        (policies(1_260_000) | {"brh_payloads": {}}, "warn"),
        ({}, "warn"),
        (policies(1_260_000) | {"brh_rejected": {"arguments": {"x-consumer-timeout": 1}}}, "ok"),
    ],
)
def test_a_delivery_is_not_held_for_longer_than_its_queue_is_known_to_wait(
    changes: dict[str, Any], status: str
) -> None:
    check = broker_check.held(1_200, all_queues(**changes))
    assert check.status == status
    assert ("not known" in check.detail) is (status == "warn")


def test_of_queues_that_are_not_there_nobody_knows_how_long_they_wait() -> None:
    assert broker_check.held(1_200, []).status == "warn"


@pytest.mark.parametrize(
    ("text", "right"),
    [("3.10.8", True), ("4.1.0", True), ("3.9.29", False), ("", False), ("unknown", False), ("3.13", True)],
)
def test_the_version_is_compared_as_numbers(text: str, right: bool) -> None:
    assert (rabbitmq.version({"rabbitmq_version": text}).status == "ok") is right


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("amqp://me:secret@127.0.0.1/", {}),
        ("amqps://me:secret@rabbit.example/", {}),
        ("amqp://me:secret@rabbit.example/", {"rabbitmq.encrypted": "warn"}),
        ("amqp://127.0.0.1/", {"rabbitmq.password": "warn"}),
        ("amqps://guest:guest@rabbit.example/", {"rabbitmq.password": "warn"}),
    ],
)
def test_how_rabbitmq_is_reached(url: str, found: dict[str, str]) -> None:
    checks = rabbitmq.access(url)
    assert not_ok(checks) == found
    assert "secret" not in repr(checks)


def test_a_listener_that_cuts_slow_consumers_off_is_named() -> None:
    listener = {"protocol": "amqp", "ip_address": "10.0.0.1", "port": 5672, "socket_opts": {"send_timeout": 15_000}}
    check = broker_check.slow_consumers({"listeners": [listener]})
    assert check.status == "fail"
    assert "10.0.0.1:5672" in check.detail


# Kafka


def topics(**changes: Any) -> list[Topic]:
    """As `brh setup` makes them on three brokers; the first one with changes."""
    config = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
    made = [
        Topic(name=spec.name, partitions=spec.partitions, replicas=3, config={**spec.config, **config})
        for spec in TOPICS.specs()
    ]
    changed = {**changes, "config": {**made[0].config, **changes.get("config", {})}}
    return [msgspec.structs.replace(made[0], **changed), *made[1:]]


def test_topics_as_they_should_be_are_fine() -> None:
    assert not_ok(kafka.judge(TOPICS, topics(), 14 * DAY_S)) == {}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"partitions": 9}, {"kafka.partitions": "fail"}),
        ({"replicas": 1}, {"kafka.replicas": "warn"}),
        ({"leaderless": 1}, {"kafka.leaders": "fail"}),
        ({"behind": 1}, {"kafka.in-sync": "warn"}),
        ({"config": {"min.insync.replicas": "1"}}, {"kafka.min-insync": "fail"}),
        ({"config": {"unclean.leader.election.enable": "true"}}, {"kafka.unclean-election": "fail"}),
        ({"config": {"max.message.bytes": "1048588"}}, {"kafka.topic-configs": "fail"}),
        ({"config": {"max.message.bytes": "99999999"}}, {}),
        ({"config": {"message.timestamp.type": "CreateTime"}}, {"kafka.topic-configs": "fail"}),
        ({"config": {"cleanup.policy": "compact"}}, {"kafka.topic-configs": "fail"}),
        ({"config": {"retention.ms": "3600000"}}, {"kafka.topic-configs": "fail", "kafka.awaiting": "fail"}),
        ({"config": {"retention.ms": "518400000"}}, {"kafka.topic-configs": "fail"}),
        ({"config": {"retention.ms": "-1"}}, {"kafka.retention": "fail"}),
        ({"config": {"retention.ms": "9999999999"}}, {"kafka.retention": "fail"}),
    ],
)
def test_a_topic_that_differs_is_found(changes: dict[str, Any], found: dict[str, str]) -> None:
    assert not_ok(kafka.judge(TOPICS, topics(**changes), 14 * DAY_S)) == found


def test_transactions_that_are_forgotten_before_their_events_are_found() -> None:
    assert not_ok(kafka.judge(TOPICS, topics(), 14 * DAY_S - 1)) == {"kafka.retention": "fail"}


@pytest.mark.parametrize(("replicas", "status"), [(1, "fail"), (2, "warn"), (3, "ok")])
def test_production_takes_no_topic_without_a_copy(replicas: int, status: str) -> None:
    checks = {check.name: check for check in kafka.judge(TOPICS, topics(replicas=replicas), 14 * DAY_S, "production")}
    assert checks["kafka.replicas"].status == status


def test_of_configs_that_may_not_be_asked_for_nothing_is_said_but_that() -> None:
    unknown = [msgspec.structs.replace(topic, config=None) for topic in topics()]
    checks = list(kafka.judge(TOPICS, unknown, 14 * DAY_S))
    assert not_ok(checks) == {"kafka.described": "warn"}
    said = {check.name for check in checks}
    assert not said & {"kafka.topic-configs", "kafka.min-insync", "kafka.unclean-election", "kafka.retention"}
    known = [*topics(config={"cleanup.policy": "compact"})[:1], *unknown[1:]]
    assert not_ok(kafka.judge(TOPICS, known, 14 * DAY_S)) == {
        "kafka.described": "warn",
        "kafka.topic-configs": "fail",
    }


@pytest.mark.parametrize(
    ("retention_ms", "results_s", "right"),
    [("1209600000", 0, True), ("1209600000", 15 * DAY_S, True), ("1209600001", 15 * DAY_S, False), ("-1", 1e9, False)],
)
def test_results_are_kept_for_a_day_longer_than_events(retention_ms: str, results_s: float, right: bool) -> None:
    events = topics(config={"retention.ms": retention_ms})[0]
    assert (kafka.results_outlast(events, results_s).status == "ok") is right


@pytest.mark.parametrize(
    ("fresh", "ahead", "status", "said"),
    [
        (8, 0, "ok", "no broker is 5 s ahead of our clock, or 20 s behind"),
        (8, 1, "warn", "1 of 8 partitions"),
        (7, 0, "warn", "not known: nothing in 1 of 8 partitions"),
        (0, 0, "warn", "not known: nothing in 8 of 8 partitions"),
        (0, 8, "warn", "8 of 8 partitions"),
    ],
)
def test_the_brokers_clocks_are_known_by_what_they_stamped(fresh: int, ahead: int, status: str, said: str) -> None:
    check = kafka_clock.judge(Stamps(partitions=8, fresh=fresh, ahead=ahead, fresh_s=20))
    assert check.status == status
    assert check.detail.startswith(said)


def test_topics_that_are_missing_are_found() -> None:
    assert not_ok(kafka.judge(TOPICS, topics()[1:], 14 * DAY_S)) == {"kafka.topics": "fail"}
    assert [check.name for check in kafka.judge(TOPICS, [], 14 * DAY_S)] == ["kafka.topics"]


@pytest.mark.parametrize(
    ("protocol", "bootstrap", "right"),
    [
        ("PLAINTEXT", "127.0.0.1:9092,[::1]:9092", True),
        ("PLAINTEXT", "127.0.0.1:9092,kafka.example:9092", False),
        ("SASL_PLAINTEXT", "kafka.example:9092", False),
        ("SASL_SSL", "kafka.example:9092", True),
        ("SSL", "kafka.example:9092", True),
    ],
)
def test_how_kafka_is_reached(protocol: str, bootstrap: str, right: bool) -> None:
    assert (kafka.encrypted(protocol, bootstrap).status == "ok") is right


# Storage

ACCOUNT = Account(
    url="https://me.blob.core.windows.net", container="results", exists=True, versioned=False, soft_delete_days=0
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {}),
        ({"writing": "AuthorizationPermissionMismatch"}, {"storage.writing": "warn"}),
        ({"writing": "ServerBusy"}, {"storage.writing": "warn"}),
        ({"versioned": None, "soft_delete_days": None}, {}),
        ({"exists": False}, {"storage.container": "fail"}),
        ({"public": "blob"}, {"storage.container": "fail"}),
        ({"versioned": True}, {"storage.versioning": "warn"}),
        ({"soft_delete_days": 7}, {"storage.soft-delete": "warn"}),
        ({"skew": timedelta(seconds=6)}, {"storage.clock": "warn"}),
        ({"skew": timedelta(minutes=-15)}, {"storage.clock": "fail"}),
        ({"url": "http://me.blob.core.windows.net"}, {"storage.encrypted": "fail"}),
        ({"url": "http://127.0.0.1:10000/devstoreaccount1"}, {"storage.account": "warn"}),
    ],
)
def test_an_account_that_differs_is_found(changes: dict[str, Any], found: dict[str, str]) -> None:
    there = not_ok(storage.judge(msgspec.structs.replace(ACCOUNT, **changes)))
    assert there.pop("storage.lifecycle", None) == (None if "storage.account" in found else "warn"), "nobody tells it"
    assert there == found


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("InvalidBlockList", "ok"),
        ("AuthorizationPermissionMismatch", "fail"),
        ("InsufficientAccountPermissions", "fail"),
        ("ContainerNotFound", "fail"),
        ("AuthenticationFailed", "warn"),
        ("503", "warn"),
        ("success", "warn"),
    ],
)
def test_who_has_to_write_is_wrong_only_where_azure_says_so(answer: str, status: str) -> None:
    assert storage_check.writing(answer, "results").status == status


def test_a_version_of_the_interface_that_the_service_does_not_have_is_not_taken_for_a_closed_door() -> None:
    check = storage.refused("InvalidHeaderValue", "2099-01-01")
    assert (check.name, check.status) == ("storage.api-version", "fail")
    assert "2099-01-01" in check.detail
    assert storage.refused("AuthenticationFailed", "2026-06-06").name == "storage.answers"


# Here


def test_another_package_with_one_of_our_names_is_found() -> None:
    ours = {name: ["big-result-handler"] for name in here.PACKAGES}
    assert here.packages(ours).status == "ok"
    assert here.packages({**ours, "tables": ["tables", "big_result_handler"]}).detail == "tables is also tables's"
    assert here.packages().status == "ok", "and this environment is clean"


def test_another_release_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert here.same_version({"version": "0.0.1"}).status == "warn"
    assert here.same_version({"version": here.version(here.DISTRIBUTION)}).status == "ok"


def test_who_asks_without_a_token_is_told_what_that_means() -> None:
    assert here.tokens(ClientSettings()).status == "warn"
    assert here.tokens(ClientSettings(api_read_token="t")).status == "ok"
    assert here.tokens(ClientSettings(api_url="http://tracker.example:6066")).status == "ok"


def test_every_finding_has_a_remedy() -> None:
    worst = [
        *rabbitmq.queues(all_queues(brh_payloads={"arguments": {}, "online": [], "members": ["a"]})),
        *rabbitmq.access("amqp://rabbit.example/"),
        *kafka.judge(TOPICS, topics(partitions=1, replicas=1, leaderless=1, behind=1), 0),
        *storage.judge(msgspec.structs.replace(ACCOUNT, exists=False, versioned=True, soft_delete_days=1)),
        broker_check.held(1_200, all_queues()),
        kafka_clock.judge(Stamps(partitions=1, fresh=0, ahead=0, fresh_s=20)),
    ]
    assert len(not_ok(worst)) > 10
    assert all(bool(check.remedy) == (check.status != "ok") for check in worst)
