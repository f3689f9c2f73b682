"""What a delivery is told of one series: how many blocks make each part, and how to know them. Pure."""

from __future__ import annotations

from bridge.layout import part_ordinals
from tables.accept import excluded
from tables.effects import PartPlan, SeriesPlan, digest_text
from tables.transaction import PartTally, Series, Verdict


def plan(name: str, series: Series, verdict: Verdict) -> SeriesPlan:
    """How to assemble a series that is complete; only its name and what it says of itself for another verdict."""
    if verdict.outcome != "Completed":
        return SeriesPlan(series=name, total_count=series.total_count, content_type=series.content_type)
    parts = series.parts or {0: PartTally()}
    return SeriesPlan(
        series=name,
        total_count=series.total_count,
        content_type=series.content_type,
        parts=tuple(_part(series, part, tally) for part, tally in sorted(parts.items())),
        excluded=excluded(series),
    )


def _part(series: Series, part: int, tally: PartTally) -> PartPlan:
    return PartPlan(
        part=part,
        ordinals=tally.ordinals,
        blocks=tally.blocks,
        bytes=tally.bytes,
        digest=digest_text(tally.digest),
        runs=series.contents.runs(part_ordinals(part, series.total_count or 0)),
    )
