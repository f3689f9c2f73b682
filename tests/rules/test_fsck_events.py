"""The events topic is folded anew, a partition at a time, and held against the rows."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from playbook import START, T1, delivered, header, payload, seconds
from tracker import MINE, PARTITIONS, RETENTION_S, SILENCE_S, Tracker

from bridge.memory_blobs import MemoryBlobs
from streams.fold import Fold
from streams.fsck import Limits, Report
from streams.fsck_events import Bounds, EventsRead, FsckEvents
from streams.queries import Row
from streams.record import Record
from streams.settings import TrackerSettings
from tables.policies import Policies

DAY = timedelta(days=1)


class Place:
    """What the tracker has taken, what it shows, and a log of which the beginning may be gone."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.records: list[Record] = []
        self.begin = 0
        self.waiting = 0
        """Records at the end that the trackers have not taken."""
        self.blobs = MemoryBlobs()
        self.now = START + seconds(60)
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens in the pause before a second look."""
        self.pauses: list[float] = []
        self.folds: list[weakref.ref[Fold]] = []

    async def transaction(self, transaction: str) -> Row | None:
        row: Row | None = self.tracker.shown.get(transaction)
        return row

    async def page(self, _: str | None) -> tuple[list[Row], str | None]:
        raise AssertionError("nothing is listed")

    async def read(self, partition: int, take: Callable[[Record], None]) -> Bounds:
        if partition != MINE:
            return Bounds(0, 0, 0)
        end = len(self.records)
        for record in self.records[self.begin : end - self.waiting]:
            take(record)
        return Bounds(self.begin, end - self.waiting, end)

    def fold(self, partition: int) -> Fold:
        gc.collect()
        assert [each for each in self.folds if each() is not None] == [], "one partition is held at a time"
        settings = TrackerSettings(partitions=PARTITIONS, bridge_silence_s=SILENCE_S, dedupe_retention_s=RETENTION_S)
        made = Fold(partition, settings, Policies())
        self.folds.append(weakref.ref(made))
        return made

    async def look(self, report: Report | None = None, **limits: Any) -> tuple[list[tuple[str, str]], EventsRead]:
        """Kinds and transactions of what was found, and what was read."""

        async def pause(pause_s: float) -> None:
            self.pauses.append(pause_s)
            self.meanwhile()

        report = report or Report(1_000)
        given = Limits(grace_s=0.0, remembered_s=RETENTION_S, **limits)
        run = FsckEvents(self.read, self.fold, self, self.blobs, given, now=lambda: self.now, pause=pause)
        read = await run.run(PARTITIONS, report)
        return [(each.kind.value, each.transaction_id) for each in report.findings], read


@pytest.fixture
def place(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tracker)
    take = tracker.assembler.take

    def kept(record: Record) -> None:
        place.records.append(record)
        take(record)

    monkeypatch.setattr(tracker.assembler, "take", kept)
    return place


def half(place: Place) -> None:
    for fact in (header(a=3), payload("a", 1, of=3), payload("a", 2, of=3)):
        place.tracker.tell(fact)
    place.tracker.stalled(seconds=2)
    place.tracker.tick()  # what it knows is shown


def without(place: Place, ordinal: int) -> None:
    """The tracker shows one payload less than it has heard of."""
    row = place.tracker.shown[T1]
    (series,) = row["series"]
    kept = [(each, each) for first, last in series["received"] for each in range(first, last + 1) if each != ordinal]
    place.tracker.shown[T1] = {**row, "series": [{**series, "received": kept, "receivedCount": len(kept)}]}


async def test_where_nothing_is_wrong_nothing_is_found_and_nobody_waits(place: Place) -> None:
    half(place)
    found, read = await place.look()
    assert (found, place.pauses) == ([], [])
    assert read == EventsRead(
        partitions=PARTITIONS, records=len(place.records), begins="2026-01-31T12:00:00.000Z", transactions=1
    )
    place.tracker.tell(payload("a", 3, of=3))
    place.tracker.tell(delivered("Completed"))
    assert (await place.look())[0] == []
    assert len(place.folds) == 2 * PARTITIONS


async def test_a_fact_that_the_row_does_not_have(place: Place) -> None:
    half(place)
    without(place, 2)
    report = Report(1_000)
    found, _ = await place.look(report)
    assert found == [("row-lacks-events", T1)]
    assert "series a 2." in report.findings[0].detail
    assert "`brh send T1 --only-missing`" in report.findings[0].remedy
    assert place.pauses == [5.0], "it was looked at a second time"


async def test_a_row_that_was_a_moment_behind_is_right_the_second_time(place: Place) -> None:
    half(place)
    right = place.tracker.shown[T1]
    without(place, 2)

    def shown() -> None:
        place.tracker.shown[T1] = right

    place.meanwhile = shown
    assert (await place.look())[0] == []
    assert len(place.pauses) == 1


async def test_one_that_is_closed_meanwhile_is_nothing(place: Place) -> None:
    half(place)
    without(place, 2)
    place.meanwhile = lambda: place.tracker.tell(delivered("Completed"))
    assert (await place.look())[0] == []


async def test_one_that_no_tracker_shows_unless_it_has_an_outcome(place: Place) -> None:
    half(place)
    place.tracker.shown.pop(T1)
    assert (await place.look())[0] == [("transaction-lost", T1)]
    await place.blobs.write_once(f"{T1}/_outcome.json", b"{}", content_type="application/json", metadata={})
    assert (await place.look())[0] == [], "it is closed: fsck of storage looks at that"


async def test_an_outcome_that_the_tracker_does_not_show_or_shows_otherwise(place: Place) -> None:
    half(place)
    row = place.tracker.shown[T1]
    place.tracker.tell(delivered("Completed"))
    place.tracker.shown[T1] = row
    assert (await place.look())[0] == [("row-lacks-events", T1)]
    place.tracker.shown[T1] = {**row, "state": "Failed"}
    assert (await place.look())[0] == [("row-contradicts-events", T1)]


async def test_what_the_trackers_have_not_taken_is_counted_and_not_missed(place: Place) -> None:
    half(place)
    place.tracker.stop()
    place.records.append(place.tracker.tell(payload("a", 3, of=3)))
    place.waiting = 1
    found, read = await place.look()
    assert (found, read.untaken, read.records) == ([], 1, len(place.records) - 1)
    place.waiting = 0
    assert (await place.look())[0] == [("row-lacks-events", T1)]


async def test_of_what_is_not_kept_nothing_is_missed_and_it_is_counted(place: Place) -> None:
    place.tracker.tell(header(a=3))
    place.tracker.stalled(seconds=1)
    half(place)
    without(place, 2)
    place.begin = 1
    found, read = await place.look()
    assert (found, read.removed, read.unjudged, read.transactions) == ([], 1, 1, 1)
    place.tracker.shown.pop(T1)
    place.now = START + DAY * 14
    found, read = await place.look()
    assert (found, read.unjudged) == ([], 1)
    place.begin = 0
    found, read = await place.look()
    assert (found, read.removed, read.unjudged) == ([("transaction-lost", T1)], 0, 0)


async def test_what_cannot_be_read_is_counted(place: Place) -> None:
    half(place)
    place.records.append(replace(place.records[-1], value=b"{"))
    found, read = await place.look()
    assert (found, read.unreadable) == ([], 1)


async def test_findings_beyond_the_limit_are_counted(place: Place) -> None:
    half(place)
    without(place, 2)
    report = Report(0)
    assert (await place.look(report))[0] == []
    assert report.more == 1


async def test_the_report_says_which_partition_is_read(place: Place) -> None:
    said: list[str] = []
    run = FsckEvents(
        place.read, place.fold, place, place.blobs, Limits(), progress=lambda report: said.append(report.doing)
    )
    await run.run(2, Report(1))
    assert said == ["events, partition 1 of 2", "events, partition 2 of 2"]
