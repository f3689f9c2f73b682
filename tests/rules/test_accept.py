"""What one staged payload does to its series, and which blocks must not be committed."""

from __future__ import annotations

import pytest
from playbook import Playbook, asks, excluded, header, payload

from bridge.checksums import crc64
from bridge.contract.events import Staged
from bridge.layout import EMPTY_MARKER, marker_id, part_of
from tables.accept import Taken, block_ids, take
from tables.effects import block_hash
from tables.transaction import PartTally, Series, State

SENDING = State.SENDING_COMPLETION


def test_block_ids_name_the_ordinal_the_cut_and_the_content() -> None:
    staged = payload("a", 7, of=9, body="xy")
    assert block_ids(staged) == (
        f"00000007.001.000.002.{staged.blocks[0]}",
        f"00000007.001.001.002.{staged.blocks[1]}",
    )
    assert block_ids(payload("a", 7, of=9, body="")) == ()


def test_a_payload_is_new_once_and_then_a_duplicate() -> None:
    series, taken = take(Series(), payload("a", 2, of=3))
    assert (taken, series.total_count, series.received_count, series.received) == (Taken.NEW, 3, 1, 0b10)
    assert take(series, payload("a", 2, of=3)) == (series, Taken.DUPLICATE)


@pytest.mark.parametrize(
    ("second", "taken"),
    [
        (payload("a", 1, of=3, body="y"), Taken.OTHER_BYTES),
        (payload("a", 1, of=3, body=""), Taken.OTHER_BYTES),
        (payload("a", 1, of=4, body="x"), Taken.OTHER_TOTAL),
        (payload("a", 2, of=4, body="x"), Taken.OTHER_TOTAL),
        (payload("a", 1, of=4, body="y"), Taken.OTHER_TOTAL),
    ],
    ids=repr,
)
def test_what_contradicts_the_first_leaves_all_but_the_excluded_blocks(second: Staged, taken: Taken) -> None:
    series, _ = take(Series(), payload("a", 1, of=3))
    after, found = take(series, second)
    assert found is taken
    assert (after.total_count, after.received, after.received_count) == (3, 0b1, 1)
    assert (after.bytes, after.parts, after.contents) == (series.bytes, series.parts, series.contents)


def test_an_empty_payload_is_received_without_a_block() -> None:
    series, taken = take(Series(), payload("a", 1, of=1, body=""))
    assert (taken, series.complete, series.bytes) == (Taken.NEW, True, 0)
    assert series.parts == {0: PartTally(ordinals=1)}


def test_each_part_adds_up_its_own_blocks() -> None:
    first, other = payload("a", 4_096, of=5_000, body="xyzzy"), payload("a", 4_097, of=5_000, body="z")
    assert (part_of(4_096, 5_000), part_of(4_097, 5_000)) == (0, 1)
    series, _ = take(take(Series(), first)[0], other)
    for number, staged in enumerate((first, other)):
        ids = block_ids(staged)
        assert series.parts[number] == PartTally(1, len(ids), staged.sizes[0], sum(map(block_hash, ids)) % 2**128)


# --- blocks that lost


def test_blocks_of_a_loser_are_excluded_from_the_commit() -> None:
    loser = payload("a", 1, of=2, body="yz")
    book = Playbook() >> header(a=2, on_conflict="keep-first") >> payload("a", 1, of=2) >> loser
    book = book << excluded("a", loser) >> payload("a", 2, of=2) << asks("Completed")
    assert set(book.due()[0].series[0].excluded) == set(block_ids(loser))


def test_blocks_that_lost_against_another_total_are_accepted_when_they_come_with_the_right_one() -> None:
    wrong, right = payload("a", 1, of=3), payload("a", 1, of=2)
    Playbook() >> header(a=2, on_conflict="keep-first") >> wrong << excluded("a", wrong) >> right << excluded("a")


def test_accepted_bytes_with_another_total_are_not_excluded() -> None:
    right, wrong = payload("a", 1, of=2), payload("a", 1, of=3)
    Playbook() >> header(a=2, on_conflict="keep-first") >> right >> wrong << excluded("a")


def test_one_block_is_the_same_block_whatever_size_blocks_are_cut_to() -> None:
    right, wrong = payload("a", 1, of=2), payload("a", 1, of=2000)
    assert block_ids(right) == block_ids(wrong)
    Playbook() >> header(a=2, on_conflict="keep-first") >> right >> wrong << excluded("a")


def test_the_same_bytes_cut_otherwise_are_excluded() -> None:
    right, wrong = payload("a", 1, of=2, body="xyz"), payload("a", 1, of=2000, body="xyz")
    Playbook() >> header(a=2, on_conflict="keep-first") >> right >> wrong << excluded("a", wrong)


def test_a_block_that_the_loser_shares_with_what_came_first_is_not_excluded() -> None:
    first, second = payload("a", 1, of=1, body="same head, tail 1"), payload("a", 1, of=1, body="same head, tail 2")
    shared = set(block_ids(first)) & set(block_ids(second))
    assert len(shared) == len("same head, tail 1") - 1
    Playbook() >> header(a=1, on_conflict="keep-first") >> first >> second << excluded("a", second, but=shared)


def test_a_loser_that_comes_again_still_excludes_no_accepted_block() -> None:
    wrong, right = payload("a", 1, of=3, body="xy"), payload("a", 1, of=2, body="xz")
    shared = set(block_ids(wrong)) & set(block_ids(right))
    book = Playbook() >> header(a=2, on_conflict="keep-first") >> wrong << excluded("a", wrong)
    book >> right << excluded("a", wrong, but=shared) >> wrong << excluded("a", wrong, but=shared)


def test_a_loser_after_the_verdict_is_excluded_too() -> None:
    loser = payload("a", 1, of=1, body="y")
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) << SENDING >> loser << excluded("a", loser)
    assert book.due()[0].series[0].excluded == block_ids(loser)


def test_the_marker_of_an_empty_payload_that_lost_is_excluded() -> None:
    lost = Staged("s", 1, 1, 2, (0,), ("0" * 16,), ())
    series, _ = take(Series(), payload("s", 1, of=2))
    series, taken = take(series, lost)
    assert taken is Taken.OTHER_BYTES
    assert series.excluded == {str(marker_id(1))}
    assert take(Series(excluded=series.excluded), lost)[0].excluded == frozenset()


def test_the_marker_s_id_carries_the_checksum_of_what_is_staged() -> None:
    assert marker_id(1).crc64 == crc64([EMPTY_MARKER])
