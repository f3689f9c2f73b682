"""What may be asked of blob storage at once, and of which kind it must be: the same for every adapter. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from bridge.checksums import Piece
from bridge.layout import MIB, BlockId

RECORD_MAX_BYTES: Final = 32 * MIB
"""Of a body for `write_once`, which is one request: a record is a document, not data."""
READ_MAX_BYTES: Final = RECORD_MAX_BYTES
RANGE_MAX_BYTES: Final = 8 * MIB
"""Of one ranged read."""
PAGE_MAX: Final = 5_000
"""Blobs in one page of a list, as many as the service gives."""

_METADATA_NAME = re.compile(r"[a-z][a-z0-9_]*")
_METADATA_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


def check_block(block: BlockId, pieces: Sequence[Piece]) -> None:
    """Raises ValueError for a block without bytes, which Azure refuses and its emulator accepts."""
    if not any(map(len, pieces)):
        raise ValueError(f"block {block} is empty: Azure takes none; an empty payload has a marker of one byte")


def check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata as it can be sent. Raises ValueError.

    Metadata travels as HTTP headers: names lose their case, and other characters do not arrive as they were sent.
    """
    for key, value in metadata.items():
        if not _METADATA_NAME.fullmatch(key) or not _METADATA_VALUE.fullmatch(value):
            raise ValueError(f"metadata {key!r} must have a name [a-z][a-z0-9_]* and a value of printable ASCII")
    return dict(metadata)


def check_record(name: str, body: bytes) -> None:
    """Raises ValueError when the body is too large for `write_once`."""
    if len(body) > RECORD_MAX_BYTES:
        raise ValueError(f"record {name} has {len(body)} bytes, more than {RECORD_MAX_BYTES}: stage it in blocks")


def check_chunk(chunk_bytes: int) -> None:
    """Raises ValueError when `stream` cannot read in chunks of this size."""
    if not 1 <= chunk_bytes <= RANGE_MAX_BYTES:
        raise ValueError(f"chunk_bytes is {chunk_bytes}, not within 1 .. {RANGE_MAX_BYTES}")


def check_limit(limit: int) -> None:
    """Raises ValueError when a page cannot have as many blobs."""
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"limit is {limit}, not within 1 .. {PAGE_MAX}")
