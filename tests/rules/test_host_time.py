"""The tracker's host and time: what lapses is decided once, kept as a row, and survives whoever owns the partition."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

import pytest
from msgspec.structs import replace
from playbook import START, T1, command, delivered, header, payload, problem, refused, run, seconds, told
from tracker import MINE, PARTITIONS, RETENTION_S, SILENCE_S, Tracker, sending

from bridge import metrics
from bridge.contract.events import DeliveryRefused, PayloadsStaged
from streams import asked
from streams.assemble import LEFTOVER_ROWS_MAX
from streams.topics import Topics
from tables.due import due
from tables.effects import Deliver, Effect, KeepAlive
from tables.policies import Limits, Policies
from tables.receipts import outcome_key
from tables.transaction import State, Transaction
from tests.support.counted import counts

DAY_S = 86_400


def begun(tracker: Tracker) -> None:
    """The owner has heard of a bridge for so long that it judges."""
    tracker.bridge_says()
    tracker.passes(seconds=SILENCE_S + 1)


def decisions(tracker: Tracker) -> list[str]:
    return [row["fact"]["type"] for row in tracker.rows.values() if row["kind"] == "decision"]


def wanted(tracker: Tracker) -> list[tuple[str, str | None]]:
    return [(each.outcome, each.problem and each.problem.code) for each in tracker.outbox.delivered]


# --- who is late


def test_a_header_that_never_comes_is_found_out_by_the_bridges_and_kept(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(payload("a", 1, of=2))
    tracker.passes(minutes=9.9)
    assert (wanted(tracker), decisions(tracker)) == ([], [])
    tracker.passes(minutes=0.1)
    assert (wanted(tracker), decisions(tracker)) == ([("Abandoned", "no-header")], ["Expired"])
    assert tracker.shown[T1]["state"] == "SendingCompletion"
    assert tracker.shown[T1]["problem"]["code"] == "no-header"


def test_without_a_bridge_nobody_is_late_however_often_the_clock_ticks(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(payload("a", 1, of=2))
    for _ in range(50):
        tracker.stalled(hours=1)
        tracker.tick()
    assert (wanted(tracker), decisions(tracker)) == ([], [])
    tracker.bridge_says(bridge="b2")
    assert (wanted(tracker), decisions(tracker)) == ([], []), "it has claimed nothing yet"


def test_a_bridge_with_a_backlog_holds_the_clock(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(payload("a", 1, of=2))
    queued = tracker.now()
    for _ in range(100):
        tracker.stalled(minutes=1)
        tracker.bridge_says(queued)
        tracker.tick()
    assert decisions(tracker) == []
    tracker.tell(payload("a", 2, of=2))
    tracker.tell(header(a=2))
    tracker.passes(seconds=1)
    assert (wanted(tracker), decisions(tracker)) == ([("Completed", None)], [])


def test_a_tracker_that_was_down_over_a_deadline_reads_first_and_judges_then(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(payload("a", 1, of=2))
    tracker.stop()
    tracker.passes(minutes=5)
    tracker.tell(header(a=2))
    tracker.passes(minutes=5)
    tracker.passes(hours=1)
    tracker.start()
    assert "Expired" not in decisions(tracker), "the header was in time"
    tracker.passes(seconds=SILENCE_S)
    assert tracker.index()[T1].state is State.AWAITING_RESULTS


def test_what_was_late_while_the_tracker_was_down_is_late_once_it_has_read_that_far(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(payload("a", 1, of=2))
    tracker.stop()
    for _ in range(12):
        tracker.passes(minutes=1)
    tracker.tell(header(a=2))
    tracker.start()
    assert wanted(tracker)[0] == ("Abandoned", "no-header"), "by what the bridges have said meanwhile"


def test_a_new_owner_listens_before_it_judges(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(payload("a", 1, of=2))
    tracker.start()
    tracker.stalled(minutes=20)
    since = tracker.now()
    tracker.bridge_says(since)
    for waited in range(int(SILENCE_S)):
        tracker.stalled(seconds=1)
        tracker.bridge_says(since + seconds(waited))
        assert decisions(tracker) == []
    tracker.passes(seconds=1)
    assert decisions(tracker) == ["Expired"]


def test_a_decision_is_made_once_however_often_its_record_is_read(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(header(a=2))
    tracker.stalled(minutes=10)
    record = tracker.bridge_says(tracker.now())
    assert decisions(tracker) == ["GapNoticed"]
    tracker.assembler.take(record)
    for _ in range(2):
        tracker.start()
        tracker.assembler.take(record)
    tracker.passes(minutes=9)
    assert decisions(tracker) == ["GapNoticed"]


def test_what_lapses_at_once_is_decided_at_one_record_and_folded_in_that_order(tracker: Tracker) -> None:
    tracker.policies = Policies(Limits(idle_s=60, awaiting_s=120, on_timeout="partial"))
    tracker.start()
    begun(tracker)
    tracker.tell(header(a=2))
    tracker.tell(payload("a", 1, of=2))
    tracker.passes(hours=1)
    assert decisions(tracker) == ["GapNoticed", "Expired"]
    found = [(row["offset"], row["place"]) for row in tracker.rows.values() if row["kind"] == "decision"]
    assert found == [(found[0][0], 0), (found[0][0], 1)]
    assert tracker.outbox.delivered[0].partial
    assert tracker.announced() == [], "there is a verdict"


def test_a_broker_whose_clock_is_behind_makes_no_flood_of_gaps(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(header(a=2))
    tracker.passes(minutes=10)
    assert decisions(tracker) == ["GapNoticed"]
    ahead = tracker.now()
    for number in range(20):
        tracker.clock.now_s -= 7_200
        tracker.bridge_says(ahead + seconds(600 * number))
        tracker.clock.now_s += 7_200
    assert len(decisions(tracker)) < 6


def test_a_broker_whose_clock_is_behind_abandons_nobody_who_has_just_begun(tracker: Tracker) -> None:
    tracker.stalled(hours=1)
    begun(tracker)
    ahead = tracker.now()
    tracker.clock.now_s -= 1_200
    tracker.tell(payload("a", 1, of=2))
    tracker.passes(minutes=1)
    tracker.tell(header(a=2))
    assert (wanted(tracker), decisions(tracker)) == ([], [])
    tracker.start()
    tracker.tell(payload("a", 2, of=2))
    assert wanted(tracker) == [("Completed", None)]
    assert tracker.index()[T1].created == ahead


# --- notices


def test_a_gap_is_announced_until_it_is_told_and_counted_on_by_the_next_owner(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(header(a=2))
    tracker.passes(minutes=10)
    assert tracker.announced() == [("gap", 1)]
    tracker.passes(seconds=14)
    assert tracker.announced() == [("gap", 1)], "not before the redrive interval"
    tracker.passes(seconds=1)
    assert tracker.announced() == [("gap", 1)] * 2
    tracker.say()
    tracker.passes(minutes=1)
    assert tracker.announced() == [("gap", 1)] * 2
    tracker.start()
    begun(tracker)
    assert tracker.announced() == [], "the answer has its row"
    tracker.passes(minutes=9)
    assert tracker.announced() == [("gap", 2)]


def test_that_a_header_was_accepted_is_announced_at_once_and_once(tracker: Tracker) -> None:
    tracker.tell(header(a=2))
    (notice,) = tracker.outbox.sent
    tracker.tell(told(notice.id))
    tracker.passes(minutes=5)
    tracker.start()
    tracker.tick()
    assert tracker.outbox.sent == []
    assert not tracker.assembler.wants_tick(MINE)


def test_a_notice_that_was_refused_is_asked_for_again_after_the_redrive_interval(tracker: Tracker) -> None:
    tracker.tell(header(a=2))
    (notice,) = tracker.outbox.sent
    for _ in range(14):
        tracker.tell(DeliveryRefused(T1, notice.id, problem("notification-unconfirmed")))
        tracker.stalled(seconds=1)
        tracker.tick()
    assert len(tracker.outbox.sent) == 1
    tracker.stalled(seconds=1)
    tracker.tick()
    assert tracker.outbox.sent == [notice, notice]


def test_an_answer_for_a_transaction_that_is_not_known_brings_none_into_being(tracker: Tracker) -> None:
    for event in (told("e-1"), command("cancel"), command("extend", extend=60), refused()):
        tracker.tell(event)
    assert (tracker.rows, tracker.shown, tracker.index()) == ({}, {}, {})


# --- our own limits


def test_overdue_comes_with_a_tick_and_needs_no_bridge(tracker: Tracker) -> None:
    sending(tracker)
    tracker.say()
    tracker.stalled(minutes=14.9)
    tracker.tick()
    assert tracker.announced() == []
    tracker.stalled(minutes=0.1)
    assert tracker.assembler.wants_tick(MINE)
    tracker.tick()
    assert tracker.announced() == [("overdue", 0)]
    tracker.stalled(hours=24)
    tracker.tick()
    assert wanted(tracker)[-1] == ("Failed", "completion-timeout")
    assert decisions(tracker) == ["Overdue", "Expired"]


def test_after_a_long_outage_the_result_is_delivered_and_not_given_up(tracker: Tracker) -> None:
    sending(tracker)
    tracker.stop()
    tracker.stalled(days=3)
    tracker.start()
    tracker.tick()
    tracker.tick()
    assert wanted(tracker) == [("Completed", None)]
    tracker.stalled(minutes=15)
    tracker.tick()
    assert wanted(tracker)[-1] == ("Failed", "completion-timeout"), "it had its time again"


def test_blocks_are_kept_alive_without_any_fact(tracker: Tracker) -> None:
    tracker.tell(header(a=2, awaiting_s=6 * DAY_S, idle_s=6 * DAY_S))
    tracker.say()
    tracker.tick()
    assert not tracker.assembler.wants_tick(MINE)
    tracker.stalled(days=5)
    assert tracker.assembler.wants_tick(MINE)
    tracker.tick()
    kept = [effect for effect in tracker.outbox.sent if isinstance(effect, KeepAlive)]
    assert [effect.sequence for effect in kept] == [1]
    tracker.tell(told(kept[0].id))
    tracker.stalled(seconds=60)
    tracker.tick()
    assert not tracker.assembler.wants_tick(MINE), "the next time is in five days"
    tracker.start()
    tracker.tick()
    assert [effect for effect in tracker.outbox.sent if isinstance(effect, KeepAlive)] == []


def test_an_answer_is_waited_for_without_computing_again_and_again_what_is_due(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending(tracker)
    tracker.say()
    computed: list[Effect] = []

    def counted(transaction: Transaction, now: datetime) -> tuple[Effect, ...]:
        found = due(transaction, now)
        computed.extend(each for each in found if isinstance(each, Deliver))
        return found

    monkeypatch.setattr(asked, "due", counted)
    for _ in range(14):
        tracker.stalled(seconds=1)
        tracker.tick()
        tracker.tell(header(a=1))
        tracker.tell(payload("a", 1, of=1))
    assert computed == []
    tracker.stalled(seconds=1)
    tracker.tick()
    assert len(computed) == 1
    tracker.tell(refused())
    tracker.stalled(seconds=1)
    for _ in range(10):
        tracker.tick()
    assert len(computed) == 2, "once its pause was over"


# --- commands


def test_retry_asks_at_once_though_it_was_asked_a_moment_ago(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(command("retry"))
    assert tracker.asked() == 2
    tracker.tell(command("retry"))
    assert tracker.asked() == 2, "the same wish again"
    tracker.tell(command("retry", name="c-2"))
    assert tracker.asked() == 3


def test_what_a_command_has_changed_is_shown_at_once_and_the_same_again_writes_nothing(tracker: Tracker) -> None:
    tracker.tell(header(a=2))
    before = tracker.shown[T1]["deadlines"]["awaiting"]
    tracker.tell(command("extend", extend=3_600))
    assert (before, tracker.shown[T1]["deadlines"]["awaiting"]) == (
        "2026-02-01T12:00:00.000Z",
        "2026-02-01T13:00:00.000Z",
    )
    writes = tracker.shown.writes
    tracker.tell(command("extend", extend=3_600))
    assert (tracker.shown.writes, [each["id"] for each in tracker.shown[T1]["commands"]]) == (writes, ["c-1"])


def test_a_command_is_carried_out_once_however_many_came_since(tracker: Tracker) -> None:
    tracker.tell(header(a=1))
    for number in range(100):
        tracker.tell(command("extend", name=f"c-{number}", extend=1))
    for _ in range(2):
        tracker.tell(command("extend", name="c-0", extend=1))
        assert tracker.index()[T1].extended_s == 100
        tracker.start()


def test_cancel_is_driven_and_shown_at_once(tracker: Tracker) -> None:
    tracker.tell(header(a=1))
    tracker.tell(command("cancel"))
    assert wanted(tracker) == [("Abandoned", "cancelled")]
    assert tracker.shown[T1]["problem"]["code"] == "cancelled"
    assert [each["action"] for each in tracker.shown[T1]["commands"]] == ["cancel"]


# --- limits


def test_the_limits_of_its_type_count_from_the_header_on(tracker: Tracker) -> None:
    tracker.policies = Policies(Limits(), {"quick": Limits(awaiting_s=60, on_timeout="partial")})
    tracker.start()
    begun(tracker)
    tracker.tell(header(kind="quick", a=2))
    assert tracker.shown[T1]["deadlines"]["awaiting"] == "2026-01-31T12:01:11.000Z"
    tracker.passes(minutes=1)
    assert wanted(tracker) == [("Completed", None)]


def test_a_change_of_limits_counts_for_open_transactions_after_a_restart(tracker: Tracker) -> None:
    begun(tracker)
    tracker.tell(header(kind="quick", a=2))
    tracker.policies = Policies(Limits(), {"quick": Limits(awaiting_s=60)})
    tracker.start()
    begun(tracker)
    tracker.passes(minutes=1)
    assert wanted(tracker) == [("Abandoned", "timeout")]


# --- closed transactions


def test_a_closed_transaction_is_forgotten_after_its_retention_and_not_before(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(delivered("Completed"))
    tracker.tick()
    assert list(tracker.rows) == [outcome_key(T1)]
    tracker.clock.now_s = 1_000 + RETENTION_S - 1
    tracker.tick()
    assert (list(tracker.rows), list(tracker.shown)) == ([outcome_key(T1)], [T1])
    with counts(metrics.LATE, 1):
        tracker.tell(payload("a", 1, of=1))
    assert tracker.index() == {}
    tracker.clock.now_s += 1
    assert tracker.assembler.wants_tick(MINE)
    tracker.tick()
    assert (tracker.rows, tracker.shown, tracker.closed()) == ({}, {}, set())
    assert not tracker.assembler.wants_tick(MINE)


def test_a_closed_transaction_is_forgotten_by_whoever_owns_it_then(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(delivered("Failed", "code"))
    tracker.clock.now_s = 1_000 + RETENTION_S
    tracker.start()
    tracker.tick()
    assert (tracker.rows, tracker.shown) == ({}, {})


def test_messages_for_closed_transactions_are_counted(tracker: Tracker) -> None:
    tracker.tell(payload("a", 1, of=1))
    tracker.tell(header(a=1, kind="valuation"))
    tracker.tell(delivered("Completed"))
    with counts(metrics.LATE, 4, transaction_type="valuation"):
        tracker.tell(header(a=1))
        tracker.tell(payload("a", 1, of=1), run("u", 1, "x", "y", of=2))
        for event in (refused(), told("e-1"), command("cancel"), delivered("Failed")):
            tracker.tell(event)


def test_rows_that_nobody_needs_any_more_go_in_portions_and_the_outcome_last(tracker: Tracker) -> None:
    payloads = LEFTOVER_ROWS_MAX + 10
    for first in range(1, payloads + 1, 100):
        tracker.tell(*(payload("a", n, of=payloads) for n in range(first, min(first + 100, payloads + 1))))
    tracker.tell(header(a=payloads))
    tracker.tell(delivered("Completed"))
    tracker.clock.now_s = 1_000 + RETENTION_S
    tracker.tick()
    assert (len(tracker.rows), outcome_key(T1) in tracker.rows) == (12, True)
    assert tracker.assembler.wants_tick(MINE)
    tracker.tick()
    assert tracker.rows == {}


@pytest.mark.parametrize("gone", range(4))
def test_rows_that_a_crash_left_behind_are_dropped_by_the_next_owner(tracker: Tracker, gone: int) -> None:
    tracker.tell(payload("a", 2, of=2), payload("a", 1, of=2))
    tracker.tell(header(a=2))
    tracker.tell(delivered("Completed"))
    shown = tracker.shown[T1]
    for key in [key for key in tracker.rows if key != outcome_key(T1)][:gone]:
        del tracker.rows[key]
    tracker.start()
    assert tracker.assembler.wants_tick(MINE)
    tracker.tick()
    assert (list(tracker.rows), tracker.index(), tracker.closed()) == ([outcome_key(T1)], {}, {T1})
    assert tracker.shown[T1] == shown
    assert tracker.outbox.sent == []


def test_of_an_outcome_whose_other_rows_are_gone_the_readable_row_is_mended(tracker: Tracker) -> None:
    tracker.tell(header(a=1, idle_s=5))
    tracker.tell(payload("a", 1, of=1), payload("a", 1, of=1))
    open_row = tracker.shown[T1]
    record = tracker.tell(delivered("Completed"))
    closed_row = tracker.shown[T1]
    tracker.tick()
    tracker.shown[T1] = open_row
    tracker.start()
    tracker.assembler.take(record)
    assert tracker.shown[T1] == closed_row
    del tracker.shown[T1]
    tracker.assembler.take(record)
    assert (tracker.shown[T1]["state"], tracker.shown[T1]["series"]) == ("Completed", [])
    writes = tracker.shown.writes
    tracker.assembler.take(record)
    assert tracker.shown.writes == writes


def test_a_readable_row_that_a_frozen_owner_has_written_over_is_mended_by_the_next_one(tracker: Tracker) -> None:
    tracker.tell(header(a=1))
    tracker.tell(payload("a", 1, of=1))
    open_row = tracker.shown[T1]
    tracker.tell(delivered("Completed"))
    closed_row = tracker.shown[T1]
    tracker.shown[T1] = open_row
    tracker.start()
    tracker.tick()
    assert tracker.shown[T1] == closed_row


def test_an_outcome_that_is_heard_of_first_closes_a_transaction_nobody_knew(tracker: Tracker) -> None:
    tracker.tell(delivered("Completed"))
    tracker.tell(header(a=1))
    assert (tracker.index(), tracker.closed(), tracker.shown[T1]["state"]) == ({}, {T1}, "Completed")


def test_one_transaction_is_late_and_its_neighbour_is_not(tracker: Tracker) -> None:
    topics = Topics("brh", PARTITIONS)
    other = next(name for name in (f"T{n}" for n in count(2)) if topics.partition_of(name) == MINE)
    begun(tracker)
    tracker.tell(payload("a", 1, of=2))
    tracker.passes(minutes=5)
    tracker.tell(PayloadsStaged(other, (payload("a", 1, of=2),), START))
    tracker.passes(minutes=5)
    assert [effect.transaction for effect in tracker.outbox.sent] == [T1]
    assert tracker.index()[other].state is State.AWAITING_RESULTS
    tracker.tell(replace(delivered("Abandoned"), transaction=other))
    assert set(tracker.index()) == {T1}
    assert isinstance(tracker.outbox.sent[0], Deliver)
    assert timedelta(minutes=10) < tracker.now() - START
