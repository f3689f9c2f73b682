"""Small payloads while storage, Kafka or a lane fail: nothing is acknowledged that was not kept and reported."""

from __future__ import annotations

import asyncio

import pytest

from bridge import hand as hand_module
from bridge import hold as hold_module
from bridge.blobs import BlobsUnavailable
from bridge.hold import FAILURES_MAX
from tests.support.gathered import Gathered

ALWAYS = 1 << 30


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_module, "LINGER_S", 0.001)
    monkeypatch.setattr(hold_module, "PAUSE_FIRST_S", 0.0)


@pytest.mark.parametrize("failures", [1, 2 * FAILURES_MAX])
@pytest.mark.parametrize("system", ["storage", "kafka"])
async def test_trouble_that_passes_costs_attempts_and_nothing_else(system: str, failures: int) -> None:
    bridge = Gathered()
    lane = bridge.lane()
    setattr(bridge, f"{system}_fails", failures)
    for ordinal in range(1, 21):
        bridge.take(lane, ordinal, total_count=20)
    await bridge.settle()
    bridge.assert_laws()
    assert sorted(lane.acked) == list(range(1, 21))


@pytest.mark.parametrize("system", ["storage", "kafka"])
async def test_trouble_that_lasts_closes_the_lanes_and_acknowledges_nothing(system: str) -> None:
    bridge = Gathered(hold_max_s=0.3)
    lanes = [bridge.lane() for _ in range(2)]
    bystander = bridge.lane()
    setattr(bridge, f"{system}_fails", ALWAYS)
    for ordinal in range(1, 21):
        bridge.take(lanes[ordinal % 2], ordinal)
    await bridge.settle()
    bridge.assert_laws()
    assert [lane.acked for lane in lanes] == [[], []]
    assert [len(lane.aborted) for lane in lanes] == [1, 1]
    assert "sick" in lanes[0].aborted[0]
    assert not bystander.aborted


async def test_one_block_that_is_not_stored_keeps_its_whole_batch_from_being_reported() -> None:
    bridge = Gathered(hold_max_s=0.3)
    lane = bridge.lane()
    store = bridge.blobs.stage_block

    async def all_but_one(name: str, block: object, pieces: object) -> None:
        if getattr(block, "first", 0) == 5:
            raise BlobsUnavailable("storage is sick")
        await store(name, block, pieces)

    bridge.blobs.stage_block = all_but_one
    for ordinal in (1, 3, 5):
        bridge.take(lane, ordinal, total_count=10)
    await bridge.settle()
    assert bridge.facts == []
    assert lane.acked == []
    assert lane.closed


async def test_a_lane_that_is_gone_keeps_no_other_from_being_acknowledged() -> None:
    bridge = Gathered()
    gone, there = bridge.lane(), bridge.lane()
    for ordinal in range(1, 5):
        bridge.take(gone if ordinal % 2 else there, ordinal, total_count=4)
    gone.closed = True
    await bridge.settle()
    bridge.assert_laws()
    assert there.acked == [1, 2]


async def test_what_comes_after_a_batch_was_given_up_is_a_batch_of_its_own() -> None:
    bridge = Gathered(hold_max_s=0.3)
    bridge.storage_fails = ALWAYS
    first, second = bridge.lane(), bridge.lane()
    bridge.take(first, 1, total_count=2)
    await bridge.settle()
    bridge.storage_fails = 0
    bridge.take(second, 1, total_count=2)
    bridge.take(second, 2, total_count=2)
    await bridge.settle()
    bridge.assert_laws()
    assert (first.acked, second.acked) == ([], [1, 2])


async def test_how_long_payloads_are_held_counts_from_the_first_that_arrived() -> None:
    bridge = Gathered(hold_max_s=60)
    lane = bridge.lane()
    bridge.storage_fails = ALWAYS
    bridge.take(lane, 1, total_count=2)
    (hand,) = bridge.gathering._hands.values()
    (window,) = hand._windows.values()
    window.payloads[1].arrived -= 61
    bridge.take(lane, 2, total_count=2)
    async with asyncio.timeout(5):
        await bridge.settle()
    assert lane.closed


async def test_a_mistake_of_ours_is_raised_and_acknowledges_nothing() -> None:
    bridge = Gathered()
    lane = bridge.lane()

    async def mistaken(*_: object) -> None:
        raise ZeroDivisionError

    bridge.blobs.stage_block = mistaken
    bridge.take(lane, 1, total_count=1)
    with pytest.raises(ZeroDivisionError):
        await bridge.settle()
    assert (lane.acked, bridge.memory.held_bytes) == ([], 0)
