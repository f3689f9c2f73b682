"""What producers send: transactions of every size and kind, the same for the same seed. Pure; knows only the contract.

A share of them breaks a rule on purpose: payloads that contradict each other, payloads that never come, messages that
have to be refused.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
HUGE_BYTES: Final = 250_000_000
PATTERN_BYTES: Final = 8 * MIB + 1
"""Larger bodies repeat so many random bytes: a length that no block and no frame divides."""

DUPLICATES: Final = 0.2
"""Of the messages."""
CONFLICTS: Final = 0.05
INCOMPLETE: Final = 0.05
BAD: Final = 0.03
"""Of the transactions, as the one above."""
LATE_S: Final = (5.0, 40.0)
"""When duplicates come that come late: mostly when their transaction is closed."""
AWAITING_S: Final = 30
"""The longest that a transaction waits which never becomes complete."""


@dataclass(frozen=True)
class Message:
    """One message to publish. A duplicate is another one with the same content."""

    transaction: str
    kind: str
    """header, payload or bad."""
    routing_key: str
    content: str
    """Names the bytes of a body; a header's is the JSON itself."""
    size: int
    series: str = ""
    ordinal: int = 0
    total: int = 0
    code: str = ""
    """Why it has to be refused."""
    reply_to: str | None = None
    late_s: float = 0.0
    """Publish it so long after the others."""

    def body(self) -> bytes:
        """The bytes."""
        return self.content.encode() if self.kind == "header" else body(self.content, self.size)


@dataclass
class Plan:
    """A transaction: its messages in the order of sending."""

    transaction: str
    shape: str
    twist: str
    messages: list[Message] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(each.size for each in self.messages)


def body(content: str, size: int) -> bytes:
    """The bytes that a name stands for."""
    if size <= PATTERN_BYTES:
        return random.Random(content).randbytes(size)
    part = random.Random(content).randbytes(PATTERN_BYTES)
    return (part * (size // PATTERN_BYTES + 1))[:size]


def plans(seed: int, *, huge_every: int = 400, reply_to: str | None = None) -> Iterator[Plan]:
    """Transactions without end. Every `huge_every`th has a payload of 250 MB; 0: none."""
    number = 0
    while True:
        number += 1
        yield plan(seed, number, huge=bool(huge_every) and number % huge_every == huge_every // 2, reply_to=reply_to)


def plan(seed: int, number: int, *, huge: bool = False, reply_to: str | None = None) -> Plan:
    """The transaction of this number."""
    chance = random.Random(f"{seed}/{number}")
    shape = "huge" if huge else chance.choices(list(_SHAPES), weights=[w for w, _ in _SHAPES.values()])[0]
    sizes = _SHAPES[shape][1](chance)
    roll = chance.random()
    twist = ""
    if shape != "huge":
        twist = "conflict" if roll < CONFLICTS else "incomplete" if roll < CONFLICTS + INCOMPLETE else ""
        if not twist and roll > 1 - BAD:
            twist = "bad"
    made = Plan(f"C{seed}-{number:06d}-{chance.randrange(1 << 32):08x}", shape, twist)
    header = _header(chance, made, sizes, reply_to if chance.random() < 0.3 else None)
    payloads = _payloads(made, sizes)
    if chance.random() < 0.6:
        chance.shuffle(payloads)
    made.messages = _with_duplicates(chance, _twisted(chance, made, header, payloads))
    return made


def _tiny(chance: random.Random) -> dict[str, list[int]]:
    return {
        name: [chance.choice((0, 1, chance.randrange(2, 2_000))) for _ in range(chance.randint(1, 10))]
        for name in ("a", "b")[: chance.randint(1, 2)]
    }


def _runs(chance: random.Random) -> dict[str, list[int]]:
    return {"run": [chance.randrange(1, 4 * KIB) for _ in range(chance.choice((17, 64, 100, 256, 300)))]}


def _medium(chance: random.Random) -> dict[str, list[int]]:
    edges = (256 * KIB - 1, 256 * KIB, 256 * KIB + 1)

    def size() -> int:
        return chance.choice((*edges, chance.randrange(1_000, 300_000), chance.randrange(1_000, 900_000)))

    return {name: [size() for _ in range(chance.randint(2, 5))] for name in ("m", "n", "o")[: chance.randint(1, 3)]}


def _large(chance: random.Random) -> dict[str, list[int]]:
    edges = (8 * MIB - 1, 8 * MIB, 8 * MIB + 1)
    return {"large": [chance.choice((*edges, chance.randrange(MIB, 14 * MIB))) for _ in range(chance.randint(1, 2))]}


def _many(chance: random.Random) -> dict[str, list[int]]:
    return {"many": [chance.randrange(1, 60) for _ in range(chance.choice((1_024, 1_025, 1_300, 4_097)))]}


def _huge(chance: random.Random) -> dict[str, list[int]]:
    return {"huge": [HUGE_BYTES - chance.randrange(1_000)], "beside": [chance.randrange(1, 2_000) for _ in range(5)]}


_SHAPES: Final[dict[str, Any]] = {
    "tiny": (58, _tiny),
    "runs": (18, _runs),
    "medium": (18, _medium),
    "large": (5, _large),
    "many": (1, _many),
    "huge": (0, _huge),
}


def _header(chance: random.Random, made: Plan, sizes: dict[str, list[int]], reply_to: str | None) -> Message:
    series: list[dict[str, Any]] = [
        {"type": name} | ({"totalCount": len(of)} if chance.random() < 0.7 else {}) for name, of in sizes.items()
    ]
    if chance.random() < 0.1:
        series.append({"type": "empty", "totalCount": 0})
    said: dict[str, Any] = {"series": series, "labels": {"shape": made.shape, "twist": made.twist}}
    if made.twist == "incomplete":
        said["timeouts"] = {"awaiting": f"PT{AWAITING_S}S"}
        said["onTimeout"] = chance.choice(("abandon", "abandon", "partial"))
    if chance.random() < 0.3:
        said["onConflict"] = "keep-first"
    return header_message(made.transaction, said, reply_to)


def header_message(transaction: str, said: dict[str, Any], reply_to: str | None = None) -> Message:
    """A header that says this."""
    text = json.dumps(said)
    return Message(transaction, "header", "header.default", text, len(text), reply_to=reply_to)


def payload_message(transaction: str, series: str, ordinal: int, total: int, size: int, variant: str = "") -> Message:
    """A payload; another variant has other bytes."""
    lane = "small" if size < 256 * KIB else "payload"
    content = f"{transaction}/{series}/{ordinal}/{variant}"
    return Message(transaction, "payload", f"{lane}.{series}", content, size, series, ordinal, total)


def _payloads(made: Plan, sizes: dict[str, list[int]]) -> list[Message]:
    return [
        payload_message(made.transaction, name, ordinal, len(of), size)
        for name, of in sizes.items()
        for ordinal, size in enumerate(of, start=1)
    ]


def _twisted(chance: random.Random, made: Plan, header: Message, payloads: list[Message]) -> list[Message]:
    """Header and payloads in their order, with what is wrong in this transaction."""
    headers = [header]
    match made.twist:
        case "incomplete" if chance.random() < 0.3:
            headers = []
        case "incomplete":
            kept = chance.randrange(len(payloads))  # perhaps none
            payloads = payloads[:kept]
        case "conflict":
            headers, payloads = _contradicted(chance, header, payloads)
        case "bad":
            payloads.insert(chance.randrange(len(payloads) + 1), _bad(chance, payloads[0]))
    places = {"first": 0, "last": len(payloads), "middle": len(payloads) // 2}
    at = places[chance.choice(("first", "first", "middle", "last"))]
    return [*payloads[:at], *headers, *payloads[at:]]


def _contradicted(
    chance: random.Random, header: Message, payloads: list[Message]
) -> tuple[list[Message], list[Message]]:
    victim = chance.choice(payloads)
    match chance.choice(("bytes", "bytes", "size", "total", "header")):
        case "bytes":
            other = payload_message(
                victim.transaction, victim.series, victim.ordinal, victim.total, max(victim.size, 1), "x"
            )
        case "size":
            other = payload_message(
                victim.transaction, victim.series, victim.ordinal, victim.total, victim.size + 7, "x"
            )
        case "total":
            other = replace(victim, total=victim.total + 1)
        case _:
            said = json.loads(header.content)
            said["labels"]["shape"] = "other"
            return [header, header_message(header.transaction, said, header.reply_to)], payloads
    at = chance.randrange(len(payloads) + 1)
    return [header], [*payloads[:at], other, *payloads[at:]]


def _bad(chance: random.Random, like: Message) -> Message:
    code = chance.choice(("bad-ordinal", "bad-total-count", "digest-mismatch", "length-mismatch", "bad-type"))
    ordinal = like.total + 1 if code == "bad-ordinal" else like.ordinal
    total = 0 if code == "bad-total-count" else like.total
    return replace(
        like, kind="bad", code=code, ordinal=ordinal, total=total, content=f"{like.content}bad", size=max(like.size, 1)
    )


def _with_duplicates(chance: random.Random, messages: list[Message]) -> list[Message]:
    sent: list[Message] = []
    for message in messages:
        sent.append(message)
        # One of 250 MB a second time is more than it shows.
        if message.kind == "bad" or message.size >= HUGE_BYTES // 2 or chance.random() >= DUPLICATES:
            continue
        if chance.random() < 0.5:
            sent.insert(chance.randrange(len(sent) + 1), message)
        else:
            sent.append(replace(message, late_s=chance.uniform(*LATE_S)))
    return sent


def digest(content: bytes) -> str:
    """How contents are compared."""
    return hashlib.sha256(content).hexdigest()
