"""The tracker's host, with dictionaries for tables and a list for Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace
from playbook import START, T1, core, crc64, delivered, header, not_taken, payload, refused, run, seconds
from tracker import MINE, OTHERS, PARTITIONS, Tracker, WriteOnce, sending

from bridge.contract import events
from bridge.contract.events import AnyEvent, Delivered, HeaderReceived, PayloadsStaged, Tick
from streams.record import moment
from streams.topics import Topics
from tables.transaction import State

# --- facts become rows


def test_every_fact_has_one_row_and_its_duplicate_has_none(tracker: Tracker) -> None:
    for _ in range(3):
        tracker.tell(header(a=3))
        tracker.tell(payload("a", 1, of=3), payload("a", 2, of=3))
    assert len(tracker.rows) == 3
    assert tracker.index()[T1].duplicates == 6
    assert [row["offset"] for row in tracker.rows.values()] == [0, 1, 1], "the row of what came first stays"


def test_a_payload_twice_in_one_event_is_a_duplicate(tracker: Tracker) -> None:
    tracker.tell(payload("a", 1, of=2), payload("a", 1, of=2))
    assert (len(tracker.rows), tracker.index()[T1].duplicates) == (1, 1)


def test_a_fact_that_changes_nothing_has_no_row(tracker: Tracker) -> None:
    tracker.tell(header(a=3, on_conflict="keep-first"))
    tracker.tell(payload("a", 1, of=3), run("a", 1, "x", "y", of=3))
    tracker.tell(payload("a", 1, of=3, body="z"))
    assert len(tracker.rows) == 4, "the first contradiction is worth a row"
    kept: dict[str, Any] = {}
    for body in range(100):
        tracker.tell(payload("a", 1, of=3, body=f"{body}"), payload("a", 2, of=4, body=f"{body}"))
        tracker.tell(run("a", 1, "x", f"{body % 10}", of=3), payload("a", 1, of=3, body="z"))
        tracker.tell(header(a=3, conflicting=f"{body}"))
        tracker.tell(payload("u", 1, of=1, body=f"{body}"))
        kept = kept or dict(tracker.rows)
    tracker.tell(payload("a", 2, of=3, body="y"))
    assert len(kept) == 8, "and one further of each code"
    assert tracker.rows == kept
    assert tracker.index()[T1].duplicates == 2
    assert tracker.index()[T1].contradictions == {
        "conflicting-payload": 301,
        "conflicting-total-count": 100,
        "conflicting-header": 100,
        "unknown-series": 100,
    }


def test_contradictions_beyond_the_first_are_known_to_the_next_owner_and_shown(tracker: Tracker) -> None:
    tracker.tell(header(a=3, on_conflict="keep-first"))
    tracker.tell(payload("a", 1, of=3), payload("a", 2, of=3))
    for body in "yz!":
        tracker.tell(payload("a", 1, of=3, body=body))
    tracker.tell(payload("a", 2, of=4), payload("a", 2, of=4))
    details = [each.detail for each in tracker.index()[T1].problems]
    assert [crc64(body) in detail for body, detail in zip("yz", details, strict=False)] == [True, True]
    assert [each.code for each in tracker.index()[T1].problems] == [
        "conflicting-payload",
        "conflicting-payload",
        "conflicting-total-count",
    ]
    for shown in (dict(tracker.shown), {}):  # the rows alone tell it, too
        tracker.shown.clear()
        tracker.shown.update(shown)
        tracker.start()
        tracker.tick()
        assert [each.detail for each in tracker.index()[T1].problems] == details
        assert [each["detail"] for each in tracker.shown[T1]["problems"]] == details


def test_an_outcome_is_kept_and_closes_the_transaction(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(delivered("Completed"))
    assert (tracker.index(), tracker.closed()) == ({}, {T1})
    assert tracker.shown[T1]["state"] == "Completed"
    tracker.tick()
    assert list(tracker.rows) == [f"{T1}/outcome"], "its other rows were only needed to get there"
    assert not tracker.assembler.wants_tick(MINE)
    tracker.clock.now_s += 3_600
    tracker.tick()
    assert tracker.asked() == 1, "a closed transaction wants nothing"


def test_what_comes_late_leaves_no_row(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(delivered("Completed"))
    kept = dict(tracker.rows)
    tracker.tell(payload("a", 1, of=1, body="y"))
    tracker.tell(payload("b", 1, of=1), payload("b", 1, of=2))
    tracker.tell(header(z=1, conflicting="other"))
    tracker.tell(delivered("Failed"))
    assert tracker.rows == kept
    assert (tracker.index(), tracker.shown[T1]["state"]) == ({}, "Completed")


def test_transactions_of_one_partition_do_not_mix(tracker: Tracker) -> None:
    topics = Topics("brh", PARTITIONS)
    other = next(name for name in (f"T{n}" for n in count(2)) if topics.partition_of(name) == MINE)
    sending(tracker)
    tracker.tell(PayloadsStaged(other, (payload("a", 1, of=2),), START))
    assert set(tracker.index()) == set(tracker.shown) == {T1, other}
    assert tracker.index()[other].series["a"].received_count == 1
    assert tracker.index()[other].state is State.AWAITING_RESULTS
    del tracker.index()[other]  # the fixture looks at T1


# --- crashes


def test_an_event_read_again_after_a_crash_is_no_duplicate(tracker: Tracker) -> None:
    records = [
        tracker.tell(header(a=3)),
        tracker.tell(payload("a", 1, of=3), payload("a", 2, of=3)),
        tracker.tell(payload("a", 2, of=3), payload("a", 2, of=3)),
    ]
    before = tracker.index()[T1]
    assert before.duplicates == 2
    tracker.start()
    for record in records[:2]:
        tracker.assembler.take(record)
    assert core(tracker.index()[T1], but=("updated", "duplicates", "recovered", "recoveries")) == core(
        before, but=("updated", "duplicates", "recovered", "recoveries")
    )
    assert tracker.index()[T1].duplicates <= before.duplicates


def test_an_event_read_again_counts_nothing_even_where_it_repeats_itself(tracker: Tracker) -> None:
    record = tracker.tell(payload("a", 1, of=2), payload("a", 1, of=2))
    tracker.clock.now_s += 2
    tracker.tick()
    assert tracker.shown[T1]["duplicates"] == 1
    tracker.start()
    tracker.assembler.take(record)
    assert tracker.index()[T1].duplicates == 1


def test_an_event_of_which_only_a_part_was_written_is_completed(tracker: Tracker) -> None:
    record = tracker.tell(payload("a", 1, of=2), payload("a", 2, of=2))
    dict.__delitem__(tracker.rows, next(key for key in tracker.rows if "/2-1-" in key))
    tracker.start()
    tracker.assembler.take(record)
    assert len(tracker.rows) == 2
    assert (tracker.index()[T1].series["a"].received_count, tracker.index()[T1].duplicates) == (2, 0)


def test_an_outcome_read_again_shows_the_row_that_the_crash_took(tracker: Tracker) -> None:
    sending(tracker)
    open_row = tracker.shown[T1]
    record = tracker.tell(delivered("Completed"))
    closed_row = tracker.shown[T1]
    tracker.shown[T1] = open_row
    tracker.start()
    tracker.assembler.take(record)
    assert tracker.shown[T1] == closed_row


@pytest.mark.parametrize("reverse", [False, True])
def test_the_index_made_from_the_rows_is_the_one_before(tracker: Tracker, reverse: bool) -> None:
    tracker.tell(payload("a", 2, of=2, body="xy"), payload("u", 1, of=1), payload("a", 2, of=2, body="xz"))
    tracker.tell(payload("a", 2, of=3))
    tracker.tell(header(a=2, b=0, on_conflict="keep-first", conflicting="other"))
    tracker.tell(payload("a", 1, of=2, body=""))
    before = tracker.index()[T1]
    assert before.state is State.SENDING_COMPLETION
    if reverse:
        tracker.rows = WriteOnce(reversed(tracker.rows.items()))
        tracker.start()
    tracker.assembler.forget()
    tracker.tick()
    after = tracker.index()[T1]
    assert after is not before
    changing = ("updated", "recovered", "recoveries")
    assert core(after, but=changing) == core(before, but=changing)


def test_two_contents_in_one_event_are_ranked_as_they_stand_in_it_whatever_order_the_table_has(
    tracker: Tracker,
) -> None:
    tracker.tell(payload("a", 1, of=2, body="x"), payload("a", 1, of=2, body="y"))
    assert tracker.index()[T1].series["a"].bytes == ord("x")
    tracker.rows = WriteOnce(reversed(tracker.rows.items()))
    tracker.start()
    tracker.tick()
    assert tracker.index()[T1].series["a"].bytes == ord("x")


def test_a_recovery_is_counted_dated_and_shown_while_the_transaction_is_open(tracker: Tracker) -> None:
    tracker.tell(payload("a", 1, of=2))
    assert (tracker.index()[T1].recoveries, tracker.index()[T1].recovered) == (0, None)
    for times in (1, 2, 3):
        tracker.clock.now_s += 10
        tracker.start()
        assert tracker.assembler.wants_tick(MINE), "a partition that was not looked at yet"
        tracker.tick()
        assert tracker.shown[T1]["recoveries"] == times
        assert tracker.shown[T1]["timestamps"]["recovered"] == f"2026-01-31T12:00:{times * 10}.000Z"
        assert not tracker.assembler.wants_tick(MINE), "nothing to show, nothing to ask for"


def test_a_closed_transaction_is_not_recovered_but_stays_closed(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(delivered("Completed"))
    tracker.start()
    tracker.tick()
    assert (tracker.index(), tracker.shown[T1]["recoveries"]) == ({}, 0)
    assert tracker.asked() == 0
    tracker.tell(payload("a", 1, of=1))
    assert (tracker.index(), tracker.closed(), len(tracker.rows)) == ({}, {T1}, 1)


def test_counted_duplicates_survive_a_recovery(tracker: Tracker) -> None:
    for _ in range(4):
        tracker.tell(payload("a", 1, of=2))
    tracker.clock.now_s += 2
    tracker.tick()
    tracker.start()
    tracker.tick()
    assert tracker.index()[T1].duplicates == tracker.shown[T1]["duplicates"] == 3


# --- effects


def test_a_message_that_was_refused_is_shown_and_remembered_by_the_next_owner(tracker: Tracker) -> None:
    tracker.tell(header(a=1))
    tracker.tell(not_taken("bad-ordinal"))
    rows = dict(tracker.rows)
    tracker.passes(seconds=2)
    assert [each["code"] for each in tracker.shown[T1]["problems"]] == ["bad-ordinal"]
    tracker.start()
    tracker.tick()
    assert [each.code for each in tracker.index()[T1].problems] == ["bad-ordinal"]
    assert tracker.rows == rows, "there may be any number of them"


def test_a_message_that_was_refused_makes_no_transaction_known_and_reopens_none(tracker: Tracker) -> None:
    tracker.tell(not_taken("bad-ordinal"))
    assert (tracker.index(), tracker.rows, tracker.shown) == ({}, {}, {})
    sending(tracker)
    tracker.tell(delivered("Completed"))
    rows, shown = dict(tracker.rows), dict(tracker.shown)
    tracker.tell(not_taken("bad-ordinal"))
    assert (tracker.rows, tracker.shown, tracker.outbox.parked) == (rows, shown, [])


def test_a_delivery_is_asked_for_at_once_and_again_only_after_the_redrive_interval(tracker: Tracker) -> None:
    sending(tracker)
    assert tracker.asked() == 1
    assert tracker.assembler.wants_tick(MINE)
    tracker.clock.now_s += 14.9
    tracker.tick()
    tracker.tell(payload("a", 1, of=1))
    assert tracker.asked() == 1, "not before"
    tracker.clock.now_s += 0.1
    tracker.tick()
    assert tracker.asked() == 2
    tracker.tick()
    assert tracker.asked() == 2
    assert tracker.outbox.delivered[0] == tracker.outbox.delivered[1]


def test_a_refused_delivery_is_asked_for_again_after_its_pause_without_waiting_for_the_redrive(
    tracker: Tracker,
) -> None:
    sending(tracker)
    tracker.tell(refused())
    tracker.tick()
    assert tracker.asked() == 1
    tracker.clock.now_s += 0.9
    tracker.tick()
    assert tracker.asked() == 1, "not before"
    tracker.clock.now_s += 0.1
    tracker.tick()
    tracker.tick()
    assert tracker.asked() == 2
    tracker.tell(refused())
    tracker.clock.now_s += 1.9
    tracker.tick()
    assert tracker.asked() == 2
    tracker.clock.now_s += 0.1
    tracker.tick()
    assert tracker.asked() == 3


def test_a_new_owner_asks_at_once(tracker: Tracker) -> None:
    sending(tracker)
    tracker.start()
    tracker.tick()
    tracker.tick()
    assert tracker.asked() == 1


def test_an_open_transaction_asks_for_nothing(tracker: Tracker) -> None:
    tracker.tell(header(a=2))
    tracker.tell(payload("a", 1, of=2))
    tracker.clock.now_s += 60
    tracker.tick()
    assert tracker.asked() == 0


# --- ghosts


def test_rows_of_partitions_that_others_own_are_not_acted_on(tracker: Tracker) -> None:
    sending(tracker)
    tracker.owned = {OTHERS}
    tracker.start()
    tracker.tell(Tick(START), partition=OTHERS)
    tracker.clock.now_s += 60
    tracker.tell(Tick(START), partition=OTHERS)
    assert tracker.index() == {}
    assert tracker.asked() == 0
    assert not tracker.assembler.wants_tick(MINE)
    assert tracker.shown[T1]["recoveries"] == 0


def test_a_partition_that_comes_back_is_read_from_its_rows(tracker: Tracker) -> None:
    sending(tracker)
    tracker.owned = {OTHERS}
    tracker.assembler.forget()
    tracker.tell(Tick(START), partition=OTHERS)
    tracker.owned = {MINE, OTHERS}
    tracker.assembler.forget()
    tracker.tell(Tick(START), partition=OTHERS)
    assert tracker.index()[T1].state is State.SENDING_COMPLETION
    tracker.tick()
    assert tracker.asked() == 2


# --- what cannot be understood


UNREADABLE = {
    "nothing": None,
    "empty": b"",
    "no JSON": b"\xff{",
    "half of it": events.encode(header(a=1))[:-5],
    "unknown type": b'{"type":"HeaderForgotten","transaction":"T1"}',
    "no type": b'{"transaction":"T1"}',
    "ordinal 0": b'{"type":"PayloadsStaged","transaction":"T1","received":"2026-01-31T12:00:00Z","staged":'
    b'[{"series":"a","first":0,"count":1,"totalCount":1,"sizes":[0],"crc64s":["0000000000000000"],"blocks":[]}]}',
    "no UTF-8": b'{"type":"Told","transaction":"T\xff","effect":"e","at":"2026-01-31T12:00:00Z"}',
    "nested without end": b'{"type":"Tick","at":"2026-01-31T12:00:00Z","x":' + b"[" * 100_000,
    "surrogate": b'{"type":"DeliveryRefused","transaction":"T\\ud800","delivery":"d","problem":{}}',
    "no id": events.encode(Delivered("", "Completed", "u", "e", START, START, "n")),
    "two ids": events.encode(Delivered("T1/a", "Completed", "u", "e", START, START, "n")),
    "parent": events.encode(Delivered("T..1", "Completed", "u", "e", START, START, "n")),
}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("partition", range(PARTITIONS))
def test_what_cannot_be_understood_is_parked_and_changes_nothing(
    tracker: Tracker, value: bytes | None, partition: int
) -> None:
    sending(tracker)
    before = tracker.index()[T1], dict(tracker.rows), dict(tracker.shown), tracker.asked()
    record = tracker.record(value, partition)
    tracker.assembler.take(record)
    assert [offset for offset, _ in tracker.outbox.parked] == [record.offset]
    assert before == (tracker.index()[T1], tracker.rows, tracker.shown, tracker.asked())


def test_a_record_of_another_partition_is_parked_and_changes_nothing(tracker: Tracker) -> None:
    record = tracker.tell(header(a=0), partition=OTHERS)
    assert tracker.outbox.parked == [(record.offset, "transaction T1 belongs to another partition (misplaced)")]
    assert (tracker.rows, tracker.shown, tracker.asked()) == ({}, {}, 0)


def test_parking_one_record_does_not_hold_up_the_next(tracker: Tracker) -> None:
    tracker.assembler.take(tracker.record(b"?"))
    sending(tracker)
    assert tracker.asked() == 1


@pytest.mark.parametrize("event", [refused(), PayloadsStaged(T1, (), START)], ids=repr)
def test_an_event_that_tells_nothing_opens_no_transaction(tracker: Tracker, event: AnyEvent) -> None:
    tracker.tell(event)
    assert (tracker.rows, tracker.shown, tracker.index()) == ({}, {}, {})


# --- the readable row


def test_one_transaction_more_than_may_be_open_fails_and_the_others_go_on(tracker: Tracker) -> None:
    names = [name for number in range(999) if Topics("brh", PARTITIONS).partition_of(name := f"X{number}") == MINE]
    first, second, third, complete = names[:4]
    tracker.open_max = 2
    tracker.start()
    for name in (first, second, third):
        tracker.tell(replace(header(a=1), transaction=name))
    tracker.tell(replace(header(a=0), transaction=complete))
    assert {name: each.state for name, each in tracker.index().items()} == {
        first: State.AWAITING_RESULTS,
        second: State.AWAITING_RESULTS,
        third: State.SENDING_COMPLETION,
        complete: State.SENDING_COMPLETION,
    }
    failed = tracker.index()[third]
    assert failed.verdict is not None
    assert (failed.verdict.outcome, failed.problem and failed.problem.code) == ("Failed", "too-many-open")
    completed = tracker.index()[complete].verdict
    assert completed is not None
    assert completed.outcome == "Completed", "it takes no room"
    before = dict(tracker.index())
    tracker.open_max = 1
    tracker.start()
    tracker.tick()
    assert {name: each.state for name, each in tracker.index().items()} == {n: each.state for n, each in before.items()}
    tracker.tell(PayloadsStaged(first, (payload("a", 1, of=1),), START))
    assert tracker.index()[first].state is State.SENDING_COMPLETION, "who is open already goes on"


def test_the_row_is_written_at_once_on_changes_of_state_and_otherwise_once_an_interval(tracker: Tracker) -> None:
    tracker.tell(header(a=50))
    tracker.say()
    assert tracker.shown.writes == 1
    for ordinal in range(1, 41):
        tracker.tell(payload("a", ordinal, of=50))
    assert tracker.shown.writes == 1
    assert tracker.assembler.wants_tick(MINE), "the row is behind"
    tracker.clock.now_s += 1
    tracker.tell(payload("a", 41, of=50))
    assert (tracker.shown.writes, tracker.shown[T1]["series"][0]["receivedCount"]) == (2, 41)
    assert not tracker.assembler.wants_tick(MINE)
    tracker.tell(*(payload("a", ordinal, of=50) for ordinal in range(42, 51)))
    assert (tracker.shown.writes, tracker.shown[T1]["state"]) == (3, "SendingCompletion")


def test_a_tick_writes_the_row_that_is_behind(tracker: Tracker) -> None:
    tracker.tell(payload("a", 1, of=5))
    tracker.tell(payload("a", 2, of=5))
    assert tracker.shown[T1]["series"][0]["receivedCount"] == 1
    tracker.tick()
    assert (tracker.shown.writes, tracker.shown[T1]["series"][0]["receivedCount"]) == (2, 2)
    tracker.tick()
    assert tracker.shown.writes == 2, "it is not behind any more"


def test_messages_that_come_late_do_not_write_a_row_each(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(delivered("Completed"))
    written = tracker.shown.writes
    for _ in range(20):
        tracker.tell(payload("a", 1, of=1))
    assert tracker.shown.writes == written


def test_the_row_is_plain_json(tracker: Tracker) -> None:
    sending(tracker)
    tracker.tell(delivered("Failed", "someone-decided"))
    assert tracker.shown[T1]["problem"]["code"] == "someone-decided"
    for row in [*tracker.rows.values(), *tracker.shown.values()]:
        assert set(map(type, leaves(row))) <= {str, int, bool, type(None)}


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


def test_a_timestamp_becomes_a_moment_with_milliseconds() -> None:
    assert moment(START.timestamp() + 0.1234) == START + seconds(0.123)


def test_a_header_of_two_claims_is_the_same_after_a_recovery(tracker: Tracker) -> None:
    tracker.tell(header(a=2))
    second: HeaderReceived = header(b=2)
    tracker.tell(second)
    assert tracker.index()[T1].state is State.SENDING_COMPLETION
    tracker.start()
    tracker.tick()
    found = tracker.index()[T1].conflict
    assert found is not None
    assert found.code == "conflicting-header"
    assert second.digest in found.detail
    assert crc64("x") not in found.detail
