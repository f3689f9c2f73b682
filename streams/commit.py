"""Assemble the series of a transaction: one Put Block List a part, which moves no bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from bridge.blobs import BlobProperties, Blobs, Exists, MissingBlocks
from bridge.checksums import combine, hex16
from bridge.contract.outbound import Missing, Part, Problem, SeriesResult, rfc3339
from bridge.layout import part_name
from streams.pick import NotThere, pick
from tables import ordinals
from tables.effects import Deliver, PartPlan, SeriesPlan
from tables.projection import RANGES_MAX

DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
_DIGEST, _CRC64 = "brh_digest", "brh_crc64"


class Unassembled(Exception):
    """A part cannot be committed as planned; the tracker is told and asks again."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


async def assemble(blobs: Blobs, effect: Deliver, commits_in_flight: int) -> tuple[SeriesResult, ...]:
    """Commit every part of every series that is not committed yet.

    Raises Unassembled, and BlobsError as the storage does. What was committed before stays: without an outcome nobody
    reads it, and the next attempt finds it done.
    """
    slots = asyncio.Semaphore(commits_in_flight)

    async def one(series: SeriesPlan, part: PartPlan) -> Part:
        async with slots:
            return await _part(blobs, effect.transaction, series, part)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [[group.create_task(one(series, part)) for part in series.parts] for series in effect.series]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return tuple(
        _result(series, [task.result() for task in parts]) for series, parts in zip(effect.series, tasks, strict=True)
    )


def _result(series: SeriesPlan, parts: Sequence[Part]) -> SeriesResult:
    return SeriesResult(
        series_type=series.series,
        total_count=series.total_count,
        bytes=sum(part.bytes for part in parts),
        content_type=series.content_type,
        parts=tuple(parts),
    )


async def _part(blobs: Blobs, transaction: str, series: SeriesPlan, plan: PartPlan) -> Part:
    name = part_name(transaction, series.series, plan.part)
    there = await blobs.properties(name)
    if there is None:
        found = pick(plan, series.total_count or 0, series.excluded, await blobs.uncommitted(name))
        if isinstance(found, NotThere):
            raise Unassembled(_not_staged(series, plan, found.ordinals))
        crc64 = 0
        for block in found.blocks:
            crc64 = combine(crc64, block.id.crc64, block.size)
        try:
            committed = await blobs.commit(
                name,
                [block.id for block in found.blocks],
                content_type=series.content_type or DEFAULT_CONTENT_TYPE,
                metadata={_DIGEST: plan.digest, _CRC64: hex16(crc64)},
            )
        except MissingBlocks as error:  # they went between the list and the commit
            raise Unassembled(_not_staged(series, plan, ())) from error
        if not isinstance(committed, Exists):
            return Part(uri=blobs.uri(name), bytes=committed.size, etag=committed.etag, crc64=hex16(crc64))
        there = committed.there
    return _same(blobs, name, series, plan, there)


def _same(blobs: Blobs, name: str, series: SeriesPlan, plan: PartPlan, there: BlobProperties) -> Part:
    """The part as it was committed before, by us or by somebody with the same plan."""
    if there.metadata.get(_DIGEST) != plan.digest or there.size != plan.bytes:
        detail = f"Part {plan.part} of series {series.series} is committed with other bytes than were accepted."
        raise Unassembled(_problem("part-differs", "A part is committed with other bytes", detail))
    return Part(uri=blobs.uri(name), bytes=there.size, etag=there.etag, crc64=there.metadata[_CRC64])


def _not_staged(series: SeriesPlan, plan: PartPlan, lost: Sequence[int]) -> Problem:
    what = f"{len(lost)} ordinals are not staged any more" if lost else "other blocks are staged than were accepted"
    detail = f"Part {plan.part} of series {series.series}: {what}."
    bits = sum(ordinals.interval(ordinal, 1) for ordinal in lost)
    missing: Missing = {series.series: ordinals.ranges(bits, RANGES_MAX)[0]} if lost else None
    return _problem("blocks-missing", "Staged blocks are not what was accepted", detail, missing)


def _problem(code: str, title: str, detail: str, missing: Missing = None) -> Problem:
    return Problem(
        code=code,
        title=title,
        detail=detail,
        stage="assemble",
        occurred_at=rfc3339(datetime.now(UTC)),
        retryable=True,
        terminal=False,
        missing=missing,
    )
