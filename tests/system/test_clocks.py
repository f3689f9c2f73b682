"""Clocks that are an hour wrong make nobody late, and keep nobody from being late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace

from streams.supervisor import Child, children
from tests.support.hasty import hasty_world
from tests.support.outside import Chunks, assert_result, publish_header, publish_payloads
from tests.support.world import World

TYPES = """
[default]
header = "PT10M"
awaiting = "PT10M"
[types.patient]
awaiting = "PT4S"
"""
HOURS_WRONG = {"bridge": 1, "tracker": -1, "delivery": 1}
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
MARGIN_S = 90.0


def wrong(child: Child, sign: int) -> Child:
    """The same process by a clock that is wrong; how much time passes it sees rightly."""
    assert LIBRARY is not None, "scripts/setup installs libfaketime"
    hours = sign * HOURS_WRONG[child.name.rpartition("-")[0]]
    fake = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"{hours:+d}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return replace(child, env={**child.env, **fake})


@pytest.fixture(params=[1, -1], ids=["tracker behind", "tracker ahead"])
def confused(request: pytest.FixtureRequest, stack_env: dict[str, str], tmp_path: Path) -> Iterator[World]:
    world = hasty_world(stack_env, tmp_path, TYPES)
    world.provision()
    world.run([wrong(child, request.param) for child in children(bridges=1, trackers=1, deliveries=1, env=world.env)])
    world.wait_ready()
    yield world
    world.stop()


async def test_who_is_late_is_late_by_the_brokers_clock_alone(confused: World) -> None:
    patient, late = f"T-{uuid4().hex[:12]}", f"T-{uuid4().hex[:12]}"
    series = {"a": Chunks(patient, [10] * 2)}
    await publish_header(confused, patient, {"series": [{"type": "a"}]})
    await publish_payloads(confused, patient, series, [1])
    await publish_header(confused, late, {"transactionType": "patient", "series": [{"type": "a"}]})
    await publish_payloads(confused, late, {"a": Chunks(late, [10] * 2)}, [1])
    row = await asyncio.to_thread(confused.wait_state, late, ["Abandoned"], MARGIN_S)
    assert row["problem"]["code"] == "timeout"
    # An hour is six times what the other one may wait, and by now the watermark has been judged again and again.
    row = confused.transaction(patient)
    assert row is not None
    assert row["state"] == "AwaitingResults"
    await publish_payloads(confused, patient, series, [2])
    await asyncio.to_thread(confused.wait_state, patient, ["Completed"], MARGIN_S)
    await assert_result(confused, patient, series)
