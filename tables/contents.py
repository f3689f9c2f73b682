"""What each ordinal of a series contains, as a short digest: enough to tell a duplicate from a conflict.

Immutable like everything the rules work on; adding one ordinal copies one small chunk, so a series of a million
payloads stays cheap to follow and takes 8 bytes an ordinal, and for one of several blocks 8 bytes a block more.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

_DIGEST_BYTES: Final = 8
_CRC64_HEX: Final = 16
_CHUNK_ORDINALS: Final = 512
_ABSENT: Final = bytes(_DIGEST_BYTES)


def digest(size: int, crc64: str) -> bytes:
    """Digest of a payload's content: its length in bytes and its CRC-64/NVME."""
    return blake2b(f"{size}:{crc64}".encode(), digest_size=_DIGEST_BYTES).digest()


class Contents(msgspec.Struct, frozen=True):
    """Ordinal -> digest of its content, and the blocks of those that were cut into several."""

    chunks: tuple[bytes, ...] = ()
    cuts: tuple[dict[int, bytes], ...] = ()
    """By chunk: ordinal -> CRC-64s of its blocks, one after the other."""

    def get(self, ordinal: int) -> bytes | None:
        """The digest of an ordinal, or None when it is not known."""
        chunk, at = divmod(ordinal - 1, _CHUNK_ORDINALS)
        if chunk >= len(self.chunks):
            return None
        found = self.chunks[chunk][at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES]
        return found if found and found != _ABSENT else None

    def blocks(self, ordinal: int) -> tuple[str, ...]:
        """CRC-64s of an ordinal's blocks where there are several; one block is told by the digest alone."""
        chunk = (ordinal - 1) // _CHUNK_ORDINALS
        text = self.cuts[chunk].get(ordinal, b"").hex() if chunk < len(self.cuts) else ""
        return tuple(text[at : at + _CRC64_HEX] for at in range(0, len(text), _CRC64_HEX))

    def with_payload(self, ordinal: int, value: bytes, blocks: tuple[str, ...] = ()) -> Contents:
        """The same contents and one more: its digest, and the CRC-64s of its blocks."""
        chunk, at = divmod(ordinal - 1, _CHUNK_ORDINALS)
        chunks = self.chunks + (b"",) * (chunk + 1 - len(self.chunks))
        start = at * _DIGEST_BYTES
        old = chunks[chunk].ljust(start + _DIGEST_BYTES, b"\0")
        new = old[:start] + value + old[start + _DIGEST_BYTES :]
        cuts = self.cuts
        if len(blocks) > 1:
            cuts += ({},) * (chunk + 1 - len(cuts))
            cuts = (*cuts[:chunk], {**cuts[chunk], ordinal: bytes.fromhex("".join(blocks))}, *cuts[chunk + 1 :])
        return Contents((*chunks[:chunk], new, *chunks[chunk + 1 :]), cuts)
