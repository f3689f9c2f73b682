"""A fold on empty tables is what the tracker knows, whatever time has brought there."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from playbook import START, T1, command, core, delivered, header, not_taken, payload, refused, told
from tracker import MINE, OTHERS, PARTITIONS, RETENTION_S, SILENCE_S, Tracker

from streams.fold import Fold
from streams.record import Record
from streams.settings import TrackerSettings
from tables.policies import Policies
from tables.transaction import State, Transaction


def folded(records: list[Record]) -> Fold:
    settings = TrackerSettings(partitions=PARTITIONS, bridge_silence_s=SILENCE_S, dedupe_retention_s=RETENTION_S)
    fold = Fold(MINE, settings, Policies())
    for record in records:
        fold.take(record)
    return fold


@pytest.fixture
def records(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """What the tracker has taken."""
    taken: list[Record] = []
    take = tracker.assembler.take

    def kept(record: Record) -> None:
        taken.append(record)
        take(record)

    monkeypatch.setattr(tracker.assembler, "take", kept)
    return taken


def only(fold: Fold) -> Transaction:
    (found,) = fold.told()
    return found


def plain(transaction: Transaction) -> Transaction:
    """But for what time brings."""
    return core(transaction, but=("updated", "progressed", "gap", "overdue", "problem", "problems", "told"))


def test_it_is_what_the_tracker_knows_after_every_record(tracker: Tracker, records: list[Record]) -> None:
    for fact in (
        *(payload("a", 1, of=3), payload("a", 2, of=3), payload("a", 2, of=3), header(a=3)),
        *(command("extend", extend=3_600), not_taken("bad-ordinal"), told("n"), payload("a", 3, of=3), refused()),
    ):
        tracker.tell(fact)
        tracker.passes(seconds=1)
        assert plain(only(folded(records))) == plain(tracker.index()[T1])
        assert only(folded(records)).created == records[0].at
    assert tracker.index()[T1].state is State.SENDING_COMPLETION


def test_time_closes_nothing_and_so_what_comes_later_is_known(tracker: Tracker, records: list[Record]) -> None:
    tracker.bridge_says(tracker.now())
    tracker.passes(seconds=SILENCE_S + 1)  # from now on the watermark is believed
    tracker.tell(payload("a", 1, of=3))
    for _ in range(2):
        tracker.passes(minutes=11)
    assert tracker.index()[T1].verdict is not None, "no header came"
    tracker.tell(payload("a", 2, of=3))
    assert tracker.index()[T1].series["a"].received_count == 1
    assert only(folded(records)).series["a"].received_count == 2


def test_of_a_closed_one_the_outcome_is_known_until_its_time_is_over(tracker: Tracker, records: list[Record]) -> None:
    for fact in (header(a=1), payload("a", 1, of=1), delivered("Completed"), payload("a", 1, of=1)):
        tracker.tell(fact)
    tracker.tick()
    found = only(folded(records))
    assert (found.state, found.settled and found.settled.notified) == (State.COMPLETED, START)
    tracker.stalled(seconds=RETENTION_S + 1)
    tracker.tick()
    assert list(folded(records).told()) == []


def test_what_cannot_be_read_or_is_in_the_wrong_partition_is_counted(tracker: Tracker, records: list[Record]) -> None:
    tracker.tell(header(a=1))
    broken = replace(records[0], value=b"{", offset=91)
    misplaced = replace(records[0], partition=OTHERS, offset=92)
    fold = folded([*records, broken, misplaced])
    assert (fold.records, fold.unreadable, fold.begins) == (3, 2, START)
    assert len(list(fold.told())) == 1
    assert list(folded([]).told()) == []
