"""Bring one payload's bytes into the blob they belong to, as uncommitted blocks, while they are still arriving.

A sub-block is kept until it is stored, because a failed attempt sends it again; so the sub-blocks that its body may
have in hand are the memory that a payload needs, whatever its size.

Blocks of a payload that turns out to be wrong, or whose bridge dies, stay behind uncommitted. They do no harm: a commit
names the blocks of facts and nothing else, and no fact is made here of what was not whole. The commit drops them, or
the service does within a week.

The last block is the seal: it is sent when the others are stored and the body has the digest that it must have. So
where facts were lost, a list of blocks still tells which payloads are whole and right.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, Callable, Coroutine, Sequence
from typing import Any, Final

from bridge.checksums import Piece, combine, hex16
from bridge.contract.events import Staged
from bridge.contract.inbound import PayloadMessage, Rejected, RejectionCode
from bridge.crash_points import crash_point
from bridge.inflow import SubBlock
from bridge.layout import MIB, BlockId, part_name, part_of, sub_block_bytes

HASH_IN_THREAD_FROM_BYTES: Final = 1 * MIB
"""From here SHA-256 (about 1.8 GB/s) leaves the event loop."""

StageBlock = Callable[[str, BlockId, Sequence[Piece]], Coroutine[Any, Any, None]]
"""`Blobs.stage_block`, or something with more patience."""


async def stage_payload(
    stage_block: StageBlock, message: PayloadMessage, body: AsyncIterable[SubBlock]
) -> Staged | Rejected:
    """Stage one payload of at least one byte; when this returns `Staged`, its blocks are stored.

    Args:
        stage_block: where to.
        message: what the body must be: its SHA-256, where the producer declares one.
        body: its sub-blocks, of the size that `bridge.layout` gives. Each is released when it is stored, or never
            will be.

    Returns:
        The fact to publish, or why the message can never be accepted.

    Raises:
        Exception: the first one that the body or `stage_block` raised. No request of this payload is under way any
            more.
    """
    staging = _Staging(stage_block, message)
    try:
        async with asyncio.TaskGroup() as tasks:
            async for block in body:
                await staging.take(block, tasks)
            await staging.stored()
    except BaseExceptionGroup as group:
        # The first failure cancelled the others: it is the one that says what happened.
        failure = group.exceptions[0]
    else:
        return staging.wrong_digest() or staging.fact()
    # Python 3.11 forgets a cancellation from outside that comes while a group is failing.
    if (task := asyncio.current_task()) is not None and task.cancelling():
        raise asyncio.CancelledError
    raise failure


def wrong_digest(message: PayloadMessage, digest: str) -> Rejected | None:
    """Why a payload with this SHA-256 cannot be accepted; None when it can."""
    if message.sha256 in (None, digest):
        return None
    return Rejected(RejectionCode.DIGEST_MISMATCH, f"the body's SHA-256 is {digest}, the message says {message.sha256}")


class _Staging:
    """One payload under way."""

    def __init__(self, stage_block: StageBlock, message: PayloadMessage) -> None:
        self._stage_block = stage_block
        self._message = message
        self._blob = part_name(message.transaction, message.series, part_of(message.ordinal, message.total_count))
        self._nsub = -(-message.size // sub_block_bytes(message.total_count))
        self._sha256 = hashlib.sha256() if message.sha256 is not None else None
        self._whole = 0
        """CRC-64 of all that was read so far."""
        self._crc64s: list[int] = []
        self._sending: list[asyncio.Task[None]] = []

    async def take(self, block: SubBlock, tasks: asyncio.TaskGroup) -> None:
        """Take a sub-block into the checksums of the whole, and begin to send it."""
        message = self._message
        block_id = BlockId(message.total_count, message.ordinal, 1, len(self._crc64s), self._nsub, block.crc64)
        self._whole = combine(self._whole, block.crc64, block.size)
        self._crc64s.append(block.crc64)
        try:
            await self._hash(block)
            if len(self._crc64s) == self._nsub:
                if self.wrong_digest():
                    block.release()
                    return
                await self.stored()
                crash_point("bridge.payload-unsealed")
            sending = tasks.create_task(self._stage_block(self._blob, block_id, block.pieces))
        except BaseException:
            block.release()
            raise
        # Not in the task itself: one that is cancelled before it began runs nothing.
        sending.add_done_callback(lambda _: block.release())
        self._sending.append(sending)

    async def stored(self) -> None:
        """All that was taken is stored.

        The group would wait too, but when a request fails while it does, Python 3.11 leaves the group's own
        cancellation of this task standing, and that would be taken for one from outside.
        """
        if self._sending:
            await asyncio.wait(self._sending)

    async def _hash(self, block: SubBlock) -> None:
        if self._sha256 is None:
            return
        if block.size >= HASH_IN_THREAD_FROM_BYTES:
            await asyncio.to_thread(_update, self._sha256, block.pieces)
        else:
            _update(self._sha256, block.pieces)

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

    def wrong_digest(self) -> Rejected | None:
        return wrong_digest(self._message, self._sha256.hexdigest()) if self._sha256 is not None else None


def _update(digest: hashlib._Hash, pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        digest.update(piece)
