"""Contradictions beyond the first one: which are noted, which are only counted; told again they change nothing."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import Playbook, asks, changes_only, conflict, core, crc64, has, header, not_taken, passes, payload, run

from bridge.contract.outbound import OutcomeCode
from tables.problems import PROBLEMS_MAX
from tables.rules import Fact

KEPT = header(a=4, b=2, on_conflict="keep-first")
OTHERS: dict[str, list[Fact]] = {
    "conflicting-payload": [payload("a", 1, of=4, body=body) for body in ("y", "z", "", "yy")],
    "conflicting-total-count": [payload("a", 1, of=of) for of in (5, 6, 2_000)],
    "conflicting-header": [header(a=4, conflicting=other) for other in ("one", "two", "three")],
    "unknown-series": [payload(name, 1, of=1) for name in "uvw"],
}
"""Facts that contradict, by code."""


def begun() -> Playbook:
    return Playbook() >> KEPT >> payload("a", 1, of=4) >> payload("b", 2, of=2)


def noted(book: Playbook) -> list[str]:
    return [each.code for each in book.transaction.problems]


@pytest.mark.parametrize(("one", "other"), [*product(OTHERS, repeat=2)])
def test_the_first_contradiction_stays_and_one_further_of_each_code_is_noted(one: str, other: str) -> None:
    book = begun() >> OTHERS[one][0]
    first = book.transaction.conflict
    assert noted(book) == [one]
    book >> OTHERS[other][1]
    assert noted(book) == [one, other]
    assert (book.transaction.conflict, book.transaction.problem) == (first, book.transaction.problems[0])
    further = book.transaction.problems[1]
    assert (further.stage, further.terminal, further.retryable) == ("await", False, False)
    book >> OTHERS[other][2]
    assert noted(book) == [one, other], "of each code one"
    assert book.transaction.problems[1] == further, "the first further one"
    assert sum(book.transaction.contradictions.values()) == 3


def test_both_contents_are_named_also_beyond_the_first() -> None:
    book = begun() >> payload("b", 2, of=2, body="z") >> run("a", 1, "y", "y", of=4)
    assert [each.detail for each in book.transaction.problems] == [
        f"Series b, ordinal 2: {ord('z')} bytes with CRC-64 {crc64('z')} differ, "
        f"the one with CRC-64 {crc64('x')} stays.",
        f"Series a, ordinal 1 in the run 1-2: {ord('y')} bytes with CRC-64 {crc64('y')} differ, "
        f"the one with CRC-64 {crc64('x')} stays.",
    ]


@pytest.mark.parametrize("code", OTHERS)
def test_the_first_contradiction_told_again_is_no_further_one(code: str) -> None:
    book = begun() >> OTHERS[code][0]
    once = book.transaction
    book >> OTHERS[code][0] << has(contradictions={code: 2})
    assert core(book.transaction) == core(once)
    assert noted(book) == [code]


def test_a_run_that_lost_is_known_again_when_another_ordinal_of_it_is_the_first_to_differ() -> None:
    loser = run("a", 1, "y", "y", of=4)
    book = Playbook() >> header(a=4, on_conflict="keep-first") >> payload("a", 2, of=4) >> loser
    book >> payload("a", 1, of=4) >> loser << changes_only(contradictions={"conflicting-payload": 2})


def test_a_header_that_contradicts_in_several_ways_counts_once_and_each_code_is_noted() -> None:
    book = Playbook()
    for fact in (payload("a", 1, of=3), payload("u", 1, of=1), payload("v", 1, of=1)):
        book >> fact
    book >> header(a=4, on_conflict="keep-first", conflicting="other") << conflict("conflicting-total-count")
    assert noted(book) == ["conflicting-total-count", "unknown-series", "conflicting-header"]
    book << has(contradictions={"conflicting-total-count": 1})
    book >> payload("v", 1, of=1) << has(contradictions={"conflicting-total-count": 1, "unknown-series": 1})
    assert len(noted(book)) == 3, "the header has said so"


def test_where_a_contradiction_fails_the_transaction_it_stands_there_once_behind_the_others() -> None:
    book = Playbook() >> payload("a", 1, of=3) >> payload("u", 1, of=1) >> header(a=4)
    book << asks("Failed", "conflicting-total-count")
    assert noted(book) == ["unknown-series", "conflicting-total-count"]
    (
        book
        >> payload("a", 1, of=3, body="y")
        << changes_only(contradictions={"conflicting-total-count": 1, "conflicting-payload": 1})
    )


def test_no_number_of_other_problems_makes_room_for_another_contradiction() -> None:
    book = begun() >> OTHERS["conflicting-payload"][0] >> OTHERS["conflicting-payload"][1]
    for number in range(PROBLEMS_MAX):
        book >> not_taken(f"code-{number}")
    rows = len(book.rows)
    for body in range(50):
        book >> payload("a", 1, of=4, body=f"y{body}")
    assert (len(book.rows), noted(book)) == (rows, [f"code-{number}" for number in range(PROBLEMS_MAX)])


def test_a_gap_that_was_noticed_stays_what_went_wrong_last() -> None:
    book = begun() >> OTHERS["unknown-series"][0] >> passes(minutes=10) >> OTHERS["conflicting-header"][0]
    assert book.transaction.problem is not None
    assert book.transaction.problem.code == "gap"
    assert noted(book) == ["unknown-series", "gap", "conflicting-header"]


EVERY: list[Fact] = [fact for facts in OTHERS.values() for fact in facts]
MORE: list[Fact] = [
    *(payload("a", ordinal, of=4, body=body) for ordinal in (1, 2, 3) for body in "xy"),
    *(run("a", first, *bodies, of=4) for first in (1, 3) for bodies in product("xy", repeat=2)),
    *(payload("u", 1, of=of, body=body) for of in (1, 2) for body in "xy"),
]
SOME = st.sampled_from([*EVERY, *MORE])


@settings(max_examples=150, deadline=None)
@given(st.lists(SOME, max_size=20), st.integers(0, 5), st.data())
def test_what_was_told_in_any_order_before_changes_only_counters_when_it_is_told_again(
    script: list[Fact], place: int, data: st.DataObject
) -> None:
    facts: list[Fact] = [*script[:place], KEPT, *script[place:]]
    book = Playbook()
    for fact in facts:
        book >> fact
    problems, rows = book.transaction.problems, dict(book.rows)
    for fact in data.draw(st.permutations(facts)):
        book >> fact << has(problems=problems)
    assert book.rows == rows
    codes = noted(book)
    assert len(codes) <= 1 + len(OTHERS)
    assert all(codes.count(code) <= 2 for code in codes)
    book.rebuilt() << has(problems=problems)


def test_every_code_that_can_be_counted_is_one_of_an_outcome() -> None:
    book = begun()
    for fact in EVERY:
        book >> fact
    assert {*book.transaction.contradictions} == {*OTHERS} <= {*map(str, OutcomeCode)}
    assert sum(book.transaction.contradictions.values()) == len(EVERY)
