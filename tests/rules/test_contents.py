"""Contents behave as a dict from ordinals to what they contain, and never change."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.layout import BlockId, marker_id, ordinals_per_part
from bridge.runs import RUN_ORDINALS_MAX
from tables.contents import CHUNK_ORDINALS, UNSEEN, Chunk, Contents

# Around the edges of the chunks of 1,024 ordinals as well as inside.
ordinals = st.one_of(st.integers(1, 20), st.integers(1_017, 1_032), st.integers(2_045, 2_055))
crc64s = st.sampled_from([0, 1, 2**64 - 1]).map(lambda number: f"{number:016x}") | st.integers(0, 2**64 - 1).map(
    lambda number: f"{number:016x}"
)
contents_of_one = st.just(b"") | crc64s.map(bytes.fromhex)
payloads = st.tuples(contents_of_one, st.lists(crc64s, min_size=1, max_size=4).map(tuple))

Tile = tuple[list[bytes], tuple[str, ...]]
TOTAL = 10_000


def blocks_of(content: bytes, cut: tuple[str, ...]) -> tuple[str, ...]:
    return cut if content else ()


def filled(known: dict[int, tuple[bytes, tuple[str, ...]]]) -> Contents:
    contents = Contents()
    for ordinal, (content, cut) in known.items():
        contents = contents.with_tile(ordinal, [content], blocks_of(content, cut))
    return contents


def ids(first: int, *crc64s: str) -> list[BlockId]:
    return [BlockId(TOTAL, first, 1, sub, len(crc64s), int(crc64, 16)) for sub, crc64 in enumerate(crc64s)]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(ordinals, payloads, max_size=30))
def test_contents_know_what_a_dict_would(known: dict[int, tuple[bytes, tuple[str, ...]]]) -> None:
    contents = filled(known)
    for ordinal in {*range(1, 25), *range(1_010, 1_040), *range(2_040, 2_060), 5_000}:
        content, cut = known.get(ordinal, (None, ()))
        assert contents.get(ordinal) == content
        assert contents.tile(ordinal) == (content is not None)
        assert contents.known(ordinal, 1) == [content]
        staged = ids(ordinal, *cut) if content else [marker_id(TOTAL, ordinal)]
        assert contents.blocks(TOTAL, ordinal, 1) == (staged if content is not None else [])
    assert contents.known(1_025, 16) == [known.get(ordinal, (None, ()))[0] for ordinal in range(1_025, 1_041)]


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(ordinals, payloads, max_size=10), st.data())
def test_contents_are_equal_whatever_the_order(
    known: dict[int, tuple[bytes, tuple[str, ...]]], data: st.DataObject
) -> None:
    assert filled(dict(data.draw(st.permutations(list(known.items()))))) == filled(known)


def run(first: int, count: int) -> Tile:
    return [first.to_bytes(8, "big")] * count, (f"{first * 1_000 + count:016x}",)


def single(ordinal: int, body: bytes = b"") -> Tile:
    return [body], (body.hex(),) if body else ()


def tiled(*tiles: tuple[int, Tile]) -> Contents:
    contents = Contents()
    for first, (content, blocks) in tiles:
        contents = contents.with_tile(first, content, blocks)
    return contents


def test_a_run_leaves_no_trace_of_the_tiles_within_it() -> None:
    largest = tiled((1_025, run(1_025, 8)))
    before = [(1_027, run(1_027, 2)), (1_029, ([b"12345678"], ("0" * 16, "1" * 16))), (1_030, single(1_030))]
    assert tiled(*before, (1_029, run(1_029, 4)), (1_025, run(1_025, 8))) == largest
    assert [largest.tile(ordinal) for ordinal in (1_024, 1_025, 1_032, 1_033)] == [0, 8, 8, 0]
    assert largest.blocks(TOTAL, 1_025, 8) == [BlockId(TOTAL, 1_025, 8, 0, 1, 1_025_008)]


def test_the_blocks_within_an_interval_are_those_of_its_tiles() -> None:
    contents = tiled((1, single(1, b"12345678")), (2, single(2)), (3, run(3, 2)), (7, run(7, 2)), (9, run(9, 8)))
    one = BlockId(TOTAL, 1, 1, 0, 1, int.from_bytes(b"12345678", "big"))
    runs = [BlockId(TOTAL, first, 2, 0, 1, first * 1_000 + 2) for first in (3, 7)]
    assert contents.blocks(TOTAL, 1, 8) == [one, marker_id(TOTAL, 2), *runs]
    assert contents.blocks(TOTAL, 17, 16) == []


def test_the_counts_of_a_part_tell_the_tile_of_each_ordinal() -> None:
    tiles = [(4_097, run(4_097, 4)), (4_101, run(4_101, 2)), (4_103, single(4_103)), (8_189, run(8_189, 4))]
    contents = tiled(*tiles, (8_193, run(8_193, 256)), (8_450, single(8_450, b"12345678")))
    first = bytes([3, 3, 3, 3, 2, 2, 1]) + bytes(4_085) + bytes([3, 3, 3, 3])
    assert contents.counts(range(4_097, 8_193)) == first
    assert contents.counts(range(8_193, 8_452)) == bytes([9] * 256 + [0, 1, 0])
    assert contents.counts(range(1, 4_097)) == contents.counts(range(12_289, 16_385)) == bytes(4_096)
    assert contents.counts(range(1, 1)) == b""


def test_an_empty_payload_within_a_run_does_not_divide_it() -> None:
    contents = Contents().with_tile(1, [b"", b"12345678"], ("0" * 16,)).with_tile(3, [b"12345678", b""], ("1" * 16,))
    assert contents.counts(range(1, 5)) == bytes([2, 2, 2, 2])
    assert [contents.get(ordinal) for ordinal in (1, 2, 3, 4)] == [b"", b"12345678", b"12345678", b""]


def test_a_run_of_unknown_contents_is_held_like_any_other_and_each_ordinal_says_that_it_was_not_seen() -> None:
    contents = Contents().with_tile(5, [UNSEEN] * 4, ("1" * 16,)).with_tile(2, [b""], ())
    assert contents.known(1, 8) == [None, b"", None, None, *[UNSEEN] * 4]
    assert [contents.tile(ordinal) for ordinal in (2, 4, 5, 8)] == [1, 0, 4, 4]
    assert contents.counts(range(1, 9)) == bytes([0, 1, 0, 0, 3, 3, 3, 3])
    assert contents.blocks(TOTAL, 5, 4) == [BlockId(TOTAL, 5, 4, 0, 1, 0x1111_1111_1111_1111)]
    seen = contents.with_tile(1, *run(1, 8))
    assert seen == Contents().with_tile(1, *run(1, 8))


def test_no_run_and_no_part_ends_within_a_chunk_of_another() -> None:
    assert CHUNK_ORDINALS % RUN_ORDINALS_MAX == 0
    assert all(ordinals_per_part(total_count) % CHUNK_ORDINALS == 0 for total_count in (1, 1_000_000))


def test_adding_an_ordinal_leaves_the_old_contents_as_they_were() -> None:
    before = Contents().with_tile(1, [b"12345678"], ("0" * 16, "1" * 16))
    before.with_tile(2, [b"abcdefgh"], ("2" * 16, "3" * 16))
    assert (before.get(2), before.blocks(TOTAL, 2, 1)) == (None, [])
    before.with_tile(1, [b"12345678", b""], ("2" * 16,))
    assert (before.get(2), before.blocks(TOTAL, 1, 1)) == (None, ids(1, "0" * 16, "1" * 16))


def test_adding_a_tile_copies_one_chunk_and_shares_the_others() -> None:
    contents = tiled((1, run(1, 2)), (1_101, run(1_101, 4)), (2_049, run(2_049, 2)))
    after = contents.with_tile(1_105, *run(1_105, 4))
    assert [before is now for before, now in zip(contents.chunks, after.chunks, strict=True)] == [True, False, True]


def test_a_payload_in_one_block_takes_nine_bytes_and_a_run_of_two_thirteen_an_ordinal() -> None:
    def size(chunk: Chunk) -> int:
        assert not chunk.cuts
        return len(chunk.crc64s) + len(chunk.tiles) + len(chunk.runs)

    (alone,) = tiled(*((ordinal, single(ordinal, b"12345678")) for ordinal in range(1, 1_025))).chunks
    (together,) = tiled(*((first, run(first, 2)) for first in range(1, 1_025, 2))).chunks
    assert (size(alone), size(together)) == (9 * 1_024, 13 * 1_024)
