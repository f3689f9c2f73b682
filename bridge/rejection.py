"""The announcement that a message was refused. Pure but for the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

import msgspec
from aio_pika.abc import AbstractIncomingMessage

from bridge.contract.inbound import Rejected, is_transaction_id
from bridge.contract.outbound import CloudEvent, Problem, RejectedMessage, rfc3339

_NAMESPACE: Final = UUID("0b5a3d0e-4c1d-5d2f-9a86-2f6f0c7e1b10")


def rejection_event(message: AbstractIncomingMessage, queue: str, rejected: Rejected, instance: str) -> CloudEvent:
    """The CloudEvent for a refused message; its id is a function of the message's properties and size."""
    transaction = message.correlation_id if is_transaction_id(message.correlation_id) else None
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
        message_id=_shown(message.message_id),
        app_id=_shown(message.app_id),
        queue=queue,
        routing_key=_shown(message.routing_key) or "",
        bytes=len(message.body),
        problem=problem,
    )
    identity = (
        queue,
        message.routing_key,
        message.type,
        message.correlation_id,
        message.message_id,
        message.app_id,
        len(message.body),
        sorted((name, repr(value)) for name, value in message.headers.items() if not name.startswith("x-")),
        str(rejected.code),
    )
    return CloudEvent(
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


def _shown(text: str | None) -> str | None:
    """The text with bytes that are no UTF-8 (surrogates, see `bridge.service`) escaped: JSON has no place for them."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace") if text is not None else None
