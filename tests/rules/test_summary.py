"""Counts by state, the oldest open one and rates: counted as it goes, whole or not at all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from http_trackers import HttpTracker, entry, two_trackers
from hypothesis import given
from hypothesis import strategies as st
from playbook import START, T1, command, delivered, header, payload
from tracker import MINE, RETENTION_S, Tracker

from streams.pace import WINDOW_S, Counts, Pace
from streams.partition import Partition
from streams.recovery import recover
from streams.summary import Oldest, Tally, merged, summary
from streams.topics import Topics
from tables.policies import DEFAULTS
from tables.rules import opened
from tables.transaction import State

NONE = dict.fromkeys((state.value for state in State), 0)


def states(partition: Partition | None) -> dict[str, int]:
    assert partition is not None
    return {state: count for state, count in partition.tally().states.items() if count}


def test_each_transaction_is_counted_once_in_the_state_that_it_is_in(tracker: Tracker) -> None:
    tracker.tell(header(a=2))
    partition = tracker.assembler.partition(MINE)
    assert states(partition) == {"AwaitingResults": 1}
    tracker.tell(payload("a", 1, of=2))
    assert states(partition) == {"AwaitingResults": 1}
    tracker.tell(payload("a", 2, of=2))
    assert states(partition) == {"SendingCompletion": 1}
    tracker.tell(delivered("Completed"))
    tracker.tell(payload("a", 2, of=2))
    assert states(partition) == {"Completed": 1}
    recovered = recover(tracker.rows, tracker.shown, {MINE}, Topics("brh", 8), DEFAULTS, START, RETENTION_S)[MINE]
    assert states(recovered) == {"Completed": 1}
    assert sum(each.opened + each.closed for each in recovered.tally().seconds) == 0, "it has come before"


def test_what_is_forgotten_is_not_counted_any_more(tracker: Tracker) -> None:
    tracker.tell(header(a=1))
    tracker.tell(payload("a", 1, of=1))
    tracker.tell(delivered("Completed"))
    partition = tracker.assembler.partition(MINE)
    assert partition is not None
    assert partition.forget(START + timedelta(seconds=2 * RETENTION_S)) == [T1]
    assert states(partition) == {}


def test_the_pace_counts_what_is_new_and_nothing_that_repeats_it(tracker: Tracker) -> None:
    for fact in (header(a=3), payload("a", 1, of=3), payload("a", 1, of=3), payload("a", 3, of=3), command("cancel")):
        tracker.tell(fact)
    partition = tracker.assembler.partition(MINE)
    assert partition is not None
    total = Counts()
    for each in partition.tally().seconds:
        total.add(each)
    known = tracker.index()[T1].series["a"]
    assert (total.payloads, total.bytes) == (known.received_count, known.bytes) == (2, total.bytes)
    assert (total.opened, total.closed) == (1, 0)
    tracker.tell(delivered("Abandoned", "cancelled"))
    assert sum(each.closed for each in partition.tally().seconds) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), max_size=60), st.floats(0, 100))
def test_a_pace_is_what_a_list_of_everything_would_say(steps: list[tuple[float, int]], rest_s: float) -> None:
    now_s = 1_000.5
    pace = Pace(now_s)
    noted: list[tuple[int, int]] = []
    for pause_s, count in steps:
        now_s += pause_s
        pace.note(Counts(payloads=count), now_s)
        noted.append((int(now_s), count))
    now_s += rest_s
    seconds = pace.seconds(now_s)
    assert len(seconds) == min(WINDOW_S, int(now_s) - 1_000 + 1)
    by_second = Counter[int]()
    for second, count in noted:
        by_second[second] += count
    first = int(now_s) - len(seconds) + 1
    assert [each.payloads for each in seconds] == [by_second[second] for second in range(first, int(now_s) + 1)]


def test_what_owners_have_counted_adds_up_from_the_newest_second_on() -> None:
    old = Oldest("2026-01-31T12:00:00.000Z", "T1", "default", "AwaitingResults", "x")
    new = Oldest("2026-01-31T12:00:00.001Z", "T0", "default", "AwaitingResults", "x")
    one = Tally({"AwaitingResults": 2, "Failed": 1}, new, [Counts(1), Counts(2), Counts(3)])
    other = Tally({"AwaitingResults": 1, "SendingCompletion": 4}, old, [Counts(10, 100, 1, 2)])
    nothing = Tally({}, None, [])
    for order in ([one, other, nothing], [nothing, other, one]):
        found = summary(merged([Tally(each.states, each.oldest, [*map(copied, each.seconds)]) for each in order]))
        assert found["states"] == NONE | {"AwaitingResults": 3, "Failed": 1, "SendingCompletion": 4}
        assert (found["open"], found["oldestOpen"]["transactionId"]) == (7, "T1")
        assert found["rates"]["seconds"] == {"payloads": [1, 2, 13], "bytes": [0, 0, 100]}
        assert (found["rates"]["payloadsPerS"], found["rates"]["closedPerS"]) == (16 / 3, 2 / 3)
    assert summary(merged([]))["oldestOpen"] is None


def copied(counts: Counts) -> Counts:
    again = Counts()
    again.add(counts)
    return again


@pytest.fixture
async def trackers() -> AsyncIterator[list[HttpTracker]]:
    async with two_trackers([], entry, entry) as both:
        for number in range(8):
            both[number % 2].partitions[number] = filled(number, 3)
        yield both


def filled(number: int, count: int) -> Partition:
    partition = Partition()
    for at in range(count):
        partition.put(opened(f"T{number}-{at}", START + timedelta(seconds=number * count + at), DEFAULTS))
    return partition


async def test_whoever_is_asked_it_is_over_all_partitions(trackers: list[HttpTracker]) -> None:
    for tracker in trackers:
        status, found = await tracker.get("/v1/summary")
        assert (status, found["states"]) == (200, NONE | {"AwaitingResults": 24})
        assert found["oldestOpen"]["transactionId"] == "T0-0"


@pytest.mark.parametrize("trouble", ["unseen", "recovering", "gone"])
async def test_it_is_never_a_part(trackers: list[HttpTracker], trouble: str) -> None:
    asked, other = trackers
    match trouble:
        case "unseen":
            del other.partitions[3]
        case "recovering":
            other.app.in_recovery = True
        case "gone":
            spread = asked.spread
            del spread[other.url]
    status, problem = await asked.get("/v1/summary")
    assert (status, problem["code"]) == (503, "not-ready")


async def test_ten_thousand_open_ones_are_summed_in_a_fraction_of_the_time_allowed(trackers: list[HttpTracker]) -> None:
    for number in range(8):
        trackers[number % 2].partitions[number] = filled(number, 1_250)
    took_s = []
    for _ in range(5):
        began_s = time.perf_counter()
        status, found = await trackers[0].get("/v1/summary")
        took_s.append(time.perf_counter() - began_s)
        assert (status, found["open"]) == (200, 10_000)
    assert min(took_s) < 0.1, "300 ms are allowed, on any machine"
