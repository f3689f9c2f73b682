"""From the verdict to the outcome: what takes too long, by our own clock; and what commands do at any time."""

from __future__ import annotations

import pytest
from playbook import (
    START,
    T1,
    Playbook,
    asks,
    asks_nothing,
    changes_nothing,
    changes_only,
    command,
    delivered,
    has,
    header,
    keeps_alive,
    not_taken,
    notices,
    passes,
    payload,
    problem,
    refused,
    stalled,
    told,
    waits_for,
)

from bridge.contract.events import Command
from bridge.contract.inbound import TIMEOUT_MAX_S
from bridge.contract.outbound import Problem
from tables.decisions import Expired, Overdue
from tables.effects import Announce, KeepAlive, decode, delivery_id, encode, notice_id
from tables.policies import Limits
from tables.problems import PROBLEMS_MAX
from tables.rules import COMMANDS_MAX, Fact
from tables.transaction import FINAL, State, Verdict

AWAITING, SENDING = State.AWAITING_RESULTS, State.SENDING_COMPLETION
PATIENT = Limits(idle_s=TIMEOUT_MAX_S, awaiting_s=TIMEOUT_MAX_S)


def complete() -> Playbook:
    return Playbook() >> header(a=1) >> payload("a", 1, of=1) << asks("Completed")


def problem_of(book: Playbook) -> Problem:
    found = book.transaction.verdict and book.transaction.verdict.problem
    assert found is not None
    return found


# --- accepted


def test_a_header_is_announced_as_accepted_once_with_what_it_says() -> None:
    said = header(kind="valuation", a=2)
    book = Playbook() >> payload("a", 1, of=2)
    assert book.announced() == []
    (notice,) = (book >> said).announced()
    assert (notice.kind, notice.header, notice.at, notice.transaction_type) == (
        "accepted",
        said.header,
        START,
        "valuation",
    )
    book >> told(notice.id) >> payload("a", 1, of=2)
    assert book.announced() == []


def test_that_it_was_accepted_is_told_once_however_many_gaps_are_told_afterwards() -> None:
    book = Playbook(Limits(idle_s=1)) >> header(a=99)
    for ordinal in range(1, 40):
        book.told_all() >> payload("a", ordinal, of=99) >> passes(seconds=1)
        assert [each.kind for each in book.announced()] == ["gap"]
    assert len(book.transaction.told) <= 2, "of gaps only the last one"


def test_an_answer_to_something_that_is_not_wanted_is_not_remembered() -> None:
    Playbook() >> header(a=1) >> told("e-1") << changes_nothing >> told(notice_id(T1, "gap", 1)) << changes_nothing


# --- overdue, and the hard limit


def test_a_delivery_that_takes_too_long_is_overdue_once_and_goes_on() -> None:
    book = complete() >> passes(minutes=14.99) << notices() >> passes(minutes=0.01) << notices("overdue")
    book << SENDING << asks("Completed")
    book.told_all() >> passes(hours=23) << notices() << asks("Completed")
    assert [type(each) for each in book.decisions] == [Overdue]


def test_our_own_limits_pass_while_the_watermark_stands_still() -> None:
    # It is nobody else's fault, and a bridge that is down must not hide it.
    complete() >> stalled(minutes=15) << notices("overdue") >> stalled(days=1) << asks("Failed", "completion-timeout")


def test_overdue_names_the_last_problem_of_the_delivery() -> None:
    book = complete() >> refused(code="storage-unavailable") >> passes(minutes=15)
    (notice,) = (each for each in book.announced() if each.kind == "overdue")
    assert notice.problem is not None
    assert (notice.problem.code, notice.problem.terminal, notice.problem.retryable) == ("overdue", False, True)
    assert notice.problem.detail == (
        "Outcome and notification took longer than 900 s. The last problem was storage-unavailable: What happened."
    )


def test_at_the_hard_limit_the_transaction_fails_and_says_what_went_wrong_last() -> None:
    book = complete() >> refused() >> passes(hours=23.99) << asks("Completed") >> passes(hours=0.01)
    book << asks("Failed", "completion-timeout") << SENDING
    assert problem_of(book).detail == (
        "Outcome and notification took longer than 86400 s. The last problem was storage-unavailable: What happened."
    )


def test_the_failing_verdict_is_driven_at_once_and_has_no_limit_itself() -> None:
    book = complete()
    for _ in range(9):
        book >> refused()
    book >> passes(days=1) << asks("Failed", "completion-timeout") >> refused("Failed") << asks_nothing
    book >> passes(seconds=1) << asks("Failed", "completion-timeout") >> passes(days=30)
    book << asks("Failed", "completion-timeout") << waits_for("retry")


def test_the_completing_limits_begin_with_the_verdict() -> None:
    book = Playbook(PATIENT) >> header(a=1) >> passes(days=1) >> payload("a", 1, of=1)
    book >> passes(hours=23.9) << asks("Completed") >> passes(hours=0.1) << asks("Failed", "completion-timeout")


def test_a_new_owner_tries_first_before_it_gives_up() -> None:
    # Everything may have been down for longer than the limit.
    book = complete()
    book.served_s = 5.0
    book >> passes(days=3) << asks("Completed") << notices("overdue")
    book.served_s = 899.9
    book >> passes(seconds=1) << asks("Completed")
    book.served_s = 900.0
    book >> passes(seconds=1) << asks("Failed", "completion-timeout")


def test_the_limits_of_completing_begin_with_the_first_verdict() -> None:
    book = complete() >> passes(minutes=10) >> command("cancel") << asks("Abandoned", "cancelled")
    book >> passes(minutes=4.9) << notices() >> passes(minutes=0.1) << notices("overdue")


def test_an_outcome_that_was_written_wins_over_the_hard_limit() -> None:
    book = complete() >> passes(days=1) << asks("Failed", "completion-timeout")
    book >> delivered("Completed") << State.COMPLETED << asks_nothing


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_is_overdue_once_it_is_closed(state: State) -> None:
    book = complete() >> delivered(state.value) >> passes(days=9) << notices() << asks_nothing << waits_for()
    assert book.decisions == []


@pytest.mark.parametrize("limit", [Expired("Abandoned", problem("timeout")), Expired("Completed", None, True)])
def test_a_limit_of_waiting_that_was_decided_beside_a_verdict_does_not_change_it(limit: Expired) -> None:
    complete() >> limit << changes_nothing


@pytest.mark.parametrize("late", [Expired("Failed", problem("completion-timeout")), Overdue(problem("overdue"))])
def test_a_limit_of_completing_means_nothing_to_a_verdict_that_is_no_result(late: Fact) -> None:
    book = Playbook() >> header(a=1) >> payload("u", 1, of=1) << asks("Failed", "unknown-series")
    book >> late << asks("Failed", "unknown-series")


# --- keeping blocks alive


def test_blocks_are_kept_alive_every_five_days_as_long_as_the_transaction_is_open() -> None:
    book = Playbook(PATIENT) >> header(a=1) >> passes(days=4.99) << keeps_alive() >> passes(days=0.01) << keeps_alive(1)
    book.told_all() << keeps_alive() >> payload("a", 1, of=1) << keeps_alive()
    book >> passes(days=4.99) << keeps_alive() >> passes(days=0.01) << keeps_alive(2)
    book.told_all() << keeps_alive() >> delivered("Completed") >> passes(days=20) << keeps_alive()


def test_keeping_alive_is_asked_for_until_it_is_done_and_what_was_missed_is_not_made_up_for() -> None:
    book = Playbook(PATIENT) >> header(a=1) >> stalled(days=5) << keeps_alive(1) >> stalled(days=1) << keeps_alive(1)
    book >> stalled(days=9) << keeps_alive(3)
    book.told_all() << keeps_alive()


def test_blocks_are_kept_alive_though_the_bridges_are_down() -> None:
    Playbook() >> payload("a", 1, of=2) >> stalled(days=5) << keeps_alive(1) << AWAITING


def test_every_kind_of_effect_reads_back_from_its_record() -> None:
    book = Playbook(PATIENT) >> header(a=1) >> payload("a", 1, of=1) >> stalled(days=5)
    effects = book.effects()
    assert {type(each).__name__ for each in effects} == {"Announce", "KeepAlive", "Deliver"}
    assert tuple(decode(encode(each)) for each in effects) == effects


# --- commands


def test_cancel_abandons_an_open_transaction_and_says_who_and_what_was_missing() -> None:
    book = Playbook() >> header(a=2) >> payload("a", 1, of=2) >> command("cancel") << asks("Abandoned", "cancelled")
    assert (problem_of(book).detail, problem_of(book).missing) == ("ann cancelled it.", {"a": ((2, 2),)})


def test_a_result_that_is_being_delivered_can_still_be_cancelled_and_may_be_too_late() -> None:
    book = complete() >> command("cancel") << asks("Abandoned", "cancelled") << SENDING
    book >> delivered("Completed") << State.COMPLETED


def test_what_has_failed_is_not_cancelled() -> None:
    Playbook() >> header(a=1) >> payload("u", 1, of=1) >> command("cancel") << asks("Failed", "unknown-series")


def test_retry_drives_a_delivery_at_once() -> None:
    book = complete()
    for _ in range(9):
        book >> refused()
    book << asks_nothing >> command("retry") << asks("Completed")
    book >> refused() >> passes(seconds=0.9) << asks_nothing >> passes(seconds=0.1) << asks("Completed")


def test_retry_says_nothing_to_a_transaction_that_waits() -> None:
    Playbook() >> header(a=1) >> command("retry") << AWAITING << asks_nothing << has(refusals=0)


def test_extend_moves_the_limits_of_waiting_and_nothing_else() -> None:
    book = Playbook(Limits(idle_s=TIMEOUT_MAX_S)) >> header(a=1) >> command("extend", extend=3_600)
    book >> passes(hours=24.99) << AWAITING >> passes(hours=0.01) << asks("Abandoned", "timeout")
    assert problem_of(book).detail == "Not everything came within 90000 s."


def test_extend_moves_the_limit_of_the_header_too() -> None:
    book = Playbook(PATIENT) >> payload("a", 1, of=1) >> command("extend", extend=3_600) >> passes(minutes=69.9)
    book << AWAITING >> passes(minutes=0.1) << asks("Abandoned", "no-header")
    assert problem_of(book).detail == "No header came within 4200 s after the first payload."


def test_extensions_add_up_but_never_beyond_what_storage_keeps() -> None:
    book = Playbook(Limits(idle_s=TIMEOUT_MAX_S)) >> header(a=1)
    for number in range(30):
        book >> command("extend", name=f"c-{number}", extend=TIMEOUT_MAX_S)
    book >> passes(days=5.99) << AWAITING >> passes(days=0.01) << asks("Abandoned", "timeout")


def test_extend_says_nothing_to_a_transaction_that_is_being_delivered() -> None:
    complete() >> command("extend", extend=3_600) << has(extended_s=0.0) << asks("Completed")


@pytest.mark.parametrize("order", [command("cancel"), command("extend", extend=60), command("retry")], ids=repr)
def test_a_command_is_carried_out_once_for_its_id(order: Command) -> None:
    book = Playbook() >> header(a=1) >> order >> order << changes_nothing
    assert [(each.id, each.action, each.by) for each in book.transaction.commands] == [("c-1", order.action, "ann")]


def test_a_command_that_is_among_the_last_ones_is_not_carried_out_twice() -> None:
    book = Playbook() >> header(a=1)
    for number in range(COMMANDS_MAX):
        book >> command("extend", name=f"c-{number}", extend=1)
    book >> command("extend", name="c-0", extend=1) << changes_nothing << has(extended_s=float(COMMANDS_MAX))


def test_the_last_commands_and_problems_are_remembered() -> None:
    book = complete()
    for number in range(50):
        book >> command("retry", name=f"c-{number}") >> refused(code=f"storage-{number}")
    assert [each.id for each in book.transaction.commands] == [f"c-{number}" for number in range(50 - COMMANDS_MAX, 50)]
    assert [each.code for each in book.transaction.problems] == [f"storage-{n}" for n in range(50 - PROBLEMS_MAX, 50)]


def test_a_message_that_was_refused_is_remembered_and_nothing_follows_from_it() -> None:
    fact = not_taken("bad-ordinal")
    book = Playbook() >> header(a=1) >> fact << changes_only(problems=(fact.problem,)) << State.AWAITING_RESULTS
    assert book.transaction.problem is None


def test_of_messages_that_are_refused_for_the_same_the_last_one_is_remembered_and_leaves_room_for_others() -> None:
    book = complete() >> refused(code="storage-unavailable")
    for number in range(50):
        book >> not_taken("bad-ordinal", f"ordinal {number}") >> not_taken("bad-type", f"type {number}")
    said = [(each.code, each.detail) for each in book.transaction.problems]
    assert said == [("storage-unavailable", "What happened."), ("bad-ordinal", "ordinal 49"), ("bad-type", "type 49")]


def test_a_delivery_that_takes_too_long_is_not_blamed_on_a_message_that_was_refused() -> None:
    book = complete() >> refused(code="storage-unavailable") >> not_taken("bad-ordinal") >> passes(hours=25)
    assert "The last problem was storage-unavailable" in (book.transaction.problem or problem("none")).detail


@pytest.mark.parametrize("state", sorted(FINAL))
@pytest.mark.parametrize("order", [command("cancel"), command("extend", extend=60), command("retry")], ids=repr)
def test_a_command_reopens_nothing(order: Command, state: State) -> None:
    complete() >> delivered(state.value) >> order << changes_nothing << asks_nothing << state


def test_effects_have_ids_of_their_own() -> None:
    kinds = [notice_id(T1, kind, n) for kind in ("accepted", "gap", "overdue", "keep-alive") for n in range(3)]
    everything = [*kinds, *(delivery_id(T1, outcome) for outcome in ("Completed", "Failed", "Abandoned"))]
    assert len({*everything, notice_id("T2", "gap", 1)}) == len(everything) + 1
    assert Verdict("Completed") != Verdict("Completed", partial=True)
    assert {Announce, KeepAlive}.isdisjoint({Overdue})
