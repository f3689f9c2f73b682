"""What the watch over a worker's progress does about what it sees, with a worker and a Kafka that are played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types.tuples import TP

from streams.hardened import EXIT_STALLED, EXIT_SURROUNDINGS, Limits, watchdog
from streams.hardened.watchdog import Watchdog

EVENTS = TP("events", 0)
CHANGELOG = TP("t-rows-changelog", 0)


class Ended(Exception):
    """In place of the end of the process."""


class Kafka:
    """A log in which records stand at some offsets only."""

    def __init__(self) -> None:
        self.committed = 0
        self.end = 0
        self.records: set[int] = set()
        self.answers = True
        self.asked = 0

    async def offsets(self, partitions: Collection[TP]) -> dict[TP, tuple[int, int]]:
        self._answer()
        return dict.fromkeys(partitions, (self.committed, self.end))

    async def first_record(self, partition: TP, start: int, end: int) -> int | None:
        self._answer()
        self.asked += 1
        return min((record for record in self.records if start <= record < end), default=None)

    def _answer(self) -> None:
        if not self.answers:
            raise KafkaConnectionError

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[Any]:
        self._answer()
        yield self


class Recovery:
    """Faust's, as far as the watch goes."""

    def __init__(self) -> None:
        self.in_recovery = False
        self.active_offsets: dict[TP, int] = {}
        self.active_highwaters: dict[TP, int] = {}


class App:
    """A worker with one partition."""

    def __init__(self) -> None:
        self.recovery = Recovery()
        self.tables = SimpleNamespace(_recovery=self.recovery)
        self.consumer = SimpleNamespace(assignment=lambda: {EVENTS, CHANGELOG})
        self.consumer_generation_id = 1
        self.should_stop = self.rebalancing = False

    @property
    def in_recovery(self) -> bool:
        return self.recovery.in_recovery


class Play:
    """A watch over both; time passes when it is told to."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.kafka, self.app = Kafka(), App()
        self.fence: Any = SimpleNamespace(accepted_s=0.0)
        self.now_s = 100.0
        patch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        patch.setattr(watchdog, "end_process", self._end)
        clients: Any = self.kafka.clients
        self._watchdog = Watchdog(self.app, self.fence, Limits(stall_s=60, quiet_s=3), clients)
        self.outside: Any = self.kafka

    @staticmethod
    def _end(code: int, why: str, error: BaseException | None = None) -> None:
        assert code in {EXIT_STALLED, EXIT_SURROUNDINGS}
        raise Ended(why)

    async def look(self, times: int = 1, *, beat: bool = True) -> None:
        """Every ten seconds."""
        for _ in range(times):
            self.now_s += 10
            self.fence.accepted_s = self.now_s if beat and self.fence.accepted_s is not None else self.fence.accepted_s
            await self._watchdog._look(asyncio.get_running_loop(), self.outside)
            await asyncio.sleep(0)  # what was handed to the loop of the app


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return Play(monkeypatch)


async def test_a_worker_that_does_not_commit_what_waits_ends(play: Play) -> None:
    play.kafka.end, play.kafka.records = 3, {0, 1, 2}
    with pytest.raises(Ended, match=r"for 70 s \(BRH_STALL_MAX_S\): record 0 of events/0 waits"):
        await play.look(8)


async def test_markers_of_transactions_are_nothing_that_waits(play: Play) -> None:
    play.kafka.committed, play.kafka.end = 3, 4
    await play.look(100)
    assert play.kafka.asked == 1  # and not with every look


async def test_a_record_behind_markers_waits(play: Play) -> None:
    play.kafka.committed, play.kafka.end = 3, 4
    await play.look(20)
    play.kafka.end, play.kafka.records = 6, {5}
    with pytest.raises(Ended, match="record 5 of events/0"):
        await play.look(8)


async def test_a_recovery_whose_last_offsets_hold_no_record_goes_on(play: Play) -> None:
    recovery = play.app.recovery
    recovery.in_recovery = True
    recovery.active_offsets[CHANGELOG], recovery.active_highwaters[CHANGELOG] = 4, 9
    play.kafka.records = {3, 4, 10}
    await play.look(3)
    assert recovery.active_offsets[CHANGELOG] == 9


async def test_a_recovery_that_has_not_got_a_record_is_not_led_past_it_and_ends(play: Play) -> None:
    recovery = play.app.recovery
    recovery.in_recovery = True
    recovery.active_offsets[CHANGELOG], recovery.active_highwaters[CHANGELOG] = 4, 9
    play.kafka.records = {3, 4, 7}
    await play.look(3)
    assert recovery.active_offsets[CHANGELOG] == 4
    with pytest.raises(Ended, match="record 7 of t-rows-changelog/0 does not arrive"):
        await play.look(8)
    assert play.kafka.asked == 1


async def test_a_recovery_that_has_come_on_meanwhile_is_left_alone(play: Play) -> None:
    recovery = play.app.recovery
    recovery.in_recovery = True
    recovery.active_offsets[CHANGELOG], recovery.active_highwaters[CHANGELOG] = 4, 9

    async def first_record(partition: TP, start: int, end: int) -> None:
        recovery.active_offsets[CHANGELOG] = 6

    play.outside = SimpleNamespace(first_record=first_record, offsets=play.kafka.offsets)
    await play.look(2)
    assert recovery.active_offsets[CHANGELOG] == 6


async def test_a_long_recovery_is_not_asked_for_anything_while_it_comes_on(play: Play) -> None:
    recovery = play.app.recovery
    recovery.in_recovery = play.app.rebalancing = True
    recovery.active_highwaters[CHANGELOG] = 1_000
    for offset in range(200):
        recovery.active_offsets[CHANGELOG] = offset
        await play.look()
    assert play.kafka.asked == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda play: setattr(play.fence, "accepted_s", None), "its group has not taken it in"),
        (lambda play: setattr(play.app, "rebalancing", True), "a rebalance or a recovery stands still"),
        (lambda play: setattr(play.app, "should_stop", True), "it was asked to stop and has not"),
    ],
)
async def test_a_worker_that_does_not_come_on_in_another_stage_ends(play: Play, change: Any, why: str) -> None:
    change(play)
    with pytest.raises(Ended, match=why):
        await play.look(8)


async def test_a_member_without_heartbeats_ends(play: Play) -> None:
    with pytest.raises(Ended, match="its group has accepted no heartbeat"):
        await play.look(9, beat=False)


async def test_a_start_waits_for_kafka_and_not_for_ever(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_RETRY_S", 0)
    answers_s = play.now_s + 50

    @asynccontextmanager
    async def late() -> AsyncIterator[Any]:
        play.now_s += 10
        if play.now_s < answers_s:
            raise KafkaConnectionError
        yield SimpleNamespace(partition_counts=counted)

    async def counted(topics: Collection[str]) -> dict[str, int]:
        return {topic: there[topic] for topic in topics if topic in there}

    there = {"events": 4, "rows": 4, "others": 9}
    watch = Watchdog(play.app, play.fence, Limits(stall_s=60), late)
    await watch.kafka({"events": 4, "rows": 4})
    answers_s = play.now_s + 500
    with pytest.raises(Ended, match="Kafka has not answered for 70 s"):
        await watch.kafka({"events": 4})
    answers_s = play.now_s
    with pytest.raises(Ended, match="rows has 4 and not 5"):
        await watch.kafka({"events": 4, "rows": 5})
    with pytest.raises(Ended, match="were not there for 70 s: effects"):
        await watch.kafka({"events": 4, "effects": 4})
