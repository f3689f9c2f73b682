"""Explanations: every state has its words, and the numbers in them are right."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from playbook import START, Playbook, delivered, header, passes, payload, refused, seconds, stalled

from tables.explain import SERIES_SAID_MAX, Explanation, explain, range_text
from tables.rules import opened
from tables.transaction import State

SEND = "brh send T1 --only-missing"
HOW = "With the same --series as before it sends what is missing; `brh gaps T1` names it."


def explained(book: Playbook) -> Explanation:
    return explain(book.transaction, book.now)


@pytest.mark.parametrize(
    ("ranges", "text"),
    [((), ""), (((17, 17),), "17"), (((17, 17), (42, 90)), "17, 42-90"), (((1, 2), (4, 4), (6, 7)), "1-2, 4, 6-7")],
    ids=repr,
)
def test_ranges_are_written_as_people_write_them(ranges: tuple[tuple[int, int], ...], text: str) -> None:
    assert range_text(ranges) == text


def test_ranges_that_are_not_all_say_so() -> None:
    assert range_text([(1, 1)], more=True) == "1 and more"


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(1, 60), min_size=1))
def test_the_notation_names_every_ordinal_once(members: set[int]) -> None:
    ranges = [(member, member) for member in sorted(members)]
    assert [int(text) for text in range_text(ranges).split(", ")] == sorted(members)


def test_before_the_header_the_header_is_waited_for_and_what_payloads_told() -> None:
    book = Playbook() >> payload("a", 2, of=4) >> payload("b", 1, of=1)
    assert explained(book) == Explanation(
        "T1 has no header yet; 2 payloads of 2 series arrived.",
        ("The header, which tells the series to expect.", "Series a: 3 of 4 payloads: 1, 3-4."),
        SEND,
        (
            "2026-01-31T12:10:00.000Z: abandoned, unless its header comes.",
            "2026-01-31T12:10:00.000Z: its gaps are told, unless something new comes.",
            "2026-02-01T12:00:00.000Z: abandoned, unless everything has come.",
        ),
        HOW,
    )


def test_with_the_header_the_missing_ordinals_of_its_series_are_named() -> None:
    book = Playbook() >> header(a=128, log=None, none=0)
    for ordinal in set(range(1, 129)) - {17, *range(42, 91)}:
        book >> payload("a", ordinal, of=128)
    assert explained(book) == Explanation(
        "T1 waits for 2 of its 3 series.",
        (
            "Series a: 50 of 128 payloads: 17, 42-90.",
            "Series log: nothing arrived yet, and its total count is not known.",
        ),
        SEND,
        (
            "2026-01-31T12:10:00.000Z: its gaps are told, unless something new comes.",
            "2026-02-01T12:00:00.000Z: abandoned, unless everything has come.",
        ),
        HOW,
    )


def test_where_no_gap_is_known_there_is_nothing_to_do_but_to_wait() -> None:
    for book in (Playbook() >> header(a=None), Playbook() >> payload("a", 1, of=1)):
        assert (explained(book).command, explained(book).advice) == ("brh wait T1", None)


def test_many_holes_and_many_series_are_cut_short() -> None:
    book = Playbook() >> header(**{f"s{n}": 100 for n in range(SERIES_SAID_MAX + 5)})
    for ordinal in range(1, 101, 2):
        book >> payload("s0", ordinal, of=100)
    waiting = explained(book).waiting_for
    assert waiting[0].endswith("38, 40 and more.")
    assert (len(waiting), waiting[-1]) == (SERIES_SAID_MAX + 1, "5 more series.")


def test_a_contradiction_is_told_with_what_it_means() -> None:
    contradiction = Playbook() >> payload("a", 1, of=2) >> payload("a", 1, of=2, body="y")
    assert "(conflicting-payload), the header decides what that means." in explained(contradiction).summary
    kept = contradiction >> header(a=2, on_conflict="keep-first")
    assert "each other (conflicting-payload), what came first stays." in explained(kept).summary
    again = kept >> payload("a", 1, of=2, body="z") >> payload("u", 1, of=1)
    several = "each other more than once (conflicting-payload, unknown-series), what came first stays."
    assert several in explained(again).summary


def test_while_sending_the_answer_is_waited_for() -> None:
    assert explained(Playbook() >> header(a=0)) == Explanation(
        "T1 is decided as Completed, which is being written and told.",
        ("The answer of the delivery.",),
        "brh wait T1",
        (
            "2026-01-31T12:15:00.000Z: counts as overdue.",
            "2026-02-01T12:00:00.000Z: failed, unless it is delivered.",
        ),
    )


def test_a_failure_says_why_while_it_is_being_told() -> None:
    book = Playbook() >> header(a=1) >> payload("u", 1, of=1)
    assert explained(book).summary == (
        "T1 is decided as Failed, which is being written and told (unknown-series): "
        "Series u has payloads, but the header does not list it."
    )


def test_a_moment_that_has_passed_while_bridges_are_behind_says_what_it_waits_for() -> None:
    book = Playbook() >> header(a=1) >> stalled(minutes=10)
    assert explained(book).otherwise == (
        "2026-01-31T12:10:00.000Z: its gaps are told, unless something new comes, "
        "as soon as every bridge has reported what was in the queues by then.",
        "2026-02-01T12:00:00.000Z: abandoned, unless everything has come.",
    )


def test_what_time_brings_depends_on_the_policy_and_on_what_is_due() -> None:
    partial = Playbook() >> header(a=1, on_timeout="partial")
    assert explained(partial).otherwise[-1].endswith(": completed with what there is by then.")
    overdue = Playbook() >> header(a=0) >> passes(minutes=15)
    assert explained(overdue).command == "brh retry T1"
    assert explained(overdue).otherwise == ("2026-02-01T12:00:00.000Z: failed, unless it is delivered.",)
    assert explained(overdue >> delivered("Completed")).otherwise == ()


def test_a_refused_delivery_says_when_the_next_try_is_and_why() -> None:
    book = Playbook() >> header(a=0) >> refused()
    assert explained(book).waiting_for == ("The next try in 1 s, after 1 try (storage-unavailable): What happened.",)
    book = book >> refused() >> refused() >> seconds(1)
    assert explained(book).waiting_for == ("The next try in 3 s, after 3 tries (storage-unavailable): What happened.",)
    assert explained(book >> seconds(60)).waiting_for[0].startswith("The next try in 0 s,")


def test_a_completed_transaction_says_where_its_result_is_and_how_to_get_it() -> None:
    assert explained(Playbook() >> header(a=0) >> delivered("Completed")) == Explanation(
        "T1 is Completed since 2026-01-31T12:00:00.000Z: https://a/results/T1/_outcome.json",
        command="brh fetch T1 --out T1",
    )


@pytest.mark.parametrize("outcome", ["Failed", "Abandoned"])
def test_a_transaction_without_a_result_says_why(outcome: str) -> None:
    book = Playbook() >> header(a=1) >> delivered(outcome, "too-late")
    assert explained(book) == Explanation(f"T1 is {outcome} since 2026-01-31T12:00:00.000Z (too-late): What happened.")


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_its_words_whatever_else_is_known(state: State) -> None:
    # Also records that the rules would not make: an explanation must never be what fails.
    found = explain(replace(opened("T1", START), state=state), START)
    assert found.summary.startswith("T1 ")
    assert found.summary.endswith(".")
