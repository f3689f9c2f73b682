"""A tiling says which ordinals share a block and which are missing, in a text that no tiling makes long."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from base64 import b64encode
from itertools import cycle, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.layout import SHORT_SERIES, ordinals_per_part, part_ordinals
from bridge.runs import RUN_ORDINALS_MAX, Interval
from tables.tiling import TEXT_CHARS_MAX, BadTiling, decode, encode

PART = ordinals_per_part(1_000_000)
COUNTS = [1 << power for power in range(RUN_ORDINALS_MAX.bit_length())]


def counts(tiles: list[Interval], ordinals: range) -> bytes:
    found = bytearray(len(ordinals))
    for tile in tiles:
        at = tile.first - ordinals.start
        found[at : at + tile.count] = bytes([tile.count.bit_length()]) * tile.count
    return bytes(found)


def tiling(chance: random.Random, ordinals: range, wanted: list[int], holes: float = 0.0) -> list[Interval]:
    """Tiles of the wanted sizes, where they are aligned, and holes between them."""
    tiles: list[Interval] = []
    first = ordinals.start
    while first < ordinals.stop:
        fitting = [count for count in wanted if not (first - 1) % count and first + count <= ordinals.stop] or [1]
        count = chance.choice(fitting)
        if chance.random() >= holes:
            tiles.append(Interval(first, count))
        first += count
    return tiles


parts = st.sampled_from(
    [*(part_ordinals(0, total) for total in (1, 2, 7, 8, 9, 1_000, 1_024, 1_025)), part_ordinals(1, 8_191)]
)


@settings(max_examples=200, deadline=None)
@given(
    st.randoms(use_true_random=False),
    parts,
    st.lists(st.sampled_from(COUNTS), min_size=1, max_size=9),
    st.sampled_from([0.0, 0.0, 0.01, 0.5, 1.0]),
)
def test_what_is_read_is_what_was_written(
    chance: random.Random, ordinals: range, wanted: list[int], holes: float
) -> None:
    tiles = tiling(chance, ordinals, wanted, holes)
    text = encode(counts(tiles, ordinals))
    assert decode(text, ordinals) == tiles
    assert len(text) <= TEXT_CHARS_MAX


def test_payloads_that_were_staged_one_by_one_need_no_text() -> None:
    for ordinals in (range(1, 1), range(1, 2), range(4_097, 8_193)):
        singles = [Interval(ordinal, 1) for ordinal in ordinals]
        assert encode(counts(singles, ordinals)) == ""
        assert decode("", ordinals) == singles


def test_a_part_of_which_nothing_is_held_has_no_tiles() -> None:
    assert decode(encode(bytes(PART)), range(1, PART + 1)) == []


def test_a_hole_is_in_no_tile_whatever_it_touches() -> None:
    tiles = [Interval(1, 2), Interval(4, 1), Interval(5, 4), Interval(16, 1)]
    assert decode(encode(counts(tiles, range(1, 18))), range(1, 18)) == tiles


def test_a_whole_part_of_full_runs_is_a_short_text() -> None:
    full = [Interval(first, RUN_ORDINALS_MAX) for first in range(1, PART + 1, RUN_ORDINALS_MAX)]
    assert len(encode(counts(full, range(1, PART + 1)))) < 40


@pytest.mark.parametrize("holes", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(20))
def test_no_tiling_of_a_part_makes_a_text_longer_than_its_bound(seed: int, holes: float) -> None:
    chance = random.Random(seed)
    for wanted in ([1, 2], [1, 2, 4], [1, *COUNTS], [2, 4, 8]):
        assert (
            len(encode(counts(tiling(chance, range(1, PART + 1), wanted, holes), range(1, PART + 1)))) <= TEXT_CHARS_MAX
        )


@pytest.mark.parametrize("seed", range(20))
def test_even_bitmaps_without_any_order_stay_within_the_bound(seed: int) -> None:
    # No tiling has as little order as this: singles and holes by the toss of a coin.
    noise = random.Random(seed).randbytes(PART).translate(bytes(byte & 1 for byte in range(256)))
    assert TEXT_CHARS_MAX - 700 < len(encode(noise)) <= TEXT_CHARS_MAX


def test_runs_and_single_payloads_in_turn_cost_a_bit_an_ordinal_at_most() -> None:
    tiles: list[Interval] = []
    for count in islice(cycle([2, 1, 1]), PART):
        first = tiles[-1].first + tiles[-1].count if tiles else 1
        if first > PART:
            break
        tiles.append(Interval(first, count))
    assert len(encode(counts(tiles, range(1, PART + 1)))) <= PART // 8 * 4 // 3


def test_the_bound_is_that_of_the_longest_part() -> None:
    assert max(ordinals_per_part(total) for total in (1, SHORT_SERIES, SHORT_SERIES + 1, 1_000_000)) == PART


def test_a_text_that_would_unpack_to_much_costs_no_more_than_any_other() -> None:
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = b64encode(deflate.compress(bytes(64 << 20)) + deflate.flush()).decode()
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(BadTiling):
            decode(bomb, range(1, 9))
        assert tracemalloc.get_traced_memory()[1] < 4 * len(bomb)
    finally:
        tracemalloc.stop()
