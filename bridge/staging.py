"""Bring one payload's bytes into the blob they belong to, as uncommitted blocks.

The body is read once, in whatever pieces it comes, and cut into sub-blocks. Each is kept until it is stored, because a
failed attempt sends it again; so `blocks_in_flight` sub-blocks are the memory that a payload needs, whatever its size.

Blocks of a payload that turns out to be wrong, or whose bridge dies, stay behind uncommitted. They do no harm: a commit
names the blocks of facts and nothing else, and no fact is made here of what was not whole. The commit drops them, or
the service does within a week.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from typing import Final

from bridge.blobs import Blobs
from bridge.checksums import Piece, combine, crc64, hex16
from bridge.contract.events import Staged
from bridge.contract.inbound import PayloadMessage, Rejected, RejectionCode
from bridge.layout import EMPTY_MARKER, MIB, BlockId, marker_id, part_name, part_of, sub_block_bytes

Pieces = AsyncIterable[Piece]
"""A body as it arrives. It ends when the body is whole; a connection that breaks must raise instead, or a payload that
was cut short would be taken for one of the wrong length."""

HASH_IN_THREAD_FROM_BYTES: Final = 1 * MIB
"""From here SHA-256 (about 1.8 GB/s) leaves the event loop."""


async def stage_payload(
    blobs: Blobs, message: PayloadMessage, body: Pieces, *, blocks_in_flight: int
) -> Staged | Rejected:
    """Stage one payload; when this returns `Staged`, its blocks are stored.

    Args:
        blobs: where to.
        message: what the body must be: its size, and its SHA-256 where the producer declares one.
        body: read to its end once, or less when it is too long. No piece may change after it was handed over.
        blocks_in_flight: sub-blocks in memory at once, among them the one that is being filled; at least 1.

    Returns:
        The fact to publish, or why the message can never be accepted.

    Raises:
        BlobsError: as `Blobs.stage_block` raises it. No request of this payload is under way any more.
    """
    staging = _Staging(blobs, message, blocks_in_flight)
    try:
        if message.size == 0:
            await staging.mark_empty(body)
        else:
            await staging.stage(body)
    except _Refused as refused:
        return refused.why
    return staging.fact()


class _Refused(Exception):
    """Leaves the task group, so that blocks in flight are cancelled; never leaves this module."""

    def __init__(self, code: RejectionCode, reason: str) -> None:
        super().__init__(reason)
        self.why = Rejected(code, reason)


class _Staging:
    """One payload under way."""

    def __init__(self, blobs: Blobs, message: PayloadMessage, blocks_in_flight: int) -> None:
        self._blobs = blobs
        self._message = message
        self._name = part_name(message.transaction, message.series, part_of(message.ordinal, message.total_count))
        self._slots = asyncio.Semaphore(blocks_in_flight)
        self._sha256 = hashlib.sha256() if message.sha256 is not None else None
        self._whole = 0
        """CRC-64 of all that was read so far."""
        self._crc64s: list[int] = []

    def fact(self) -> Staged:
        """What is stored now."""
        return Staged(
            series=self._message.series,
            first=self._message.ordinal,
            count=1,
            total_count=self._message.total_count,
            sizes=(self._message.size,),
            crc64s=(hex16(self._whole),),
            blocks=tuple(map(hex16, self._crc64s)),
        )

    async def mark_empty(self, body: Pieces) -> None:
        async for piece in body:
            if len(piece):
                raise self._wrong_length(len(piece))
        self._verify_digest()
        await self._blobs.stage_block(self._name, marker_id(self._message.ordinal), [EMPTY_MARKER])

    async def stage(self, body: Pieces) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._read(body, tasks)
        except BaseExceptionGroup as group:
            # The first failure cancelled the others: it is the one that says what happened.
            failure = group.exceptions[0]
        else:
            return
        # Python 3.11 forgets a cancellation from outside that comes while a group is failing.
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError
        raise failure

    async def _read(self, body: Pieces, tasks: asyncio.TaskGroup) -> None:
        """Read, cut and check the body while earlier blocks are being sent."""
        message, block_bytes = self._message, sub_block_bytes(self._message.total_count)
        nsub = -(-message.size // block_bytes)
        seen = 0
        async with aclosing(cut(body, block_bytes)) as blocks:
            for sub in range(nsub):
                await self._slots.acquire()
                pieces: list[Piece] = await anext(blocks, [])
                size = sum(map(len, pieces))
                seen += size
                if size != min(block_bytes, message.size - sub * block_bytes):
                    raise self._wrong_length(seen)
                block = BlockId(message.ordinal, 1, sub, nsub, crc64(pieces))
                self._whole = combine(self._whole, block.crc64, size)
                self._crc64s.append(block.crc64)
                tasks.create_task(self._send(block, pieces))
                await self._hash(pieces, size)
            async for more in blocks:
                raise self._wrong_length(seen + sum(map(len, more)))
        self._verify_digest()

    async def _send(self, block: BlockId, pieces: Sequence[Piece]) -> None:
        try:
            await self._blobs.stage_block(self._name, block, pieces)
        finally:
            self._slots.release()

    async def _hash(self, pieces: Sequence[Piece], size: int) -> None:
        if self._sha256 is None:
            return
        if size >= HASH_IN_THREAD_FROM_BYTES:
            await asyncio.to_thread(_update, self._sha256, pieces)
        else:
            _update(self._sha256, pieces)

    def _verify_digest(self) -> None:
        if self._sha256 is not None and self._sha256.hexdigest() != self._message.sha256:
            raise _Refused(
                RejectionCode.DIGEST_MISMATCH,
                f"the body's SHA-256 is {self._sha256.hexdigest()}, the message says {self._message.sha256}",
            )

    def _wrong_length(self, seen: int) -> _Refused:
        found = f"has {seen} bytes" if seen < self._message.size else "is longer"
        return _Refused(
            RejectionCode.LENGTH_MISMATCH, f"the message says that its body has {self._message.size} bytes; it {found}"
        )


async def cut(body: Pieces, block_bytes: int) -> AsyncGenerator[list[Piece], None]:
    """The body in blocks of exactly `block_bytes`, the last one shorter; each a list of pieces, none of them copied."""
    block: list[Piece] = []
    room = block_bytes
    async for piece in body:
        view = memoryview(piece)
        while len(view) >= room:
            block.append(view[:room])
            yield block
            view, block, room = view[room:], [], block_bytes
        if len(view):
            block.append(view)
            room -= len(view)
    if block:
        yield block


def _update(digest: hashlib._Hash, pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        digest.update(piece)
