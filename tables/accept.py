"""Taking a staged payload, or a run of small ones, into its series: new, duplicate, or in conflict. Pure.

What came first stays, ordinal by ordinal. Of the facts that agree the largest tiles stay (see `tables.contents`), so a
series is the same whatever the order in which they came.

A run of which one ordinal is in conflict is in conflict as a whole, because a block can only be committed as a whole.
Its other ordinals then stay missing where nobody else staged them: the gap is told like any other, and a payload that
is sent again fills it.
"""

from __future__ import annotations

from enum import Enum, auto

from msgspec.structs import replace

from bridge.contract.events import Staged
from bridge.layout import BlockId, marker_id, part_of
from tables import ordinals
from tables.contents import Content
from tables.effects import block_hash
from tables.transaction import PartTally, Series


class Taken(Enum):
    """What became of a staged payload or run."""

    NEW = auto()
    """It brought an ordinal at least; those that were known already had the same content."""
    DUPLICATE = auto()
    """Every ordinal was known, with the same content."""
    OTHER_BYTES = auto()
    """An ordinal is there already, with other content."""
    OTHER_TOTAL = auto()
    """The series is known to have another total count."""


def block_ids(staged: Staged) -> tuple[str, ...]:
    """Ids of the blocks that hold what is staged."""
    nsub = len(staged.blocks)
    return tuple(
        str(BlockId(staged.first, staged.count, sub, nsub, int(crc64, 16))) for sub, crc64 in enumerate(staged.blocks)
    )


def staged_ids(staged: Staged) -> tuple[str, ...]:
    """Ids of what is staged in the blob, the marker of an empty payload included."""
    return block_ids(staged) or (str(marker_id(staged.first)),)


def take(series: Series, staged: Staged) -> tuple[Series, Taken]:
    """The series after a fact. What came first stays; the loser's blocks are remembered, to be left uncommitted."""
    if series.total_count not in (None, staged.total_count):
        return _lose(series, staged), Taken.OTHER_TOTAL
    known, said = series.contents.known(staged.first, staged.count), contents(staged)
    if _differing(known, said) is not None:
        return _lose(series, staged), Taken.OTHER_BYTES
    if series.contents.tile(staged.first) >= staged.count:
        return series, Taken.DUPLICATE  # tiles are nested or disjoint, so this one lies within the one that is there
    return _add(series, staged, known, said), Taken.NEW if None in known else Taken.DUPLICATE


def differing(series: Series, staged: Staged) -> int | None:
    """Which of the fact's ordinals, counted from 0, is the first that is known with other content."""
    return _differing(series.contents.known(staged.first, staged.count), contents(staged))


def excluded(series: Series) -> tuple[str, ...]:
    """Ids of staged blocks that must not be committed, in ascending order.

    Those of facts that lost, but none that an accepted fact has as well: the id of a run does not tell where in its
    block one payload ends, and what lost against another total count may be accepted with the right one.
    """
    return tuple(sorted(lost for lost in series.lost if not _is_accepted(series, lost)))


def _is_accepted(series: Series, block_id: str) -> bool:
    lost = BlockId.parse(block_id)
    assert lost is not None, "only ids of ours are remembered"
    return series.contents.tile(lost.first) == lost.count and lost in series.contents.blocks(lost.first, lost.count)


def _differing(known: list[Content | None], said: list[Content]) -> int | None:
    pairs = enumerate(zip(known, said, strict=True))
    return next((place for place, (old, new) in pairs if old is not None and old != new), None)


def contents(staged: Staged) -> list[Content]:
    """What each ordinal of the fact contains."""
    return [bytes.fromhex(crc64) if size else b"" for size, crc64 in zip(staged.sizes, staged.crc64s, strict=True)]


def _lose(series: Series, staged: Staged) -> Series:
    return replace(series, lost=series.lost | set(staged_ids(staged)))


def _add(series: Series, staged: Staged, known: list[Content | None], said: list[Content]) -> Series:
    """Accept the fact: what it brings is counted, and the tiles that lie within it leave the part for its own."""
    own = block_ids(staged)
    nested = [str(block) for block in series.contents.blocks(staged.first, staged.count) if block.nsub]
    fresh = [size for size, old in zip(staged.sizes, known, strict=True) if old is None]
    part = part_of(staged.first, staged.total_count)
    tally = series.parts.get(part, PartTally())
    tally = PartTally(
        ordinals=tally.ordinals + len(fresh),
        blocks=tally.blocks + len(own) - len(nested),
        bytes=tally.bytes + sum(fresh),
        digest=(tally.digest + sum(map(block_hash, own)) - sum(map(block_hash, nested))) % (1 << 128),
    )
    return replace(
        series,
        total_count=staged.total_count,
        received=series.received | ordinals.interval(staged.first, staged.count),
        received_count=series.received_count + len(fresh),
        bytes=series.bytes + sum(fresh),
        contents=series.contents.with_tile(staged.first, said, staged.blocks),
        parts={**series.parts, part: tally},
    )
