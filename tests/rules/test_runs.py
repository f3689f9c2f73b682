"""Runs are aligned intervals: nested or disjoint, and the largest of them tile whatever they cover."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contract.events import Staged
from bridge.contract.inbound import TOTAL_COUNT_MAX
from bridge.layout import ordinals_per_part, part_of, sub_block_bytes
from bridge.runs import (
    RUN_MAX_BYTES,
    RUN_ORDINALS_MAX,
    RUN_PAYLOAD_MAX_BYTES,
    Interval,
    intervals,
    is_aligned,
)
from tables.accept import take
from tables.transaction import Series

law = settings(max_examples=100, deadline=None)
COUNTS = [1 << power for power in range(RUN_ORDINALS_MAX.bit_length())]
LARGEST = RUN_PAYLOAD_MAX_BYTES - 1

total_counts = st.integers(1, 40) | st.sampled_from([255, 256, 257, 1_024, 1_025, 4_096, 4_100, 8_193])


@st.composite
def hands(draw: st.DrawFn) -> tuple[int, dict[int, int]]:
    """A total count and what a bridge has in hand: stretches of payloads, small ones, empty ones and large ones."""
    total_count = draw(total_counts)
    sizes: dict[int, int] = {}
    for _ in range(draw(st.integers(1, 6))):
        first = draw(st.integers(1, total_count))
        last = min(total_count, first + draw(st.sampled_from([0, 1, 2, 3, 7, 40, 300, 1_100])))
        size = draw(st.sampled_from([0, 1, 1, 1_000, 40_000, LARGEST, RUN_PAYLOAD_MAX_BYTES]))
        sizes |= dict.fromkeys(range(first, last + 1), size)
    return total_count, sizes


def may_run(interval: Interval, sizes: dict[int, int]) -> bool:
    """By brute force: whether these payloads may be one block."""
    inside = [sizes.get(ordinal) for ordinal in interval.ordinals]
    return (
        is_aligned(interval.first, interval.count)
        and interval.count in COUNTS
        and all(size is not None and size < RUN_PAYLOAD_MAX_BYTES for size in inside)
        and 0 < sum(size or 0 for size in inside) <= RUN_MAX_BYTES
    )


# --- what is staged together


@law
@given(hands())
def test_every_payload_in_hand_is_in_one_interval_and_nothing_else_is(hand: tuple[int, dict[int, int]]) -> None:
    total_count, sizes = hand
    found = [ordinal for interval in intervals(total_count, sizes) for ordinal in interval.ordinals]
    assert found == sorted(sizes)


@law
@given(hands())
def test_every_run_is_one_that_may_be(hand: tuple[int, dict[int, int]]) -> None:
    total_count, sizes = hand
    for interval in intervals(total_count, sizes):
        assert interval.count == 1 or may_run(interval, sizes)


@law
@given(hands())
def test_no_larger_run_would_have_been_possible(hand: tuple[int, dict[int, int]]) -> None:
    total_count, sizes = hand
    for interval in intervals(total_count, sizes):
        for count in COUNTS:
            if count > interval.count:
                first = (interval.first - 1) // count * count + 1
                assert not may_run(Interval(first, count), sizes)


@law
@given(hands())
def test_no_interval_crosses_a_part(hand: tuple[int, dict[int, int]]) -> None:
    total_count, sizes = hand
    for interval in intervals(total_count, sizes):
        assert part_of(interval.first, total_count) == part_of(interval.ordinals[-1], total_count)


@given(st.integers(1, TOTAL_COUNT_MAX), st.data())
def test_no_aligned_interval_crosses_a_part_of_any_series(total_count: int, data: st.DataObject) -> None:
    count = data.draw(st.sampled_from(COUNTS))
    first = data.draw(st.integers(0, (total_count - 1) // count)) * count + 1
    assert part_of(first, total_count) == part_of(first + count - 1, total_count)


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ({}, []),
        ({1: 5}, [(1, 1)]),
        ({1: 5, 2: 5}, [(1, 2)]),
        ({2: 5, 3: 5}, [(2, 1), (3, 1)]),
        ({3: 5, 2: 5, 1: 5, 4: 5, 5: 5, 7: 5, 8: 5}, [(1, 4), (5, 1), (7, 2)]),
        ({1: 5, 2: LARGEST, 3: RUN_PAYLOAD_MAX_BYTES, 4: 5}, [(1, 2), (3, 1), (4, 1)]),
        (dict.fromkeys(range(1, 513), 5), [(1, 256), (257, 256)]),
        ({1: 0, 2: 0}, [(1, 1), (2, 1)]),
        ({1: 0, 2: 0, 3: 0, 4: 1}, [(1, 4)]),
        ({1: 0, 2: 0, 3: 0, 4: RUN_PAYLOAD_MAX_BYTES}, [(1, 1), (2, 1), (3, 1), (4, 1)]),
        (dict.fromkeys(range(1, 65), LARGEST), [(1, 32), (33, 32)]),
        (dict.fromkeys(range(1, 65), LARGEST) | {40: 0, 50: 1}, [(1, 32), (33, 32)]),
        (dict.fromkeys(range(1, 33), LARGEST) | {33: 32, 34: 0}, [(1, 32), (33, 2)]),
    ],
    ids=[
        "nothing", "alone", "two", "two that are no buddies", "a gap", "a large one", "at most 256", "both empty",
        "one not empty", "empty beside a large one", "at most 8 MiB", "still 8 MiB", "all but 8 MiB",
    ],
)  # fmt: skip
def test_runs_are_as_large_as_they_may_be(sizes: dict[int, int], found: list[tuple[int, int]]) -> None:
    assert [(interval.first, interval.count) for interval in intervals(1_000, sizes)] == found


def test_the_block_of_a_run_is_no_larger_than_the_smallest_sub_block() -> None:
    assert min(sub_block_bytes(1), sub_block_bytes(TOTAL_COUNT_MAX)) >= RUN_MAX_BYTES
    assert all(ordinals_per_part(total) % RUN_ORDINALS_MAX == 0 for total in (1, TOTAL_COUNT_MAX))


ALIGNED = [(1, 1), (7, 1), (1, 2), (3, 2), (5, 4), (257, 256)]
NOT_ALIGNED = [(2, 2), (3, 4), (1, 0), (1, 3), (1, 6), (13, 12), (1, -1)]


@pytest.mark.parametrize(("first", "count"), [*ALIGNED, *NOT_ALIGNED])
def test_aligned_is_a_power_of_two_behind_a_multiple_of_it(first: int, count: int) -> None:
    assert is_aligned(first, count) is ((first, count) in ALIGNED)


# --- the law that runs are built on


def largest(cover: Iterable[Interval]) -> list[Interval]:
    """By definition: those that lie within no other."""
    distinct = set(cover)
    return sorted(
        (
            one
            for one in distinct
            if not any(
                other.count > one.count and other.first <= one.first < other.first + other.count for other in distinct
            )
        ),
        key=lambda interval: interval.first,
    )


def covers(chance: random.Random, total_count: int) -> list[Interval]:
    """Aligned intervals that cover 1 .. total_count, many of them more than once, in a random order."""
    found: list[Interval] = []

    def cover(interval: Interval, needed: bool) -> None:
        if interval.first > total_count:
            return
        fits = interval.first + interval.count - 1 <= total_count
        taken = fits and chance.random() < 0.3
        if interval.count == 1:
            taken = needed or chance.random() < 0.3
        if taken:
            found.append(interval)
        if interval.count > 1 and (chance.random() < 0.6 or (needed and not taken)):
            half = interval.count // 2
            for first in (interval.first, interval.first + half):
                cover(Interval(first, half), needed and not taken)

    for first in range(1, total_count + 1, RUN_ORDINALS_MAX):
        cover(Interval(first, RUN_ORDINALS_MAX), needed=True)
    chance.shuffle(found)
    return found


def fact(interval: Interval, total_count: int) -> Staged:
    crc64s = tuple(f"{ordinal * 0x9E3779B97F4A7C15 % 2**64:016x}" for ordinal in interval.ordinals)
    block = crc64s if interval.count == 1 else (f"{interval.first:08x}{interval.count:08x}",)
    return Staged("a", interval.first, interval.count, total_count, (7,) * interval.count, crc64s, block)


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), total_counts)
def test_the_largest_intervals_of_any_cover_tile_the_series_exactly(chance: random.Random, total_count: int) -> None:
    tiles = largest(covers(chance, total_count))
    assert [ordinal for tile in tiles for ordinal in tile.ordinals] == list(range(1, total_count + 1))
    assert all(one.first + one.count == other.first for one, other in pairwise(tiles))
    assert all(part_of(tile.first, total_count) == part_of(tile.ordinals[-1], total_count) for tile in tiles)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), total_counts)
def test_a_series_keeps_the_largest_intervals_of_any_cover_whatever_the_order(
    chance: random.Random, total_count: int
) -> None:
    cover = covers(chance, total_count)
    series, again = Series(), Series()
    for interval in cover:
        series, _ = take(series, fact(interval, total_count))
    for interval in chance.sample(cover, len(cover)):
        again, _ = take(again, fact(interval, total_count))
    tiles = largest(cover)
    assert series == again
    assert series.complete
    for tile in tiles:
        assert {series.contents.tile(ordinal) for ordinal in tile.ordinals} == {tile.count}
    assert sum(part.blocks for part in series.parts.values()) == len(tiles)
