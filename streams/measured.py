"""What a Faust worker tells Prometheus: what the worker is asked for when somebody looks, and the route to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import faust
from aiohttp import web
from prometheus_client import Counter as CounterMetric

from bridge import metrics
from bridge.exposition import Exposition
from streams.counted import begin_type
from streams.hardened import lags, standing
from streams.partition import Partition
from streams.summary import merged
from tables.transaction import FINAL, State

_OF_TRANSACTIONS: Final = (metrics.TRANSACTIONS, metrics.OPEN, metrics.OLDEST_SECONDS, metrics.SENDING_SECONDS)
_OPEN: Final = tuple(state for state in State if state not in FINAL)


def serve_metrics(app: faust.App, look: Callable[[], None]) -> None:
    """`GET /metrics` from a tracker's web server; `look` sets what is asked for when somebody looks."""
    server: web.Application = app.web.web_app  # type: ignore[attr-defined]  # the aiohttp driver's
    server.router.add_get("/metrics", Exposition(metrics.Kind.TRACKER, look).get)


class TrackerLook:
    """The gauges of a tracker."""

    def __init__(
        self,
        app: faust.App,
        topic: str,
        owned: Callable[[], Iterable[int]],
        partition: Callable[[int], Partition | None],
    ) -> None:
        """`owned` are the partitions of `topic` that this worker has."""
        self._app = app
        self._worker = WorkerLook(app, topic)
        self._owned = owned
        self._partition = partition

    def __call__(self) -> None:
        """Set them."""
        now = datetime.now(UTC)
        numbers = set(self._owned())
        held = {number: found for number in numbers if (found := self._partition(number)) is not None}
        for each in (*_OF_TRANSACTIONS, metrics.WATERMARK_SECONDS):
            each.clear()
        # After a takeover nobody knows what there is until the tables are recovered and a record was taken. Told as 0,
        # it would look as if the transactions had gone.
        if len(held) == len(numbers):
            _look_at_transactions(held.values(), now)
        for number, partition in held.items():
            if partition.watermarks is not None and (reached := partition.watermarks.reached) is not None:
                metrics.WATERMARK_SECONDS.labels(str(number)).set((now - reached).total_seconds())
        metrics.RECOVERING.set(int(self._app.in_recovery or self._app.rebalancing))
        for name, table in self._app.tables.items():
            metrics.TABLE_ROWS.labels(name).set(len(table))
        missing = standing(self._app, joined=True).missing.values()
        metrics.RECOVERY_RECORDS.set(sum(highwater - offset for offset, highwater in missing))
        self._worker()


def _look_at_transactions(partitions: Iterable[Partition], now: datetime) -> None:
    partitions = list(partitions)
    tally = merged(each.tally() for each in partitions)
    for state in State:
        metrics.TRANSACTIONS.labels(state.value).set(tally.states.get(state.value, 0))
    counts: Counter[tuple[str, State]] = Counter()
    oldest: dict[str, datetime] = {}
    decided: dict[str, datetime] = {}
    for partition in partitions:
        for transaction in partition.transactions.values():
            kind = metrics.transaction_type(transaction.transaction_type)
            counts[kind, transaction.state] += 1
            oldest[kind] = min(transaction.created, oldest.get(kind, transaction.created))
            if transaction.verdict is not None:
                since = transaction.decided or transaction.updated
                decided[kind] = min(since, decided.get(kind, since))
    # Also those of which none is open any more, so that a graph falls to 0.
    for kind in metrics.transaction_type.values | oldest.keys():
        begin_type(kind)
        for state in _OPEN:
            metrics.OPEN.labels(kind, state.value).set(counts[kind, state])
    for gauge, moments in ((metrics.OLDEST_SECONDS, oldest), (metrics.SENDING_SECONDS, decided)):
        for kind, since in moments.items():
            gauge.labels(kind).set(max(0.0, (now - since).total_seconds()))


class WorkerLook:
    """What both kinds of workers have: partitions, and what Faust has counted.

    Faust has a sensor for Prometheus. It takes 25 us for each event, several times what Faust's own monitor takes,
    which counts the same and is there anyway: so that is read when somebody looks.
    """

    def __init__(self, app: faust.App, topic: str) -> None:
        """`topic` is the one whose partitions the worker has."""
        self._app = app
        self._topic = topic
        self._told: Counter[tuple[str, ...]] = Counter()

    def __call__(self) -> None:
        """Set and count it."""
        metrics.PARTITIONS.set(sum(tp.topic == self._topic for tp in self._app.consumer.assignment()))
        metrics.LAG.clear()
        for partition, lag in lags(self._app.consumer, self._topic).items():
            metrics.LAG.labels(str(partition)).set(lag)
        monitor = self._app.monitor
        for name, state in monitor.tables.items():
            totals = {"get": state.keys_retrieved, "set": state.keys_updated, "delete": state.keys_deleted}
            for operation, total in totals.items():
                self._tell(metrics.TABLE_OPERATIONS, total, name, operation)
        for topic, total in monitor.messages_sent_by_topic.items():
            self._tell(metrics.RECORDS_SENT, total, topic)
        self._tell(metrics.REBALANCES, self._app.rebalancing_count)

    def _tell(self, counter: CounterMetric, total: int, *labels: str) -> None:
        """What has been counted since the last look."""
        series = counter.labels(*labels) if labels else counter
        (described,) = counter.describe()
        name = (described.name, *labels)
        series.inc(total - self._told[name])
        self._told[name] = total
