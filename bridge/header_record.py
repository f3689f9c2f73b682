"""`_header.json`: the header a transaction was accepted with, kept beside its blocks.

It is written once. That write, not the order of messages on Kafka, decides which of two different headers is the first,
and with it the blocks alone are enough to find out what a transaction lacked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET

from bridge.blobs import Blobs, Exists
from bridge.contract.events import HeaderReceived, Moment
from bridge.contract.inbound import Header, HeaderMessage, Trace
from bridge.layout import HEADER_BLOB, record_name
from bridge.unreadable import Version, read

_ATTEMPTS = 3


class HeaderRecord(msgspec.Struct, frozen=True, rename="camel"):
    """What `_header.json` holds."""

    transaction_id: str
    header: Header
    digest: str
    received: Moment
    reply_to: str | None
    trace: Trace
    v: Version = UNSET


_decoder: Final = msgspec.json.Decoder(HeaderRecord)


def read_header(body: bytes) -> HeaderRecord:
    """The record in a blob. Raises Unreadable."""
    return read(_decoder, body)


async def keep_header(blobs: Blobs, message: HeaderMessage, received: datetime) -> HeaderReceived:
    """Keep the header if it is the transaction's first, and tell what came of it.

    Returns the fact to publish: always with the header that was first, and with this one's digest where it differs.
    Raises BlobsError, and Unreadable when the one that is there is of a release that this one does not know.
    """
    record = HeaderRecord(
        message.transaction, message.header, message.digest, received, message.reply_to, message.trace
    )
    name = record_name(message.transaction, HEADER_BLOB)
    for _ in range(_ATTEMPTS):
        written = await blobs.write_once(
            name, msgspec.json.encode(record), content_type="application/json", metadata={}
        )
        if not isinstance(written, Exists):
            return _fact(record, message)
        found = await blobs.read(name)
        if found is not None:
            return _fact(read_header(found.body), message)
        # Removed between the two calls, by a clean-up of an earlier life of this id: write it again.
    raise RuntimeError(f"{name} was there and gone {_ATTEMPTS} times: something removes it as fast as it is written")


async def find_header(blobs: Blobs, transaction: str) -> HeaderReceived | None:
    """The fact of the header that was kept, if there is one.

    Raises BlobsError, Unreadable.
    """
    found = await blobs.read(record_name(transaction, HEADER_BLOB))
    if found is None:
        return None
    record = read_header(found.body)
    return HeaderReceived(transaction, record.header, record.digest, record.received, record.reply_to, record.trace)


def _fact(first: HeaderRecord, message: HeaderMessage) -> HeaderReceived:
    return HeaderReceived(
        transaction=message.transaction,
        header=first.header,
        digest=first.digest,
        received=first.received,
        reply_to=first.reply_to,
        trace=first.trace,
        conflicting_digest=message.digest if message.digest != first.digest else None,
    )
