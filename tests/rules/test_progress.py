"""When a worker counts as one that stands still: never by being slow, and not by having nothing to do."""

from __future__ import annotations

from collections.abc import Mapping

from faust.types.tuples import TP

from streams.hardened import Limits
from streams.hardened.progress import EVENTS, KAFKA, LOOP, RECOVERY, Look, Progress, events

LIMITS = Limits(stall_s=60, partition_stall_s=600)
ONE, TWO = TP("events", 1), TP("events", 2)


class Watched:
    """Looks at a worker, ten seconds after each other."""

    def __init__(self) -> None:
        self.progress = Progress(LIMITS)
        self.now_s = 1_000.0

    def see(self, look: Look) -> list[object]:
        self.now_s += 10
        self.progress.see(look, self.now_s)
        return list(self.progress.late(self.now_s))

    def committed(self, offsets: Mapping[TP, tuple[int, int]]) -> list[object]:
        return self.see(events(offsets))


def test_a_worker_for_which_nothing_waits_is_never_late() -> None:
    watched = Watched()
    assert not any(watched.committed({ONE: (7, 7), TWO: (0, 0)}) for _ in range(1_000))


def test_a_worker_without_partitions_is_never_late() -> None:
    watched = Watched()
    assert not any(watched.committed({}) for _ in range(1_000))


def test_events_that_wait_while_nothing_is_committed_are_late_after_the_limit() -> None:
    watched = Watched()
    late = [watched.committed({ONE: (7, 8), TWO: (0, 0)}) for _ in range(8)]
    assert late == [[]] * 7 + [[EVENTS]]


def test_more_events_are_no_progress() -> None:
    watched = Watched()
    for number in range(7):
        assert not watched.committed({ONE: (7, 8 + number), TWO: (0, number)})
    assert watched.committed({ONE: (7, 15), TWO: (0, 7)}) == [EVENTS]


def test_a_worker_that_had_nothing_to_do_for_long_has_the_whole_limit_for_what_comes() -> None:
    watched = Watched()
    for _ in range(100):
        watched.committed({ONE: (7, 7)})
    assert not any(watched.committed({ONE: (7, 8)}) for _ in range(7))


def test_one_event_in_just_less_than_the_limit_is_progress() -> None:
    watched = Watched()
    assert not any(watched.committed({ONE: (7 + look // 6, 1_000)}) for look in range(600))


def test_a_partition_that_the_others_keep_waiting_has_a_longer_limit() -> None:
    watched = Watched()
    late = [watched.committed({ONE: (7, 8), TWO: (look, 1_000)}) for look in range(62)]
    assert late == [[]] * 61 + [[ONE]]


def test_a_recovery_is_late_when_none_of_its_partitions_comes_on() -> None:
    watched = Watched()
    for look in range(100):
        assert not watched.see({RECOVERY: (3, {ONE: (7, 9), TWO: (look, 1_000)})})
    late = [watched.see({RECOVERY: (3, {ONE: (7, 9)})}) for _ in range(8)]
    assert late == [[]] * 7 + [[RECOVERY]]


def test_a_rebalance_that_comes_to_another_generation_is_progress() -> None:
    watched = Watched()
    assert not any(watched.see({RECOVERY: (look // 6, {})}) for look in range(600))


def test_what_could_not_be_looked_at_has_not_come_on() -> None:
    """So a broker that answers now and then does not make everything new each time."""
    watched = Watched()
    watched.committed({ONE: (7, 8)})
    for _ in range(6):
        watched.now_s += 10
        watched.progress.see_nothing(KAFKA, watched.now_s)
        assert not watched.progress.late(watched.now_s)
    assert watched.committed({ONE: (7, 8)}) == [EVENTS]


def test_a_kafka_that_does_not_answer_is_late_after_the_limit_also_for_an_idle_worker() -> None:
    watched = Watched()
    watched.committed({ONE: (7, 7)})
    for number in range(8):
        watched.now_s += 10
        watched.progress.see_nothing(KAFKA, watched.now_s)
        assert list(watched.progress.late(watched.now_s)) == ([KAFKA] if number == 7 else [])


def test_what_is_in_the_way_of_looking_goes_before_what_it_hides() -> None:
    watched = Watched()
    watched.see({RECOVERY: (3, {})})
    for number in range(8):
        watched.now_s += 10
        watched.progress.see_nothing(LOOP, watched.now_s)
        assert list(watched.progress.late(watched.now_s)) == ([LOOP] if number == 7 else [])
