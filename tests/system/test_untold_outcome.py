"""An outcome that everybody has forgotten is told by the installation itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.outcome import write_outcome
from tests.support.deliveries import below
from tests.support.outside import kafka_records, listening
from tests.support.result import Result
from tests.support.world import World


@pytest.fixture
def sweeping(stack_env: dict[str, str], tmp_path: Path) -> Iterator[World]:
    env = {"BRH_SWEEP_INTERVAL_S": "0.5", "BRH_SWEEP_UNTOLD_S": "2"}
    world = World(stack_env, tmp_path / "world", bridges=0, env=env)
    world.start()
    yield world
    world.stop()


async def test_an_outcome_that_nobody_was_told_of_is_told_and_cleaned_up_behind(sweeping: World) -> None:
    result = Result({"a": [b"a1", b"a2"]}, name="T1")
    async with sweeping.blobs() as blobs, listening(sweeping) as heard:
        await result.stage_all(blobs)
        await write_outcome(blobs, result.failed(), ())
        (message,) = await heard.wait("T1")
        event = json.loads(message.body)
        assert event["type"] == "brh.transaction.failed.v1"
        shown = await asyncio.to_thread(sweeping.wait_state, "T1", ["Failed"])
        assert shown["timestamps"]["completed"] == event["time"]
        assert [each.name for each in await below(blobs, "T1")] == ["T1/_outcome.json", "T1/_told.json"]
        await result.stage(blobs, "a", 1)
        async with asyncio.timeout(60):
            while len(await below(blobs, "T1")) > 2:
                await asyncio.sleep(0.05)
    assert [json.loads(each) for each in await kafka_records(sweeping, sweeping.topics.outcomes, "T1")] == [event]
