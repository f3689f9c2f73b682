"""Clean up after a transaction whose outcome is written: every part that the outcome does not list is garbage.

Somebody may still be committing such parts: a delivery that was frozen before it could see the outcome, or one with
another verdict. A bare delete would be undone by it. So each part is first *fenced*: an empty blob in its place, by the
same create-only write that a commit is. That drops all blocks that are staged there, and whoever commits after it finds
either the fence or no blocks. Then the version that was there, fence or garbage, is deleted.

What this cannot stop is a commit of blocks that were all staged again behind the deletion of the fence. Whoever made it
finds the outcome next, because only a delivery commits and its last step is to decide, and then cleans up itself. So
the order is the promise: outcome, clean-up, notification, on every way through `streams.courier`, each time it is gone.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog

from bridge.blobs import BlobChanged, Blobs, BlobsUnavailable, Deletion, Exists
from bridge.contract.outbound import Outcome
from bridge.crash_points import crash_point
from bridge.layout import HEADER_BLOB, ORPHANS_BLOB, OUTCOME_BLOB, TOLD_BLOB, PartName, record_name
from streams.at_once import at_once

_log = structlog.get_logger()

ROUNDS_MAX: Final = 8
"""Of fence and deletion at one part; each further one means that somebody else was there in between."""
SAID_MAX: Final = 10
"""Names of other people's blobs in a line of the log."""


async def clean(blobs: Blobs, outcome: Outcome, parts_in_flight: int) -> int:
    """Remove what is staged or committed of the transaction and not in its outcome; again is harmless.

    Returns how many parts there were. Records stay. Raises BlobsError; what is removed by then stays so.
    """
    kept = {part.uri for series in outcome.series for part in series.parts}
    removed = 0
    after: str | None = None
    while True:
        page = await blobs.page(f"{outcome.transaction_id}/", after=after)
        garbage = [each.name for each in page.blobs if PartName.parse(each.name) and blobs.uri(each.name) not in kept]
        await at_once(parts_in_flight, [partial(remove_part, blobs, name) for name in garbage])
        removed += len(garbage)
        if (after := page.after) is None:
            break
    if removed:
        _log.info("transaction cleaned up", transaction=outcome.transaction_id, parts=removed)
    return removed


async def remove_part(blobs: Blobs, name: str) -> None:
    """Fence a part and delete it, staged or committed. Raises BlobsError."""
    for _ in range(ROUNDS_MAX):
        try:
            fence = await blobs.commit(name, [], content_type="application/octet-stream", metadata={})
        except BlobChanged:
            continue  # somebody else who cleans up has deleted our fence; blocks may have come behind it
        crash_point("delivery.part-fenced")
        etag = fence.there.etag if isinstance(fence, Exists) else fence.etag
        if await blobs.delete(name, etag) is not Deletion.CHANGED:
            crash_point("delivery.part-deleted")
            return
    raise BlobsUnavailable(f"{name} was there again after it was deleted, {ROUNDS_MAX} times: try again later")


async def remove_result(blobs: Blobs, transaction: str, parts_in_flight: int) -> None:
    """Remove all that a transaction has left, the outcome last: whatever is still there belongs to something known.

    Again is harmless. Raises BlobsError.
    """
    etags: dict[str, str] = {}
    after: str | None = None
    while True:
        page = await blobs.page(f"{transaction}/", after=after)
        parts = [each.name for each in page.blobs if PartName.parse(each.name)]
        await at_once(parts_in_flight, [partial(remove_part, blobs, name) for name in parts])
        etags |= {each.name: each.etag for each in page.blobs if each.name not in parts}
        if (after := page.after) is None:
            break
    crash_point("sweep.parts-removed")
    for record in (HEADER_BLOB, ORPHANS_BLOB, TOLD_BLOB, OUTCOME_BLOB):
        name = record_name(transaction, record)
        if (etag := etags.pop(name, None)) is not None:
            await blobs.delete(name, etag)
            crash_point("sweep.record-removed")
    _log.info("result removed", transaction=transaction, left=sorted(etags)[:SAID_MAX])
