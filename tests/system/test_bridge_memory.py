"""What a bridge needs of memory does not depend on how large its messages are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.outside import Chunks, assert_result, publish
from tests.support.world import World

pytestmark = pytest.mark.timeout(400)
PEAK_MAX_MIB = 160
DIFFERENCE_MAX_MIB = 10


def peak_mib(world: World) -> float:
    """Of the bridge's resident set, since it began."""
    status = Path(f"/proc/{world.pid('bridge-1')}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


async def test_bodies_of_250_mb_need_hardly_more_than_bodies_of_8_mb(make_world: Callable[..., World]) -> None:
    world = make_world()
    peaks = []
    for size in (8_000_000, 250_000_000):
        transaction = f"T-{uuid4().hex[:12]}"
        series = {"big": Chunks(transaction, [size] * 4)}  # one for each lane
        await publish(world, transaction, series)
        world.wait_state(transaction, {"Completed"}, timeout_s=180)
        await assert_result(world, transaction, series)
        peaks.append(peak_mib(world))
    assert peaks[1] <= PEAK_MAX_MIB
    assert peaks[1] - peaks[0] <= DIFFERENCE_MAX_MIB, peaks
