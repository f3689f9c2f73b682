"""Clean-up against the real service: committers that race it, and processes that die in it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count

import pytest

from bridge.azure_blobs import AzureBlobs
from bridge.contract.events import Delivered
from streams.keep_alive import keep_alive
from tests.support.azure import azure_blobs
from tests.support.deliveries import assert_consistent, below, courier, deliver
from tests.support.posted import Posted
from tests.support.result import Result
from tests.support.stepped import Died, dying_at


@pytest.fixture
async def blobs(blob_connection_string: str) -> AsyncIterator[AzureBlobs]:
    async with azure_blobs(blob_connection_string) as blobs:
        await blobs.create_container()
        yield blobs


def some_result(name: str) -> Result:
    return Result({"a": [b"a1", b"a2"], "b": [b"", b"b2"], "c": []}, name=name)


async def test_racing_deliveries_with_other_verdicts_end_in_one_outcome_and_nothing_else(blobs: AzureBlobs) -> None:
    chance = random.Random(5)
    verdicts = []
    for round_ in range(12):
        result, posted = some_result(f"T{round_}"), Posted()
        await result.stage_all(blobs)
        effects = [result.completed(), result.failed(), result.completed(), result.failed()]
        chance.shuffle(effects)
        done = await asyncio.gather(
            *(deliver(courier(blobs, posted), effect) for effect in effects),
            result.stage_all(blobs),  # a bridge to which everything is delivered again
        )
        answers = [answer for answer in done if isinstance(answer, Delivered)]
        assert len(answers) == len(effects)
        outcome = await assert_consistent(blobs, posted, result.name, answers)
        verdicts.append(outcome["outcome"])
    assert "Failed" in verdicts, "nothing was cleaned up: the test proves nothing"


async def test_a_delivery_can_die_at_every_step_and_the_next_one_finishes_it(blobs: AzureBlobs) -> None:
    for step in count():
        result, posted = some_result(f"T{step}"), Posted()
        await result.stage_all(blobs)
        effect = result.failed()
        answers: list[Delivered] = []
        with suppress(Died):
            answers.append(await deliver(courier(blobs, posted, dying_at(step)), effect))
        whole = bool(answers)
        answers.append(await deliver(courier(blobs, posted), effect))
        await assert_consistent(blobs, posted, result.name, answers)
        assert [each.name for each in await below(blobs, result.name)] == [
            f"{result.name}/_outcome.json",
            f"{result.name}/_told.json",
        ]
        if whole:
            break
    assert step > 15, "every step was tried"


async def test_a_part_that_was_kept_alive_is_committed_without_what_kept_it(blobs: AzureBlobs) -> None:
    result = some_result("T1")
    await result.stage_all(blobs)
    assert await keep_alive(blobs, "T1", 4) == 2
    assert await keep_alive(blobs, "T1", 4) == 2
    answer = await deliver(courier(blobs, Posted()), result.completed())
    assert answer.outcome == "Completed"
    content = await blobs.read(result.part("a"))
    assert content is not None
    assert content.body == b"a1a2"
    assert await keep_alive(blobs, "T1", 4) == 0, "nothing is staged any more, and an empty part is a part"
