"""Records that this version cannot read: put aside with where they came from, never dropped, never in the way."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

log = logging.getLogger(__name__)


class Origin(msgspec.Struct, frozen=True):
    """Where a record was read."""

    topic: str
    partition: int
    offset: int


def park(parked_topic: Any, origin: Origin, key: bytes | None, value: bytes | None, reason: str) -> Any:
    """Copy the record to the topic of parked ones; awaiting what is returned waits for the acknowledgement."""
    log.error("parked %s/%d@%d: %s", origin.topic, origin.partition, origin.offset, reason)
    headers = {name: str(field).encode() for name, field in msgspec.structs.asdict(origin).items()}
    headers["reason"] = reason.encode()
    return parked_topic.send_soon(key=key, value=value, headers=headers, partition=0)
