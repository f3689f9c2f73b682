"""Carry out what a transaction wants done, and say what came of it.

A delivery is: commit the series, decide, clean up, tell, mark as told. Each step finds out what is done already. The
order is the promise: nobody is told of what cannot be read, or of what is still being removed, and the marker is
written only when the broker has confirmed. A crash between telling and marking tells again, with the same id and the
same bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar, assert_never

import structlog

from bridge import metrics, tracing
from bridge.blobs import BlobChanged, Blobs, BlobsError, BlobsRefused
from bridge.contract.events import Delivered, DeliveryRefused, Told
from bridge.contract.outbound import Outcome, Problem, SeriesResult, Stage, from_rfc3339, rfc3339
from bridge.contract.outbound import Told as ToldRecord
from bridge.crash_points import crash_point
from bridge.notices import NoticesUnavailable
from bridge.tracing import WITHIN, Note, Step
from bridge.unreadable import Unreadable
from streams.clean import clean
from streams.commit import Assembled, Unassembled, assemble
from streams.counted import begin_type
from streams.keep_alive import keep_alive
from streams.orphans import find_orphans, keep_orphans
from streams.outcome import Decided, delivered, find_outcome, find_told, mark_told, write_outcome
from streams.post import Post
from streams.settings import DeliverySettings
from tables.effects import Announce, Deliver, Effect, KeepAlive

RECORD_UNREADABLE: Final = "record-unreadable"
"""Of a transaction's records in storage one was written by a release that this one does not know, or by somebody else.
It stays as it is, and nothing is decided beside it."""

REFUSALS: Final = (
    "storage-unavailable",
    "storage-refused",
    "notification-unconfirmed",
    "delivery-timeout",
    "blocks-missing",
    "blocks-unclear",
    "part-differs",
    "plan-unreadable",
    RECORD_UNREADABLE,
)
"""The codes of all refusals."""

_log = structlog.get_logger()
_Answer = TypeVar("_Answer", bound=Delivered | Told | None)


class Courier:
    """Carries out effects; any number at once."""

    def __init__(self, blobs: Blobs, post: Post, settings: DeliverySettings) -> None:
        self._blobs = blobs
        self._post = post
        self._settings = settings
        self._in_hand: set[str] = set()
        metrics.begin(metrics.REFUSED, REFUSALS)
        begin_type("default")  # of those whose header never came, which nothing is announced of

    async def carry_out(self, effect: Effect) -> Delivered | Told | DeliveryRefused | None:
        """What came of the effect; every failure that may pass is a refusal, and the tracker asks again.

        None: it is being carried out already, and that has its own answer. It must not be done twice at once: a slow
        one would fill all places with its repetitions, and of two messages with one id on one channel nobody can tell
        whose the confirmation is.
        """
        # A transaction has one outcome, whatever the deliveries that were asked for say.
        key = effect.transaction if isinstance(effect, Deliver) else effect.id
        return await self._alone(key, effect.transaction, effect.id, partial(self._done, effect))

    async def tell_again(self, transaction: str) -> Delivered | DeliveryRefused | None:
        """Do for an outcome that is there what comes behind it; None as above, or because there is no outcome."""
        return await self._alone(transaction, transaction, "", partial(self._tell_again, transaction))

    async def _alone(
        self, key: str, transaction: str, effect: str, work: Callable[[], Awaitable[_Answer]]
    ) -> _Answer | DeliveryRefused | None:
        if key in self._in_hand:
            return None
        self._in_hand.add(key)
        began_s, result = time.perf_counter(), "failed"
        try:
            with metrics.IN_FLIGHT.track_inprogress():
                answer = await self._attempt(transaction, effect, work)
            result = type(answer).__name__
            return answer
        finally:
            self._in_hand.remove(key)
            metrics.ATTEMPT_SECONDS.labels(result).observe(time.perf_counter() - began_s)

    async def _attempt(
        self, transaction: str, effect: str, work: Callable[[], Awaitable[_Answer]]
    ) -> _Answer | DeliveryRefused:
        limit_s = self._settings.delivery_attempt_s
        unclear: dict[str, tuple[int, ...]] = {}
        try:
            async with asyncio.timeout(limit_s):
                return await work()
        except Unassembled as error:
            problem, unclear = error.problem, error.unclear
        except BlobsError as error:
            code = "storage-refused" if isinstance(error, BlobsRefused) else "storage-unavailable"
            problem = _problem(code, "Blob storage did not do its part", str(error), "assemble")
        except Unreadable as error:
            problem = _problem(RECORD_UNREADABLE, "A record in storage cannot be read", f"{error}.", "assemble")
        except NoticesUnavailable as error:
            problem = _problem("notification-unconfirmed", "The notification was not confirmed", str(error), "notify")
        except TimeoutError:
            detail = f"The attempt took longer than {limit_s:g} s."
            problem = _problem("delivery-timeout", "A delivery took too long", detail, "assemble")
        crash_point("delivery.refused")
        metrics.REFUSED.labels(problem.code).inc()
        tracing.say({Note.CODE: problem.code})
        _log.warning("delivery refused", transaction=transaction, code=problem.code, detail=problem.detail)
        return DeliveryRefused(transaction, effect, problem, unclear)

    async def _tell_again(self, transaction: str) -> Delivered | None:
        decided = await find_outcome(self._blobs, transaction)
        if decided is None:
            return None
        with tracing.span(
            Step.CARRY_OUT, tracing.of(transaction, decided.audience.trace), {Note.TRANSACTION: transaction}
        ):
            return await self._follow(decided)

    async def _done(self, effect: Effect) -> Delivered | Told:
        if not isinstance(effect, KeepAlive):
            begin_type(effect.transaction_type)  # of most there is something to announce long before the outcome
        match effect:
            case Deliver():
                return await self._deliver(effect)
            case Announce():
                await self._post.announce(effect)
                crash_point("delivery.announced")
            case KeepAlive():
                if await find_outcome(self._blobs, effect.transaction) is None:
                    await keep_alive(self._blobs, effect.transaction, self._settings.commits_in_flight)
                    crash_point("delivery.kept-alive")
            case _:
                assert_never(effect)
        return Told(effect.transaction, effect.id, datetime.now(UTC))

    async def _deliver(self, effect: Deliver) -> Delivered:
        decided = await find_outcome(self._blobs, effect.transaction)
        if decided is None:
            decided = await self._decide(effect)
        return await self._follow(decided)

    async def _decide(self, effect: Deliver) -> Decided:
        try:
            series, is_partial = await self._assembled(effect)
        except (Unassembled, BlobChanged):
            # Somebody may have decided otherwise, and taken away what this effect would commit.
            decided = await find_outcome(self._blobs, effect.transaction)
            if decided is None:
                raise
            return decided
        crash_point("delivery.series-assembled")
        if effect.orphans:
            await keep_orphans(self._blobs, effect)
            crash_point("delivery.orphans-kept")
        return await write_outcome(self._blobs, effect, series, partial=is_partial)

    async def _assembled(self, effect: Deliver) -> Assembled:
        if effect.outcome == "Completed":
            took = metrics.COMMIT_SECONDS.labels(metrics.transaction_type(effect.transaction_type))
            with tracing.span(Step.ASSEMBLE, WITHIN, {}), metrics.timed(took):
                return await assemble(self._blobs, effect, self._settings.commits_in_flight)
        nothing = tuple(SeriesResult(s.series, s.total_count, 0, s.content_type, ()) for s in effect.series)
        return Assembled(nothing, partial=False)

    async def _follow(self, decided: Decided) -> Delivered:
        """Everything that comes behind the outcome, whoever wrote it."""
        outcome = decided.outcome
        if leaves_garbage(decided):
            await clean(self._blobs, outcome, self._settings.commits_in_flight)
            crash_point("delivery.cleaned-up")
        told = await find_told(self._blobs, outcome.transaction_id)
        if told is None:
            with tracing.span(Step.NOTIFY, WITHIN, {Note.OUTCOME: outcome.outcome}):
                said = await self._tell(decided)
            told = await mark_told(self._blobs, outcome.transaction_id, said)
            crash_point("delivery.told-marked")
            _count(outcome)
        return delivered(decided, told)

    async def _tell(self, decided: Decided) -> ToldRecord:
        if decided.audience.orphans:
            orphaned = await find_orphans(self._blobs, decided.outcome.transaction_id)
            if orphaned is not None:
                await self._post.tell_orphans(decided, orphaned)
                crash_point("delivery.orphans-told")
                metrics.ORPHANS.labels(metrics.transaction_type(decided.outcome.transaction_type)).inc()
            else:  # nothing brings it back, and those who wait for the outcome must not wait for ever
                _log.error("the record of orphans was removed", transaction=decided.outcome.transaction_id)
        return await self._post.tell(decided)


def leaves_garbage(decided: Decided) -> bool:
    """Whether more may have been staged or committed than the outcome lists."""
    return decided.outcome.outcome != "Completed" or decided.outcome.partial or decided.audience.orphans


def _count(outcome: Outcome) -> None:
    kind, code = metrics.transaction_type(outcome.transaction_type), outcome.problem.code if outcome.problem else ""
    metrics.OUTCOMES.labels(kind, outcome.outcome, code).inc()
    decided = from_rfc3339(outcome.timestamps.completed)
    created = from_rfc3339(outcome.timestamps.created or outcome.timestamps.completed)
    metrics.DECIDED_SECONDS.labels(kind).observe(_elapsed_s(created, decided))
    metrics.TOLD_SECONDS.labels(kind).observe(_elapsed_s(decided, datetime.now(UTC)))


def _elapsed_s(earlier: datetime, later: datetime) -> float:
    """Moments of different machines: where clocks differ by more than what lies between, there is no telling how much.

    Not less than 0, because a negative observation makes the sum of a histogram fall, which looks like a new start.
    """
    return max(0.0, (later - earlier).total_seconds())


def _problem(code: str, title: str, detail: str, stage: Stage) -> Problem:
    return Problem(
        code=code,
        title=title,
        detail=detail,
        stage=stage,
        occurred_at=rfc3339(datetime.now(UTC)),
        retryable=True,
        terminal=False,
    )
