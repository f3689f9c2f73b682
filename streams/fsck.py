"""Compare everything that storage has with everything that the trackers know, and publish again what they lack.

Two ways through: along the container, each transaction against its row; then along the rows, for those of which the
container has nothing at all. Neither holds more than a page. What moves looks wrong for a moment, between a block and
its fact or an outcome and its row: so whatever seems wrong is looked at a second time, and that takes a pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from bridge.blobs import Blobs
from bridge.unreadable import UNREADABLE
from streams.at_once import at_once
from streams.check import Check
from streams.findings import MENDED, Finding
from streams.folders import Folder, gather
from streams.queries import Row
from streams.restore import Publish, Restored, restore
from streams.settings import RESULT_RETENTION_MIN_S
from tables.transaction import FINAL

LOOKS_IN_FLIGHT: Final = 8
"""Transactions that are looked at at once."""
SECOND_LOOKS_IN_FLIGHT: Final = 256
"""Nearly all of the time of a second look is its pause, and after a loss everything needs one."""


class Rows(Protocol):
    """The tracker's rows."""

    async def transaction(self, transaction: str) -> Row | None:
        """One of them, in full."""
        ...

    async def page(self, after: str | None) -> tuple[list[Row], str | None]:
        """Some of them in short, in the order of ids, and where the next page begins."""
        ...


class Limits(msgspec.Struct, frozen=True):
    """How to look, and how much to keep."""

    findings_max: int = 1_000
    """Kept; what is found beyond is counted."""
    grace_s: float = 900.0
    """An outcome is looked at when it is older: until then its delivery may be at work."""
    pause_s: float = 5.0
    """In a second look: longer than a fact takes from a bridge to a row."""
    remembered_s: float = 14 * 86_400.0
    """How long trackers keep the row of a closed transaction."""
    page_blobs: int = 5_000


class Report:
    """What came of a run; it grows while the run goes on."""

    def __init__(self, findings_max: int) -> None:
        self._max = findings_max
        self.transactions = 0
        """That were looked at."""
        self.findings: list[Finding] = []
        self.more = 0
        """Findings that are not kept."""
        self.restored = Restored()
        """What was published again, or can be."""
        self.doing = ""
        """What is being looked at beside storage."""

    def add(self, findings: Iterable[Finding]) -> None:
        """Keep them, or count them."""
        for each in findings:
            if len(self.findings) < self._max:
                self.findings.append(each)
            else:
                self.more += 1


class Fsck:
    """One run."""

    def __init__(
        self,
        blobs: Blobs,
        rows: Rows,
        limits: Limits,
        *,
        publish: Publish | None = None,
        progress: Callable[[Report], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        """Without `publish` what can be published again is only counted; what is mended is no finding any more."""
        self._blobs, self._rows, self._limits = blobs, rows, limits
        self._publish, self._progress, self._now, self._pause = publish, progress, now, pause
        self._slots = asyncio.Semaphore(LOOKS_IN_FLIGHT)
        self.report = Report(limits.findings_max)

    async def run(self) -> Report:
        """Look at everything. Raises BlobsError, and what `rows` and `publish` raise."""
        await self._container()
        await self._table()
        return self.report

    async def _container(self) -> None:
        begun: Folder | None = None
        after: str | None = None
        while True:
            page = await self._blobs.page(after=after, limit=self._limits.page_blobs)
            done, begun = gather(begun, page.blobs)
            after = page.after
            if after is None and begun is not None:
                done.append(begun)
            await self._look(done)
            if after is None:
                return

    async def _table(self) -> None:
        """Rows of transactions of which storage has nothing."""
        after: str | None = None
        while True:
            rows, after = await self._rows.page(after)
            suspects = [row["transactionId"] for row in rows if not self._removed(row)]
            calls = [partial(self._relisted, transaction) for transaction in suspects]
            folders = await at_once(LOOKS_IN_FLIGHT, calls)
            await self._look([folder for folder in folders if folder.empty])
            if after is None:
                return

    def _removed(self, row: Row) -> bool:
        """Whether the result may have gone because its time was over."""
        age_s = (self._now() - datetime.fromisoformat(row["lastUpdated"])).total_seconds()
        return row["state"] in FINAL and age_s > RESULT_RETENTION_MIN_S

    async def _look(self, folders: list[Folder]) -> None:
        suspected = await at_once(LOOKS_IN_FLIGHT, [partial(self._suspected, folder) for folder in folders])
        again = [folder.transaction for folder, seems in zip(folders, suspected, strict=True) if seems]
        for findings in await at_once(SECOND_LOOKS_IN_FLIGHT, [partial(self._second, each) for each in again]):
            self.report.add(findings)
        self.report.transactions += len(folders)
        self._progress(self.report)

    async def _suspected(self, folder: Folder) -> bool:
        row = await self._rows.transaction(folder.transaction)
        look = await self._check().look(folder, row)
        return bool(look(row))

    async def _second(self, transaction: str) -> list[Finding]:
        async with self._slots:
            folder = await self._relisted(transaction)
            look = await self._check().look(folder, await self._rows.transaction(transaction))
        await self._pause(self._limits.pause_s)
        async with self._slots:
            return await self._mended(transaction, look(await self._rows.transaction(transaction)))

    def _check(self) -> Check:
        limits = self._limits
        return Check(self._blobs, now=self._now(), grace_s=limits.grace_s, remembered_s=limits.remembered_s)

    async def _relisted(self, transaction: str) -> Folder:
        folder = Folder(transaction)
        after: str | None = None
        while True:
            page = await self._blobs.page(f"{transaction}/", after=after)
            for blob in page.blobs:
                folder = folder.with_blob(blob)
            if (after := page.after) is None:
                return folder

    async def _mended(self, transaction: str, findings: list[Finding]) -> list[Finding]:
        """Publish again what can be, or count it; what is wrong then."""
        if not any(each.kind in MENDED for each in findings):
            return findings
        try:
            restored = await restore(self._blobs, transaction, self._publish)
        except UNREADABLE:
            return findings  # one of them says so
        self.report.restored = self.report.restored.plus(restored)
        if self._publish is None or restored == Restored():
            return findings
        return [each for each in findings if each.kind not in MENDED]
