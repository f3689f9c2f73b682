"""An installation in a world: brokers, storage, and processes that a supervisor starts again when they have ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from bridge.settings import BridgeSettings
from streams.settings import DeliverySettings, TrackerSettings
from streams.topics import Topics
from tables.policies import Limits, Policies
from tests.sim.bridge import SimBridge
from tests.sim.delivery import Delivery
from tests.sim.group import Group
from tests.sim.kafka import Kafka, Trouble
from tests.sim.process import Process
from tests.sim.rabbit import Rabbit
from tests.sim.storage import Storage, Weather
from tests.sim.tracker import Tracker
from tests.sim.world import World

PARTITIONS: Final = 3
SESSION_S: Final = 15.0
SILENCE_S: Final = 40.0
SHORT: Final = Limits(header_s=100, idle_s=40, awaiting_s=240, completing_s=120, completing_max_s=4_000)
LONG: Final = Limits(header_s=4 * 86_400, idle_s=600, awaiting_s=6 * 86_400, completing_s=120, completing_max_s=4_000)
MEMORY_BYTES: Final = (9_000, 12_000, 100_000)
"""Of a bridge: a refusal alone takes 8 KiB."""


@cache
def settings(dedupe_s: float = 14 * 86_400) -> tuple[BridgeSettings, TrackerSettings, DeliverySettings]:
    """Of all processes of every world."""
    bridge = BridgeSettings(
        _env_file=None,
        partitions=PARTITIONS,
        bridge_silence_s=SILENCE_S,
        watermark_interval_s=5,
        hold_max_s=200,
        lanes=2,
        small_prefetch=64,
        header_prefetch=4,
    )
    tracker = TrackerSettings(
        _env_file=None,
        partitions=PARTITIONS,
        bridge_silence_s=SILENCE_S,
        redrive_interval_s=15,
        row_interval_s=1,
        dedupe_retention_s=dedupe_s,
    )
    delivery = DeliverySettings(
        _env_file=None,
        partitions=PARTITIONS,
        deliveries_in_flight=4,
        delivery_attempt_s=60,
        commits_in_flight=2,
        sweep_interval_s=120,
        sweep_untold_s=90,
        sweep_page_blobs=7,
    )
    return bridge, tracker, delivery


class Installation:
    """Everything of one world."""

    def __init__(
        self,
        world: World,
        *,
        bridges: int,
        trackers: int,
        deliveries: int,
        static: bool,
        limits: Limits,
        dedupe_s: float,
    ) -> None:
        self.world = world
        self.kafka = Kafka(world, PARTITIONS)
        self.rabbit = Rabbit(world)
        self.storage = Storage(world)
        self.weather = Weather()
        self.trouble = Trouble()
        self.topics = Topics("brh", PARTITIONS)
        self.limits = limits
        self.policies = Policies(limits)
        self._dedupe_s = dedupe_s
        self.tracking = Group(world, "trackers", PARTITIONS, SESSION_S)
        self.delivering = Group(world, "deliveries", PARTITIONS, SESSION_S)
        self.static = static
        self.on_recovered: Callable[[Tracker, int], None] = lambda _tracker, _partition: None
        self.processes: dict[str, Process] = {}
        """By slot: the one that runs there, or ran last."""
        self.stays_down: set[str] = set()
        """Slots whose process is not started again."""
        self._starts = 0
        for kind, count in (("bridge", bridges), ("tracker", trackers), ("delivery", deliveries)):
            for number in range(count):
                self.start(f"{kind}-{number}")

    def start(self, slot: str) -> None:
        """Start a process in a slot that has none that lives."""
        known = self.processes.get(slot)
        if known is not None and known.alive:
            return
        self._starts += 1
        name = f"{slot}.{self._starts}"
        kind = slot.partition("-")[0]
        process: Process
        if kind == "bridge":
            process = self._bridge(name)
        elif kind == "tracker":
            process = self._tracker(name, slot)
        else:
            process = self._delivery(name, slot)
        process.on_end = lambda _process, _why: self._ended(slot)
        self.processes[slot] = process

    def start_for_good(self, slot: str) -> None:
        """Start it, and again whenever it ends."""
        self.stays_down.discard(slot)
        self.start(slot)

    def running(self, kind: str) -> list[Process]:
        """Processes of a kind that live, frozen ones as well."""
        return [p for slot, p in self.processes.items() if slot.startswith(kind) and p.alive]

    def _ended(self, slot: str) -> None:
        if slot not in self.stays_down:
            self.world.after(self.world.chance.uniform(0.5, 8.0), self._revive, slot)

    def _revive(self, slot: str) -> None:
        if slot not in self.stays_down:
            self.start(slot)

    def _bridge(self, name: str) -> SimBridge:
        return SimBridge(
            self.world,
            name,
            rabbit=self.rabbit,
            kafka=self.kafka,
            storage=self.storage,
            weather=self.weather,
            trouble=self.trouble,
            settings=settings()[0],
            memory_bytes=self.world.chance.choice(MEMORY_BYTES),
        )

    def _tracker(self, name: str, slot: str) -> Tracker:
        tracker = Tracker(
            self.world,
            name,
            slot=slot,
            group=self.tracking,
            kafka=self.kafka,
            trouble=self.trouble,
            settings=settings(self._dedupe_s)[1],
            policies=self.policies,
        )
        tracker.on_recovered = lambda partition: self.on_recovered(tracker, partition)
        tracker.start(static=self.static)
        return tracker

    def _delivery(self, name: str, slot: str) -> Delivery:
        delivery = Delivery(
            self.world,
            name,
            slot=slot,
            group=self.delivering,
            kafka=self.kafka,
            trouble=self.trouble,
            storage=self.storage,
            weather=self.weather,
            rabbit=self.rabbit,
            settings=settings()[2],
        )
        delivery.start(static=self.static)
        return delivery
