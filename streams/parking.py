"""Records that cannot be taken: put aside with where they came from, never dropped, never in the way.

The header `reason` says why, with a code in parentheses at its end:

newer-version       it is of a version that this release does not know
unknown-type        this release knows no such record
unreadable          it is no record at all
bad-transaction-id  it names no transaction
misplaced           it is in a partition that its transaction does not belong to

Where the reason speaks of a row, the record is fine, and the code is that of the row. What was parked because it is of
another release can be published again, key and value as they are, when a release runs that knows it; what is in storage
`brh fsck --rebuild` publishes again.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from bridge import metrics

_log = structlog.get_logger()


class Origin(msgspec.Struct, frozen=True):
    """Where a record was read."""

    topic: str
    partition: int
    offset: int


def park(parked_topic: Any, origin: Origin, key: bytes | None, value: bytes | None, reason: str) -> Any:
    """Copy the record to the topic of parked ones; awaiting what is returned waits for the acknowledgement.

    `reason` is a sentence that ends with a code in parentheses.
    """
    _log.error("record parked", **msgspec.structs.asdict(origin), reason=reason)
    headers = {name: str(field).encode() for name, field in msgspec.structs.asdict(origin).items()}
    headers["reason"] = reason.encode()
    metrics.PARKED.inc()
    return parked_topic.send_soon(key=key, value=value, headers=headers, partition=0)
