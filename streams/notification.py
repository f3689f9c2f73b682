"""What is said of a transaction: one CloudEvent each, the same bytes wherever and however often it is sent. Pure."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

import msgspec

from bridge.contract.inbound import Trace
from bridge.contract.outbound import Accepted, CloudEvent, Gap, Orphaned, Outcome, Overdue, Public, rfc3339
from streams.outcome import Decided
from tables.effects import Announce

_NAMESPACE: Final = UUID("6f0d7a52-0f0c-5b7e-8c7b-5d1f4a3c9e21")


class OutcomeNotice(Outcome, frozen=True, kw_only=True):
    """The outcome document and its ETag."""

    outcome_etag: str


def notification_id(transaction: str, outcome: str) -> str:
    """The id of every copy of the notification of this outcome."""
    return str(uuid5(_NAMESPACE, f"{transaction}/{outcome}"))


def notice_id(transaction: str, kind: str, sequence: int) -> str:
    """The id of every copy of this notice. No outcome has it: kinds are in small letters."""
    return str(uuid5(_NAMESPACE, f"{transaction}/{kind}/{sequence}"))


def notification(decided: Decided, instance: str) -> CloudEvent:
    """The CloudEvent that tells of an outcome."""
    outcome = decided.outcome
    members = msgspec.structs.asdict(outcome)
    return _event(
        notification_id(outcome.transaction_id, outcome.outcome),
        f"transaction.{outcome.outcome.lower()}",
        outcome.transaction_id,
        outcome.timestamps.completed,
        OutcomeNotice(**members, outcome_etag=decided.etag),
        decided.audience.trace,
        instance,
    )


def notice(effect: Announce, instance: str) -> CloudEvent:
    """The CloudEvent that tells something that is no outcome."""
    return _event(
        notice_id(effect.transaction, effect.kind, effect.sequence),
        f"transaction.{effect.kind}",
        effect.transaction,
        rfc3339(effect.at),
        _said(effect),
        effect.trace,
        instance,
    )


def orphan_record(decided: Decided, orphaned: Orphaned, instance: str) -> CloudEvent:
    """The CloudEvent that tells of payloads that are in no result."""
    outcome = decided.outcome
    return _event(
        str(uuid5(_NAMESPACE, f"{outcome.transaction_id}/orphaned")),
        "transaction.orphaned",
        outcome.transaction_id,
        outcome.timestamps.completed,
        orphaned,
        decided.audience.trace,
        instance,
    )


def routing_key(kind: str, transaction_type: str) -> str:
    """Where on the outbound exchange it goes."""
    return f"transaction.{kind.lower()}.{transaction_type}"


def _said(effect: Announce) -> Accepted | Gap | Overdue:
    names = effect.transaction, effect.transaction_type
    match effect.kind:
        case "accepted":
            header = effect.header
            series, labels = (header.series, header.labels) if header else ((), {})
            return Accepted(*names, series, labels, rfc3339(effect.at))
        case "gap":
            return Gap(*names, effect.sequence, effect.problem)
        case "overdue":
            return Overdue(*names, effect.problem)


def _event(
    event_id: str, kind: str, transaction: str, time: str, data: Public, trace: Trace, instance: str
) -> CloudEvent:
    return CloudEvent(
        specversion="1.0",
        id=event_id,
        source=f"/brh/{instance}",
        type=f"brh.{kind}.v1",
        time=time,
        datacontenttype="application/json",
        data=msgspec.Raw(msgspec.json.encode(data)),
        subject=transaction,
        correlationid=transaction,
        traceparent=trace.traceparent,
        tracestate=trace.tracestate,
    )
