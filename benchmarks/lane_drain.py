"""A lane that takes small messages and keeps nothing; `--drain COUNT` prints the seconds that takes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from bridge.amqp_address import AmqpAddress
from bridge.frames import Body
from bridge.inflow import WholeBody
from bridge.lane import Incoming, Lane
from bridge.layout import MIB
from bridge.memory import Memory
from bridge.settings import BridgeSettings, load
from bridge.topology import SMALL_PAYLOADS

ACK_EVERY = 100


async def _drain(settings: BridgeSettings, count: int) -> float:
    memory = Memory(64 * MIB)
    tags: list[int] = []
    done = asyncio.Event()
    taken = 0

    def accept(incoming: Incoming) -> Body:
        def arrived(body: bytes, release: Callable[[], None]) -> None:
            nonlocal taken
            release()
            taken += 1
            tags.append(incoming.tag)
            if len(tags) == ACK_EVERY or taken == count:
                incoming.lane.ack(tags)
                tags.clear()
            if taken == count:
                done.set()

        return WholeBody(incoming.size, memory=memory, proceed=incoming.lane.proceed, done=arrived)

    began = time.perf_counter()
    lane = await Lane.open(
        AmqpAddress.parse(settings.amqp_url),
        SMALL_PAYLOADS,
        prefetch=settings.small_prefetch,
        accept=accept,
        name="drain",
    )
    await done.wait()
    seconds = time.perf_counter() - began
    await lane.close()
    return seconds


if __name__ == "__main__":
    print(asyncio.run(_drain(load(BridgeSettings), int(sys.argv[2]))))
