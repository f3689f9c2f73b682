"""Which of a blob's staged blocks are the accepted ones. Pure.

A blob may hold more blocks than its plan tells of: those of payloads that lost a conflict, those of a bridge that died
between staging and publishing, and those of payloads that were staged again within a run or outside of one. The plan
says which ordinals are in runs, and its digest which set is meant: where there is more than one candidate, the one is
taken that makes the digest right, and where none does, nothing is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product
from typing import Final, NamedTuple, TypeAlias

import msgspec

from bridge.blobs import Block
from bridge.layout import part_ordinals
from bridge.runs import Interval
from tables.effects import PartPlan, block_hash, digest_text

ALTERNATIVES_MAX: Final = 4_096
"""Combinations that are tried where tiles have several candidates; more means somebody stages at random."""


class Picked(msgspec.Struct, frozen=True):
    """The blocks to commit, in the order of their bytes."""

    blocks: tuple[Block, ...]


class NotThere(msgspec.Struct, frozen=True):
    """The staged blocks are not what the plan says."""

    ordinals: tuple[int, ...]
    """Of which nothing is staged; none of them, when something is staged for each but it is not what was accepted."""


class _Weighed(NamedTuple):
    """A block and what it adds to the digest of its part."""

    block: Block
    digest: int


_Candidate: TypeAlias = tuple[_Weighed, ...]
"""Blocks that make one whole tile; none where it is an empty payload."""
_BySub: TypeAlias = dict[int, list[_Weighed]]


def pick(plan: PartPlan, total_count: int, excluded: Iterable[str], staged: Iterable[Block]) -> Picked | NotThere:
    """The accepted blocks among those that are staged in a part's blob."""
    tiles = _tiles(plan, total_count)
    found = _candidates(tiles, frozenset(excluded), staged)
    missing = [tile for tile, candidates in zip(tiles, found, strict=True) if not candidates]
    if missing:
        return NotThere(tuple(ordinal for tile in missing for ordinal in tile.ordinals))
    # Where there is no choice, as nearly everywhere, a tile is added up once and not in every combination.
    sure = _sum(candidates[0] for candidates in found if len(candidates) == 1)
    for choice in islice(product(*(candidates for candidates in found if len(candidates) > 1)), ALTERNATIVES_MAX):
        if _matches(plan, sure, _sum(choice)):
            chosen = iter(choice)
            whole = (candidates[0] if len(candidates) == 1 else next(chosen) for candidates in found)
            return Picked(tuple(weighed.block for candidate in whole for weighed in candidate))
    return NotThere(())


class _Sum(NamedTuple):
    blocks: int
    bytes: int
    digest: int


def _sum(candidates: Iterable[_Candidate]) -> _Sum:
    blocks = size = digest = 0
    for candidate in candidates:
        blocks += len(candidate)
        for weighed in candidate:
            size += weighed.block.size
            digest += weighed.digest
    return _Sum(blocks, size, digest)


def _matches(plan: PartPlan, one: _Sum, other: _Sum) -> bool:
    if one.blocks + other.blocks != plan.blocks or one.bytes + other.bytes != plan.bytes:
        return False
    return digest_text(one.digest + other.digest) == plan.digest


def _tiles(plan: PartPlan, total_count: int) -> list[Interval]:
    """The runs of a part and the ordinals between them, in ascending order."""
    ordinals = part_ordinals(plan.part, total_count)
    tiles: list[Interval] = []
    behind = ordinals.start
    for runs in plan.runs:
        tiles += (Interval(ordinal, 1) for ordinal in range(behind, runs.first))
        tiles += (Interval(first, runs.count) for first in runs.firsts)
        behind = runs.last + runs.count
    tiles += (Interval(ordinal, 1) for ordinal in range(behind, ordinals.stop))
    return tiles


def _candidates(tiles: list[Interval], excluded: frozenset[str], staged: Iterable[Block]) -> list[list[_Candidate]]:
    """For each tile the sets of blocks that make it whole."""
    by_tile: dict[tuple[int, int], dict[int, _BySub]] = {(tile.first, tile.count): {} for tile in tiles}
    for block in staged:
        by_size = by_tile.get((block.id.first, block.id.count))
        if by_size is None or (block.id.count > 1 and block.id.nsub != 1):
            continue  # not a tile of the plan, or a run that is not the one block that every run is
        text = str(block.id)
        if text not in excluded:
            subs = by_size.setdefault(block.id.nsub, {})
            subs.setdefault(block.id.sub, []).append(_Weighed(block, block_hash(text)))
    return [list(islice(_whole(by_size), ALTERNATIVES_MAX)) for by_size in by_tile.values()]


def _whole(by_size: dict[int, _BySub]) -> Iterator[_Candidate]:
    for nsub, subs in sorted(by_size.items()):
        if nsub == 0:
            yield ()  # the marker of an empty payload: received, and nothing to commit
        elif len(subs) == nsub:
            yield from product(*(subs[sub] for sub in sorted(subs)))
