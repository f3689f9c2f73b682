"""What a tracker tells whoever looks: what it does not know is absent, never 0."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types.tuples import TP
from playbook import header, payload
from tracker import MINE, OTHERS, Tracker, sending

from bridge import metrics
from bridge.registries import Bounded
from streams.hardened import lags
from streams.measured import TrackerLook
from tests.support.counted import gauged

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


@pytest.fixture(autouse=True)
def _types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "transaction_type", Bounded(metrics.TYPES_MAX))


def look(tracker: Tracker, ends: dict[int, int | None] | None = None) -> None:
    tables = {"receipts": tracker.rows, "transactions": tracker.shown}
    consumer = Consumer(ends if ends is not None else {MINE: 0}, {})
    app: Any = SimpleNamespace(consumer=consumer, tables=tables, in_recovery=False, rebalancing=False)
    TrackerLook(app, TOPIC, lambda: tracker.owned, tracker.assembler.partition)()


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


@pytest.mark.parametrize("gauge", [metrics.TRANSACTIONS, metrics.OPEN, metrics.OLDEST_SECONDS], ids=lambda g: g._name)
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
