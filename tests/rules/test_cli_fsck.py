"""`brh fsck`: what it prints, its exit codes, and what it does when a system does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from click.testing import CliRunner, Result

from bridge.blobs import BlobsRefused, BlobsUnavailable
from bridge.contract.events import TransactionEvent, encode
from bridge.contract.outbound import rfc3339
from bridge.facts import FactsUnavailable
from bridge.settings import SettingsError
from streams.cli import brh
from streams.cli import fsck as module
from streams.cli.client import refused, unreachable
from streams.cli.errors import CliError
from streams.fsck_events import Bounds
from streams.queries import cursor, parse_listing
from streams.record import Record
from streams.topics import Topics
from tests.support.installation import Installation
from tests.support.result import Result as Transaction

UNKNOWN = refused(404, {"code": "unknown-transaction", "detail": "Nothing was ever heard of it."})
NOT_READY = refused(503, {"code": "not-ready", "detail": "recovering 1 of 8 partitions"})


class Api:
    """The API of the installation's trackers."""

    def __init__(self, here: Installation) -> None:
        self._here = here
        self.trouble: list[Exception] = []
        """What the next calls answer instead."""

    async def transaction(self, transaction: str) -> Any:
        self._fail()
        row = await self._here.transaction(transaction)
        if row is None:
            raise UNKNOWN
        return row

    async def transactions(self, params: dict[str, str]) -> Any:
        self._fail()
        rows, after = await self._here.page(parse_listing(params.items()).after or None)
        return {"transactions": rows, "next": cursor(after) if after else None}

    def _fail(self) -> None:
        if self.trouble:
            raise self.trouble.pop(0)


@pytest.fixture
def here() -> Installation:
    return Installation()


@pytest.fixture
def api(here: Installation) -> Api:
    return Api(here)


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, here: Installation, api: Api) -> Run:
    @asynccontextmanager
    async def given(value: Any) -> AsyncIterator[Any]:
        yield value

    async def at_once(_: float) -> None:
        pass

    monkeypatch.setattr(module, "AzureBlobs", lambda _: given(here.blobs))
    monkeypatch.setattr(module, "connected", lambda _: given(api))
    monkeypatch.setattr(module, "Facts", lambda _: given(here))
    monkeypatch.setattr("asyncio.sleep", at_once)
    for looking in (module.Fsck, module.FsckEvents):
        monkeypatch.setitem(looking.__init__.__kwdefaults__, "pause", at_once)  # type: ignore[misc]  # of a class
    return lambda *arguments: CliRunner().invoke(brh, ["fsck", *arguments])


def half(here: Installation, name: str) -> Transaction:
    one = Transaction({"a": [b"a1", b"a2", b""]}, name=name)

    async def send() -> None:
        await here.header(one)
        await here.payloads(one, "a", [1, 3])

    asyncio.run(send())
    return one


def test_nothing_wrong_is_exit_code_0(here: Installation, run: Run) -> None:
    for number in range(5):
        half(here, f"T{number}")
    answer = run()
    assert (answer.exit_code, answer.stdout) == (0, "5 transactions, 0 findings.\n")
    answer = run("--json")
    nothing = {"transactions": 0, "headers": 0, "payloads": 0, "unclear": 0, "outcomes": 0}
    assert json.loads(answer.stdout) == {"findings": [], "more": 0, "transactions": 5, "rebuildable": nothing}


def test_findings_are_exit_code_5_and_nothing_is_published(here: Installation, run: Run) -> None:
    half(here, "T1")
    half(here, "T2")
    here.lose_kafka()
    answer = run()
    assert answer.exit_code == 5
    assert answer.stdout.splitlines() == [
        "transaction-unknown (2). `brh fsck --rebuild` publishes again what storage tells.",
        "  T1: No tracker knows it. In storage there is its header, and what is staged for its parts: 1.",
        "  T2: No tracker knows it. In storage there is its header, and what is staged for its parts: 1.",
        "2 transactions, 2 findings.",
        "Can be published again with --rebuild: 2 headers, 4 payloads and 0 outcomes of 2 transactions.",
    ]
    assert here.known == {}
    answer = run("--json", "--limit", "1")
    document = json.loads(answer.stdout)
    assert (answer.exit_code, document["more"], document["rebuildable"]["payloads"]) == (5, 1, 4)
    (found,) = document["findings"]
    assert found.keys() == {"kind", "transactionId", "detail", "remedy"}
    assert (found["kind"], found["transactionId"]) == ("transaction-unknown", "T1")
    assert "1 findings more" in run("--limit", "1").stdout


def test_what_a_rebuild_mends_is_no_finding_any_more(here: Installation, run: Run) -> None:
    half(here, "T1")
    here.lose_kafka()
    answer = run("--rebuild")
    assert answer.exit_code == 0, answer.output
    assert "Published again: 1 header, 2 payloads and 0 outcomes of 1 transaction." in answer.stdout
    assert list(here.known) == ["T1"]
    answer = run("--rebuild", "--json")
    assert json.loads(answer.stdout)["rebuilt"]["transactions"] == 0


def test_what_a_rebuild_cannot_mend_stays_a_finding(here: Installation, run: Run) -> None:
    one = half(here, "T1")
    asyncio.run(here.closed(one))
    asyncio.run(here.remove(one.part("a")))
    here.lose_kafka()
    answer = run("--rebuild", "--grace", "0s", "--json")
    assert answer.exit_code == 5
    assert [each["kind"] for each in json.loads(answer.stdout)["findings"]] == ["part-missing"]
    assert list(here.known) == ["T1"]


def test_an_api_that_is_not_ready_is_waited_for(here: Installation, api: Api, run: Run) -> None:
    half(here, "T1")
    api.trouble = [NOT_READY, NOT_READY]
    assert run().exit_code == 0
    assert api.trouble == []


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (unreachable("http://x", "connection refused"), 4, "api-unreachable"),
        (BlobsUnavailable("storage is away"), 4, "blobs-unavailable"),
        (BlobsRefused("no such container"), 1, "blobs-refused"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_system_that_does_not_answer_ends_it_with_one_sentence(
    here: Installation, api: Api, run: Run, error: Exception, code: int, said: str
) -> None:
    half(here, "T1")
    api.trouble = [error]
    answer = run("--json")
    assert (answer.exit_code, answer.stdout) == (code, "")
    assert f"({said})" in answer.stderr


@pytest.mark.parametrize("error", [FactsUnavailable("no acknowledgement"), KafkaConnectionError("away")])
def test_kafka_that_takes_no_facts_is_exit_code_4(here: Installation, run: Run, error: Exception) -> None:
    half(here, "T1")
    here.lose_kafka()

    async def publish(_: object) -> None:
        raise error

    here.publish = publish  # type: ignore[method-assign,assignment]  # Kafka is away
    answer = run("--rebuild")
    assert (answer.exit_code, answer.stdout) == (4, "")
    assert "(kafka-unavailable)" in answer.stderr
    assert run().exit_code == 5, "looking needs no Kafka"


def test_topics_that_are_not_there_are_a_setting_to_correct(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def missing(_: object) -> None:
        raise SettingsError("topic brh.events cannot be read: run `brh setup`")

    monkeypatch.setattr(module, "Facts", missing)
    result = run("--rebuild")
    assert (result.exit_code, "(bad-settings)" in result.stderr) == (2, True)


# --- the events topic


class Events:
    """The topic: everything that was published. Its last records may not have been taken, its first ones be gone."""

    def __init__(self, here: Installation) -> None:
        self.records: list[Record] = []
        self.begin = 0
        self.untaken = 0
        self.trouble: CliError | None = None
        self._topics = Topics("brh", 64)
        self._publish = here.publish

    async def publish(self, event: TransactionEvent) -> None:
        partition = self._topics.partition_of(event.transaction)
        at = datetime.now(UTC) - timedelta(seconds=1)  # a row is never older than the record
        self.records.append(Record(partition, len(self.records), at, event.transaction.encode(), encode(event)))
        await self._publish(event)

    def log(self, _: object, partition: int) -> Any:
        """Stands for an `EventsLog`."""
        events = self

        class Log:
            async def read_taken(self, take: Callable[[Record, int, int], None]) -> Bounds:
                if events.trouble:
                    raise events.trouble
                mine = [each for each in events.records if each.partition == partition]
                for record in mine[: len(mine) - events.untaken]:
                    take(record, 0, 0)
                begin = events.begin if mine else 0
                return Bounds(begin, begin + len(mine) - events.untaken, begin + len(mine)) if mine else Bounds(0, 0, 0)

        return Log()


@pytest.fixture
def events(here: Installation, monkeypatch: pytest.MonkeyPatch) -> Events:
    events = Events(here)
    monkeypatch.setattr(here, "publish", events.publish)
    monkeypatch.setattr(module, "EventsLog", events.log)
    return events


def test_the_events_are_read_when_asked_for(here: Installation, events: Events, run: Run) -> None:
    half(here, "T1")
    assert "Events" not in run().stdout
    answer = run("--events")
    begins = rfc3339(events.records[0].at)
    said = f"Events: 3 records since {begins} in 64 partitions, of 1 transaction.\n"
    assert (answer.exit_code, answer.stdout) == (0, "1 transaction, 0 findings.\n" + said)
    document = json.loads(run("--events", "--json").stdout)
    assert document["events"] == {
        **{"partitions": 64, "records": 3, "begins": begins, "removed": 0},
        **{"untaken": 0, "unreadable": 0, "transactions": 1, "unjudged": 0},
    }


def test_what_only_the_events_tell_is_a_finding(here: Installation, events: Events, run: Run) -> None:
    half(here, "T1")
    here.lose_kafka()
    for name in list(here.blobs._committed):
        asyncio.run(here.remove(name))
    here.blobs._staged.clear()
    answer = run("--events")
    assert answer.exit_code == 5
    assert answer.stdout.splitlines()[:2] == [
        "transaction-lost (1). `brh fsck --rebuild` publishes again what storage tells. "
        "Where storage has nothing of it, `brh send TXN` sends all of it again.",
        f"  T1: The events tell of it since {rfc3339(events.records[0].at)}: its header and 2 payloads.",
    ]
    assert [each["kind"] for each in json.loads(run("--events", "--json").stdout)["findings"]] == ["transaction-lost"]


def test_what_a_rebuild_has_published_again_is_no_finding_of_the_events(
    here: Installation, events: Events, run: Run
) -> None:
    half(here, "T1")
    here.lose_kafka()
    kinds = [each["kind"] for each in json.loads(run("--events", "--json").stdout)["findings"]]
    assert kinds == ["transaction-unknown", "transaction-lost"]
    answer = run("--events", "--rebuild")
    assert (answer.exit_code, "0 findings." in answer.stdout) == (0, True), answer.output


def test_what_the_events_could_not_tell_is_said(here: Installation, events: Events, run: Run) -> None:
    half(here, "T1")
    events.begin, events.untaken = 7, 1
    events.records.insert(0, Record(events.records[0].partition, 0, events.records[0].at, b"T1", b"{"))
    answer = run("--events")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines()[2:] == [
        "  Not kept any more: 7 records before that.",
        "  Not read, because the trackers have not taken them yet: 1 record.",
        "  Not readable, or in the wrong partition: 1 record.",
    ]


def test_a_topic_that_cannot_be_read_is_said(here: Installation, events: Events, run: Run) -> None:
    events.trouble = CliError("Kafka cannot be read: x", code="kafka-unavailable", remedy="Wait.", exit_code=4)
    answer = run("--events")
    assert (answer.exit_code, answer.stdout, "(kafka-unavailable)" in answer.stderr) == (4, "", True)
    assert run().exit_code == 0
