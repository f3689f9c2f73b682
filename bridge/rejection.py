"""The announcement that a message was refused. Pure but for the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from bridge.contract.events import MessageRefused
from bridge.contract.inbound import HEADER_TYPE, Rejected, is_series_type, is_transaction_id
from bridge.contract.outbound import CloudEvent, Problem, RejectedMessage, rfc3339
from bridge.envelope import Properties

_NAMESPACE: Final = UUID("0b5a3d0e-4c1d-5d2f-9a86-2f6f0c7e1b10")


class Refused(msgspec.Struct, frozen=True):
    """A message that was refused, and why."""

    queue: str
    routing_key: str
    properties: Properties
    size: int
    """Bytes of its body."""
    why: Rejected


class Rejection(msgspec.Struct, frozen=True):
    """What is said of a message that was refused, ready to be sent."""

    event: CloudEvent
    routing_key: str
    code: str
    fact: MessageRefused | None
    """For the transaction that the message names, where it names one."""


def rejection(refused: Refused, instance: str) -> Rejection:
    """The announcement; its event's id is a function of the message's properties and size."""
    found, rejected = refused.properties, refused.why
    transaction = found.correlation_id if is_transaction_id(found.correlation_id) else None
    now = rfc3339(datetime.now(UTC))
    problem = Problem(
        code=str(rejected.code),
        title="A message does not keep the contract",
        detail=rejected.reason,
        stage="ingest",
        occurred_at=now,
    )
    data = RejectedMessage(
        transaction_id=transaction,
        message_id=_shown(found.message_id),
        app_id=_shown(found.app_id),
        queue=refused.queue,
        routing_key=_shown(refused.routing_key) or "",
        bytes=refused.size,
        problem=problem,
    )
    identity = (
        refused.queue,
        refused.routing_key,
        found.type,
        found.correlation_id,
        found.message_id,
        found.app_id,
        refused.size,
        sorted((name, repr(value)) for name, value in found.headers.items() if not name.startswith("x-")),
        str(rejected.code),
    )
    event = CloudEvent(
        specversion="1.0",
        id=str(uuid5(_NAMESPACE, repr(identity))),
        source=f"/brh/{instance}",
        type="brh.message.rejected.v1",
        time=now,
        datacontenttype="application/json",
        data=msgspec.Raw(msgspec.json.encode(data)),
        subject=transaction,
        correlationid=transaction,
    )
    fact = MessageRefused(transaction, _of_message(problem, found)) if transaction is not None else None
    return Rejection(event, f"message.rejected.{rejected.code}", str(rejected.code), fact)


def _of_message(problem: Problem, properties: Properties) -> Problem:
    """The problem, saying which message it is about; its announcement has members for that."""
    series, ordinal = properties.headers.get("brh_series_type"), properties.headers.get("brh_ordinal")
    if properties.type == HEADER_TYPE:
        which = "A header"
    elif is_series_type(series) and type(ordinal) is int:
        which = f"Series {series}, ordinal {ordinal}"
    else:
        which = "A message"
    return replace(problem, title="A message was refused", detail=f"{which}: {problem.detail}.")


def _shown(text: str | None) -> str | None:
    """The text with bytes that are no UTF-8 (surrogates, see `bridge.decoding`) escaped: JSON has no place for them."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace") if text is not None else None
