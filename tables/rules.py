"""The life of a transaction, as pure functions over frozen records.

Rules about this file:
1. Everything that decides about a transaction stands here or is called from here, and nowhere else.
2. No clock, no I/O, no framework, no randomness: `now` is an argument, ids are made from what they name.
3. A message that contradicts another one is a value, never an exception; an exception from here is a bug.

Theory of operation. A transaction is the fold of its facts. `advance` takes one fact: it is idempotent (the same fact
again changes no more than a counter), facts of a series commute, and a final state is never left. What came first
stays: a contradiction is kept beside it, and the header's policy says whether it fails the transaction.
A verdict is not an outcome. When everything has arrived, or a contradiction forbids it ever will, the state becomes
SendingCompletion and `due` asks for a delivery, again and again until the fact `Delivered` says what was written. That
fact wins, whatever the verdict was: another owner may have decided first, and only the outcome document arbitrates.
`due` is computed from the state alone, so an effect that got lost is simply asked for again.

The table below is complete: every state and every fact. Two lines of it are guarded: `_judge` chooses between staying
open and SendingCompletion, and `Delivered` names the final state itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

from msgspec.structs import replace

from bridge.contract.events import Delivered, DeliveryRefused, HeaderReceived, Staged
from bridge.contract.inbound import SERIES_MAX, Header
from bridge.contract.outbound import Problem, rfc3339
from tables.accept import Taken, differing, take
from tables.contents import Contents
from tables.effects import Deliver, delivery_id
from tables.limits import too_many_payloads, too_many_series
from tables.plan import plans
from tables.transaction import FINAL, Series, Settled, State, Transaction, Verdict

Fact: TypeAlias = HeaderReceived | Staged | Delivered | DeliveryRefused

_OPEN = frozenset({State.AWAITING_RESULTS, State.SENDING_COMPLETION})
_SENDING = frozenset({State.SENDING_COMPLETION})

TRANSITIONS: Final[dict[State, dict[type[Fact], frozenset[State]]]] = {
    State.AWAITING_RESULTS: {
        HeaderReceived: _OPEN,
        Staged: _OPEN,
        DeliveryRefused: frozenset({State.AWAITING_RESULTS}),
        Delivered: FINAL,
    },
    State.SENDING_COMPLETION: {
        HeaderReceived: _SENDING,
        Staged: _SENDING,
        DeliveryRefused: _SENDING,
        Delivered: FINAL,
    },
    **{
        state: dict.fromkeys((HeaderReceived, Staged, DeliveryRefused, Delivered), frozenset({state}))
        for state in FINAL
    },
}

RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
"""A refused delivery is tried again after 1, 2, 4, ... seconds, at most this long."""


def opened(transaction_id: str, now: datetime) -> Transaction:
    """A transaction of which the first fact has just been heard."""
    return Transaction(id=transaction_id, created=now, updated=now)


def advance(transaction: Transaction, fact: Fact, now: datetime) -> Transaction:
    """What is known after a fact; `now` is when the fact was reported."""
    before = transaction.state
    if before in FINAL:
        after = _late(transaction, fact)
    else:
        after = _take(replace(transaction, updated=max(transaction.updated, now)), fact, now)
    assert after.state in TRANSITIONS[before][type(fact)], (before, type(fact), after.state)
    return after


def due(transaction: Transaction, now: datetime) -> tuple[Deliver, ...]:
    """What this transaction wants done; empty when it waits or is closed."""
    again = deadline(transaction)
    if transaction.state is not State.SENDING_COMPLETION or transaction.verdict is None or (again and now < again):
        return ()
    verdict = transaction.verdict
    return (
        Deliver(
            id=delivery_id(transaction.id, verdict.outcome),
            transaction=transaction.id,
            transaction_type=transaction.transaction_type,
            outcome=verdict.outcome,
            created=transaction.created,
            series=plans(transaction, verdict),
            header_received=transaction.header_received,
            problem=verdict.problem,
            reply_to=transaction.reply_to,
            trace=transaction.trace,
        ),
    )


def deadline(transaction: Transaction) -> datetime | None:
    """When to look again without a new fact: the next try of a refused delivery; None: nothing is scheduled."""
    if transaction.state is not State.SENDING_COMPLETION or transaction.refused is None:
        return None
    pause_s = min(RETRY_FIRST_S * 2 ** min(transaction.refusals - 1, 16), RETRY_MAX_S)
    return transaction.refused + timedelta(seconds=pause_s)


def _late(transaction: Transaction, fact: Fact) -> Transaction:
    messages = fact.count if isinstance(fact, Staged) else int(isinstance(fact, HeaderReceived))
    return replace(transaction, late=transaction.late + messages)


def _take(transaction: Transaction, fact: Fact, now: datetime) -> Transaction:
    match fact:
        case HeaderReceived():
            return _judge(_header(transaction, fact, now), now)
        case Staged():
            transaction = _payload(transaction, fact, now)
            # Only a series that is now complete, or a contradiction, can change the verdict.
            series = transaction.series.get(fact.series)
            worth_judging = (series and series.complete) or transaction.conflict
            return _judge(transaction, now) if worth_judging else transaction
        case Delivered():
            return _settle(transaction, fact)
        case DeliveryRefused():
            verdict = transaction.verdict
            if verdict is None or fact.delivery != delivery_id(transaction.id, verdict.outcome):
                return transaction  # of a delivery that is not wanted: it says nothing about the one that is
            # What was asked for stays named while another try fails for something else.
            unclear = fact.unclear or transaction.unclear
            refusals = transaction.refusals + 1
            return replace(transaction, refusals=refusals, refused=now, problem=fact.problem, unclear=unclear)
        case _:
            assert_never(fact)


def _header(transaction: Transaction, fact: HeaderReceived, now: datetime) -> Transaction:
    if transaction.header is None:
        transaction = replace(
            transaction,
            header=fact.header,
            header_digest=fact.digest,
            header_received=fact.received,
            reply_to=fact.reply_to,
            trace=fact.trace,
        )
        transaction = _announce(transaction, fact.header, now)
    elif fact.conflicting_digest is None and fact.digest == transaction.header_digest:
        return replace(transaction, duplicates=transaction.duplicates + 1)
    other = fact.conflicting_digest or (fact.digest if fact.digest != transaction.header_digest else None)
    if other is None:
        return transaction
    detail = f"A second header has the digest {other}, the first one {transaction.header_digest}."
    return _conflict(transaction, "conflicting-header", "A second header differs from the first", detail, now)


def _announce(transaction: Transaction, header: Header, now: datetime) -> Transaction:
    """Hold what came before the header against what the header says."""
    series = {spec.type: Series() for spec in header.series} | transaction.series  # shown in the header's order
    for spec in header.series:
        known = series[spec.type]
        if spec.total_count is not None and known.total_count not in (None, spec.total_count):
            detail = f"Series {spec.type}: payloads say {known.total_count}, the header says {spec.total_count}."
            title = "Header and payloads disagree about a total count"
            transaction = _conflict(transaction, "conflicting-total-count", title, detail, now)
        total_count = spec.total_count if known.total_count is None else known.total_count
        series[spec.type] = replace(known, total_count=total_count, content_type=spec.content_type, listed=True)
    transaction = _within_limits(replace(transaction, series=series), now)
    for name in sorted(series.keys() - {spec.type for spec in header.series}):
        transaction = _unknown_series(transaction, name, now)
    return transaction


def _payload(transaction: Transaction, staged: Staged, now: datetime) -> Transaction:
    name = staged.series
    before = transaction.series.get(name, Series())
    if transaction.header is not None and not before.listed:
        return _unknown_series(transaction, name, now)  # nobody will want it, so nothing of it is kept
    if name not in transaction.series and len(transaction.series) == SERIES_MAX:
        return _decide(transaction, Verdict("Failed", too_many_series(now)))
    series, taken = take(before, staged)
    fresh = series.received_count - before.received_count
    if fresh and transaction.verdict is not None:
        # What the parts contain is settled with the verdict; only larger tiles of it may still come.
        return replace(transaction, late=transaction.late + staged.count)
    transaction = replace(transaction, series={**transaction.series, name: series})
    if before.total_count is None:
        transaction = _within_limits(transaction, now)
    match taken:
        case Taken.NEW | Taken.DUPLICATE:
            return replace(transaction, duplicates=transaction.duplicates + staged.count - fresh)
        case Taken.OTHER_BYTES:
            at = differing(before, staged) or 0
            which = f"Series {name}, ordinal {staged.first + at}"
            if staged.count > 1:
                which += f" in the run {staged.first}-{staged.first + staged.count - 1}"
            detail = f"{which}: {staged.sizes[at]} bytes with CRC-64 {staged.crc64s[at]} differ."
            title = "An ordinal came twice with different bytes"
            return _conflict(transaction, "conflicting-payload", title, detail, now)
        case Taken.OTHER_TOTAL:
            detail = f"Series {name}, ordinal {staged.first}: says {staged.total_count}, known is {before.total_count}."
            title = "Messages of a series disagree about its total count"
            return _conflict(transaction, "conflicting-total-count", title, detail, now)
        case _:
            assert_never(taken)


def _unknown_series(transaction: Transaction, name: str, now: datetime) -> Transaction:
    detail = f"Series {name} has payloads, but the header does not list it."
    return _conflict(transaction, "unknown-series", "A series is not in the header", detail, now)


def _conflict(transaction: Transaction, code: str, title: str, detail: str, now: datetime) -> Transaction:
    """Keep the first contradiction; once there is a verdict nothing is weighed any more."""
    if transaction.conflict is not None or transaction.verdict is not None:
        return transaction
    problem = Problem(code=code, title=title, detail=detail, stage="await", occurred_at=rfc3339(now))
    return replace(transaction, conflict=problem)


def _judge(transaction: Transaction, now: datetime) -> Transaction:
    """Reach the verdict where one can be reached; nothing is judged before the header, because it sets the policy."""
    header = transaction.header
    if header is None:
        return transaction
    if transaction.conflict is not None and header.on_conflict != "keep-first":
        return _decide(transaction, Verdict("Failed", transaction.conflict))
    if all(transaction.series[spec.type].complete for spec in header.series):
        return _decide(transaction, Verdict("Completed"))
    return transaction


def _within_limits(transaction: Transaction, now: datetime) -> Transaction:
    """Fail what is larger than can be followed, whatever the policy and even without one."""
    problem = too_many_payloads(transaction, now)
    return transaction if problem is None else _decide(transaction, Verdict("Failed", problem))


def _decide(transaction: Transaction, verdict: Verdict) -> Transaction:
    """The first verdict stays."""
    if transaction.verdict is not None:
        return transaction
    return replace(transaction, state=State.SENDING_COMPLETION, verdict=verdict, problem=verdict.problem)


def _settle(transaction: Transaction, fact: Delivered) -> Transaction:
    """Follow the outcome that was written, and let go of everything that was only needed to get there."""
    settled = Settled(fact.outcome_uri, fact.outcome_etag, fact.completed, fact.told, fact.notification_id)
    series = {name: replace(s, parts={}, contents=Contents()) for name, s in transaction.series.items()}
    state = State(fact.outcome)
    return replace(
        transaction, state=state, settled=settled, series=series, problem=fact.problem, refused=None, unclear={}
    )
