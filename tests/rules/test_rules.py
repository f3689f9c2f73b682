"""The life of a transaction, told as dialogues."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playbook import (
    START,
    Playbook,
    asks,
    asks_nothing,
    changes_nothing,
    changes_only,
    command,
    conflict,
    crc64,
    delivered,
    has,
    header,
    not_taken,
    payload,
    plans,
    problem,
    received,
    refused,
    run,
    seconds,
    told,
)

from bridge.contract.events import Delivered, Staged
from bridge.contract.outbound import Problem
from bridge.runs import Interval
from tables.deadlines import retry_at
from tables.decisions import Expired, GapNoticed, Overdue
from tables.effects import delivery_id
from tables.rules import TRANSITIONS, Fact
from tables.tiling import decode
from tables.transaction import FINAL, State, Verdict
from tests.support import states

AWAITING, SENDING = State.AWAITING_RESULTS, State.SENDING_COMPLETION


# --- what may come in which order


def test_payloads_before_the_header_are_recorded_and_judged_only_by_the_header() -> None:
    book = Playbook() >> payload("a", 2, of=2) << AWAITING << received(a=[(2, 2)])
    book = book >> payload("a", 1, of=2) << AWAITING << received(a=[(1, 2)]) << asks_nothing
    book >> header(a=2) << SENDING << asks("Completed")


def test_header_first_then_the_last_payload_reaches_the_verdict() -> None:
    book = Playbook() >> header(a=2) << AWAITING << asks_nothing
    book = book >> payload("a", 1, of=2) << AWAITING << asks_nothing
    book >> payload("a", 2, of=2) << SENDING << asks("Completed")


def test_a_header_between_two_payloads_changes_nothing_about_the_end() -> None:
    Playbook() >> payload("a", 2, of=2) >> header(a=2) << AWAITING >> payload("a", 1, of=2) << SENDING


def test_interleaved_series_are_complete_only_together() -> None:
    book = Playbook() >> header(a=2, b=1) >> payload("a", 1, of=2) >> payload("b", 1, of=1) << AWAITING
    book >> payload("a", 2, of=2) << SENDING << received(a=[(1, 2)], b=[(1, 1)])


def test_a_header_without_a_total_lets_the_payloads_tell() -> None:
    book = Playbook() >> header(a=None) << AWAITING >> payload("a", 1, of=2) << AWAITING
    book >> payload("a", 2, of=2) << SENDING << asks("Completed")


def test_a_late_header_without_a_total_keeps_what_the_payloads_told() -> None:
    Playbook() >> payload("a", 1, of=1) >> header(a=None) << SENDING << asks("Completed")


def test_an_empty_series_is_complete_with_the_header() -> None:
    book = Playbook() >> header(a=0) << SENDING << asks("Completed")
    (plan,) = book.due()[0].series
    assert (plan.total_count, [(part.ordinals, part.bytes) for part in plan.parts]) == (0, [(0, 0)])


def test_an_empty_series_does_not_complete_the_others() -> None:
    Playbook() >> header(a=0, b=1) << AWAITING >> payload("b", 1, of=1) << SENDING


def test_an_empty_payload_counts_as_an_ordinal_without_blocks() -> None:
    book = Playbook() >> header(a=2) >> payload("a", 1, of=2, body="") >> payload("a", 2, of=2, body="y") << SENDING
    (part,) = book.due()[0].series[0].parts
    assert (part.ordinals, part.blocks, part.bytes) == (2, 1, ord("y"))


def test_the_delivery_carries_what_the_header_said_and_a_repeatable_id() -> None:
    book = Playbook() >> payload("b", 1, of=1) >> header(b=1, a=0) << SENDING
    (effect,) = book.due()
    assert effect.id == delivery_id("T1", "Completed") != delivery_id("T1", "Failed")
    assert [plan.series for plan in effect.series] == ["b", "a"], "in the header's order"
    assert (effect.created, effect.header_received) == (START, START)
    assert book.due() == [effect]


# --- duplicates


def test_a_duplicate_is_counted_and_changes_nothing_else() -> None:
    book = Playbook() >> header(a=2) >> payload("a", 1, of=2) >> payload("a", 1, of=2) << changes_only(duplicates=1)
    book >> payload("a", 1, of=2) << changes_only(duplicates=2) << AWAITING


def test_an_empty_payload_twice_is_a_duplicate() -> None:
    Playbook() >> payload("a", 1, of=2, body="") >> payload("a", 1, of=2, body="") << changes_only(duplicates=1)


def test_the_same_header_again_is_a_duplicate() -> None:
    Playbook() >> header(a=2) >> header(a=2) << changes_only(duplicates=1)


def test_of_a_run_those_ordinals_are_duplicates_that_were_known() -> None:
    book = Playbook() >> header(a=5) >> payload("a", 2, of=5) >> payload("a", 4, of=5)
    book >> run("a", 1, "x", "x", "x", "x", of=5) << has(duplicates=2) << received(a=[(1, 4)])
    book >> run("a", 3, "x", "x", of=5) << changes_only(duplicates=4) << AWAITING


def test_runs_and_payloads_complete_a_series_together() -> None:
    book = Playbook() >> header(a=7) >> run("a", 5, "x", "y", of=7) >> payload("a", 7, of=7) << AWAITING
    book >> run("a", 1, "x", "x", "x", "x", of=7) << asks("Completed")
    (part,) = book.due()[0].series[0].parts
    assert (part.ordinals, part.blocks) == (7, 3)
    assert decode(part.tiles, range(1, 8)) == [Interval(1, 4), Interval(5, 2), Interval(7, 1)]


def test_after_the_verdict_a_run_of_what_is_known_is_planned_for_and_changes_no_content() -> None:
    # The payloads may have been sent again because their blocks have gone. A part that is committed already is known
    # by what it contains.
    singles, whole = [payload("a", 1, of=2), payload("a", 2, of=2)], run("a", 1, "x", "x", of=2)
    book = Playbook() >> header(a=2) >> singles[0] >> singles[1] << asks("Completed") << plans("a", *singles)
    (before,) = book.due()[0].series[0].parts
    book >> whole << has(duplicates=2) << asks("Completed") << plans("a", whole)
    (after,) = book.due()[0].series[0].parts
    assert (after.ordinals, after.bytes, after.content) == (before.ordinals, before.bytes, before.content)


# --- what a delivery asks


def test_the_blocks_of_a_part_are_named_once_a_delivery_has_asked() -> None:
    book = Playbook() >> header(a=1, b=1) >> payload("a", 1, of=1, body="xy") >> payload("b", 1, of=1)
    assert [part.named for plan in book.due()[0].series for part in plan.parts] == [None, None]
    book >> refused(code="blocks-unclear", a=[0]) << asks_nothing >> seconds(1)
    named = "".join(payload("a", 1, of=1, body="xy").blocks)
    assert [part.named for plan in book.due()[0].series for part in plan.parts] == [(named,), None]
    book >> refused(code="storage-unavailable") >> seconds(60) << has(unclear={"a": (0,)})
    book >> refused(code="blocks-unclear", b=[0]) >> seconds(60) << has(unclear={"b": (0,)})
    book >> delivered("Completed") << has(unclear={})


def test_parts_that_are_not_there_are_asked_for_in_vain() -> None:
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> refused(a=[7], z=[0]) >> seconds(1)
    assert [part.named for part in book.due()[0].series[0].parts] == [None]


# --- contradictions: what comes second, and the code it has

CONTRADICTIONS: dict[str, tuple[Callable[[str | None], list[Fact]], str]] = {
    "other bytes": (
        lambda policy: [header(a=2, on_conflict=policy), payload("a", 1, of=2), payload("a", 1, of=2, body="y")],
        "conflicting-payload",
    ),
    "bytes instead of an empty payload": (
        lambda policy: [header(a=2, on_conflict=policy), payload("a", 1, of=2, body=""), payload("a", 1, of=2)],
        "conflicting-payload",
    ),
    "other bytes before the header": (
        lambda policy: [payload("a", 1, of=2), payload("a", 1, of=2, body="y"), header(a=2, on_conflict=policy)],
        "conflicting-payload",
    ),
    "other bytes in a run": (
        lambda policy: [header(a=2, on_conflict=policy), payload("a", 2, of=2), run("a", 1, "x", "y", of=2)],
        "conflicting-payload",
    ),
    "other bytes than in a run": (
        lambda policy: [header(a=3, on_conflict=policy), run("a", 1, "x", "y", of=3), payload("a", 2, of=3)],
        "conflicting-payload",
    ),
    "run of another total": (
        lambda policy: [header(a=2, on_conflict=policy), run("a", 1, "x", "y", of=3)],
        "conflicting-total-count",
    ),
    "unknown series in a run": (
        lambda policy: [header(a=2, on_conflict=policy), run("u", 1, "x", "y", of=2)],
        "unknown-series",
    ),
    "other total": (
        lambda policy: [header(a=None, on_conflict=policy), payload("a", 1, of=2), payload("a", 2, of=3)],
        "conflicting-total-count",
    ),
    "other total than the header's": (
        lambda policy: [header(a=2, on_conflict=policy), payload("a", 1, of=3), payload("a", 1, of=2)],
        "conflicting-total-count",
    ),
    "payload of an empty series": (
        lambda policy: [header(a=0, b=1, on_conflict=policy), payload("a", 1, of=1)],
        "conflicting-total-count",
    ),
    "header with another total": (
        lambda policy: [payload("a", 1, of=2), header(a=3, on_conflict=policy)],
        "conflicting-total-count",
    ),
    "other header": (
        lambda policy: [header(a=2, on_conflict=policy), header(a=2, on_conflict=policy, conflicting="other")],
        "conflicting-header",
    ),
    "other header that its bridge heard first": (
        lambda policy: [header(a=2, on_conflict=policy), header(b=2, on_conflict=policy)],
        "conflicting-header",
    ),
    "other header, reported before the first": (
        lambda policy: [header(a=2, on_conflict=policy, conflicting="other")],
        "conflicting-header",
    ),
    "unknown series": (
        lambda policy: [header(a=2, on_conflict=policy), payload("u", 1, of=1)],
        "unknown-series",
    ),
    "unknown series before the header": (
        lambda policy: [payload("u", 1, of=1), header(a=2, on_conflict=policy)],
        "unknown-series",
    ),
}
each_contradiction = pytest.mark.parametrize(("script", "code"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())


@each_contradiction
@pytest.mark.parametrize("policy", [None, "fail"])
def test_a_contradiction_fails_the_transaction_by_default(
    script: Callable[[str | None], list[Fact]], code: str, policy: str | None
) -> None:
    book = Playbook()
    for fact in script(policy):
        book >> fact
    book << SENDING << conflict(code) << asks("Failed", code)
    assert all(plan.parts == () for plan in book.due()[0].series), "nothing is assembled"


@each_contradiction
def test_a_contradiction_is_kept_but_ignored_by_keep_first(
    script: Callable[[str | None], list[Fact]], code: str
) -> None:
    book = Playbook()
    for fact in script("keep-first"):
        book >> fact
    book << AWAITING << conflict(code) << asks_nothing
    for name, series in book.transaction.series.items():
        for ordinal in range(1, (series.total_count or 0) + 1):
            if series.contents.get(ordinal) is None:
                book >> payload(name, ordinal, of=series.total_count or 0)
    book << SENDING << conflict(code) << asks("Completed")


@each_contradiction
@pytest.mark.parametrize("policy", ["fail", "keep-first"])
def test_a_contradiction_is_remembered_and_is_the_end_only_where_it_fails(
    script: Callable[[str | None], list[Fact]], code: str, policy: str
) -> None:
    book = Playbook()
    for fact in script(policy):
        book >> fact
    (found,) = book.transaction.problems
    assert (found.code, found.terminal, found.retryable) == (code, policy == "fail", False)
    assert book.transaction.conflict is not None
    assert found.detail == book.transaction.conflict.detail
    book.rebuilt() << has(problems=(found,))


def test_before_the_header_a_contradiction_waits_for_the_policy() -> None:
    book = Playbook() >> payload("a", 1, of=2) >> payload("a", 1, of=2, body="y") << AWAITING << asks_nothing
    book << conflict("conflicting-payload") << has(verdict=None)


def test_the_first_contradiction_stays() -> None:
    book = Playbook() >> payload("a", 1, of=2) >> payload("a", 1, of=2, body="y") >> payload("a", 1, of=3)
    book << conflict("conflicting-payload") >> header(b=1) << asks("Failed", "conflicting-payload")


def test_what_came_first_stays_in_the_plan() -> None:
    book = Playbook() >> header(a=1, b=1, on_conflict="keep-first") >> payload("a", 1, of=1, body="x")
    book = book >> payload("a", 1, of=1, body="yy") >> payload("b", 1, of=1) << SENDING
    assert book.due()[0].series[0].parts[0].bytes == ord("x")


# --- after the verdict


AFTER_THE_VERDICT: list[Fact] = [
    payload("a", 1, of=1, body="y"),
    payload("a", 1, of=2),
    payload("u", 1, of=1),
    payload("a", 1, of=1),
    run("u", 1, "x", "y", of=2),
    header(a=1),
    header(a=1, conflicting="other"),
    header(b=7),
    refused(),
]


@pytest.mark.parametrize("fact", AFTER_THE_VERDICT, ids=repr)
def test_a_message_after_the_verdict_changes_no_verdict(fact: Fact) -> None:
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) << SENDING
    book >> fact << SENDING << conflict(None) << has(verdict=Verdict("Completed"))
    (book >> seconds(60)) << asks("Completed")


def test_what_is_missing_does_not_complete_a_transaction_that_has_failed() -> None:
    book = Playbook() >> header(a=2) >> payload("a", 1, of=2) >> payload("a", 1, of=2, body="y")
    book << asks("Failed", "conflicting-payload") >> payload("a", 2, of=2) << asks("Failed", "conflicting-payload")


# --- delivery


@pytest.mark.parametrize("outcome", ["Completed", "Failed", "Abandoned"])
@pytest.mark.parametrize("facts", [[], [header(a=1)], [header(a=0)], [header(a=1), payload("u", 1, of=1)]], ids=len)
def test_delivered_wins_over_whatever_the_rules_thought(facts: list[Fact], outcome: str) -> None:
    book = Playbook()
    for fact in facts:
        book >> fact
    book >> delivered(outcome, "someone-decided") << State(outcome) << asks_nothing
    assert book.transaction.problem is not None
    assert book.transaction.problem.code == "someone-decided"
    assert book.transaction.settled is not None
    assert book.transaction.settled.notification_id == "n-1"


def test_a_settled_transaction_lets_go_of_what_it_needed_to_get_there() -> None:
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> payload("a", 1, of=1, body="y")
    series = (book >> delivered("Completed")).transaction.series["a"]
    assert (series.parts, series.contents.chunks) == ({}, ())
    assert (series.received_count, series.bytes) == (1, ord("x")), "what is shown stays"


def test_a_refused_delivery_comes_due_again_after_1_2_4_and_at_most_60_seconds() -> None:
    book = Playbook() >> header(a=0) << asks("Completed")
    for pause_s in [1, 2, 4, 8, 16, 32, 60, 60]:
        book >> refused() << asks_nothing
        assert retry_at(book.transaction) == book.now + seconds(pause_s)
        book >> seconds(pause_s - 0.001) << asks_nothing >> seconds(0.001) << asks("Completed")


def test_the_pause_stays_at_its_limit_after_any_number_of_refusals() -> None:
    book = Playbook() >> header(a=0)
    for _ in range(2_000):
        book >> refused()
    book >> seconds(59.9) << asks_nothing >> seconds(0.1) << asks("Completed")


def test_a_refusal_says_what_went_wrong_and_keeps_the_verdict() -> None:
    book = Playbook() >> header(a=0) >> refused(code="storage-unavailable") << SENDING
    assert book.transaction.problem is not None
    assert book.transaction.problem.code == "storage-unavailable"
    assert book.transaction.verdict == Verdict("Completed")


def test_a_message_after_a_refusal_does_not_hide_what_went_wrong() -> None:
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> refused()
    book >> payload("a", 1, of=1) << changes_only(duplicates=1) >> header(a=1) << changes_only(duplicates=2)


@pytest.mark.parametrize("facts", [[], [payload("a", 1, of=2)], [header(a=2)]], ids=len)
def test_a_refusal_before_the_verdict_changes_nothing(facts: list[Fact]) -> None:
    book = Playbook()
    for fact in facts:
        book >> fact
    book >> refused() << changes_nothing


def test_a_refusal_of_another_delivery_than_the_one_wanted_changes_nothing() -> None:
    book = Playbook() >> header(a=0) << asks("Completed")
    book >> refused("Failed") << changes_nothing << asks("Completed")


def test_nothing_is_scheduled_while_nothing_was_refused() -> None:
    assert retry_at(Playbook().transaction) is None
    assert retry_at((Playbook() >> header(a=0)).transaction) is None
    assert retry_at((Playbook() >> header(a=0) >> refused() >> delivered("Completed")).transaction) is None


# --- final states


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("fact", AFTER_THE_VERDICT[:-1], ids=repr)
def test_a_message_that_comes_late_is_counted_and_changes_nothing_else(fact: Fact, state: State) -> None:
    book = Playbook() >> header(a=1) >> payload("a", 1, of=1) >> delivered(state.value) >> seconds(5)
    messages = fact.count if isinstance(fact, Staged) else 1
    book >> fact << changes_only(late=messages) << asks_nothing >> fact << changes_only(late=2 * messages)
    assert book.transaction.updated == START, "not even the time"


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("fact", [refused(), not_taken("bad-type"), *map(delivered, sorted(FINAL))], ids=repr)
def test_an_answer_that_comes_late_changes_nothing(fact: Fact, state: State) -> None:
    Playbook() >> delivered(state.value) >> seconds(5) >> fact << changes_nothing << state


# --- the table


def test_every_state_says_what_every_fact_may_lead_to() -> None:
    facts = {fact for by_fact in TRANSITIONS.values() for fact in by_fact}
    assert set(TRANSITIONS) == set(State)
    assert facts == set(Fact.__args__)
    assert all(set(by_fact) == facts for by_fact in TRANSITIONS.values())


def test_the_diagram_in_the_documentation_is_that_of_the_table() -> None:
    page = states.PAGE.read_text()
    assert states.drawn(page) == page, "run `python -m tests.support.states`"
    arrows = [line.strip() for line in states.diagram().splitlines() if "-->" in line]
    assert "AwaitingResults --> SendingCompletion: Command, Expired, HeaderReceived, Staged" in arrows
    assert len(arrows) == 1 + 1 + 2 * len(FINAL) + len(FINAL)


def test_every_transition_of_the_table_can_happen() -> None:
    starts = [[], [header(a=1)], [payload("a", 1, of=1)], [header(a=0)], *([delivered(state.value)] for state in FINAL)]
    facts = [
        *(header(a=1), payload("a", 1, of=1), refused(), told("e-1"), command("cancel"), command("extend", extend=60)),
        not_taken("bad-ordinal"),
        *(GapNoticed(1, problem("gap")), Expired("Abandoned", problem("timeout")), Overdue(problem("overdue"))),
        *(delivered(state.value) for state in FINAL),
    ]
    seen = set()
    for start in starts:
        for fact in facts:
            book = Playbook()
            for each in start:
                book >> each
            before = book.transaction.state
            seen.add((before, type(fact), (book >> fact).transaction.state))
    listed = {
        (state, fact, after) for state, facts in TRANSITIONS.items() for fact, many in facts.items() for after in many
    }
    assert seen == listed


def test_time_never_runs_backwards_in_a_transaction() -> None:
    book = Playbook() >> seconds(10) >> payload("a", 1, of=2) >> seconds(-5) >> payload("a", 2, of=2)
    assert book.transaction.updated == START + seconds(10)


def test_a_failed_script_prints_the_dialogue() -> None:
    with pytest.raises(AssertionError) as failure:
        Playbook() >> header(a=0) << SENDING << asks_nothing
    told, sent, wanted, seen = str(failure.value).splitlines()[1:]
    assert told.startswith('>> HeaderReceived {"type":"HeaderReceived","transaction":"T1",')
    assert sent == '<< state: "SendingCompletion"'
    assert wanted == "<< due: []"
    assert seen.startswith('   but due: [{"type":"Deliver",')


def test_the_problem_of_a_contradiction_names_what_differs() -> None:
    book = Playbook() >> payload("a", 1, of=2, body="x") >> payload("a", 1, of=2, body="y")
    found = book.transaction.conflict
    assert isinstance(found, Problem)
    assert found.occurred_at == "2026-01-31T12:00:00.000Z"
    assert "Series a, ordinal 1" in found.detail
    assert payload("a", 1, of=2, body="y").crc64s[0] in found.detail
    assert isinstance(delivered("Failed"), Delivered)


def test_the_problem_of_a_contradicting_run_names_the_ordinal_that_differs() -> None:
    loser = run("a", 1, "x", "y", "z", "z", of=4)
    book = Playbook() >> payload("a", 1, of=4, body="x") >> payload("a", 3, of=4, body="x") >> loser
    assert isinstance(book.transaction.conflict, Problem)
    detail = (
        f"Series a, ordinal 3 in the run 1-4: {ord('z')} bytes with CRC-64 {loser.crc64s[2]} differ, "
        f"the one with CRC-64 {crc64('x')} stays."
    )
    assert book.transaction.conflict.detail == detail


def test_the_same_problem_again_and_again_drives_no_other_out_of_memory() -> None:
    book = Playbook() >> header(a=0) >> refused(code="storage-refused")
    for _ in range(50):
        book >> refused(code="storage-unavailable")
    assert [each.code for each in book.transaction.problems] == ["storage-refused", "storage-unavailable"]
