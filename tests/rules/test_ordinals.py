"""Sets of ordinals are Python integers, and ranges are how they are shown."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables.ordinals import NONE, interval, ranges, upto

sets = st.sets(st.integers(1, 200), max_size=60)


def as_ordinals(members: set[int]) -> int:
    return sum(1 << (member - 1) for member in members)


def members(found: tuple[tuple[int, int], ...]) -> set[int]:
    return {ordinal for first, last in found for ordinal in range(first, last + 1)}


@pytest.mark.parametrize(
    ("ordinals", "shown"),
    [
        (NONE, ()),
        (upto(0), ()),
        (upto(1), ((1, 1),)),
        (upto(5), ((1, 5),)),
        (interval(3, 2), ((3, 4),)),
        (interval(1_000_000, 1), ((1_000_000, 1_000_000),)),
        (upto(100) & ~interval(17, 1) & ~interval(42, 49), ((1, 16), (18, 41), (91, 100))),
    ],
    ids=[
        "none",
        "upto 0",
        "upto 1",
        "upto 5",
        "interval",
        "last ordinal",
        "two holes",
    ],  # pytest would print a million bits
)
def test_ranges_are_inclusive_and_ascending(ordinals: int, shown: tuple[tuple[int, int], ...]) -> None:
    assert ranges(ordinals, 10) == (shown, False)


@settings(max_examples=100, deadline=None)
@given(sets)
def test_ranges_round_trip(chosen: set[int]) -> None:
    found, more = ranges(as_ordinals(chosen), 1_000)
    assert members(found) == chosen
    assert not more


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=12), st.integers(1, 12))
def test_ranges_of_any_length_anywhere_are_found_whole(lengths: list[int], limit: int) -> None:
    wanted: list[tuple[int, int]] = []
    at = 1
    for place, length in enumerate(lengths):
        if place % 2:
            wanted.append((at, at + length - 1))
        at += length
    held = sum(interval(first, last - first + 1) for first, last in wanted)
    assert ranges(held, limit) == (tuple(wanted[:limit]), len(wanted) > limit)


@settings(max_examples=50, deadline=None)
@given(sets)
def test_ranges_are_as_few_as_can_be(chosen: set[int]) -> None:
    found, _ = ranges(as_ordinals(chosen), 1_000)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(found))


@settings(max_examples=50, deadline=None)
@given(sets, st.integers(0, 70))
def test_a_limit_cuts_at_the_end_and_says_so(chosen: set[int], limit: int) -> None:
    everything, _ = ranges(as_ordinals(chosen), 1_000)
    assert ranges(as_ordinals(chosen), limit) == (everything[:limit], len(everything) > limit)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 100), st.integers(0, 100))
def test_an_interval_holds_its_ordinals_and_no_others(first: int, count: int) -> None:
    assert interval(first, count) == as_ordinals(set(range(first, first + count)))
    assert upto(count) == interval(1, count)
