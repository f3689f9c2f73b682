"""Assemble the series of a transaction: one Put Block List a part, which moves no bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from bridge.blobs import BlobProperties, Blobs, Exists, MissingBlocks
from bridge.checksums import combine, hex16
from bridge.contract.outbound import Missing, Part, Problem, Ranges, SeriesResult, rfc3339
from bridge.layout import part_name
from streams.pick import NotThere, Picked, Unclear, pick
from tables import ordinals
from tables.effects import Deliver, PartPlan, SeriesPlan
from tables.missing import RANGES_MAX

DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
SAID_MAX: Final = 10
"""Series named in a sentence."""
_CONTENT, _CRC64 = "brh_content", "brh_crc64"


class Unassembled(Exception):
    """A part cannot be committed as planned; the tracker is told and asks again."""

    def __init__(self, problem: Problem, unclear: dict[str, tuple[int, ...]] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.unclear = unclear or {}
        """Parts whose blocks the next plan has to name."""


async def assemble(blobs: Blobs, effect: Deliver, commits_in_flight: int) -> tuple[SeriesResult, ...]:
    """Commit every part of every series that is not committed yet.

    Raises Unassembled, when all that can be committed is, and BlobsError as the storage does. What was committed
    stays: without an outcome nobody reads it, and the next attempt finds it done.
    """
    slots = asyncio.Semaphore(commits_in_flight)

    async def one(series: SeriesPlan, part: PartPlan) -> Part | NotThere | Unclear:
        async with slots:
            return await _part(blobs, effect.transaction, series, part)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [[group.create_task(one(series, part)) for part in series.parts] for series in effect.series]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    results = [[task.result() for task in parts] for parts in tasks]
    _require_all(effect, results)
    return tuple(
        _result(series, [part for part in parts if isinstance(part, Part)])
        for series, parts in zip(effect.series, results, strict=True)
    )


def _require_all(effect: Deliver, results: list[list[Part | NotThere | Unclear]]) -> None:
    """Raises Unassembled when something is not staged, else when something has to be named."""
    missing: dict[str, list[int]] = {}
    unclear: dict[str, tuple[int, ...]] = {}
    for series, parts in zip(effect.series, results, strict=True):
        for plan, found in zip(series.parts, parts, strict=True):
            if isinstance(found, NotThere):
                missing.setdefault(series.series, []).extend(found.ordinals)
            elif isinstance(found, Unclear):
                unclear[series.series] = (*unclear.get(series.series, ()), plan.part)
    if missing:
        raise Unassembled(_not_staged(missing), unclear)
    if unclear:
        names = ", ".join(f"{name} {list(parts)}" for name, parts in islice(unclear.items(), SAID_MAX))
        detail = f"More is staged than was accepted, and the plan does not tell which: parts of {names}."
        raise Unassembled(_problem("blocks-unclear", "The accepted blocks have to be named", detail), unclear)


def _result(series: SeriesPlan, parts: Sequence[Part]) -> SeriesResult:
    return SeriesResult(
        series_type=series.series,
        total_count=series.total_count,
        bytes=sum(part.bytes for part in parts),
        content_type=series.content_type,
        parts=tuple(parts),
    )


async def _part(blobs: Blobs, transaction: str, series: SeriesPlan, plan: PartPlan) -> Part | NotThere | Unclear:
    name = part_name(transaction, series.series, plan.part)
    there = await blobs.properties(name)
    if there is None:
        found = pick(plan, series.total_count or 0, await blobs.uncommitted(name))
        if not isinstance(found, Picked):
            # Unless somebody has committed it since: then the list was empty because it is done.
            there = await blobs.properties(name)
            return found if there is None else _same(blobs, name, series, plan, there)
        crc64 = 0
        for block in found.blocks:
            crc64 = combine(crc64, block.id.crc64, block.size)
        try:
            committed = await blobs.commit(
                name,
                [block.id for block in found.blocks],
                content_type=series.content_type or DEFAULT_CONTENT_TYPE,
                metadata={_CONTENT: plan.content, _CRC64: hex16(crc64)},
            )
        except MissingBlocks as error:  # they went between the list and the commit: the next list tells which
            detail = f"Blocks of part {plan.part} of series {series.series} went while it was committed."
            raise Unassembled(_problem("blocks-missing", "Staged blocks have gone", detail)) from error
        if not isinstance(committed, Exists):
            return Part(uri=blobs.uri(name), bytes=committed.size, etag=committed.etag, crc64=hex16(crc64))
        there = committed.there
    return _same(blobs, name, series, plan, there)


def _same(blobs: Blobs, name: str, series: SeriesPlan, plan: PartPlan, there: BlobProperties) -> Part:
    """The part as it was committed before: by us or somebody else, and by this plan or one with other tiles."""
    if there.metadata.get(_CONTENT) != plan.content or there.size != plan.bytes:
        detail = f"Part {plan.part} of series {series.series} is committed with other bytes than were accepted."
        raise Unassembled(_problem("part-differs", "A part is committed with other bytes", detail))
    return Part(uri=blobs.uri(name), bytes=there.size, etag=there.etag, crc64=there.metadata[_CRC64])


def _not_staged(lost: dict[str, list[int]]) -> Problem:
    missing: dict[str, Ranges | None] = {}
    room = RANGES_MAX  # of all series together: a problem is one record
    for name, found in lost.items():
        if room:
            missing[name], _ = ordinals.ranges(ordinals.of(found), room)
            room -= len(missing[name] or ())
    count = sum(map(len, lost.values()))
    names = ", ".join(islice(lost, SAID_MAX))
    detail = f"{count} accepted payloads of series {names} are not staged any more: send them again."
    return _problem("blocks-missing", "Staged blocks have gone", detail, missing)


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
