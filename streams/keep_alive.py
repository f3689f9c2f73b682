"""Keep the staged blocks of a transaction from being dropped.

Azure drops what is uncommitted a week after the last Put Block on its blob, and a transaction may be open for longer:
so once in a while each such blob gets a block that means nothing. It has an id that no plan can name, the same one each
time, and is dropped by the commit.
"""

from __future__ import annotations

from functools import partial

from bridge.blobs import Blobs
from bridge.layout import EMPTY_MARKER, KEEP_ALIVE, PartName
from streams.at_once import at_once


async def keep_alive(blobs: Blobs, transaction: str, parts_in_flight: int) -> int:
    """Renew the week of every part of which nothing is committed; how many there were. Raises BlobsError."""
    renewed = 0
    after: str | None = None
    while True:
        page = await blobs.page(f"{transaction}/", after=after)
        # A part that is committed says something of itself, even when it is empty.
        names = [each.name for each in page.blobs if each.bare and PartName.parse(each.name)]
        await at_once(parts_in_flight, [partial(blobs.stage_block, name, KEEP_ALIVE, [EMPTY_MARKER]) for name in names])
        renewed += len(names)
        if (after := page.after) is None:
            return renewed
