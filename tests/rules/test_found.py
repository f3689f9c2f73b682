"""What a list of blocks tells, and what it does not."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.blobs import Block
from bridge.checksums import crc64, hex16
from bridge.contract.events import PayloadsStaged, Staged, decode, encode
from bridge.layout import EMPTY_MARKER, BlockId, PartName, marker_id
from bridge.runs import Interval
from streams.found import Found, found, total_counts
from tests.support.assembly import START

PART = PartName("T1", "a", 0)
TOTAL = 16


def blocks_of(
    first: int, *bodies: bytes, total: int = TOTAL, cut_bytes: int = 1_000, subs: Sequence[int] | None = None
) -> list[Block]:
    """As a bridge stages these payloads together; only some `subs` of one that is cut."""
    whole = b"".join(bodies)
    if not whole:
        return [Block(marker_id(total, first), len(EMPTY_MARKER))]
    cuts = [whole[at : at + cut_bytes] for at in range(0, len(whole), cut_bytes)]
    return [
        Block(BlockId(total, first, len(bodies), sub, len(cuts), crc64([cut])), len(cut))
        for sub, cut in enumerate(cuts)
        if subs is None or sub in subs
    ]


def payload(ordinal: int, body: bytes, *, cut_bytes: int = 1_000) -> Staged:
    """The fact that its bridge publishes."""
    cuts = [hex16(crc64([body[at : at + cut_bytes]])) for at in range(0, len(body), cut_bytes)]
    return Staged("a", ordinal, 1, TOTAL, (len(body),), (hex16(crc64([body])),), tuple(cuts))


def run(first: int, *bodies: bytes) -> Staged:
    whole = b"".join(bodies)
    return Staged("a", first, len(bodies), TOTAL, (), (), (hex16(crc64([whole])),), len(whole))


def look(*blocks: list[Block]) -> Found:
    staged = [block for each in blocks for block in each]
    random.Random(len(staged)).shuffle(staged)
    read = found(PART, TOTAL, staged)
    if read.facts:
        event = PayloadsStaged("T1", read.facts, START)
        assert decode(encode(event)) == event, "a tracker takes it"
    return read


def test_a_payload_is_the_fact_that_its_bridge_published() -> None:
    read = look(blocks_of(3, b"x"), blocks_of(5, b""), blocks_of(16, b"abcde", cut_bytes=2))
    assert read == Found((payload(3, b"x"), payload(5, b""), payload(16, b"abcde", cut_bytes=2)), ())
    assert read.taken == (3, 5, 16)


def test_a_run_is_told_with_its_bytes_and_without_what_is_in_it() -> None:
    assert look(blocks_of(5, b"x", b"", b"y", b"z")) == Found((run(5, b"x", b"", b"y", b"z"),), ())


def test_what_is_staged_again_beside_a_run_or_within_it_changes_nothing() -> None:
    whole = blocks_of(5, b"x", b"", b"y", b"z")
    for again in [blocks_of(5, b"x"), blocks_of(7, b"y", b"z"), blocks_of(6, b"")]:
        assert look(whole, again).facts == (run(5, b"x", b"", b"y", b"z"),)
    pieces = [blocks_of(5, b"x"), blocks_of(6, b""), blocks_of(7, b"y", b"z")]
    assert look(whole, *pieces).facts == (run(5, b"x", b"", b"y", b"z"),)


@pytest.mark.parametrize("subs", [[], [0], [1], [2], [0, 1], [1, 2]])
def test_a_payload_that_is_not_whole_is_not_there(subs: list[int]) -> None:
    assert look(blocks_of(3, b"abcde", cut_bytes=2, subs=subs)) == Found((), ())


CONTRADICTIONS: dict[str, tuple[list[list[Block]], tuple[int, ...]]] = {
    "two payloads": ([blocks_of(3, b"x"), blocks_of(3, b"y")], (3,)),
    "a payload and none": ([blocks_of(3, b"x"), blocks_of(3, b"")], (3,)),
    "payloads of other lengths": ([blocks_of(3, b"abc", cut_bytes=2), blocks_of(3, b"a")], (3,)),
    "one block of two": ([blocks_of(3, b"abc", cut_bytes=2), blocks_of(3, b"xbc", cut_bytes=2, subs=[0])], (3,)),
    "two runs": ([blocks_of(5, b"x", b"y"), blocks_of(5, b"x", b"z")], (5, 6)),
    "two payloads in a run": ([blocks_of(5, b"x", b"y"), blocks_of(6, b"y"), blocks_of(6, b"z")], (5, 6)),
    "a run and its pieces": ([blocks_of(5, b"x", b"y"), blocks_of(5, b"x"), blocks_of(6, b"z")], (5, 6)),
    "a run in a run": (
        [blocks_of(5, b"x", b"y", b"p", b"q"), blocks_of(5, b"x", b"y"), blocks_of(7, b"p", b"r")],
        (5, 6, 7, 8),
    ),
}


@pytest.mark.parametrize(("staged", "unclear"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_where_two_contents_are_staged_none_is_taken(staged: list[list[Block]], unclear: tuple[int, ...]) -> None:
    beside = [blocks_of(1, b"one"), blocks_of(9, b"p", b"q")]
    assert look(*beside) == Found((payload(1, b"one"), run(9, b"p", b"q")), ())
    assert look(*staged, *beside) == Found((payload(1, b"one"), run(9, b"p", b"q")), unclear)


def test_blocks_of_another_total_count_are_told_and_left_out() -> None:
    staged = [*blocks_of(1, b"x"), *blocks_of(1, b"y", total=17), *blocks_of(2, b"x", total=17)]
    assert total_counts(PART, staged) == {TOTAL, 17}
    assert found(PART, TOTAL, staged) == Found((payload(1, b"x"),), ())


FOREIGN = {
    "beyond the total": BlockId(TOTAL, 17, 1, 0, 1, 0),
    "no ordinal": BlockId(TOTAL, 0, 1, 0, 1, 0),
    "none of them": BlockId(TOTAL, 1, 0, 0, 1, 0),
    "not aligned": BlockId(TOTAL, 2, 2, 0, 1, 0),
    "three ordinals": BlockId(TOTAL, 1, 3, 0, 1, 0),
    "a run that ends beyond": BlockId(TOTAL, 1, 32, 0, 1, 0),
    "a run of 512": BlockId(1_024, 1, 512, 0, 1, 0),
    "a run of two blocks": BlockId(TOTAL, 1, 2, 0, 2, 0),
    "a run of no block": BlockId(TOTAL, 1, 2, 0, 0, 0),
    "a block behind the last": BlockId(TOTAL, 1, 1, 1, 1, 0),
    "too many in total": BlockId(0xFFFFF, 1, 1, 0, 1, 0),
    "of another part": BlockId(5_000, 4_097, 1, 0, 1, 0),
}


@pytest.mark.parametrize("block", FOREIGN.values(), ids=FOREIGN)
def test_a_block_that_no_bridge_can_have_staged_is_nothing(block: BlockId) -> None:
    staged = [Block(block, 10), *blocks_of(1, b"x")]
    assert found(PART, TOTAL, staged) == Found((payload(1, b"x"),), ())
    assert total_counts(PART, staged) == {TOTAL}


def test_a_later_part_tells_of_its_own_ordinals() -> None:
    part = PartName("T1", "a", 1)
    staged = blocks_of(4_097, b"x", total=5_000) + blocks_of(4_992, b"y", total=5_000)
    assert found(part, 5_000, staged).taken == (4_097, 4_992)
    assert found(PartName("T1", "a", 0), 5_000, staged) == Found((), ())


@given(st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(0, 7)), max_size=12), st.integers(0, 99))
def test_of_what_agrees_every_ordinal_is_found_and_its_bytes_are_those_that_were_staged(
    tiles: list[tuple[int, int]], seed: int
) -> None:
    chance = random.Random(seed)
    bodies = {ordinal: chance.choice([b"", b"x", b"yz"]) for ordinal in range(1, TOTAL + 1)}
    staged: list[list[Block]] = []
    held: set[int] = set()
    for count, place in tiles:
        tile = Interval(place * count % TOTAL + 1, count)
        mine = [bodies[ordinal] for ordinal in tile.ordinals]
        if count == 1 or any(mine):
            staged.append(blocks_of(tile.first, *mine))
            held |= set(tile.ordinals)
    read = look(*staged)
    assert (read.taken, read.unclear) == (tuple(sorted(held)), ())
    for fact in read.facts:
        whole = b"".join(bodies[ordinal] for ordinal in range(fact.first, fact.first + fact.count))
        assert fact.blocks == ((hex16(crc64([whole])),) if whole else ())
        assert fact.run_bytes in (0, len(whole))
