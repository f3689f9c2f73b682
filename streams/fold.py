"""Fold the records of one partition anew: the tracker's own assembler, on empty tables.

Only the facts count. What time has brought is passed over, because the tracker decided that by its own settings and by
what it had heard of the bridges since it came; without it the fold knows rather more, until an outcome closes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bridge.contract.events import Watermark
from streams.assemble import Assembler
from streams.partition import Partition
from streams.record import Record
from streams.settings import TrackerSettings
from tables import effects
from tables.policies import Policies
from tables.transaction import Transaction


class Fold:
    """Takes the records of one partition in their order; its open transactions are held in memory."""

    def __init__(self, partition: int, settings: TrackerSettings, policies: Policies) -> None:
        self.records = 0
        self.begins: datetime | None = None
        """When the broker took the first record."""
        self._partition = partition
        self._parked = _Parked()
        self._assembler = _Facts(_Rows(), _Nowhere(), self._parked, lambda: {partition}, settings, policies)

    @property
    def unreadable(self) -> int:
        """Records that could not be read, or are in the wrong partition; the tracker parks such."""
        return self._parked.count

    def take(self, record: Record) -> None:
        """Take one record."""
        self.records += 1
        self.begins = self.begins or record.at
        self._assembler.take(record)

    def told(self) -> Iterator[Transaction]:
        """What the records tell of: open transactions, and of closed ones the outcome.

        `created` of an open one is when the broker took the first record of it.
        """
        if (owned := self._assembler.partition(self._partition)) is None:
            return
        yield from owned.transactions.values()
        for transaction_id in owned.closed:
            known = self._assembler.known(transaction_id)
            assert known is not None, "a closed transaction keeps its outcome"
            yield known


class _Facts(Assembler):
    """Takes facts, and neither asks for anything nor shows anything."""

    def _watermark(self, owned: Partition, said: Watermark, record: Record) -> None:
        pass

    def _show(self, owned: Partition, transaction: Transaction, *, at_once: bool) -> None:
        pass

    def _ask(self, owned: Partition, transaction: Transaction, record: Record) -> None:
        pass


class _Rows(dict[str, Any]):
    """Of each fact only that it was there: a large transaction has a million, and only outcomes are read again."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value if value["kind"] == "outcome" else {"offset": value["offset"]})


class _Nowhere(dict[str, Any]):
    """Rows for people, which nobody looks at."""

    def __setitem__(self, key: str, value: Any) -> None:
        pass


class _Parked:
    """Counts what could not be read: it is in its topic since the tracker has come by."""

    def __init__(self) -> None:
        self.count = 0

    def deliver(self, effect: effects.Effect) -> None:
        """Nothing is asked for."""

    def park(self, record: Record, reason: str) -> None:
        self.count += 1
