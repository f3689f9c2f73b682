"""The way in and the way out at the same time, in one process, and nothing between them.

Lanes drain the queue while other blocks of the same sizes go from memory into storage. That spends what RabbitMQ, the
storage and a bridge have to spend on the same machine, but nobody waits for anybody: what a bridge falls short of it
is the bridge's own doing. `python -m benchmarks.both_ways COUNT SIZE`.
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.lane_drain import drain
from benchmarks.raw_put_block import put_blocks
from benchmarks.told import tell
from bridge.settings import BridgeSettings, load
from bridge.topology import PAYLOADS


async def _both(settings: BridgeSettings, count: int, size: int) -> None:
    await asyncio.gather(
        drain(settings, PAYLOADS, count),
        put_blocks(settings, count, size),
    )


if __name__ == "__main__":
    asyncio.run(tell(_both(load(BridgeSettings), int(sys.argv[1]), int(sys.argv[2]))))
