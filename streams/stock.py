"""What storage holds of a transaction that has no outcome, part by part."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from itertools import groupby
from typing import NamedTuple

from bridge.blobs import Blobs, Block
from bridge.contract.events import HeaderReceived
from bridge.layout import PartName, part_name
from streams.found import Found, found, total_counts

_NOTHING = Found((), ())


class Stocked(NamedTuple):
    """One part."""

    part: PartName
    total_counts: frozenset[int]
    """Of its series: one number, more where messages contradict each other, none where nothing is staged."""
    found: Found
    """Nothing, unless there is one total count."""
    committed: bool
    """Its blocks are no list any more, they are a blob."""


def announced(header: HeaderReceived | None) -> dict[str, int]:
    """The total counts that a header says."""
    specs = header.header.series if header else ()
    return {spec.type: spec.total_count for spec in specs if spec.total_count is not None}


async def part_names(blobs: Blobs, transaction: str) -> list[tuple[PartName, bool]]:
    """Every part of a transaction, and whether it is committed. Raises BlobsError."""
    names: list[tuple[PartName, bool]] = []
    after: str | None = None
    while True:
        page = await blobs.page(f"{transaction}/", after=after)
        # A part that is committed says something of itself, even when it is empty.
        names += [(part, not blob.bare) for blob in page.blobs if (part := PartName.parse(blob.name)) is not None]
        if (after := page.after) is None:
            return names


async def stock(blobs: Blobs, transaction: str, totals: Mapping[str, int]) -> AsyncIterator[Stocked]:
    """The parts of a transaction, one after the other, so that no more than one list of blocks is held.

    Args:
        blobs: the container.
        transaction: its id.
        totals: total counts that are known already; what is staged with others is left out.

    Raises:
        BlobsError: as the storage does.
    """
    names = await part_names(blobs, transaction)
    for series, parts in groupby(names, key=lambda each: each[0].series):
        mine = list(parts)
        lists: dict[PartName, list[Block]] = {}
        said = frozenset({totals[series]} if series in totals else ())
        for part, committed in mine:
            if series not in totals and not committed:
                blocks = await blobs.uncommitted(part_name(*part))
                said |= total_counts(part, blocks)
                lists = {part: blocks} if len(mine) == 1 else {}
        for part, committed in mine:
            if committed or len(said) != 1:
                yield Stocked(part, said, _NOTHING, committed)
                continue
            name = part_name(*part)
            blocks = lists.get(part) or await blobs.uncommitted(name)
            # Blocks that are gone may have been committed since the parts were listed.
            since = not blocks and await blobs.properties(name) is not None
            yield Stocked(part, said, found(part, min(said), blocks), since)
