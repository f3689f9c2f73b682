"""The bridge process: consumers on RabbitMQ, and everything they need. Stateless; start as many as you like."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import structlog
from mode import Service

from bridge import broker_check, metrics, storage_check, topology, tracing
from bridge.amqp_address import AmqpAddress
from bridge.azure_blobs import AzureBlobs
from bridge.crash_points import crash_point
from bridge.decoding import decode_whatever_comes
from bridge.exposition import Exposition
from bridge.facts import Facts
from bridge.headers import HeaderIntake
from bridge.health import Health
from bridge.intake import Intake
from bridge.lane import LaneClosed
from bridge.lanes import Lanes
from bridge.layout import MIB, sub_block_bytes
from bridge.memory import Memory
from bridge.notices import Notices
from bridge.outlets import Outlets
from bridge.payloads import PayloadIntake
from bridge.settings import BridgeSettings, SettingsError
from bridge.surroundings import look_around
from bridge.watermarks import Watermarks, unheard_max_s

_log = structlog.get_logger()

DRAIN_MAX_S: Final = 5.0
"""How long a stopping bridge finishes what it has in hand; what is left is delivered again by the broker. With what the
farewells to both brokers may take (`CLOSE_TIMEOUT_S`, `LEAVE_TIMEOUT_S`) it stays below the 10 s that containers are
given by default."""


def bridge_name(settings: BridgeSettings) -> str:
    """Which bridge this is, to brokers and in logs."""
    return settings.bridge_id or f"{socket.gethostname()}-{os.getpid()}"


class Bridge(Service):
    """RabbitMQ's messages become blocks in storage and facts on Kafka."""

    def __init__(self, settings: BridgeSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._name = bridge_name(settings)
        self._intakes: list[Intake] = []
        self._lanes: list[Lanes] = []
        self._watermarks: Watermarks | None = None
        self._outlets: Outlets | None = None
        self._consuming = False

    async def on_start(self) -> None:
        """Connect to all three systems, then begin to consume."""
        decode_whatever_comes()
        tracing.start(self._settings, "brh-bridge", self._name)
        settings = self._settings
        address = AmqpAddress.parse(settings.amqp_url)
        longest_s = unheard_max_s(settings, address.heartbeat_s)
        looks = {"RabbitMQ": partial(broker_check.look, settings), "storage": partial(storage_check.look, settings)}
        if why := await look_around(self, profile=settings.profile, looks=looks):
            raise SettingsError(why)
        blobs = await self.add_async_context(AzureBlobs(settings))
        facts = await self.add_async_context(Facts(settings))
        notices = await self.add_async_context(Notices(settings.amqp_url, f"brh bridge {self._name} (notices)"))
        self._outlets = outlets = Outlets(
            blobs, facts, notices, instance=settings.instance, hold_max_s=settings.hold_max_s
        )
        memory = Memory(settings.memory_mb * MIB)
        metrics.MEMORY_LIMIT_BYTES.set(memory.limit_bytes)
        metrics.MEMORY_BYTES.set_function(lambda: memory.held_bytes)
        memory.touch(settings.lanes * settings.blocks_in_flight * sub_block_bytes(1))
        watermarks = self._watermarks = Watermarks(
            facts, self._name, settings, unheard_max_s=longest_s, crash=self._broken
        )
        metrics.HEARD_SECONDS.set_function(lambda: watermarks.unheard_s)
        exposition = Exposition(metrics.Kind.BRIDGE, self._look)
        await self.add_async_context(Health(settings.bridge_bind, self._unready, exposition))
        # Before anything is consumed: a bridge that nobody knows of answers for nothing.
        await watermarks.start()
        _log.info("bridge begins to consume", bridge=self._name)
        for lanes in self._consumers(address, outlets, memory, watermarks):
            watermarks.follow(lanes)
            self._lanes.append(lanes)
            try:
                await lanes.start()
            except (LaneClosed, OSError) as error:
                raise SettingsError(f"queue {lanes.queue} cannot be consumed ({error}): run `brh setup`") from error
        self._consuming = True
        _log.info("bridge is consuming", lanes=settings.lanes, memory_mb=settings.memory_mb)

    def _consumers(
        self, address: AmqpAddress, outlets: Outlets, memory: Memory, watermarks: Watermarks
    ) -> Iterator[Lanes]:
        settings = self._settings
        headers = HeaderIntake(outlets, memory, self._broken)
        payloads = PayloadIntake(outlets, memory, settings, self._broken)
        self._intakes = [headers, payloads]
        kinds: tuple[tuple[str, Intake, int, int], ...] = (
            (topology.HEADERS, headers, 1, settings.header_prefetch),
            (topology.PAYLOADS, payloads, settings.lanes, 1),
            (topology.SMALL_PAYLOADS, payloads, 1, settings.small_prefetch),
        )
        for queue, intake, count, prefetch in kinds:
            yield Lanes(
                address,
                queue,
                count=count,
                prefetch=prefetch,
                accept=partial(intake.accept, queue),
                name=f"brh bridge {self._name}",
                storage=outlets.storage,
                crash=self._broken,
                gave_back=watermarks.gave_back,
            )

    async def on_stop(self) -> None:
        """Take nothing new, finish what is in hand, then let go."""
        self._consuming = False
        for lanes in self._lanes:
            lanes.drain()
        await asyncio.gather(*(intake.finish(DRAIN_MAX_S) for intake in self._intakes))
        crash_point("bridge.drained")
        await asyncio.gather(*(lanes.stop() for lanes in self._lanes))
        # Before storage and Kafka are let go: who still needed them would take that for a mistake of ours.
        await asyncio.gather(*(intake.give_up() for intake in self._intakes))
        if self._watermarks is not None:
            await self._watermarks.stop()
        await asyncio.to_thread(tracing.stop)

    def _unready(self) -> str:
        """What keeps us from consuming; empty when nothing does."""
        if not self._consuming:
            return "it is starting, or ending"
        if self._watermarks is not None and self._watermarks.lost:
            return "Kafka has not heard its watermarks for too long"
        if self._outlets is not None and (sick := self._outlets.sick):
            return f"it holds deliveries, because {' and '.join(sick)} failed"
        closed = [lanes.queue for lanes in self._lanes if len(lanes.open) < lanes.wanted]
        return f"lanes are closed: {', '.join(closed)}" if closed else ""

    def _look(self) -> None:
        for lanes in self._lanes:
            hands = [lane.in_hand() for lane in lanes.open]
            metrics.LANES_OPEN.labels(lanes.queue).set(len(hands))
            if not hands:  # nobody asks how many there are
                metrics.QUEUE_MESSAGES.remove(lanes.queue)
            metrics.UNSETTLED.labels(lanes.queue).set(sum(count for count, _ in hands))
            metrics.UNSETTLED_SECONDS.labels(lanes.queue).set(max((age_s for _, age_s in hands), default=0.0))

    def _broken(self, error: Exception) -> None:
        _log.error("bridge ends", exc_info=error)
        self.add_future(self.crash(error))
