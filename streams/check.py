"""Hold what storage has of a transaction against itself and against the tracker's row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from bridge.blobs import Blobs, Listed
from bridge.contract.outbound import Outcome, from_rfc3339
from bridge.layout import PartName
from bridge.unreadable import UNREADABLE
from streams.check_open import Look, check_open
from streams.findings import Finding, Kind, finding
from streams.folders import Folder
from streams.outcome import Decided, find_outcome, find_told
from streams.queries import Row
from tables.transaction import FINAL

PARTS_SAID_MAX: Final = 10


class Check:
    """Looks at one transaction after the other."""

    def __init__(self, blobs: Blobs, *, now: datetime, grace_s: float, remembered_s: float) -> None:
        """`grace_s`: an outcome younger than that may be in the hands of its delivery, and is left alone.

        `remembered_s`: how long trackers keep the row of a closed transaction.
        """
        self._blobs = blobs
        self._now = now
        self._grace, self._remembered = timedelta(seconds=grace_s), timedelta(seconds=remembered_s)

    async def look(self, folder: Folder, row: Row | None) -> Look:
        """Look at a transaction. Raises BlobsError."""
        if folder.outcome is None:
            return await check_open(self._blobs, folder, row)
        old = folder.outcome.modified is None or self._now - folder.outcome.modified >= self._grace
        found = await self._closed(folder, row) if old else []
        return lambda _: found

    async def _closed(self, folder: Folder, row: Row | None) -> list[Finding]:
        transaction = folder.transaction
        found: list[Finding] = []
        try:
            decided = await find_outcome(self._blobs, transaction)
            told = await find_told(self._blobs, transaction)
        except UNREADABLE as error:
            return [finding(Kind.RECORD_UNREADABLE, transaction, f"Its outcome or its marker cannot be read: {error}.")]
        if decided is None:
            return []  # it went between the list and now
        if told is None:
            since = decided.outcome.timestamps.completed
            detail = f"It is {decided.outcome.outcome} since {since}, and nobody was told."
            found.append(finding(Kind.OUTCOME_UNTOLD, transaction, detail))
        elif row is None and self._now - from_rfc3339(told.told_at) < self._remembered - self._grace:
            detail = f"It is {decided.outcome.outcome}, told at {told.told_at}, and no tracker knows it."
            found.append(finding(Kind.ROW_MISSING, transaction, detail))
        if decided.audience.orphans and not folder.orphans:
            found.append(finding(Kind.ORPHANS_MISSING, transaction, "The record of its orphans is not there."))
        return found + list(_row_of_closed(decided, row)) + await self._parts(decided.outcome)

    async def _parts(self, outcome: Outcome) -> list[Finding]:
        """Hold the list of the container against the parts that the outcome names."""
        wanted = {part.uri: part for series in outcome.series for part in series.parts}
        left: list[str] = []
        found: list[Finding] = []
        transaction = outcome.transaction_id
        after: str | None = None
        while True:
            page = await self._blobs.page(f"{transaction}/", after=after)
            for blob in page.blobs:
                part = wanted.pop(self._blobs.uri(blob.name), None)
                if part is None:
                    left += [blob.name] * (PartName.parse(blob.name) is not None)
                elif (blob.etag, blob.size) != (part.etag, part.bytes):
                    found.append(finding(Kind.PART_DIFFERS, transaction, _differs(blob, part.etag, part.bytes)))
            if (after := page.after) is None:
                break
        if wanted:
            detail = f"Of its result {_many(list(wanted))} not there."
            found.append(finding(Kind.PART_MISSING, transaction, detail))
        if left:
            detail = f"It is {outcome.outcome}, and {_many(left)} left over."
            found.append(finding(Kind.PARTS_LEFT, transaction, detail))
        return found


def _many(names: list[str]) -> str:
    said = ", ".join(names[:PARTS_SAID_MAX]) + (" and more" if len(names) > PARTS_SAID_MAX else "")
    return f"{said} is" if len(names) == 1 else f"{said} ({len(names)} parts) are"


def _differs(blob: Listed, etag: str, size: int) -> str:
    return f"{blob.name} has {blob.size} bytes and ETag {blob.etag}, its outcome says {size} and {etag}."


def _row_of_closed(decided: Decided, row: Row | None) -> Iterator[Finding]:
    outcome = decided.outcome
    if row is None or row["state"] == outcome.outcome:
        return
    detail = f"The tracker has it in {row['state']}; its outcome says {outcome.outcome}."
    kind = Kind.ROW_DIFFERS if row["state"] in FINAL else Kind.ROW_BEHIND
    yield finding(kind, outcome.transaction_id, detail)
