"""All producers of a world, and operators who give commands; the ledger of what they did is what the checks believe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from bridge.contract import events
from bridge.contract.events import Command
from bridge.contract.outbound import Ranges
from tests.sim.kafka import Kafka
from tests.sim.plans import Plan, Sent, draw
from tests.sim.rabbit import Rabbit
from tests.sim.world import EPOCH, World

SPREAD_S: Final = 30.0
"""How long the messages of a transaction take to be sent, most of the time."""
SLOW_S: Final = 400.0
LATE_S: Final = 400.0
COMMANDS: Final = ("cancel", "extend", "retry")


class Workload:
    """Sends what is planned, in time or not."""

    def __init__(self, world: World, rabbit: Rabbit, kafka: Kafka, *, transactions: int, spread_s: float) -> None:
        self.world = world
        self._rabbit = rabbit
        self._kafka = kafka
        self.plans: dict[str, Plan] = {}
        self.unconfirmed = 0.0
        """How likely a producer does not hear that its message was taken, and sends it again."""
        self.lost: Callable[[str], Mapping[str, Ranges | None]] = lambda _transaction: {}
        """What the API says: accepted payloads that are not staged any more, by series."""
        self.known: Callable[[str], bool] = lambda _transaction: False
        """What the API says: whether there is such a transaction."""
        self._to_send = 0
        for number in range(transactions):
            plan = draw(world.chance, f"T{world.seed}-{number}")
            plan.begun_s = world.chance.uniform(0, spread_s)
            self.plans[plan.id] = plan
            self._schedule(plan)

    @property
    def done(self) -> bool:
        """Everything is sent."""
        return not self._to_send

    def answer(self) -> None:
        """Send again what storage has lost, as the API's list of gaps names it."""
        for plan in self.plans.values():
            lost = self.lost(plan.id)
            for sent in plan.sent if lost else ():
                if sent.valid and _is_among(lost, sent):
                    self.world.fault("producer sends lost payload again")
                    self._later(self.world.now_s, sent)

    def _schedule(self, plan: Plan) -> None:
        chance = self.world.chance
        spread_s = SLOW_S if "slow producer" in plan.quirks else chance.choice((0.02, SPREAD_S))
        for sent in plan.sent:
            self._later(plan.begun_s + chance.random() * spread_s, sent)
        for sent in plan.sent:
            if chance.random() < 0.1:
                self._later(plan.begun_s + chance.random() * SPREAD_S * 3, sent)
            if "late duplicates" in plan.quirks and chance.random() < 0.3:
                self._later(plan.begun_s + SPREAD_S + chance.random() * LATE_S, sent)
        for action in COMMANDS:
            if action in plan.quirks:
                self._to_send += 1
                self.world.at(plan.begun_s + chance.random() * SPREAD_S * 4, self._order, plan, action)

    def _later(self, moment_s: float, sent: Sent) -> None:
        self._to_send += 1
        self.world.at(moment_s, self._send, sent)

    def _send(self, sent: Sent) -> None:
        if self._rabbit.down:
            self.world.after(1.0, self._send, sent)
            return
        self._to_send -= 1
        sent.copies += 1
        if sent.queued_by_clock is None:
            sent.queued_by_clock = self._clock_s(sent.plan)
        self._rabbit.publish(sent.queue, sent.properties, sent.body, "", sent)
        if self.world.happens(self.unconfirmed):
            self.world.fault("rabbit publisher sends again")
            self._later(self.world.now_s + self.world.chance.uniform(0, 5), sent)

    def _clock_s(self, plan: Plan) -> float:
        log = self._kafka.events[self._kafka.partition_of(plan.id)]
        return (self.world.now() + timedelta(seconds=log.skew_s) - EPOCH).total_seconds()

    def _order(self, plan: Plan, action: str) -> None:
        """As the API publishes a command, for what it has heard of."""
        self._to_send -= 1
        if not self.known(plan.id):
            return
        self.world.note("command", action, plan.id)
        said = Command(plan.id, f"{action}-1", action, "ann", self.world.now(), 60.0 if action == "extend" else 0.0)  # type: ignore[arg-type]
        self._kafka.events[self._kafka.partition_of(plan.id)].append(plan.id.encode(), events.encode(said), said)


def _is_among(lost: Mapping[str, Ranges | None], sent: Sent) -> bool:
    if sent.series not in lost:
        return False
    ranges = lost[sent.series]
    return ranges is None or any(first <= sent.ordinal <= last for first, last in ranges)


__all__ = ["Plan", "Sent", "Workload"]
