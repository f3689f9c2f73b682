"""RabbitMQ: its limits, its queues, and who may reach it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import aio_pika
from aio_pika.exceptions import AMQPError
from yarl import URL

from bridge.amqp_address import AmqpAddress
from bridge.amqp_connection import LaneClosed
from bridge.binds import is_loopback
from bridge.broker_check import ANSWER_TIMEOUT_S, CONF, all_there, ask, held, slow_consumers
from bridge.check import Check, fail, joined, ok, warn
from bridge.layout import MIB
from bridge.publishing import NotTaken, Publishing
from bridge.settings import AmqpSettings, BridgeSettings
from bridge.topology import INBOUND_EXCHANGE, NOTIFICATIONS, ORPHANS, OUTBOUND_EXCHANGE, QUEUES, missing

LARGEST_TIMEOUT_S: Final = 300.0
"""For a message as large as a payload may be: 1 MB/s at least."""
VERSION_MIN: Final = (3, 10)
NOWHERE: Final = "doctor.nowhere"
"""A routing key that no binding of ours matches."""

_ANSWERED: Final = "rabbitmq.answers"
_LARGEST: Final = "rabbitmq.largest-message"


async def examine(settings: AmqpSettings, bridge: BridgeSettings, *, send_largest: bool) -> list[Check]:
    """Everything about RabbitMQ. `send_largest` sends one message of the largest payload's size to nowhere."""
    url = settings.amqp_url.get_secret_value()
    checks = access(url)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), await aio_pika.connect(url) as connection, connection.channel():
            pass
    except (AMQPError, OSError, TimeoutError) as error:
        remedy = "Check that it runs, and that BRH_AMQP_URL is right."
        return [fail(_ANSWERED, f"RabbitMQ does not let us in: {_said(error)}", remedy), *checks]
    checks.insert(0, ok(_ANSWERED, "it lets us in"))
    checks += await _asked(settings, AmqpAddress.parse(settings.amqp_url).vhost, bridge.hold_max_s)
    size = bridge.payload_max_bytes
    if send_largest:
        checks.append(await _largest(settings, size))
    else:
        detail = f"not tried: whether it takes a message of {size:,} bytes cannot be read anywhere"
        remedy = "Run `brh doctor --send-largest`, which sends one message of that size to nowhere."
        checks.append(warn(_LARGEST, detail, remedy))
    return checks


async def look(settings: AmqpSettings) -> list[Check]:
    """What a delivery needs of RabbitMQ. Raises AMQPError, OSError."""
    async with await aio_pika.connect(settings.amqp_url.get_secret_value()) as connection:
        return [all_there(await missing(connection, {OUTBOUND_EXCHANGE}, {ORPHANS, NOTIFICATIONS}))]


def access(url: str) -> list[Check]:
    """Whether the connection is one for production."""
    address = URL(url)
    local = is_loopback(address.host or "")
    encrypted = address.scheme == "amqps" or local
    known = address.user in (None, "guest") and address.password in (None, "guest")
    return [
        ok("rabbitmq.encrypted", "amqps" if address.scheme == "amqps" else "loopback")
        if encrypted
        else warn(
            "rabbitmq.encrypted", "the connection leaves this machine in the clear", "Use amqps:// in BRH_AMQP_URL."
        ),
        warn("rabbitmq.password", "user and password are guest's", "Give every process a user of its own.")
        if known
        else ok("rabbitmq.password", "not the default one"),
    ]


def version(overview: Mapping[str, Any]) -> Check:
    """At least the oldest that has what we use."""
    text = str(overview.get("rabbitmq_version", ""))
    parts = text.split(".")
    known = len(parts) > 1 and all(part.isdecimal() for part in parts[:2])
    if known and (int(parts[0]), int(parts[1])) >= VERSION_MIN:
        return ok("rabbitmq.version", text)
    oldest = ".".join(map(str, VERSION_MIN))
    return fail("rabbitmq.version", f"version {text or 'unknown'}", f"Use RabbitMQ {oldest} or later.")


def queues(found: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """What `brh setup` declares, against what is there."""
    there = {str(queue.get("name")): queue for queue in found}
    yield all_there(queue.name for queue in QUEUES if queue.name not in there)
    if not (ours := [(there[queue.name], queue.arguments) for queue in QUEUES if queue.name in there]):
        return
    yield joined(
        "rabbitmq.queue-arguments",
        "quorum queues with a delivery limit, dead-lettering at least once",
        (text for queue, wanted in ours if (text := _differing(queue, wanted))),
        "Move its messages, remove the queue, and run `brh setup`: RabbitMQ does not change what is there.",
    )
    yield joined(
        "rabbitmq.queue-members",
        "every queue has a majority",
        (
            f"{queue['name']} has {_online(queue)} of {_members(queue)} members"
            for queue, _ in ours
            if _online(queue) <= _members(queue) // 2
        ),
        "Start the nodes that are down.",
    )
    single = sum(_members(queue) <= 1 for queue, _ in ours)
    yield joined(
        "rabbitmq.replicas",
        "every queue has several members",
        [f"{single} queues have one member: what is in them is lost with its node"] if single else [],
        "Run three nodes outside development, and `rabbitmq-queues grow` what was declared before.",
        status="warn",
    )


def _differing(queue: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    arguments = queue.get("arguments") or {}
    names = [name for name, value in wanted.items() if arguments.get(name) != value]
    if not queue.get("durable", True):
        names.append("durability")
    return f"{queue['name']} differs in {', '.join(names)}" if names else ""


def _members(queue: Mapping[str, Any]) -> int:
    return len(queue.get("members") or (queue.get("node"),))


def _online(queue: Mapping[str, Any]) -> int:
    return len(queue.get("online") or (queue.get("node"),))


async def _asked(settings: AmqpSettings, vhost: str, hold_max_s: float) -> list[Check]:
    told = await ask(settings.rabbitmq_management_url, vhost)
    if isinstance(told, Check):
        return [told]
    overview, found = told
    return [version(overview), slow_consumers(overview), held(hold_max_s, found), *queues(found)]


async def _largest(settings: AmqpSettings, size: int) -> Check:
    try:
        async with asyncio.timeout(LARGEST_TIMEOUT_S):
            await _send_nowhere(AmqpAddress.parse(settings.amqp_url), size)
    except NotTaken:
        return ok(_LARGEST, f"it takes a message of {size:,} bytes")
    except LaneClosed as error:
        detail = f"it does not take a message of {size:,} bytes: {error}"
        return fail(_LARGEST, detail, f"Set max_message_size = 314572800 and restart it. {CONF}")
    except (OSError, TimeoutError) as error:
        return warn(_LARGEST, f"a message of {size:,} bytes did not arrive: {_said(error)}", "Try again.")
    return warn(
        _LARGEST, f"a binding matches {NOWHERE}, and the message went there", f"Look who binds to {INBOUND_EXCHANGE}."
    )


async def _send_nowhere(address: AmqpAddress, size: int) -> None:
    """Raises NotTaken when it was taken, and returned because nobody wants it."""
    room = asyncio.Event()
    connection = await Publishing.open(address, "brh doctor", room.set)
    gone = asyncio.create_task(connection.wait_gone())
    gone.add_done_callback(lambda _: room.set())
    try:
        connection.begin(INBOUND_EXCHANGE, NOWHERE, b"\0\0", size)
        piece = memoryview(bytes(MIB))
        for start in range(0, size, MIB):
            connection.write(piece[: min(MIB, size - start)])
            if connection.full:
                room.clear()
                await room.wait()
        await connection.confirmed()
    finally:
        connection.abort("the doctor is done")
        await gone


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
