"""Transactions as producers mean them, drawn from chance.

How many series, how long, which payloads are empty, small or in several blocks, when the header comes, what comes
twice, what contradicts, what is no message of ours, what never comes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from random import Random
from typing import Any, Final

from pamqp import commands

from bridge import topology
from tests.sim.scaled import LONG_PART_ORDINALS, SHORT_SERIES, SMALL_BYTES, SUB_BLOCK_BYTES

QUIRKS: Final = {
    "header never": 0.04,
    "payload never": 0.05,
    "other bytes": 0.12,
    "other total": 0.03,
    "other header": 0.03,
    "unlisted series": 0.04,
    "refused messages": 0.08,
    "slow producer": 0.06,
    "late duplicates": 0.1,
    "partial": 0.2,
    "keep first": 0.5,
    "cancel": 0.08,
    "extend": 0.05,
    "retry": 0.05,
}
"""What is odd about a transaction, and how likely."""

CONTRADICTIONS: Final = frozenset({"other bytes", "other total", "other header", "unlisted series"})


@dataclass(eq=False)
class Sent:
    """A message that a producer sends, once or several times."""

    plan: Plan
    queue: str
    properties: commands.Basic.Properties
    body: bytes
    series: str | None = None
    """Of a payload; None: it is a header."""
    ordinal: int = 0
    total: int = 0
    valid: bool = True
    needed: bool = True
    """Without it the transaction cannot complete."""
    copies: int = 0
    acked: int = 0
    rejected: int = 0
    queued_by_clock: float | None = None
    """When the broker took the first copy, in seconds of the clock of the transaction's partition."""


@dataclass(eq=False)
class Plan:
    """One transaction."""

    id: str
    totals: dict[str, int] = field(default_factory=dict)
    """Of the series in the header."""
    quirks: set[str] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)
    never: list[Sent] = field(default_factory=list)
    """What is needed and is never sent."""
    begun_s: float = 0.0

    @property
    def contradicts(self) -> bool:
        """Its messages do not agree."""
        return bool(self.quirks & CONTRADICTIONS)


def draw(chance: Random, name: str) -> Plan:
    """A transaction with all its messages, in the order in which they are made."""
    plan = Plan(name)
    plan.quirks = {quirk for quirk, likely in QUIRKS.items() if chance.random() < likely}
    for number in range(chance.choice((1, 1, 1, 2, 3))):
        longest = chance.choice((1, 4, SHORT_SERIES, LONG_PART_ORDINALS, 2 * LONG_PART_ORDINALS + 5))
        plan.totals[f"s{number}"] = chance.randint(0 if number else 1, longest)
    for series, total in plan.totals.items():
        kind = chance.choice(("small", "small", "mixed", "large", "same"))
        for ordinal in range(1, total + 1):
            plan.sent.append(_payload(plan, chance, series, ordinal, total, _body(chance, series, ordinal, kind)))
    plan.sent.insert(chance.randint(0, len(plan.sent)), _header(plan, chance))
    _add_quirks(plan, chance)
    return plan


def _add_quirks(plan: Plan, chance: Random) -> None:
    payloads = [sent for sent in plan.sent if sent.series is not None]
    for quirk in sorted(plan.quirks):
        some = payloads[int(chance.random() * len(payloads))]
        if quirk == "header never":
            _never(plan, next(sent for sent in plan.sent if sent.series is None))
        elif quirk == "payload never":
            _never(plan, some)
        elif quirk == "refused messages":
            _odd(plan, chance, *_refused(plan, chance, some))
        elif quirk in CONTRADICTIONS:
            _odd(plan, chance, *_contradicting(plan, chance, quirk, some))


def _contradicting(plan: Plan, chance: Random, quirk: str, like: Sent) -> list[Sent]:
    series, ordinal, total = like.series or "", like.ordinal, like.total
    if quirk == "other bytes":
        return [_payload(plan, chance, series, ordinal, total, _body(chance, "other", ordinal, "mixed"))]
    if quirk == "other total":
        return [_payload(plan, chance, series, ordinal, total + 3, like.body)]
    if quirk == "other header":
        return [_header(plan, chance, labels={"other": "yes"})]
    return [_payload(plan, chance, "u", number, 3, _body(chance, "u", number, "mixed")) for number in (1, 2, 3)]


def _never(plan: Plan, sent: Sent) -> None:
    plan.sent.remove(sent)
    plan.never.append(sent)


def _odd(plan: Plan, chance: Random, *odd: Sent) -> None:
    for sent in odd:
        sent.needed = False
        plan.sent.insert(chance.randint(0, len(plan.sent)), sent)


def _body(chance: Random, series: str, ordinal: int, kind: str) -> bytes:
    if kind == "same":
        return b"same"
    if kind == "small":
        size = 0 if chance.random() < 0.1 else chance.randint(1, SMALL_BYTES - 1)
    elif kind == "mixed":
        size = chance.randint(0, 3 * SUB_BLOCK_BYTES)
    else:
        size = chance.randint(SMALL_BYTES, 5 * SUB_BLOCK_BYTES)
    return blake2b(f"{series}/{ordinal}".encode(), digest_size=64).digest()[:size]


def _payload(plan: Plan, chance: Random, series: str, ordinal: int, total: int, body: bytes) -> Sent:
    headers: Any = {"brh_series_type": series, "brh_ordinal": ordinal, "brh_total_count": total}
    if chance.random() < 0.2:
        headers["brh_sha256"] = sha256(body).hexdigest()
    if chance.random() < 0.2:
        headers["brh_content_length"] = len(body)
    properties = commands.Basic.Properties(message_type="brh.payload.v1", correlation_id=plan.id, headers=headers)
    small = len(body) < SMALL_BYTES if chance.random() < 0.95 else chance.random() < 0.5
    queue = topology.SMALL_PAYLOADS if small else topology.PAYLOADS
    return Sent(plan, queue, properties, body, series, ordinal, total)


def _header(plan: Plan, chance: Random, **more: Any) -> Sent:
    said: dict[str, Any] = {"series": [], **more}
    for series, total in plan.totals.items():
        spec: dict[str, Any] = {"type": series}
        if total == 0 or chance.random() < 0.5:
            spec["totalCount"] = total
        said["series"].append(spec)
    if "partial" in plan.quirks:
        said["onTimeout"] = "partial"
    if "keep first" in plan.quirks:
        said["onConflict"] = "keep-first"
    properties = commands.Basic.Properties(
        message_type="brh.header.v1",
        correlation_id=plan.id,
        content_type="application/json",
        reply_to="replies" if chance.random() < 0.2 else "nobody" if chance.random() < 0.1 else None,
    )
    return Sent(plan, topology.HEADERS, properties, json.dumps(said).encode())


def _refused(plan: Plan, chance: Random, like: Sent) -> list[Sent]:
    """Messages that can never be accepted."""
    wrong: list[dict[str, Any]] = [
        {"brh_ordinal": like.total + 1},
        {"brh_ordinal": 0},
        {"brh_sha256": "0" * 64},
        {"brh_content_length": len(like.body) + 1},
        {"brh_series_type": "../s"},
    ]
    found = []
    for headers in wrong:
        sent = _payload(plan, chance, like.series or "", like.ordinal, like.total, like.body)
        sent.properties.headers = {**(sent.properties.headers or {}), **headers}
        found.append(sent)
    header = _header(plan, chance)
    header.body = b'{"series": []}'
    found.append(header)
    for sent in found:
        sent.valid = False
    return found
