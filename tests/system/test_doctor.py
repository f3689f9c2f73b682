"""`brh doctor` asks real systems: a healthy installation, a broker with other limits, and nobody there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from bridge.topology import PAYLOADS, REJECTED
from tests.support.own_broker import OwnBroker
from tests.support.world import World, free_port

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
