"""The whole bridge inside a test: RabbitMQ and Kafka are real, storage is behind a proxy, every delivery is noted.

It tries a request to storage once before the hold takes over, and its pauses are short: what takes a process a minute
takes it a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from bridge import azure_blobs, azure_client, hold
from bridge.azure_retry import Backoff
from bridge.frames import Body
from bridge.headers import HeaderIntake
from bridge.hold import Breaker
from bridge.lane import Incoming
from bridge.memory import Memory
from bridge.payloads import PayloadIntake
from bridge.service import Bridge
from bridge.settings import BridgeSettings
from tests.support.azure import behind
from tests.support.fault_proxy import FaultProxy
from tests.support.world import World, free_port

PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 0.5


class Delivery(NamedTuple):
    message_id: str | None
    redelivered: bool


class InnerBridge:
    """A running one, and what it was given so far."""

    def __init__(self, bridge: Bridge, deliveries: list[Delivery]) -> None:
        self._bridge = bridge
        self.deliveries = deliveries

    @property
    def storage(self) -> Breaker:
        return self._intake._outlets.storage

    @property
    def memory(self) -> Memory:
        return self._intake._memory

    @property
    def _intake(self) -> PayloadIntake:
        found = [intake for intake in self._bridge._intakes if isinstance(intake, PayloadIntake)]
        return found[0]

    @property
    def redelivered(self) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.redelivered]

    @property
    def open_lanes(self) -> set[int]:
        """The lanes that are open now."""
        return {id(lane) for lanes in self._bridge._lanes for lane in lanes._open.values() if not lane.closed}


def settings_of(world: World, **changes: Any) -> BridgeSettings:
    found = {name.removeprefix("BRH_").lower(): value for name, value in world.env.items()}
    return BridgeSettings(**{**found, "bridge_bind": f"127.0.0.1:{free_port()}", **changes})


@asynccontextmanager
async def inner_bridge(
    world: World, proxy: FaultProxy | None = None, *, answer_within_s: float = 30, **changes: Any
) -> AsyncIterator[InnerBridge]:
    """A bridge of that installation; `changes` are settings, `answer_within_s` is its patience with one request."""
    if proxy is not None:
        changes["blob_connection_string"] = behind(proxy.url, world.env["BRH_BLOB_CONNECTION_STRING"])
    deliveries: list[Delivery] = []

    def noted(accept: Callable[[Any, str, Incoming], Body]) -> Callable[[Any, str, Incoming], Body]:
        def noted_accept(self: Any, queue: str, incoming: Incoming) -> Body:
            deliveries.append(Delivery(incoming.properties.message_id, incoming.redelivered))
            return accept(self, queue, incoming)

        return noted_accept

    with pytest.MonkeyPatch.context() as patch:
        for kind in (PayloadIntake, HeaderIntake):
            patch.setattr(kind, "accept", noted(kind.accept))
        patch.setattr(azure_blobs, "Backoff", lambda: Backoff(0))
        patch.setattr(azure_client, "READ_TIMEOUT_S", answer_within_s)
        patch.setattr(hold, "PAUSE_FIRST_S", PAUSE_FIRST_S)
        patch.setattr(hold, "PAUSE_MAX_S", PAUSE_MAX_S)
        bridge = Bridge(settings_of(world, **changes))
        await bridge.start()
        try:
            yield InnerBridge(bridge, deliveries)
            assert bridge.crash_reason is None
        finally:
            await bridge.stop()
