"""`brh doctor` asks real systems: a healthy installation, a broker with other limits, and nobody there.

So does each process of its own surroundings when it starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bridge.topology import ORPHANS, PAYLOADS, REJECTED
from streams.hardened import EXIT_SURROUNDINGS
from tests.support.own_broker import OwnBroker
from tests.support.world import World, free_port, until

SMALL_LIMITS = (
    "max_message_size = 1000000\nvm_memory_calculation_strategy = allocated\ndisk_free_limit.absolute = 1GB\n"
)


def doctor(env: Mapping[str, str], *arguments: str) -> tuple[int, dict[str, dict[str, str]], str]:
    """Exit code, checks by name, and all that was printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BRH_")}
    command = [sys.executable, "-c", "from streams.cli import main; main()", "doctor", "--json", *arguments]
    ran = subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, timeout=100, check=False)
    checks: list[dict[str, str]] = json.loads(ran.stdout)["checks"] if ran.stdout else []
    return ran.returncode, {check["name"]: check for check in checks}, ran.stdout + ran.stderr


def test_an_installation_that_works_has_nothing_to_do_but_for_what_one_machine_cannot_have(world: World) -> None:
    code, checks, _ = doctor(world.env, "--send-largest")
    assert code == 0, checks
    not_ok = {name: check["status"] for name, check in checks.items() if check["status"] != "ok"}
    assert not_ok == {
        "rabbitmq.consumer-timeout": "warn",
        "rabbitmq.replicas": "warn",
        "kafka.replicas": "warn",
        "storage.account": "warn",
        "trackers.tokens": "warn",
    }
    assert "268,435,456" in checks["rabbitmq.largest-message"]["detail"]


async def test_a_queue_of_somebody_elses_making_is_found(world: World) -> None:
    async with await aio_pika.connect(world.amqp_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(REJECTED)
        await channel.declare_queue(REJECTED, durable=True)
        code, checks, _ = doctor(world.env)
        await channel.queue_delete(REJECTED)
    world.provision()
    assert code == 1
    assert checks["rabbitmq.queue-arguments"]["detail"].startswith(REJECTED)
    assert PAYLOADS not in checks["rabbitmq.queue-arguments"]["detail"]


def test_another_number_of_partitions_is_found(world: World) -> None:
    code, checks, _ = doctor({**world.env, "BRH_PARTITIONS": "9"})
    assert code == 1
    assert checks["kafka.partitions"]["status"] == "fail"


def test_a_broker_that_takes_no_large_messages_and_cuts_slow_consumers_off_is_found(
    world: World, tmp_path: Path
) -> None:
    broker = OwnBroker(tmp_path / "broker", SMALL_LIMITS)
    broker.up()
    try:
        code, checks, _ = doctor({**world.env, **broker.env}, "--send-largest")
    finally:
        broker.down()
    assert code == 1
    failed = {name for name, check in checks.items() if check["status"] == "fail"}
    assert failed == {"rabbitmq.queues", "rabbitmq.send-timeout", "rabbitmq.largest-message"}


@pytest.mark.parametrize("system", ["rabbitmq", "kafka", "storage"])
def test_who_is_not_there_is_named_and_the_others_are_looked_at_all_the_same(world: World, system: str) -> None:
    port = free_port()
    secret = "c2VjcmV0c2VjcmV0"
    away: dict[str, dict[str, Any]] = {
        "rabbitmq": {"BRH_AMQP_URL": f"amqp://me:{secret}@127.0.0.1:{port}/"},
        "kafka": {"BRH_KAFKA_BOOTSTRAP": f"127.0.0.1:{port}"},
        "storage": {
            "BRH_BLOB_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName=me;AccountKey={secret};"
            f"BlobEndpoint=http://127.0.0.1:{port}/me;"
        },
    }
    code, checks, printed = doctor({**world.env, **away[system]})
    answers = {name: check["status"] for name, check in checks.items() if name.endswith(".answers")}
    assert answers == {
        f"{each}.answers": "fail" if each == system else "ok" for each in ("rabbitmq", "kafka", "storage")
    }
    assert code == 4
    assert secret not in printed


@contextmanager
def one_process(env: Mapping[str, str], log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the product, without a supervisor that starts it again."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BRH_")}
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-m", *command], env={**clean, **env}, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def unsuited(log: Path) -> dict[str, str]:
    """What it warned of, by check."""
    return {line["check"]: line["found"] for line in lines(log) if line["event"] == "surroundings do not suit"}


TRACKER = ("faust", "--quiet", "-A", "streams.app", "worker")
DELIVERY = ("faust", "--quiet", "-A", "streams.delivery", "worker")


async def test_a_tracker_whose_table_would_lose_rows_warns_and_in_production_it_does_not_start(
    stack_env: dict[str, str], tmp_path: Path
) -> None:
    world = World(stack_env, tmp_path, env={"BRH_LOG_FORMAT": "json"})
    world.provision()
    changelog = f"{world.topics.tracker_group}-receipts-changelog"
    try:
        await alter(world, changelog, {"cleanup.policy": "delete", "max.message.bytes": "8388608"})
        wrong = f"{changelog} has cleanup.policy = delete, not compact"

        with one_process(world.env, tmp_path / "default.log", *TRACKER) as tracker:
            until(lambda: world.get("/readyz")[0] == 200, 60, f"it is ready; see {tmp_path}")
            until(lambda: unsuited(tmp_path / "default.log"), 20, f"it has looked around; see {tmp_path}")
            assert tracker.poll() is None
        assert unsuited(tmp_path / "default.log") == {"kafka.topic-configs": wrong}

        production = {
            name: value for name, value in world.env.items() if not name.startswith(("BRH_BLOB", "BRH_RABBITMQ"))
        } | {"BRH_PROFILE": "production", "BRH_REPLICATION_FACTOR": "2"}
        with one_process(production, tmp_path / "production.log", *TRACKER) as tracker:
            assert tracker.wait(60) == EXIT_SURROUNDINGS
        said = [line["event"] for line in lines(tmp_path / "production.log") if line["level"] == "critical"]
        assert len(said) == 1
        assert "BRH_PROFILE=production refuses to start" in said[0]
        assert f"kafka.topic-configs: {wrong}. Alter these configs with kafka-configs" in said[0]
        assert "kafka.replicas: some topics have only 1" in said[0]
    finally:
        world.stop()


async def test_a_delivery_and_a_bridge_say_at_their_start_what_they_lack(
    stack_env: dict[str, str], tmp_path: Path
) -> None:
    world = World(stack_env, tmp_path, env={"BRH_LOG_FORMAT": "json"})
    world.provision()
    try:
        async with await aio_pika.connect(world.amqp_url) as connection, connection.channel() as channel:
            await channel.queue_delete(ORPHANS)
        env = {**world.env, "BRH_BLOB_CONTAINER": f"{world.name}x", "BRH_RESULT_RETENTION_S": "1296001"}
        found = {"rabbitmq.queues": f"{ORPHANS} is missing", "storage.writing": f"there is no container {world.name}x"}
        for name, command, expected in (
            ("delivery", DELIVERY, found),
            ("bridge", ("bridge",), {"storage.writing": found["storage.writing"]}),
        ):
            log = tmp_path / f"{name}.log"
            with one_process(env, log, *command):
                until(
                    lambda log=log: "surroundings were checked" in log.read_text(), 60, f"{name} has looked; see {log}"
                )
            assert unsuited(log) == expected
    finally:
        world.stop()


async def alter(world: World, topic: str, config: dict[str, str]) -> None:
    """All configs of a topic that are not the broker's defaults."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await admin.start()
    try:
        answer = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=config)])
        assert [code for each in answer for code, *_ in each.resources] == [0]
    finally:
        await admin.close()
