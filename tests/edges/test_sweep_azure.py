"""The sweep over a real container."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bridge.azure_blobs import AzureBlobs
from bridge.contract.events import Delivered
from streams.outcome import write_outcome
from streams.settings import RESULT_RETENTION_MIN_S, DeliverySettings
from streams.sweep import Counts, Sweeper
from tests.support.azure import azure_blobs
from tests.support.deliveries import assert_consistent, below, courier, deliver
from tests.support.posted import Posted
from tests.support.result import Result


@pytest.fixture
async def blobs(blob_connection_string: str) -> AsyncIterator[AzureBlobs]:
    async with azure_blobs(blob_connection_string) as blobs:
        await blobs.create_container()
        yield blobs


class Worker:
    """One worker's sweep, and what it has told."""

    def __init__(self, blobs: AzureBlobs) -> None:
        self.blobs, self.posted, self.reported = blobs, Posted(), list[Delivered]()
        self.settings = DeliverySettings(result_retention_s=RESULT_RETENTION_MIN_S, sweep_page_blobs=2)

    async def sweep(self, later_s: float) -> Counts:
        async def report(answer: Delivered) -> None:
            self.reported.append(answer)

        def fail(error: Exception) -> None:
            raise AssertionError from error

        return await Sweeper(
            self.blobs,
            courier(self.blobs, self.posted),
            self.settings,
            owns=lambda _: True,
            report=report,
            fail=fail,
            now=lambda: datetime.now(UTC) + timedelta(seconds=later_s),
        ).run_once()


async def test_the_sweep_finishes_what_is_left_and_touches_nothing_else(blobs: AzureBlobs) -> None:
    worker = Worker(blobs)
    done, failed, untold, open_ = (
        Result({"a": [b"a1", b"a2"], "b": [b""]}, name=f"{name}-1") for name in ("done", "failed", "untold", "open")
    )
    for result in (done, failed, untold, open_):
        await result.stage_all(blobs)
    await deliver(courier(blobs, Posted()), done.completed())
    await deliver(courier(blobs, Posted()), failed.failed())
    await write_outcome(blobs, untold.failed(), ())  # and its delivery died
    whole = await below(blobs, done.name)
    await failed.stage(blobs, "a", 1)  # late
    await Result({"stray": [b"x"]}, name=done.name).stage_all(blobs)

    assert (await worker.sweep(60)).tried == 0, "their deliveries may be at work"
    counts = await worker.sweep(1_000)
    assert (counts.told, counts.cleaned, counts.failed, counts.transactions, counts.round) == (1, 2, 0, 4, True)
    await assert_consistent(blobs, worker.posted, untold.name, worker.reported)
    assert await below(blobs, done.name) == whole
    assert [each.name for each in await below(blobs, failed.name)] == ["failed-1/_outcome.json", "failed-1/_told.json"]
    assert len(await below(blobs, open_.name)) == 2
    assert (await worker.sweep(1_000)).tried == 0

    counts = await worker.sweep(RESULT_RETENTION_MIN_S + 60)
    assert (counts.removed, counts.forgotten) == (3, 1)
    assert {each.name for each in (await blobs.page()).blobs} == {open_.part("a"), open_.part("b")}
