"""When a transaction has to be looked at without a new fact, and what it means that the moment has passed. Pure.

Two clocks, and the difference is a promise. What producers are late with is judged by the *watermark* of the
transaction's partition: the moment up to which every bridge has reported what was in the queues. It stands still while
a bridge is down or behind, so nobody is abandoned for our own outage. What we are late with ourselves, once there is a
verdict, is judged by the time that the broker stamps on records.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

from bridge.contract.inbound import TIMEOUT_MAX_S
from bridge.contract.outbound import OutcomeCode, Problem, Stage, rfc3339
from tables.decisions import Decision, Expired, GapNoticed, Overdue
from tables.missing import lacking
from tables.policies import Limits
from tables.transaction import FINAL, Transaction

Kind: TypeAlias = Literal["header", "idle", "awaiting", "retry", "completing", "completing-max", "keep-alive"]

RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
"""A refused delivery is tried again after 1, 2, 4, ... seconds, at most this long."""
GAP_DOUBLINGS_MAX: Final = 6
"""Gaps are told again after 1, 2, 4, ... times the idle limit, at most 64 times."""
KEEP_ALIVE_S: Final = 5 * 24 * 3600.0
"""Storage drops uncommitted blocks a week after the last one of their blob."""

_DELIVERING: Final[frozenset[Stage]] = frozenset({"assemble", "notify"})


class Deadline(NamedTuple):
    """A moment at which a transaction is looked at again."""

    at: datetime
    kind: Kind
    by_watermark: bool
    """Judged by the partition's watermark, and not by the broker's time."""


class Clock(NamedTuple):
    """What time it is in a partition."""

    now: datetime
    """Of the record at hand, stamped by the broker."""
    watermark: datetime | None
    """None: not known, so nobody is late."""
    served_s: float
    """How long whoever asks has been at work."""

    def passed(self, deadline: Deadline, limits: Limits) -> bool:
        """Whether the deadline has come."""
        if deadline.kind == "completing-max" and self.served_s < limits.completing_s:
            return False  # whoever takes it over tries first: everything may have been down for longer than the limit
        time = self.watermark if deadline.by_watermark else self.now
        return time is not None and time >= deadline.at


def deadlines(transaction: Transaction) -> tuple[Deadline, ...]:
    """Everything that is scheduled, in ascending order; nothing for a closed transaction."""
    if transaction.state in FINAL:
        return ()
    found = _sending(transaction) if transaction.verdict is not None else _awaiting(transaction)
    return tuple(sorted(found, key=lambda each: each.at))


def lapsed(transaction: Transaction, clock: Clock) -> Decision | None:
    """What has to be decided because time has passed; to be kept, told to the rules, and asked for again."""
    for deadline in deadlines(transaction):
        if (
            clock.passed(deadline, transaction.limits)
            and (decision := _decision(transaction, deadline, clock.now)) is not None
        ):
            return decision
    return None


def awaiting_until(transaction: Transaction) -> datetime:
    """The last moment for everything to arrive."""
    return transaction.created + timedelta(seconds=_extended_s(transaction, transaction.limits.awaiting_s))


def retry_at(transaction: Transaction) -> datetime | None:
    """When a refused delivery is tried again; None: none was refused."""
    if transaction.verdict is None or transaction.refused is None:
        return None
    pause_s = min(RETRY_FIRST_S * 2 ** min(transaction.refusals - 1, 16), RETRY_MAX_S)
    return transaction.refused + timedelta(seconds=pause_s)


def keep_alives(transaction: Transaction, now: datetime) -> int:
    """How often the blocks of the transaction have had to be kept alive since it began."""
    return int((now - transaction.created).total_seconds() // KEEP_ALIVE_S)


def _awaiting(transaction: Transaction) -> list[Deadline]:
    """In the order in which they count when they come at the same moment: what decides comes before what is told."""
    found = []
    if transaction.header is None:
        wait_s = _extended_s(transaction, transaction.limits.header_s)
        found.append(Deadline(transaction.created + timedelta(seconds=wait_s), "header", by_watermark=True))
    found.append(Deadline(awaiting_until(transaction), "awaiting", by_watermark=True))
    found.append(Deadline(_gap_at(transaction), "idle", by_watermark=True))
    return [*found, _keep_alive(transaction)]


def _sending(transaction: Transaction) -> list[Deadline]:
    limits, decided = transaction.limits, transaction.decided or transaction.updated
    found = [_keep_alive(transaction)]
    if (again := retry_at(transaction)) is not None:
        found.append(Deadline(again, "retry", by_watermark=False))
    if transaction.overdue is None:
        at = decided + timedelta(seconds=limits.completing_s)
        found.append(Deadline(at, "completing", by_watermark=False))
    if transaction.verdict is not None and transaction.verdict.outcome == "Completed":
        at = decided + timedelta(seconds=limits.completing_max_s)
        found.append(Deadline(at, "completing-max", by_watermark=False))
    return found


def _extended_s(transaction: Transaction, limit_s: float) -> float:
    """A limit of waiting with what commands have added; blocks wait no longer in storage."""
    return min(limit_s + transaction.extended_s, TIMEOUT_MAX_S)


def _gap_at(transaction: Transaction) -> datetime:
    idle = timedelta(seconds=transaction.limits.idle_s)
    gap = transaction.gap
    if gap is None or gap.over:
        return (transaction.progressed or transaction.created) + idle
    return gap.at + idle * float(1 << min(gap.repeats, GAP_DOUBLINGS_MAX))


def _keep_alive(transaction: Transaction) -> Deadline:
    count = keep_alives(transaction, transaction.updated) + 1
    return Deadline(transaction.created + timedelta(seconds=count * KEEP_ALIVE_S), "keep-alive", by_watermark=False)


def _decision(transaction: Transaction, deadline: Deadline, now: datetime) -> Decision | None:
    limits = transaction.limits
    match deadline.kind:
        case "header":
            wait_s = _extended_s(transaction, limits.header_s)
            detail = f"No header came within {wait_s:g} s after the first payload."
            return Expired(
                "Abandoned", _problem(OutcomeCode.NO_HEADER, "The header never came", detail, transaction, now)
            )
        case "awaiting" if transaction.header is not None and limits.on_timeout == "partial":
            return Expired("Completed", None, partial=True)
        case "awaiting":
            wait_s = _extended_s(transaction, limits.awaiting_s)
            detail = f"Not everything came within {wait_s:g} s."
            return Expired("Abandoned", _problem(OutcomeCode.TIMEOUT, _lacks(transaction), detail, transaction, now))
        case "idle":
            sequence = transaction.gap.sequence + 1 if transaction.gap else 1
            detail = f"Nothing new came for {limits.idle_s:g} s and more."
            problem = _problem("gap", _lacks(transaction), detail, transaction, now, terminal=False)
            return GapNoticed(sequence, problem)
        case "completing":
            problem = _late(transaction, "overdue", "The delivery is overdue", limits.completing_s, now, terminal=False)
            return Overdue(problem)
        case "completing-max":
            title = "The result could not be delivered in time"
            problem = _late(
                transaction, OutcomeCode.COMPLETION_TIMEOUT, title, limits.completing_max_s, now, terminal=True
            )
            return Expired("Failed", problem)
        case "retry" | "keep-alive":
            return None  # effects that are due, and nothing to decide


def _lacks(transaction: Transaction) -> str:
    return "Payloads are missing" if transaction.header is not None else "The header is missing"


def _problem(
    code: str, title: str, detail: str, transaction: Transaction, now: datetime, *, terminal: bool = True
) -> Problem:
    problem = Problem(
        code=code,
        title=title,
        detail=detail,
        stage="await",
        occurred_at=rfc3339(now),
        retryable=not terminal,
        terminal=terminal,
    )
    return lacking(transaction, problem)


def _late(transaction: Transaction, code: str, title: str, limit_s: float, now: datetime, *, terminal: bool) -> Problem:
    refusals = [each for each in transaction.problems if each.stage in _DELIVERING and each.code != "overdue"]
    last = f" The last problem was {refusals[-1].code}: {refusals[-1].detail}" if refusals else ""
    return Problem(
        code=code,
        title=title,
        detail=f"Outcome and notification took longer than {limit_s:g} s.{last}",
        stage="assemble",
        occurred_at=rfc3339(now),
        retryable=not terminal,
        terminal=terminal,
    )
