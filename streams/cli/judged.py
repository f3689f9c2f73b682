"""What would be said to the messages of a transmission, by the bridge's and the tracker's rules; none is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import aio_pika
import msgspec
from pamqp import decode, encode

from bridge.contract.inbound import PAYLOAD_MAX_BYTES, SMALL_PAYLOAD_BYTES, Rejected
from bridge.contract.outbound import OutcomeCode
from bridge.envelope import Properties, parse_header, parse_payload
from streams.cli.payloads import Payload, Source, header_message, payload_message
from tables.limits import beyond_payloads_max


class Judged(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The header, or all payloads of one series: they are alike but for the ordinal and the size of the last one."""

    what: str
    """`header`, or the series."""
    messages: int
    bytes: int
    routing_key: str
    code: str | None = None
    """Of the rejection; None: the bridge would take it."""
    reason: str | None = None
    rejected: int = 0
    """Of its messages: a last payload may be small enough where the others are not."""


class Verdicts(msgspec.Struct, frozen=True, rename="camel"):
    """`brh send --check --json` prints it."""

    transaction_id: str
    messages: int
    rejected: int
    """Messages that the bridge would refuse."""
    verdicts: list[Judged]
    code: str | None = None
    """Of the outcome: the transaction would be Failed though each message is taken. None: nothing speaks against it."""
    reason: str | None = None


def judge(
    transaction: str,
    transaction_type: str,
    series: Mapping[str, Source],
    *,
    payload_max_bytes: int = PAYLOAD_MAX_BYTES,
) -> Verdicts:
    """What would be said to a header and its payloads. The first and last payload of each series are read.

    Raises CliError and OSError when a source cannot be read.
    """
    counts = {name: source.total_count for name, source in series.items()}
    found = [_header(transaction, transaction_type, counts)]
    found += [_payloads(transaction, name, source, payload_max_bytes) for name, source in series.items()]
    messages, rejected = sum(each.messages for each in found), sum(each.rejected for each in found)
    reason = beyond_payloads_max(sum(counts.values()))
    code = None if reason is None else str(OutcomeCode.TOO_MANY_PAYLOADS)
    return Verdicts(transaction, messages, rejected, found, code, reason)


def lines(found: Verdicts) -> Iterator[str]:
    """The verdicts, one a line."""
    for each in found.verdicts:
        many = f"{each.messages} message{'' if each.messages == 1 else 's'}"
        said = "ok" if each.code is None else f"{each.reason} ({each.code})"
        yield f"{each.what}: {many} to {each.routing_key}, {each.bytes} bytes: {said}"
    if found.code is not None:
        yield f"{found.transaction_id}: {found.reason} ({found.code})"


def _header(transaction: str, transaction_type: str, counts: Mapping[str, int]) -> Judged:
    header = header_message(transaction, transaction_type, counts)
    said = parse_header(_properties(header), header.body)
    return _judged("header", 1, header.body_size, f"header.{transaction_type}", said, 1)


def _payloads(transaction: str, name: str, source: Source, payload_max_bytes: int) -> Judged:
    total, rejected = source.total_count, 0
    said: Rejected | None = None
    lanes = []
    for ordinal in sorted({1, total} if total else ()):
        body = source.chunk(ordinal)
        message = payload_message(transaction, Payload(name, ordinal, 1), total, body)
        lanes.append("small" if len(body) < SMALL_PAYLOAD_BYTES else "payload")
        found = parse_payload(_properties(message), len(body), payload_max_bytes=payload_max_bytes)
        if isinstance(found, Rejected):
            said = said or found
            rejected += 1 if ordinal == total else total - 1
    keys = " and ".join(f"{lane}.{name}" for lane in dict.fromkeys(lanes))
    return _judged(name, total, source.size, keys or "nowhere", said, rejected)


def _judged(what: str, messages: int, size: int, routing_key: str, said: object, rejected: int) -> Judged:
    if isinstance(said, Rejected):
        return Judged(what, messages, size, routing_key, str(said.code), said.reason, rejected)
    return Judged(what, messages, size, routing_key)


def _properties(message: aio_pika.Message) -> Properties:
    """What the bridge reads of a message; the headers go through the codec, as on their way."""
    table = cast(Any, decode.field_table(encode.field_table(cast(Any, dict(message.headers)))))
    return Properties(
        type=message.type,
        correlation_id=message.correlation_id,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        message_id=message.message_id,
        app_id=message.app_id,
        reply_to=None,
        headers=table[1],
    )
