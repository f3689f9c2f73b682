"""Which of a blob's staged blocks are the accepted ones. Pure.

A blob may hold more blocks than its plan tells of: those of payloads that lost a conflict or were refused, those of a
bridge that died between staging and publishing, and those of payloads that were staged again, within a run or outside
of one. The plan says how the ordinals are tiled, and its digest which set of blocks is meant. Where there is a choice
nothing is tried out, for the combinations have no bound: the part is unclear, and the next plan names its blocks.

A run whose block has gone may have been staged again in smaller pieces. They are as good as the run when they make the
same bytes, which the checksum in the run's id tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product
from typing import Final, NamedTuple, TypeAlias

from bridge.blobs import Block
from bridge.checksums import combine
from bridge.layout import BlockId, marker_id, part_ordinals
from bridge.runs import Interval
from tables import tiling
from tables.effects import PartPlan, block_hash, digest_text

WAYS_MAX: Final = 64
"""To make a named run of smaller pieces: it takes a lost block and conflicts within its ordinals to have two."""


class Picked(NamedTuple):
    """The blocks to commit, in the order of their bytes."""

    blocks: tuple[Block, ...]


class NotThere(NamedTuple):
    """Some of what was accepted is not staged."""

    ordinals: tuple[int, ...]
    """What has to be staged again."""


class Unclear(NamedTuple):
    """More is staged than the plan can tell apart: the next one has to name the blocks of this part."""


_Way: TypeAlias = tuple[Block, ...]
"""Blocks that make one whole tile; none where it is an empty payload."""


def pick(plan: PartPlan, total_count: int, staged: Iterable[Block]) -> Picked | NotThere | Unclear:
    """The accepted blocks among those that are staged in a part's blob. Raises BadTiling."""
    tiles = tiling.decode(plan.tiles, part_ordinals(plan.part, total_count))
    shelf = _Shelf(total_count, staged)
    if plan.named is not None:
        if len(plan.named) != len(tiles):
            raise tiling.BadTiling(f"{len(tiles)} tiles, and blocks of {len(plan.named)}")
        named = zip(tiles, plan.named, strict=True)
        ways = [shelf.named(tile, crc64s) for tile, crc64s in named]
    else:
        ways = [shelf.only(tile) for tile in tiles]
    if shelf.missing:
        return NotThere(tuple(shelf.missing))
    whole = [way for way in ways if way is not None]
    if len(whole) < len(tiles) or not _matches(plan, total_count, tiles, whole):
        return Unclear()
    return Picked(tuple(block for way in whole for block in way))


class _Shelf:
    """What is staged, by the tile that it could be of."""

    def __init__(self, total_count: int, staged: Iterable[Block]) -> None:
        self._total_count = total_count
        self.missing: list[int] = []
        """Ordinals of tiles that were looked for and are not there."""
        # One of another total count lost a conflict: it says of its series what was not accepted.
        self._blocks = {block.id: block for block in staged if block.id.total_count == total_count}
        self._by_tile: dict[tuple[int, int], dict[int, dict[int, list[Block]]]] = {}
        for block in self._blocks.values():
            first, count, sub, nsub = block.id.first, block.id.count, block.id.sub, block.id.nsub
            if count == 1 or nsub == 1:  # a run is one block
                by_sub = self._by_tile.setdefault((first, count), {}).setdefault(nsub, {})
                by_sub.setdefault(sub, []).append(block)

    def only(self, tile: Interval) -> _Way | None:
        """The one way to make a tile; None where there is none, or a choice."""
        own = list(islice(self._own(tile), 2))
        if own:
            return own[0] if len(own) == 1 else None
        if tile.count == 1:
            self.missing.append(tile.first)
            return None
        left, right = (self.only(half) for half in tile.halves)
        return None if left is None or right is None else left + right

    def named(self, tile: Interval, crc64s: str) -> _Way | None:
        """The blocks with these checksums; of a run whose block has gone, smaller ones that make the same bytes."""
        checksums = [int(crc64s[at : at + 16], 16) for at in range(0, len(crc64s), 16)]
        total, nsub = self._total_count, len(checksums)
        ids = [BlockId(total, tile.first, tile.count, sub, nsub, crc64) for sub, crc64 in enumerate(checksums)]
        if all(block in self._blocks for block in ids or [marker_id(total, tile.first)]):
            return tuple(self._blocks[block] for block in ids)
        if tile.count > 1:
            for way in self._pieces(tile):
                if _crc64(way) == checksums[0]:
                    return way
        self.missing += tile.ordinals
        return None

    def _own(self, tile: Interval) -> Iterator[_Way]:
        """Every way to make a tile of blocks of its own."""
        for nsub, subs in sorted(self._by_tile.get((tile.first, tile.count), {}).items()):
            if nsub == 0:
                yield ()  # the marker of an empty payload: received, and nothing to commit
            elif len(subs) == nsub:
                yield from product(*(subs[sub] for sub in sorted(subs)))

    def _pieces(self, tile: Interval) -> Iterator[_Way]:
        """Ways to make a run of the tiles within it."""
        left, right = (list(islice(self._ways(half), WAYS_MAX)) for half in tile.halves)
        return islice((one + other for one, other in product(left, right)), WAYS_MAX)

    def _ways(self, tile: Interval) -> Iterator[_Way]:
        yield from self._own(tile)
        if tile.count > 1:
            yield from self._pieces(tile)


def _matches(plan: PartPlan, total_count: int, tiles: list[Interval], ways: list[_Way]) -> bool:
    """Whether the blocks are those of the plan, counting the pieces of a run as the run that they make."""
    digest = blocks = 0
    for tile, way in zip(tiles, ways, strict=True):
        if tile.count > 1 and (len(way) != 1 or way[0].id.count != tile.count):
            ids = [BlockId(total_count, tile.first, tile.count, 0, 1, _crc64(way))]
        else:
            ids = [block.id for block in way]
        blocks += len(ids)
        digest += sum(block_hash(str(each)) for each in ids)
    size = sum(block.size for way in ways for block in way)
    return (blocks, size, digest_text(digest)) == (plan.blocks, plan.bytes, plan.digest)


def _crc64(way: _Way) -> int:
    crc64 = 0
    for block in way:
        crc64 = combine(crc64, block.id.crc64, block.size)
    return crc64
