"""What a tracker tells whoever looks: what it does not know is absent, never 0."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.sensors.monitor import Monitor
from faust.types.tuples import TP
from playbook import delivered, header, payload, run
from tracker import MINE, OTHERS, SILENCE_S, Tracker, sending

from bridge import metrics
from bridge.registries import Bounded
from streams.hardened import lags
from streams.measured import TrackerLook
from tests.support.counted import counts, gauged

TOPIC = "brh.events"


class Consumer:
    """What it was given, how far it has read, and where Kafka says that partitions end."""

    def __init__(self, ends: dict[int, int | None], read: dict[int, int]) -> None:
        self._ends = {TP(TOPIC, number): end for number, end in ends.items()}
        self._read_offset: dict[TP, int | None] = {TP(TOPIC, number): at for number, at in read.items()}

    def assignment(self) -> set[TP]:
        return {*self._ends, TP("other", 0)}

    def highwater(self, tp: TP) -> int | None:
        return self._ends.get(tp)


class Tables(dict[str, Any]):
    """None, and what is known of their recovery."""

    _recovery: Any = None


class App:
    """Faust's, as far as anybody looks at it."""

    def __init__(self, ends: dict[int, int | None]) -> None:
        self.consumer = Consumer(ends, {})
        self.tables = Tables()
        self.in_recovery = self.rebalancing = self.should_stop = False
        self.consumer_generation_id = self.rebalancing_count = 0
        self.monitor = Monitor()


@pytest.fixture(autouse=True)
def _types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "transaction_type", Bounded(metrics.TYPES_MAX))


def look(tracker: Tracker, ends: dict[int, int | None] | None = None) -> None:
    looking(tracker, App(ends if ends is not None else {MINE: 0}))()


def looking(tracker: Tracker, app: Any) -> TrackerLook:
    return TrackerLook(app, TOPIC, lambda: tracker.owned, tracker.assembler.partition)


def test_open_transactions_are_told_by_type_and_state(tracker: Tracker) -> None:
    tracker.tell(payload("a", 1, of=2))
    look(tracker)
    assert gauged(metrics.OPEN)["default", "AwaitingResults"] == 1
    tracker.tell(header(a=2, kind="valuation"))
    look(tracker)
    found = gauged(metrics.OPEN)
    assert (found["valuation", "AwaitingResults"], found["valuation", "SendingCompletion"]) == (1, 0)
    assert found["default", "AwaitingResults"] == 0
    assert set(gauged(metrics.OLDEST_SECONDS)) == {("valuation",)}
    assert gauged(metrics.TRANSACTIONS)[("AwaitingResults",)] == 1


def test_how_long_a_verdict_waits_counts_from_the_verdict(tracker: Tracker) -> None:
    tracker.tell(payload("a", 1, of=1))
    look(tracker)
    assert gauged(metrics.SENDING_SECONDS) == {}
    tracker.passes(seconds=600)
    tracker.tell(header(a=1, kind="valuation"))
    look(tracker)
    open_s, sending_s = gauged(metrics.OLDEST_SECONDS)["valuation",], gauged(metrics.SENDING_SECONDS)["valuation",]
    assert open_s - sending_s == pytest.approx(600, abs=5)
    tracker.passes(seconds=1_800)  # it is asked for again and again, and waits all the same
    look(tracker)
    assert gauged(metrics.SENDING_SECONDS)["valuation",] == pytest.approx(sending_s, abs=5)
    tracker.start()
    tracker.tick()
    look(tracker)
    assert gauged(metrics.SENDING_SECONDS)["valuation",] == pytest.approx(sending_s, abs=5)
    tracker.tell(delivered("Completed"))
    look(tracker)
    assert gauged(metrics.SENDING_SECONDS) == {}


@pytest.mark.parametrize(
    "gauge",
    [metrics.TRANSACTIONS, metrics.OPEN, metrics.OLDEST_SECONDS, metrics.SENDING_SECONDS],
    ids=lambda gauge: gauge._name,
)
def test_what_a_tracker_does_not_know_after_a_takeover_is_absent(tracker: Tracker, gauge: Any) -> None:
    sending(tracker)
    look(tracker)
    assert gauged(gauge)
    tracker.assembler.forget()
    look(tracker)
    assert not gauged(gauge)
    tracker.tick()
    look(tracker)
    assert gauged(gauge)
    tracker.owned = {MINE, OTHERS}  # one more, of which nothing is known yet
    look(tracker)
    assert not gauged(gauge)


def test_the_lag_of_a_partition_is_absent_until_something_was_fetched(tracker: Tracker) -> None:
    assert lags(Consumer({0: None, 1: 10, 2: 10, 3: 0}, {1: 6, 3: 4}), TOPIC) == {1: 3, 2: 10, 3: 0}
    look(tracker, {0: None, 1: 10})
    assert gauged(metrics.LAG) == {("1",): 10}
    assert gauged(metrics.PARTITIONS) == {(): 2}


async def test_what_faust_has_counted_is_told_once(tracker: Tracker) -> None:
    app = App({})
    look = looking(tracker, app)
    table: Any = SimpleNamespace(name="receipts")
    for looks in (1, 2):
        app.rebalancing_count += 1
        for _ in range(3):
            app.monitor.on_table_get(table, "k")
        app.monitor.on_table_set(table, "k", {})
        app.monitor.on_send_initiated(None, "brh.deliveries", None, 1, 1)  # type: ignore[arg-type]
        with (
            counts(metrics.TABLE_OPERATIONS, 3, table="receipts", operation="get"),
            counts(metrics.TABLE_OPERATIONS, 1, table="receipts", operation="set"),
            counts(metrics.TABLE_OPERATIONS, 0, table="receipts", operation="delete"),
            counts(metrics.RECORDS_SENT, 1, topic="brh.deliveries"),
            counts(metrics.REBALANCES, 1),
        ):
            look()
        assert looks


def test_how_much_a_recovery_still_has_to_read_is_told(tracker: Tracker) -> None:
    app = App({})
    log, other, unknown = TP("log", 0), TP("log", 1), TP("log", 2)
    app.tables._recovery = SimpleNamespace(
        active_offsets={log: 10, other: 5}, active_highwaters={log: 100, other: 5, unknown: 7}
    )
    looking(tracker, app)()
    assert gauged(metrics.RECOVERY_RECORDS) == {(): 90}
    app.tables._recovery = None
    looking(tracker, app)()
    assert gauged(metrics.RECOVERY_RECORDS) == {(): 0}


def test_what_is_new_of_a_transaction_is_counted_by_its_type(tracker: Tracker) -> None:
    tracker.tell(header(a=3, kind="valuation"))
    of_type = {"transaction_type": "valuation"}
    with counts(metrics.DUPLICATES, 2, **of_type), counts(metrics.CONFLICTS, 0), counts(metrics.GAPS, 0):
        tracker.tell(payload("a", 1, of=3))
        tracker.tell(payload("a", 1, of=3))
        tracker.tell(payload("a", 1, of=3), payload("a", 2, of=3))
    with counts(metrics.GAPS, 1, **of_type), counts(metrics.DUPLICATES, 0):
        tracker.bridge_says()
        tracker.passes(seconds=SILENCE_S + 1)
        tracker.passes(hours=1)
    with counts(metrics.CONFLICTS, 1, **of_type), counts(metrics.GAPS, 0):
        tracker.tell(payload("a", 2, of=3, body="y"))
    with counts(metrics.CONFLICTS, 0):
        tracker.tell(payload("a", 2, of=3, body="z"))
        tracker.tell(payload("a", 1, of=3))


def test_every_fact_that_contradicts_is_counted_by_type_and_code(tracker: Tracker) -> None:
    def losing(count: int, code: str, kind: str = "valuation") -> Any:
        return counts(metrics.CONFLICTING_FACTS, count, transaction_type=kind, code=code)

    with losing(1, "conflicting-payload", "default"):
        tracker.tell(payload("a", 1, of=3), payload("a", 1, of=3, body="y"), payload("a", 1, of=3))
    with losing(1, "conflicting-total-count"), losing(0, "conflicting-payload"):
        tracker.tell(header(a=4, b=2, kind="valuation", on_conflict="keep-first"))
    with losing(3, "conflicting-payload"), losing(1, "conflicting-total-count"):
        tracker.tell(payload("a", 1, of=3, body="y"), payload("a", 1, of=3, body="z"), payload("b", 1, of=3))
        tracker.tell(run("a", 1, "y", "y", of=3))
    with losing(2, "unknown-series"), losing(0, "conflicting-payload"):
        tracker.tell(payload("u", 1, of=1), payload("u", 1, of=1, body="y"))
    with losing(2, "conflicting-header"):
        tracker.tell(header(a=3, conflicting="other"))
        tracker.tell(header(a=3, conflicting="other"))


def test_contradictions_are_counted_once_there_is_a_verdict_and_not_of_what_is_closed(tracker: Tracker) -> None:
    tracker.tell(header(a=1))
    of_type = {"transaction_type": "default", "code": "conflicting-payload"}
    tracker.tell(payload("a", 1, of=1))
    with counts(metrics.CONFLICTING_FACTS, 2, **of_type), counts(metrics.CONFLICTS, 0):
        tracker.tell(payload("a", 1, of=1, body="y"))
        tracker.tell(payload("a", 1, of=1, body="y"))
    tracker.tell(delivered("Completed"))
    with counts(metrics.CONFLICTING_FACTS, 0):
        tracker.tell(payload("a", 1, of=1, body="y"))


def test_a_contradiction_that_is_read_again_after_a_crash_is_not_counted_again(tracker: Tracker) -> None:
    tracker.tell(header(a=2, on_conflict="keep-first"))
    tracker.tell(payload("a", 1, of=2))
    records = [tracker.tell(payload("a", 1, of=2, body=body)) for body in "yz"]
    tracker.start()
    with counts(metrics.CONFLICTING_FACTS, 0):
        for record in records:
            tracker.assembler.take(record)
    with counts(metrics.CONFLICTING_FACTS, 1, transaction_type="default", code="conflicting-payload"):
        tracker.tell(payload("a", 1, of=2, body="y"))


def test_what_a_tracker_finds_in_its_tables_is_not_news(tracker: Tracker) -> None:
    tracker.tell(payload("a", 1, of=3))
    tracker.tell(payload("a", 1, of=3))
    tracker.tick()
    with counts(metrics.DUPLICATES, 0):
        tracker.start()
        tracker.tick()
        tracker.tell(payload("a", 2, of=3))
