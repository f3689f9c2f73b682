"""A sample of the crash points, on the real stack and judged from outside; `make crash` goes through all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import report
from tests.crash.campaign import Combination
from tests.crash.workers import Workers

SAMPLE = [
    Combination("bridge.batch-published", "bridge", "second", beside=False),
    Combination("bridge.header-kept", "bridge", "first", beside=True),
    Combination("tracker.row-written", "tracker", "second", beside=False),
    Combination("tracker.effect-sent", "tracker", "first", beside=True),
    Combination("worker.records-flushed", "tracker", "first", beside=False),
    Combination("delivery.outcome-written", "delivery", "second", beside=False),
    Combination("delivery.exchange-told", "delivery", "second", beside=True),
    Combination("sweep.outcome-told", "delivery", "first", beside=False),
]
WORKERS = 2


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_processes_that_die_at_crash_points_change_nothing(stack_env: dict[str, str], tmp_path: Path) -> None:
    verdicts = [report.line(verdict) async for verdict in Workers(stack_env, tmp_path, WORKERS).run(SAMPLE)]
    assert {report.key(found) for found in verdicts} == set(SAMPLE)
    assert not [report.said(found) for found in verdicts if found["violations"] or not found["fired"]]


def test_the_sample_is_taken_from_the_campaign() -> None:
    assert set(SAMPLE) <= set(report.all_combinations())
