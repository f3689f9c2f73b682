"""What producers send in a world, and everything that they know of it: the ledger that the checks believe.

Each transaction is drawn from chance: how many series, how long, which payloads are empty, small or in several blocks,
when the header comes, what comes twice, what contradicts, what never comes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any, Final

from pamqp import commands

from bridge import topology
from tests.sim.rabbit import Message, Rabbit
from tests.sim.scaled import LONG_PART_ORDINALS, SHORT_SERIES, SMALL_BYTES, SUB_BLOCK_BYTES
from tests.sim.world import World

SPREAD_S: Final = 30.0
"""How long the messages of a transaction take to be sent, most of the time."""


@dataclass(eq=False)
class Sent:
    """A message that a producer has sent."""

    plan: Plan
    queue: str
    properties: commands.Basic.Properties
    body: bytes
    series: str | None = None
    """Of a payload; None: it is a header."""
    ordinal: int = 0
    total: int = 0
    queued_s: float | None = None
    """When the broker took its first copy."""
    copies: int = 0
    acked: int = 0
    rejected: int = 0
    valid: bool = True


@dataclass(eq=False)
class Plan:
    """One transaction, as its producers mean it."""

    id: str
    totals: dict[str, int]
    bodies: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """What each ordinal is."""
    sent: list[Sent] = field(default_factory=list)
    complete: bool = True
    """Everything is sent in time, and nothing contradicts."""
    begun_s: float = 0.0
    quirks: set[str] = field(default_factory=set)


class Workload:
    """All producers of a world."""

    def __init__(self, world: World, rabbit: Rabbit, *, transactions: int, spread_s: float) -> None:
        self.world = world
        self._rabbit = rabbit
        self.plans: dict[str, Plan] = {}
        self.unconfirmed = 0.0
        """How likely a producer does not hear that its message was taken, and sends it again."""
        self._to_send = 0
        chance = world.chance
        for number in range(transactions):
            plan = _plan(chance, f"T{world.seed}-{number}")
            self.plans[plan.id] = plan
            plan.begun_s = chance.uniform(0, spread_s)
            self._schedule(plan)

    @property
    def done(self) -> bool:
        """Everything is sent."""
        return not self._to_send

    def _schedule(self, plan: Plan) -> None:
        chance = self.world.chance
        quick = chance.random() < 0.5
        for sent in plan.sent:
            after_s = chance.random() * (0.05 if quick else SPREAD_S)
            self._later(plan.begun_s + after_s, sent)
        for sent in plan.sent:
            if chance.random() < 0.1:
                self._later(plan.begun_s + chance.random() * SPREAD_S * 3, sent)

    def _later(self, moment_s: float, sent: Sent) -> None:
        self._to_send += 1
        self.world.at(moment_s, self._send, sent)

    def send_again(self, sent: Sent) -> None:
        """Somebody asked for it."""
        self._later(self.world.now_s, sent)

    def _send(self, sent: Sent) -> None:
        if self._rabbit.down:
            self.world.after(1.0, self._send, sent)
            return
        self._to_send -= 1
        if sent.queued_s is None:
            sent.queued_s = self.world.now_s
        sent.copies += 1
        self._rabbit.publish(sent.queue, sent.properties, sent.body, "", sent)
        if self.world.happens(self.unconfirmed):
            self.world.fault("rabbit publisher sends again")
            self._later(self.world.now_s + self.world.chance.uniform(0, 5), sent)


def _plan(chance: Random, name: str) -> Plan:
    plan = Plan(name, {})
    for number in range(chance.choice((1, 1, 1, 2, 3))):
        longest = chance.choice((1, 4, SHORT_SERIES, LONG_PART_ORDINALS, 2 * LONG_PART_ORDINALS + 5))
        plan.totals[f"s{number}"] = chance.randint(0 if number else 1, longest)
    for series, total in plan.totals.items():
        kind = chance.choice(("small", "small", "mixed", "large"))
        for ordinal in range(1, total + 1):
            body = _body(chance, f"{name}/{series}/{ordinal}", kind)
            plan.bodies[series, ordinal] = body
            plan.sent.append(_payload(plan, series, ordinal, total, body))
    plan.sent.insert(chance.randint(0, len(plan.sent)), _header(plan, chance))
    return plan


def _body(chance: Random, name: str, kind: str) -> bytes:
    if kind == "small":
        size = chance.randint(0 if chance.random() < 0.1 else 1, SMALL_BYTES - 1)
    elif kind == "mixed":
        size = chance.randint(0, 3 * SUB_BLOCK_BYTES)
    else:
        size = chance.randint(SMALL_BYTES, 5 * SUB_BLOCK_BYTES)
    return blake2b(name.encode(), digest_size=64).digest()[:size]


def _payload(plan: Plan, series: str, ordinal: int, total: int, body: bytes) -> Sent:
    headers: Any = {"brh_series_type": series, "brh_ordinal": ordinal, "brh_total_count": total}
    properties = commands.Basic.Properties(message_type="brh.payload.v1", correlation_id=plan.id, headers=headers)
    queue = topology.SMALL_PAYLOADS if len(body) < SMALL_BYTES else topology.PAYLOADS
    return Sent(plan, queue, properties, body, series, ordinal, total)


def _header(plan: Plan, chance: Random) -> Sent:
    said: dict[str, Any] = {"series": []}
    for series, total in plan.totals.items():
        spec: dict[str, Any] = {"type": series}
        if total == 0 or chance.random() < 0.5:
            spec["totalCount"] = total
        said["series"].append(spec)
    properties = commands.Basic.Properties(
        message_type="brh.header.v1", correlation_id=plan.id, content_type="application/json"
    )
    return Sent(plan, topology.HEADERS, properties, json.dumps(said).encode())


__all__ = ["Message", "Plan", "Sent", "Workload"]
