"""Contents behave as a dict from ordinals to digests, and never change."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tables.contents import Contents, digest

# Around the edges of the chunks of 512 ordinals as well as inside.
ordinals = st.one_of(st.integers(1, 20), st.integers(505, 520), st.integers(1_020, 1_030))
digests = st.integers(1, 2**64 - 1).map(lambda number: number.to_bytes(8, "big"))
crc64s = st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")
payloads = st.tuples(digests, st.lists(crc64s, max_size=4).map(tuple))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(ordinals, payloads, max_size=30))
def test_contents_know_what_a_dict_would(known: dict[int, tuple[bytes, tuple[str, ...]]]) -> None:
    contents = Contents()
    for ordinal, (value, blocks) in known.items():
        contents = contents.with_payload(ordinal, value, blocks)
    for ordinal in {*range(1, 25), *range(500, 525), *range(1_015, 1_040), 5_000}:
        value, blocks = known.get(ordinal, (None, ()))
        assert contents.get(ordinal) == value
        assert contents.blocks(ordinal) == (blocks if len(blocks) > 1 else ())


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(ordinals, payloads, max_size=10), st.data())
def test_contents_are_equal_whatever_the_order(
    known: dict[int, tuple[bytes, tuple[str, ...]]], data: st.DataObject
) -> None:
    one, other = Contents(), Contents()
    for ordinal, (value, blocks) in known.items():
        one = one.with_payload(ordinal, value, blocks)
    for ordinal, (value, blocks) in data.draw(st.permutations(list(known.items()))):
        other = other.with_payload(ordinal, value, blocks)
    assert one == other


def test_adding_an_ordinal_leaves_the_old_contents_as_they_were() -> None:
    before = Contents().with_payload(1, b"12345678", ("0" * 16, "1" * 16))
    before.with_payload(2, b"abcdefgh", ("2" * 16, "3" * 16))
    assert (before.get(2), before.blocks(2)) == (None, ())


def test_adding_an_ordinal_copies_one_chunk_and_shares_the_others() -> None:
    contents = Contents()
    for ordinal in (1, 600, 1_200):
        contents = contents.with_payload(ordinal, b"12345678", ("0" * 16, "1" * 16))
    after = contents.with_payload(601, b"abcdefgh", ("2" * 16, "3" * 16))
    assert [before is now for before, now in zip(contents.chunks, after.chunks, strict=True)] == [True, False, True]
    assert [before is now for before, now in zip(contents.cuts, after.cuts, strict=True)] == [True, False, True]


def test_a_digest_tells_contents_apart_by_length_and_checksum() -> None:
    assert digest(1, "a" * 16) == digest(1, "a" * 16)
    assert len({digest(1, "a" * 16), digest(2, "a" * 16), digest(1, "b" * 16), digest(11, "a" * 16)}) == 4
