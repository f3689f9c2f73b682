"""CRC-64/NVME, the checksum of every block and payload.

The polynomial is the one that Azure verifies as `x-ms-content-crc64`, and it combines: the checksum of a whole follows
from those of its parts, so nothing is ever read a second time.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from awscrt import checksums

Piece = bytes | memoryview
"""Some bytes of a body. Whoever hands one over must not change what it shows afterwards."""


def crc64(pieces: Iterable[Piece], value: int = 0) -> int:
    """CRC-64/NVME of the pieces taken together, or of these behind bytes that have the CRC `value`; 0 for none.

    About 26 GB/s while the bytes are in the processor's cache, so it may run on the event loop.
    """
    for piece in pieces:
        value = checksums.crc64nvme(piece, value)
    return value


def combine(first: int, second: int, second_bytes: int) -> int:
    """CRC of two byte strings in a row, from the CRC of each and the length in bytes of the second."""
    value: int = checksums.combine_crc64nvme(first, second, second_bytes)
    return value


def hex16(value: int) -> str:
    """The checksum as facts and documents show it: 16 lower-case hex digits."""
    return f"{value:016x}"


def azure_crc64(value: int) -> str:
    """The checksum as the header `x-ms-content-crc64` wants it: base64 of the little-endian bytes."""
    return base64.b64encode(value.to_bytes(8, "little")).decode("ascii")
