"""What a Faust worker tells Prometheus: what the worker is asked for when somebody looks, and the route to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import faust
from aiohttp import web

from bridge import metrics
from bridge.exposition import Exposition
from streams.hardened import lags
from streams.partition import Partition
from streams.summary import merged
from tables.transaction import State


def serve_metrics(app: faust.App, kind: metrics.Kind, look: Callable[[], None]) -> None:
    """`GET /metrics` from the app's web server; `look` sets what is asked for when somebody looks."""
    server: web.Application = app.web.web_app  # type: ignore[attr-defined]  # the aiohttp driver's
    server.router.add_get("/metrics", Exposition(kind, look).get)


class TrackerLook:
    """The gauges of a tracker."""

    def __init__(
        self,
        app: faust.App,
        topic: str,
        owned: Callable[[], Iterable[int]],
        partition: Callable[[int], Partition | None],
        late: Callable[[], int],
    ) -> None:
        """`owned` are the partitions of `topic` that this worker has; `late`: messages for closed transactions."""
        self._app = app
        self._topic = topic
        self._owned = owned
        self._partition = partition
        self._late = late

    def __call__(self) -> None:
        """Set them."""
        held = {number: found for number in self._owned() if (found := self._partition(number)) is not None}
        tally = merged(each.tally() for each in held.values())
        for state in State:
            metrics.TRANSACTIONS.labels(state.value).set(tally.states.get(state.value, 0))
        now = datetime.now(UTC)
        created = datetime.fromisoformat(tally.oldest.created) if tally.oldest else now
        metrics.OLDEST_SECONDS.set((now - created).total_seconds())
        metrics.WATERMARK_SECONDS.clear()
        for number, partition in held.items():
            if partition.watermarks is not None and (reached := partition.watermarks.reached) is not None:
                metrics.WATERMARK_SECONDS.labels(str(number)).set((now - reached).total_seconds())
        metrics.LATE.set(self._late())
        metrics.RECOVERING.set(int(self._app.in_recovery or self._app.rebalancing))
        for name, table in self._app.tables.items():
            metrics.TABLE_ROWS.labels(name).set(len(table))
        look_at_partitions(self._app, self._topic)


def look_at_partitions(app: faust.App, topic: str) -> None:
    """How many partitions of a topic this worker has, and how many of their records it has not read."""
    found = lags(app.consumer, topic)
    metrics.PARTITIONS.set(len(found))
    metrics.LAG.clear()
    for partition, lag in found.items():
        metrics.LAG.labels(str(partition)).set(lag)
