"""A message that was put aside: what AMQP tells of it, where it died, and what the bridge would say to it now. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from bridge.contract.inbound import PAYLOAD_MAX_BYTES, Rejected
from bridge.contract.outbound import rfc3339
from bridge.envelope import Properties, check_header, parse_header, parse_payload
from bridge.staging import wrong_digest
from bridge.topology import HEADERS, PAYLOADS, SMALL_PAYLOADS

UNKNOWN_ORIGIN: Final = "unknown-origin"
REDRIVEN: Final = "brh_redriven"
"""The AMQP header that counts how often a message was put back. Brokers keep no such count: RabbitMQ 4 ignores the
`x-death` of a message that is published."""


class Death(NamedTuple):
    """What the broker noted when it put a message aside; None for what it did not, or what nobody can read."""

    queue: str | None = None
    routing_key: str | None = None
    """With which it was published first."""
    reason: str | None = None
    """`rejected`, `delivery_limit`, ..."""
    at: datetime | None = None
    exchange: str | None = None
    """To which it was published first; empty: straight to the queue."""


class Verdict(msgspec.Struct, frozen=True):
    """Why the bridge would refuse a message again."""

    code: str
    detail: str


class DeadLetter(msgspec.Struct, frozen=True, rename="camel"):
    """A message in a queue of dead letters."""

    id: str
    """Made from everything but the body: messages that differ in nothing else have the same one."""
    transaction_id: str | None
    type: str | None
    message_id: str | None
    app_id: str | None
    bytes: int
    queue: str | None
    routing_key: str | None
    reason: str | None
    since: str | None
    redriven: int
    """How often it was put back already."""
    problem: Verdict | None
    """As far as the body need not be read for it; None: nothing speaks against it."""


class ShownLetter(DeadLetter, frozen=True, rename="camel"):
    """`brh dlq show --json` prints it."""

    headers: dict[str, Any]
    """As AMQP carries them; what is no JSON is quoted."""
    event: Any | msgspec.UnsetType = msgspec.UNSET
    """Of an orphan record: the event that its body is. Left out with --out, and of other messages."""


class Letters(msgspec.Struct, frozen=True, rename="camel"):
    """What waits in a queue; `brh dlq list --json` prints it."""

    queue: str
    waiting: int
    """Messages in the queue, without those that somebody has in hand."""
    looked_at: int
    messages: list[DeadLetter]
    """Those that were looked at; with --transaction, those among them that are of these transactions."""


def dead_letter(properties: Properties, size: int, payload_max_bytes: int) -> DeadLetter:
    """The message with these properties and a body of `size` bytes."""
    died, redriven = death(properties.headers), properties.headers.get(REDRIVEN)
    return DeadLetter(
        id=letter_id(properties, size),
        transaction_id=properties.correlation_id,
        type=properties.type,
        message_id=properties.message_id,
        app_id=properties.app_id,
        bytes=size,
        queue=died.queue,
        routing_key=died.routing_key,
        reason=died.reason,
        since=rfc3339(died.at) if died.at is not None else None,
        redriven=redriven if type(redriven) is int and redriven > 0 else 0,
        problem=verdict(died.queue, properties, size, payload_max_bytes=payload_max_bytes),
    )


def letter_id(properties: Properties, size: int) -> str:
    """A name for the message, whichever place in the queue it has by now: 12 hex digits."""
    said = sorted((name, repr(value)) for name, value in properties.headers.items() if not name.startswith("x-"))
    died = death(properties.headers)
    identity = replace(properties, headers={}), said, died.queue, died.routing_key, str(died.at), size
    return hashlib.blake2b(repr(identity).encode(errors="replace"), digest_size=6).hexdigest()


def death(headers: Mapping[str, object]) -> Death:
    """The last entry of `x-death`, which anybody may have written: what does not fit is left out."""
    history = headers.get("x-death")
    last: Any = history[0] if isinstance(history, list) and history else None
    if not isinstance(last, dict):
        return Death()
    keys, at = last.get("routing-keys"), last.get("time")
    return Death(
        queue=_text(last.get("queue")),
        routing_key=_text(keys[0]) if isinstance(keys, list) and keys else None,
        reason=_text(last.get("reason")),
        at=at if isinstance(at, datetime) else None,
        exchange=_text(last.get("exchange")),
    )


def verdict(
    queue: str | None,
    properties: Properties,
    size: int,
    body: bytes | None = None,
    *,
    sha256: str | None = None,
    payload_max_bytes: int = PAYLOAD_MAX_BYTES,
) -> Verdict | None:
    """What the bridge would say to a message that came to `queue`; without its body, as far as it can be told.

    Of a payload its SHA-256 says as much as its body.
    """
    if queue == HEADERS:
        refused = check_header(properties, size)
        if refused is None and body is not None:
            read = parse_header(properties, body)
            refused = read if isinstance(read, Rejected) else None
    elif queue in (PAYLOADS, SMALL_PAYLOADS):
        found = parse_payload(properties, size, payload_max_bytes=payload_max_bytes)
        if isinstance(found, Rejected):
            refused = found
        else:
            digest = sha256 if body is None else hashlib.sha256(body).hexdigest()
            refused = None if digest is None else wrong_digest(found, digest)
    else:
        return Verdict(UNKNOWN_ORIGIN, "It did not come from a queue of ours, or nobody noted from which.")
    return None if refused is None else Verdict(str(refused.code), refused.reason)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
