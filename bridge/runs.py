"""Buddy runs: which small payloads are staged together as one block, and reported as one fact. Pure.

A run is an aligned interval of ordinals, 2, 4, 8, ... or 256 of them: `first - 1` is divisible by `count`. Two such
intervals are nested or disjoint. So whatever any number of bridges had in hand together, and however often a payload
came, the largest intervals among all facts that cover a series tile it exactly: no overlap has to be cut, nothing is
read a second time, and a payload that comes alone is simply a run of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from bridge.contract.inbound import SMALL_PAYLOAD_BYTES
from bridge.layout import MIB, ordinals_per_part

RUN_ORDINALS_MAX: Final = 256
"""Of one run. A power of two that divides the ordinals of any part, so a run lies within one blob; more would save
little: at 256 an in-order series needs 0.4 % of the requests that single payloads need."""
RUN_PAYLOAD_MAX_BYTES: Final = SMALL_PAYLOAD_BYTES
"""A payload of a run is smaller than this: from here on a request of its own is cheap for what it carries."""
RUN_MAX_BYTES: Final = 8 * MIB
"""Of a run's block: it is one buffer, so it must not be larger than the smallest sub-block a bridge has room for."""


class Interval(msgspec.Struct, frozen=True):
    """The ordinals `first` .. `first + count - 1`, aligned; one ordinal by itself has count 1."""

    first: int
    count: int

    @property
    def ordinals(self) -> range:
        """What lies within."""
        return range(self.first, self.first + self.count)

    @property
    def halves(self) -> tuple[Interval, Interval]:
        """Of more than one ordinal: the two intervals that make it."""
        half = self.count // 2
        return Interval(self.first, half), Interval(self.first + half, half)


def is_aligned(first: int, count: int) -> bool:
    """Whether an interval of ordinals is one that is nested in or disjoint from every other such interval."""
    return count > 0 and count & (count - 1) == 0 and (first - 1) % count == 0


def intervals(total_count: int, sizes: Mapping[int, int]) -> list[Interval]:
    """How to stage the payloads in hand: each in the largest run that it can be in, or alone.

    Args:
        total_count: of the series.
        sizes: bytes of each payload in hand, by ordinal.

    Returns:
        Intervals in ascending order that hold every ordinal of `sizes` once and no other. Those of more than one
        ordinal have payloads below RUN_PAYLOAD_MAX_BYTES only, between 1 byte and RUN_MAX_BYTES together.
    """
    count_max = min(RUN_ORDINALS_MAX, ordinals_per_part(total_count))
    tiles: list[tuple[int, int, int]] = []  # first, count, bytes: those before the one at hand, as large as can be
    for ordinal in sorted(sizes):
        first, count, size = ordinal, 1, sizes[ordinal]
        if size >= RUN_PAYLOAD_MAX_BYTES:
            size = RUN_MAX_BYTES + 1  # fits into no run
        while tiles and count < count_max:
            left, left_count, left_size = tiles[-1]
            buddies = left_count == count and left + count == first and (left - 1) % (2 * count) == 0
            if not buddies or left_size + size > RUN_MAX_BYTES:
                break
            tiles.pop()
            first, count, size = left, 2 * count, left_size + size
        tiles.append((first, count, size))
    return [interval for first, count, size in tiles for interval in _stageable(first, count, size)]


def _stageable(first: int, count: int, size: int) -> list[Interval]:
    # Storage takes no empty block, so payloads that are all empty cannot be a run: each has a marker of its own.
    if size == 0:
        return [Interval(ordinal, 1) for ordinal in range(first, first + count)]
    return [Interval(first, count)]
