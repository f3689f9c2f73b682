"""A whole installation whose users may do with Kafka what ops/kafka-acls.sh allows, and no more."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    for_code,
)

from bridge.kafka_access import client_options
from streams.settings import ClientSettings
from streams.supervisor import Child, children
from streams.topics import Topics
from tests.support.certificates import Authority
from tests.support.outside import Chunks, assert_result, publish
from tests.support.secure_kafka import SecureKafka
from tests.support.world import World

SCRIPT = Path(__file__).parents[2] / "ops" / "kafka-acls.sh"
ROLES = ("setup", "bridge", "tracker", "delivery", "consumer", "operator")
ENDED_S = 60
ANSWER_S = 20
Act = Callable[["Installation", dict[str, Any]], Awaitable[None]]


class Installation(NamedTuple):
    """Processes and people with users of their own."""

    world: World
    passwords: dict[str, str]

    def own(self, role: str) -> dict[str, str]:
        """The settings of one of them."""
        user = f"{self.world.name}-{role}"
        return {
            **self.world.env,
            "BRH_KAFKA_SECURITY_USER": user,
            "BRH_KAFKA_SECURITY_PASSWORD": self.passwords[user],
        }

    def brh(self, role: str, *arguments: str) -> tuple[int, str]:
        """Exit code, and all that was printed."""
        command = [sys.executable, "-c", "from streams.cli import main; main()", *arguments]
        env = {**os.environ, **self.own(role)}
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=ENDED_S, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    def options(self, role: str) -> dict[str, Any]:
        """Arguments of a client of Kafka."""
        own = self.own(role)
        return client_options(ClientSettings(**{n.removeprefix("BRH_").lower(): value for n, value in own.items()}))


@pytest.fixture(scope="module")
def here(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Shared: each test uses a transaction of its own."""
    folder = tmp_path_factory.mktemp("acls")
    authority = Authority(folder / "authority")
    world = World(stack_env, folder / "world")
    passwords = {f"{world.name}-{role}": uuid4().hex for role in ROLES}
    kafka = SecureKafka(folder / "kafka", authority, passwords, authorizer=True)
    world.env |= {
        "BRH_KAFKA_BOOTSTRAP": kafka.scram,
        "BRH_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "BRH_KAFKA_SECURITY_CA_FILE": str(authority.certificate),
    }
    made = Installation(world, passwords)
    kafka.up()
    try:
        allow = f"{sys.executable} -m tests.support.kafka_acls {kafka.node.bootstrap}"
        subprocess.run([SCRIPT, world.name], env={**os.environ, "KAFKA_ACLS": allow}, timeout=ENDED_S, check=True)
        world.virtual_host.make()
        code, printed = made.brh("setup", "setup")
        assert code == 0, printed
        started = children(1, 1, 1, env=world.env)
        world.run([Child(c.name, c.argv, made.own(c.name.partition("-")[0]) | _ports(c)) for c in started])
        world.wait_ready()
        yield made
    finally:
        world.stop()
        kafka.down()


def _ports(child: Child) -> dict[str, str]:
    """What tells one process from the others."""
    return {name: value for name, value in child.env.items() if name.endswith(("_BIND", "_ID"))}


def test_a_transaction_completes_and_an_operator_can_look_at_it(here: Installation) -> None:
    name = f"T-{uuid4().hex[:12]}"
    series = {"a": Chunks(name, [10, 300_000])}
    asyncio.run(publish(here.world, name, series))
    here.world.wait_state(name, ["Completed"])
    asyncio.run(assert_result(here.world, name, series))
    for arguments in (("replay", name), ("fsck", "--events"), ("doctor",)):
        code, printed = here.brh("operator", *arguments)
        assert code == 0, printed
    log = here.world.log.read_text()
    assert log.count("surroundings were checked") >= len(("bridge", "tracker", "delivery"))
    assert not re.search(r"kafka\.(asked|described)|may not ask", log), "each may ask for what it looks at"


async def test_a_consumer_reads_outcomes_in_a_group_of_its_own(here: Installation) -> None:
    await consume("outcomes", f"{here.world.name}-consumer-1")(here, here.options("consumer"))


def write(topic: str) -> Act:
    """Something that nobody could read, to a topic of the installation."""

    async def act(here: Installation, options: dict[str, Any]) -> None:
        # Not idempotent: whoever may write nowhere would be refused the number of a producer, before the record.
        producer = AIOKafkaProducer(**options, acks="all")
        try:
            await producer.start()
            async with asyncio.timeout(ANSWER_S):
                await producer.send_and_wait(named(here, topic), b"x", partition=0)
        finally:
            await producer.stop()

    return act


def read(topic: str) -> Act:
    """From the beginning of a partition, by nobody's group."""

    async def act(here: Installation, options: dict[str, Any]) -> None:
        consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="none")
        try:
            await consumer.start()
            at = TopicPartition(named(here, topic), 0)
            consumer.assign([at])
            consumer.seek(at, 0)
            async with asyncio.timeout(ANSWER_S):
                await consumer.getmany(at, timeout_ms=2_000)
        finally:
            await consumer.stop()

    return act


def consume(topic: str, group: str) -> Act:
    """Join a group, and leave it."""

    async def act(here: Installation, options: dict[str, Any]) -> None:
        own = AIOKafkaConsumer(
            named(here, topic), **options, group_id=group.format(here.world.name), enable_auto_commit=False
        )
        try:
            async with asyncio.timeout(ANSWER_S):
                await own.start()
                while not own.assignment():
                    await own.getmany(timeout_ms=200)
        finally:
            await own.stop()

    return act


async def create(here: Installation, options: dict[str, Any]) -> None:
    """A topic that is none of ours."""
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(f"other-{uuid4().hex}", 1, 1)])
        ((_, code, *_),) = answer.topic_errors
        if code:
            raise for_code(code)
    finally:
        await admin.close()


def named(here: Installation, topic: str) -> str:
    topics = Topics(here.world.name, 1)
    return topics.specs()[4].name if topic == "receipts" else str(getattr(topics, topic))


REFUSED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError)


@pytest.mark.parametrize(
    ("role", "act"),
    [
        pytest.param("bridge", read("events"), id="bridge reads facts"),
        pytest.param("bridge", write("outcomes"), id="bridge tells an outcome"),
        pytest.param("bridge", write("deliveries"), id="bridge asks for a delivery"),
        pytest.param("tracker", write("outcomes"), id="tracker tells an outcome"),
        pytest.param("tracker", consume("events", "{}-delivery"), id="tracker joins the deliveries"),
        pytest.param("delivery", read("events"), id="delivery reads facts"),
        pytest.param("delivery", write("receipts"), id="delivery writes a table"),
        pytest.param("delivery", write("deliveries"), id="delivery asks for a delivery"),
        pytest.param("consumer", consume("events", "{}-consumer-1"), id="consumer reads facts"),
        pytest.param("consumer", write("outcomes"), id="consumer tells an outcome"),
        pytest.param("consumer", write("events"), id="consumer writes a fact"),
        pytest.param("consumer", consume("outcomes", "{}-tracker"), id="consumer joins the trackers"),
        pytest.param("operator", write("receipts"), id="operator writes a table"),
        pytest.param("operator", write("outcomes"), id="operator tells an outcome"),
        pytest.param("operator", create, id="operator creates a topic"),
        pytest.param("setup", create, id="setup creates what is not ours"),
        pytest.param("setup", read("outcomes"), id="setup reads outcomes"),
    ],
)
async def test_what_is_not_allowed_is_refused_by_the_broker(here: Installation, role: str, act: Act) -> None:
    with pytest.raises(KafkaError) as caught:
        await act(here, here.options(role))
    assert isinstance(caught.value, REFUSED), repr(caught.value)


async def test_nothing_is_refused_that_is_allowed(here: Installation) -> None:
    """The same acts by who may do them: a refusal above is one of the user, and not of the act."""
    await read("events")(here, here.options("operator"))
    await read("outcomes")(here, here.options("consumer"))
    await write("outcomes")(here, here.options("delivery"))
