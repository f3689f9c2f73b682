"""The world that a courier tells things, in memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from bridge.contract.outbound import CloudEvent
from bridge.notices import NoticesUnavailable


class Posted:
    """Stands for RabbitMQ and Kafka: keeps what is published."""

    def __init__(self, *, missing_queues: Collection[str] = (), unroutable: bool = False) -> None:
        self.sent: list[tuple[str, CloudEvent]] = []
        """Routing key, `queue:` and the name of a queue, or `kafka`; and what went there."""
        self.missing_queues = set(missing_queues)
        self.unroutable = unroutable
        self.confirms = True

    async def publish(self, event: CloudEvent, routing_key: str, *, queue: str | None = None) -> bool:
        """As `bridge.notices.Notices` does."""
        if not self.confirms:
            raise NoticesUnavailable("not confirmed")
        if queue in self.missing_queues or (queue is None and self.unroutable):
            return False
        self.sent.append((f"queue:{queue}" if queue is not None else routing_key, event))
        return True

    async def publish_outcome(self, transaction: str, event: CloudEvent) -> None:
        """As `streams.post.PublishOutcome` does."""
        assert event.subject == transaction
        self.sent.append(("kafka", event))

    def at(self, place: str) -> list[dict[str, Any]]:
        """The events that went to a place, as their readers see them."""
        return [msgspec.json.decode(msgspec.json.encode(event)) for where, event in self.sent if where == place]

    @property
    def places(self) -> list[str]:
        return [where for where, _ in self.sent]
