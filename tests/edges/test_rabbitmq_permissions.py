"""A whole installation whose processes and people have the permissions of ops/rabbitmq-permissions.json, no more."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from streams.supervisor import children
from tests.support.outside import Chunks, assert_result, header_message, payload_message
from tests.support.roles import Roles
from tests.support.world import World, until

ENDED_S = 60
ANSWER_S = 20
Act = Callable[[AbstractChannel], Awaitable[Any]]


class Installation(NamedTuple):
    """Processes under users of their own."""

    world: World
    roles: Roles

    def brh(self, user: str, *arguments: str) -> tuple[int, str]:
        """Exit code of the command, run by a user, and all that was printed."""
        command = [sys.executable, "-c", "from streams.cli import main; main()", *arguments]
        management = self.roles.as_user(user, self.world.env["BRH_RABBITMQ_MANAGEMENT_URL"])
        own = {"BRH_AMQP_URL": self.roles.url(user), "BRH_RABBITMQ_MANAGEMENT_URL": management}
        env = {**os.environ, **self.world.env, **own}
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=ENDED_S, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    async def do(self, user: str, *acts: Act) -> list[Any]:
        """What a user does, each on a channel of its own; the first refusal is raised."""
        async with await aio_pika.connect(self.roles.url(user)) as connection:
            return [await act(await connection.channel(publisher_confirms=True, on_return_raises=True)) for act in acts]


@pytest.fixture(scope="module")
def here(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Shared: each test uses a transaction of its own."""
    world = World(stack_env, tmp_path_factory.mktemp("world"))
    world.virtual_host.make()
    made = Installation(world, Roles(world.virtual_host))
    made.roles.make()
    try:
        code, printed = made.brh("brh-setup", "setup")
        assert code == 0, printed
        world.run(made.roles.run_by(children(1, 1, 1, env=world.env)))
        world.wait_ready()
        yield made
    finally:
        world.stop()
        made.roles.drop()


def publish(exchange: str, key: str) -> Act:
    """Publish something that nobody would take for a message of ours."""

    async def act(channel: AbstractChannel) -> None:
        to = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        await to.publish(aio_pika.Message(b"x"), key, mandatory=False, timeout=ANSWER_S)

    return act


def read(queue: str) -> Act:
    """Ask for a message of a queue; there may be none."""

    async def act(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).get(fail=False, timeout=ANSWER_S)

    return act


def bind(exchange: str) -> Act:
    """Have whatever comes to an exchange come to a queue of our own."""

    async def act(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "#", timeout=ANSWER_S)

    return act


def declare(queue: str) -> Act:
    async def act(channel: AbstractChannel) -> None:
        await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"}, timeout=ANSWER_S)

    return act


def delete(queue: str) -> Act:
    async def act(channel: AbstractChannel) -> None:
        await channel.queue_delete(queue, timeout=ANSWER_S)

    return act


async def test_a_transaction_completes_and_everybody_hears_of_it_who_should(here: Installation) -> None:
    name = f"T-{uuid4().hex[:12]}"
    series = {"a": Chunks(name, [10, 300_000])}
    reply = f"reply.{name}"

    async def send(channel: AbstractChannel) -> None:
        await channel.declare_queue(reply, durable=True, arguments={"x-expires": 600_000})
        exchange = await channel.get_exchange("brh.in", ensure=False)
        await exchange.publish(header_message(name, {"series": [{"type": "a"}]}, reply_to=reply), "header.default")
        for ordinal, kind in ((1, "small"), (2, "payload")):
            body = series["a"].chunk(ordinal)
            await exchange.publish(payload_message(name, "a", ordinal, 2, body), f"{kind}.a")

    await here.do("brh-producer", send)
    await asyncio.to_thread(here.world.wait_state, name, ["Completed"])
    await assert_result(here.world, name, series)
    for user, queue in (("brh-producer", reply), ("brh-consumer", "brh.notifications")):
        await hear(here, user, queue, "brh.transaction.completed.v1", name)


async def test_a_refused_message_is_announced_shown_and_put_back(here: Installation) -> None:
    name = f"T-{uuid4().hex[:12]}"
    wrong = payload_message(name, "a", 1, 1, b"a body", brh_sha256="0" * 64)
    queue = f"outcomes.{name}"

    async def listen(channel: AbstractChannel) -> None:
        own = await channel.declare_queue(queue, durable=True, arguments={"x-expires": 600_000})
        await own.bind("brh.out", "message.rejected.#")

    async def send(channel: AbstractChannel) -> None:
        await (await channel.get_exchange("brh.in", ensure=False)).publish(wrong, "small.a")

    await here.do("brh-consumer", listen)
    await here.do("brh-producer", send)
    await hear(here, "brh-consumer", queue, "brh.message.rejected.v1", name)

    def listed() -> bool:
        code, printed = here.brh("brh-operator", "dlq", "list", "--json")
        assert code == 0, printed
        return name in printed

    await asyncio.to_thread(until, listed, ENDED_S, "the refused message is listed")
    code, printed = here.brh("brh-operator", "dlq", "redrive", "--transaction", name, "--force", "--json")
    assert (code, name in printed, '"putBack"' in printed) == (0, True, True), printed


def test_each_process_may_ask_for_what_it_looks_at_when_it_starts(here: Installation) -> None:
    log = here.world.log.read_text()
    assert log.count("surroundings were checked") >= len(("bridge", "tracker", "delivery"))
    assert "rabbitmq.asked" not in log
    assert "rabbitmq.queues" not in log


def test_an_operator_sees_what_the_doctor_looks_at(here: Installation) -> None:
    code, printed = here.brh("brh-operator", "doctor", "--json")
    checks = {each["name"]: each for each in json.loads(printed)["checks"] if each["name"].startswith("rabbitmq.")}
    assert {"rabbitmq.answers", "rabbitmq.queues", "rabbitmq.send-timeout"} <= checks.keys()
    assert [each for each in checks.values() if each["status"] == "fail"] == [], printed
    assert code == 0, printed


@pytest.mark.parametrize(
    ("user", "act"),
    [
        # The bridge takes messages in. It sees no outcome, and can tell of none.
        pytest.param("brh-bridge", read("brh.notifications"), id="bridge reads notifications"),
        pytest.param("brh-bridge", read("brh.rejected"), id="bridge reads what it refused"),
        pytest.param("brh-bridge", declare("spy"), id="bridge declares a queue"),
        pytest.param("brh-bridge", bind("brh.out"), id="bridge listens to outcomes"),
        pytest.param("brh-bridge", publish("brh.out", "transaction.completed.default"), id="bridge tells an outcome"),
        pytest.param("brh-bridge", publish("brh.in", "header.default"), id="bridge sends a header"),
        pytest.param("brh-bridge", publish("", "brh.notifications"), id="bridge goes round the exchange"),
        # The delivery tells outcomes. It sees no payload, and no message at all.
        *(
            pytest.param("brh-delivery", read(queue), id=f"delivery reads {queue}")
            for queue in ("brh.headers", "brh.payloads", "brh.payloads.small", "brh.rejected", "brh.notifications")
        ),
        pytest.param("brh-delivery", bind("brh.in"), id="delivery listens to payloads"),
        pytest.param("brh-delivery", publish("brh.in", "payload.a"), id="delivery sends a payload"),
        pytest.param("brh-delivery", publish("brh.out", "message.rejected.x"), id="delivery tells of a rejection"),
        # A producer sees nothing of what others send, and can tell nobody of an outcome.
        pytest.param("brh-producer", read("brh.payloads"), id="producer reads payloads"),
        pytest.param("brh-producer", read("brh.notifications"), id="producer reads notifications"),
        pytest.param("brh-producer", bind("brh.in"), id="producer listens to others"),
        pytest.param("brh-producer", bind("brh.out"), id="producer listens to outcomes"),
        pytest.param("brh-producer", publish("brh.out", "transaction.completed.default"), id="producer forges"),
        pytest.param("brh-producer", publish("", "brh.notifications"), id="producer goes round the exchange"),
        pytest.param("brh-producer", publish("brh.in", "other.key"), id="producer uses another key"),
        pytest.param("brh-producer", delete("brh.headers"), id="producer deletes a queue"),
        # A consumer hears outcomes. It can neither send nor see a payload.
        pytest.param("brh-consumer", read("brh.payloads.small"), id="consumer reads payloads"),
        pytest.param("brh-consumer", bind("brh.in"), id="consumer listens to payloads"),
        pytest.param("brh-consumer", publish("brh.out", "transaction.completed.default"), id="consumer forges"),
        pytest.param("brh-consumer", publish("brh.in", "header.default"), id="consumer sends a header"),
        # An operator sees what was put aside, and puts it back. He changes no queue, and takes none of its messages.
        pytest.param("brh-operator", read("brh.payloads"), id="operator reads payloads"),
        pytest.param("brh-operator", publish("brh.out", "transaction.completed.default"), id="operator forges"),
        pytest.param("brh-operator", delete("brh.rejected"), id="operator deletes a queue"),
        # Who installs has nothing to do with queues of others.
        pytest.param("brh-setup", declare("other"), id="setup declares what is not ours"),
    ],
)
async def test_what_is_not_allowed_is_refused_by_the_broker(here: Installation, user: str, act: Act) -> None:
    with pytest.raises(ChannelAccessRefused):
        await here.do(user, act)


async def test_nothing_is_refused_that_is_allowed(here: Installation) -> None:
    """The same acts by who may do them: a refusal above is one of the user, and not of the act."""
    await here.do("brh-operator", read("brh.rejected"), read("brh.orphans"), publish("brh.in", "nowhere"))
    await here.do("brh-consumer", bind("brh.out"), read("brh.notifications"))
    await here.do("brh-delivery", publish("brh.out", "transaction.x"), publish("", "nowhere"))
    await here.do("brh-bridge", publish("brh.out", "message.rejected.x"))


async def hear(here: Installation, user: str, queue: str, kind: str, transaction: str) -> None:
    """Until a user has read from a queue that something was said of a transaction."""

    async def act(channel: AbstractChannel) -> None:
        source = await channel.get_queue(queue, ensure=False)
        async with asyncio.timeout(ENDED_S), source.iterator(no_ack=True) as messages:
            async for message in messages:
                event = json.loads(message.body) if message.type == kind else {}
                if event.get("correlationid") == transaction:
                    return

    await here.do(user, act)
