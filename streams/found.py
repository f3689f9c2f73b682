"""What the blocks of a part tell of its payloads, when nothing else does. Pure.

A block's id says which ordinals of how many it holds, and the checksum of its bytes; a payload whose last block is
there was whole and right (`bridge.staging`). What the list cannot tell is which of two contents came first, and what a
run holds ordinal by ordinal. So where two are staged nothing is taken, and those ordinals are sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product
from typing import NamedTuple, TypeAlias

from bridge.blobs import Block
from bridge.checksums import combine, hex16
from bridge.contract.events import Staged
from bridge.contract.inbound import TOTAL_COUNT_MAX
from bridge.layout import BlockId, PartName, part_of, part_ordinals
from bridge.runs import RUN_MAX_BYTES, RUN_ORDINALS_MAX, Interval, is_aligned


class Found(NamedTuple):
    """What one part tells."""

    facts: tuple[Staged, ...]
    """Of different ordinals each, in their order."""
    unclear: tuple[int, ...]
    """Ordinals of which more than one content is staged, in their order."""

    @property
    def taken(self) -> tuple[int, ...]:
        """The ordinals of the facts."""
        return tuple(ordinal for fact in self.facts for ordinal in range(fact.first, fact.first + fact.count))


def total_counts(part: PartName, blocks: Iterable[Block]) -> frozenset[int]:
    """How many ordinals the series has, as a part's blocks say; more than one number where messages contradict."""
    return frozenset(block.id.total_count for block in blocks if _is_ours(part, block))


def found(part: PartName, total_count: int, blocks: Iterable[Block]) -> Found:
    """What is staged for a part, in the largest tiles; blocks of another total count are left out."""
    shelf = _Shelf(part, total_count, blocks)
    mine = part_ordinals(part.part, total_count)
    tiles = [shelf.look(Interval(first, RUN_ORDINALS_MAX)) for first in range(mine.start, mine.stop, RUN_ORDINALS_MAX)]
    facts = tuple(fact for tile in tiles for fact in tile.facts)
    return Found(facts, tuple(ordinal for tile in tiles for ordinal in tile.unclear))


_Way: TypeAlias = tuple[Block, ...]
"""Blocks that make one whole tile; the marker where it is an empty payload."""


class _Tile(NamedTuple):
    """What is known of an interval, and the bytes of it where all of them are."""

    facts: list[Staged]
    unclear: list[int]
    crc64: int | None
    size: int


class _Shelf:
    def __init__(self, part: PartName, total_count: int, blocks: Iterable[Block]) -> None:
        self._series, self._total_count = part.series, total_count
        self._staged: dict[tuple[int, int], dict[int, dict[int, list[Block]]]] = {}
        for block in set(blocks):
            if block.id.total_count == total_count and _is_ours(part, block):
                by_nsub = self._staged.setdefault((block.id.first, block.id.count), {})
                by_nsub.setdefault(block.id.nsub, {}).setdefault(block.id.sub, []).append(block)

    def look(self, tile: Interval) -> _Tile:
        """The whole tile where it is staged as such, else what is within it."""
        ways = list(islice(self._ways(tile), 2))
        within = _Tile([], [], None, 0) if tile.count == 1 else _joined(*map(self.look, tile.halves))
        if not ways:
            return within
        crc64 = _crc64(ways[0])
        if len(ways) > 1 or within.unclear or within.crc64 not in (None, crc64):
            return _Tile([], list(tile.ordinals), None, 0)
        return _Tile([self._fact(tile, ways[0])], [], crc64, _size(ways[0]))

    def _ways(self, tile: Interval) -> Iterator[_Way]:
        for nsub, subs in sorted(self._staged.get((tile.first, tile.count), {}).items()):
            if len(subs) == max(nsub, 1):
                yield from product(*(subs[sub] for sub in sorted(subs)))

    def _fact(self, tile: Interval, way: _Way) -> Staged:
        size = _size(way)
        seen = tile.count == 1
        return Staged(
            series=self._series,
            first=tile.first,
            count=tile.count,
            total_count=self._total_count,
            sizes=(size,) if seen else (),
            crc64s=(hex16(_crc64(way)),) if seen else (),
            blocks=tuple(hex16(block.id.crc64) for block in way) if size else (),
            run_bytes=0 if seen else size,
        )


def _joined(left: _Tile, right: _Tile) -> _Tile:
    crc64 = None
    if left.crc64 is not None and right.crc64 is not None:
        crc64 = combine(left.crc64, right.crc64, right.size)
    return _Tile(left.facts + right.facts, left.unclear + right.unclear, crc64, left.size + right.size)


def _size(way: _Way) -> int:
    return sum(block.size for block in way if block.id.nsub)


def _crc64(way: _Way) -> int:
    crc64 = 0
    for block in way:
        if block.id.nsub:
            crc64 = combine(crc64, block.id.crc64, block.size)
    return crc64


def _is_ours(part: PartName, block: Block) -> bool:
    """Whether a bridge can have staged the block in this part."""
    found: BlockId = block.id
    last = found.first + found.count - 1
    if not (1 <= found.first <= last <= found.total_count <= TOTAL_COUNT_MAX):
        return False
    if not is_aligned(found.first, found.count) or found.count > RUN_ORDINALS_MAX:
        return False
    if found.count > 1 and (found.nsub != 1 or block.size > RUN_MAX_BYTES):
        return False
    return found.sub < max(found.nsub, 1) and part_of(found.first, found.total_count) == part.part
