"""Which dead letters go back, where to, and with which properties: those they were sent with, bit by bit. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from bridge.amqp_table import FIXED_BYTES, MEASURED
from bridge.topology import CONSUMED, INBOUND_EXCHANGE
from streams.cli.dead_letter import REDRIVEN, UNKNOWN_ORIGIN, DeadLetter, Death, Verdict

REDRIVES_MAX: Final = 3
"""How often a message is put back unless it is forced. What comes back each time would go round for ever."""
OFTEN: Final = "redriven-often"

_BROKERS: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")
"""Headers that are the broker's own, by how they begin: RabbitMQ 3 would go on counting in them."""

# What AMQP 0-9-1 and RabbitMQ's errata say of the wire: properties in the order of their flags, then table values.
_TEXT, _TABLE, _OCTET, _TIME = "text", "table", "octet", "time"
_PROPERTIES: Final = (
    (15, "content_type", _TEXT),
    (14, "content_encoding", _TEXT),
    (13, "headers", _TABLE),
    (12, "delivery_mode", _OCTET),
    (11, "priority", _OCTET),
    (10, "correlation_id", _TEXT),
    (9, "reply_to", _TEXT),
    (8, "expiration", _TEXT),
    (7, "message_id", _TEXT),
    (6, "timestamp", _TIME),
    (5, "type", _TEXT),
    (4, "user_id", _TEXT),
    (3, "app_id", _TEXT),
    (2, "cluster_id", _TEXT),
)
_LENGTH: Final = struct.Struct(">I")
_FLAGS: Final = struct.Struct(">H")
_PERSISTENT: Final = b"\x02"
_INT64_MAX: Final = (1 << 63) - 1


class Route(NamedTuple):
    """Where to publish."""

    exchange: str
    routing_key: str


class Choice:
    """Messages that somebody asked for: each kind of answer that is not empty must name the message."""

    def __init__(
        self,
        ids: frozenset[str] = frozenset(),
        transactions: frozenset[str] = frozenset(),
        codes: frozenset[str] = frozenset(),
    ) -> None:
        self._unseen = set(ids)
        self._by_id = bool(ids)
        self._transactions = transactions
        self._codes = codes

    @property
    def unseen(self) -> list[str]:
        """Ids of which none was taken yet."""
        return sorted(self._unseen)

    @property
    def satisfied(self) -> bool:
        """Nothing more can be wanted."""
        return self._by_id and not self._unseen

    def takes(self, letter: DeadLetter) -> bool:
        """Whether this one is wanted; of several with one id, the first."""
        wanted = (not self._by_id or letter.id in self._unseen) and (
            (not self._transactions or letter.transaction_id in self._transactions)
            and (not self._codes or code_of(letter) in self._codes)
        )
        if wanted:
            self._unseen.discard(letter.id)
        return wanted


def code_of(letter: DeadLetter) -> str | None:
    """What the bridge would call it now; where nothing speaks against it, the broker's reason."""
    return letter.problem.code if letter.problem is not None else letter.reason


def speaks_against(letter: DeadLetter) -> Verdict | None:
    """Why to leave it where it is, as far as that can be told without its body."""
    if letter.problem is None and letter.redriven >= REDRIVES_MAX:
        return Verdict(OFTEN, f"It was put back {letter.redriven} times, and came here again each time.")
    return letter.problem


def route(died: Death) -> Route | Verdict:
    """Where a message goes back to."""
    if died.queue in CONSUMED and died.exchange == "":
        return Route("", died.queue)
    if died.routing_key is None:
        return Verdict(UNKNOWN_ORIGIN, "Nobody noted the routing key that it came with.")
    return Route(INBOUND_EXCHANGE, died.routing_key)


def put_back(properties: bytes, redriven: int) -> bytes:
    """The properties on the wire of a message that is put back once more: persistent, without what the broker added.

    Everything else stays as it was sent. The sender's user goes too, because nobody else may name it. Raises
    ValueError when these are no properties.
    """
    try:
        found = dict(_properties(properties))
        headers = found.get("headers", _LENGTH.pack(0))
        kept = b"".join(entry for name, entry in _entries(headers) if not _is_ours_to_write(name))
    except (struct.error, IndexError) as error:
        raise ValueError(f"its properties cannot be read: {error}") from None
    count = REDRIVEN.encode()
    entry = bytes((len(count),)) + count + b"l" + struct.pack(">q", min(redriven + 1, _INT64_MAX))
    found["headers"] = _LENGTH.pack(len(kept) + len(entry)) + kept + entry
    found["delivery_mode"] = _PERSISTENT
    found.pop("user_id", None)
    flags = sum(1 << bit for bit, name, _ in _PROPERTIES if name in found)
    return _FLAGS.pack(flags) + b"".join(found[name] for _, name, _ in _PROPERTIES if name in found)


def _is_ours_to_write(name: bytes) -> bool:
    return name == REDRIVEN.encode() or name.startswith(tuple(each.encode() for each in _BROKERS))


def _properties(encoded: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and bytes. Raises ValueError, struct.error, IndexError."""
    (flags,) = _FLAGS.unpack_from(encoded)
    if flags & 0b11:
        raise ValueError("it has properties that AMQP 0-9-1 does not know")
    at = _FLAGS.size
    for bit, name, kind in _PROPERTIES:
        if flags & 1 << bit:
            size = _size(encoded, at, kind)
            yield name, _cut(encoded, at, size)
            at += size


def _size(encoded: bytes, at: int, kind: str) -> int:
    match kind:
        case "text":
            return 1 + encoded[at]
        case "table":
            return _measured(encoded, at)
        case "octet":
            return 1
        case _:
            return 8


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and whole entries of a table; what is nested in them is only measured. Raises ValueError, struct.error."""
    at = _LENGTH.size
    while at < len(table):
        name = table[at + 1 : at + 1 + table[at]]
        value_at = at + 1 + table[at]
        kind = table[value_at]
        if kind in MEASURED:
            size = _measured(table, value_at + 1)
        elif kind in FIXED_BYTES:
            size = FIXED_BYTES[kind]
        else:
            raise ValueError(f"a header is of a type {kind:#x} that nobody knows")
        size += value_at + 1 - at
        yield name, _cut(table, at, size)
        at += size


def _measured(encoded: bytes, at: int) -> int:
    length: int = _LENGTH.unpack_from(encoded, at)[0]
    return _LENGTH.size + length


def _cut(encoded: bytes, at: int, size: int) -> bytes:
    if at + size > len(encoded):
        raise ValueError("its properties end too early")
    return encoded[at : at + size]
