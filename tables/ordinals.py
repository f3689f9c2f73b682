"""Sets of ordinals as Python integers: ordinal n is bit n - 1. Immutable, compact, and one operation each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Ordinals: TypeAlias = int
NONE: Ordinals = 0


def upto(total_count: int) -> Ordinals:
    """The ordinals 1 .. total_count."""
    return (1 << total_count) - 1


def interval(first: int, count: int) -> Ordinals:
    """The ordinals first .. first + count - 1."""
    return ((1 << count) - 1) << (first - 1)


def of(numbers: Sequence[int]) -> Ordinals:
    """These ordinals, given in ascending order; linear, which adding them one by one is not."""
    bits = bytearray(numbers[-1] // 8 + 1 if numbers else 0)
    for number in numbers:
        bits[(number - 1) // 8] |= 1 << (number - 1) % 8
    return int.from_bytes(bits, "little")


def ranges(ordinals: Ordinals, limit: int) -> tuple[tuple[tuple[int, int], ...], bool]:
    """Inclusive ranges in ascending order, at most `limit` of them, and whether there were more."""
    found: list[tuple[int, int]] = []
    before = 0
    while ordinals and len(found) < limit:
        gap = (ordinals & -ordinals).bit_length() - 1
        ordinals >>= gap
        run = (~ordinals & (ordinals + 1)).bit_length() - 1
        ordinals >>= run
        found.append((before + gap + 1, before + gap + run))
        before += gap + run
    return tuple(found), bool(ordinals)
