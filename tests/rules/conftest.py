"""A tracker's host without Kafka, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tracker import Clock, Tracker, plain

from streams import assemble, partition
from tables import receipts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The monotonic clock of the worker."""
    clock = Clock()
    for module in (assemble, partition):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def tracker(clock: Clock) -> Iterator[Tracker]:
    """The owner of one partition, and everything around it."""
    tracker = Tracker(clock)
    yield tracker
    # Whatever a test did: the index is what the rows say, and every asked delivery reads back.
    for transaction in tracker.index().values():
        keys = [key for key in tracker.rows if receipts.transaction_of(key) == transaction.id]
        found = [receipts.read(tracker.rows[key]) for key in keys]
        assert plain(receipts.fold(transaction.id, found, tracker.policies)) == plain(transaction)
