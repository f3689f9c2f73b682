"""What one staged payload does to its series, and which blocks must not be committed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from playbook import Playbook, asks, conflict, has, header, payload, plans, received, run

from bridge.checksums import crc64, hex16
from bridge.contract.events import Staged
from bridge.layout import EMPTY_MARKER, marker_id, part_of
from tables.accept import Taken, block_ids, contents, take
from tables.effects import block_hash, content_hash
from tables.transaction import PartTally, Series


def test_block_ids_name_the_ordinal_the_cut_and_the_content() -> None:
    staged = payload("a", 7, of=9, body="xy")
    assert block_ids(staged) == (
        f"00009.00007.001.000.002.{staged.blocks[0]}",
        f"00009.00007.001.001.002.{staged.blocks[1]}",
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
def test_what_contradicts_the_first_changes_nothing(second: Staged, taken: Taken) -> None:
    series, _ = take(Series(), payload("a", 1, of=3))
    after, found = take(series, second)
    assert found is taken
    assert after is series


def test_an_empty_payload_is_received_without_a_block() -> None:
    series, taken = take(Series(), payload("a", 1, of=1, body=""))
    assert (taken, series.complete, series.bytes) == (Taken.NEW, True, 0)
    assert series.parts == {0: PartTally(ordinals=1, content=content_hash(1, b""))}


def test_each_part_adds_up_its_own_blocks() -> None:
    first, other = payload("a", 4_096, of=5_000, body="xyzzy"), payload("a", 4_097, of=5_000, body="z")
    assert (part_of(4_096, 5_000), part_of(4_097, 5_000)) == (0, 1)
    series, _ = take(take(Series(), first)[0], other)
    for number, staged in enumerate((first, other)):
        assert series.parts[number] == tally(staged)


# --- runs


def told(*facts: Staged) -> Series:
    series = Series()
    for fact in facts:
        series, _ = take(series, fact)
    return series


def tally(*facts: Staged) -> PartTally:
    ids = [block_id for fact in facts for block_id in block_ids(fact)]
    size = sum(sum(fact.sizes) for fact in facts)
    content = sum(content_hash(fact.first + at, said) for fact in facts for at, said in enumerate(contents(fact)))
    digest = sum(map(block_hash, ids))
    return PartTally(sum(fact.count for fact in facts), len(ids), size, digest % 2**128, content % 2**128)


def test_a_run_is_one_block_of_several_ordinals() -> None:
    whole = run("a", 1, "x", "", "y", "z", of=5)
    assert block_ids(whole) == (f"00005.00001.004.000.001.{whole.blocks[0]}",)
    series, taken = take(Series(), whole)
    assert (taken, series.received, series.received_count, series.bytes) == (Taken.NEW, 0b1111, 4, sum(whole.sizes))
    assert series.parts == {0: tally(whole)}


def test_what_lies_within_an_accepted_run_is_a_duplicate() -> None:
    series = told(run("a", 1, "x", "", "y", "z", of=4))
    for fact in [
        payload("a", 1, of=4),
        payload("a", 2, of=4, body=""),
        run("a", 3, "y", "z", of=4),
        run("a", 1, "x", "", "y", "z", of=4),
    ]:
        assert take(series, fact) == (series, Taken.DUPLICATE)


def test_a_run_takes_the_place_of_the_tiles_within_it_and_brings_what_is_new() -> None:
    small = [payload("a", 1, of=8), payload("a", 2, of=8, body=""), run("a", 5, "p", "q", of=8)]
    rest, whole = payload("a", 8, of=8, body="s"), run("a", 1, "x", "", "y", "z", of=8)
    series, taken = take(told(*small, rest), whole)
    assert (taken, series.received_count, series.parts) == (Taken.NEW, 7, {0: tally(whole, *small[2:], rest)})
    largest = run("a", 1, "x", "", "y", "z", "p", "q", "r", "s", of=8)
    series, taken = take(series, largest)
    assert (taken, series.received_count, series.parts) == (Taken.NEW, 8, {0: tally(largest)})


def test_a_run_that_brings_nothing_new_is_a_duplicate_and_yet_takes_their_place() -> None:
    whole = run("a", 1, "x", "y", of=2)
    series, taken = take(told(payload("a", 1, of=2), payload("a", 2, of=2, body="y")), whole)
    assert (taken, series) == (Taken.DUPLICATE, told(whole))


def test_an_empty_payload_is_not_one_whose_checksum_is_zero() -> None:
    zero = Staged("a", 1, 2, 2, (8, 0), ("0" * 16, "0" * 16), ("1" * 16,))
    series = told(zero)
    assert take(series, Staged("a", 1, 1, 2, (8,), ("0" * 16,), ("0" * 16,)))[1] is Taken.DUPLICATE
    assert take(series, Staged("a", 1, 1, 2, (0,), ("0" * 16,), ()))[1] is Taken.OTHER_BYTES
    assert take(series, Staged("a", 2, 1, 2, (8,), ("0" * 16,), ("0" * 16,)))[1] is Taken.OTHER_BYTES


def test_a_payload_of_an_odd_cut_leaves_the_part_with_all_its_blocks() -> None:
    # No bridge cuts a small payload, but what has entered a digest must leave it, whatever it was.
    odd = replace(payload("a", 1, of=4), blocks=("1" * 16, "2" * 16))
    whole = run("a", 1, "x", "y", of=4)
    assert told(odd, whole) == told(whole, odd) == told(whole)


def test_a_run_with_one_contradicting_ordinal_loses_as_a_whole_and_the_others_stay_missing() -> None:
    first, loser = payload("a", 2, of=4, body="x"), run("a", 1, "x", "y", "z", "z", of=4)
    book = Playbook() >> header(a=4, on_conflict="keep-first") >> first >> loser
    book << conflict("conflicting-payload") << received(a=[(2, 2)]) << has(duplicates=0)
    others = [payload("a", 1, of=4), run("a", 3, "z", "z", of=4)]
    book >> others[0] >> others[1] << asks("Completed") << plans("a", first, *others)


def test_a_payload_that_contradicts_an_ordinal_of_a_run_is_not_in_the_plan() -> None:
    whole, loser, last = run("a", 1, "x", "y", of=3), payload("a", 2, of=3, body="z"), payload("a", 3, of=3)
    book = Playbook() >> header(a=3, on_conflict="keep-first") >> whole >> loser << conflict("conflicting-payload")
    book >> last << asks("Completed") << plans("a", whole, last)


def test_a_run_that_lost_is_accepted_when_its_bytes_come_with_the_right_edge() -> None:
    wrong, right = run("a", 1, "", "x", of=2), run("a", 1, "x", "", of=2)
    assert block_ids(wrong) == block_ids(right)
    book = Playbook() >> header(a=2, on_conflict="keep-first") >> payload("a", 1, of=2) >> wrong
    book << received(a=[(1, 1)]) >> right << plans("a", right) >> wrong << plans("a", right)


# --- runs that were found in storage


def staged(first: int, *bodies: bytes) -> Staged:
    """Payloads of a series of eight, with checksums that add up."""
    crc64s = tuple(hex16(crc64([body])) for body in bodies)
    sizes, whole = tuple(map(len, bodies)), b"".join(bodies)
    return Staged("a", first, len(bodies), 8, sizes, crc64s, (hex16(crc64([whole])),) if whole else ())


def found(whole: Staged) -> Staged:
    """The same run, as a list of blocks tells of it."""
    return replace(whole, sizes=(), crc64s=(), run_bytes=sum(whole.sizes))


FOUR = staged(1, b"x", b"", b"yy", b"z")
LARGER = staged(1, b"x", b"", b"yy", b"z", b"p", b"q", b"r", b"s")


def test_a_run_that_was_found_counts_like_one_that_was_told() -> None:
    series, taken = take(Series(), found(FOUR))
    assert taken is Taken.NEW
    assert (series.received, series.received_count, series.bytes) == (0b1111, 4, sum(FOUR.sizes))
    same = ("ordinals", "blocks", "bytes", "digest")
    assert [getattr(series.parts[0], each) for each in same] == [getattr(tally(FOUR), each) for each in same]
    assert take(series, found(FOUR)) == (series, Taken.DUPLICATE)


@pytest.mark.parametrize("body", [b"x", b"other", b""])
def test_a_payload_of_a_run_that_was_found_is_a_duplicate_whatever_it_is(body: bytes) -> None:
    series = told(found(FOUR))
    assert take(series, staged(1, body)) == (series, Taken.DUPLICATE)
    assert take(series, staged(3, b"yy", b"z")) == (series, Taken.DUPLICATE)


def test_the_whole_run_again_is_a_duplicate_and_other_bytes_are_a_conflict() -> None:
    series = told(found(FOUR))
    assert take(series, FOUR) == (series, Taken.DUPLICATE)
    assert take(series, staged(1, b"x", b"", b"z", b"yy")) == (series, Taken.OTHER_BYTES)


def test_a_larger_run_takes_the_place_of_one_that_was_found_where_its_bytes_are_the_same() -> None:
    small = found(staged(3, b"yy", b"z"))
    series, taken = take(told(staged(1, b"x"), small), LARGER)
    assert (taken, series.received_count, series.bytes) == (Taken.NEW, 8, sum(LARGER.sizes))
    assert series.contents == told(LARGER).contents
    assert series.parts[0].digest == told(LARGER).parts[0].digest
    wrong = replace(LARGER, crc64s=(*LARGER.crc64s[:3], "0" * 16, *LARGER.crc64s[4:]))
    before = told(staged(1, b"x"), small)
    assert take(before, wrong) == (before, Taken.OTHER_BYTES)


def test_the_content_of_a_part_stays_what_it_was_when_a_run_that_was_found_is_seen() -> None:
    before = told(found(FOUR), staged(5, b"p", b"q", b"r", b"s"))
    after, taken = take(before, LARGER)
    assert (taken, after.parts[0].blocks) == (Taken.DUPLICATE, 1)
    assert after.parts[0].content == before.parts[0].content, "parts are committed under it"


@pytest.mark.parametrize("known", [staged(2, b""), staged(4, b"z"), found(staged(3, b"yy", b"z"))])
def test_a_run_that_was_found_is_not_taken_where_anything_is_known(known: Staged) -> None:
    series = told(known)
    assert take(series, found(FOUR)) == (series, Taken.UNPROVEN)
    book = Playbook() >> header(a=8) >> known << has(duplicates=0)
    book >> found(FOUR) << has(duplicates=0) << received(a=_held(known))


def _held(fact: Staged) -> list[tuple[int, int]]:
    return [(fact.first, fact.first + fact.count - 1)]


def test_what_contradicts_a_run_that_was_found_fails_the_transaction_and_says_what_stays() -> None:
    book = Playbook() >> header(a=8) >> found(FOUR) >> staged(1, b"x", b"", b"z", b"yy")
    book << asks("Failed", "conflicting-payload") << conflict("conflicting-payload")
    assert book.transaction.conflict is not None
    assert book.transaction.conflict.detail.endswith("the run that was found in storage stays.")


def test_a_series_of_runs_that_were_found_completes_with_their_blocks() -> None:
    rest = [staged(ordinal, b"r") for ordinal in range(5, 9)]
    book = Playbook() >> header(a=8) >> found(FOUR)
    for fact in rest:
        book >> fact
    book << asks("Completed") << received(a=[(1, 8)])


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (payload("a", 1, of=3), payload("a", 1, of=1)),
        (payload("a", 1, of=2000, body="xyz"), payload("a", 1, of=1, body="xyz")),
        (payload("a", 1, of=3, body="xy"), payload("a", 1, of=1, body="xz")),
        (payload("a", 1, of=3, body=""), payload("a", 1, of=1, body="")),
    ],
    ids=["the same block", "the same bytes cut otherwise", "a block of two", "empty"],
)
def test_what_lost_against_another_total_is_accepted_when_it_comes_with_the_right_one(
    wrong: Staged, right: Staged
) -> None:
    book = Playbook() >> header(a=1, on_conflict="keep-first") >> wrong << conflict("conflicting-total-count")
    book << received(a=[]) >> right << plans("a", right) >> wrong << plans("a", right)


@pytest.mark.parametrize("loser", [payload("a", 1, of=1, body=body) for body in ["", "y", "xyz"]], ids=repr)
def test_what_comes_first_is_the_plan_whatever_contradicts_it(loser: Staged) -> None:
    first = payload("a", 1, of=1, body="xy")
    book = Playbook() >> header(a=1, on_conflict="keep-first") >> first << plans("a", first)
    book >> loser << plans("a", first)


def test_losers_leave_nothing_behind_however_many_they_are() -> None:
    series, _ = take(Series(), payload("a", 1, of=9))
    after = series
    for body in range(1_000):
        for loser in (payload("a", 1, of=9, body=f"y{body}"), payload("a", 2, of=8, body=f"{body}")):
            after, taken = take(after, loser)
            assert taken in (Taken.OTHER_BYTES, Taken.OTHER_TOTAL)
    assert after is series


def test_the_marker_s_id_carries_the_checksum_of_what_is_staged() -> None:
    assert marker_id(9, 1).crc64 == crc64([EMPTY_MARKER])
