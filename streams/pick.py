"""Which of a blob's staged blocks are the accepted ones. Pure.

A blob may hold more blocks than its plan tells of: those of payloads that lost a conflict, and those of a bridge that
died between staging and publishing. The plan's digest says which set is meant: where an ordinal has more than one
candidate, the one is taken that makes the digest right, and where none does, nothing is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product
from typing import Final

import msgspec

from bridge.blobs import Block
from bridge.layout import BlockId, part_ordinals
from tables.effects import PartPlan, block_hash, digest_text

ALTERNATIVES_MAX: Final = 4_096
"""Combinations that are tried where ordinals have several candidates; more means somebody stages at random."""


class Picked(msgspec.Struct, frozen=True):
    """The blocks to commit, in the order of their bytes."""

    blocks: tuple[Block, ...]


class NotThere(msgspec.Struct, frozen=True):
    """The staged blocks are not what the plan says."""

    ordinals: tuple[int, ...]
    """Of which nothing is staged; none of them, when something is staged for each but it is not what was accepted."""


def pick(plan: PartPlan, total_count: int, excluded: Iterable[str], staged: Iterable[Block]) -> Picked | NotThere:
    """The accepted blocks among those that are staged in a part's blob."""
    candidates = _candidates(part_ordinals(plan.part, total_count), frozenset(excluded), staged)
    missing = tuple(ordinal for ordinal, alternatives in candidates.items() if not alternatives)
    if missing:
        return NotThere(missing)
    for choice in islice(product(*candidates.values()), ALTERNATIVES_MAX):
        blocks = tuple(block for alternative in choice for block in alternative)
        if _matches(plan, blocks):
            return Picked(blocks)
    return NotThere(())


def _matches(plan: PartPlan, blocks: tuple[Block, ...]) -> bool:
    if len(blocks) != plan.blocks or sum(block.size for block in blocks) != plan.bytes:
        return False
    return digest_text(sum(block_hash(str(block.id)) for block in blocks)) == plan.digest


def _candidates(
    ordinals: Iterable[int], excluded: frozenset[str], staged: Iterable[Block]
) -> dict[int, list[tuple[Block, ...]]]:
    """For each ordinal the sets of blocks that make a whole payload."""
    by_payload: dict[int, dict[int, dict[int, list[Block]]]] = {ordinal: {} for ordinal in ordinals}
    for block in staged:
        block_id: BlockId = block.id
        if block_id.count == 1 and block_id.first in by_payload and str(block_id) not in excluded:
            subs = by_payload[block_id.first].setdefault(block_id.nsub, {})
            subs.setdefault(block_id.sub, []).append(block)
    return {ordinal: list(islice(_payloads(by_size), ALTERNATIVES_MAX)) for ordinal, by_size in by_payload.items()}


def _payloads(by_size: dict[int, dict[int, list[Block]]]) -> Iterator[tuple[Block, ...]]:
    for nsub, subs in sorted(by_size.items()):
        if nsub == 0:
            yield ()  # the marker of an empty payload: received, and nothing to commit
        elif len(subs) == nsub:
            yield from product(*(subs[sub] for sub in sorted(subs)))
