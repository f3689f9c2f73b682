"""What goes wrong in a world: each seed has some kinds of faults, at rates of its own, and then they end.

A swarm: faults that are always all on hide each other, so every seed leaves most of them out. Some happen now and then
(`EVENTS`), and some to every request with a probability (`RATES`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Final, TypeVar

from tests.sim.bridge import SimBridge
from tests.sim.checks import Checks
from tests.sim.installation import Installation
from tests.sim.nights import DAY_S, Nights
from tests.sim.process import Process
from tests.sim.rebuild import lose_topics
from tests.sim.worker import Worker
from tests.sim.workload import Workload
from tests.sim.world import World

KINDS: Final = ("bridge", "tracker", "delivery")
_T = TypeVar("_T")
AWAY_MAX_S: Final = 13 * DAY_S
"""All nights together: the events topic keeps records for 14 days, and what nobody has read by then is lost."""
RARE, OFTEN, MOSTLY = 0.01, 0.1, 0.4


class Faults:
    """Those of one run."""

    def __init__(
        self, world: World, installation: Installation, workload: Workload, checks: Checks, nights: Nights
    ) -> None:
        self.world = world
        self._checks = checks
        self._nights = nights
        self._in = installation
        self._workload = workload
        chance = world.chance
        self._steps_max = chance.choice((2_000, 6_000, 12_000))
        self._every = chance.choice((60, 250, 1_000))
        """Steps between two events, on average."""
        self._next = 0
        self._over = False
        share = chance.choice((0.1, 0.3, 0.6))
        self._kinds = [kind for kind in self._events() if chance.random() < share]
        for rate in self._rates():
            if chance.random() < share:
                rate(chance.choice((RARE, OFTEN, OFTEN, MOSTLY)))
        self._draw_next()

    def _events(self) -> list[Callable[[], None]]:
        return [
            *(lambda kind=kind: self._kill(kind) for kind in KINDS),
            *(lambda kind=kind: self._freeze(kind) for kind in KINDS),
            self._stop_bridge,
            *(lambda kind=kind: self._away(kind) for kind in KINDS),
            self._worker_comes_or_goes,
            self._cut_lane,
            self._restart_rabbit,
            self._rabbit_down,
            self._alarm,
            self._partition_down,
            self._new_leader,
            self._lose_offsets,
            self._compact,
            self._storage_down,
            self._wrong_clock,
            self._night,
            self._lose_topics,
            self._workload.answer,
        ]

    def _rates(self) -> list[Callable[[float], None]]:
        weather, trouble, rabbit = self._in.weather, self._in.trouble, self._in.rabbit
        owners: list[tuple[object, str]] = [
            *((weather, name) for name in ("lost", "unanswered", "repeated", "late", "slow")),
            *((trouble, name) for name in ("lost", "unacknowledged", "slow", "commits_lost")),
            *((rabbit, name) for name in ("busy", "unheard", "unsent")),
            (self._workload, "unconfirmed"),
        ]
        return [lambda rate, owner=owner, name=name: setattr(owner, name, rate) for owner, name in owners]

    def go_on(self) -> bool:
        """Do what is due before a step; False when the time of faults is over."""
        steps = self.world.steps
        if steps >= self._next and self._kinds:
            self._pick(self._kinds)()
            self._draw_next()
        return steps < self._steps_max

    def end(self) -> None:
        """Nothing goes wrong any more."""
        self.world.note("peace")
        self._over = True
        for rate in self._rates():
            rate(0.0)
        self._in.weather.down = self._in.rabbit.down = False
        self._in.rabbit.blocked_until_s = 0.0
        for slot in sorted(self._in.stays_down):
            self._in.start_for_good(slot)
        for process in self._in.processes.values():
            if process.frozen:
                process.thaw()
        for logs in (self._in.kafka.events, self._in.kafka.deliveries, self._in.kafka.outcomes):
            for each in logs:
                each.down_until_s = 0.0
        for changelogs in (self._in.kafka.receipts, self._in.kafka.transactions):
            for changelog in changelogs:
                changelog.down_until_s = 0.0

    def _draw_next(self) -> None:
        self._next = self.world.steps + 1 + int(-log(1.0 - self.world.chance.random()) * self._every)

    def _pick(self, some: Sequence[_T]) -> _T:
        return some[int(self.world.chance.random() * len(some))]

    # Processes

    def _one(self, kind: str) -> Process | None:
        running = self._in.running(kind)
        return self._pick(running) if running else None

    def _kill(self, kind: str) -> None:
        if (process := self._one(kind)) is not None:
            self.world.fault(f"{kind} killed")
            process.end("killed")

    def _freeze(self, kind: str) -> None:
        process = self._one(kind)
        if process is not None and not process.frozen:
            self.world.fault(f"{kind} frozen")
            process.freeze()
            self.world.after(self.world.chance.choice((2.0, 10.0, 20.0, 50.0, 300.0)), self._thaw, process)

    def _thaw(self, process: Process) -> None:
        if process.frozen:
            process.thaw()

    def _stop_bridge(self) -> None:
        process = self._one("bridge")
        if isinstance(process, SimBridge) and not process.frozen:
            self.world.fault("bridge stopped")
            process.stop()

    def _away(self, kind: str) -> None:
        """None of a kind runs for a while."""
        self.world.fault(f"no {kind}")
        for slot, process in self._in.processes.items():
            if slot.startswith(kind) and process.alive:
                self._in.stays_down.add(slot)
                process.end("killed")
                self.world.after(self._for_s(), self._in.start_for_good, slot)

    def _for_s(self) -> float:
        return self.world.chance.choice((2.0, 10.0, 60.0, 600.0))

    def _worker_comes_or_goes(self) -> None:
        slot = self._pick(["tracker-9", "delivery-9"])
        known = self._in.processes.get(slot)
        self.world.fault("worker comes or goes")
        if known is not None and known.alive and isinstance(known, Worker):
            self._in.stays_down.add(slot)
            known.leave()
        else:
            self._in.stays_down.discard(slot)
            self._in.start(slot)

    def _wrong_clock(self) -> None:
        if (process := self._one(self._pick(KINDS))) is not None:
            self.world.fault("process with a wrong clock")
            process.skew_s = self.world.chance.choice((-3_600.0, -5.0, 5.0, 3_600.0))

    def _night(self) -> None:
        for_s = self.world.chance.choice((600.0, 0.5 * DAY_S, DAY_S, 2.5 * DAY_S, 8 * DAY_S))
        if self.world.now_s + for_s > AWAY_MAX_S:
            return
        if self.world.happens(0.5):
            self._nights.suspended(for_s)
        else:
            self._nights.switched_off(for_s)

    # RabbitMQ

    def _cut_lane(self) -> None:
        process = self._one("bridge")
        if isinstance(process, SimBridge) and (lanes := [c for c in process.connections if c.closed is None]):
            self.world.fault("rabbit lane cut")
            self._pick(lanes).lose()

    def _restart_rabbit(self) -> None:
        self.world.fault("rabbit restarted")
        self._in.rabbit.restart()

    def _rabbit_down(self) -> None:
        if not self._in.rabbit.down:
            self.world.fault("rabbit down")
            self._in.rabbit.down = True
            self._in.rabbit.restart()
            self.world.after(self._for_s(), self._rabbit_up)

    def _rabbit_up(self) -> None:
        self._in.rabbit.down = False

    def _alarm(self) -> None:
        self.world.fault("rabbit alarm")
        self._in.rabbit.blocked_until_s = self.world.now_s + self._for_s()

    # Kafka

    def _partition_down(self) -> None:
        kafka = self._in.kafka
        logs = [*kafka.events, *kafka.deliveries, *kafka.outcomes, *kafka.receipts, *kafka.transactions]
        self.world.fault("kafka partition down")
        self._pick(logs).down_until_s = self.world.now_s + self._for_s()

    def _new_leader(self) -> None:
        self.world.fault("kafka leader with another clock")
        self._pick(self._in.kafka.events).skew_s = self.world.chance.uniform(-300.0, 300.0)

    def _lose_offsets(self) -> None:
        self.world.fault("kafka offsets lost")
        self._pick([self._in.tracking, self._in.delivering]).committed.clear()

    def _lose_topics(self) -> None:
        if not self._checks.results.topics_lost and self.world.happens(0.3):
            self.world.fault("kafka topics lost")
            lose_topics(self._in, self._checks)

    def _compact(self) -> None:
        self.world.fault("kafka changelogs compacted")
        for changelog in (*self._in.kafka.receipts, *self._in.kafka.transactions):
            changelog.compact()

    # Storage

    def _storage_down(self) -> None:
        if not self._in.weather.down:
            self.world.fault("storage outage")
            self._in.weather.down = True
            self.world.after(self._for_s(), self._storage_up)

    def _storage_up(self) -> None:
        self._in.weather.down = False
