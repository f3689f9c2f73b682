"""What happened last to an open transaction: with the offset of the record that brought it, and within a bound."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace
from playbook import START, T1, Playbook, command, delivered, header, payload
from tracker import MINE, Tracker

from streams.explained import EVENTS_MAX, explanation
from streams.partition import Partition
from streams.recent import RECENT_MAX, TRANSACTIONS_MAX, Happened, Recent
from streams.record import Record
from tables.effects import KeepAlive
from tables.projection import view


def told(tracker: Tracker) -> list[tuple[str, str, int]]:
    return [(each.kind, each.text, each.offset) for each in partition(tracker).recent.of(T1)]


def partition(tracker: Tracker) -> Partition:
    found = tracker.assembler.partition(MINE)
    assert found is not None
    return found


def test_each_record_says_what_it_brought_and_each_effect_why_it_was_asked_for(tracker: Tracker) -> None:
    tracker.tell(header(a=3, b=None))
    tracker.tell(payload("a", 1, of=3))
    tracker.tell(payload("a", 1, of=3))
    tracker.tell(header(a=3, b=None))
    found = told(tracker)
    assert [each[:2] for each in found] == [
        ("header", "The header came, with 2 series."),
        ("asked", "The delivery was asked to tell those who wait: accepted."),
        ("payloads", "Payloads came: a 1."),
        ("payloads", "Payloads came: a 1. 1 of 1 brought nothing new."),
        ("header", "The header came again."),
    ]
    offsets = [offset for _, _, offset in found]
    assert offsets == sorted(offsets)
    assert offsets[0] == offsets[1], "it was asked for because of the header"


def test_the_outcome_that_was_asked_for_is_named(tracker: Tracker) -> None:
    tracker.tell(header(a=1))
    tracker.tell(payload("a", 1, of=1))
    assert told(tracker)[-1][:2] == ("asked", "The delivery was asked for the outcome Completed.")
    tracker.tell(delivered("Completed"))
    assert told(tracker)[-1] == ("delivered", "The outcome Completed was written and told.", 2)


def test_an_explanation_has_the_last_ones_beside_all_that_the_transaction_remembers(tracker: Tracker) -> None:
    tracker.tell(header(a=200))
    tracker.tell(command("extend", extend=60.0))
    for ordinal in range(1, RECENT_MAX + 20):
        tracker.tell(payload("a", ordinal, of=200))
    known = tracker.assembler.known(T1)
    assert known is not None
    found = explanation(known, view(known), START, partition(tracker).recent.of(T1))["events"]
    assert len(partition(tracker).recent.of(T1)) == RECENT_MAX
    assert len(found) == EVENTS_MAX
    assert {each["kind"] for each in found} >= {"created", "headerReceived", "command", "payloads"}
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
    assert f"Payloads came: a {RECENT_MAX + 19}." in [each["text"] for each in found]
    assert all(isinstance(each["offset"], int) for each in found if each["kind"] == "payloads")


def test_problems_and_commands_have_the_offsets_of_the_records_that_brought_them(tracker: Tracker) -> None:
    lines = (header(a=3), command("extend", extend=60.0), payload("a", 1, of=3), payload("a", 1, of=3, body="other"))
    for line in lines:
        tracker.tell(line)
    known, recent = tracker.assembler.known(T1), partition(tracker).recent
    assert known is not None
    found = explanation(known, view(known), START, recent.of(T1), recent.brought(T1))["events"]
    offsets = {each["code"]: each["offset"] for each in found if each["kind"] in ("problem", "command")}
    assert offsets == {"extend": 1, "conflicting-payload": 3}
    tracker.assembler.forget()
    tracker.tick()
    assert dict(partition(tracker).recent.brought(T1)) == dict(recent.brought(T1)), "so does whoever takes it over"


def test_a_new_owner_finds_in_the_rows_what_records_have_brought(tracker: Tracker) -> None:
    tracker.tell(header(a=60))
    tracker.say()
    for ordinal in range(1, RECENT_MAX - 5):
        tracker.tell(payload("a", ordinal, of=60))
    before = told(tracker)
    assert {kind for kind, _, _ in before} == {"header", "asked", "told", "payloads"}
    tracker.tell(payload("a", 1, of=60))
    tracker.assembler.forget()
    tracker.tick()
    kept = [each for each in before if each[0] != "asked"]
    assert told(tracker) == kept, "but not that something brought nothing new, nor what was asked for"


def test_a_new_owner_knows_how_many_messages_contradicted_as_the_readable_row_tells(tracker: Tracker) -> None:
    tracker.tell(header(a=3, on_conflict="keep-first"))
    for body in "xyzuv":
        tracker.tell(payload("a", 1, of=3, body=body))
    tracker.tick()
    tracker.assembler.forget()
    tracker.tick()
    known = tracker.assembler.known(T1)
    assert known is not None
    assert known.contradictions == {"conflicting-payload": 4}, "of which only the first ones have rows"
    tracker.tell(payload("a", 1, of=3, body="w"))
    again = tracker.assembler.known(T1)
    assert again is not None
    assert again.contradictions == {"conflicting-payload": 5}


def test_those_that_heard_nothing_for_longest_are_forgotten_first() -> None:
    book = Playbook() >> header(a=1) >> command("extend", extend=60.0)
    recent = Recent()
    record = Record(0, 1, datetime.now(UTC), None, None)
    for number in range(TRANSACTIONS_MAX):
        recent.asked(KeepAlive("e", f"T-{number}", 1), record)
    recent.asked(KeepAlive("e", "T-0", 1), record)
    recent.asked(KeepAlive("e", "one more", 1), record)
    assert recent.of("T-1") == ()
    known = replace(book.transaction, id="T-1")
    recent.learned(None, known, record)
    recent.recovered(known, [])
    assert recent._brought == {}, "nothing is kept of what was forgotten"
    recent.learned(None, replace(known, id="T-0"), record)
    assert list(recent.brought("T-0").values()) == [1]
    assert len(recent.of("T-0")) == 2
    assert recent.of("one more") == (
        Happened(record.at, "asked", "The delivery was asked to keep the blocks in storage.", 1),
    )
