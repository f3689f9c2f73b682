"""Of all that is staged in a blob, the blocks that were accepted are committed, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pytest
from msgspec.structs import replace

from bridge.blobs import Block
from bridge.checksums import crc64
from bridge.layout import BlockId, marker_id
from streams import pick as picking
from streams.pick import NotThere, Picked, Unclear
from tables import tiling
from tables.effects import PartPlan, block_hash, digest_text


def block(first: int, count: int = 1, *, content: int = 0, sub: int = 0, nsub: int = 1, size: int = 10) -> Block:
    """Of a series as long as the test says at the end: `pick` and `plan` put its total count in."""
    return Block(BlockId(0, first, count, sub, nsub, content), size)


def bytes_block(first: int, *bodies: bytes) -> Block:
    """The block of real payloads, so that checksums add up."""
    whole = b"".join(bodies)
    return Block(BlockId(0, first, len(bodies), 0, 1, crc64([whole])), len(whole))


def marker(ordinal: int) -> Block:
    return Block(marker_id(0, ordinal), 1)


def of(total_count: int, blocks: Iterable[Block]) -> list[Block]:
    return [Block(replace(each.id, total_count=total_count), each.size) for each in blocks]


def pick(wanted: PartPlan, total_count: int, staged: Iterable[Block]) -> Picked | NotThere | Unclear:
    found = picking.pick(wanted, total_count, of(total_count, staged))
    return Picked(tuple(of(0, found.blocks))) if isinstance(found, Picked) else found


def plan(*accepted: Block, ordinals: int, named: bool = False, missing: Sequence[int] = ()) -> PartPlan:
    """Of the first part of a series: the accepted blocks; ordinals in none of them are empty payloads, or missing."""
    counts = bytearray(b"\1" * ordinals)
    by_tile: dict[int, str] = dict.fromkeys(range(1, ordinals + 1), "")
    for ordinal in missing:
        counts[ordinal - 1] = 0
        del by_tile[ordinal]
    for each in accepted:
        first, count = each.id.first, each.id.count
        counts[first - 1 : first - 1 + count] = bytes([count.bit_length()]) * count
        by_tile[first] += f"{each.id.crc64:016x}"
        for within in range(first + 1, first + count):
            del by_tile[within]
    digest = digest_text(sum(block_hash(str(each.id)) for each in of(ordinals, accepted)))
    size = sum(each.size for each in accepted)
    names = tuple(crc64s for _, crc64s in sorted(by_tile.items())) if named else None
    held = ordinals - len(missing)
    return PartPlan(0, held, len(accepted), size, digest, digest_text(0), tiling.encode(bytes(counts)), names)


def both(*accepted: Block, ordinals: int, missing: Sequence[int] = ()) -> list[PartPlan]:
    """The plan as it comes first, and as it comes when a delivery has asked."""
    return [plan(*accepted, ordinals=ordinals, named=named, missing=missing) for named in (False, True)]


# --- runs


def test_a_run_is_the_block_with_its_first_ordinal_and_its_count() -> None:
    accepted = [block(1), block(2), block(3, 2), block(5, 4)]
    within = [block(3), block(4), block(5, 2), block(8), block(1, 2), block(1, 4), block(1, 8)]
    for wanted in both(*accepted, ordinals=8):
        assert pick(wanted, 8, [*within, *reversed(accepted)]) == Picked(tuple(accepted))


def test_runs_that_touch_are_all_looked_for() -> None:
    accepted = [block(1), block(2), *(block(first, 2) for first in (3, 5, 7)), block(9)]
    for wanted in both(*accepted, ordinals=9):
        assert pick(wanted, 9, accepted) == Picked(tuple(accepted))


def test_a_run_that_is_not_there_is_missing_with_the_ordinals_that_are_not_there_either() -> None:
    accepted = [block(1), block(2), block(3, 2), block(5, 4)]
    wanted, named = both(*accepted, ordinals=8)
    staged = [block(1), block(3, 2), block(5), block(6)]
    assert pick(wanted, 8, staged) == NotThere((2, 7, 8))
    assert pick(named, 8, staged) == NotThere((2, 5, 6, 7, 8)), (
        "of a named run all of it: what is there may be another's"
    )


def test_a_run_is_one_block_and_nothing_else() -> None:
    wanted = plan(block(1, 2), ordinals=2)
    halves = [block(1, 2, sub=sub, nsub=2) for sub in (0, 1)]
    assert pick(wanted, 2, [block(1, 2, nsub=0, size=1)]) == NotThere((1, 2))
    assert pick(wanted, 2, halves) == NotThere((1, 2))


def test_a_run_of_which_the_plan_does_not_tell_is_ignored() -> None:
    accepted = [block(1), block(2)]
    for wanted in both(*accepted, ordinals=2):
        assert pick(wanted, 2, [block(1, 2), *accepted]) == Picked(tuple(accepted))
        assert pick(wanted, 2, [block(1, 2)]) == NotThere((1, 2))


# --- payloads


def test_blocks_of_a_payload_are_picked_in_their_order_and_only_when_all_are_there() -> None:
    accepted = [block(1, sub=sub, nsub=3, content=sub) for sub in range(3)]
    for wanted in both(*accepted, ordinals=1):
        assert pick(wanted, 1, accepted[::-1]) == Picked(tuple(accepted))
        assert pick(wanted, 1, accepted[1:]) == NotThere((1,))


def test_an_empty_payload_is_there_with_its_marker() -> None:
    for wanted in both(block(2), ordinals=2):
        assert pick(wanted, 2, [marker(1), block(2)]) == Picked((block(2),))
        assert pick(wanted, 2, [block(2)]) == NotThere((1,))


def test_an_ordinal_that_is_missing_from_a_partial_result_is_not_looked_for() -> None:
    accepted = [block(1), block(3, 2)]
    for wanted in both(*accepted, ordinals=6, missing=[2, 5, 6]):
        assert pick(wanted, 6, [*accepted, block(2), block(5), block(5, 2)]) == Picked(tuple(accepted))


# --- more is staged than was accepted

OTHERS = {
    "another payload": ([block(1, content=1)], [block(1, content=2)]),
    "a payload cut otherwise": ([block(1)], [block(1, sub=sub, nsub=2, content=sub, size=5) for sub in (0, 1)]),
    "a payload with one other block": (
        [block(1, sub=sub, nsub=2, content=sub) for sub in (0, 1)],
        [block(1, sub=1, nsub=2, content=7)],
    ),
    "another run": ([block(1, 2, content=7)], [block(1, 2, content=9)]),
    "bytes beside an empty payload": ([], [block(1)]),
    "nothing beside bytes": ([block(1)], [marker(1)]),
}


@pytest.mark.parametrize(("accepted", "others"), OTHERS.values(), ids=OTHERS.keys())
def test_where_there_is_a_choice_the_blocks_have_to_be_named(accepted: list[Block], others: list[Block]) -> None:
    ordinals = max([each.id.count for each in accepted], default=1)
    staged = [*others, *(accepted or [marker(1)])]
    wanted, named = both(*accepted, ordinals=ordinals)
    assert pick(wanted, ordinals, staged) == Unclear()
    assert pick(named, ordinals, staged) == Picked(tuple(accepted))


@pytest.mark.parametrize(("accepted", "others"), OTHERS.values(), ids=OTHERS.keys())
def test_what_is_staged_instead_of_what_was_accepted_is_never_picked(
    accepted: list[Block], others: list[Block]
) -> None:
    ordinals = max([each.id.count for each in accepted], default=1)
    wanted, named = both(*accepted, ordinals=ordinals)
    # Its digest says that it is another one, and its name that the accepted one is not there.
    assert pick(wanted, ordinals, others) in (Unclear(), NotThere((1,)))
    assert pick(named, ordinals, others) == NotThere(tuple(range(1, ordinals + 1)))


def test_any_number_of_choices_is_one_question() -> None:
    accepted = [block(ordinal, sub=sub, nsub=8, content=ordinal) for ordinal in range(1, 1_025) for sub in range(8)]
    others = [block(ordinal, sub=sub, nsub=8, content=0) for ordinal in range(1, 1_025) for sub in range(8)]
    wanted, named = both(*accepted, ordinals=1_024)
    assert pick(wanted, 1_024, [*others, *accepted]) == Unclear()
    assert pick(named, 1_024, [*others, *accepted]) == Picked(tuple(accepted))


def test_what_is_missing_is_said_before_what_is_unclear() -> None:
    accepted = [block(1, content=1), block(2)]
    assert pick(plan(*accepted, ordinals=2), 2, [block(1, content=1), block(1, content=2)]) == NotThere((2,))


# --- a run that has gone, and was staged again in smaller pieces

BODIES = [b"a", b"", b"bc", b"d", b"ef", b"g", b"", b"h"]
PIECES: dict[str, list[Block]] = {
    "one by one": [bytes_block(at + 1, body) if body else marker(at + 1) for at, body in enumerate(BODIES)],
    "halves": [bytes_block(1, *BODIES[:4]), bytes_block(5, *BODIES[4:])],
    "a half and pieces": [bytes_block(1, b"a"), marker(2), bytes_block(3, b"bc", b"d"), bytes_block(5, *BODIES[4:])],
}


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES.keys())
def test_pieces_that_make_the_bytes_of_a_run_stand_for_it(pieces: list[Block]) -> None:
    picked = Picked(tuple(piece for piece in pieces if piece.id.nsub))
    for wanted in both(bytes_block(1, *BODIES), ordinals=8):
        assert pick(wanted, 8, pieces) == picked
        assert pick(wanted, 8, [*pieces, bytes_block(1, *BODIES)]) == Picked((bytes_block(1, *BODIES),))


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES.keys())
def test_pieces_with_other_bytes_do_not(pieces: list[Block]) -> None:
    wanted, named = both(bytes_block(1, *BODIES[:7], b"other"), ordinals=8)
    assert pick(wanted, 8, pieces) == Unclear()
    assert pick(named, 8, pieces) == NotThere(tuple(range(1, 9)))


def test_of_several_pieces_those_are_taken_that_make_the_bytes() -> None:
    wanted, named = both(bytes_block(1, *BODIES), ordinals=8)
    others = [bytes_block(4, b"x"), bytes_block(3, b"y"), bytes_block(3, b"yz", b"d"), marker(8), bytes_block(7, b"z")]
    pieces = PIECES["one by one"]
    assert pick(wanted, 8, [*others, *pieces]) == Unclear()
    assert pick(named, 8, [*others, *pieces]) == Picked(tuple(piece for piece in pieces if piece.id.nsub))


def test_the_search_for_pieces_has_an_end() -> None:
    pieces = [block(ordinal, content=content) for ordinal in range(1, 257) for content in range(8)]
    named = plan(block(1, 256, content=99), ordinals=256, named=True)
    assert pick(named, 256, pieces) == NotThere(tuple(range(1, 257)))


# --- the plan on its way


def test_a_plan_is_read_as_it_was_written() -> None:
    for wanted in both(block(1, 4), block(5, 4), block(9, 2), ordinals=12, missing=[12]):
        assert msgspec.json.decode(msgspec.json.encode(wanted), type=PartPlan) == wanted
    assert b"tiles" not in msgspec.json.encode(plan(block(1), ordinals=1))


# --- another total count


def test_blocks_of_another_total_count_leave_no_choice_and_fill_no_hole() -> None:
    accepted = [block(1, content=1), marker(2), block(3, 2, content=3)]
    for wanted in both(accepted[0], accepted[2], ordinals=4):
        others = [block(1, content=2), block(2, content=2), block(3, 2, content=4), block(1, 4, content=5)]
        staged = [*of(4, accepted), *of(5, others)]
        assert picking.pick(wanted, 4, staged) == Picked(tuple(of(4, [accepted[0], accepted[2]])))
        assert picking.pick(wanted, 4, of(5, accepted)) == NotThere((1, 2, 3, 4))
