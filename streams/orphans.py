"""`_orphans.json`: what came for a transaction and belongs to no result, kept until somebody has been told.

It is written once, before the outcome, and the outcome says that it is there: so whoever tells the outcome tells this
too, from storage alone, and every copy is the same. A record whose outcome does not name it was left behind by a
delivery that was not the first to decide; nobody is told of it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bridge.blobs import Blobs
from bridge.contract.outbound import Orphaned, OrphanSeries, OutcomeCode
from bridge.layout import ORPHANS_BLOB, record_name
from bridge.unreadable import read
from tables.effects import Deliver

_decoder: Final = msgspec.json.Decoder(Orphaned)


async def keep_orphans(blobs: Blobs, effect: Deliver) -> None:
    """Write the record, unless one is there. Raises BlobsError."""
    orphaned = Orphaned(
        transaction_id=effect.transaction,
        transaction_type=effect.transaction_type,
        reason=effect.problem.code if effect.problem else OutcomeCode.UNKNOWN_SERIES,
        series=tuple(
            OrphanSeries(
                each.series,
                each.total_count,
                each.received_count,
                each.bytes,
                each.received,
                each.ranges_truncated,
            )
            for each in effect.orphans
        ),
    )
    name, body = record_name(effect.transaction, ORPHANS_BLOB), msgspec.json.encode(orphaned)
    await blobs.write_once(name, body, content_type="application/json", metadata={})


async def find_orphans(blobs: Blobs, transaction: str) -> Orphaned | None:
    """The record, if it is there. Raises BlobsError, Unreadable."""
    content = await blobs.read(record_name(transaction, ORPHANS_BLOB))
    return read_orphans(content.body) if content else None


def read_orphans(body: bytes) -> Orphaned:
    """The record in a blob. Raises Unreadable."""
    return read(_decoder, body)
