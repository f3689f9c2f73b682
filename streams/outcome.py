"""The outcome document: one conditional write that decides about a transaction, and the marker that it was told.

Whoever comes second reads what the first one wrote and follows it; it may be an earlier success of its own whose reply
was lost. Everything told to anybody is made from the document as it was read or written, so every copy is the same.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET

from bridge import metrics
from bridge.blobs import Blobs, Exists
from bridge.contract.events import Delivered
from bridge.contract.inbound import Trace
from bridge.contract.outbound import Outcome, OutcomeTimestamps, SeriesResult, Told, from_rfc3339, rfc3339
from bridge.crash_points import crash_point
from bridge.layout import OUTCOME_BLOB, TOLD_BLOB, record_name
from bridge.quoting import quoted
from bridge.unreadable import ReadCode, Unreadable, Version, read
from tables.effects import Deliver

_JSON = "application/json"
_AUDIENCE = "brh_audience"
PARTS_LISTED: Final = "brh_parts"
"""Metadata of the document: how many parts it lists, so that a list of the container shows where there are more."""


class Audience(msgspec.Struct, frozen=True, omit_defaults=True):
    """What telling needs besides the document: kept with it, so that it alone is enough to tell."""

    reply_to: str | None = None
    trace: Trace = Trace()
    orphans: bool = False
    """There is a record of orphans, to be told before the outcome."""
    v: Version = UNSET


_outcomes: Final = msgspec.json.Decoder(Outcome)
_tolds: Final = msgspec.json.Decoder(Told)
_audiences: Final = msgspec.json.Decoder(Audience)


class Decided(msgspec.Struct, frozen=True):
    """The outcome as it stands in storage."""

    outcome: Outcome
    etag: str
    audience: Audience


async def find_outcome(blobs: Blobs, transaction: str) -> Decided | None:
    """The outcome of a transaction, if it has one. Raises BlobsError, Unreadable."""
    content = await blobs.read(record_name(transaction, OUTCOME_BLOB))
    if content is None:
        return None
    return Decided(read_outcome(content.body), content.etag, read_audience(content.metadata))


async def write_outcome(
    blobs: Blobs, effect: Deliver, series: tuple[SeriesResult, ...], *, partial: bool = False
) -> Decided:
    """Decide, unless somebody has decided: then what they wrote. Raises BlobsError, Unreadable."""
    name = record_name(effect.transaction, OUTCOME_BLOB)
    outcome = Outcome(
        transaction_id=effect.transaction,
        transaction_type=effect.transaction_type,
        outcome=effect.outcome,
        partial=partial,
        outcome_uri=blobs.uri(name),
        series=series,
        problem=effect.problem,
        timestamps=OutcomeTimestamps(
            created=rfc3339(effect.created),
            header_received=rfc3339(effect.header_received) if effect.header_received else None,
            completed=rfc3339(datetime.now(UTC)),
        ),
    )
    audience = Audience(effect.reply_to, effect.trace, orphans=bool(effect.orphans))
    metadata = {_AUDIENCE: _audience_text(audience), PARTS_LISTED: str(sum(len(each.parts) for each in series))}
    written = await blobs.write_once(name, msgspec.json.encode(outcome), content_type=_JSON, metadata=metadata)
    crash_point("delivery.outcome-written")
    if not isinstance(written, Exists):
        return Decided(outcome, written.etag, audience)
    decided = await find_outcome(blobs, effect.transaction)
    if decided is None:
        raise RuntimeError(f"{name} was there and is gone: something outside removes outcomes")
    # Storage says that there is one, not whose: the moment in ours makes it unlike any other.
    (metrics.OWN_CONFLICTS if decided.outcome == outcome else metrics.RACES_LOST).inc()
    return decided


async def find_told(blobs: Blobs, transaction: str) -> Told | None:
    """The marker that the outcome was told, if it is there. Raises BlobsError, Unreadable."""
    content = await blobs.read(record_name(transaction, TOLD_BLOB))
    return read_told(content.body) if content else None


async def mark_told(blobs: Blobs, transaction: str, told: Told) -> Told:
    """Write the marker; when somebody was faster, theirs. Raises BlobsError, Unreadable."""
    written = await blobs.write_once(
        record_name(transaction, TOLD_BLOB), msgspec.json.encode(told), content_type=_JSON, metadata={}
    )
    return (await find_told(blobs, transaction) or told) if isinstance(written, Exists) else told


def delivered(decided: Decided, told: Told) -> Delivered:
    """The fact that ends a transaction."""
    outcome = decided.outcome
    return Delivered(
        transaction=outcome.transaction_id,
        outcome=outcome.outcome,
        outcome_uri=outcome.outcome_uri,
        outcome_etag=decided.etag,
        completed=from_rfc3339(outcome.timestamps.completed),
        told=from_rfc3339(told.told_at),
        notification_id=told.notification_id,
        problem=outcome.problem,
    )


def _audience_text(audience: Audience) -> str:
    # Metadata travels as HTTP headers: base64 carries any queue name.
    return base64.b64encode(msgspec.json.encode(audience)).decode()


def read_outcome(body: bytes) -> Outcome:
    """The document in a blob. Raises Unreadable."""
    outcome = read(_outcomes, body)
    _check_time(outcome.timestamps.completed)
    return outcome


def read_told(body: bytes) -> Told:
    """The marker in a blob. Raises Unreadable."""
    told = read(_tolds, body)
    _check_time(told.told_at)
    return told


def read_audience(metadata: Mapping[str, str]) -> Audience:
    """Who is to be told, as the document's metadata say. Raises Unreadable."""
    try:
        text = base64.b64decode(metadata.get(_AUDIENCE, ""), validate=True)
    except ValueError as error:
        raise Unreadable(ReadCode.UNREADABLE, f"its audience is no base64: {error}") from error
    return read(_audiences, text) if text else Audience()


def _check_time(text: str) -> None:
    try:
        if from_rfc3339(text).tzinfo is not None:
            return
    except ValueError:
        pass
    raise Unreadable(ReadCode.UNREADABLE, f"a time is {quoted(text)}, expected RFC 3339")
