"""Every Kafka topic on one screen: who writes it, who reads it, how long it is kept."""

from __future__ import annotations

from typing import Final

import msgspec
from aiokafka.partitioner import murmur2

from bridge.contract.events import topic_name

_DAY_MS: Final = 24 * 3600 * 1000
RECORD_MAX_BYTES: Final = 8 << 20
"""Of one record on any topic: an event or effect of 4 MiB, with room to spare. Brokers refuse 1 MiB by default."""


class TopicSpec(msgspec.Struct, frozen=True):
    """A topic as `brh setup` creates it."""

    name: str
    partitions: int
    config: dict[str, str]


class Topics(msgspec.Struct, frozen=True):
    """The names of one installation; the prefix is its namespace."""

    namespace: str
    partitions: int

    @property
    def tracker_group(self) -> str:
        """Consumer group and app id of the trackers."""
        return f"{self.namespace}-tracker"

    @property
    def delivery_group(self) -> str:
        """Consumer group and app id of the deliveries."""
        return f"{self.namespace}-delivery"

    @property
    def events(self) -> str:
        """Facts; bridges and deliveries write, trackers read."""
        return topic_name(self.namespace)

    @property
    def deliveries(self) -> str:
        """Effects; trackers write, deliveries read."""
        return f"{self.namespace}.deliveries"

    @property
    def outcomes(self) -> str:
        """Outcomes as CloudEvents; deliveries write, consumers read."""
        return f"{self.namespace}.outcomes"

    @property
    def parked(self) -> str:
        """Records that this version could not read, with where they came from; operators read."""
        return f"{self.namespace}.parked"

    def specs(self) -> tuple[TopicSpec, ...]:
        """All topics, the tables' changelogs included."""
        # The broker stamps events, so that all that is judged by time in a partition is judged by one clock.
        kept = {"cleanup.policy": "delete", "max.message.bytes": str(RECORD_MAX_BYTES)}
        events = {**kept, "retention.ms": str(14 * _DAY_MS), "message.timestamp.type": "LogAppendTime"}
        # Purely compact: with `delete` as well, an old table row would vanish.
        changelog = {"cleanup.policy": "compact", "max.message.bytes": str(RECORD_MAX_BYTES)}
        return (
            TopicSpec(self.events, self.partitions, events),
            TopicSpec(self.deliveries, self.partitions, {**kept, "retention.ms": str(3 * _DAY_MS)}),
            TopicSpec(self.outcomes, self.partitions, {**kept, "retention.ms": str(14 * _DAY_MS)}),
            TopicSpec(self.parked, 1, {**kept, "retention.ms": str(14 * _DAY_MS)}),
            TopicSpec(f"{self.tracker_group}-receipts-changelog", self.partitions, changelog),
            TopicSpec(f"{self.tracker_group}-transactions-changelog", self.partitions, changelog),
        )

    @property
    def of_tracker(self) -> dict[str, int]:
        """The topics that decide who owns a transaction, with the number of partitions that all of them must have."""
        changelogs = {each.name for each in self.specs() if each.config["cleanup.policy"] == "compact"}
        return dict.fromkeys([self.events, self.deliveries, *sorted(changelogs)], self.partitions)

    def partition_of(self, transaction_id: str) -> int:
        """The partition that a transaction belongs to, as every Kafka client's default partitioner says."""
        hashed: int = murmur2(transaction_id.encode())
        return (hashed & 0x7FFFFFFF) % self.partitions
