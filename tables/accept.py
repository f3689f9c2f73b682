"""Taking a staged payload, or a run of small ones, into its series: new, duplicate, or in conflict. Pure.

What came first stays, ordinal by ordinal. Of the facts that agree the largest tiles stay (see `tables.contents`), so a
series is the same whatever the order in which they came.

A run of which one ordinal is in conflict is in conflict as a whole, because a block can only be committed as a whole.
Its other ordinals then stay missing where nobody else staged them: the gap is told like any other, and a payload that
is sent again fills it.

A run that was found in storage tells nothing of its ordinals one by one. So it is taken only where nothing is known
yet. What comes later can be compared with it where it tells of the whole run; a payload by itself is a duplicate.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from msgspec.structs import replace

from bridge.checksums import combine
from bridge.contract.events import Staged
from bridge.layout import BlockId, part_of
from tables import ordinals
from tables.contents import UNSEEN, Content
from tables.effects import block_hash, content_hash
from tables.transaction import PartTally, Series

_MODULUS: Final = 1 << 128


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
    UNPROVEN = auto()
    """A run that was found in storage, and something else is known of one of its ordinals: that stays."""


def block_ids(staged: Staged) -> tuple[str, ...]:
    """Ids of the blocks that hold what is staged."""
    nsub = len(staged.blocks)
    return tuple(
        str(BlockId(staged.total_count, staged.first, staged.count, sub, nsub, int(crc64, 16)))
        for sub, crc64 in enumerate(staged.blocks)
    )


def take(series: Series, staged: Staged) -> tuple[Series, Taken]:
    """The series after a fact. What came first stays, and of a loser nothing is kept: a plan says what is accepted."""
    if series.total_count not in (None, staged.total_count):
        return series, Taken.OTHER_TOTAL
    known, said = series.contents.known(staged.first, staged.count), contents(staged)
    if _differing(series, staged, known, said) is not None:
        return series, Taken.OTHER_BYTES
    if series.contents.tile(staged.first) >= staged.count:
        return series, Taken.DUPLICATE  # tiles are nested or disjoint, so this one lies within the one that is there
    if staged.found and known != [None] * staged.count:
        return series, Taken.UNPROVEN
    return _add(series, staged, known, said), Taken.NEW if None in known else Taken.DUPLICATE


def differing(series: Series, staged: Staged) -> int | None:
    """Which of the fact's ordinals, counted from 0, is the first that is known with other content."""
    return _differing(series, staged, series.contents.known(staged.first, staged.count), contents(staged))


def _differing(series: Series, staged: Staged, known: list[Content | None], said: list[Content]) -> int | None:
    for place, (old, new) in enumerate(zip(known, said, strict=True)):
        if old not in (None, UNSEEN, new) and new != UNSEEN:
            return place
    return _other_run(series, staged) if UNSEEN in known and not staged.found else None


def _other_run(series: Series, staged: Staged) -> int | None:
    """Where the fact tells of all ordinals of a run that was found in storage, and of other bytes than it has."""
    if series.contents.tile(staged.first) > staged.count:
        return None
    for block in series.contents.blocks(staged.total_count, staged.first, staged.count):
        at, crc64 = block.first - staged.first, 0
        if series.contents.get(block.first) == UNSEEN:
            for place in range(at, at + block.count):
                crc64 = combine(crc64, int(staged.crc64s[place], 16), staged.sizes[place])
            if crc64 != block.crc64:
                return at
    return None


def contents(staged: Staged) -> list[Content]:
    """What each ordinal of the fact contains."""
    if staged.found:
        return [UNSEEN] * staged.count
    return [bytes.fromhex(crc64) if size else b"" for size, crc64 in zip(staged.sizes, staged.crc64s, strict=True)]


def _add(series: Series, staged: Staged, known: list[Content | None], said: list[Content]) -> Series:
    """Accept the fact: what it brings is counted, and the tiles that lie within it leave the part for its own."""
    own = block_ids(staged)
    nested = [
        str(block) for block in series.contents.blocks(staged.total_count, staged.first, staged.count) if block.nsub
    ]
    fresh = [place for place, old in enumerate(known) if old is None]
    size = staged.run_bytes or sum(staged.sizes[place] for place in fresh)
    part = part_of(staged.first, staged.total_count)
    tally = series.parts.get(part, PartTally())
    tally = PartTally(
        ordinals=tally.ordinals + len(fresh),
        blocks=tally.blocks + len(own) - len(nested),
        bytes=tally.bytes + size,
        digest=(tally.digest + sum(map(block_hash, own)) - sum(map(block_hash, nested))) % _MODULUS,
        content=(tally.content + sum(content_hash(staged.first + place, said[place]) for place in fresh)) % _MODULUS,
    )
    return replace(
        series,
        total_count=staged.total_count,
        received=series.received | ordinals.interval(staged.first, staged.count),
        received_count=series.received_count + len(fresh),
        bytes=series.bytes + size,
        contents=series.contents.with_tile(staged.first, said, staged.blocks),
        parts={**series.parts, part: tally},
    )
