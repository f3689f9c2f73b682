"""Taking one staged payload into its series: new, duplicate, or in conflict with what came first. Pure."""

from __future__ import annotations

from enum import Enum, auto

from msgspec.structs import replace

from bridge.contract.events import Staged
from bridge.layout import BlockId, marker_id, part_of
from tables import ordinals
from tables.contents import digest
from tables.effects import block_hash
from tables.transaction import PartTally, Series


class Taken(Enum):
    """What became of a staged payload."""

    NEW = auto()
    DUPLICATE = auto()
    OTHER_BYTES = auto()
    """The ordinal is there already, with other content."""
    OTHER_TOTAL = auto()
    """The series is known to have another total count."""


def block_ids(staged: Staged) -> tuple[str, ...]:
    """Ids of the blocks that hold a staged payload."""
    nsub = len(staged.blocks)
    return tuple(
        str(BlockId(staged.first, staged.count, sub, nsub, int(crc64, 16))) for sub, crc64 in enumerate(staged.blocks)
    )


def staged_ids(staged: Staged) -> tuple[str, ...]:
    """Ids of what is staged in the blob, the marker of an empty payload included."""
    return block_ids(staged) or (str(marker_id(staged.first)),)


def take(series: Series, staged: Staged) -> tuple[Series, Taken]:
    """The series after a staged payload. What came first stays; the loser's blocks are excluded from the commit."""
    content = digest(staged.sizes[0], staged.crc64s[0])
    known = series.contents.get(staged.first)
    if series.total_count not in (None, staged.total_count):
        return _exclude(series, staged, same_content=known == content), Taken.OTHER_TOTAL
    if known is None:
        return _add(series, staged, content), Taken.NEW
    if known == content:
        return series, Taken.DUPLICATE
    return _exclude(series, staged, same_content=False), Taken.OTHER_BYTES


def _exclude(series: Series, staged: Staged, *, same_content: bool) -> Series:
    """Exclude a loser's blocks, but none that the accepted payload has as well: it could never be committed."""
    if not staged.blocks:
        return series if same_content else replace(series, excluded=series.excluded | set(staged_ids(staged)))
    accepted = series.contents.blocks(staged.first)
    if same_content and not accepted:
        accepted = staged.blocks[:1]
    same_cut = len(accepted) == len(staged.blocks)  # the id of a block says how many there are
    lost = {
        block_id
        for sub, block_id in enumerate(block_ids(staged))
        if not (same_cut and accepted[sub] == staged.blocks[sub])
    }
    return replace(series, excluded=series.excluded | lost) if lost else series


def _add(series: Series, staged: Staged, content: bytes) -> Series:
    ids = block_ids(staged)
    part = part_of(staged.first, staged.total_count)
    tally = series.parts.get(part, PartTally())
    tally = PartTally(
        ordinals=tally.ordinals + 1,
        blocks=tally.blocks + len(ids),
        bytes=tally.bytes + staged.sizes[0],
        digest=(tally.digest + sum(map(block_hash, ids))) % (1 << 128),
    )
    return replace(
        series,
        total_count=staged.total_count,
        received=series.received | ordinals.interval(staged.first, 1),
        received_count=series.received_count + 1,
        bytes=series.bytes + staged.sizes[0],
        contents=series.contents.with_payload(staged.first, content, staged.blocks),
        parts={**series.parts, part: tally},
        # Bytes that lost against another total count may be the very ones that are accepted now.
        excluded=series.excluded - set(staged_ids(staged)) if series.excluded else series.excluded,
    )
