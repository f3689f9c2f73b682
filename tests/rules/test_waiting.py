"""Waiting for header and payloads: who is late, by which clock, what is told meanwhile and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import msgspec
import pytest
from playbook import (
    START,
    Playbook,
    asks,
    asks_nothing,
    changes_nothing,
    command,
    conflict,
    delivered,
    gap,
    has,
    header,
    notices,
    passes,
    payload,
    run,
    stalled,
    told,
    waits_for,
)

from bridge.contract.inbound import SERIES_MAX, TIMEOUT_MAX_S, TOTAL_COUNT_MAX
from bridge.contract.outbound import Problem
from tables.decisions import Expired, GapNoticed
from tables.effects import OrphanSeries
from tables.limits import too_many_open
from tables.missing import DOCUMENT_RANGES_MAX
from tables.policies import Limits, Policies
from tables.transaction import State, Verdict

AWAITING, SENDING = State.AWAITING_RESULTS, State.SENDING_COMPLETION
PATIENT = Limits(idle_s=6 * 86_400.0)
"""Nobody is told of gaps, so that a script has nothing but what it is about."""


def problem_of(book: Playbook) -> Problem:
    found = book.transaction.verdict and book.transaction.verdict.problem
    assert found is not None
    return found


# --- the header


def test_a_header_that_never_comes_abandons_the_transaction_after_its_limit() -> None:
    book = Playbook() >> payload("a", 1, of=1) >> passes(seconds=599.999) << AWAITING << asks_nothing
    book >> passes(seconds=0.001) << SENDING << asks("Abandoned", "no-header")
    found = problem_of(book)
    assert found.detail == "No header came within 600 s after the first payload."
    assert (found.stage, found.terminal, found.retryable) == ("await", True, False)


def test_the_wait_for_the_header_begins_with_the_first_payload_and_no_payload_renews_it() -> None:
    book = Playbook() >> payload("a", 1, of=9)
    for ordinal in range(2, 10):
        book >> passes(minutes=1) >> payload("a", ordinal, of=9)
    book >> passes(minutes=1.9) << AWAITING >> passes(minutes=0.1) << asks("Abandoned", "no-header")


def test_a_header_in_time_ends_the_wait_for_it() -> None:
    book = Playbook(PATIENT) >> payload("a", 1, of=2) << waits_for("header", "awaiting", "idle")
    book >> passes(minutes=9) >> header(a=2) << waits_for("awaiting", "idle") >> passes(hours=5) << AWAITING


def test_what_came_without_a_header_is_reported_as_orphans() -> None:
    book = Playbook() >> payload("b", 2, of=3, body="yy") >> run("a", 1, "x", "y", of=4) >> payload("a", 4, of=4)
    book >> passes(minutes=10) << asks("Abandoned", "no-header")
    assert book.due()[0].orphans == (
        OrphanSeries("a", 4, 3, 2 * ord("x") + ord("y"), ((1, 2), (4, 4)), False),
        OrphanSeries("b", 3, 1, (8 << 20) + ord("y"), ((2, 2),), False),
    )
    assert all(plan.parts == () for plan in book.due()[0].series)


def test_a_header_that_comes_after_the_verdict_does_not_bring_the_transaction_back() -> None:
    book = Playbook() >> payload("a", 1, of=1) >> passes(minutes=10) << asks("Abandoned", "no-header")
    book >> header(a=1) << asks("Abandoned", "no-header")


# --- too much before the header


@pytest.mark.parametrize(
    ("limits", "enough"),
    [
        (Limits(early_payloads_max=3), [payload("a", 1, of=9), run("b", 1, "x", "y", of=4)]),
        (Limits(early_bytes_max=3 * ord("x")), [payload("a", n, of=9) for n in (1, 2, 3)]),
    ],
    ids=["payloads", "bytes"],
)
def test_more_than_may_come_before_the_header_fails_the_transaction(limits: Limits, enough: list[object]) -> None:
    book = Playbook(limits)
    for fact in enough:
        book >> fact << AWAITING
    book >> payload("a", 9, of=9) << asks("Failed", "early-limit")
    assert "before a header" in problem_of(book).detail


def test_duplicates_before_the_header_do_not_count_as_more() -> None:
    book = Playbook(Limits(early_payloads_max=1)) >> payload("a", 1, of=2)
    book >> payload("a", 1, of=2) << AWAITING


def test_with_the_header_there_is_no_such_limit() -> None:
    book = Playbook(Limits(early_payloads_max=1)) >> header(a=3)
    for ordinal in (1, 2, 3):
        book >> payload("a", ordinal, of=3)
    book << asks("Completed")


# --- gaps


def test_a_gap_is_told_after_the_idle_limit_and_names_what_is_missing_as_ranges() -> None:
    book = Playbook() >> header(a=128, log=None, b=1) >> payload("b", 1, of=1)
    for ordinal in {*range(1, 129)} - {17, *range(42, 91)}:
        book >> payload("a", ordinal, of=128)
    book >> passes(seconds=599.999) << notices() >> passes(seconds=0.001) << AWAITING << notices("gap")
    book << gap(1, a=((17, 17), (42, 90)), log=None)
    found = book.announced()[-1].problem
    assert found is not None
    assert (found.code, found.stage, found.terminal, found.retryable) == ("gap", "await", False, True)
    assert found.detail == "Nothing new came for 600 s and more."


def test_more_holes_than_a_problem_can_name_are_the_first_ones_and_said_to_be_more() -> None:
    book = Playbook() >> header(a=4_000, b=2)
    for ordinal in range(2, 4_001, 2):
        book >> payload("a", ordinal, of=4_000)
    named = {"a": tuple((ordinal, ordinal) for ordinal in range(1, 2_000, 2)), "b": ((1, 2),)}
    book >> passes(minutes=10) << gap(1, **named)
    found = book.announced()[-1].problem
    assert found is not None
    assert found.missing_truncated is True
    assert msgspec.json.decode(msgspec.json.encode(found))["missingTruncated"] is True
    assert msgspec.json.decode(msgspec.json.encode(found), type=Problem) == found
    for ended in (copy(book) >> command("cancel"), book >> passes(days=1)):
        assert (problem_of(ended).missing, problem_of(ended).missing_truncated) == (named, True)


def test_where_all_holes_are_named_nothing_is_said_of_more() -> None:
    book = Playbook() >> header(a=2_000, log=None)
    for ordinal in range(2, 2_001, 2):
        book >> payload("a", ordinal, of=2_000)
    book >> passes(minutes=10) << notices("gap")
    for found in (book.announced()[-1].problem, problem_of(book >> command("cancel"))):
        assert found is not None
        assert found.missing == {"a": tuple((ordinal, ordinal) for ordinal in range(1, 2_000, 2)), "log": None}
        assert b"missingTruncated" not in msgspec.json.encode(found)


def test_series_share_the_room_for_ranges_and_any_of_them_may_be_cut() -> None:
    series = {f"s{number}": 600 if number == 7 else 2 for number in range(40)}
    book = Playbook() >> header(**series)
    for ordinal in range(2, 601, 2):
        book >> payload("s7", ordinal, of=600)
    found = problem_of(book >> command("cancel"))
    assert found.missing is not None
    assert len(found.missing["s7"] or ()) == DOCUMENT_RANGES_MAX // (2 * 40) == 250
    assert (len(found.missing), found.missing_truncated) == (40, True)


def test_a_gap_that_was_told_is_not_told_again_until_its_time() -> None:
    book = Playbook() >> header(a=2) >> passes(minutes=10) << notices("gap")
    book.told_all() << notices() >> passes(minutes=9.9) << notices() >> passes(minutes=0.1) << notices("gap")


def test_gaps_back_off_and_keep_their_running_numbers() -> None:
    book = Playbook(Limits(awaiting_s=TIMEOUT_MAX_S)) >> header(a=2)
    for sequence, wait in enumerate([1, 1, 2, 4, 8, 16, 32, 64, 64, 64], 1):
        book >> passes(minutes=10 * wait - 0.1) << notices() >> passes(minutes=0.1) << gap(sequence, a=((1, 2),))
        book.told_all()


def test_something_new_stops_the_gap_and_begins_the_back_off_anew() -> None:
    book = Playbook() >> header(a=3) >> passes(minutes=10) >> passes(minutes=10) << gap(2, a=((1, 3),))
    book.told_all() >> passes(minutes=5) >> payload("a", 1, of=3) >> passes(minutes=9.9) << notices()
    book >> passes(minutes=0.1) << gap(3, a=((2, 3),))
    book.told_all() >> passes(minutes=9.9) << notices() >> passes(minutes=0.1) << gap(4, a=((2, 3),))
    book.told_all() >> passes(minutes=19.9) << notices() >> passes(minutes=0.1) << gap(5, a=((2, 3),))


@pytest.mark.parametrize("nothing_new", [payload("a", 1, of=3), header(a=3), payload("a", 1, of=3, body="y")], ids=repr)
def test_what_brings_nothing_new_does_not_stop_a_gap(nothing_new: object) -> None:
    book = Playbook() >> header(a=3, on_conflict="keep-first") >> payload("a", 1, of=3) >> passes(minutes=9)
    book >> nothing_new >> passes(minutes=1) << notices("gap")


def test_a_gap_that_has_not_been_told_yet_is_not_told_once_something_has_come() -> None:
    book = Playbook() >> header(a=2) >> passes(minutes=10) << notices("gap")
    book >> payload("a", 1, of=2) << notices() >> passes(minutes=10) << gap(2, a=((2, 2),))


def test_a_gap_that_has_not_been_told_yet_is_not_told_once_there_is_a_verdict() -> None:
    book = Playbook() >> header(a=1) >> passes(minutes=10) << notices("gap")
    book >> command("cancel") << asks("Abandoned", "cancelled") << notices()


def test_what_comes_in_the_very_moment_of_a_gap_counts_as_new() -> None:
    book = Playbook() >> header(a=3) >> passes(minutes=10) >> payload("a", 1, of=3)
    book >> passes(minutes=10) << gap(2, a=((2, 3),)) >> passes(minutes=10) << gap(3, a=((2, 3),))


def test_a_gap_that_was_not_told_before_the_next_one_is_told_as_that() -> None:
    book = Playbook() >> header(a=1) >> passes(minutes=10) << gap(1, a=((1, 1),))
    first = book.announced()[-1].id
    book >> passes(minutes=10) << gap(2, a=((1, 1),)) >> told(first) << gap(2, a=((1, 1),))


def test_without_a_header_the_gap_says_that_it_is_missing() -> None:
    book = Playbook(Limits(header_s=3_600)) >> payload("a", 1, of=1) >> passes(minutes=10) << gap(1)
    assert [each.title for each in book.transaction.problems] == ["The header is missing"]


def test_a_complete_transaction_has_no_gap() -> None:
    Playbook() >> header(a=1) >> payload("a", 1, of=1) >> passes(minutes=14) << notices() << asks("Completed")


# --- the limit of waiting for everything


def test_what_is_missing_after_the_limit_abandons_the_transaction_with_the_ranges() -> None:
    book = Playbook(PATIENT) >> header(a=4, log=None, b=0) >> payload("a", 2, of=4) >> passes(hours=23.999) << AWAITING
    book >> passes(hours=0.001) << asks("Abandoned", "timeout")
    found = problem_of(book)
    assert found.missing == {"a": ((1, 1), (3, 4)), "log": None}
    assert (found.title, found.detail) == ("Payloads are missing", "Not everything came within 86400 s.")
    assert all(plan.parts == () for plan in book.due()[0].series), "nothing is assembled"


def test_progress_does_not_move_the_limit() -> None:
    book = Playbook() >> header(a=99)
    for ordinal in range(1, 49):
        book >> payload("a", ordinal, of=99) >> passes(minutes=29.99)
    book << AWAITING >> passes(minutes=1) << asks("Abandoned", "timeout")


def test_a_partial_result_is_completed_with_what_there_is_and_lists_its_holes() -> None:
    book = Playbook(PATIENT) >> header(a=4, log=None, b=0, c=2, on_timeout="partial")
    book >> payload("a", 2, of=4) >> payload("a", 3, of=4, body="y") >> passes(hours=24) << asks("Completed")
    (effect,) = book.due()
    assert effect.partial
    assert effect.problem is None
    parts = {plan.series: [(part.ordinals, part.bytes) for part in plan.parts] for plan in effect.series}
    assert parts == {"a": [(2, ord("x") + ord("y"))], "log": [], "b": [(0, 0)], "c": []}
    assert {plan.series: plan.total_count for plan in effect.series} == {"a": 4, "log": None, "b": 0, "c": 2}


def test_what_comes_after_a_partial_verdict_changes_its_plan_no_more() -> None:
    # The part may be committed by then.
    book = Playbook(PATIENT) >> header(a=2, on_timeout="partial") >> payload("a", 1, of=2) >> passes(hours=24)
    before = book.due()
    book >> payload("a", 2, of=2) << has(late=1) << asks("Completed")
    assert book.due() == before
    book >> payload("a", 1, of=2, body="y") << conflict(None)


def test_a_partial_result_needs_a_header() -> None:
    book = Playbook(Limits(header_s=6 * 86_400, awaiting_s=60, on_timeout="partial")) >> payload("a", 1, of=2)
    book >> passes(minutes=1) << asks("Abandoned", "timeout")
    assert [each.series for each in book.due()[0].orphans] == ["a"]


def test_a_complete_result_is_not_partial_whatever_the_policy() -> None:
    book = Playbook() >> header(a=1, on_timeout="partial") >> payload("a", 1, of=1) << asks("Completed")
    assert not book.due()[0].partial


# --- by the bridges' clock


def test_nobody_is_late_while_the_watermark_stands_still() -> None:
    book = Playbook() >> payload("a", 1, of=2) >> stalled(days=30) << AWAITING << notices() << has(problems=())
    book >> header(a=2) >> stalled(days=30) << AWAITING << notices() << has(problems=())
    assert book.decisions == []


def test_after_an_outage_everything_is_judged_at_once_by_what_the_bridges_have_caught_up_to() -> None:
    book = Playbook() >> header(a=2) >> stalled(days=2) >> payload("a", 1, of=2) << AWAITING
    book >> passes(seconds=0) << asks("Abandoned", "timeout")
    assert [type(each) for each in book.decisions] == [Expired], "what came meanwhile was something new"


def test_of_what_the_watermark_passes_at_once_the_earliest_is_decided_first() -> None:
    book = (
        Playbook() >> header(a=2) >> stalled(days=2) >> passes(seconds=0) << asks("Abandoned", "timeout") << notices()
    )
    assert [type(each) for each in book.decisions] == [GapNoticed, Expired]


def test_a_payload_that_was_in_the_queues_in_time_is_never_too_late() -> None:
    # The bridges were behind: its fact comes after the limit by the clock, but before the watermark passes it.
    book = Playbook(PATIENT) >> header(a=2) >> payload("a", 1, of=2) >> stalled(days=3) >> payload("a", 2, of=2)
    book << asks("Completed") >> passes(seconds=0) << asks("Completed")


def test_a_verdict_that_was_reached_is_not_undone_by_a_limit_of_waiting() -> None:
    book = Playbook() >> header(a=2) >> payload("a", 1, of=2) >> payload("a", 1, of=2, body="y")
    book << asks("Failed", "conflicting-payload") >> passes(days=2) << asks("Failed", "conflicting-payload")


@pytest.mark.parametrize("decision", [Expired("Abandoned", None), GapNoticed(1, delivered("Failed", "gap").problem)])
def test_what_was_decided_too_late_changes_nothing(decision: object) -> None:
    # An owner that was frozen may have decided by what it knew; here the verdict was there before.
    Playbook() >> header(a=0) << SENDING >> decision << changes_nothing


# --- limits by type and by header


STRICT = Limits(idle_s=60, awaiting_s=3_600, on_timeout="partial", on_conflict="keep-first")


def test_before_the_header_the_default_counts_and_then_the_type() -> None:
    book = Playbook(PATIENT, strict=STRICT) >> payload("a", 1, of=2) >> passes(minutes=2) << notices()
    book >> header(kind="strict", a=2) >> passes(minutes=1) << notices("gap")
    book >> passes(minutes=57) << asks("Completed")
    assert book.due()[0].partial


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (header(kind="strict", a=1), STRICT),
        (header(kind="other", a=1), Limits()),
        (header(a=1), Limits()),
        (header(kind="strict", idle_s=5, a=1), Limits(5, 5, 3_600, on_timeout="partial", on_conflict="keep-first")),
    ],
    ids=["its type", "a type without an entry", "no type", "its own wish"],
)
def test_the_limits_of_a_transaction_are_those_of_its_type(said: object, wanted: Limits) -> None:
    book = Playbook(strict=STRICT) >> said
    limits = book.transaction.limits
    assert (limits.awaiting_s, limits.on_timeout, limits.on_conflict) == (
        wanted.awaiting_s,
        wanted.on_timeout,
        wanted.on_conflict,
    )


@pytest.mark.parametrize("wish", ["idle_s", "awaiting_s", "on_timeout", "on_conflict"])
def test_what_the_header_wishes_comes_before_its_type(wish: str) -> None:
    wishes = {"idle_s": 5.0, "awaiting_s": 7.0, "on_timeout": "abandon", "on_conflict": "fail"}
    said = header(kind="strict", a=1, **{wish: wishes[wish]})
    limits = Policies(Limits(), {"strict": STRICT}).of(said.header)
    assert {name: getattr(limits, name) for name in wishes} == {
        name: wishes[name] if name == wish else getattr(STRICT, name) for name in wishes
    }


@pytest.mark.parametrize(("policy", "outcome"), [("fail", "Failed"), ("keep-first", "Completed")])
def test_the_conflict_policy_of_a_type_decides_where_the_header_says_nothing(policy: str, outcome: str) -> None:
    facts = [payload("a", 1, of=1), payload("a", 1, of=1, body="y"), header(kind="t", a=1)]
    book = Playbook(t=Limits(on_conflict=policy))
    for fact in facts:
        book >> fact
    book << asks(outcome, "conflicting-payload" if outcome == "Failed" else None)


def test_an_unlisted_series_is_reported_as_an_orphan_whenever_it_came() -> None:
    book = Playbook() >> payload("early", 1, of=2) >> header(a=1, on_conflict="keep-first")
    book >> payload("late", 2, of=2, body="y") >> payload("late", 2, of=2, body="z") << has(duplicates=0)
    book >> payload("a", 1, of=1) << asks("Completed")
    assert book.due()[0].orphans == (
        OrphanSeries("early", 2, 1, ord("x"), ((1, 1),), False),
        OrphanSeries("late", 2, 1, ord("y"), ((2, 2),), False),
    )
    assert [plan.series for plan in book.due()[0].series] == ["a"]


def test_of_a_result_that_failed_nothing_is_an_orphan_because_its_outcome_tells_of_all() -> None:
    book = Playbook() >> payload("u", 1, of=1) >> header(a=1) << asks("Failed", "unknown-series")
    assert "u" in book.transaction.series
    assert book.due()[0].orphans == ()


def test_payloads_of_unlisted_series_are_kept_up_to_the_limit_of_what_comes_early() -> None:
    book = Playbook(Limits(early_payloads_max=2)) >> header(a=1, on_conflict="keep-first")
    for ordinal in (1, 2, 3):
        book >> payload("u", ordinal, of=3)
    book << has(verdict=None)
    assert book.transaction.series["u"].received_count == 2
    assert SERIES_MAX == 1_000


# --- the codes of outcomes

CODES: dict[str, tuple[str, Callable[[Playbook], Playbook]]] = {
    "conflicting-payload": (
        "Failed",
        lambda book: book >> header(a=2) >> payload("a", 1, of=2) >> payload("a", 1, of=2, body="y"),
    ),
    "conflicting-total-count": (
        "Failed",
        lambda book: book >> header(a=None) >> payload("a", 1, of=2) >> payload("a", 2, of=3),
    ),
    "conflicting-header": ("Failed", lambda book: book >> header(a=2) >> header(a=2, conflicting="other")),
    "unknown-series": ("Failed", lambda book: book >> header(a=2) >> payload("u", 1, of=1)),
    "early-limit": ("Failed", lambda book: book >> run("a", 1, *"xxxxxxxx", of=8)),
    "too-many-series": (
        "Failed",
        lambda book: [book >> payload(f"s{n}", 1, of=1) for n in range(SERIES_MAX + 1)][-1],
    ),
    "too-many-payloads": ("Failed", lambda book: book >> header(**dict.fromkeys("abcdef", TOTAL_COUNT_MAX))),
    "too-many-open": ("Failed", lambda book: book >> header(a=2) >> too_many_open(7, START)),
    "completion-timeout": ("Failed", lambda book: book >> header(a=0) >> passes(days=1)),
    "no-header": ("Abandoned", lambda book: book >> payload("a", 1, of=2) >> passes(minutes=10)),
    "timeout": ("Abandoned", lambda book: book >> header(a=2) >> passes(days=1)),
    "cancelled": ("Abandoned", lambda book: book >> header(a=2) >> command("cancel")),
}


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_an_outcome_has_a_way_there_and_says_what_happened(code: str) -> None:
    outcome, script = CODES[code]
    book = script(Playbook(Limits(early_payloads_max=7) if code == "early-limit" else Limits()))
    book << SENDING << asks(outcome, code)
    found = problem_of(book)
    assert found.title
    assert found.detail.endswith(".")
    assert (found.terminal, found.retryable) == (True, False)
    assert found.type == f"urn:brh:problem:{code}"
    book >> delivered(outcome, code) << State(outcome) >> header(a=2) >> payload("a", 1, of=2) << State(outcome)


# --- decisions survive a new owner

LIVES: dict[str, Callable[[Playbook], Playbook]] = {
    "no header": lambda book: book >> payload("a", 1, of=2) >> passes(minutes=11),
    "gaps": lambda book: (book >> header(a=2) >> passes(minutes=10)).told_all() >> passes(minutes=10),
    "gaps and progress": lambda book: (
        book >> header(a=3) >> passes(minutes=30) >> payload("a", 1, of=3) >> passes(minutes=30)
    ),
    "timeout": lambda book: book >> header(a=2) >> payload("a", 1, of=2) >> passes(days=2),
    "partial": lambda book: book >> header(a=2, on_timeout="partial") >> payload("a", 1, of=2) >> passes(days=2),
    "extended": lambda book: book >> header(a=2) >> command("extend", extend=7_200) >> passes(hours=25),
    "cancelled": lambda book: book >> header(a=2) >> command("cancel"),
    "overdue": lambda book: book >> header(a=0) >> passes(minutes=20),
    "too late to complete": lambda book: book >> header(a=0) >> passes(hours=25),
    "kept alive": lambda book: (book >> header(a=2, awaiting_s=6 * 86_400) >> passes(days=5)).told_all(),
}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
@pytest.mark.parametrize("order", [lambda rows: rows, lambda rows: rows[::-1], lambda rows: rows[1::2] + rows[::2]])
def test_whoever_has_the_rows_knows_what_the_owner_knew_and_wants_the_same(
    life: Callable[[Playbook], Playbook], order: Callable[[list[object]], list[object]]
) -> None:
    book = life(Playbook())
    known, wanted, count = book.transaction, book.effects(), len(book.decisions)
    book.rebuilt(order)
    assert book.transaction == known
    assert book.effects() == wanted
    book >> passes(seconds=0)
    assert len(book.decisions) == count, "nothing is decided twice"


def test_a_gap_that_is_told_to_the_rules_again_postpones_nothing() -> None:
    book = Playbook() >> header(a=2) >> passes(minutes=10)
    (noticed,) = book.decisions
    book >> passes(minutes=9) >> noticed << changes_nothing >> passes(minutes=1)
    assert [each.sequence for each in book.decisions if isinstance(each, GapNoticed)] == [1, 2]


def test_a_gap_keeps_its_number_after_a_new_owner() -> None:
    book = (Playbook() >> header(a=2) >> passes(minutes=10) << gap(1, a=((1, 2),))).told_all()
    book.rebuilt() << notices() >> passes(minutes=9) << notices() >> passes(minutes=1) << gap(2, a=((1, 2),))


def test_a_closed_transaction_waits_for_nothing() -> None:
    book = Playbook() >> header(a=2) >> delivered("Abandoned") << waits_for() >> passes(days=30)
    assert book.decisions == []
    assert book.transaction.verdict is None


def test_a_verdict_of_time_loses_to_another_outcome() -> None:
    book = Playbook() >> payload("a", 1, of=2) >> passes(minutes=10) << asks("Abandoned", "no-header")
    book >> delivered("Completed") << State.COMPLETED << asks_nothing << has(problem=None)
    assert book.transaction.verdict is not None
    assert book.transaction.verdict.outcome == "Abandoned"
    assert book.transaction.verdict != Verdict("Completed")
    assert book.now > START
