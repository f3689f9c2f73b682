"""Of a partition of the events topic that is read which the trackers have taken, and no more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError
from test_cli_replay import EVENTS, Log
from tracker import MINE, PARTITIONS

from streams.cli import events_log
from streams.cli.errors import CliError
from streams.cli.events_log import EventsLog
from streams.fsck_events import Bounds
from streams.settings import TrackerSettings

AT = TopicPartition(EVENTS, MINE)


class GroupLog(Log):
    """Knows how far the trackers are as well."""

    def __init__(self) -> None:
        super().__init__()
        self.committed: dict[TopicPartition, Any] = {}
        self.refused: Exception | None = None

    async def list_consumer_group_offsets(
        self, group: str, *, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, Any]:
        assert (group, partitions) == ("brh-tracker", [AT])
        if self.refused:
            raise self.refused
        return self.committed

    async def getmany(self, place: TopicPartition, **options: int) -> dict[TopicPartition, list[Any]]:
        self._at = max(self._at, self.begin)
        return await super().getmany(place, **options)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> GroupLog:
    log = GroupLog()
    for client in ("AIOKafkaConsumer", "AIOKafkaAdminClient"):
        monkeypatch.setattr(events_log, client, log)
    for offset in range(6):
        log.records.append(SimpleNamespace(partition=MINE, offset=offset, timestamp=0, key=b"T1", value=b"{}"))
    return log


def read() -> tuple[list[int], Bounds]:
    """The offsets that were read, and which there are."""
    taken: list[int] = []
    events = EventsLog(TrackerSettings(partitions=PARTITIONS), MINE)
    bounds = asyncio.run(events.read_taken(lambda record, *_: taken.append(record.offset)))
    return taken, bounds


@pytest.mark.parametrize(
    ("committed", "begin", "offsets", "taken"),
    [
        (4, 0, [0, 1, 2, 3], 4),
        (6, 0, [0, 1, 2, 3, 4, 5], 6),
        (4, 2, [2, 3], 4),
        (1, 2, [], 1),
        (0, 0, [], 0),
        (-1, 0, [], 0),
        (None, 0, [], 0),
        pytest.param(99, 0, [0, 1, 2, 3, 4, 5], 6, id="of a topic that was made anew"),
    ],
)
def test_what_the_trackers_have_taken_is_read(
    log: GroupLog, committed: int | None, begin: int, offsets: list[int], taken: int
) -> None:
    log.begin = begin
    log.committed = {} if committed is None else {AT: SimpleNamespace(offset=committed)}
    assert read() == (offsets, Bounds(begin, taken, 6))
    assert log.stopped == 2, "both clients are closed"


def test_whoever_may_not_ask_for_the_group_is_told_so(log: GroupLog) -> None:
    log.refused = GroupAuthorizationFailedError("not for you")
    with pytest.raises(CliError) as caught:
        read()
    assert (caught.value.code, "not for you" in caught.value.sentence) == ("kafka-unavailable", True)
    assert log.stopped == 2
