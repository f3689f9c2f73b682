"""Go through the container now and then, and finish what nobody else will.

Everything here heals what other ways should have done. An outcome that was never told, because the delivery died and
the tracker has forgotten the transaction, is told. What was staged behind a clean-up is removed. Results are removed
when their time is over. What has no outcome belongs to the tracker, and is only reported when it is older than any
transaction can be.

One list over all blobs is a request for 5,000 of them, and shows what each transaction lacks; only then is anything
read. Each delivery worker lists everything and looks at the transactions of its own partitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import structlog
from mode import Service
from structlog.contextvars import bind_contextvars

from bridge.blobs import Blobs, BlobsError
from bridge.contract.events import Delivered
from bridge.crash_points import crash_point
from bridge.unreadable import Unreadable
from streams.at_once import at_once
from streams.clean import clean, remove_result
from streams.courier import Courier
from streams.folders import Folder, gather
from streams.outcome import find_outcome
from streams.settings import DeliverySettings

_log = structlog.get_logger()


class Counts(msgspec.Struct, frozen=True):
    """What one run has seen and done."""

    blobs: int = 0
    transactions: int = 0
    """Those of our partitions."""
    tried: int = 0
    """Those of them that needed something."""
    told: int = 0
    """Outcomes that nobody had been told of."""
    cleaned: int = 0
    """Parts that were no part of their transaction's outcome."""
    removed: int = 0
    """Results whose time was over."""
    forgotten: int = 0
    """Transactions without an outcome in which nothing happens any more."""
    failed: int = 0
    """What could not be done, and is tried again when the list comes round."""
    deferred: int = 0
    """What was too much for one run; it is tried when the list comes round."""
    round: bool = False
    """The end of the list was reached, and the next run begins at its start."""


class Sweeper(Service):
    """Runs every `sweep_interval_s`; `run_once` is one run."""

    def __init__(
        self,
        blobs: Blobs,
        courier: Courier,
        settings: DeliverySettings,
        *,
        owns: Callable[[str], bool],
        report: Callable[[Delivered], Awaitable[None]],
        fail: Callable[[Exception], None],
        ran: Callable[[Counts], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Starts nothing yet.

        Args:
            blobs: the container.
            courier: tells, in turn with what it delivers.
            settings: intervals, ages and limits.
            owns: whether a transaction is in our partitions.
            report: tell the tracker what was told here.
            fail: is told of bugs; it must end the process.
            ran: is called behind each run of the service.
            now: the time; ages are told by it and by the storage's own stamps.
        """
        super().__init__()
        self._blobs, self._courier, self._settings = blobs, courier, settings
        self._owns, self._report, self._fail, self._ran, self._now = owns, report, fail, ran, now
        self._after: str | None = None
        self._begun: Folder | None = None

    async def on_started(self) -> None:
        """Begin with a pause: a fleet that starts has better things to do than to list."""
        self.add_future(self._run())

    async def _run(self) -> None:
        while not await self._pause():
            try:
                counts = await self.run_once()
            except BlobsError as error:
                _log.warning("the sweep was broken off", error=str(error))
                continue
            except Exception as error:
                self._fail(error)
                return
            _log.info("sweep", **msgspec.structs.asdict(counts))
            self._ran(counts)

    async def _pause(self) -> bool:
        await self.sleep(self._settings.sweep_interval_s)
        return bool(self.should_stop)

    async def run_once(self) -> Counts:
        """One run: go on with the list where the last run ended, for `sweep_pages_max` pages.

        Raises BlobsError when the list cannot be read; the next run goes on from there.
        """
        counts = Counts()
        for _ in range(self._settings.sweep_pages_max):
            page = await self._blobs.page(after=self._after, limit=self._settings.sweep_page_blobs)
            done, self._begun = gather(self._begun, page.blobs)
            self._after = page.after
            if page.after is None and self._begun is not None:
                done.append(self._begun)
                self._begun = None
            crash_point("sweep.page-listed")
            counts = _sum(counts, Counts(blobs=len(page.blobs), round=page.after is None))
            counts = await self._look(counts, [folder for folder in done if self._owns(folder.transaction)])
            if page.after is None:
                break
        return counts

    async def _look(self, counts: Counts, folders: list[Folder]) -> Counts:
        wanted = [(folder, work) for folder in folders if (work := self._wanted(folder)) is not None]
        room = max(0, self._settings.sweep_actions_max - counts.tried)
        calls = [partial(self._attempt, folder, work) for folder, work in wanted[:room]]
        seen = Counts(transactions=len(folders), tried=len(calls), deferred=len(wanted) - len(calls))
        return _sum(counts, seen, *await at_once(self._settings.sweeps_in_flight, calls))

    def _wanted(self, folder: Folder) -> Callable[[Folder], Awaitable[Counts]] | None:
        """What a transaction needs of us, by its list alone."""
        settings = self._settings
        if folder.outcome is None:
            return self._forgotten if self._older(folder.newest, settings.sweep_forgotten_s) else None
        decided = folder.outcome.modified
        # Before anything else: where a removal was broken off, there is no marker, and nobody must be told again.
        if settings.result_retention_s and self._older(decided, settings.result_retention_s):
            return self._remove
        if not self._older(decided, settings.sweep_untold_s):
            return None  # its delivery is at work on it
        if not folder.told:
            return self._tell
        return self._clean if folder.garbage else None

    def _older(self, moment: datetime | None, age_s: float) -> bool:
        return moment is not None and self._now() - moment > timedelta(seconds=age_s)

    async def _attempt(self, folder: Folder, work: Callable[[Folder], Awaitable[Counts]]) -> Counts:
        bind_contextvars(transaction=folder.transaction)
        try:
            async with asyncio.timeout(self._settings.delivery_attempt_s):
                return await work(folder)
        except (BlobsError, TimeoutError, Unreadable) as error:
            _log.warning("not swept", error=repr(error))
            return Counts(failed=1)

    async def _tell(self, folder: Folder) -> Counts:
        answer = await self._courier.tell_again(folder.transaction)
        if not isinstance(answer, Delivered):
            return Counts(failed=1)
        crash_point("sweep.outcome-told")
        _log.warning("an outcome had not been told", transaction=folder.transaction, outcome=answer.outcome)
        await self._report(answer)
        crash_point("sweep.outcome-reported")
        return Counts(told=1)

    async def _clean(self, folder: Folder) -> Counts:
        decided = await find_outcome(self._blobs, folder.transaction)
        if decided is None:
            return Counts()
        cleaned = await clean(self._blobs, decided.outcome, self._settings.commits_in_flight)
        crash_point("sweep.cleaned-up")
        return Counts(cleaned=cleaned)

    async def _remove(self, folder: Folder) -> Counts:
        await remove_result(self._blobs, folder.transaction, self._settings.commits_in_flight)
        crash_point("sweep.result-removed")
        return Counts(removed=1)

    async def _forgotten(self, folder: Folder) -> Counts:
        _log.warning(
            "nothing happens in a transaction without an outcome",
            transaction=folder.transaction,
            parts=folder.parts,
            staged=folder.bare,
            since=folder.newest,
        )
        return Counts(forgotten=1)


def _sum(*counts: Counts) -> Counts:
    totals = {name: sum(getattr(each, name) for each in counts) for name in Counts.__struct_fields__}
    return Counts(**totals | {"round": any(each.round for each in counts)})
