"""`brh replay` over a log in memory: what is read, what is refused, and what people see."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from click.testing import CliRunner, Result
from playbook import T1, delivered, header, payload
from tracker import MINE, PARTITIONS, Tracker

from streams.cli import brh
from streams.cli.client import refused, unreachable
from streams.cli.errors import CliError

EVENTS = "brh.events"


class Log:
    """Stands for Kafka's consumer: the records of one partition, the first ones of which may be gone."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.begin = 0
        self.partitions = PARTITIONS
        self.trouble: Exception | None = None
        self.stopped = 0
        self._at = 0

    def __call__(self, **options: Any) -> Log:
        assert options.get("enable_auto_commit", False) is False
        return self

    async def start(self) -> None:
        if self.trouble:
            raise self.trouble

    async def stop(self) -> None:
        self.stopped += 1

    async def close(self) -> None:
        self.stopped += 1

    async def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        assert names == [EVENTS]
        return [{"partitions": [*range(self.partitions)]}]

    def assign(self, places: list[TopicPartition]) -> None:
        assert places == [TopicPartition(EVENTS, MINE)]

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.begin)

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, len(self.records))

    def seek(self, _: TopicPartition, offset: int) -> None:
        self._at = offset

    async def position(self, _: TopicPartition) -> int:
        return self._at

    async def getmany(self, place: TopicPartition, **_: int) -> dict[TopicPartition, list[Any]]:
        found = self.records[self._at : self._at + 2]
        self._at += len(found)
        return {place: found} if found else {}


Run = Callable[..., Result]
CREATED = "2026-01-31T12:00:00.000Z"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tracker: Tracker) -> Log:
    __import__("streams.cli.replay")
    log = Log()
    for client in ("AIOKafkaConsumer", "AIOKafkaAdminClient"):
        monkeypatch.setattr(f"streams.cli.events_log.{client}", log)
    monkeypatch.setenv("BRH_PARTITIONS", str(PARTITIONS))
    facts = header(a=2), payload("a", 1, of=2), payload("a", 2, of=2), delivered("Completed")
    for record in map(tracker.tell, facts):
        stamp = record.at.timestamp() * 1000
        fields = {"partition": MINE, "offset": record.offset, "timestamp": stamp}
        log.records.append(SimpleNamespace(**fields, key=record.key, value=record.value))
    return log


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def invoke(*arguments: str, created: str | CliError = CREATED) -> Result:
        class Api:
            async def transaction(self, _: str) -> dict[str, Any]:
                if isinstance(created, CliError):
                    raise created
                return {"timestamps": {"created": created}}

        @asynccontextmanager
        async def connected(_: str) -> AsyncIterator[Api]:
            yield Api()

        monkeypatch.setattr("streams.cli.replay.connected", connected)
        return CliRunner().invoke(brh, ["replay", *arguments])

    return invoke


def test_until_an_offset_it_is_what_it_was(log: Log, run: Run) -> None:
    states = []
    for until in range(4):
        found = json.loads(run(T1, "--until", str(until), "--json").stdout)
        assert (found["offset"], found["partition"], found["records"]) == (until, MINE, until + 1)
        states.append((found["transaction"]["state"], found["transaction"]["series"][0]["receivedCount"]))
    assert states == [("AwaitingResults", 0), ("AwaitingResults", 1), ("SendingCompletion", 2), ("Completed", 2)]
    assert json.loads(run(T1, "--json").stdout)["transaction"]["state"] == "Completed"
    assert log.stopped == 10


def test_people_see_the_state_what_was_missing_and_what_had_happened(log: Log, run: Run) -> None:
    result = run(T1, "--until", "1")
    assert result.stdout.splitlines() == [
        f"After offset 1 of partition {MINE}, 2026-01-31T12:00:00.000Z, by 2 events of it:",
        "",
        "T1  AwaitingResults",
        f"type default, created {CREATED}, changed {CREATED}",
        "",
        "a: 1 of 2 (50 %), 120 bytes",
        "  ▮▯",
        "  1 missing: 2",
        "",
        "Next deadline: 2026-01-31T12:10:00.000Z, when its gaps are told, unless something new comes.",
        "Waits until 2026-02-01T12:00:00.000Z at most.",
        "",
        "T1 waits for 1 of its 1 series.",
        "  Series a: 1 of 2 payloads: 2.",
        "",
        "Until then:",
        f"         0  {CREATED}  HeaderReceived -> AwaitingResults: A header came.",
        f"         1  {CREATED}  PayloadsStaged: Payloads came: a 1.",
    ]
    assert result.stderr.startswith("T1: ")
    assert "offset 0 of 1" in result.stderr


def told(result: Result) -> tuple[int, str]:
    """Exit code and code; an error says something, and what to do."""
    assert result.stdout == ""
    said, remedy = result.stderr.splitlines()[-2:]
    assert said.startswith("brh: ")
    assert remedy
    return result.exit_code, said.rpartition("(")[2].removesuffix(")")


def test_where_retention_has_removed_the_start_it_is_refused(log: Log, run: Run) -> None:
    log.begin = 1
    later = "2026-01-31T11:59:59.999Z"
    assert told(run(T1, "--json", created=later)) == (1, "history-cut")
    assert run(T1, created=CREATED).exit_code == 0, "what was removed was of others"
    assert told(run(T1, created=unreachable("http://x", "refused"))) == (4, "api-unreachable")
    unknown = refused(404, {"code": "unknown-transaction", "detail": "Nothing was ever heard of T1."})
    assert told(run(T1, created=unknown)) == (3, "unknown-transaction")


def test_what_is_all_there_needs_no_api(log: Log, run: Run) -> None:
    assert run(T1, created=unreachable("http://x", "refused")).exit_code == 0


def test_offsets_that_there_are_not_are_refused(log: Log, run: Run) -> None:
    log.begin = 1
    assert told(run(T1, "--until", "4")) == (2, "no-offset")
    assert told(run(T1, "--until", "0")) == (2, "no-offset")
    assert told(run(T1, "--until", "-1")) == (2, "usage")


def test_of_what_nobody_had_heard_there_is_nothing(log: Log, run: Run) -> None:
    for record in log.records:
        record.key = b"T2"
    assert told(run(T1)) == (3, "no-events")
    log.records = []
    assert told(run(T1)) == (3, "no-events")


def test_kafka_that_cannot_be_read_is_said(log: Log, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    log.trouble = KafkaConnectionError("connection refused")
    assert told(run(T1)) == (4, "kafka-unavailable")
    log.trouble = None
    monkeypatch.setattr("streams.cli.events_log.QUIET_MAX_S", 0.0)
    monkeypatch.setattr(log, "end_offsets", lambda places: _ends(places, 9))
    assert told(run(T1)) == (4, "kafka-unavailable")
    assert log.stopped == 4


async def _ends(places: list[TopicPartition], end: int) -> dict[TopicPartition, int]:
    return dict.fromkeys(places, end)


@pytest.mark.parametrize("count", [0, PARTITIONS + 1])
def test_another_count_of_partitions_is_another_partition(log: Log, run: Run, count: int) -> None:
    log.partitions = count
    assert told(run(T1)) == (2, "bad-settings")
