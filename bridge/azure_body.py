"""The body of a Put Block request, and the checksum by which the service verifies it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

from bridge.blobs import BlobsUnavailable
from bridge.checksums import Piece, azure_crc64, crc64
from bridge.layout import MIB, BlockId

WRITE_BYTES: Final = 256 << 10
"""Handed to the socket at once."""
THREAD_FROM_BYTES: Final = 1 * MIB
"""From here MD5 (about 0.8 GB/s) leaves the event loop."""

Integrity = Literal["crc64", "md5"]


class BlockBody:
    """The bytes of a block, from the start at every iteration, in pieces of a size that suits the socket.

    The SDK resends the object that it was given. An exhausted generator would make it announce a length, send nothing
    and wait until the service gives up; one large `bytes` costs 4 to 11 times the CPU, and copies of it over TLS.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self.size = sum(len(piece) for piece in pieces)
        """Bytes."""

    async def __aiter__(self) -> AsyncIterator[Piece]:
        few: list[Piece] = []
        size = 0
        for piece in self._pieces:
            for start in range(0, len(piece), WRITE_BYTES):
                part = memoryview(piece)[start : start + WRITE_BYTES]
                if few and size + len(part) > WRITE_BYTES:
                    yield _together(few)
                    few, size = [], 0
                few.append(part)
                size += len(part)
        if few:
            yield _together(few)

    async def checksum(self, block: BlockId, integrity: Integrity) -> dict[str, str]:
        """The request's header by which the service verifies the bytes.

        Raises BlobsUnavailable when it would be MD5 and the bytes are not those of the id: CRC-64 makes the service
        refuse that, and development must not be more lenient than production.
        """
        if integrity == "crc64":
            return {"x-ms-content-crc64": azure_crc64(block.crc64)}
        if crc64(self._pieces) != block.crc64:
            raise BlobsUnavailable(f"block {block} has other bytes than its id says: stage it again from its source")
        digest = await asyncio.to_thread(self._md5) if self.size >= THREAD_FROM_BYTES else self._md5()
        return {"Content-MD5": base64.b64encode(digest).decode("ascii")}

    def _md5(self) -> bytes:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self._pieces:
            digest.update(piece)
        return digest.digest()


def _together(pieces: list[Piece]) -> Piece:
    """One write for many small payloads; a large piece is not copied."""
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
