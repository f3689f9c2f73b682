"""What a transaction wants done, computed from its state alone. Pure, deterministic, and harmless to ask twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from bridge.contract.inbound import Header
from bridge.contract.outbound import Problem
from tables import ordinals
from tables.deadlines import keep_alives, retry_at
from tables.effects import Announce, Deliver, Effect, KeepAlive, NoticeKind, OrphanSeries, delivery_id, notice_id
from tables.missing import ranges_max
from tables.plan import plans
from tables.transaction import FINAL, Series, State, Transaction, Verdict


def due(transaction: Transaction, now: datetime) -> tuple[Effect, ...]:
    """What has to be done now; nothing for a transaction that is closed, or only waits."""
    if transaction.state in FINAL:
        return ()
    untold = (each for each in _wanted(transaction, now) if each.id not in transaction.told)
    return (*untold, *_delivery(transaction, now))


def wanted_ids(transaction: Transaction, now: datetime) -> frozenset[str]:
    """Ids of everything, other than deliveries, that is due now or would be, had it not been carried out."""
    return frozenset(each.id for each in _wanted(transaction, now))


def _wanted(transaction: Transaction, now: datetime) -> Iterator[Announce | KeepAlive]:
    yield from _notices(transaction)
    yield from _keep_alive(transaction, now)


def _delivery(transaction: Transaction, now: datetime) -> tuple[Deliver, ...]:
    verdict, again = transaction.verdict, retry_at(transaction)
    if verdict is None or (again is not None and now < again):
        return ()
    return (
        Deliver(
            id=delivery_id(transaction.id, verdict.outcome),
            transaction=transaction.id,
            transaction_type=transaction.transaction_type,
            outcome=verdict.outcome,
            created=transaction.created,
            series=plans(transaction, verdict),
            partial=verdict.partial,
            header_received=transaction.header_received,
            problem=verdict.problem,
            orphans=_orphans(transaction, verdict),
            reply_to=transaction.reply_to,
            trace=transaction.trace,
        ),
    )


def _orphans(transaction: Transaction, verdict: Verdict) -> tuple[OrphanSeries, ...]:
    """What was staged and belongs to no result: series that no header announced."""
    announced = {spec.type for spec in transaction.header.series} if transaction.header else frozenset()
    if transaction.header is not None and verdict.outcome != "Completed":
        return ()  # a failed result as a whole is no orphan: its outcome tells everything
    limit = ranges_max(transaction)
    return tuple(
        _orphan(name, series, limit) for name, series in sorted(transaction.series.items()) if name not in announced
    )


def _orphan(name: str, series: Series, limit: int) -> OrphanSeries:
    received, more = ordinals.ranges(series.received, limit)
    return OrphanSeries(name, series.total_count, series.received_count, series.bytes, received, more)


def _notices(transaction: Transaction) -> Iterator[Announce]:
    if transaction.header is not None and transaction.header_received is not None:
        yield _notice(transaction, "accepted", transaction.header_received, header=transaction.header)
    if (gap := transaction.gap) is not None and not gap.over and transaction.state is State.AWAITING_RESULTS:
        yield _notice(transaction, "gap", gap.at, gap.sequence, gap.problem)
    if (overdue := transaction.overdue) is not None:
        yield _notice(transaction, "overdue", overdue.at, problem=overdue.problem)


def _notice(
    transaction: Transaction,
    kind: NoticeKind,
    at: datetime,
    sequence: int = 0,
    problem: Problem | None = None,
    header: Header | None = None,
) -> Announce:
    return Announce(
        id=notice_id(transaction.id, kind, sequence),
        transaction=transaction.id,
        transaction_type=transaction.transaction_type,
        kind=kind,
        at=at,
        sequence=sequence,
        problem=problem,
        header=header,
        reply_to=transaction.reply_to,
        trace=transaction.trace,
    )


def _keep_alive(transaction: Transaction, now: datetime) -> Iterator[KeepAlive]:
    if count := keep_alives(transaction, now):
        yield KeepAlive(notice_id(transaction.id, "keep-alive", count), transaction.id, count)
