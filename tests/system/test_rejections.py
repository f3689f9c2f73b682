"""Messages that break the contract, on the real stack: set aside whole, announced with their code, in nobody's way.

They are written byte by byte, because no client library sends all of what a queue can hold. One scenario is played
for the whole module: a good transaction and one that stays half-finished, with invalid messages of every kind between
their own, most of which name the half-finished one. The tests then look at what is left of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from bridge.contract.inbound import HEADER_MAX_BYTES, RejectionCode, is_transaction_id
from tests.rules.test_envelope import REFUSED_BODIES, REFUSED_HEADERS, REFUSED_PAYLOADS
from tests.support.outside import Chunks, assert_result, kafka_records
from tests.support.world import World, until

pytestmark = pytest.mark.timeout(240)

PAYLOAD_MAX_BYTES = 300_000
"""The limit of this installation, so that a payload above it is quickly sent."""
PROCESSES = ("bridge-1", "tracker-1", "delivery-1")
INTAKE = {"header": "brh.headers", "payload": "brh.payloads", "small": "brh.payloads.small"}
HEADER_OF_GOOD = json.dumps({"series": [{"type": "cashflows", "totalCount": 8}, {"type": "log"}]}).encode()
HEADER_OF_HALF = json.dumps({"series": [{"type": "cashflows", "totalCount": 3}]}).encode()
DEATH_HEADERS = [
    f"x-{which}-death-{what}".encode() for which in ("first", "last") for what in ("queue", "reason", "exchange")
]
OTHERS = {RejectionCode.RECORD_UNREADABLE}
"""It depends on what is in storage: see `tests/rules/test_versions.py`."""
TOO_LARGE = bytes(PAYLOAD_MAX_BYTES + 1)
Row = dict[str, Any]

# ---------------------------------------------------------------------------------------------------------------------
# AMQP as it is on the wire


def text(value: str) -> bytes:
    return raw_text(value.encode())


def raw_text(value: bytes) -> bytes:
    return b"S" + struct.pack(">I", len(value)) + value


def binary(value: bytes) -> bytes:
    return b"x" + struct.pack(">I", len(value)) + value


def integer(value: int, width: str = "l") -> bytes:
    formats = {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q"}
    return width.encode() + struct.pack(">" + formats[width], value)


def table(entries: Mapping[bytes, bytes]) -> bytes:
    content = b"".join(bytes([len(name)]) + name + value for name, value in entries.items())
    return b"F" + struct.pack(">I", len(content)) + content


def nested(levels: int) -> bytes:
    value = integer(1)
    for _ in range(levels):
        value = table({b"n": value})
    return value


def field_value(value: object) -> bytes:
    """A Python value in the AMQP type that stands for it. Raises struct.error when AMQP has no place for it."""
    match value:
        case bool():
            return b"t" + bytes([value])
        case int():
            return integer(value)
        case float():
            return b"d" + struct.pack(">d", value)
        case Decimal():
            return b"D" + struct.pack(">BI", 0, int(value))
        case datetime():
            return b"T" + struct.pack(">Q", int(value.timestamp()))
        case str():
            return text(value)
        case bytes():
            return binary(value)
        case dict():
            return table({name.encode(): field_value(each) for name, each in value.items()})
    raise TypeError(f"no AMQP type for {value!r}")


# In the order of their flags, from the highest bit.
PROPERTY_KINDS = {
    "content_type": "text",
    "content_encoding": "text",
    "headers": "table",
    "delivery_mode": "octet",
    "priority": "octet",
    "correlation_id": "text",
    "reply_to": "text",
    "expiration": "text",
    "message_id": "text",
    "timestamp": "timestamp",
    "type": "text",
    "user_id": "text",
    "app_id": "text",
    "cluster_id": "text",
}
FIXED_BYTES = {"t": 1, "b": 1, "B": 1, "s": 2, "u": 2, "I": 4, "i": 4, "l": 8, "f": 4, "d": 8, "D": 5, "T": 8, "V": 0}


def encode(properties: Mapping[str, Any]) -> bytes:
    flags, pieces = 0, []
    for bit, (name, kind) in enumerate(PROPERTY_KINDS.items()):
        if (value := properties.get(name)) is None:
            continue
        flags |= 1 << (15 - bit)
        match kind:
            case "table":
                pieces.append(table(value)[1:])
            case "octet":
                pieces.append(bytes([value]))
            case "timestamp":
                pieces.append(struct.pack(">Q", value))
            case _:
                pieces.append(bytes([len(value)]) + value)
    return struct.pack(">H", flags) + b"".join(pieces)


def decode(encoded: bytes) -> dict[str, Any]:
    """The inverse of `encode`; header values stay as they are on the wire, with the letter of their type."""
    (flags,) = struct.unpack_from(">H", encoded)
    at, properties = 2, {}
    for bit, (name, kind) in enumerate(PROPERTY_KINDS.items()):
        if not flags & 1 << (15 - bit):
            continue
        match kind:
            case "table":
                (size,) = struct.unpack_from(">I", encoded, at)
                properties[name] = entries(encoded[at + 4 : at + 4 + size])
                at += 4 + size
            case "octet":
                properties[name] = encoded[at]
                at += 1
            case "timestamp":
                (properties[name],) = struct.unpack_from(">Q", encoded, at)
                at += 8
            case _:
                properties[name] = encoded[at + 1 : at + 1 + encoded[at]]
                at += 1 + encoded[at]
    return properties


def entries(content: bytes) -> dict[bytes, bytes]:
    found, at = {}, 0
    while at < len(content):
        start = at + 1 + content[at]
        letter = chr(content[start])
        size = FIXED_BYTES[letter] if letter in FIXED_BYTES else 4 + struct.unpack_from(">I", content, start + 1)[0]
        found[content[at + 1 : start]] = content[start : start + 1 + size]
        at = start + 1 + size
    return found


class WireProperties(pika.BasicProperties):
    """Properties that are not interpreted, neither when sent nor when received."""

    def __init__(self, encoded: bytes = b"") -> None:
        super().__init__()
        self.encoded = encoded

    def encode(self) -> list[bytes]:
        return [self.encoded]

    def decode(self, encoded: bytes, offset: int = 0) -> WireProperties:
        self.encoded = encoded[offset:]
        return self


@pytest.fixture(scope="module", autouse=True)
def _wire_properties() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pika.spec.props, pika.BasicProperties.INDEX, WireProperties)
        yield


@contextmanager
def broker(world: World) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(world.amqp_url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        connection.close()


# ---------------------------------------------------------------------------------------------------------------------
# Messages


@dataclass(frozen=True)
class Wire:
    """A message as bytes; `routing_key` also says which queue it goes to."""

    name: str
    routing_key: str
    properties: Mapping[str, Any]
    body: bytes
    code: RejectionCode | None = None
    """None: it keeps the contract."""

    @property
    def queue(self) -> str:
        return INTAKE[self.routing_key.partition(".")[0]]


def payload(
    name: str,
    transaction: str,
    code: RejectionCode | None = None,
    *,
    body: bytes = bytes(10),
    routing_key: str = "small.cashflows",
    **changes: Any,
) -> Wire:
    """A good payload with some properties or (names from `brh_`) headers changed; None: absent."""
    headers = {"brh_series_type": text("cashflows"), "brh_ordinal": integer(2), "brh_total_count": integer(3)}
    headers |= {each: changes.pop(each) for each in list(changes) if each.startswith("brh_")}
    properties = {
        "type": b"brh.payload.v1",
        "headers": {each.encode(): value for each, value in headers.items() if value is not None},
    }
    return _message(name, transaction, code, routing_key, body, {**properties, **changes})


def header(
    name: str,
    transaction: str,
    code: RejectionCode | None = None,
    *,
    body: bytes = b'{"series": [{"type": "other"}]}',
    routing_key: str = "header.default",
    **changes: Any,
) -> Wire:
    """A good header with some properties changed; None: absent."""
    properties = {"type": b"brh.header.v1", "content_type": b"application/json"}
    return _message(name, transaction, code, routing_key, body, {**properties, **changes})


def _message(
    name: str, transaction: str, code: RejectionCode | None, routing_key: str, body: bytes, changes: dict[str, Any]
) -> Wire:
    properties = {
        "correlation_id": transaction.encode(),
        "delivery_mode": 2,
        "message_id": name.encode(errors="surrogateescape"),
        "app_id": b"a producer",
        **changes,
    }
    return Wire(name, routing_key, {each: value for each, value in properties.items() if value is not None}, body, code)


def invalid_by_the_rules(half: str) -> Iterator[Wire]:
    """The rows of the rules' own tests, as far as AMQP has a place for what is wrong with them."""
    for name, changes, code in REFUSED_PAYLOADS:
        size = changes.get("size", 10)
        try:
            headers = {
                each: value if value is None else field_value(value)
                for each, value in changes.items()
                if each.startswith("brh_")
            }
            properties = {
                each: property_value(value)
                for each, value in changes.items()
                if not each.startswith("brh_") and each not in ("size", "limit")
            }
        except (struct.error, UnicodeEncodeError, ValueError):
            continue
        if size <= PAYLOAD_MAX_BYTES and code is not RejectionCode.PAYLOAD_TOO_LARGE:
            yield payload(f"payload: {name}", half, code, body=bytes(size), **headers, **properties)
    for name, changes, code in REFUSED_HEADERS:
        body = changes.get("body", header("", half).body)
        try:
            properties = {each: property_value(value) for each, value in changes.items() if each != "body"}
        except (UnicodeEncodeError, ValueError):
            continue
        yield header(f"header: {name}", half, code, body=body, **properties)
    for name, content, code in REFUSED_BODIES:
        yield header(f"body: {name}", half, code, body=content if isinstance(content, bytes) else content.encode())


def property_value(value: str | bytes | None) -> bytes | None:
    """A short string. Raises ValueError for what cannot be one: AMQP knows no other type there."""
    if isinstance(value, bytes):
        raise ValueError("the same on the wire as a string")  # noqa: TRY004, as the other one
    encoded = value.encode() if value is not None else None
    if encoded is not None and len(encoded) > 255:
        raise ValueError("too long")
    return encoded


def invalid_on_the_wire(half: str) -> list[Wire]:
    """What only a raw client sends, or only a whole installation can judge."""
    code, not_utf8, latin = RejectionCode, raw_text(b"\xff"), "caf\u00e9".encode("latin-1")
    bad_ordinal = {"brh_ordinal": integer(0)}
    sha256 = hashlib.sha256(b"something else").hexdigest()
    ordinals = {
        "minus 1 in signed 8 bit": integer(-1, "b"),
        "255 in unsigned 8 bit": integer(255, "B"),
        "minus 2 in signed 16 bit": integer(-2, "s"),
        "65,535 in unsigned 16 bit": integer(65_535, "u"),
        "the least of signed 32 bit": integer(-(2**31), "I"),
        "the most of unsigned 32 bit": integer(2**32 - 1, "i"),
        "the least of signed 64 bit": integer(-(2**63)),
        "the most of signed 64 bit": integer(2**63 - 1),
        "0 in 8 bit": integer(0, "b"),
        "a float of 32 bit": b"f" + struct.pack(">f", 2.0),
        "a decimal with a scale": b"D" + struct.pack(">BI", 1, 20),
        "an array": b"A" + struct.pack(">I", 9) + integer(2),
        "a table in tables": nested(30),
        "void": b"V",
        "a time that Python cannot say": b"T" + b"\x7f" + b"\xff" * 7,
        "a string that is not UTF-8": not_utf8,
        "binary": binary(b"\x02"),
    }
    return [
        *(payload(f"ordinal {name}", half, code.BAD_ORDINAL, brh_ordinal=each) for name, each in ordinals.items()),
        payload("total count a table", half, code.BAD_TOTAL_COUNT, brh_total_count=nested(2)),
        payload("total count -1 in 8 bit", half, code.BAD_TOTAL_COUNT, brh_total_count=integer(-1, "b")),
        payload("total count void", half, code.BAD_TOTAL_COUNT, brh_total_count=b"V"),
        payload("series type not UTF-8", half, code.BAD_SERIES_TYPE, brh_series_type=not_utf8),
        payload("series type an array", half, code.BAD_SERIES_TYPE, brh_series_type=b"A" + bytes(4)),
        payload("no table of headers", half, code.BAD_SERIES_TYPE, headers=None),
        payload("a header's name is not UTF-8", half, code.BAD_SERIES_TYPE, headers={b"\xff": integer(1)}),
        payload("a thousand tables in each other", half, code.BAD_SERIES_TYPE, headers={b"n": nested(1_000)}),
        Wire("no properties", "small.x", {}, b"hello", code.BAD_TYPE),
        header("header on the queue of payloads", half, code.BAD_TYPE, routing_key="payload.default"),
        header("header on the queue of small payloads", half, code.BAD_TYPE, routing_key="small.default"),
        payload("payload on the queue of headers", half, code.BAD_TYPE, routing_key="header.cashflows"),
        payload("type not UTF-8", half, code.BAD_TYPE, type=b"brh.payload.v1\xff"),
        header("header's type not UTF-8", half, code.BAD_TYPE, type=latin),
        payload("id not UTF-8", half, code.BAD_TRANSACTION_ID, correlation_id=latin),
        header("header's id not UTF-8", half, code.BAD_TRANSACTION_ID, correlation_id=latin),
        payload("id with a zero byte", half, code.BAD_TRANSACTION_ID, correlation_id=b"T\x001"),
        payload("an id that leads out of its folder", half, code.BAD_TRANSACTION_ID, correlation_id=b"../x"),
        payload("message id not UTF-8 caf\udce9", half, code.BAD_ORDINAL, **bad_ordinal),
        payload("app id not UTF-8", half, code.BAD_ORDINAL, app_id=latin, **bad_ordinal),
        payload("routing key not UTF-8", half, code.BAD_ORDINAL, routing_key="small.caf\udce9", **bad_ordinal),
        payload("no app id", half, code.BAD_ORDINAL, app_id=None, **bad_ordinal),
        payload("no delivery mode", half, code.BAD_ORDINAL, delivery_mode=None, **bad_ordinal),
        payload("sent in a year beyond Python's", half, code.BAD_ORDINAL, timestamp=2**63 - 1, **bad_ordinal),
        header("content type not UTF-8", half, code.BAD_HEADER_BODY, content_type=latin),
        header("content encoding not UTF-8", half, code.BAD_HEADER_BODY, content_encoding=latin),
        header("reply_to not UTF-8", half, code.BAD_HEADER_BODY, reply_to=latin),
        header("header of a byte too many", half, code.HEADER_TOO_LARGE, body=b"x" * (HEADER_MAX_BYTES + 1)),
        *(
            payload(f"one byte too many on {lane}", half, code.PAYLOAD_TOO_LARGE, body=TOO_LARGE, routing_key=lane)
            for lane in ("payload.cashflows", "small.cashflows")
        ),
        payload("another digest", half, code.DIGEST_MISMATCH, brh_sha256=text(sha256)),
        payload(
            "another digest of a large body",
            half,
            code.DIGEST_MISMATCH,
            body=TOO_LARGE[1:],
            routing_key="payload.cashflows",
            brh_sha256=text(sha256),
        ),
        payload("another digest of nothing", half, code.DIGEST_MISMATCH, body=b"", brh_sha256=text(sha256)),
        payload("another length in 8 bit", half, code.LENGTH_MISMATCH, brh_content_length=integer(11, "b")),
        payload("a length for nothing", half, code.LENGTH_MISMATCH, body=b"", brh_content_length=integer(1)),
    ]


GOOD = {"cashflows": Chunks("widths", [100] * 8), "log": Chunks("log", [PAYLOAD_MAX_BYTES, 0, 5])}
HALF = {"cashflows": Chunks("half", [1_000, 2_000, 3_000])}


def good_messages(transaction: str) -> list[Wire]:
    """A transaction that is strange wherever the contract does not look, and has its integers in every width."""
    messages = [header(f"{transaction}/header", transaction, body=HEADER_OF_GOOD, priority=255, app_id=b"\xff")]
    messages += payloads(transaction, GOOD)
    strange = {
        "content_type": b"\xff",
        "content_encoding": b"\xff",
        "reply_to": b"\xff",
        "message_id": b"\xff",
        "timestamp": 2**63 - 1,
    }
    for number, width in enumerate("bBsuIil", start=1):
        narrow = {b"brh_ordinal": integer(number, width), b"brh_total_count": integer(8, width)}
        was = messages[number].properties
        messages[number] = replace(
            messages[number], properties={**was, **strange, "headers": {**was["headers"], **narrow}}
        )
    return messages


def payloads(transaction: str, series: Mapping[str, Chunks]) -> list[Wire]:
    return [
        payload(
            f"{transaction}/{name}/{ordinal}",
            transaction,
            body=body,
            routing_key=f"{'small' if ordinal % 2 else 'payload'}.{name}",
            brh_series_type=text(name),
            brh_ordinal=integer(ordinal),
            brh_total_count=integer(chunks.total_count),
            brh_sha256=text(hashlib.sha256(body).hexdigest()),
            brh_content_length=integer(len(body)),
        )
        for name, chunks in series.items()
        for ordinal in range(1, chunks.total_count + 1)
        for body in [chunks.chunk(ordinal)]
    ]


# ---------------------------------------------------------------------------------------------------------------------
# The scenario


@dataclass(frozen=True)
class Found:
    """A message that came out of a queue."""

    routing_key: bytes
    exchange: str
    properties: Mapping[str, Any]
    body: bytes


@dataclass(frozen=True)
class State:
    """What must not change while invalid messages come in."""

    half: Row
    facts_of_half: list[bytes]
    pids: dict[str, int | None]


@dataclass(frozen=True)
class Scenario:
    world: World
    good: str
    half: str
    invalid: dict[bytes | None, Wire]
    """By message id."""
    before: State
    after: State
    rejected: list[Found]
    announced: list[Found]


@pytest.fixture(scope="module")
def world(stack_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    limit = {"BRH_PAYLOAD_MAX_BYTES": str(PAYLOAD_MAX_BYTES)}
    shared = World(stack_env, tmp_path_factory.mktemp("rejections"), env=limit)
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture(scope="module")
def scenario(world: World) -> Scenario:
    good, half = (f"T-{kind}-{uuid4().hex[:8]}" for kind in ("good", "half"))
    invalid = [*invalid_by_the_rules(half), *invalid_on_the_wire(half)]
    mixed = [*invalid, *good_messages(good)]
    random.Random(4).shuffle(mixed)
    with broker(world) as channel:
        listener = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(listener, "brh.out", "message.rejected.#")
        for message in [header(f"{half}/header", half, body=HEADER_OF_HALF), *payloads(half, HALF)[::2]]:
            send(channel, message)
        until(lambda: is_shown(world, half), 30, f"{half} is shown with its header and two payloads; see {world.log}")
        before = state(world, half)
        for message in mixed:
            send(channel, message)
        rejected = take(channel, "brh.rejected", len(invalid), world)
        announced = take(channel, listener, len(invalid), world)
    world.wait_state(good, {"Completed"})
    by_id = {message.properties.get("message_id"): message for message in invalid}
    assert len(by_id) == len(invalid), "every message has an id of its own, and one has none"
    return Scenario(world, good, half, by_id, before, state(world, half), rejected, announced)


def send(channel: BlockingChannel, message: Wire) -> None:
    routing_key = message.routing_key.encode(errors="surrogateescape")
    channel.basic_publish("brh.in", routing_key, message.body, WireProperties(encode(message.properties)), True)


def take(channel: BlockingChannel, queue: str, count: int, world: World) -> list[Found]:
    """At least so many messages of a queue, and what else is in it then."""
    found: list[Found] = []

    def taken() -> bool:
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            method, properties, body = got
            assert isinstance(properties, WireProperties)
            key = method.routing_key if isinstance(method.routing_key, bytes) else method.routing_key.encode()
            found.append(Found(key, method.exchange, decode(properties.encoded), body))
        return len(found) >= count

    try:
        until(taken, 60, f"{count} messages in {queue}; see {world.log}")
    except AssertionError as error:
        ids = Counter(each.properties.get("message_id") for each in found)
        raise AssertionError(f"{error}; there were {len(found)}: {ids}") from None
    return found


def state(world: World, half: str) -> State:
    row = world.transaction(half)
    assert row is not None
    facts = asyncio.run(kafka_records(world, world.topics.events, half))
    return State(row, facts, {name: world.pid(name) for name in PROCESSES})


def is_shown(world: World, half: str) -> bool:
    row = world.transaction(half)
    return bool(row and row["header"] and row["series"][0]["receivedCount"] == 2)


# ---------------------------------------------------------------------------------------------------------------------
# What is left of it


def test_the_scenario_has_every_code(scenario: Scenario) -> None:
    assert {message.code for message in scenario.invalid.values()} == set(RejectionCode) - OTHERS
    assert len(scenario.invalid) >= 200


def test_every_invalid_message_is_set_aside_exactly_as_it_was_sent(scenario: Scenario) -> None:
    found = {each.properties.get("message_id"): each for each in scenario.rejected}
    assert found.keys() == scenario.invalid.keys()
    assert len(scenario.rejected) == len(scenario.invalid), "each once"
    for key, sent in scenario.invalid.items():
        was = found[key]
        headers = dict(was.properties["headers"])
        deaths, _ = pika.data.decode_value(headers.pop(b"x-death"), 0)
        for name in DEATH_HEADERS:
            headers.pop(name, None)
        deliveries_before = headers.pop(b"x-delivery-count", integer(0))
        assert deliveries_before == integer(0), (sent.name, "was given back to its queue")
        assert headers == sent.properties.get("headers", {}), sent.name
        for name in PROPERTY_KINDS.keys() - {"headers"}:
            assert was.properties.get(name) == sent.properties.get(name), (sent.name, name)
        assert was.body == sent.body, sent.name
        assert was.exchange == "brh.dead"
        assert was.routing_key == sent.routing_key.encode(errors="surrogateescape"), sent.name
        (death,) = deaths
        assert (death["queue"], death["reason"], death["count"]) == (sent.queue, "rejected", 1), sent.name


def test_every_invalid_message_is_announced_with_its_code(scenario: Scenario) -> None:
    events = [json.loads(each.body) for each in scenario.announced]
    told = {event["data"]["messageId"]: (event, each) for event, each in zip(events, scenario.announced, strict=True)}
    assert len(events) == len(told) == len({event["id"] for event in events}) == len(scenario.invalid)
    for key, sent in scenario.invalid.items():
        event, message = told[shown(key)]
        transaction = sent.properties.get("correlation_id", b"").decode(errors="replace")
        known = {"transaction": transaction} if is_transaction_id(transaction) else {}
        problem = event["data"].pop("problem")
        assert problem["code"] == sent.code, (sent.name, problem)
        assert message.routing_key == f"message.rejected.{sent.code}".encode()
        assert message.exchange == "brh.out"
        assert (
            message.properties
            == {
                "content_type": b"application/cloudevents+json",
                "headers": {},
                "delivery_mode": 2,
                "priority": 0,
                "message_id": event["id"].encode(),
                "type": b"brh.message.rejected.v1",
                **({"correlation_id": transaction.encode()} if known else {}),
            }
            or sent.name == ""
        ), sent.name
        assert event == {
            "specversion": "1.0",
            "id": event["id"],
            "source": "/brh/default",
            "type": "brh.message.rejected.v1",
            "time": problem["occurredAt"],
            "datacontenttype": "application/json",
            **({"subject": transaction, "correlationid": transaction} if known else {}),
            "data": {
                "transactionId": known.get("transaction"),
                "messageId": shown(key),
                "appId": shown(sent.properties.get("app_id")),
                "queue": sent.queue,
                "routingKey": shown(sent.routing_key.encode(errors="surrogateescape")),
                "bytes": len(sent.body),
            },
        }, sent.name
        detail = problem.pop("detail")
        assert detail.isascii(), sent.name
        assert detail.isprintable(), sent.name
        assert len(detail) <= 300, sent.name
        datetime.fromisoformat(problem.pop("occurredAt"))
        assert problem == {
            "type": f"urn:brh:problem:{sent.code}",
            "title": "A message does not keep the contract",
            "code": sent.code,
            "stage": "ingest",
            "retryable": False,
            "terminal": True,
            "missing": None,
        }, sent.name


def shown(value: bytes | None) -> str | None:
    """A short string as an announcement shows it: bytes that are no text are escaped."""
    return value.decode(errors="backslashreplace") if value is not None else None


async def test_a_good_transaction_among_them_gets_its_own_bytes(scenario: Scenario) -> None:
    await assert_result(scenario.world, scenario.good, GOOD)
    row = scenario.world.transaction(scenario.good)
    assert row is not None
    assert row["duplicates"] == 0


def test_a_transaction_that_invalid_messages_name_is_left_as_it_was(scenario: Scenario) -> None:
    before, after = scenario.before, scenario.after
    aside = {"timestamps": None, "problems": []}
    assert {**after.half, **aside} == {**before.half, **aside}
    assert after.half["duplicates"] == 0
    assert after.half["series"][0]["missing"] == [[2, 2]]
    # That the header was accepted is told meanwhile, which is a fact too, as each refusal is.
    received, before_that = (
        [said for fact in facts if (said := json.loads(fact))["type"] not in {"Told", "MessageRefused"}]
        for facts in (after.facts_of_half, before.facts_of_half)
    )
    assert received == before_that
    assert [fact["type"] for fact in received].count("HeaderReceived") == 1
    # A bridge tells of all that it has in hand together, so the two payloads are in one fact or in two.
    assert sorted(one["first"] for fact in received for one in fact.get("staged", ())) == [1, 3]


def test_a_transaction_remembers_of_each_code_a_message_that_named_it_and_was_refused(scenario: Scenario) -> None:
    facts = [json.loads(fact) for fact in scenario.after.facts_of_half]
    refused = {fact["problem"]["code"] for fact in facts if fact["type"] == "MessageRefused"}
    problems: list[dict[str, Any]] = []

    def shown() -> bool:
        row = scenario.world.transaction(scenario.half)
        problems[:] = row["problems"] if row is not None else []
        return sorted(each["code"] for each in problems) == sorted(refused)

    assert len(refused) > 5
    until(shown, 30, f"{scenario.half} shows {sorted(refused)}; see {scenario.world.log}")
    assert {each["stage"] for each in problems} == {"ingest"}
    assert any(each["detail"].startswith("Series ") for each in problems)


def test_no_process_ends_because_of_them(scenario: Scenario) -> None:
    assert None not in scenario.before.pids.values()
    assert scenario.after.pids == scenario.before.pids
    assert {name: scenario.world.pid(name) for name in PROCESSES} == scenario.before.pids


async def test_what_was_half_finished_still_completes_with_its_own_bytes(scenario: Scenario) -> None:
    """Blocks of payloads with another digest were staged for the ordinal that is missing: none of them is used."""
    with broker(scenario.world) as channel:
        send(channel, payloads(scenario.half, HALF)[1])
    scenario.world.wait_state(scenario.half, {"Completed"})
    await assert_result(scenario.world, scenario.half, HALF)


def test_an_announcement_that_nobody_listens_to_costs_nothing(world: World) -> None:
    """No queue takes `message.rejected.#` here: the message is set aside all the same."""
    message = payload("unheard", "T-unheard", RejectionCode.BAD_ORDINAL, brh_ordinal=integer(0))
    pids = {name: world.pid(name) for name in PROCESSES}
    with broker(world) as channel:
        send(channel, message)
        (found,) = take(channel, "brh.rejected", 1, world)
    assert found.properties["message_id"] == b"unheard"
    assert found.body == message.body
    assert {name: world.pid(name) for name in PROCESSES} == pids


def test_nothing_is_left_in_the_queues_or_unacknowledged(scenario: Scenario) -> None:
    """The last one, because it ends the processes: what they had not acknowledged is in its queue again then."""
    scenario.world.end_processes()
    with broker(scenario.world) as channel:
        left = {queue: channel.queue_declare(queue, passive=True).method.message_count for queue in INTAKE.values()}
    assert left == dict.fromkeys(INTAKE.values(), 0)
