"""Assemble the series of a transaction: one Put Block List a part, which moves no bytes.

A part with holes says in its metadata which ordinals it holds. Two owners of a transaction may have given up waiting at
different places, and then their plans differ; but the blocks that a committed part does not have are gone with it. So
whoever finds such a part follows it, and what was assembled in the end is read off the parts, not off the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from bridge.blobs import BlobProperties, Blobs, Exists, MissingBlocks
from bridge.checksums import combine, hex16
from bridge.contract.outbound import Missing, Part, Problem, Ranges, SeriesResult, rfc3339
from bridge.crash_points import crash_point
from bridge.layout import part_name, part_ordinals
from streams.at_once import at_once
from streams.partial import numbers, with_ranges
from streams.pick import NotThere, Picked, Unclear, pick
from tables import ordinals, tiling
from tables.effects import Deliver, PartPlan, SeriesPlan
from tables.missing import RANGES_MAX

DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
SAID_MAX: Final = 10
"""Series named in a sentence."""
_CONTENT, _CRC64, _BLOCKS, _HOLES = "brh_content", "brh_crc64", "brh_blocks", "brh_holes"


class Unassembled(Exception):
    """A part cannot be committed as planned; the tracker is told and asks again."""

    def __init__(self, problem: Problem, unclear: dict[str, tuple[int, ...]] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.unclear = unclear or {}
        """Parts whose blocks the next plan has to name."""


class Assembled(NamedTuple):
    """What the parts hold together."""

    series: tuple[SeriesResult, ...]
    partial: bool
    """Something is missing."""


class _Held(NamedTuple):
    """A part that is committed."""

    part: Part
    holes: str
    """Which of its ordinals it holds, as `tables.tiling` says it; empty for all of them."""


_Found: TypeAlias = _Held | NotThere | Unclear


async def assemble(blobs: Blobs, effect: Deliver, commits_in_flight: int) -> Assembled:
    """Commit every part of every series that is not committed yet.

    Raises Unassembled, when all that can be committed is, and BlobsError as the storage does. What was committed
    stays: without an outcome nobody reads it, and the next attempt finds it done.
    """
    # A part of which nothing has come is none; only an empty series has a part without ordinals.
    plans = [[part for part in each.parts if part.ordinals or each.total_count == 0] for each in effect.series]
    calls = [
        partial(_part, blobs, effect, series, part)
        for series, parts in zip(effect.series, plans, strict=True)
        for part in parts
    ]
    try:
        found = iter(await at_once(commits_in_flight, calls))
        results = [[(part, next(found)) for part in parts] for parts in plans]
        _require_all(effect, results)
        held = [[(part.part, each) for part, each in of if isinstance(each, _Held)] for of in results]
        return _assembled(effect, held)
    except tiling.BadTiling as error:  # of a plan, or of a part that somebody has committed
        raise Unassembled(_problem("plan-unreadable", "A plan cannot be carried out", f"There is {error}.")) from error


def _require_all(effect: Deliver, results: list[list[tuple[PartPlan, _Found]]]) -> None:
    """Raises Unassembled when something is not staged, else when something has to be named."""
    missing: dict[str, list[int]] = {}
    unclear: dict[str, tuple[int, ...]] = {}
    for series, parts in zip(effect.series, results, strict=True):
        for plan, found in parts:
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


def _assembled(effect: Deliver, parts: list[list[tuple[int, _Held]]]) -> Assembled:
    whole = [_result(series, [held.part for _, held in of]) for series, of in zip(effect.series, parts, strict=True)]
    if not effect.partial and not any(held.holes for of in parts for _, held in of):
        return Assembled(tuple(whole), partial=False)
    shown = []
    for result, of in zip(whole, parts, strict=True):
        total = result.total_count or 0
        got = [n for part, held in of for n in numbers(tiling.decode(held.holes, part_ordinals(part, total)))]
        shown.append(with_ranges(result, got, len(whole)))
    if all(result.missing == () for result in shown):
        return Assembled(tuple(whole), partial=False)  # others had more than this effect knows of
    return Assembled(tuple(shown), partial=True)


def _result(series: SeriesPlan, parts: Sequence[Part]) -> SeriesResult:
    return SeriesResult(
        series_type=series.series,
        total_count=series.total_count,
        bytes=sum(part.bytes for part in parts),
        content_type=series.content_type,
        parts=tuple(parts),
    )


async def _part(blobs: Blobs, effect: Deliver, series: SeriesPlan, plan: PartPlan) -> _Found:
    name = part_name(effect.transaction, series.series, plan.part)
    there = await blobs.properties(name)
    if there is None:
        found = pick(plan, series.total_count or 0, await blobs.uncommitted(name))
        if not isinstance(found, Picked):
            # Unless somebody has committed it since: then the list was empty because it is done.
            there = await blobs.properties(name)
            return found if there is None else _there(blobs, name, effect, series, plan, there)
        crc64 = 0
        for block in found.blocks:
            crc64 = combine(crc64, block.id.crc64, block.size)
        holes = _holes(series, plan)
        try:
            committed = await blobs.commit(
                name,
                [block.id for block in found.blocks],
                content_type=series.content_type or DEFAULT_CONTENT_TYPE,
                metadata={_CONTENT: plan.content, _BLOCKS: plan.digest, _CRC64: hex16(crc64)}
                | ({_HOLES: holes} if holes else {}),
            )
        except MissingBlocks as error:  # they went between the list and the commit: the next list tells which
            detail = f"Blocks of part {plan.part} of series {series.series} went while it was committed."
            raise Unassembled(_problem("blocks-missing", "Staged blocks have gone", detail)) from error
        crash_point("delivery.part-committed")
        if not isinstance(committed, Exists):
            return _Held(Part(blobs.uri(name), committed.size, committed.etag, hex16(crc64)), holes)
        there = committed.there
    return _there(blobs, name, effect, series, plan, there)


def _holes(series: SeriesPlan, plan: PartPlan) -> str:
    return plan.tiles if plan.ordinals < len(part_ordinals(plan.part, series.total_count or 0)) else ""


def _there(
    blobs: Blobs, name: str, effect: Deliver, series: SeriesPlan, plan: PartPlan, there: BlobProperties
) -> _Held:
    """The part as it was committed before: by us or somebody else, and by this plan or one with other tiles."""
    holes = there.metadata.get(_HOLES, "")
    # By its blocks too, because who has found runs in storage does not know what each of their ordinals contains.
    known = there.metadata.get(_CONTENT) == plan.content or there.metadata.get(_BLOCKS) == plan.digest
    same = known and there.size == plan.bytes
    # Only where somebody has given up waiting, here or there, may a part hold more or less than was planned.
    if not same and not (_CONTENT in there.metadata and (holes or effect.partial)):
        detail = f"Part {plan.part} of series {series.series} is committed with other bytes than were accepted."
        raise Unassembled(_problem("part-differs", "A part is committed with other bytes", detail))
    return _Held(Part(blobs.uri(name), there.size, there.etag, there.metadata[_CRC64]), holes)


def _not_staged(lost: dict[str, list[int]]) -> Problem:
    missing: dict[str, Ranges | None] = {}
    room, cut = RANGES_MAX, False  # of all series together: a problem is one record
    for name, found in lost.items():
        ranges, cut = ordinals.ranges(ordinals.of(found), room)  # without any room left everything is cut
        if ranges:
            missing[name] = ranges
        room -= len(ranges)
    count = sum(map(len, lost.values()))
    names = ", ".join(islice(lost, SAID_MAX))
    detail = f"{count} accepted payloads of series {names} are not staged any more: send them again."
    problem = _problem("blocks-missing", "Staged blocks have gone", detail, missing)
    return replace(problem, missing_truncated=True) if cut else problem


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
