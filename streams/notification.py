"""What is said about an outcome: one CloudEvent, the same bytes wherever and however often it is sent. Pure."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

import msgspec

from bridge.contract.outbound import CloudEvent, Outcome
from streams.outcome import Decided

_NAMESPACE: Final = UUID("6f0d7a52-0f0c-5b7e-8c7b-5d1f4a3c9e21")


class OutcomeNotice(Outcome, frozen=True, kw_only=True):
    """The outcome document and its ETag."""

    outcome_etag: str


def notification_id(transaction: str, outcome: str) -> str:
    """The id of every copy of the notification of this outcome."""
    return str(uuid5(_NAMESPACE, f"{transaction}/{outcome}"))


def notification(decided: Decided, instance: str) -> CloudEvent:
    """The CloudEvent that tells of an outcome."""
    outcome, trace = decided.outcome, decided.audience.trace
    members = msgspec.structs.asdict(outcome)
    notice = OutcomeNotice(**members, outcome_etag=decided.etag)
    return CloudEvent(
        specversion="1.0",
        id=notification_id(outcome.transaction_id, outcome.outcome),
        source=f"/brh/{instance}",
        type=f"brh.transaction.{outcome.outcome.lower()}.v1",
        time=outcome.timestamps.completed,
        datacontenttype="application/json",
        data=msgspec.Raw(msgspec.json.encode(notice)),
        subject=outcome.transaction_id,
        correlationid=outcome.transaction_id,
        traceparent=trace.traceparent,
        tracestate=trace.tracestate,
    )


def routing_key(outcome: Outcome) -> str:
    """Where on the outbound exchange the notification goes."""
    return f"transaction.{outcome.outcome.lower()}.{outcome.transaction_type}"
