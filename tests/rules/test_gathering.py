"""Small payloads become few blocks and facts; each is stored, then reported, then acknowledged, once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import gathering as module
from bridge import hand as hand_module
from bridge import hold as hold_module
from bridge.contract.inbound import Trace
from bridge.gathering import EVENT_ORDINALS_MAX, REQUESTS_MAX
from tests.support.gathered import Gathered, content_of


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hand_module, "LINGER_S", 0.001)
    monkeypatch.setattr(hold_module, "PAUSE_FIRST_S", 0.0)


def whole(total_count: int, size: int = 30, series: str = "cashflows", transaction: str = "t-1") -> bytes:
    return b"".join(content_of(transaction, series, ordinal, size) for ordinal in range(1, total_count + 1))


# What is put together


async def test_a_series_that_comes_in_order_needs_few_blocks() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    for ordinal in range(1, 1_001):
        bridge.take(lane, ordinal)
    await bridge.settle()
    bridge.assert_laws()
    # 3 x 256, and of the 232 that are left 128, 64, 32 and 8.
    assert bridge.requests == 7
    assert len(bridge.facts) <= 2
    assert await bridge.result("t-1", "cashflows", 1_000) == whole(1_000)


async def test_a_shuffled_series_becomes_the_same_blocks_when_it_is_all_in_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hand_module, "LINGER_S", 0.05)
    monkeypatch.setattr(hand_module, "LINGER_MAX_S", 60.0)  # or a slow machine would begin before the last has come
    bridge = Gathered()
    lanes = [bridge.lane() for _ in range(3)]
    ordinals = list(range(1, 1_001))
    random.Random(1).shuffle(ordinals)
    for at, ordinal in enumerate(ordinals):
        bridge.take(lanes[at % 3], ordinal)
    await bridge.settle()
    bridge.assert_laws()
    assert bridge.requests == 7
    assert await bridge.result("t-1", "cashflows", 1_000) == whole(1_000)


async def test_a_complete_window_waits_for_nobody() -> None:
    bridge = Gathered()
    bridge.take(bridge.lane(), 1, total_count=1)
    assert bridge.gathering._working == {"t-1"}
    await bridge.settle()
    bridge.assert_laws()


async def test_what_comes_while_a_batch_is_under_way_makes_the_next_one() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    for ordinal in range(1, 257):
        bridge.take(lane, ordinal)
    for ordinal in range(257, 513):
        bridge.take(lane, ordinal)
    await bridge.settle()
    bridge.assert_laws()
    assert [len(event.staged) for event in bridge.facts] == [1, 1]
    assert [staged.count for event in bridge.facts for staged in event.staged] == [256, 256]


async def test_transactions_have_facts_of_their_own_and_series_blocks_of_their_own() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    for ordinal in range(1, 21):
        for transaction in ("t-1", "t-2"):
            for series in ("a", "b"):
                bridge.take(lane, ordinal, transaction=transaction, series=series, total_count=20)
    await bridge.settle()
    bridge.assert_laws()
    assert sorted({event.transaction for event in bridge.facts}) == ["t-1", "t-2"]
    for transaction in ("t-1", "t-2"):
        for series in ("a", "b"):
            found = await bridge.result(transaction, series, 20)
            assert found == whole(20, series=series, transaction=transaction)


@pytest.mark.parametrize("copies", [2, 5])
async def test_a_payload_that_is_in_hand_twice_is_reported_twice(copies: int) -> None:
    bridge = Gathered()
    lanes = [bridge.lane() for _ in range(copies)]
    for ordinal in range(1, 11):
        for lane in lanes:
            bridge.take(lane, ordinal, total_count=10)
    await bridge.settle()
    bridge.assert_laws()
    assert sum(staged.count for event in bridge.facts for staged in event.staged) == 10 * copies
    assert await bridge.result("t-1", "cashflows", 10) == whole(10)


async def test_other_content_for_an_ordinal_in_hand_is_reported_beside_the_first() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    bridge.take(lane, 1)
    bridge.take(lane, 1, other=b"other")
    await bridge.settle()
    bridge.assert_laws()
    assert len({staged.crc64s for event in bridge.facts for staged in event.staged}) == 2


async def test_another_total_count_is_another_matter() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    for ordinal in (1, 2):
        bridge.take(lane, ordinal, total_count=10 * ordinal)
    await bridge.settle()
    bridge.assert_laws()
    assert sorted(staged.total_count for event in bridge.facts for staged in event.staged) == [10, 20]


async def test_empty_payloads_are_markers_or_lie_in_a_run_with_others() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    for ordinal in range(1, 9):
        bridge.take(lane, ordinal, total_count=8, size=0 if ordinal in (1, 5, 6) else 30)
    for ordinal in range(1, 4):
        bridge.take(lane, ordinal, total_count=3, series="empty", size=0)
    await bridge.settle()
    bridge.assert_laws()
    expected = b"".join(content_of("t-1", "cashflows", n, 0 if n in (1, 5, 6) else 30) for n in range(1, 9))
    assert await bridge.result("t-1", "cashflows", 8) == expected
    assert await bridge.result("t-1", "empty", 3) == b""


async def test_neighbours_on_both_sides_of_a_part_are_in_blocks_of_their_own_part() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    for ordinal in range(4_000, 4_200):
        bridge.take(lane, ordinal, total_count=5_000)
    await bridge.settle()
    bridge.assert_laws()
    first = b"".join(content_of("t-1", "cashflows", n, 30) for n in range(4_000, 4_097))
    second = b"".join(content_of("t-1", "cashflows", n, 30) for n in range(4_097, 4_200))
    assert await bridge.result("t-1", "cashflows", 5_000, part=0) == first
    assert await bridge.result("t-1", "cashflows", 5_000, part=1) == second


async def test_payloads_too_large_for_one_run_are_several() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    for ordinal in range(1, 129):
        bridge.take(lane, ordinal, total_count=128, size=200_000)
    await bridge.settle()
    bridge.assert_laws()
    assert bridge.requests == 4
    assert await bridge.result("t-1", "cashflows", 128) == whole(128, size=200_000)


async def test_storage_gets_no_more_requests_at_once_than_allowed() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    for ordinal in range(1, 1_001, 2):  # none has a neighbour
        bridge.take(lane, ordinal)
    await bridge.settle()
    bridge.assert_laws()
    assert (bridge.requests, bridge.most_requests) == (500, REQUESTS_MAX)


async def test_a_record_holds_no_more_ordinals_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EVENT_ORDINALS_MAX >= 256
    monkeypatch.setattr(module, "EVENT_ORDINALS_MAX", 300)
    bridge = Gathered()
    lane = bridge.lane()
    for series in ("a", "b", "c"):
        for ordinal in range(1, 201):
            bridge.take(lane, ordinal, series=series)
    await bridge.settle()
    bridge.assert_laws()
    held = [sum(staged.count for staged in event.staged) for event in bridge.facts]
    assert sum(held) == 600
    assert max(held) <= 300
    assert len(held) < 10


async def test_a_fact_carries_the_first_trace_that_a_producer_gave() -> None:
    bridge = Gathered()
    lane = bridge.lane()
    traces = [Trace(), Trace("00-one"), Trace("00-two")]
    for ordinal, trace in enumerate(traces, 1):
        bridge.take(lane, ordinal, total_count=3, trace=trace)
    await bridge.settle()
    assert [event.trace for event in bridge.facts] == [traces[1]]


# Whatever comes


arrivals = st.lists(
    st.tuples(
        st.sampled_from(["t-1", "t-2"]),
        st.sampled_from(["a", "b"]),
        st.integers(1, 12),
        st.sampled_from([0, 1, 30]),
        st.integers(0, 1),
        st.booleans(),
    ),
    max_size=60,
)


@given(arrivals, st.integers(0, 4), st.integers(0, 4), st.integers(1, 4))
async def test_whatever_comes_is_stored_then_reported_then_acknowledged_once(
    arrivals: list[tuple[str, str, int, int, int, bool]], storage_fails: int, kafka_fails: int, requests_max: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hand_module, "BATCH_REQUESTS_MAX", requests_max)
        patch.setattr(hand_module, "LINGER_S", 0.0)
        patch.setattr(hold_module, "PAUSE_FIRST_S", 0.0)
        bridge = Gathered()
        bridge.storage_fails, bridge.kafka_fails = storage_fails, kafka_fails
        lanes = [bridge.lane() for _ in range(2)]
        for transaction, series, ordinal, size, lane, settle in arrivals:
            bridge.take(lanes[lane], ordinal, total_count=12, transaction=transaction, series=series, size=size)
            if settle:
                await bridge.settle()
        await bridge.settle()
        bridge.assert_laws()
        assert sum(staged.count for event in bridge.facts for staged in event.staged) == len(arrivals)
