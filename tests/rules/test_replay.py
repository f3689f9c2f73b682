"""A transaction at a past moment is what its tracker knew then."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from playbook import T1, command, delivered, header, not_taken, payload, refused, told
from tracker import MINE, PARTITIONS, RETENTION_S, SILENCE_S, Tracker

from bridge.contract import events
from streams.record import Record
from streams.replay import HISTORY_MAX, Happened, Replay, Replayed
from streams.settings import TrackerSettings
from tables.policies import Policies

COUNTED = ("recovered", "recoveries")


def replayed(records: list[Record], transaction: str = T1) -> Replayed | None:
    settings = TrackerSettings(partitions=PARTITIONS, bridge_silence_s=SILENCE_S, dedupe_retention_s=RETENTION_S)
    replay = Replay(transaction, MINE, settings, Policies())
    for record in records:
        replay.take(record)
    return replay.result()


class Life:
    """A tracker whose records are kept, with what it showed after each."""

    def __init__(self, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: list[Record] = []
        self.seen: list[dict[str, Any] | None] = []
        take = tracker.assembler.take

        def kept(record: Record) -> None:
            take(record)
            self.records.append(record)
            known = tracker.index().get(T1)
            self.seen.append(known and _shown(known))

        monkeypatch.setattr(tracker.assembler, "take", kept)


def _shown(transaction: Any) -> dict[str, Any]:
    from tables.projection import view

    return view(transaction)


@pytest.fixture
def life(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Life:
    return Life(tracker, monkeypatch)


def lived(tracker: Tracker) -> None:
    tracker.bridge_says(tracker.now())
    tracker.passes(seconds=SILENCE_S + 1)  # from now on the watermark is believed
    tracker.tell(payload("a", 1, of=3), payload("a", 2, of=3))
    tracker.tell(payload("a", 2, of=3))
    tracker.tell(header(a=3))
    tracker.tell(command("extend", extend=3_600))
    tracker.tell(not_taken("bad-ordinal"))
    tracker.passes(minutes=11)
    tracker.passes(seconds=1)
    tracker.tell(payload("a", 3, of=3))
    tracker.tell(refused())
    tracker.passes(minutes=16)
    tracker.passes(seconds=1)


def test_at_every_offset_it_is_what_the_tracker_knew_then(tracker: Tracker, life: Life) -> None:
    lived(tracker)
    states = set()
    for count, seen in enumerate(life.seen, start=1):
        found = replayed(life.records[:count])
        assert (found and found.transaction) == seen, life.records[count - 1]
        if found is not None:
            states.add((found.transaction["state"], (found.transaction["problem"] or {}).get("code")))
            assert found.explanation["state"] == found.transaction["state"]
            assert (found.offset, found.partition) == (life.records[count - 1].offset, MINE)
    assert states >= {
        ("AwaitingResults", None),
        ("AwaitingResults", "gap"),
        ("SendingCompletion", "storage-unavailable"),
        ("SendingCompletion", "overdue"),
    }


def test_history_names_what_happened_by_offset_and_what_it_became(tracker: Tracker, life: Life) -> None:
    lived(tracker)
    tracker.tell(told("n"))
    tracker.tell(delivered("Completed"))
    found = replayed(life.records)
    assert found is not None
    happened = [(each.kind, each.text.partition(":")[0], each.state) for each in found.history]
    assert happened == [
        ("PayloadsStaged", "Payloads came", "AwaitingResults"),
        ("PayloadsStaged", "Payloads came", None),
        ("HeaderReceived", "A header came.", None),
        ("Command", "ann asked to extend it.", None),
        ("MessageRefused", "A message was refused (bad-ordinal)", None),
        ("Time", "Payloads are missing", None),
        ("PayloadsStaged", "Payloads came", "SendingCompletion"),
        ("DeliveryRefused", "A delivery was refused (storage-unavailable)", None),
        ("Time", "The delivery is overdue", None),
        ("Told", "It was told or done", None),
        ("Delivered", "The outcome Completed was written and told.", "Completed"),
    ]
    assert [each.offset for each in found.history] == sorted(each.offset for each in found.history)
    assert found.history[0].text == "Payloads came: a 1, a 2."
    assert (found.records, found.transaction["state"]) == (9, "Completed")


def test_a_closed_one_is_shown_with_what_came_of_it_also_when_it_was_forgotten(tracker: Tracker, life: Life) -> None:
    tracker.tell(header(a=1))
    tracker.tell(payload("a", 1, of=1))
    tracker.tell(delivered("Completed"))
    for _ in range(2):
        found = replayed(life.records)
        assert found is not None
        assert found.transaction["state"] == "Completed"
        assert found.transaction["series"][0]["receivedCount"] == 1
        tracker.stalled(seconds=RETENTION_S + 1)
        tracker.tick()


def test_of_others_and_of_what_nobody_can_read_nothing_is_taken(tracker: Tracker, life: Life) -> None:
    tracker.tell(header(a=1))
    others = replace(life.records[0], key=b"T2", offset=90)
    broken = replace(life.records[0], value=b"{", offset=91)
    lied = replace(life.records[0], value=events.encode(replace(header(b=1), transaction="T2")), offset=92)
    found = replayed([*life.records, others, broken, lied])
    assert found is not None
    assert (found.records, found.offset, found.transaction["header"]["series"][0]["type"]) == (1, 92, "a")
    assert replayed(life.records, "T2") is None
    assert replayed([]) is None


def test_history_is_bounded(tracker: Tracker, life: Life) -> None:
    tracker.tell(header(a=1_000))
    for ordinal in range(1, HISTORY_MAX + 10):
        tracker.tell(payload("a", ordinal, of=1_000))
    found = replayed(life.records)
    assert found is not None
    assert len(found.history) == HISTORY_MAX
    assert found.history[-1] == Happened(life.records[-1].offset, found.at, "PayloadsStaged", "Payloads came: a 59.")
