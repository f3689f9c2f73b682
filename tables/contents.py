"""What each ordinal of a series contains, as a short digest: enough to tell a duplicate from a conflict.

Immutable like everything the rules work on; adding one ordinal copies one small chunk, so a series of a million
payloads stays cheap to follow and takes 8 bytes an ordinal.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

_DIGEST_BYTES: Final = 8
_CHUNK_ORDINALS: Final = 512
_ABSENT: Final = bytes(_DIGEST_BYTES)


def digest(size: int, crc64: str) -> bytes:
    """Digest of a payload's content: its length in bytes and its CRC-64/NVME."""
    return blake2b(f"{size}:{crc64}".encode(), digest_size=_DIGEST_BYTES).digest()


class Contents(msgspec.Struct, frozen=True):
    """Ordinal -> digest of its content."""

    chunks: tuple[bytes, ...] = ()

    def get(self, ordinal: int) -> bytes | None:
        """The digest of an ordinal, or None when it is not known."""
        chunk, at = divmod(ordinal - 1, _CHUNK_ORDINALS)
        if chunk >= len(self.chunks):
            return None
        found = self.chunks[chunk][at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES]
        return found if found and found != _ABSENT else None

    def with_digest(self, ordinal: int, value: bytes) -> Contents:
        """The same contents and one more."""
        chunk, at = divmod(ordinal - 1, _CHUNK_ORDINALS)
        chunks = self.chunks + (b"",) * (chunk + 1 - len(self.chunks))
        start = at * _DIGEST_BYTES
        old = chunks[chunk].ljust(start + _DIGEST_BYTES, b"\0")
        new = old[:start] + value + old[start + _DIGEST_BYTES :]
        return Contents((*chunks[:chunk], new, *chunks[chunk + 1 :]))
