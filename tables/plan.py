"""What a delivery is told of each series: how many blocks make each part, and how to know them. Pure."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from bridge.layout import part_ordinals
from tables import tiling
from tables.effects import PartPlan, SeriesPlan, digest_text
from tables.missing import names
from tables.transaction import PartTally, Series, Transaction, Verdict

NAMED_MAX_BYTES: Final = 640 << 10
"""Of the blocks that one plan names. The largest part has 32,768 of them, which is 550 kB: each plan names those of one
unclear part at least, and the next one those of others, because what is committed is not asked about again."""
_CRC64_CHARS: Final = 16


def plans(transaction: Transaction, verdict: Verdict) -> tuple[SeriesPlan, ...]:
    """How to assemble what is accepted; only the names of the series for another verdict than Completed."""
    room = NAMED_MAX_BYTES
    made = []
    for name in names(transaction):
        series = transaction.series[name]
        parts: list[PartPlan] = []
        if verdict.outcome == "Completed":
            unclear = transaction.unclear.get(name, ())
            parts_of = series.parts or ({0: PartTally()} if series.total_count == 0 else {})
            for part, tally in sorted(parts_of.items()):
                plan = _part(series, part, tally)
                size = _CRC64_CHARS * tally.blocks + len('"",') * tally.ordinals
                if part in unclear and size <= room:
                    room -= size
                    plan = replace(plan, named=_named(series, plan))
                parts.append(plan)
        made.append(SeriesPlan(name, series.total_count, series.content_type, tuple(parts)))
    return tuple(made)


def _part(series: Series, part: int, tally: PartTally) -> PartPlan:
    return PartPlan(
        part=part,
        ordinals=tally.ordinals,
        blocks=tally.blocks,
        bytes=tally.bytes,
        digest=digest_text(tally.digest),
        content=digest_text(tally.content),
        tiles=tiling.encode(series.contents.counts(part_ordinals(part, series.total_count or 0))),
    )


def _named(series: Series, plan: PartPlan) -> tuple[str, ...]:
    total_count = series.total_count or 0
    tiles = tiling.decode(plan.tiles, part_ordinals(plan.part, total_count))
    blocks = (series.contents.blocks(total_count, tile.first, tile.count) for tile in tiles)
    return tuple("".join(f"{block.crc64:016x}" for block in of_tile if block.nsub) for of_tile in blocks)
