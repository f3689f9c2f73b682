"""Sets of ordinals as Python integers: ordinal n is bit n - 1. Immutable, compact, and one operation each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Ordinals: TypeAlias = int
NONE: Ordinals = 0

_WINDOW_BYTES: Final = 512


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
    """Inclusive ranges in ascending order, at most `limit` of them, and whether there were more.

    Window by window, because an operation on a million bits takes 10 us, and each range needs several.
    """
    found: list[tuple[int, int]] = []
    held = ordinals.to_bytes(-(-ordinals.bit_length() // 8), "little")
    for start in range(0, len(held), _WINDOW_BYTES):
        window = int.from_bytes(held[start : start + _WINDOW_BYTES], "little")
        before = 8 * start
        while window:
            gap = (window & -window).bit_length() - 1
            window >>= gap
            run = (~window & (window + 1)).bit_length() - 1
            window >>= run
            first, last = before + gap + 1, before + gap + run
            before = last
            if found and found[-1][1] == first - 1:
                found[-1] = (found[-1][0], last)  # it began in the window before
            elif len(found) == limit:
                return tuple(found), True
            else:
                found.append((first, last))
    return tuple(found), False
