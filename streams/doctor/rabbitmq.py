"""RabbitMQ: its limits, its queues, and who may reach it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import aio_pika
import aiohttp
from aio_pika.exceptions import AMQPError
from yarl import URL

from bridge.amqp_address import AmqpAddress
from bridge.amqp_connection import LaneClosed
from bridge.binds import is_loopback
from bridge.broker_check import SEND_TIMEOUT_MIN_S, short_send_timeouts
from bridge.layout import MIB
from bridge.publishing import NotTaken, Publishing
from bridge.settings import AmqpSettings, BridgeSettings
from bridge.topology import CONSUMED, INBOUND_EXCHANGE, QUEUES
from streams.doctor.check import Check, fail, joined, ok, warn

ANSWER_TIMEOUT_S: Final = 10.0
LARGEST_TIMEOUT_S: Final = 300.0
"""For a message as large as a payload may be: 1 MB/s at least."""
CONSUMER_TIMEOUT_DEFAULT_S: Final = 1_800
HELD_MARGIN_S: Final = 60
"""RabbitMQ looks once a minute who is late."""
VERSION_MIN: Final = (3, 10)
NOWHERE: Final = "doctor.nowhere"
"""A routing key that no binding of ours matches."""

_ANSWERED: Final = "rabbitmq.answers"
_LARGEST: Final = "rabbitmq.largest-message"
_CONF: Final = "Compare rabbitmq.conf with ops/rabbitmq.conf."


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


def held(hold_max_s: float, found: Sequence[Mapping[str, Any]]) -> Check:
    """How long a delivery is held, against how long RabbitMQ waits for its acknowledgement.

    The broker's own limit cannot be read; arguments and policies of queues, which may be shorter, can.
    """
    short = []
    for queue in found:
        if queue.get("name") in CONSUMED and (limit_s := _consumer_timeout_s(queue)) < hold_max_s + HELD_MARGIN_S:
            short.append(f"{queue['name']} waits for {limit_s:g} s")
    return joined(
        "rabbitmq.consumer-timeout",
        f"a delivery is held for up to {hold_max_s:g} s; a broker waits for {CONSUMER_TIMEOUT_DEFAULT_S} s unless "
        "consumer_timeout says something else",
        short,
        f"Set BRH_HOLD_MAX_S, which is {hold_max_s:g}, {HELD_MARGIN_S} s lower than that, or the queue's limit higher.",
    )


def _consumer_timeout_s(queue: Mapping[str, Any]) -> float:
    policy = queue.get("effective_policy_definition") or {}
    limits = ((queue.get("arguments") or {}).get("x-consumer-timeout"), policy.get("consumer-timeout"))
    return min((limit / 1_000 for limit in limits if limit is not None), default=CONSUMER_TIMEOUT_DEFAULT_S)


def version(overview: Mapping[str, Any]) -> Check:
    """At least the oldest that has what we use."""
    text = str(overview.get("rabbitmq_version", ""))
    parts = text.split(".")
    known = len(parts) > 1 and all(part.isdecimal() for part in parts[:2])
    if known and (int(parts[0]), int(parts[1])) >= VERSION_MIN:
        return ok("rabbitmq.version", text)
    oldest = ".".join(map(str, VERSION_MIN))
    return fail("rabbitmq.version", f"version {text or 'unknown'}", f"Use RabbitMQ {oldest} or later.")


def slow_consumers(overview: Mapping[str, Any]) -> Check:
    """Whether a large body may take its time."""
    short = short_send_timeouts(overview)
    return joined(
        "rabbitmq.send-timeout",
        f"a consumer may take {SEND_TIMEOUT_MIN_S} s and more for a message",
        (f"listener {listener} cuts a consumer off after {seconds:g} s" for listener, seconds in short.items()),
        f"Set tcp_listen_options.send_timeout = {SEND_TIMEOUT_MIN_S * 1_000}. {_CONF}",
    )


def queues(found: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """What `brh setup` declares, against what is there."""
    there = {str(queue.get("name")): queue for queue in found}
    missing = [queue.name for queue in QUEUES if queue.name not in there]
    yield joined("rabbitmq.queues", "all are there", (f"{name} is missing" for name in missing), "Run `brh setup`.")
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
    """By the management API."""
    if settings.rabbitmq_management_url is None:
        detail = "limits and queues were not looked at"
        return [warn("rabbitmq.management", detail, "Set BRH_RABBITMQ_MANAGEMENT_URL, with user and password.")]
    url = URL(settings.rabbitmq_management_url.get_secret_value())
    identity = {"Authorization": aiohttp.encode_basic_auth(url.user or "guest", url.password or "guest")}
    base = url.with_user(None).with_path("/api")
    try:
        async with aiohttp.ClientSession(
            headers=identity, timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S), raise_for_status=True
        ) as session:
            overview = await _json(session, str(base / "overview"))
            found = await _json(session, f"{base}/queues/{quote(vhost, safe='')}")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        detail = f"the management API does not answer: {_said(error)}"
        return [warn("rabbitmq.management", detail, "Check BRH_RABBITMQ_MANAGEMENT_URL and the tag of its user.")]
    return [version(overview), slow_consumers(overview), held(hold_max_s, found), *queues(found)]


async def _json(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(URL(url, encoded=True)) as answer:
        return await answer.json()


async def _largest(settings: AmqpSettings, size: int) -> Check:
    try:
        async with asyncio.timeout(LARGEST_TIMEOUT_S):
            await _send_nowhere(AmqpAddress.parse(settings.amqp_url), size)
    except NotTaken:
        return ok(_LARGEST, f"it takes a message of {size:,} bytes")
    except LaneClosed as error:
        detail = f"it does not take a message of {size:,} bytes: {error}"
        return fail(_LARGEST, detail, f"Set max_message_size = 314572800 and restart it. {_CONF}")
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
